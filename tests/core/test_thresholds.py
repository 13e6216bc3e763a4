"""When repeated errors end a session."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import DecisionTaken
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.thresholds import ConsecutiveFailures, SameError, Threshold

Ends = list[tuple[Outcome, str]]
ENDS = st.lists(st.tuples(st.sampled_from(Outcome), st.sampled_from(["", "x", "y"])), max_size=40)
LIMITS = st.integers(1, 5)


def stop_of(threshold: Threshold, ends: Ends, message: str = "boom") -> tuple[int, DecisionTaken] | None:
    """How many tests it took to stop, and the decision; None when the session went on to its end."""
    for number, (outcome, fingerprint) in enumerate(ends, start=1):
        decision = threshold.observe(outcome, fingerprint, message)
        if decision is not None:
            return number, decision
    return None


@given(ENDS, LIMITS)
def test_failures_in_a_row_stop_the_session_when_the_row_is_as_long_as_the_limit(
    ends: Ends, limit: int
) -> None:
    expected = None
    for number in range(1, len(ends) + 1):
        told = [outcome for outcome, _ in ends[:number] if outcome is not Outcome.SKIPPED]
        if len(told) >= limit and all(outcome.is_bad for outcome in told[-limit:]):
            expected = number
            break
    stop = stop_of(ConsecutiveFailures(limit), ends)
    assert (stop and stop[0]) == expected


@given(ENDS, LIMITS)
def test_an_error_stops_the_session_when_it_came_as_often_as_the_limit(ends: Ends, limit: int) -> None:
    seen: Counter[str] = Counter()
    expected = None
    for number, (outcome, fingerprint) in enumerate(ends, start=1):
        seen[fingerprint] += outcome.is_bad
        if fingerprint and outcome.is_bad and seen[fingerprint] == limit:
            expected = number
            break
    stop = stop_of(SameError(limit), ends)
    assert (stop and stop[0]) == expected


@given(st.lists(st.sampled_from([one for one in Outcome if not one.is_bad])), LIMITS)
def test_a_session_without_a_bad_end_is_never_stopped(outcomes: list[Outcome], limit: int) -> None:
    """Flaky passes included."""
    ends = [(outcome, "x") for outcome in outcomes]
    assert stop_of(ConsecutiveFailures(limit), ends) is None
    assert stop_of(SameError(limit), ends) is None


def test_a_skipped_test_neither_adds_to_the_row_nor_ends_it() -> None:
    ends = [(Outcome.FAILED, ""), (Outcome.SKIPPED, ""), (Outcome.ERROR, "")]
    assert stop_of(ConsecutiveFailures(2), ends) is not None
    assert stop_of(ConsecutiveFailures(3), ends) is None


def test_the_decision_has_a_code_and_the_numbers() -> None:
    stop = stop_of(ConsecutiveFailures(2), [(Outcome.FAILED, "")] * 2)
    assert stop == (2, DecisionTaken(code=Code.STOP_CONSECUTIVE_FAILURES.code, why="2 in a row (limit 2)"))


def test_the_decision_about_the_same_error_quotes_the_first_line_of_it() -> None:
    stop = stop_of(SameError(2), [(Outcome.FAILED, "x")] * 2, message=f"\nno answer {'.' * 500}\nand more")
    assert stop is not None
    assert stop[1].code == Code.STOP_SAME_ERROR.code
    assert stop[1].why.startswith("2 times (limit 2): no answer ..")
    assert len(stop[1].why) < 150
    assert "\n" not in stop[1].why
