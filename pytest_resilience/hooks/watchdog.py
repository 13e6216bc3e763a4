"""Ends workers that hang, with all that they started, and knows afterwards what they hung in."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_resilience.core.codes import Code, told
from pytest_resilience.core.liveness import Ladder, Watched
from pytest_resilience.core.stacks import Stacks
from pytest_resilience.hooks import processes, xdist_ends, xdist_internals
from pytest_resilience.hooks.activity import Activity, Doing
from pytest_resilience.hooks.belonging import value_for
from pytest_resilience.hooks.limits import LIMITS, limit_of_stage
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.processes import Found, Owned, listed
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.stacks import SIGNAL, stacks_of
from pytest_resilience.hooks.terminal import Terminal
from pytest_resilience.ledger import machine
from pytest_resilience.ledger.stacks import size_of_stacks

# What begins while nobody looks is looked at after this: no limit of anybody is that exact, and ours are longer still.
_LONGEST_PAUSE = 0.25
_LONGEST_PAUSE_WITHOUT_LIMITS = 1.0
# Who comes to look so late was stopped, or the machine slept; or it is so busy that its workers had no time either.
_SLEPT = 3.0
# The end of the connection is heard right after the end of the process, unless a child of it keeps the connection open.
_SECONDS_TO_BE_HEARD = 1.0
# xdist ends a process after 10 s that does not end by itself: it, and not what it started, and nobody knows why.
_SECONDS_TO_EXIT = 9.0

# Tests replace these; we want the real ones.
_clock = time.monotonic
_kill = os.kill

_IN_WORDS = {"starting": "starting", "collecting": "collecting", "idle": "ending", "ended": "ending"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """A worker did not get on with what it did, and was ended after so many seconds."""

    worker: str
    doing: Doing
    seconds: float
    limit: float
    stacks: Stacks | None = None
    why_no_stacks: str = ""
    ended: tuple[Found, ...] = ()

    @property
    def how(self) -> str:
        """What the worker did, as ``was in the call for 2.0 s (limit 2 s) in a.py:7 in wait``."""
        place = self.stacks.place if self.stacks is not None else None
        where = f" in {place}" if place is not None else ""
        return f"{self._did} for {self.seconds:.1f} s (limit {self.limit:g} s){where}"

    @property
    def _did(self) -> str:
        doing = self.doing
        if doing.what != "running":
            return f"was {_IN_WORDS[doing.what]}"
        return f"was in the {doing.phase}" if doing.phase in ("setup", "call", "teardown") else "was"

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be known, in lines."""
        stack = () if self.stacks is not None else (f"no stack: {self.why_no_stacks}",)
        ended = (f"ended with it: {listed(self.ended)}",) if self.ended else ()
        return stack + ended


def how_slow(doing: Doing, seconds: float, limit: float, worker: str = "") -> str:
    """How long something takes, as ``5 s in its call, attempt 2 on gw0 (limit 10 s)``."""
    of_limit = f" (limit {limit:g} s)" if limit else ""
    if doing.what != "running":
        return f"{_IN_WORDS[doing.what]} for {seconds:.0f} s{of_limit}"
    where = f" in its {doing.phase}" if doing.phase else ""
    attempt = f", attempt {doing.attempt}" if doing.attempt > 1 else ""
    place = f" on {worker}" if worker else ""
    return f"{seconds:.0f} s{where}{attempt}{place}{of_limit}"


class Watchdog(Registered):
    """Looks at the workers in a thread of its own, whatever the controller is busy with.

    `hang_of` tells of a worker that was ended here. A worker that died is followed by what it left running.
    """

    def __init__(self, owner: Owner, terminal: Terminal, activity: Activity) -> None:
        self._owner = owner
        self._terminal = terminal
        self._activity = activity
        settings = owner.settings
        self._timeout: float = settings["hang.timeout"]
        self._slow: float = settings["hang.slow"]
        self._stages = {stage: limit_of_stage(settings, key) for stage, key in _STAGES.items()}
        self._limits: dict[str, float] = {}
        self._ladder = Ladder()
        self._owned: dict[Any, Owned] = {}
        self._told_to_end: dict[Any, float] = {}
        self._died: dict[Any, float] = {}
        self._asked: dict[Any, int] = {}
        self._hung: dict[Any, Hang] = {}
        self._finishes: float | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="resilience-watchdog", daemon=True)

    def hang_of(self, node: Any) -> Hang | None:
        """What a worker hung in, None for one that was not ended here."""
        return self._hung.get(node)

    # -- hooks ----------------------------------------------------------------------------------------------------

    # First, so that the worker is known when others begin to speak to it.
    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_configure_node(self, node: Any) -> None:
        keeps_children = self._owner.settings["worker.orphans"] == "keep"
        self._owned[node] = Owned(frozenset(), "")
        with self._owner.guarded():
            self._owned[node] = _owned(node, keeps_children=keeps_children)
        xdist_internals.hear_at_once(node, LIMITS, self._heard)
        if not self._thread.is_alive() and not self._is_over.is_set():
            self._thread.start()

    def _heard(self, node: Any, values: Mapping[str, Any]) -> None:
        with self._owner.guarded():
            self._limits.update(json.loads(values["text"]))

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """What a worker leaves behind that died would be in the way of those that come."""
        if error is not None and node not in self._hung and xdist_ends.is_cut_off(node):
            with self._owner.guarded():
                ended, alive = processes.end(self._owned[node])
                self._tell_left(node, ended, alive)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        # From here on xdist waits for the processes of its workers.
        self._finishes = _clock()

    def pytest_unconfigure(self) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(5)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        looked = _clock()
        while not self._is_over.wait(max(0.01, self._ladder.seconds_left(looked, self._longest_pause))):
            before, looked = looked, _clock()
            slept = looked - before
            with self._owner.guarded():
                self._look(slept if slept > _SLEPT else 0.0)

    @property
    def _longest_pause(self) -> float:
        has_limits = self._timeout or self._slow or self._limits or any(self._stages.values())
        return _LONGEST_PAUSE if has_limits else _LONGEST_PAUSE_WITHOUT_LIMITS

    def _look(self, slept: float) -> None:
        seen = {node: self._watched(node) for node in self._activity.workers()}
        for action in self._ladder.look(seen, _clock(), slept):
            node, watched = action.who, seen[action.who]
            with self._owner.guarded():
                match action.kind:
                    case "say":
                        self._say(node, watched, action.seconds)
                    case "ask":
                        self._ask(node)
                    case "end":
                        self._end(node, watched, action.seconds)

    def _watched(self, node: Any) -> Watched:
        """What a worker does, and how long it may."""
        doing = self._activity.of(node)
        process = xdist_internals.process_of_worker(node)
        is_dead = process is not None and has_exited(process)
        if doing.what == "ended":
            if is_dead or self._finishes is None:
                return Watched(what="ended", since=doing.since)
            limit = min(self._stages["ended"], _SECONDS_TO_EXIT)
            # On a busy machine some seconds are nothing to tell of.
            since = max(doing.since, self._finishes)
            return Watched(what="exits", since=since, limit=limit, slow=limit)
        if is_dead:
            died = self._died.setdefault(node, _clock())
            return Watched(what="dead", since=died + _SECONDS_TO_BE_HEARD, is_gone=True)
        if doing.what == "running":
            if doing.phase == "waiting":
                return Watched(what=doing, since=doing.since)
            limit = self._limits.get(doing.nodeid, self._timeout)
            # In which phase it is does not matter: the limit is for all of the attempt.
            what = (doing.nodeid, doing.attempt)
            return Watched(what=what, since=doing.since, limit=limit, slow=self._slow)
        since = doing.since
        if doing.what == "idle":
            if not xdist_internals.is_told_to_end(node):
                return Watched(what=doing, since=since)
            since = max(since, self._told_to_end.setdefault(node, _clock()))
        return Watched(what=doing.what, since=since, limit=self._stages[doing.what])

    def _say(self, node: Any, watched: Watched, seconds: float) -> None:
        doing, worker = self._activity.of(node), str(node.gateway.id)
        what = doing.nodeid if doing.what == "running" else worker
        self._terminal.slow(what, how_slow(doing, seconds, watched.limit, worker))

    def _ask(self, node: Any) -> None:
        """Have the worker write its stacks."""
        pid, folder = xdist_internals.pid_of_worker(node), self._owner.folder
        is_here = xdist_internals.process_of_worker(node) is not None
        if is_here and pid is not None and folder is not None and machine.catches(pid, SIGNAL):
            self._asked[node] = size_of_stacks(folder.path, str(node.gateway.id), pid)
            with suppress(OSError):
                _kill(pid, SIGNAL)

    def _end(self, node: Any, watched: Watched, seconds: float) -> None:
        """End the worker and all that it started. It is known to have hung before anybody can hear of its end."""
        owned = self._owned[node]
        if not watched.is_gone and node not in self._hung:
            others = tuple(one for one in owned.found() if one not in owned.roots)
            self._hung[node] = hang = self._hang(node, watched, seconds, others)
            if hang.doing.what != "running":
                # No report of a test is going to tell of it.
                stacks = ["", str(hang.stacks)] if hang.stacks is not None else []
                lines = [f"{hang.worker} {hang.how}; it was ended", *hang.notes, *stacks, ""]
                self._terminal.say(told(Code.WORKER_HUNG.code, "\n".join(lines)))
        if xdist_internals.process_of_worker(node) is None:
            xdist_internals.cut_off_worker(node)
            return
        ended, alive = processes.end(owned)
        self._tell_left(node, ended if watched.is_gone else [], alive)

    def _hang(self, node: Any, watched: Watched, seconds: float, others: tuple[Found, ...]) -> Hang:
        worker, pid = str(node.gateway.id), xdist_internals.pid_of_worker(node)
        stacks = None
        if node in self._asked:
            stacks = stacks_of(self._owner, worker, pid, self._asked[node])
        found = processes.process(pid) if pid is not None else None
        if found is not None and found.state in "Tt":
            why = "the process was stopped by a signal"
        else:
            why = "nobody answered in it" if node in self._asked else "nobody in it could be asked"
        return Hang(
            worker=worker,
            doing=self._activity.of(node),
            seconds=seconds,
            limit=watched.limit,
            stacks=stacks,
            why_no_stacks=why,
            ended=others,
        )

    def _tell_left(self, node: Any, ended: list[Found], alive: list[Found]) -> None:
        worker = str(node.gateway.id)
        if ended:
            text = f"{worker} died and left {listed(ended)} running; ended"
            self._owner.warn(Code.ORPHAN_PROCESS, text)
        if alive:
            text = f"{listed(alive)} of {worker} cannot be ended"
            self._owner.warn(Code.ORPHAN_PROCESS_NOT_STOPPED, text)


_STAGES = {"starting": "hang.start", "collecting": "hang.collect", "idle": "hang.end", "ended": "hang.end"}


def has_exited(process: "subprocess.Popen[bytes]") -> bool:
    """Whether a child is dead, left for others to wait for: they ask for more than its exit status, and one can ask once."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _owned(node: Any, *, keeps_children: bool) -> Owned:
    """How the processes of a worker are told from all others."""
    started = xdist_internals.process_of_worker(node)
    roots: set[Found] = set()
    pipes: set[str] = set()
    if started is not None:
        # An interpreter that was started through something else has another id than that.
        ids = {started.pid, xdist_internals.pid_of_worker(node)}
        roots = {found for pid in ids if pid is not None and (found := processes.process(pid)) is not None}
        pipes = {processes.pipe(one.fileno()) for one in (started.stdin, started.stdout) if one is not None}
    owned = Owned(frozenset(roots), value_for(node.workerinput), frozenset(pipes))
    return owned.without_programs if keeps_children else owned
