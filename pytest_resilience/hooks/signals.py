"""Signals that end a session in order: the ledger is closed, the summary and the resume command are told."""

import signal
import threading
import time
from _thread import start_new_thread
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_resilience.hooks.registered import Registered

if TYPE_CHECKING:
    from pytest_resilience.hooks.last_words import LastWords

# Tests replace these; we want the real ones.
_sleep = time.sleep

_SECONDS_TO_TELL = 1.0

# Who stops a container or a job of CI sends the one, a terminal that is closed the other.
_OF_ALL = (signal.SIGTERM, signal.SIGHUP)
# What a process does at a signal that nobody has touched.
_DEFAULTS: dict[signal.Signals, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


class Answer(Protocol):
    """What a process does at signals. Called in the handler, that is anywhere between two steps of the main thread."""

    def first(self, number: signal.Signals) -> None:
        """End the session in order. May raise what interrupts it."""

    def again(self, number: signal.Signals) -> None:
        """Another one came before the session was over. May raise; when it returns, the signal does what it always does."""


class Signals(Registered):
    """Handles signals while a session runs, except those that somebody else handles, or ignores as nohup does.

    A second SIGTERM kills, a second SIGINT raises KeyboardInterrupt; a second SIGHUP does nothing, because a terminal that
    is closed sends one by the shell and one by the kernel. `and_interrupts` takes SIGINT as well: only where no test runs,
    because there are tests of Ctrl-C, and asyncio does not take it from a handler that is not Python's own.
    """

    def __init__(self, answer: Answer, *, and_interrupts: bool = False) -> None:
        self._answer = answer
        self._wanted = (*_OF_ALL, signal.SIGINT) if and_interrupts else _OF_ALL
        self._ours: list[signal.Signals] = []
        self._is_told = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._ours = [one for one in self._wanted if signal.getsignal(one) is _DEFAULTS[one]]
        for number in self._ours:
            signal.signal(number, self._handle)

    def pytest_unconfigure(self) -> None:
        for number in self._ours:
            self._give_back(number)

    def _give_back(self, number: signal.Signals) -> None:
        if signal.getsignal(number) == self._handle:
            signal.signal(number, _DEFAULTS[number])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        which = signal.Signals(number)
        if not self._is_told:
            self._is_told = True
            self._answer.first(which)
            return
        self._answer.again(which)
        if which is not signal.SIGHUP:
            self._give_back(which)
            signal.raise_signal(which)


class InThisProcess(Registered):
    """The answer of a session without workers: the test in flight has some seconds to end, then it is interrupted."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._session: pytest.Session | None = None
        self._is_out = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        self._session = session
        try:
            return (yield)
        finally:
            self._session = None

    def first(self, number: signal.Signals) -> None:
        """Stop after the test in flight. Where none can be, there is nothing to wait for."""
        if self._session is None or not self._seconds:
            raise pytest.Session.Interrupted(number.name)
        self._session.shouldstop = number.name
        start_new_thread(self._run_out, (number,))

    def again(self, number: signal.Signals) -> None:
        """When the seconds are over: interrupt the test."""
        if self._is_out:
            self._is_out = False
            raise pytest.Session.Interrupted(number.name)

    def _run_out(self, number: signal.Signals) -> None:
        _sleep(self._seconds)
        if self._session is not None:
            self._is_out = True
            # Nothing else wakes what sleeps.
            signal.pthread_kill(threading.main_thread().ident, number)  # type: ignore[arg-type]


class OnWorker(Registered):
    """The answer of a worker: the test in flight finishes, as long as the controller lets it."""

    def __init__(self, last_words: "LastWords") -> None:
        self._last_words = last_words
        self._session: pytest.Session | None = None
        # Taken until the controller has been told.
        self._untold = threading.Lock()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def first(self, number: signal.Signals) -> None:
        """Stop after the test in flight, and have all others stop: nobody ends one worker to keep the others."""
        if self._session is not None:
            self._session.shouldstop = number.name
        # Not from here: the main thread may hold the lock of the channel.
        self._untold.acquire(blocking=False)
        start_new_thread(self._tell, (number.name,))

    def again(self, number: signal.Signals) -> None:
        """It dies, but not before the controller knows of what: else its test has crashed."""
        self._untold.acquire(timeout=_SECONDS_TO_TELL)

    def _tell(self, name: str) -> None:
        try:
            self._last_words.interrupted(name)
        finally:
            self._untold.release()
