"""Signals to the controller of an xdist run, and what a worker tells of one: tests in flight get some seconds, not more."""

import signal
import time
from _thread import start_new_thread
from typing import Any

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import DecisionTaken
from pytest_resilience.hooks import xdist_ends, xdist_internals
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.session import stop_workers
from pytest_resilience.hooks.terminal import Terminal

# Tests replace it; we want the real one.
_sleep = time.sleep

_INTERRUPTED = "resilience_interrupted"
# For what workers do when their session is over; xdist waits ten seconds.
_SECONDS_TO_CLOSE = 1.0


class Grace:
    """The time that tests in flight have to end. Workers that have not ended by then are killed, whatever they do."""

    def __init__(self, config: pytest.Config, seconds: float) -> None:
        self.seconds = seconds
        self.is_running = False
        # The workers that did not make it: their tests did not crash.
        self.overdue: set[Any] = set()
        self._config = config

    def begin(self) -> None:
        """Start the clock. Can be called from any thread, and again."""
        if not self.is_running:
            self.is_running = True
            start_new_thread(self._run, ())

    def _run(self) -> None:
        _sleep(self.seconds)
        self.end()

    def end(self) -> None:
        """End what is left."""
        for node in xdist_ends.workers(self._config):
            self.overdue.add(node)
            xdist_ends.kill(node)


class Interrupts(Registered):
    """The answer of a controller to signals: while its loop runs, that goes on until all workers have ended.

    So what they finish in that time is reported and counted as ever.
    """

    def __init__(self, owner: Owner, terminal: Terminal, grace: Grace) -> None:
        self._owner = owner
        self._terminal = terminal
        self._grace = grace
        self._is_in_loop = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> object:
        xdist_ends.hear_ourselves(self._owner.config, _INTERRUPTED, self._stop)
        self._is_in_loop = True
        try:
            return (yield)
        finally:
            self._is_in_loop = False

    def first(self, number: signal.Signals) -> None:
        """Let the loop know, which may wait in its queue: not from here, who comes between it and the lock of the queue."""
        if self._is_in_loop:
            start_new_thread(self._begin, (number.name,))
        elif number is signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise pytest.Session.Interrupted(number.name)

    def again(self, number: signal.Signals) -> None:
        """It is over at once: workers do not outlive a controller that dies of a second SIGTERM."""
        if number is not signal.SIGHUP:
            self._grace.end()

    def _begin(self, name: str) -> None:
        self._grace.begin()
        with self._owner.guarded():
            # At once, should the loop be busy; and once more in the loop, which knows whom xdist has started since.
            stop_workers(self._owner, _interrupted_by(name))
            xdist_ends.tell_ourselves(self._owner.config, _INTERRUPTED, name)

    def _stop(self, name: str) -> None:
        owner = self._owner
        if owner.decision is None:
            owner.decide(_interrupted_by(name))
            seconds = f"{self._grace.seconds:g} s"
            self._terminal.say(f"{name}: tests in flight have {seconds} to end; a second one ends at once")
        stop_workers(owner, owner.decision or _interrupted_by(name))

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """The loop is over. Should workers be left, they end after the test that they run, or are ended."""
        owner = self._owner
        if owner.decision is None or owner.decision.code != Code.INTERRUPTED_BY_SIGNAL.code:
            return
        if not self._grace.is_running and not xdist_ends.workers(owner.config):
            return
        # In this order: a second interrupt may come in between, and must not find the long wait.
        seconds = _SECONDS_TO_CLOSE if self._grace.is_running else self._grace.seconds
        xdist_internals.end_workers_within(owner.config, seconds)
        stop_workers(owner, owner.decision)


def _interrupted_by(name: str) -> DecisionTaken:
    return DecisionTaken(code=Code.INTERRUPTED_BY_SIGNAL.code, why=name)
