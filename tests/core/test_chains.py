"""Whole chains of resumes: they converge, nothing good runs twice, nothing open is lost; a dumber oracle says what is due."""

from collections.abc import Collection
from dataclasses import dataclass
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pytest_resilience.core.facts import AttemptStarted, TestFinished, WorkerDown
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.resume import DEATHS_BEFORE_HELD, Stale

from .chains import FINAL, Behaviour, Chain, Cut, Record, Suite

# -- suites that stay as they are -------------------------------------------------------------------------------------


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
    held = chain.plan().held
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
    made = chain.plan()
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


# -- suites that change, against the oracle ---------------------------------------------------------------------------


@dataclass
class Memory:
    """What there is to remember of a test: with which content it was good, how often a run died in it.

    `is_sure` ends with damage: from then on the ledger may know less than we do.
    """

    good_with: str = ""
    deaths: int = 0
    is_suspect: bool = False
    is_sure: bool = True


class Oracle:
    """Says what is due, from what really happened. Shares no code with the plan, the fold and the knowledge."""

    def __init__(self) -> None:
        self.memory: dict[str, Memory] = {}

    def open_what_changed(self, content: dict[str, str], stale: Stale) -> None:
        """A session looks at the files: what is good with others is not good any more, unless it does not mind.

        Of a file that is not there nobody can say that it only changed.
        """
        for one, memory in self.memory.items():
            today = content.get(one.split("::")[0], "")
            if memory.good_with and memory.good_with != today and (stale == "run" or not today):
                self.memory[one] = Memory(is_sure=memory.is_sure)

    def due(self, key: str, names: Collection[str]) -> str:
        """What a session has to do with a test that it selects."""
        memory = self.memory.get(key)
        if memory is None:
            return "run"
        if memory.good_with:
            return "carry"
        if memory.deaths >= 2 and key not in names and key.split("[")[0] not in names:
            return "hold"
        return "last" if memory.deaths or memory.is_suspect else "run"

    def learn(self, ran: Collection[str], records: list[Record], content: dict[str, str], died: bool) -> None:
        """Take in what happened to the tests that a session had to run."""
        seen: dict[str, str] = dict.fromkeys(ran, "not reached")
        for _, fact in records:
            if isinstance(fact, AttemptStarted):
                seen[fact.key] = "in flight"
            elif isinstance(fact, WorkerDown):
                seen[fact.key] = "worker died"
            elif isinstance(fact, TestFinished):
                seen[fact.key] = fact.outcome.value
        for key, what in seen.items():
            before = self.memory.get(key, Memory())
            if what in ("passed", "skipped", "flaky"):
                self.memory[key] = Memory(good_with=content[key.split("::")[0]])
            elif what in ("failed", "error"):
                self.memory[key] = Memory()
            elif what == "not reached":
                self.memory[key] = Memory(deaths=before.deaths, is_sure=before.is_sure)
            else:
                is_suspect = died or what == "worker died"
                self.memory[key] = Memory("", before.deaths + died, is_suspect, before.is_sure)

    def doubt(self) -> None:
        """Records are lost: what was good may have to run again, and what was open may be forgotten until then."""
        for memory in self.memory.values():
            memory.is_sure = False


FILES = ["a.py", "b.py", "c.py"]
NAMES = ["t", "u", "p[1]", "p[2]", "p[3]"]
BEHAVIOURS: list[Behaviour] = [
    "passes",
    "passes",
    "passes",
    "skips",
    "flaky",
    "fails",
    "errors",
    "kills",
    "ends its worker",
]
STALE: st.SearchStrategy[Stale] = st.sampled_from(["run", "carry", "warn"])
CUT = st.builds(
    Cut,
    after=st.integers(-1, 15),
    how=st.sampled_from(["killed", "killed", "interrupted", "interrupted twice", "stopped"]),
    workers=st.integers(1, 3),
).filter(lambda cut: cut.after >= 0 or cut.how == "killed")


class World(RuleBasedStateMachine):
    """A project that is worked on while its tests are run, killed, stopped, resumed, and their ledger damaged."""

    @initialize(seed=st.integers(0, 999), names=st.sets(st.sampled_from(NAMES), min_size=1))
    def begin(self, seed: int, names: set[str]) -> None:
        self.seed = seed
        self.tests = {file: set(names) for file in FILES[:2]}
        self.edits = dict.fromkeys([*FILES, "conftest.py"], 0)
        self.chain = Chain({})
        self.oracle = Oracle()
        self.is_damaged = False

    # -- the project

    def content(self) -> dict[str, str]:
        """Files may come back to a content that they had."""
        return {file: f"{self.edits[file] % 3}.{self.edits['conftest.py'] % 2}" for file in self.tests}

    def suite(self) -> Suite:
        content = self.content()
        return {
            key: BEHAVIOURS[crc32(f"{self.seed} {key} {content[file]}".encode()) % len(BEHAVIOURS)]
            for file in sorted(self.tests)
            for key in (f"{file}::{name}" for name in sorted(self.tests[file]))
        }

    @rule(file=st.sampled_from([*FILES, "conftest.py"]))
    def edit(self, file: str) -> None:
        self.edits[file] += 1

    @rule(file=st.sampled_from(FILES), name=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def rename_a_test(self, file: str, name: str, other: str) -> None:
        if name in self.tests.get(file, ()):
            self.tests[file] = self.tests[file] - {name} | {other}
            self.edits[file] += 1

    @rule(file=st.sampled_from(FILES), name=st.sampled_from(NAMES), moves=st.booleans())
    def add_or_remove_a_test(self, file: str, name: str, moves: bool) -> None:
        self.tests.setdefault(file, set()).symmetric_difference_update({name})
        self.edits[file] += 1

    @rule(file=st.sampled_from(FILES), numbers=st.sets(st.sampled_from("123")))
    def change_parameters_that_come_from_elsewhere(self, file: str, numbers: set[str]) -> None:
        if file in self.tests:
            self.tests[file] = self.tests[file] - {"p[1]", "p[2]", "p[3]"} | {f"p[{one}]" for one in numbers}

    @rule(file=st.sampled_from(FILES))
    def remove_a_file(self, file: str) -> None:
        self.tests.pop(file, None)

    # -- the sessions

    @rule(cut=st.none() | CUT, stale=STALE)
    def run_all(self, cut: Cut | None, stale: Stale) -> None:
        self.session(cut, stale=stale)

    @rule(cut=st.none() | CUT, files=st.sets(st.sampled_from(FILES), min_size=1), stale=STALE)
    def run_files(self, cut: Cut | None, files: set[str], stale: Stale) -> None:
        self.session(cut, files=files, stale=stale)

    @rule(cut=st.none() | CUT, names=st.sets(st.sampled_from(NAMES)), stale=STALE)
    def run_without_some(self, cut: Cut | None, names: set[str], stale: Stale) -> None:
        deselected = {f"{file}::{name}" for file in FILES for name in names}
        self.session(cut, deselected=deselected, stale=stale)

    @rule(cut=st.none() | CUT, file=st.sampled_from(FILES), name=st.sampled_from([*NAMES, "p"]))
    def name_one(self, cut: Cut | None, file: str, name: str) -> None:
        self.session(cut, files=[file], named=[f"{file}::{name}"])

    @rule()
    def name_all_that_are_held(self) -> None:
        held = [key for key in self.suite() if self.oracle.due(key, ()) == "hold"]
        if held:
            self.session(None, files={key.split("::")[0] for key in held}, named=held)

    def session(
        self,
        cut: Cut | None,
        *,
        files: Collection[str] = FILES,
        deselected: Collection[str] = (),
        named: Collection[str] = (),
        stale: Stale = "run",
    ) -> None:
        content, oracle, chain = self.content(), self.oracle, self.chain
        suite = chain.suite = self.suite()
        known = {*suite, *oracle.memory, *chain.outcomes}
        chain.digests = {key: content.get(key.split("::")[0], "") for key in known}
        collected = [key for key in suite if key.split("::")[0] in files]
        selected = [
            key
            for key in collected
            if key not in deselected and (not named or key in named or key.split("[")[0] in named)
        ]
        oracle.open_what_changed(content, stale)
        due = {key: oracle.due(key, named) for key in selected}
        sure = {key for key, memory in oracle.memory.items() if memory.is_sure}

        made = chain.session(cut, only=selected, named=named, files=files, stale=stale)
        chain.check(made)

        # What is carried over, what is held back: exactly what is due, or more runs where records were lost.
        carried, held = made.carried & set(selected), made.held & set(selected)
        assert carried <= {key for key in selected if due[key] == "carry"}, "never carried without a good end"
        assert {key for key in selected if due[key] == "carry"} & sure <= carried
        assert held & sure == {key for key in selected if due[key] == "hold"} & sure
        assert not carried & held
        ran = [key for key in selected if key not in carried | held]
        assert [key for key in ran if due[key] == "carry" and key in sure] == []
        records = [record for record in chain.records if record[0] not in ("carry", "tests")]
        self.check_order(records, due, sure, cut)
        is_selected = cut is None or cut.after >= 0 or cut.how != "killed"
        if is_selected:
            assert {key for key in selected if chain.run.fate(key) is None} == set()
            died = not any(writer == "ctl" and not isinstance(fact, WorkerDown) for writer, fact in records)
            for key in carried:
                oracle.memory[key].is_sure = True
            oracle.learn(ran, records, content, died)
            self.drop_what_is_gone(files, content, sure)
        # Nothing that is open gets lost, and nothing is good that is not.
        left = chain.outcomes
        good = {key for key, outcome in left.items() if outcome.is_good}
        remembered = {key for key, memory in oracle.memory.items() if memory.is_sure}
        assert remembered <= set(left)
        assert self.is_damaged or set(left) == set(oracle.memory)
        assert good <= {key for key, memory in oracle.memory.items() if memory.good_with}
        assert {key for key in remembered if oracle.memory[key].good_with} <= good

    def check_order(
        self, records: list[Record], due: dict[str, str], sure: set[str], cut: Cut | None
    ) -> None:
        if cut is not None and cut.workers > 1:
            return
        begun = [fact.key for _, fact in records if isinstance(fact, AttemptStarted) and fact.attempt == 1]
        assert len(set(begun)) == len(begun), "a test runs once in a session"
        order = [due[key] for key in begun if key in sure or key not in self.oracle.memory]
        assert order == sorted(order, key="last".__eq__), "suspects come last"

    def drop_what_is_gone(self, files: Collection[str], content: dict[str, str], sure: set[str]) -> None:
        """What was open and is no longer there is dropped where the session looked, and only there."""
        suite = self.chain.suite
        gone = set(self.chain.run.gone())
        assert not gone & set(suite)
        for key, memory in list(self.oracle.memory.items()):
            file = key.split("::")[0]
            is_looked_at = file not in content or not self.tests[file] or file in files
            is_gone = key not in suite and not memory.good_with and is_looked_at
            if key in sure:
                assert (key in gone) == is_gone, key
            if is_gone:
                del self.oracle.memory[key]

    # -- the ledger

    @precondition(lambda self: self.chain.records)
    @rule(data=st.data())
    def lose_records_of_the_newest_run(self, data: st.DataObject) -> None:
        before, records = self.chain.plan().carried, self.chain.records
        lost = data.draw(st.sets(st.integers(0, len(records) - 1), min_size=1, max_size=4))
        self.chain.records = [record for at, record in enumerate(records) if at not in lost]
        self.chain.fold(self.chain.records)
        assert self.chain.plan().carried <= before, "damage only ever makes more run"
        self.oracle.doubt()
        self.is_damaged = True

    # -- the end

    @rule()
    def resume_until_nothing_changes(self) -> None:
        """However the chain got here: it ends where one uninterrupted run does, and then only bad tests run."""
        suite = self.suite()
        for _ in range(DEATHS_BEFORE_HELD * len(suite) + 2):
            self.session(None)
        made, left = self.chain.plan(), self.chain.outcomes
        # What is held back stays so until it is named, mended or not.
        ended = {key: FINAL[how] for key, how in suite.items() if key not in made.held}
        assert {key: left[key] for key in ended} == ended
        sure = {key for key in suite if self.oracle.memory[key].is_sure}
        assert made.held & sure == {key for key in sure if self.oracle.due(key, ()) == "hold"}
        assert made.carried & set(suite) == {key for key, outcome in ended.items() if outcome.is_good}
        if made.carried >= set(suite):
            begun = self.chain.starts.copy()
            self.session(None)
            assert self.chain.starts == begun, "a run that is good to the last test runs nothing"


World.TestCase.settings = settings(max_examples=200, stateful_step_count=15, deadline=None)
TestWorld = World.TestCase
