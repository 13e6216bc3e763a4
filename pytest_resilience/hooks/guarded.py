"""A session without workers that can hang: it shows a guard, a process of its own, what it does.

The guard is forked, so it knows all that the session knew, and costs next to nothing; it is nobody's child, so no test
finds it among its own. A thread would not do: it waits for the GIL, and from Python 3.12 on tests that fork would be
warned of it.
"""

import os
import signal
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.terminal import Terminal

if TYPE_CHECKING:
    from pytest_resilience.hooks.board import Board
    from pytest_resilience.hooks.interruption import Interruption

# What else of a session has a limit, by what it shows; with a limit for tests, or where these are set themselves.
STAGES = {"hang.collect": "collecting", "hang.end": "ending"}

# Tests replace these; we want the real ones.
_getpid, _fork = os.getpid, os.fork


class Guarded(Registered):
    """A session that shows a guard what it does. Where the system has no means for that, there is none."""

    def __init__(self, owner: Owner, terminal: Terminal) -> None:
        self._owner = owner
        self._terminal = terminal
        self._usual: float = owner.settings["hang.timeout"]
        self._limits: dict[str, float] = {}
        self._board: Board | None = None
        self._interruption: Interruption | None = None
        # Whether there is a guard.
        self.is_guarded = False

    # -- what the session does ------------------------------------------------------------------------------------

    def limits(self, limits: dict[str, float]) -> None:
        """Some tests have limits of their own, by node id."""
        self._limits = limits
        if self._board is None:
            self._begin()

    def begins(self, item: pytest.Item) -> None:
        """A test begins."""
        if self._board is not None and self._interruption is not None:
            limit = self._limits.get(item.nodeid, self._usual)
            self._interruption.item, self._interruption.limit = item, limit
            self._board.allow(limit)

    def entered(self, phase: str, attempt: int) -> None:
        """An attempt goes into a phase."""
        if self._board is not None and self._interruption is not None:
            self._interruption.phase = phase
            self._board.show(phase, attempt)

    def _heard(self) -> None:
        """The interruption has come through: what follows takes time again, which the guard has to see."""
        if self._board is not None:
            self._board.goes_on()

    # -- hooks ----------------------------------------------------------------------------------------------------

    def pytest_sessionstart(self) -> None:
        settings = self._owner.settings
        is_wanted = self._usual or settings["hang.slow"] or settings.sources.keys() & STAGES
        if is_wanted and not self._owner.is_rehearsal:
            self._begin()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> object:
        self.entered("collecting", 0)
        try:
            return (yield)
        finally:
            self.entered("", 0)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> object:
        self.entered("ending", 0)
        return (yield)

    def pytest_unconfigure(self) -> None:
        self.entered("over", 0)
        if self._board is not None and self._interruption is not None:
            self._interruption.remove()
            self._board.close()
        self._board = self._interruption = None
        self.is_guarded = False

    # -- the guard ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        # What only a session with a limit needs.
        from pytest_resilience.hooks.board import Board
        from pytest_resilience.hooks.guard import Guard
        from pytest_resilience.hooks.interruption import Interruption

        with self._owner.guarded():
            board = Board.create()
            if board is None or not hasattr(os, "pidfd_open"):
                return
            session = os.pidfd_open(_getpid())
            try:
                guard = Guard(self._owner, self._terminal, board.view)
                self._terminal.flush()
                _apart(lambda: guard.watch(session))
            finally:
                os.close(session)
            self._board = board
            self.is_guarded = True
            self._interruption = Interruption(guard.stacks_of_session, self._heard)
            self._interruption.install()


def _apart(work: Callable[[], None]) -> None:
    """Do something in a process that is nobody's child, hears no terminal, and ends without a word."""
    with warnings.catch_warnings():
        # It goes its own way at once, so what other threads hold does not matter.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = _fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if not _fork():
            work()
    finally:
        os._exit(0)
