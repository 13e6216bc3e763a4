"""The decision for each test of a resume, the plan of them all, and what a run leaves to the next one."""

import itertools
from collections.abc import Collection
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptStarted,
    DecisionTaken,
    Fact,
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


@pytest.mark.invariant(10)
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


SECRET = KNOWN.map(lambda one: one._replace(key=f"a.py::t[{MARK}]"))


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


@pytest.mark.invariant(12)
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
        released = planned(killer._replace(key="a.py::t[1]"), named=[name])
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
