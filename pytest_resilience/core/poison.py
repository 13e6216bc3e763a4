"""Whether a worker has gone bad: it fails test after test while others pass theirs."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pytest_resilience.core.outcomes import Outcome

Test = TypeVar("Test")

_PASSES = (Outcome.PASSED, Outcome.FLAKY, Outcome.XPASSED)


@dataclass(slots=True)
class _Row(Generic[Test]):
    """The failures of a worker since its last pass, and how all others did in that time."""

    tests: list[Test] = field(default_factory=list)
    passed_elsewhere: int = 0
    failed_elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class Verdict(Generic[Test]):
    """A worker is poisoned. `tests` are those of its failures that are in doubt; `is_news` when it was not known before."""

    tests: tuple[Test, ...]
    is_news: bool


class Poison(Generic[Test]):
    """Looks at final outcomes, worker by worker.

    A worker is poisoned when `limit` of its tests in a row went wrong while more tests of others passed than went wrong:
    where everything fails, no worker is to blame. What was skipped, or failed as expected, says nothing. What a poisoned worker fails after that is
    in doubt as well, until it has ended.

    No more than `most` workers are found poisoned, and none any more once the failures of one were all confirmed
    elsewhere (`confirmed`): then it is the tests that are broken.
    """

    def __init__(self, limit: int, most: int) -> None:
        self._limit = limit
        self._most = most
        self._rows: dict[Hashable, _Row[Test]] = {}
        self._poisoned: set[Hashable] = set()
        self._is_unfounded = False

    def observe(self, worker: Hashable, test: Test, outcome: Outcome) -> Verdict[Test] | None:
        """Take the final outcome of a test on a worker."""
        is_good = outcome in _PASSES
        if not is_good and not outcome.is_bad:
            return None
        if worker in self._poisoned:
            return Verdict((test,), is_news=False) if outcome.is_bad else None
        for other, others in self._rows.items():
            if other != worker:
                others.passed_elsewhere += is_good
                others.failed_elsewhere += outcome.is_bad
        if is_good:
            self._rows.pop(worker, None)
            return None
        row = self._rows.setdefault(worker, _Row())
        row.tests.append(test)
        if not self._is_poisoned(row):
            return None
        self._poisoned.add(worker)
        del self._rows[worker]
        return Verdict(tuple(row.tests), is_news=True)

    def _is_poisoned(self, row: _Row[Test]) -> bool:
        if self._is_unfounded or len(self._poisoned) >= self._most or len(row.tests) < self._limit:
            return False
        return row.passed_elsewhere > row.failed_elsewhere

    def confirmed(self) -> None:
        """All that a poisoned worker failed went wrong elsewhere, too."""
        self._is_unfounded = True
