"""Where the process that runs a test puts what happened: the ledger first, then whoever has to know."""

from collections.abc import Mapping
from typing import Protocol

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, Fact, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import Strategy


def is_limited(values: Mapping[str, object]) -> bool:
    """Whether something holds for the retries of the whole run; only then has anybody to be asked."""
    return any(values[key] != "none" for key in ("retry.budget", "retry.max-first-failures"))


class Journal(Protocol):
    """What runs tests speaks to this; a serial session and an xdist worker answer differently."""

    def may_go_on(self, item: pytest.Item) -> bool:
        """Whether the next test may begin."""

    def started(self, started: AttemptStarted) -> None:
        """An attempt begins: make it durable, so that a process that dies in it has said so. Never raises."""

    @property
    def is_watched(self) -> bool:
        """Whether anybody looks at what is entered; told when all tests are known."""

    def entered(self, phase: str, attempt: int) -> None:
        """An attempt goes into a phase; `phase` is "waiting" until an attempt begins, and empty between tests."""

    def write(self, fact: Fact) -> None:
        """Make a fact durable. Never raises."""

    def refuses_retry(self, key: str, attempt: int, outcome: Outcome, is_wanted: bool) -> str:
        """Why a test may not be tried again after a bad attempt, empty when it may: what holds for the whole run.

        `is_wanted` says whether the test's own policy wants to; the run learns of first failures in any case.
        """

    def unused(self, key: str, attempt: int) -> None:
        """A retry that was not refused, attempt number `attempt`, is not going to begin: others may have it."""

    def trouble(self, code: Code, text: str) -> None:
        """Note what went wrong and is no failure of a test. Each code is told once."""

    def retried(
        self, item: pytest.Item, ended: AttemptEnded, strategy: Strategy, *, is_shown: bool = False
    ) -> None:
        """An attempt ended and is followed by another, at once or later. `is_shown`: pytest has its reports."""

    def given_up(self, item: pytest.Item) -> None:
        """The other attempt is not going to come after all."""

    def finished(self, finished: TestFinished, ended: AttemptEnded | None) -> None:
        """A test came to its final outcome; `ended` tells of its last attempt when that was bad."""
