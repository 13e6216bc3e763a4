"""A session without workers: the process that owns the run also runs its tests."""

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import Strategy
from pytest_resilience.hooks.guarded import Guarded
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.selection import Collected
from pytest_resilience.hooks.session import stop_serial
from pytest_resilience.hooks.terminal import Terminal


class Serial:
    """The journal of a serial session: what happened goes to the owner itself."""

    def __init__(self, owner: Owner, terminal: Terminal, guarded: Guarded) -> None:
        self._owner = owner
        self._terminal = terminal
        self._guarded = guarded
        self.entered = guarded.entered
        # Make a fact durable and known.
        self.write = owner.write

    def may_go_on(self, item: pytest.Item) -> bool:
        """Pytest's own loop stops a session."""
        if self._guarded.is_guarded:
            self._guarded.begins(item)
        return True

    @property
    def is_watched(self) -> bool:
        """Whether there is a guard."""
        return self._guarded.is_guarded

    def started(self, started: AttemptStarted) -> None:
        """Make it durable. The live fold need not know: this process sees the end of the attempt, or nothing more."""
        segment = self._owner.segment
        if segment is not None:
            segment.write(started)

    def refuses_retry(self, key: str, attempt: int, outcome: Outcome, is_wanted: bool) -> str:
        """Ask the owner."""
        allowance = self._owner.allowance
        if allowance is None:
            return ""
        return allowance.refuses(self._owner.writer, key, attempt, outcome, is_wanted=is_wanted)

    def unused(self, key: str, attempt: int) -> None:
        """Give it back."""
        if self._owner.allowance is not None:
            self._owner.allowance.give_back(self._owner.writer, key, attempt)

    def trouble(self, code: Code, text: str) -> None:
        """Have it told at the end."""
        self._owner.warn(code, text)

    def retried(
        self, item: pytest.Item, ended: AttemptEnded, strategy: Strategy, *, is_shown: bool = False
    ) -> None:
        """Show the attempt."""
        if not is_shown:
            self._terminal.retried(item.nodeid, ended, strategy)

    def given_up(self, item: pytest.Item) -> None:
        """Count the attempt no longer as one that was followed by another."""
        self._terminal.given_up(item.nodeid)

    def finished(self, finished: TestFinished, ended: AttemptEnded | None) -> None:
        """Stop after this test when a threshold says so."""
        owner = self._owner
        if owner.allowance is not None and finished.outcome is Outcome.PASSED:
            owner.allowance.passed(finished.key)
        if owner.has_thresholds:
            decision = owner.observe(finished, ended)
            if decision is not None:
                stop_serial(owner, decision)

    def collected(self, collected: Collected) -> None:
        """Take the selection."""
        self._owner.selected(collected, collected.keys(collected.nodeids))

    def limits(self, limits: dict[str, float]) -> None:
        """Let the guard know, or have one."""
        self._guarded.limits(limits)

    def refuse(self, text: str) -> None:
        """End the session because something that the user wrote cannot be understood."""
        self._owner.refuse(text)
