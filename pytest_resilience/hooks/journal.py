"""Where the process that runs a test puts what happened: the ledger first, then whoever has to know."""

from typing import Protocol

import pytest

from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, Fact, TestFinished


class Journal(Protocol):
    """What runs tests speaks to this; a serial session and an xdist worker answer differently."""

    def may_go_on(self, item: pytest.Item) -> bool:
        """Whether the next test may begin."""

    def started(self, started: AttemptStarted) -> None:
        """An attempt begins: make it durable, so that a process that dies in it has said so. Never raises."""

    def write(self, fact: Fact) -> None:
        """Make a fact durable. Never raises."""

    def retried(self, item: pytest.Item, ended: AttemptEnded) -> None:
        """An attempt ended and is followed by another."""

    def finished(self, finished: TestFinished, ended: AttemptEnded | None) -> None:
        """A test came to its final outcome; `ended` tells of its last attempt when that was bad."""
