"""SIGTERM ends a session as Ctrl-C does: the ledger is closed, the summary and the resume command are printed."""

import signal
import threading
from types import FrameType

import pytest


class Sigterm:
    """Handles SIGTERM while a session runs, unless somebody else does already.

    The first one interrupts the session; pytest then closes it in order. The second one kills.
    """

    def __init__(self, *, is_worker: bool) -> None:
        self._is_worker = is_worker
        self._session: pytest.Session | None = None
        self._is_ours = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._interrupt)
            self._is_ours = True

    def pytest_unconfigure(self) -> None:
        self._give_back()

    def _give_back(self) -> None:
        if self._is_ours and signal.getsignal(signal.SIGTERM) == self._interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._is_ours = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._give_back()
        if self._session is None:
            return
        if self._is_worker:
            # Its controller got the same signal, or wants it to end: the test in flight finishes.
            self._session.shouldstop = "SIGTERM"
            return
        raise pytest.Session.Interrupted("SIGTERM")
