"""The block that shows what a resume would do, line by line."""

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.facts import Fate, SelectionDone, TestInherited, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.reports.plan import planned
from pytest_resilience.reports.summary import Facts, Style


def selected(inherited: dict[str, Outcome] | None = None, **fates: Collection[str]) -> Run:
    """A run that is selected and not begun: the keys by their fate, and what earlier runs knew."""
    run = Run()
    for key, outcome in (inherited or {}).items():
        run.observe(TestInherited(key=key, outcome=outcome, run="before", deaths=2))
    for fate, keys in fates.items():
        run.observe(TestsSelected(keys=tuple(keys), fate=fate))  # type: ignore[arg-type]
    run.observe(SelectionDone(total=sum(len(keys) for fate, keys in fates.items() if fate != "gone")))
    return run


def block(run: Run, facts: Facts | None = None, last: Collection[str] = (), **style: Any) -> list[str]:
    return [line.text for line in planned(run, facts or Facts(), last, Style(**style))]


def test_what_runs_is_told_by_what_is_known_of_it() -> None:
    known = {"a": Outcome.FAILED, "b": Outcome.NOT_RUN, "c": Outcome.NOT_RUN, "d": Outcome.NOT_RUN}
    run = selected(known, run=["a", "b", "c", "d", "e"])
    assert block(run, Facts(stale=["d"])) == [
        "RUN 5 tests - 1 failed, 2 not run, 1 changed, 1 new",
        "CHANGED 1 test - RES505 resume-code-changed: passed before, but their files changed, "
        "so they run again: d",
        "PLAN total=5 run=5",
    ]


def test_suspects_are_told_apart() -> None:
    run = selected({"a": Outcome.CRASHED, "b": Outcome.NOT_RUN}, run=["b", "a"])
    assert block(run, last={"a", "not selected"}) == [
        "RUN 1 test - 1 not run",
        "RUNLAST 1 test - in flight when a run died, so after all others: a",
        "PLAN total=2 run=1 run_last=1",
    ]


def test_what_is_held_back_says_how_it_is_released() -> None:
    assert block(selected({"a": Outcome.CRASHED}, held=["a"])) == [
        "CRASHED a - not run: it was in flight in 2 runs that died; name it on the command line to run it",
        "PLAN total=1 held=1",
    ]


def test_what_is_carried_over_says_from_where() -> None:
    run = selected({"a": Outcome.PASSED, "b": Outcome.FLAKY}, carried=["a", "b"], run=["c"])
    assert block(run, Facts(carried_from="passed in run 1c9e")) == [
        "RUN 1 test - 1 new",
        "CARRIED 2 tests - passed in run 1c9e, 1 of them flaky",
        "PLAN total=3 run=1 carried_over=2",
    ]


def test_what_is_gone_and_what_stays_open_is_outside_of_the_total() -> None:
    run = selected({"a": Outcome.FAILED, "b": Outcome.FAILED, "c": Outcome.FAILED}, gone=["a"], run=["c"])
    assert block(run, Facts(gone=["a"], left_open=["b"])) == [
        "RUN 1 test - 1 failed",
        "GONE 1 test - RES504 resume-tests-changed: no longer there, so dropped: a",
        "OPEN 1 test - RES506 resume-outstanding: outside today's selection: b",
        "PLAN total=1 run=1 - 1 more stays open",
    ]


def test_nothing_left_is_said_unless_something_stays_open() -> None:
    run = selected({"a": Outcome.PASSED}, carried=["a"])
    assert "COMPLETE nothing was left to run - RES501 resume-nothing-left" in block(run)
    text = block(run, Facts(left_open=["b", "c"]))
    assert not [line for line in text if line.startswith("COMPLETE")]
    assert text[-1] == "PLAN total=1 carried_over=1 - 2 more stay open"


def test_trouble_is_told() -> None:
    assert "WARNING RES401 x: y" in block(selected(run=["a"]), Facts(warnings=["RES401 x: y"]))


@pytest.mark.parametrize("style", [{"verbosity": -1}, {"verbosity": -2}, {"what": "counts"}])
def test_quietly_only_the_totals_are_told(style: dict[str, Any]) -> None:
    run = selected({"a": Outcome.PASSED}, carried=["a"], run=["b"])
    assert block(run, Facts(left_open=["c"]), **style) == [
        "PLAN total=2 run=1 carried_over=1 - 1 more stays open"
    ]


def test_nothing_is_told_to_who_wants_nothing() -> None:
    assert block(selected(run=["a"]), what="none") == []


MANY = [f"t{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("style", "lists_open", "lists_carried"),
    [
        ({}, False, False),
        ({"letters": "n"}, True, False),
        ({"letters": "c"}, False, True),
        ({"verbosity": 1}, True, False),
    ],
)
def test_letters_and_v_list_what_the_summary_lists_with_them(
    style: dict[str, Any], lists_open: bool, lists_carried: bool
) -> None:
    run = selected(dict.fromkeys(MANY, Outcome.PASSED), carried=MANY)
    text = block(run, Facts(left_open=[f"open{key}" for key in MANY]), **style)
    assert [line for line in text if line.startswith("  opent")] == [
        f"  open{key}" for key in MANY
    ] * lists_open
    assert [line for line in text if line.startswith("  t")] == [f"  {key}" for key in MANY] * lists_carried
    assert any("and 2 more" in line for line in text) is not lists_open


def test_all_tests_are_named_where_all_are_wanted() -> None:
    run = selected(dict.fromkeys(MANY, Outcome.CRASHED), run=MANY)
    assert block(run, last=MANY, what="all")[1:-1] == [f"  {key}" for key in MANY]


def test_no_terminal_obeys_a_node_id() -> None:
    run = selected({"\x1b[2J": Outcome.FAILED}, run=["\x1b[2J"])
    assert all(line.isprintable() for line in block(run, last=["\x1b[2J"], what="all"))


FATES: st.SearchStrategy[Fate] = st.sampled_from(["run", "carried", "held", "gone"])


@given(st.dictionaries(st.text("abc", min_size=1), FATES), st.sets(st.text("abc", min_size=1)))
def test_the_totals_count_every_selected_test_once(fates: dict[str, Fate], last: set[str]) -> None:
    by_fate: dict[str, list[str]] = {}
    for key, fate in fates.items():
        by_fate.setdefault(fate, []).append(key)
    run = selected(dict.fromkeys(fates, Outcome.FAILED), **by_fate)
    pairs = [pair.partition("=") for pair in block(run, last=last)[-1].removeprefix("PLAN ").split()]
    counts = {name: int(number) for name, _, number in pairs}
    assert counts.pop("total") == sum(counts.values()) == run.selected_total
