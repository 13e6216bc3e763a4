"""How often and how soon a test is tried again, which errors a filter speaks of, and what rules change for some."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.errors import causes, matches, text_of
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import (
    Again,
    Backoff,
    Enough,
    RetryPolicy,
    Rule,
)

OUTCOMES = st.sampled_from(Outcome)
BACKOFFS: st.SearchStrategy[Backoff] = st.sampled_from(["fixed", "linear", "exponential"])
SECONDS = st.floats(0, 1e9, exclude_max=True)
RETRIABLE = [Outcome.FAILED, Outcome.ERROR, Outcome.TIMED_OUT]


def answer(
    policy: RetryPolicy,
    *,
    outcome: Outcome = Outcome.FAILED,
    attempt: int = 1,
    error: BaseException | None = None,
) -> Again | Enough:
    return policy.decide(outcome, attempt, error or ValueError("boom"))


def is_retried(policy: RetryPolicy, error: BaseException) -> bool:
    return isinstance(answer(policy, error=error), Again)


# -- how often --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 20), st.lists(OUTCOMES, min_size=25, max_size=25), BACKOFFS)
def test_there_are_never_more_attempts_than_retries_and_one(
    retries: int, outcomes: list[Outcome], backoff: Backoff
) -> None:
    policy = RetryPolicy(retries=retries, delay=1.0, backoff=backoff)
    attempts = 1 + len(
        list(
            itertools.takewhile(
                lambda one: isinstance(answer(policy, outcome=one[1], attempt=one[0]), Again),
                enumerate(outcomes, start=1),
            )
        )
    )
    assert attempts <= retries + 1
    bad = list(itertools.takewhile(lambda outcome: outcome in RETRIABLE, outcomes))
    assert attempts == min(len(bad), retries) + 1


@pytest.mark.parametrize("outcome", [one for one in Outcome if one not in RETRIABLE])
def test_only_a_failure_an_error_or_a_timeout_is_retried(outcome: Outcome) -> None:
    assert answer(RetryPolicy(retries=5), outcome=outcome) == Enough(f"the test {outcome.value}")


def test_the_answer_says_why() -> None:
    assert answer(RetryPolicy(retries=2, delay=0.5)) == Again(0.5, "attempt 1 of 3")
    assert answer(RetryPolicy(retries=2), attempt=3) == Enough("no attempts left of 3")
    assert answer(RetryPolicy(retries=2, except_=("boom",))) == Enough("the error is in except")
    assert answer(RetryPolicy(retries=2, only=("bang",))) == Enough("the error is not in only")
    assert answer(RetryPolicy(retries=2, phases=("setup",))) == Enough("failures in call are not retried")
    assert answer(RetryPolicy(retries=2, condition=lambda error: False)) == Enough(
        "the condition does not hold"
    )


def test_the_answer_says_where_and_with_which_fixtures_made_anew() -> None:
    policy = RetryPolicy(retries=1, strategy="isolated", refresh=("module", "db"))
    assert answer(policy) == Again(0.0, "attempt 1 of 2", "isolated", ("module", "db"))


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_a_failure_is_retried_in_the_phases_that_are_named(phase: str) -> None:
    for phases in (("setup",), ("call", "teardown"), ("setup", "call", "teardown")):
        decision = RetryPolicy(retries=1, phases=phases).decide(Outcome.ERROR, 1, None, phase=phase)
        assert isinstance(decision, Again) is (phase in phases)


def test_a_condition_is_asked_with_the_error_and_only_when_it_matters() -> None:
    asked: list[BaseException | None] = []

    def condition(error: BaseException | None) -> bool:
        asked.append(error)
        return isinstance(error, TimeoutError)

    policy = RetryPolicy(retries=1, except_=("bang",), condition=condition)
    assert is_retried(policy, TIMEOUT)
    assert not is_retried(policy, other := ValueError("boom"))
    assert asked == [TIMEOUT, other]
    assert isinstance(policy.decide(Outcome.FAILED, 1, None), Enough)
    assert asked.pop() is None
    assert not is_retried(policy, ValueError("bang"))
    assert isinstance(answer(policy, attempt=2), Enough)
    assert isinstance(answer(policy, outcome=Outcome.PASSED), Enough)
    assert asked == [TIMEOUT, other]


# -- how soon ---------------------------------------------------------------------------------------------------------


@given(SECONDS, SECONDS, BACKOFFS, SECONDS, st.integers(1, 10**6), st.none() | st.floats(0, 1))
def test_a_wait_is_never_negative_nor_longer_than_allowed(
    delay: float, max_delay: float, backoff: Backoff, factor: float, attempt: int, chance: float | None
) -> None:
    jitter = chance is not None
    policy = RetryPolicy(delay=delay, max_delay=max_delay, backoff=backoff, factor=factor, jitter=jitter)
    assert 0 <= policy.wait_after(attempt, 1.0 if chance is None else chance) <= max_delay


@given(SECONDS, SECONDS, st.integers(1, 3000))
def test_an_exponential_wait_doubles_until_it_is_as_long_as_allowed(
    delay: float, max_delay: float, attempt: int
) -> None:
    policy = RetryPolicy(delay=delay, max_delay=max_delay, backoff="exponential")
    wait, next_wait = policy.wait_after(attempt), policy.wait_after(attempt + 1)
    assert wait <= next_wait
    assert next_wait in (2 * wait, max_delay)


@given(SECONDS, SECONDS, st.integers(1, 10**6))
def test_a_fixed_wait_stays_the_same(delay: float, max_delay: float, attempt: int) -> None:
    assert RetryPolicy(delay=delay, max_delay=max_delay).wait_after(attempt) == min(delay, max_delay)


@given(SECONDS, SECONDS, st.integers(1, 10**6))
def test_a_linear_wait_grows_by_the_delay(delay: float, max_delay: float, attempt: int) -> None:
    policy = RetryPolicy(delay=delay, max_delay=max_delay, backoff="linear")
    assert policy.wait_after(attempt) == min(delay * attempt, max_delay)


@pytest.mark.parametrize(
    ("factor", "waits"), [(2, [4, 8, 16, 20]), (3, [4, 12, 20, 20]), (1, [4, 4, 4, 4]), (0.5, [4, 2, 1, 0.5])]
)
def test_an_exponential_wait_is_multiplied_by_the_factor(factor: float, waits: list[float]) -> None:
    policy = RetryPolicy(delay=4, max_delay=20, backoff="exponential", factor=factor)
    assert [policy.wait_after(attempt) for attempt in (1, 2, 3, 4)] == waits


@given(SECONDS, BACKOFFS, st.integers(1, 100), st.floats(0, 1))
def test_jitter_takes_a_part_of_the_wait_by_chance(
    delay: float, backoff: Backoff, attempt: int, chance: float
) -> None:
    steady = RetryPolicy(delay=delay, backoff=backoff)
    random = RetryPolicy(delay=delay, backoff=backoff, jitter=True)
    assert random.wait_after(attempt, chance) == steady.wait_after(attempt) * chance
    assert steady.wait_after(attempt, chance) == steady.wait_after(attempt)


def test_chance_reaches_the_wait() -> None:
    policy = RetryPolicy(retries=1, delay=8, jitter=True)
    decision = policy.decide(Outcome.FAILED, 1, ValueError("boom"), chance=0.25)
    assert isinstance(decision, Again)
    assert decision.after == 2


@given(BACKOFFS, st.integers(1, 10**6))
def test_without_a_delay_there_is_no_wait(backoff: Backoff, attempt: int) -> None:
    assert RetryPolicy(backoff=backoff).wait_after(attempt) == 0


# -- which errors -----------------------------------------------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("broken")


class NoText(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]


def raised_from(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def raised_while(error: Exception, context: BaseException) -> Exception:
    error.__context__ = context
    return error


TIMEOUT = TimeoutError("no answer in 5 s")


@pytest.mark.parametrize(
    "one", [TimeoutError, OSError, "TimeoutError", "^TimeoutError: no", r"no answer in \d+ s$"]
)
def test_a_filter_is_a_type_or_a_pattern_for_type_and_message(one: str | type[BaseException]) -> None:
    assert is_retried(RetryPolicy(retries=1, only=(one,)), TIMEOUT)
    assert not is_retried(RetryPolicy(retries=1, except_=(one,)), TIMEOUT)


@pytest.mark.parametrize("one", [ConnectionError, "^OSError", "timeouterror", "no answer$"])
def test_a_filter_that_speaks_of_something_else_does_not_match(one: str | type[BaseException]) -> None:
    assert not is_retried(RetryPolicy(retries=1, only=(one,)), TIMEOUT)
    assert is_retried(RetryPolicy(retries=1, except_=(one,)), TIMEOUT)


@pytest.mark.parametrize(
    "error",
    [
        raised_from(ValueError("x"), TIMEOUT),
        raised_while(ValueError("x"), TIMEOUT),
        raised_from(ValueError("x"), raised_while(KeyError("y"), TIMEOUT)),
        ExceptionGroup("several", [ValueError("x"), TIMEOUT]),
        ExceptionGroup("several", [ExceptionGroup("inner", [raised_from(ValueError("x"), TIMEOUT)])]),
        raised_from(ValueError("x"), ExceptionGroup("several", [TIMEOUT])),
        BaseExceptionGroup("several", [SystemExit(1), TIMEOUT]),
    ],
    ids=["cause", "context", "chain", "group", "nested groups", "group as cause", "base group"],
)
def test_a_filter_speaks_of_causes_and_members_of_groups_too(error: BaseException) -> None:
    assert matches((TimeoutError,), error)
    assert matches(("no answer",), error)
    assert not matches((ConnectionError, "no question"), error)


def test_a_context_that_was_suppressed_is_no_cause() -> None:
    error = raised_while(ValueError("x"), TIMEOUT)
    error.__suppress_context__ = True
    assert not matches((TimeoutError,), error)


def test_an_error_in_both_lists_is_not_retried() -> None:
    assert not is_retried(RetryPolicy(retries=1, only=(OSError,), except_=(TimeoutError,)), TIMEOUT)


def test_without_an_error_only_matches_nothing_and_except_excludes_nothing() -> None:
    assert isinstance(RetryPolicy(retries=1, only=("",)).decide(Outcome.FAILED, 1, None), Enough)
    assert isinstance(RetryPolicy(retries=1, except_=("",)).decide(Outcome.FAILED, 1, None), Again)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), max_size=20))
def test_causes_are_told_once_each_however_they_are_tied_together(links: list[tuple[int, int, bool]]) -> None:
    errors = [ValueError(str(number)) for number in range(6)]
    for one, other, is_cause in links:
        if is_cause:
            errors[one].__cause__ = errors[other]
        else:
            errors[one].__context__ = errors[other]
    found = list(causes(errors[0]))
    assert len(found) == len({id(one) for one in found}) <= len(errors)
    assert found[0] is errors[0]


def test_a_chain_of_thousands_of_causes_is_followed_to_its_end() -> None:
    error: Exception = TIMEOUT
    for number in range(5000):
        error = raised_from(ValueError(str(number)), error)
    assert matches((TimeoutError,), error)


@pytest.mark.parametrize("error", [Unprintable(), NoText()])
def test_an_error_that_cannot_be_printed_has_a_text_and_matches_by_type(error: BaseException) -> None:
    name = type(error).__name__
    assert text_of(error).startswith(f"<unprintable {name}: ")
    assert matches((f"^{name}: <unprintable",), error)
    assert matches((type(error),), error)


# -- what rules change ------------------------------------------------------------------------------------------------

PATIENT = Rule(("Timeout",), {"retries": 5, "delay": 3.0})
ELSEWHERE = Rule((OSError,), {"retries": 2, "strategy": "isolated"})


def test_a_rule_changes_what_it_sets_for_errors_that_it_matches() -> None:
    policy = RetryPolicy(retries=1, delay=1.0, max_delay=9.0, rules=(PATIENT,))
    assert policy.decide(Outcome.FAILED, 1, TIMEOUT) == Again(3.0, "attempt 1 of 6")
    assert policy.decide(Outcome.FAILED, 1, ValueError("boom")) == Again(1.0, "attempt 1 of 2")
    assert policy.decide(Outcome.FAILED, 5, TIMEOUT) == Again(3.0, "attempt 5 of 6")
    assert policy.decide(Outcome.FAILED, 5, ValueError("boom")) == Enough("no attempts left of 2")


def test_of_several_rules_that_match_the_first_that_sets_a_name_counts() -> None:
    decision = RetryPolicy(rules=(PATIENT, ELSEWHERE)).decide(Outcome.FAILED, 1, TIMEOUT)
    assert decision == Again(3.0, "attempt 1 of 6", "isolated")
    decision = RetryPolicy(rules=(ELSEWHERE, PATIENT)).decide(Outcome.FAILED, 1, TIMEOUT)
    assert decision == Again(3.0, "attempt 1 of 3", "isolated")


def test_a_rule_can_turn_retries_off_for_an_error() -> None:
    policy = RetryPolicy(retries=2, rules=(Rule((AssertionError,), {"retries": 0}),))
    assert answer(policy, error=AssertionError()) == Enough("no attempts left of 1")
    assert is_retried(policy, TIMEOUT)


def test_a_rule_speaks_of_causes_too_and_leaves_filters_as_they_are() -> None:
    policy = RetryPolicy(except_=("certificate",), rules=(PATIENT,))
    assert is_retried(policy, raised_from(ValueError("x"), TIMEOUT))
    assert not is_retried(policy, raised_from(ValueError("certificate"), TIMEOUT))


def test_without_an_error_no_rule_matches() -> None:
    assert isinstance(
        RetryPolicy(rules=(Rule(("",), {"retries": 5}),)).decide(Outcome.FAILED, 1, None), Enough
    )


def test_the_most_retries_are_those_of_the_most_generous_rule() -> None:
    assert RetryPolicy(retries=1).most_retries == 1
    assert RetryPolicy(retries=1, rules=(PATIENT, ELSEWHERE)).most_retries == 5
    assert RetryPolicy(retries=7, rules=(PATIENT, Rule(("x",), {"delay": 1.0}))).most_retries == 7
