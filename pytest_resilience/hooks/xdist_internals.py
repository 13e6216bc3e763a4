"""The controller's side of pytest-xdist, where it is private: one file to mend when that changes."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from pytest_resilience.hooks.messages import EVENT

# Tests replace these; we want the real ones.
_clock, _sleep, _wait4 = time.monotonic, time.sleep, os.wait4

# How long a worker whose connection broke may take to end.
SECONDS_TO_DIE = 2.0


def dsession(config: pytest.Config) -> Any:
    """The session that distributes tests, None when nothing is distributed."""
    return config.pluginmanager.get_plugin("dsession")


# Takes an event of a worker, by its values; True for one that is for us alone.
Hearer = Callable[[Any, dict[str, Any]], bool | None]

_hearers: WeakKeyDictionary[Any, dict[str, Hearer]] = WeakKeyDictionary()
# The name under which the end of the connection is heard.
END = "end"


def overhear(node: Any, name: str, heard: Hearer) -> None:
    """Call `heard(node, values)` with each event of this name from a worker, as it comes, before xdist takes it.

    That is in the execnet thread of that worker: it must not raise. xdist does not know our own events, and raises at
    them: those `heard` is true for. An event has one who hears it; `END` comes when no more can come.
    """
    hearers = _hearers.get(node)
    if hearers is not None:
        hearers[name] = heard
        return
    hearers = _hearers[node] = {name: heard}
    inner = node.process_from_remote

    def process(event: Any) -> None:
        # All events of all tests come through here, and most are of no interest: one look for all who hear.
        if type(event) is tuple:
            hear = hearers.get(event[0])
            if hear is not None and hear(node, event[1]):
                return
        elif END in hearers:
            hearers[END](node, {})
        inner(event)

    node.process_from_remote = process


def hear_at_once(node: Any, name: str, heard: Callable[[Any, dict[str, Any]], None]) -> None:
    """Call `heard(node, values)` with each event of ours of this name, in the execnet thread of that worker.

    It must not raise. So it is heard while the controller's loop is busy, and when that is over.
    """

    def hear(node: Any, values: dict[str, Any]) -> bool:
        heard(node, values)
        return True

    overhear(node, name, hear)


def hear(node: Any, config: pytest.Config, name: str, heard: Callable[[Any, dict[str, Any]], None]) -> None:
    """Call `heard(node, values)`, in the controller's loop, with each event of ours of this name from a worker.

    They go through the queue of xdist, so their order with reports is kept.
    """
    setattr(dsession(config), f"worker_{name}", heard)
    hear_at_once(node, name, lambda node, values: node.notify_inproc(name, node=node, values=values))


def send_to_the_living(node: Any) -> None:
    """Let what is sent to a worker that is dead be lost."""
    send = node.sendcommand
    # Answers to urgent messages are sent by another thread than the commands of the loop.
    lock = threading.Lock()

    def send_if_it_lives(name: str, **arguments: Any) -> None:
        # xdist 3.8 ends with an internal error when a worker died a moment ago; its end is on the way in the queue.
        with suppress(OSError), lock:
            send(name, **arguments)

    node.sendcommand = send_if_it_lives


def send_command(node: Any, text: str) -> None:
    """Send a message of ours to a worker; quiet when it is gone."""
    with suppress(OSError):
        node.sendcommand(EVENT, text=text)


def stop_workers(config: pytest.Config, reason: str, text: str) -> None:
    """Make every worker stop after the test it runs, by the message `text`, and the controller when all have."""
    session = dsession(config)
    if session is None:
        return
    session.shouldstop = reason
    for node in list(session._active_nodes):
        send_command(node, text)


def stops_for(config: pytest.Config) -> str:
    """Why xdist ends the session early, empty as long as it does not."""
    return str(dsession(config).shouldstop or "")


def after_failed_collections(config: pytest.Config, stopped: Callable[[str], None]) -> None:
    """Call `stopped(reason)` when xdist stops because a file cannot be collected (``--maxfail``, ``-x``)."""
    session = dsession(config)
    inner = session.worker_collectreport

    def handle(node: Any, rep: Any) -> None:
        before = session.shouldstop
        inner(node, rep)
        if session.shouldstop and not before:
            stopped(str(session.shouldstop))

    session.worker_collectreport = handle


def precede_tests(node: Any, name: str, texts: Callable[[Any, list[int]], list[str]]) -> None:
    """Before each command to run tests, send commands of our own: `texts` makes them of the worker and the indexes."""
    inner = node.sendcommand

    def send(command: str, **arguments: Any) -> None:
        if command == "runtests":
            for text in texts(node, arguments["indices"]):
                inner(name, text=text)
        inner(command, **arguments)

    node.sendcommand = send


def ask_before_end(node: Any, may_end: Callable[[Any], bool]) -> None:
    """Before a worker is told that nothing more follows, ask whether it may be."""
    inner = node.shutdown

    def shutdown() -> None:
        # A worker that sends what cannot be read is told so by the thread that hears it, and must end.
        if threading.current_thread() is not threading.main_thread() or may_end(node):
            inner()

    node.shutdown = shutdown


class Settled(Exception):
    """Raised from `pytest_handlecrashitem`: pytest is not to hear of this crash."""


def settle_crashes(config: pytest.Config) -> None:
    """Let that hook settle a crash: xdist reports it as a failure in any case."""
    session = dsession(config)
    inner = session.handle_crashitem

    def handle(nodeid: str, worker: Any) -> None:
        with suppress(Settled):
            inner(nodeid, worker)

    session.handle_crashitem = handle


class HeldReports:
    """Reports of tests that are not through yet: pytest gets them with that of the teardown, or not at all.

    Else a test whose worker dies in the teardown would have passed already, and count twice when it runs again.
    `arrived(node, reports)` takes all that a worker has told of a test, and is to `give` it to pytest.
    """

    def __init__(
        self, config: pytest.Config, arrived: Callable[[Any, list[pytest.TestReport]], None]
    ) -> None:
        session = dsession(config)
        self._arrived = arrived
        self._held: dict[Any, list[pytest.TestReport]] = {}
        self.give: Callable[[Any, pytest.TestReport], None] = session.worker_testreport
        session.worker_testreport = self._take
        for name in ("worker_runtest_protocol_complete", "worker_workerfinished", "worker_internal_error"):
            setattr(session, name, self._released_before(getattr(session, name)))
        down = session.worker_errordown

        def errordown(node: Any, error: object) -> None:
            down(node, error)
            self.release(node)

        session.worker_errordown = errordown

    def _take(self, node: Any, rep: pytest.TestReport) -> None:
        self._held.setdefault(node, []).append(rep)
        if rep.when == "teardown":
            self.release(node)

    def _released_before(self, inner: Callable[..., None]) -> Callable[..., None]:
        def handle(node: Any, **values: Any) -> None:
            if node in self._held:
                self.release(node)
            inner(node=node, **values)

        return handle

    def of(self, node: Any) -> list[pytest.TestReport]:
        """What a dead worker has told of a test that it did not finish; it is not told to anybody else."""
        return self._held.pop(node, [])

    def release(self, node: Any) -> None:
        """Let go what is held of a worker."""
        reports = self._held.pop(node, None)
        if reports is not None:
            self._arrived(node, reports)

    def release_all(self) -> None:
        """Let go what is held: the session ends."""
        for node in list(self._held):
            self.release(node)


class Pool:
    """The workers of a session of xdist, and its scheduler."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def workers(self) -> list[Any]:
        """All that have not ended, those included that are still starting."""
        return list(dsession(self._config)._active_nodes)

    def may_grow(self) -> bool:
        """Whether another worker can be started: not when the session is stopping, nor after too many crashes."""
        return not dsession(self._config).shouldstop and not restart_limit(self._config)

    def may_replace(self) -> bool:
        """Whether the worker that died just now is going to be replaced."""
        session = dsession(self._config)
        most: int | None = session._max_worker_restart
        return self.may_grow() and (most is None or session._failed_nodes_count < most)

    def oldest(self, node: Any) -> int | None:
        """The test that a worker was told first to run and is not through with; None where xdist keeps no list."""
        queue = getattr(dsession(self._config).sched, "node2pending", {}).get(node)
        return queue[0] if queue else None

    def has_nothing_for_another(self, scheduler: Any) -> bool:
        """Whether a worker that comes now would get no tests from this scheduler of xdist."""
        left_by_the_dead = getattr(scheduler, "_removed2pending", None)
        return bool(scheduler.tests_finished if left_by_the_dead is None else not left_by_the_dead)

    def start(self, like: Any) -> Any:
        """Start another worker, which does not count as a restart. Raises what the system raises when it cannot be."""
        session = dsession(self._config)
        node = session._clone_node(like)
        session.shuttingdown = False
        return node

    @property
    def scheduler(self) -> Any:
        """Who decides which worker runs what; another one can be put in its place."""
        return dsession(self._config).sched

    @scheduler.setter
    def scheduler(self, scheduler: Any) -> None:
        dsession(self._config).sched = scheduler

    def unheard(self) -> list[tuple[str, dict[str, Any]]]:
        """What workers have sent and the loop has not come to, by name, in order."""
        return list(dsession(self._config).queue.queue)

    def report_crash(self, nodeid: str, node: Any) -> None:
        """Report that a worker died while it ran a test that xdist took for done."""
        dsession(self._config).handle_crashitem(nodeid, node)


def end_workers_within(config: pytest.Config, seconds: float) -> None:
    """How long xdist waits for its workers at the end before it kills them."""
    manager = getattr(dsession(config), "nodemanager", None)
    if manager is not None:
        manager.EXIT_TIMEOUT = seconds


def number_of_workers(config: pytest.Config) -> int:
    """How many workers the run begins with, those that have not collected yet included."""
    return int(dsession(config).sched.numnodes) or 1


def restart_limit(config: pytest.Config) -> str:
    """What xdist says when it replaces no more workers, empty when it did not have to."""
    return str(getattr(dsession(config), "_summary_report", None) or "")


def pid_of_worker(node: Any) -> int | None:
    """The id that a worker has as a process on its machine; None when it never told."""
    try:
        # xdist asked for it when the worker started, and the answer is kept.
        return int(node.gateway._cache_rinfo.pid)
    except (AttributeError, TypeError, ValueError):
        return None


def process_of_worker(node: Any) -> "subprocess.Popen[bytes] | None":
    """The process that was started for a worker on this machine; None for one that somebody else started."""
    spec = node.gateway.spec
    if not spec.popen or spec.via:
        return None
    process: subprocess.Popen[bytes] | None = getattr(node.gateway._io, "popen", None)
    return process


def cut_off_worker(node: Any) -> None:
    """End the connection to a worker, as xdist does with one that does not end; one on another machine then ends."""
    with suppress(Exception):
        node.gateway._io.kill()


def is_told_to_end(node: Any) -> bool:
    """Whether a worker was told that no more tests follow."""
    return bool(node._shutdown_sent)


# How much memory the workers that are gone took at most, in MB.
_peaks: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def exit_of_worker(node: Any) -> int | None:
    """The exit status of a worker that is gone, negative for a signal; None when it cannot be told."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if process is None:
        return None
    with suppress(Exception):
        _reap(node, process)
    try:
        return int(process.wait(timeout=SECONDS_TO_DIE))
    except Exception:
        return None


def peak_of_worker(node: Any) -> int | None:
    """How much memory a worker took at most, in MB, once `exit_of_worker` was asked; None when it cannot be told."""
    return _peaks.get(node)


def _reap(node: Any, process: Any) -> None:
    """Wait for the end of a process in its place: it does not ask how much memory was taken, and one can ask only once."""
    until = _clock() + SECONDS_TO_DIE
    while process.returncode is None and _clock() < until:
        pid, status, usage = _wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            # In kB, but on macOS in bytes.
            _peaks[node] = usage.ru_maxrss // (1024 if sys.platform != "darwin" else 1024 * 1024)
        else:
            _sleep(0.001)
