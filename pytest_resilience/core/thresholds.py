"""When repeated errors end a session. Thresholds look at final outcomes: a flaky pass is no failure."""

from collections import Counter
from typing import Protocol

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import DecisionTaken
from pytest_resilience.core.outcomes import Outcome


class Threshold(Protocol):
    """One reason to stop."""

    def observe(self, outcome: Outcome, fingerprint: str, message: str) -> DecisionTaken | None:
        """Take the final outcome of the next test, in report order; the decision to stop, or None to go on."""


class ConsecutiveFailures:
    """Stop after `limit` bad outcomes in a row. A skipped test neither adds to the row nor ends it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._row = 0

    def observe(self, outcome: Outcome, fingerprint: str, message: str) -> DecisionTaken | None:
        if outcome.is_bad:
            self._row += 1
        elif outcome is not Outcome.SKIPPED:
            self._row = 0
        if self._row < self._limit:
            return None
        return _stop(Code.STOP_CONSECUTIVE_FAILURES, f"{self._row} in a row (limit {self._limit})")


class SameError:
    """Stop when `limit` tests came to a bad end with the same fingerprint."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen = Counter[str]()

    def observe(self, outcome: Outcome, fingerprint: str, message: str) -> DecisionTaken | None:
        if not outcome.is_bad or not fingerprint:
            return None
        self._seen[fingerprint] += 1
        if self._seen[fingerprint] < self._limit:
            return None
        first_line = message.strip().partition("\n")[0]
        return _stop(Code.STOP_SAME_ERROR, f"{self._limit} times (limit {self._limit}): {first_line[:120]}")


def _stop(code: Code, why: str) -> DecisionTaken:
    return DecisionTaken(code=code.code, why=why)
