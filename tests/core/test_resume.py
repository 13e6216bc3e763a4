"""The decision for each test of a resume, and chains of resumes: they converge, and nothing good runs twice."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    Fact,
    Fate,
    RunEnded,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsSelected,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.redaction import MARK
from pytest_resilience.core.resume import (
    DEATHS_BEFORE_HELD,
    Decision,
    Plan,
    Stale,
    decide,
    knowledge,
    plan,
)
from pytest_resilience.core.run import Run

TODAY = "today"


def known(
    outcome: Outcome = Outcome.PASSED, *, key: str = "a.py::t", digest: str = TODAY, deaths: int = 0
) -> TestInherited:
    return TestInherited(key=key, outcome=outcome, run="r", digest=digest, deaths=deaths)


def planned(
    *some: TestInherited, digest: str = TODAY, named: Collection[str] = (), stale: Stale = "run"
) -> Plan:
    return plan("r", some, lambda key: digest, named, stale)


def left_by(*facts: Fact, is_whole: bool = True) -> dict[str, TestInherited]:
    """What a run with these facts leaves, by key. Its selection is complete unless `is_whole` is false."""
    run = Run()
    for fact in (*facts, SelectionDone(total=1)) if is_whole else facts:
        run.observe(fact, "w")
    return {one.key: one for one in knowledge(run, "new")}


DIGESTS = st.sampled_from(["", TODAY, "other"])
KNOWN = st.builds(
    TestInherited,
    key=st.sampled_from(["a.py::t", "a.py::t[1]", "a.py::C::t", "b.py::t", "b.py::t #2"]),
    outcome=st.sampled_from(Outcome),
    run=st.just("r"),
    digest=DIGESTS,
    deaths=st.integers(0, 4),
)
STALE: st.SearchStrategy[Stale] = st.sampled_from(get_args(Stale))
NAMED = st.sets(st.sampled_from(["a.py", "a.py::t", "a.py::C", "b.py::t", "b.py::t #2"]))

# -- one test -------------------------------------------------------------------------------------------------------

# From top to bottom, the first row that fits: what is known, the files, the deaths, named on the command line, what is
# wanted of good tests whose files changed.
ANY = None
GOOD = {"passed", "flaky", "skipped", "xfailed", "xpassed", "carried_over"}
TABLE: list[tuple[set[str] | None, str | None, set[int] | None, bool | None, set[Stale] | None, Decision]] = [
    ({"never seen"}, ANY, ANY, ANY, ANY, Decision.RUN),
    (GOOD, "unchanged", ANY, ANY, ANY, Decision.CARRY),
    (GOOD, "changed", ANY, ANY, {"run"}, Decision.RUN_STALE),
    (GOOD, "changed", ANY, ANY, {"carry", "warn"}, Decision.CARRY_STALE),
    (GOOD, "unknown", ANY, ANY, ANY, Decision.RUN_STALE),
    (ANY, ANY, {2, 3, 4}, False, ANY, Decision.HOLD),
    (ANY, ANY, {1, 2, 3, 4}, ANY, ANY, Decision.RUN_LAST),
    ({"crashed"}, ANY, ANY, ANY, ANY, Decision.RUN_LAST),
    ({"failed", "error", "timed_out", "interrupted", "not_run"}, ANY, {0}, ANY, ANY, Decision.RUN),
]


def from_the_table(one: TestInherited | None, digest: str, named: bool, stale: Stale) -> Decision:
    word = one.outcome.value if one is not None else "never seen"
    deaths = one.deaths if one is not None else 0
    if not digest or one is None or not one.digest:
        files = "unknown"
    else:
        files = "unchanged" if one.digest == digest else "changed"
    for words, of_files, of_deaths, of_named, of_stale, decision in TABLE:
        if (
            (words is ANY or word in words)
            and (of_files is ANY or files == of_files)
            and (of_deaths is ANY or deaths in of_deaths)
            and (of_named is ANY or named is of_named)
            and (of_stale is ANY or stale in of_stale)
        ):
            return decision
    raise AssertionError("the table has no row for this")


@given(st.none() | KNOWN, DIGESTS, st.booleans(), STALE)
def test_the_decision_is_that_of_the_table(
    one: TestInherited | None, digest: str, named: bool, stale: Stale
) -> None:
    assert decide(one, digest, named=named, stale=stale) is from_the_table(one, digest, named, stale)


@given(KNOWN, DIGESTS, st.booleans(), STALE)
def test_only_what_is_known_as_good_with_todays_files_is_carried(
    one: TestInherited, digest: str, named: bool, stale: Stale
) -> None:
    is_carried = decide(one, digest, named=named, stale=stale) is Decision.CARRY
    assert is_carried == (one.outcome.is_good and digest != "" and digest == one.digest)


@given(KNOWN, DIGESTS, st.booleans(), STALE)
def test_what_a_good_test_passed_with_is_known_whenever_it_is_carried(
    one: TestInherited, digest: str, named: bool, stale: Stale
) -> None:
    if decide(one, digest, named=named, stale=stale) in (Decision.CARRY, Decision.CARRY_STALE):
        assert one.outcome.is_good
        assert digest
        assert one.digest


SECRET = KNOWN.map(lambda one: replace(one, key=f"a.py::t[{MARK}]"))


@given(SECRET, DIGESTS, st.booleans(), STALE)
def test_a_test_whose_id_does_not_say_which_it_is_runs_whatever_is_known(
    one: TestInherited, digest: str, named: bool, stale: Stale
) -> None:
    assert decide(one, digest, named=named, stale=stale) in (Decision.RUN, Decision.RUN_LAST)


@given(st.lists(KNOWN), SECRET, DIGESTS)
def test_such_a_test_is_outstanding_and_handed_on_as_not_good(
    some: list[TestInherited], secret: TestInherited, digest: str
) -> None:
    made = planned(*some, secret, digest=digest)
    assert secret.key in made.outstanding
    assert secret.key not in made.stale
    (handed_on,) = [one for one in made.inherited() if one.key == secret.key]
    assert not handed_on.outcome.is_good


# -- the plan -------------------------------------------------------------------------------------------------------


@given(st.lists(KNOWN), DIGESTS, NAMED, STALE)
def test_every_known_test_has_one_place_in_the_plan(
    some: list[TestInherited], digest: str, named: set[str], stale: Stale
) -> None:
    made = planned(*some, digest=digest, named=named, stale=stale)
    places = [made.carried, made.last, made.held, made.stale]
    assert all(not one & other for one, other in itertools.combinations(places, 2))
    assert frozenset().union(*places) <= set(made.known) == {one.key for one in some}
    assert set(made.outstanding) == set(made.known) - made.carried
    assert made.outdated == {key for key in made.carried if made.known[key].digest != digest}


@given(st.lists(KNOWN), DIGESTS, NAMED, STALE)
def test_a_plan_hands_on_every_known_test_and_as_good_only_the_carried_ones(
    some: list[TestInherited], digest: str, named: set[str], stale: Stale
) -> None:
    made = planned(*some, digest=digest, named=named, stale=stale)
    inherited = {one.key: one for one in made.inherited()}
    assert set(inherited) == set(made.known)
    assert {key for key, one in inherited.items() if one.outcome.is_good} == made.carried
    assert all(inherited[key] == made.known[key] for key in made.carried)


def test_a_good_test_whose_files_changed_is_handed_on_as_not_run() -> None:
    made = planned(known(digest="other"))
    assert made.stale == {"a.py::t"}
    assert [(one.outcome, one.digest, one.deaths) for one in made.inherited()] == [(Outcome.NOT_RUN, "", 0)]


def test_a_test_that_was_in_flight_in_two_deaths_is_held_until_it_is_named() -> None:
    killer = known(Outcome.CRASHED, deaths=DEATHS_BEFORE_HELD)
    assert planned(killer).held == {"a.py::t"}
    for name in ("a.py::t", "a.py::t[1]"):
        released = planned(replace(killer, key="a.py::t[1]"), named=[name])
        assert not released.held
        assert released.last == {"a.py::t[1]"}


def test_naming_a_class_releases_its_tests_and_naming_an_id_all_that_have_it() -> None:
    for key, name in (("a.py::C::t", "a.py::C"), ("a.py::t #2", "a.py::t"), ("a.py::t #2", "a.py::t #2")):
        assert not planned(known(Outcome.CRASHED, key=key, deaths=2), named=[name]).held


def test_naming_a_file_or_another_test_releases_nothing() -> None:
    for name in ("a.py", ".", "a.py::t2", "a.py::tt", "a.py::", "b.py::t", "a.py::t[2]"):
        assert planned(known(Outcome.CRASHED, key="a.py::t[1]", deaths=2), named=[name]).held


# -- what a run leaves ------------------------------------------------------------------------------------------------


def test_a_run_leaves_the_outcome_of_what_it_ran_with_the_files_it_ran_with() -> None:
    left = left_by(
        TestsSelected(keys=("t",), digest="d"),
        TestFinished(key="t", outcome=Outcome.FLAKY, attempts=2, seconds=1.5),
    )
    assert left["t"] == TestInherited(
        key="t", outcome=Outcome.FLAKY, run="new", attempts=2, seconds=1.5, digest="d"
    )


def test_a_run_hands_on_what_it_did_not_select() -> None:
    for one in (known(), known(Outcome.FAILED)):
        assert left_by(one) == {one.key: one}


def test_a_carried_test_keeps_the_run_that_it_passed_in() -> None:
    one = known()
    assert left_by(one, TestsSelected(keys=(one.key,), fate="carried")) == {one.key: one}


def test_a_held_test_keeps_its_deaths() -> None:
    one = known(Outcome.CRASHED, deaths=2)
    assert left_by(one, TestsSelected(keys=(one.key,), fate="held")) == {one.key: one}


def test_a_test_said_to_be_carried_from_nowhere_is_not_good() -> None:
    assert left_by(TestsSelected(keys=("t",), fate="carried", digest="d"))["t"].outcome is Outcome.NOT_RUN


def test_a_test_that_is_gone_is_dropped_from_the_chain() -> None:
    one = known(Outcome.FAILED)
    assert left_by(one, TestsSelected(keys=(one.key,), fate="gone")) == {}


def test_a_good_outcome_that_is_inherited_does_not_speak_for_a_test_that_was_selected_to_run() -> None:
    one = known()
    assert left_by(one, TestsSelected(keys=(one.key,)))[one.key].outcome is Outcome.NOT_RUN


def test_a_good_outcome_without_the_end_of_the_selection_is_not_known_as_good() -> None:
    facts = TestsSelected(keys=("t",), digest="d"), TestFinished(key="t", outcome=Outcome.PASSED)
    assert left_by(*facts)["t"].outcome is Outcome.PASSED
    assert left_by(*facts, is_whole=False)["t"].outcome is Outcome.NOT_RUN


def deaths_after(*facts: Fact, before: int = 1) -> int:
    one = known(Outcome.CRASHED, key="t", deaths=before)
    return left_by(one, TestsSelected(keys=("t",)), *facts)["t"].deaths


def test_deaths_grow_when_the_run_dies_with_the_test_in_flight() -> None:
    assert deaths_after(AttemptStarted(key="t", attempt=1)) == 2


def test_deaths_stay_while_the_test_is_not_reached() -> None:
    assert deaths_after() == 1
    assert deaths_after(RunEnded(exit_status=1)) == 1


def test_deaths_do_not_grow_when_the_run_was_stopped_or_ended_in_order() -> None:
    stopped = DecisionTaken(code=Code.INTERRUPTED_BY_SIGNAL.code, why="SIGINT")
    assert deaths_after(AttemptStarted(key="t", attempt=1), stopped) == 1
    assert deaths_after(AttemptStarted(key="t", attempt=1), RunEnded(exit_status=1)) == 1


def test_deaths_are_forgotten_with_a_result() -> None:
    for outcome in (Outcome.PASSED, Outcome.FAILED):
        assert deaths_after(TestFinished(key="t", outcome=outcome)) == 0


# -- chains of runs ---------------------------------------------------------------------------------------------------

Behaviour = Literal["passes", "skips", "fails", "errors", "flaky", "kills"]
How = Literal["killed", "interrupted", "stopped"]
RETRIES = 2
ATTEMPTS: dict[Behaviour, list[Outcome]] = {
    "passes": [Outcome.PASSED],
    "skips": [Outcome.SKIPPED],
    "fails": [Outcome.FAILED] * (RETRIES + 1),
    "errors": [Outcome.ERROR] * (RETRIES + 1),
    "flaky": [Outcome.FAILED, Outcome.PASSED],
}
FINAL: dict[Behaviour, Outcome] = {
    "passes": Outcome.PASSED,
    "skips": Outcome.SKIPPED,
    "fails": Outcome.FAILED,
    "errors": Outcome.ERROR,
    "flaky": Outcome.FLAKY,
    "kills": Outcome.CRASHED,
}
Suite = dict[str, Behaviour]


@dataclass(frozen=True)
class Cut:
    """Where a run ends early: after so many records, or as many tests for "stopped"."""

    after: int
    how: How
    workers: int = 1


@dataclass
class Chain:
    """A model of sessions that resume each other over a suite, with a ledger that keeps every acknowledged fact."""

    suite: Suite
    digests: Mapping[str, str] = field(default_factory=dict)
    run: Run = field(default_factory=Run)
    left: list[TestInherited] = field(default_factory=list)
    starts: Counter[str] = field(default_factory=Counter)
    finishes: Counter[str] = field(default_factory=Counter)
    number: int = 0

    def digest(self, key: str) -> str:
        return self.digests.get(key, "d")

    def session(
        self,
        cut: Cut | None = None,
        *,
        only: Collection[str] | None = None,
        named: Collection[str] = (),
        stale: Stale = "run",
    ) -> Plan:
        """One more run of the chain; `only` narrows its selection as ``-k`` does."""
        self.number += 1
        made = plan(f"r{self.number - 1}", self.left, self.digest, named, stale)
        keys = [key for key in self.suite if only is None or key in only]
        to_run = [key for key in keys if key not in made.carried | made.held]
        to_run.sort(key=lambda key: key in made.last)
        self.run = Run()
        facts: list[Fact] = [
            *made.inherited(),
            *self._of_fate([key for key in keys if key in made.carried], "carried"),
            *self._of_fate([key for key in keys if key in made.held], "held"),
            *self._of_fate([key for key in made.outstanding if key not in self.suite], "gone"),
            *(TestsSelected(keys=(key,), digest=self.digest(key)) for key in to_run),
            SelectionDone(total=len(keys)),
        ]
        for fact in facts:
            self.run.observe(fact, "ctl")
        self._work(to_run, cut)
        self.left = knowledge(self.run, f"r{self.number}")
        return made

    @staticmethod
    def _of_fate(keys: list[str], fate: Fate) -> list[TestsSelected]:
        return [TestsSelected(keys=tuple(keys), fate=fate)] if keys else []

    def _work(self, keys: list[str], cut: Cut | None) -> None:
        workers = cut.workers if cut is not None else 1
        if cut is not None and cut.how == "stopped":
            keys = keys[: cut.after]
        # Workers take turns record by record, which makes the cut fall in the middle of several tests.
        lines = [self._lines(keys[number::workers], f"gw{number}") for number in range(workers)]
        turns = (one for turn in itertools.zip_longest(*lines) for one in turn if one is not None)
        for at, (writer, fact) in enumerate(turns):
            if cut is not None and cut.how != "stopped" and at == cut.after:
                break
            if fact is None:
                return
            if isinstance(fact, AttemptStarted) and fact.attempt == 1:
                self.starts[fact.key] += 1
            if isinstance(fact, TestFinished):
                self.finishes[fact.key] += 1
            self.run.observe(fact, writer)
        if cut is not None and cut.how == "killed":
            return
        if cut is not None:
            code = Code.INTERRUPTED_BY_SIGNAL if cut.how == "interrupted" else Code.STOP_CONSECUTIVE_FAILURES
            self.run.observe(DecisionTaken(code=code.code, why="x"), "ctl")
        self.run.observe(RunEnded(exit_status=1), "ctl")

    def _lines(self, keys: list[str], writer: str) -> Iterable[tuple[str, Fact | None]]:
        """What one worker writes; None where the whole session dies."""
        for key in keys:
            if self.suite[key] == "kills":
                yield writer, AttemptStarted(key=key, attempt=1)
                yield writer, None
                return
            attempts = ATTEMPTS[self.suite[key]]
            for number, outcome in enumerate(attempts, start=1):
                yield writer, AttemptStarted(key=key, attempt=number)
                if outcome.is_bad:
                    yield writer, AttemptEnded(key=key, attempt=number, outcome=outcome)
            yield writer, TestFinished(key=key, outcome=FINAL[self.suite[key]], attempts=len(attempts))

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What the chain knows of every test."""
        return {one.key: one.outcome for one in self.left}

    def check(self, made: Plan) -> None:
        """Whatever happened: each test is accounted for once, and nothing that was good ran again."""
        assert self.run.counts().total() == self.run.selected_total
        assert not any(self.run.number_of_attempts(key) for key in made.carried)


def keys_of_a_suite(size: int) -> list[str]:
    return [f"test_{number % 3}.py::t{number}" for number in range(size)]


def suites(*behaviours: Behaviour) -> st.SearchStrategy[Suite]:
    lists = st.lists(st.sampled_from(behaviours), min_size=1, max_size=8)
    return lists.map(lambda some: dict(zip(keys_of_a_suite(len(some)), some, strict=True)))


CUTS = st.lists(
    st.builds(
        Cut,
        after=st.integers(0, 20),
        how=st.sampled_from(["killed", "interrupted", "stopped"]),
        workers=st.integers(1, 3),
    ),
    max_size=6,
)
HARMLESS = suites("passes", "skips", "fails", "errors", "flaky")


@given(HARMLESS, CUTS)
def test_a_chain_of_interrupted_runs_ends_where_one_uninterrupted_run_does(
    suite: Suite, cuts: list[Cut]
) -> None:
    whole, chain = Chain(suite), Chain(suite)
    whole.session()
    for cut in cuts:
        chain.check(chain.session(cut))
    held = plan("r", chain.left, chain.digest).held
    chain.check(chain.session(named=held))
    assert chain.outcomes == whole.outcomes == {key: FINAL[behaviour] for key, behaviour in suite.items()}


@given(HARMLESS, CUTS)
def test_a_good_test_comes_to_its_end_once_in_a_chain(suite: Suite, cuts: list[Cut]) -> None:
    chain = Chain(suite)
    for cut in [*cuts, None, None]:
        good = {key for key, outcome in chain.outcomes.items() if outcome.is_good}
        before = chain.starts.copy()
        chain.session(cut, named=list(suite))
        assert not good & (chain.starts - before).keys()
    assert {chain.finishes[key] for key in suite if FINAL[suite[key]].is_good} <= {1}


@given(HARMLESS, CUTS)
def test_a_resume_after_the_end_runs_only_what_is_bad_and_changes_nothing(
    suite: Suite, cuts: list[Cut]
) -> None:
    chain = Chain(suite)
    for cut in cuts:
        chain.session(cut)
    chain.session(named=list(suite))
    outcomes, before = chain.outcomes, chain.starts.copy()
    chain.session()
    assert chain.outcomes == outcomes
    assert (chain.starts - before).keys() == {key for key in suite if FINAL[suite[key]].is_bad}


@given(suites("passes", "fails", "flaky", "kills"))
def test_tests_that_kill_the_process_are_held_after_two_deaths_and_stop_no_other(suite: Suite) -> None:
    chain = Chain(suite)
    killers = {key for key, behaviour in suite.items() if behaviour == "kills"}
    for _ in range(DEATHS_BEFORE_HELD * len(killers) + 1):
        chain.check(chain.session())
    assert chain.outcomes == {key: FINAL[behaviour] for key, behaviour in suite.items()}
    assert {key: chain.starts[key] for key in killers} == dict.fromkeys(killers, DEATHS_BEFORE_HELD)
    assert set(chain.run.having(Outcome.CRASHED)) == killers


@given(suites("passes", "fails", "flaky", "kills"))
def test_a_second_death_comes_after_all_other_tests(suite: Suite) -> None:
    chain = Chain(suite)
    for number in range(1, len(suite) + 2):
        chain.session()
        killed = [one.key for one in chain.left if one.deaths > 1]
        if killed:
            reached = {one.key for one in chain.left if one.outcome is not Outcome.NOT_RUN or one.deaths}
            assert reached == set(suite), number
            return


@given(HARMLESS, CUTS, st.data())
def test_narrowed_resumes_leave_the_rest_open_and_the_last_one_finishes_it(
    suite: Suite, cuts: list[Cut], data: st.DataObject
) -> None:
    chain = Chain(suite)
    chain.session(Cut(data.draw(st.integers(0, 20)), "stopped"))
    for cut in cuts:
        only = data.draw(st.sets(st.sampled_from(list(suite))))
        outside = {key: one for key, one in chain.outcomes.items() if key not in only}
        chain.check(chain.session(cut, only=only))
        assert outside.items() <= chain.outcomes.items()
        assert set(chain.outcomes) == set(suite)
    chain.session(named=list(suite))
    assert chain.outcomes == {key: FINAL[behaviour] for key, behaviour in suite.items()}


@given(HARMLESS, CUTS, st.data())
def test_what_changed_runs_again_and_what_is_gone_is_dropped(
    suite: Suite, cuts: list[Cut], data: st.DataObject
) -> None:
    chain = Chain(dict(suite))
    for cut in cuts:
        chain.session(cut)
    chain.session(named=list(suite))
    changed = data.draw(st.sets(st.sampled_from(list(suite))))
    removed = data.draw(st.sets(st.sampled_from(list(suite))))
    chain.suite = {key: behaviour for key, behaviour in suite.items() if key not in removed}
    chain.digests = dict.fromkeys(changed, "new")
    before = chain.starts.copy()
    chain.session()
    expected = {key for key in chain.suite if key in changed or FINAL[suite[key]].is_bad}
    assert (chain.starts - before).keys() == expected
    assert set(chain.outcomes) - set(chain.suite) <= {key for key in removed if FINAL[suite[key]].is_good}


@given(HARMLESS, st.integers(0, 20), st.integers(0, 20))
def test_a_stale_test_that_was_not_reached_is_not_carried_when_its_file_changes_back(
    suite: Suite, first: int, second: int
) -> None:
    """What it passed with is no longer known: another change may have come between."""
    chain = Chain(suite)
    chain.session()
    chain.digests = dict.fromkeys(suite, "new")
    chain.session(Cut(first, "killed"))
    chain.digests = {}
    made = plan("r", chain.left, chain.digest)
    assert not made.carried
    chain.session(Cut(second, "killed"))
    chain.session(named=list(suite))
    assert chain.outcomes == {key: FINAL[behaviour] for key, behaviour in suite.items()}


@given(
    HARMLESS,
    st.lists(st.tuples(st.sampled_from(["carry", "warn"]), CUTS.map(lambda cuts: cuts[:1])), max_size=4),
)
def test_what_is_carried_while_its_files_changed_runs_once_changes_count_again(
    suite: Suite, resumes: list[tuple[Stale, list[Cut]]]
) -> None:
    """However many resumes did not mind, none of them made it good with what the files hold now."""
    chain = Chain(suite)
    chain.session()
    good = {key for key, outcome in chain.outcomes.items() if outcome.is_good}
    chain.digests = dict.fromkeys(suite, "new")
    for stale, cuts in resumes:
        before = chain.starts.copy()
        made = chain.session(cuts[0] if cuts else None, stale=stale)
        chain.check(made)
        assert made.outdated == good
        assert not good & (chain.starts - before).keys()
    before = chain.starts.copy()
    chain.session(named=list(suite))
    assert good <= (chain.starts - before).keys()
    assert chain.outcomes == {key: FINAL[behaviour] for key, behaviour in suite.items()}
