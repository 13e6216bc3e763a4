"""When repeated errors end a session. Thresholds look at final outcomes: a flaky pass is no failure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import DecisionTaken
from pytest_resilience.core.outcomes import Outcome


class Threshold(Protocol):
    """One reason to stop."""

    def observe(self, outcome: Outcome, fingerprint: str, message: str) -> DecisionTaken | None:
        """Take the final outcome of the next test, in report order; the decision to stop, or None to go on."""


@dataclass(slots=True)
class ConsecutiveFailures:
    """Stop after `limit` bad outcomes in a row. A skipped test neither adds to the row nor ends it."""

    limit: int
    row: int = 0

    def observe(self, outcome: Outcome, fingerprint: str, message: str) -> DecisionTaken | None:
        if outcome.is_bad:
            self.row += 1
        elif outcome is not Outcome.SKIPPED:
            self.row = 0
        if self.row < self.limit:
            return None
        return _stop(Code.STOP_CONSECUTIVE_FAILURES, f"{self.row} in a row (limit {self.limit})")


@dataclass(slots=True)
class SameError:
    """Stop when `limit` tests came to a bad end with the same fingerprint."""

    limit: int
    seen: Counter[str] = field(default_factory=Counter)

    def observe(self, outcome: Outcome, fingerprint: str, message: str) -> DecisionTaken | None:
        if not outcome.is_bad or not fingerprint:
            return None
        self.seen[fingerprint] += 1
        if self.seen[fingerprint] < self.limit:
            return None
        first_line = message.strip().partition("\n")[0]
        return _stop(Code.STOP_SAME_ERROR, f"{self.limit} times (limit {self.limit}): {first_line[:120]}")


def _stop(code: Code, why: str) -> DecisionTaken:
    return DecisionTaken(code=code.code, why=why)
