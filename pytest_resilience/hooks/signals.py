"""SIGTERM and SIGHUP end a session as Ctrl-C does: the ledger is closed, the summary and the resume command are told."""

import signal
import threading
from types import FrameType

import pytest

# Who stops a container or a job of CI sends the one, a terminal that is closed the other.
_HANDLED = (signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Handles signals while a session runs, except those that somebody else handles, or ignores as nohup does.

    The first one interrupts the session; pytest then closes it in order. A second SIGTERM kills; a second SIGHUP
    does nothing, because a terminal that is closed sends one by the shell and one by the kernel.
    """

    def __init__(self, *, is_worker: bool) -> None:
        self._is_worker = is_worker
        self._session: pytest.Session | None = None
        self._ours: list[signal.Signals] = []
        self._is_over = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session
        if threading.current_thread() is not threading.main_thread():
            return
        self._ours = [number for number in _HANDLED if signal.getsignal(number) is signal.SIG_DFL]
        for number in self._ours:
            signal.signal(number, self._interrupt)

    def pytest_unconfigure(self) -> None:
        self._give_back(*self._ours)

    def _give_back(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            if signal.getsignal(number) == self._interrupt:
                signal.signal(number, signal.SIG_DFL)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._give_back(signal.SIGTERM)
        if self._session is None or self._is_over:
            return
        self._is_over = True
        name = signal.Signals(number).name
        if self._is_worker:
            # Its controller got the same signal, or wants it to end: the test in flight finishes.
            self._session.shouldstop = name
            return
        raise pytest.Session.Interrupted(name)
