"""Interrupts what a session without workers does, by a signal: the phase of a test, or the collection of a file, fails."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

import pytest

from pytest_resilience.core.stacks import Stacks
from pytest_resilience.hooks import internals
from pytest_resilience.hooks.timeouts import HangTimeout

# Neither programs nor their tests use one of these for themselves.
INTERRUPT: int = signal.SIGRTMIN + 12 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2


class Interruption:
    """Handles the signal, unless somebody else does. `stacks` gives what all threads were doing; `heard` is called first.

    Nothing is raised where pytest would not take it for the failure of a phase: then it is over already.
    """

    def __init__(self, stacks: Callable[[], Stacks | None], heard: Callable[[], None]) -> None:
        self._stacks = stacks
        self._heard = heard
        self._is_installed = False
        self.item: pytest.Item | None = None
        self.phase = ""
        self.limit = 0.0

    def install(self) -> None:
        """Begin to handle it."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(INTERRUPT) == signal.SIG_DFL:
            signal.signal(INTERRUPT, self._interrupt)
            self._is_installed = True

    def remove(self) -> None:
        """Leave everything as it was."""
        if self._is_installed and signal.getsignal(INTERRUPT) == self._interrupt:
            signal.signal(INTERRUPT, signal.SIG_DFL)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        if not internals.is_in_call(frame):
            return
        self._heard()
        stacks = self._stacks()
        if self.item is None or self.phase not in ("setup", "call", "teardown"):
            raise HangTimeout(f"hung while {self.phase or 'between tests'}, and was interrupted")
        if stacks is not None and not all(one is stacks.main or one.only_waits for one in stacks.threads):
            # Of the thread of the test the traceback tells.
            self.item.add_report_section(self.phase, "stacks", str(stacks))
        raise HangTimeout(f"hung in its {self.phase}, and was interrupted (limit {self.limit:g} s)")
