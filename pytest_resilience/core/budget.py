"""How many retries a whole run may have, and from when on it has none."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.shares import Share, exceeds, rounded_up, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for the retries of all tests together; `tests` is the number of selected tests, that shares are of.

    `budget` is how many retries there may be, a share rounded up. Each test that passes at its first attempt puts
    `refill` of a retry back; the retry of an attempt that timed out takes `cost`, any other 1. When more tests than
    `max_first_failures` failed at their first attempt, nothing is retried any more.
    """

    tests: int
    budget: Share = "none"
    refill: float = 0.0
    cost: int = 1
    max_first_failures: Share = "none"

    @property
    def size(self) -> int | None:
        """How many retries a full budget holds, None when there is no budget."""
        return rounded_up(self.budget, self.tests)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadAttempt:
    """An attempt went wrong. `holder` is the process that made it, `is_wanted` whether its policy wants another."""

    holder: str
    key: str
    attempt: int
    outcome: Outcome
    is_wanted: bool


class Budget:
    """What is left of the limits of a run.

    The budget is a bucket of tokens that begins full, is drained by retries and refilled by passes, as the
    RetryBudget of Finagle and the retry quota of the AWS SDKs are: retries stay a bounded share of the work, however
    many tests fail at once. Amounts are exact, so that ten tenths are one. The gate has no way back: once it is
    closed it stays closed.

    A retry that was granted and never began can be given back, once; until then it counts as made.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._size = limits.size
        self._left = Fraction(self._size or 0)
        self._refill = Fraction(str(limits.refill))
        self._first_failures: set[str] = set()
        self._granted: dict[tuple[str, str, int], int] = {}
        self._made = 0
        self._refused: Counter[Code] = Counter()

    # -- what happens ---------------------------------------------------------------------------------------------

    def refuses(self, bad: BadAttempt) -> str:
        """Why the test may not be tried again, empty when it may; that retry is then granted to the holder."""
        self._granted.pop((bad.holder, bad.key, bad.attempt), None)
        if bad.attempt == 1:
            self.failed_first(bad.key)
        if not bad.is_wanted:
            return ""
        if self.is_closed:
            return self._refuse(Code.RETRY_GATE_CLOSED, self._why_closed())
        if self._size is None:
            return ""
        cost = self._limits.cost if bad.outcome is Outcome.TIMED_OUT else 1
        if self._left < cost:
            return self._refuse(Code.RETRY_BUDGET_EXHAUSTED, self._why_spent(cost))
        self._left -= cost
        self._granted[bad.holder, bad.key, bad.attempt + 1] = cost
        self._made += 1
        return ""

    def failed_first(self, key: str) -> None:
        """A test went wrong at its first attempt. Told twice, it counts once."""
        self._first_failures.add(key)

    def passed(self, key: str) -> None:
        """A test passed, and unless it is known to have failed before, at its first attempt."""
        if key not in self._first_failures:
            self._put_back(self._refill)

    def granted_to(self, holder: str) -> list[tuple[str, int]]:
        """The retries of a process, by key and number of the attempt, that are not known to have begun."""
        return [(key, attempt) for one, key, attempt in self._granted if one == holder]

    def give_back(self, holder: str, key: str, attempt: int) -> None:
        """A granted retry never began. What was not granted, or was given back already, changes nothing."""
        cost = self._granted.pop((holder, key, attempt), None)
        if cost is not None:
            self._put_back(Fraction(cost))
            self._made -= 1

    def hand_on(self, holder: str, key: str, attempt: int, to: str) -> None:
        """A granted retry is another's from now on. What was not granted changes nothing."""
        cost = self._granted.pop((holder, key, attempt), None)
        if cost is not None:
            self._granted[to, key, attempt] = cost

    def _put_back(self, tokens: Fraction) -> None:
        self._left = min(self._left + tokens, Fraction(self._size or 0))

    def _refuse(self, code: Code, why: str) -> str:
        self._refused[code] += 1
        return f"{code}: {why}"

    # -- what it means --------------------------------------------------------------------------------------------

    @property
    def left(self) -> Fraction:
        """How many retries there still may be."""
        return self._left

    @property
    def is_closed(self) -> bool:
        """Whether more tests failed at their first attempt than flakiness explains."""
        limits = self._limits
        return exceeds(len(self._first_failures), limits.max_first_failures, limits.tests)

    def warnings(self) -> dict[Code, str]:
        """What is to be told of limits that made a difference, by code."""
        told = {}
        spent, closed = Code.RETRY_BUDGET_EXHAUSTED, Code.RETRY_GATE_CLOSED
        if self._refused[spent]:
            told[spent] = (
                f"{_several(self._made, 'retry', 'retries')} used up the budget of {self._shown_size()}; "
                f"{_several(self._refused[spent], 'test was', 'tests were')} not tried again. "
                "Mend what fails, or raise --retry-budget"
            )
        if self._refused[closed]:
            told[closed] = (
                f"{self._why_closed()}; {_several(self._refused[closed], 'test was', 'tests were')} not tried again. "
                "Look for a cause that they share, or raise retry.max-first-failures"
            )
        return told

    def _shown_size(self) -> str:
        share = self._limits.budget
        return f"{self._size} ({shown(share, self._limits.tests)})" if isinstance(share, str) else f"{share}"

    def _why_spent(self, cost: int) -> str:
        if cost > 1:
            left = f"{float(self._left):g} of the budget of {self._shown_size()}"
            return f"a retry after a timeout takes {cost}, and {left} is left"
        return f"the budget of {self._shown_size()} is spent"

    def _why_closed(self) -> str:
        limits = self._limits
        failed = _several(len(self._first_failures), "test", "tests")
        return (
            f"{failed} failed at the first attempt (at most {shown(limits.max_first_failures, limits.tests)})"
        )


def _several(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
