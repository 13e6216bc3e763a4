"""What finally becomes of a test: after passes and failures in turn, and for those who do not tolerate flaky tests."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import Again, RetryPolicy, Rule

BAD = (Outcome.FAILED, Outcome.ERROR, Outcome.TIMED_OUT)
GOOD_ONCE = (Outcome.PASSED, Outcome.SKIPPED, Outcome.XFAILED, Outcome.XPASSED)

P, F = Outcome.PASSED, Outcome.FAILED


def attempts_of(policy: RetryPolicy, shown: Sequence[Outcome]) -> Iterator[tuple[Outcome, int]]:
    """What the attempts show that the policy wants, each with the number of passes so far; `shown` goes on for ever."""
    passes = 0
    for number, outcome in enumerate(shown, start=1):
        passes += outcome is Outcome.PASSED
        yield outcome, passes
        if not isinstance(policy.decide(outcome, number, ValueError("boom"), passes=passes), Again):
            return
    raise AssertionError("the policy wants more attempts than were made up")


def verdict_on(policy: RetryPolicy, *shown: Outcome) -> tuple[Outcome, str]:
    """The verdict after attempts that show this; all of them have to be wanted."""
    made = list(attempts_of(policy, shown))
    assert len(made) == len(shown)
    is_marred = any(outcome.is_bad for outcome, _ in made[:-1])
    last, passes = made[-1]
    return policy.verdict(last, passes=passes, is_marred=is_marred)


# -- flaky-result --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", GOOD_ONCE)
def test_what_is_good_after_a_bad_attempt_is_flaky_and_nothing_is_held_against_it(last: Outcome) -> None:
    assert verdict_on(RetryPolicy(retries=2), F, last) == (Outcome.FLAKY, "")


@pytest.mark.parametrize("last", GOOD_ONCE)
def test_where_flaky_tests_are_not_tolerated_what_is_good_after_a_bad_attempt_has_failed(
    last: Outcome,
) -> None:
    outcome, reproach = verdict_on(RetryPolicy(retries=2, flaky_result="fail"), F, last)
    assert outcome is Outcome.FAILED
    assert reproach == f"{last.value} only after a bad attempt, and flaky-result is fail"


@given(st.sampled_from(BAD + GOOD_ONCE), st.booleans(), st.sampled_from(["pass", "fail"]))
def test_only_a_flaky_test_is_reproached(last: Outcome, is_marred: bool, result: str) -> None:
    policy = RetryPolicy(flaky_result="fail" if result == "fail" else "pass")
    outcome, reproach = policy.verdict(last, passes=int(last is P), is_marred=is_marred)
    assert bool(reproach) == (result == "fail" and is_marred and last.is_good)
    assert reproach or outcome is (Outcome.FLAKY if is_marred and last.is_good else last)


# -- min-passes ----------------------------------------------------------------------------------------------------

FIVE_RUNS_TWO_PASSES = RetryPolicy(retries=4, min_passes=2)


@pytest.mark.parametrize(
    ("shown", "outcome"),
    [
        ([P, P], Outcome.PASSED),
        ([F, P, P], Outcome.FLAKY),
        ([P, F, P], Outcome.FLAKY),
        ([P, F, F, F, P], Outcome.FLAKY),
        ([F, F, F, P, P], Outcome.FLAKY),
        ([P, F, F, F, F], Outcome.FAILED),
        ([F, F, F, F], Outcome.FAILED),
        ([F, P, F, F, F], Outcome.FAILED),
        ([P, Outcome.SKIPPED], Outcome.SKIPPED),
    ],
)
def test_a_test_passes_when_enough_attempts_have_and_fails_as_soon_as_too_few_can(
    shown: list[Outcome], outcome: Outcome
) -> None:
    assert verdict_on(FIVE_RUNS_TWO_PASSES, *shown)[0] is outcome


def test_too_few_passes_are_held_against_a_test_and_no_pass_at_all_is_a_plain_failure() -> None:
    assert verdict_on(FIVE_RUNS_TWO_PASSES, P, F, F, F, F)[1] == "passed 1 of the 2 times that it has to"
    assert verdict_on(FIVE_RUNS_TWO_PASSES, F, F, F, F)[1] == ""


@pytest.mark.parametrize("last", BAD)
def test_a_bad_last_attempt_stays_what_it_is_when_the_passes_are_too_few(last: Outcome) -> None:
    outcome, reproach = FIVE_RUNS_TWO_PASSES.verdict(last, passes=1, is_marred=True)
    assert (outcome, bool(reproach)) == (last, True)


def test_more_passes_than_attempts_cannot_be_reached_and_are_never_green() -> None:
    impossible = RetryPolicy(retries=1, min_passes=3)
    assert verdict_on(impossible, P) == (Outcome.FAILED, "passed 1 of the 3 times that it has to")
    assert verdict_on(RetryPolicy(min_passes=2), P)[0] is Outcome.FAILED


def test_enough_passes_with_a_failure_in_between_fail_where_flaky_tests_are_not_tolerated() -> None:
    strict = RetryPolicy(retries=4, min_passes=2, flaky_result="fail")
    assert verdict_on(strict, P, F, P)[0] is Outcome.FAILED
    assert verdict_on(strict, P, P) == (Outcome.PASSED, "")


def test_a_rule_that_grants_more_attempts_grants_them_to_passes_as_well() -> None:
    policy = RetryPolicy(retries=1, min_passes=2, rules=(Rule(("boom",), {"retries": 5}),))
    assert verdict_on(policy, F, F, P, P) == (Outcome.FLAKY, "")


OUTCOMES = st.lists(st.sampled_from([P, F, Outcome.ERROR]), min_size=12, max_size=12)


@given(st.integers(0, 10), st.integers(1, 12), OUTCOMES)
def test_a_test_is_good_if_and_only_if_enough_of_its_attempts_passed(
    retries: int, needed: int, shown: list[Outcome]
) -> None:
    policy = RetryPolicy(retries=retries, min_passes=needed)
    made = [outcome for outcome, _ in attempts_of(policy, shown)]
    passes = made.count(P)
    outcome, reproach = policy.verdict(
        made[-1], passes=passes, is_marred=any(one.is_bad for one in made[:-1])
    )
    assert len(made) <= retries + 1
    assert outcome.is_good == (passes >= needed)
    assert (outcome is Outcome.FLAKY) == (passes >= needed and len(made) > passes)
    # Nothing is said against a test that never passed, and nothing that passed too rarely goes without a word.
    assert bool(reproach) == (0 < passes < needed)


@given(st.integers(0, 10), st.integers(1, 12), OUTCOMES)
def test_attempts_end_as_soon_as_the_verdict_is_certain(
    retries: int, needed: int, shown: list[Outcome]
) -> None:
    policy = RetryPolicy(retries=retries, min_passes=needed)
    made = [outcome for outcome, _ in attempts_of(policy, shown)]
    for number in range(1, len(made)):
        passes = made[:number].count(P)
        assert passes < needed <= passes + retries + 1 - number
