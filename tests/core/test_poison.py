"""Whether a worker has gone bad."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.poison import Poison, Verdict

PASSED, FAILED, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED
Ends = list[tuple[str, Outcome]]
OUTCOMES = st.sampled_from([PASSED, FAILED, SKIPPED, Outcome.FLAKY, Outcome.ERROR, Outcome.XFAILED])
ENDS = st.lists(st.tuples(st.sampled_from("abc"), OUTCOMES), max_size=60)
LIMITS = st.integers(1, 5)


def verdicts(poison: Poison[int], ends: Ends) -> list[tuple[int, str, Verdict[int]]]:
    """What is found at which test, tests being called by their number."""
    found = []
    for number, (worker, outcome) in enumerate(ends):
        verdict = poison.observe(worker, number, outcome)
        if verdict is not None:
            found.append((number, worker, verdict))
    return found


def expected(ends: Ends, limit: int, most: int) -> list[tuple[int, str, Verdict[int]]]:
    """The same, told by somebody who looks back over all that happened, at each test."""
    found: list[tuple[int, str, Verdict[int]]] = []
    for now, (worker, outcome) in enumerate(ends):
        known = [one for _, one, verdict in found if verdict.is_news]
        if not outcome.is_bad:
            continue
        if worker in known:
            found.append((now, worker, Verdict((now,), is_news=False)))
            continue
        own = [at for at in range(now + 1) if ends[at][0] == worker]
        passes = [at for at in own if ends[at][1] in (PASSED, Outcome.FLAKY)]
        row = [at for at in own if ends[at][1].is_bad and (not passes or at > passes[-1])]
        # Of those that are found, what they did before counts.
        told = {one: at for at, one, verdict in found if verdict.is_news}
        others = [
            ends[at][1]
            for at in range(row[0], now)
            if ends[at][0] != worker and at <= told.get(ends[at][0], now)
        ]
        passed = sum(one in (PASSED, Outcome.FLAKY) for one in others)
        failed = sum(one.is_bad for one in others)
        if len(row) >= limit and passed > failed and len(known) < most:
            found.append((now, worker, Verdict(tuple(row), is_news=True)))
    return found


@given(ENDS, LIMITS, st.integers(0, 3))
def test_a_worker_is_poisoned_by_a_row_of_failures_while_others_pass(
    ends: Ends, limit: int, most: int
) -> None:
    assert verdicts(Poison(limit, most), ends) == expected(ends, limit, most)


@given(ENDS, LIMITS)
def test_no_test_is_in_doubt_twice_and_none_that_was_good(ends: Ends, limit: int) -> None:
    tests = [test for _, _, verdict in verdicts(Poison(limit, 3), ends) for test in verdict.tests]
    assert len(tests) == len(set(tests))
    assert all(ends[test][1].is_bad for test in tests)


@given(st.lists(OUTCOMES, max_size=40), LIMITS)
def test_a_single_worker_is_never_to_blame(outcomes: list[Outcome], limit: int) -> None:
    assert verdicts(Poison(limit, 3), [("a", outcome) for outcome in outcomes]) == []


@given(st.lists(st.sampled_from("abc"), max_size=40), LIMITS)
def test_where_everything_fails_no_worker_is_to_blame(workers: list[str], limit: int) -> None:
    assert verdicts(Poison(limit, 3), [(worker, FAILED) for worker in workers]) == []


@given(ENDS, LIMITS)
def test_once_failures_were_confirmed_no_other_worker_is_suspected(ends: Ends, limit: int) -> None:
    poison: Poison[int] = Poison(limit, 3)
    found = verdicts(poison, ends)
    poison.confirmed()
    later = count(len(ends))
    news = [poison.observe(worker, next(later), outcome) for worker, outcome in ends]
    assert not any(verdict.is_news for verdict in news if verdict is not None)
    assert bool(found) or not any(news)
