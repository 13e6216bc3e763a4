"""The twelve outcomes: each is good or outstanding, they have one order, and phases add up to one of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.outcomes import PHASES, Outcome, of_attempt, of_test

OUTCOMES = st.sampled_from(Outcome)
SHOWN = ["passed", "failed", "timed_out", "skipped", "xfailed", "xpassed"]


def test_there_are_twelve() -> None:
    assert [one.value for one in Outcome] == [
        "passed",
        "flaky",
        "skipped",
        "xfailed",
        "xpassed",
        "failed",
        "error",
        "crashed",
        "timed_out",
        "interrupted",
        "not_run",
        "carried_over",
    ]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_either_good_or_outstanding(outcome: Outcome) -> None:
    assert outcome.is_good is not outcome.is_outstanding


def test_what_is_bad_is_outstanding_and_what_was_only_not_finished_is_not_bad() -> None:
    assert {one for one in Outcome if one.is_bad} == {
        Outcome.FAILED,
        Outcome.ERROR,
        Outcome.CRASHED,
        Outcome.TIMED_OUT,
    }
    assert {one for one in Outcome if one.is_outstanding and not one.is_bad} == {
        Outcome.INTERRUPTED,
        Outcome.NOT_RUN,
    }


def test_no_two_outcomes_are_equally_grave() -> None:
    assert len({one.severity for one in Outcome}) == len(Outcome)


@pytest.mark.parametrize(("one", "other"), list(itertools.product(Outcome, Outcome)))
def test_whatever_is_outstanding_is_graver_than_whatever_is_good(one: Outcome, other: Outcome) -> None:
    if one.is_outstanding and other.is_good:
        assert one.severity > other.severity
    if one.is_bad and not other.is_bad:
        assert one.severity > other.severity


@pytest.mark.parametrize(
    ("setup", "call", "teardown", "outcome"),
    [
        ("passed", "passed", "passed", Outcome.PASSED),
        ("passed", "failed", "passed", Outcome.FAILED),
        ("passed", "failed", "failed", Outcome.FAILED),
        ("passed", "passed", "failed", Outcome.ERROR),
        ("passed", "skipped", "passed", Outcome.SKIPPED),
        ("passed", "skipped", "failed", Outcome.ERROR),
        ("passed", "xfailed", "passed", Outcome.XFAILED),
        ("passed", "xfailed", "failed", Outcome.ERROR),
        ("passed", "xpassed", "passed", Outcome.XPASSED),
        ("failed", None, "passed", Outcome.ERROR),
        ("failed", None, "failed", Outcome.ERROR),
        ("passed", "timed_out", "passed", Outcome.TIMED_OUT),
        ("passed", "timed_out", "failed", Outcome.TIMED_OUT),
        ("passed", "failed", "timed_out", Outcome.TIMED_OUT),
        ("passed", "passed", "timed_out", Outcome.TIMED_OUT),
        ("timed_out", None, "passed", Outcome.TIMED_OUT),
        ("skipped", None, "passed", Outcome.SKIPPED),
        ("xfailed", None, "passed", Outcome.XFAILED),
        ("passed", None, "passed", Outcome.PASSED),
        (None, None, None, Outcome.INTERRUPTED),
    ],
)
def test_the_phases_of_an_attempt_add_up_to_an_outcome(
    setup: str | None, call: str | None, teardown: str | None, outcome: Outcome
) -> None:
    shown = dict(zip(PHASES, (setup, call, teardown), strict=True))
    assert of_attempt({phase: what for phase, what in shown.items() if what is not None}) is outcome


@given(st.dictionaries(st.sampled_from(PHASES), st.sampled_from(SHOWN)))
def test_an_attempt_with_a_bad_phase_is_bad_and_one_without_is_not(phases: dict[str, str]) -> None:
    assert of_attempt(phases).is_bad is bool({"failed", "timed_out"} & set(phases.values()))


@given(st.dictionaries(st.sampled_from(PHASES), st.text()))
def test_phases_nobody_knows_make_nothing_good(phases: dict[str, str]) -> None:
    if not set(SHOWN) & set(phases.values()):
        assert of_attempt(phases) is Outcome.INTERRUPTED


@given(OUTCOMES)
def test_whatever_is_good_after_a_bad_attempt_is_flaky_and_the_rest_stays(last: Outcome) -> None:
    assert of_test(last, had_bad_attempt=False) is last
    assert of_test(last, had_bad_attempt=True) is (Outcome.FLAKY if last.is_good else last)
