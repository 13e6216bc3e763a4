"""A run never has more retries than its budget, and none once its gate is closed."""

import math
from collections import Counter
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.budget import BadAttempt, Budget, Limits
from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome

SPENT, CLOSED = str(Code.RETRY_BUDGET_EXHAUSTED), str(Code.RETRY_GATE_CLOSED)


def budget_of(**limits: int | float | str) -> Budget:
    """A budget for 100 tests, unless said otherwise."""
    return Budget(Limits(**{"tests": 100, **limits}))  # type: ignore[arg-type]


def bad(
    key: str = "a",
    attempt: int = 1,
    outcome: Outcome = Outcome.FAILED,
    *,
    holder: str = "gw0",
    is_wanted: bool = True,
) -> BadAttempt:
    """A test failed, and wants another attempt."""
    return BadAttempt(holder=holder, key=key, attempt=attempt, outcome=outcome, is_wanted=is_wanted)


def granted(budget: Budget, times: int) -> int:
    """How many of so many different tests that failed may be tried again."""
    return sum(not budget.refuses(bad(f"asks-{number}")) for number in range(times))


# -- the budget


@pytest.mark.parametrize(
    ("share", "tests", "size"), [(40, 7, 40), (0, 7, 0), ("5%", 500, 25), ("5%", 501, 26), ("0%", 7, 0)]
)
def test_as_many_retries_are_granted_as_the_budget_holds(share: int | str, tests: int, size: int) -> None:
    budget = budget_of(budget=share, tests=tests)
    assert granted(budget, size + 9) == size
    assert budget.left == 0


def test_without_a_budget_every_retry_is_granted() -> None:
    assert granted(budget_of(max_first_failures="none"), 300) == 300


def test_the_retries_of_one_test_are_drawn_from_the_same_budget() -> None:
    budget = budget_of(budget=3)
    answers = [budget.refuses(bad(attempt=attempt)) for attempt in (1, 2, 3, 4)]
    assert answers == ["", "", "", f"{SPENT}: the budget of 3 is spent"]


def test_what_no_policy_wants_takes_nothing() -> None:
    budget = budget_of(budget=1)
    assert budget.refuses(bad("a", is_wanted=False)) == ""
    assert granted(budget, 2) == 1


def test_ten_tenths_are_one_retry() -> None:
    budget = budget_of(budget=1, refill=0.1)
    assert granted(budget, 1) == 1
    for number in range(9):
        budget.passed(f"passes-{number}")
        assert budget.refuses(bad("b"))
    budget.passed("passes-9")
    assert not budget.refuses(bad("c"))


def test_a_full_budget_is_not_filled_further() -> None:
    budget = budget_of(budget=2, refill=5)
    budget.passed("a")
    assert granted(budget, 9) == 2


def test_a_pass_after_a_failure_refills_nothing() -> None:
    budget = budget_of(budget=1, refill=1)
    assert not budget.refuses(bad("a"))
    budget.passed("a")
    assert budget.refuses(bad("b"))


def test_a_retry_after_a_timeout_takes_what_it_costs() -> None:
    budget = budget_of(budget=6, cost=5)
    assert not budget.refuses(bad("a", outcome=Outcome.TIMED_OUT))
    why = budget.refuses(bad("b", outcome=Outcome.TIMED_OUT))
    assert why == f"{SPENT}: a retry after a timeout takes 5, and 1 of the budget of 6 is left"
    assert not budget.refuses(bad("c")), "what is left is enough for another failure"
    assert budget.refuses(bad("d"))


def test_a_retry_that_never_began_is_given_back_once_and_at_its_price() -> None:
    budget = budget_of(budget=5, cost=5)
    assert not budget.refuses(bad("a", outcome=Outcome.TIMED_OUT))
    assert budget.granted_to("gw0") == [("a", 2)]
    for _ in range(3):
        budget.give_back("gw0", "a", 2)
    assert budget.left == 5
    assert budget.granted_to("gw0") == []
    assert granted(budget, 9) == 5


@pytest.mark.parametrize("other", [("gw1", "a", 2), ("gw0", "b", 2), ("gw0", "a", 1), ("gw0", "a", 3)])
def test_what_was_not_granted_cannot_be_given_back(other: tuple[str, str, int]) -> None:
    budget = budget_of(budget=1)
    assert not budget.refuses(bad("a"))
    budget.give_back(*other)
    assert budget.left == 0


def test_a_retry_that_came_to_its_end_has_begun() -> None:
    budget = budget_of(budget=2)
    assert not budget.refuses(bad("a", 1))
    assert not budget.refuses(bad("a", 2))
    assert budget.granted_to("gw0") == [("a", 3)]
    budget.refuses(bad("a", 3, is_wanted=False))
    assert budget.granted_to("gw0") == []


def test_the_same_test_on_two_workers_has_two_retries() -> None:
    """With ``--dist each``."""
    budget = budget_of(budget=5)
    for holder in ("gw0", "gw1"):
        assert not budget.refuses(bad("a", holder=holder))
    budget.give_back("gw0", "a", 2)
    assert budget.granted_to("gw1") == [("a", 2)]
    assert budget.left == 4


def test_a_retry_that_was_handed_on_is_given_back_by_who_has_it() -> None:
    budget = budget_of(budget=1)
    assert not budget.refuses(bad("a"))
    budget.hand_on("gw0", "a", 2, "gw1")
    budget.give_back("gw0", "a", 2)
    assert budget.granted_to("gw0") == []
    assert budget.granted_to("gw1") == [("a", 2)]
    assert budget.left == 0
    budget.give_back("gw1", "a", 2)
    assert budget.left == 1


def test_what_was_not_granted_cannot_be_handed_on() -> None:
    budget = budget_of(budget=1)
    budget.hand_on("gw0", "a", 2, "gw1")
    assert budget.granted_to("gw1") == []


# -- the gate


@pytest.mark.parametrize(("share", "most"), [(3, 3), (0, 0), ("3%", 3), ("2.5%", 2), ("0.9%", 0)])
def test_the_gate_closes_when_more_tests_than_allowed_failed_at_first(share: int | str, most: int) -> None:
    budget = budget_of(max_first_failures=share)
    assert granted(budget, most + 20) == most
    assert budget.is_closed


def test_failures_that_are_not_to_be_retried_close_the_gate_too() -> None:
    budget = budget_of(max_first_failures=1)
    for key in "ab":
        assert budget.refuses(bad(key, is_wanted=False)) == ""
    assert budget.refuses(bad("b", 2)) == f"{CLOSED}: 2 tests failed at the first attempt (at most 1)"


def test_crashes_count_for_the_gate() -> None:
    budget = budget_of(max_first_failures=1)
    budget.failed_first("a")
    budget.failed_first("a")
    assert not budget.is_closed
    budget.failed_first("b")
    assert budget.is_closed


def test_later_attempts_of_a_test_do_not_count_again() -> None:
    budget = budget_of(max_first_failures=1)
    assert [budget.refuses(bad("a", attempt)) for attempt in range(1, 9)] == [""] * 8


def test_what_the_gate_refuses_is_not_taken_from_the_budget() -> None:
    budget = budget_of(budget=3, max_first_failures=0)
    assert CLOSED in budget.refuses(bad("a"))
    assert budget.left == 3


# -- what is told


def test_nothing_is_told_as_long_as_nothing_was_refused() -> None:
    budget = budget_of(budget=2, max_first_failures=2)
    assert granted(budget, 2) == 2
    assert budget.warnings() == {}
    budget.failed_first("crashed")
    assert budget.is_closed
    assert budget.warnings() == {}


def test_a_spent_budget_tells_its_numbers_and_what_to_do() -> None:
    budget = budget_of(budget="2%")
    granted(budget, 5)
    assert budget.warnings() == {
        Code.RETRY_BUDGET_EXHAUSTED: "2 retries used up the budget of 2 (2% of 100); 3 tests were not tried again. "
        "Mend what fails, or raise --retry-budget"
    }


def test_a_closed_gate_tells_its_numbers_and_what_to_do() -> None:
    budget = budget_of(max_first_failures="2%")
    granted(budget, 3)
    assert budget.warnings() == {
        Code.RETRY_GATE_CLOSED: "3 tests failed at the first attempt (at most 2% of 100); 1 test was not tried again. "
        "Look for a cause that they share, or raise retry.max-first-failures"
    }


# -- whatever happens

KEYS = st.sampled_from("abcdef")
HOLDERS = st.sampled_from(["gw0", "gw1"])
EVENTS = st.one_of(
    st.builds(
        BadAttempt,
        holder=HOLDERS,
        key=KEYS,
        attempt=st.integers(1, 4),
        outcome=st.sampled_from([Outcome.FAILED, Outcome.ERROR, Outcome.TIMED_OUT]),
        is_wanted=st.booleans(),
    ),
    st.tuples(st.just("give back"), HOLDERS, KEYS, st.integers(1, 5)),
    st.tuples(st.just("hand on"), HOLDERS, KEYS, st.integers(1, 5), HOLDERS),
    st.tuples(st.just("passed"), KEYS),
    st.tuples(st.just("failed"), KEYS),
)
LIMITS = st.builds(
    Limits,
    tests=st.integers(0, 30),
    budget=st.integers(0, 8) | st.sampled_from(["none", "0%", "7%", "50%"]),
    refill=st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5]),
    cost=st.integers(1, 4),
    max_first_failures=st.integers(0, 6) | st.sampled_from(["none", "0%", "7%", "20%"]),
)
Event = BadAttempt | tuple[str, ...]


def happens(budget: Budget, event: Event) -> str | None:
    """Let the budget know; its answer to a bad attempt."""
    match event:
        case BadAttempt():
            return budget.refuses(event)
        case ("give back", holder, key, attempt):
            budget.give_back(holder, key, int(attempt))
        case ("hand on", holder, key, attempt, to):
            budget.hand_on(holder, key, int(attempt), to)
        case ("passed", key):
            budget.passed(key)
        case ("failed", key):
            budget.failed_first(key)
    return None


def price(limits: Limits, event: BadAttempt) -> int:
    return limits.cost if event.outcome is Outcome.TIMED_OUT else 1


@given(LIMITS, st.lists(EVENTS, max_size=60))
def test_the_budget_is_never_exceeded(limits: Limits, events: list[Event]) -> None:
    """Counted anew from outside: what was granted and not given back never costs more than there ever was."""
    budget, size = Budget(limits), limits.size
    held: dict[tuple[str, str, int], int] = {}
    failed: set[str] = set()
    spent, refilled = 0, Fraction(0)
    for event in events:
        answer = happens(budget, event)
        if isinstance(event, BadAttempt):
            held.pop((event.holder, event.key, event.attempt), None)
            failed |= {event.key} if event.attempt == 1 else set()
            if event.is_wanted and answer == "" and size is not None:
                held[event.holder, event.key, event.attempt + 1] = price(limits, event)
                spent += price(limits, event)
        elif event[0] == "give back":
            spent -= held.pop((event[1], event[2], int(event[3])), 0)
        elif event[0] == "hand on" and (event[1], event[2], int(event[3])) in held:
            held[event[4], event[2], int(event[3])] = held.pop((event[1], event[2], int(event[3])))
        elif event[0] == "passed" and event[1] not in failed:
            refilled += Fraction(str(limits.refill))
        elif event[0] == "failed":
            failed.add(event[1])
        if size is not None:
            assert 0 <= budget.left <= size
            assert spent <= size + refilled
            assert refilled or budget.left == size - spent, "without refills not a retry is lost either"


@given(LIMITS, st.lists(EVENTS, max_size=60))
def test_once_the_gate_is_closed_it_stays_closed(limits: Limits, events: list[Event]) -> None:
    budget, was_closed = Budget(limits), False
    for event in events:
        answer = happens(budget, event)
        assert budget.is_closed or not was_closed
        was_closed = budget.is_closed
        if was_closed and isinstance(event, BadAttempt) and event.is_wanted:
            assert answer is not None
            assert answer.startswith(CLOSED)


@given(st.integers(0, 6), st.integers(0, 6), st.lists(EVENTS, max_size=60))
def test_a_lower_limit_closes_no_later(one: int, other: int, events: list[Event]) -> None:
    low, high = (budget_of(max_first_failures=limit) for limit in sorted((one, other)))
    for event in events:
        happens(low, event)
        happens(high, event)
        assert low.is_closed or not high.is_closed


@given(LIMITS, st.lists(EVENTS, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_failures_does_not_matter_for_the_gate(
    limits: Limits, events: list[Event], random: Random
) -> None:
    shuffled = events.copy()
    random.shuffle(shuffled)
    budgets = Budget(limits), Budget(limits)
    for budget, in_order in zip(budgets, (events, shuffled), strict=True):
        for event in in_order:
            happens(budget, event)
    assert budgets[0].is_closed == budgets[1].is_closed


@given(
    st.integers(0, 8),
    st.lists(st.tuples(HOLDERS, KEYS, st.integers(1, 4)), unique=True, max_size=20),
    st.randoms(use_true_random=False),
)
def test_however_tests_take_turns_they_have_as_many_retries_together(
    size: int,
    asks: list[tuple[str, str, int]],
    random: Random,
) -> None:
    shuffled = asks.copy()
    random.shuffle(shuffled)
    for in_order in (asks, shuffled):
        budget = budget_of(budget=size)
        answers = [budget.refuses(bad(key, attempt, holder=holder)) for holder, key, attempt in in_order]
        assert Counter(map(bool, answers))[False] == min(size, len(asks))


@given(
    LIMITS,
    st.lists(EVENTS, max_size=30),
    st.permutations([("passed", "x"), ("passed", "y"), ("give back", "gw0", "a", 2)]),
)
def test_what_is_put_back_may_come_in_any_order(
    limits: Limits, events: list[Event], put_back: list[tuple[str, ...]]
) -> None:
    one, other = Budget(limits), Budget(limits)
    for event in [*events, *put_back]:
        happens(one, event)
    for event in [*events, *sorted(put_back, key=repr)]:
        happens(other, event)
    assert (one.left, one.warnings()) == (other.left, other.warnings())


@given(LIMITS)
def test_a_share_of_the_tests_is_rounded_up(limits: Limits) -> None:
    if isinstance(limits.budget, str) and limits.budget != "none":
        exact = Fraction(limits.budget.removesuffix("%")) * limits.tests / 100
        assert limits.size == math.ceil(exact)
