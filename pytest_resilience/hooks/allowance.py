"""The retries of the whole run, as its owner grants them to whoever runs tests."""

import threading
from collections.abc import Callable, Collection

from pytest_resilience.core.budget import BadAttempt, Budget, Limits
from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.settings.resolved import Settings

# Who holds a retry that comes later, in a process that is not known yet.
_KEPT = ""

Begun = Collection[tuple[str, int]]


class Allowance:
    """The budget behind a lock: under xdist every worker is heard in a thread of its own."""

    def __init__(self, settings: Settings, tests: int) -> None:
        self._budget = Budget(
            Limits(
                tests=tests,
                budget=settings["retry.budget"],
                refill=settings["retry.refill"],
                cost=settings["retry.cost"],
                max_first_failures=settings["retry.max-first-failures"],
            )
        )
        self._lock = threading.Lock()

    def refuses(self, holder: str, key: str, attempt: int, outcome: Outcome, *, is_wanted: bool) -> str:
        """Why a test may not be tried again after a bad attempt, empty when it may; see `Budget.refuses`."""
        bad = BadAttempt(holder=holder, key=key, attempt=attempt, outcome=outcome, is_wanted=is_wanted)
        with self._lock:
            return self._budget.refuses(bad)

    def failed_first(self, key: str) -> None:
        """A test went wrong at its first attempt, and nobody asked."""
        with self._lock:
            self._budget.failed_first(key)

    def passed(self, key: str) -> None:
        """A test passed."""
        with self._lock:
            self._budget.passed(key)

    def give_back(self, holder: str, key: str, attempt: int) -> None:
        """A granted retry is not going to begin."""
        with self._lock:
            self._budget.give_back(holder, key, attempt)

    def keep(self, holder: str, key: str, attempt: int) -> None:
        """A granted retry comes later, wherever that may be: the process that asked for it may die."""
        with self._lock:
            self._budget.hand_on(holder, key, attempt, _KEPT)

    def give_back_kept(self, key: str, attempt: int) -> None:
        """A retry that was to come later is not going to begin."""
        self.give_back(_KEPT, key, attempt)

    def died(self, holder: str, begun: Callable[[], Begun]) -> None:
        """A process is dead: what it was granted and never began is given back.

        `begun` tells which attempts began there, as far as the process could write it down. A retry is known not to
        have begun only where the attempt before it is told: of a process that left nothing, all stays spent.
        """
        with self._lock:
            granted = self._budget.granted_to(holder)
        known = begun() if granted else ()
        for key, attempt in granted:
            if (key, attempt - 1) in known and (key, attempt) not in known:
                self.give_back(holder, key, attempt)

    def warnings(self) -> dict[Code, str]:
        """What is to be told at the end, by code."""
        with self._lock:
            return self._budget.warnings()
