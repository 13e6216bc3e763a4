"""What the guard of a session does: it interrupts what hangs there, and ends the session where that does not help."""

import os
import select
import time
from contextlib import suppress

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, TestFinished
from pytest_resilience.core.liveness import Ladder, Watched
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.stacks import Stacks
from pytest_resilience.hooks import processes
from pytest_resilience.hooks.activity import Doing
from pytest_resilience.hooks.board import View
from pytest_resilience.hooks.guarded import STAGES
from pytest_resilience.hooks.interruption import INTERRUPT
from pytest_resilience.hooks.limits import limit_of_stage
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.processes import Owned
from pytest_resilience.hooks.stacks import SIGNAL, stacks_of
from pytest_resilience.hooks.terminal import Terminal
from pytest_resilience.hooks.watchdog import Hang, how_slow
from pytest_resilience.ledger import machine
from pytest_resilience.ledger.reading import facts_of
from pytest_resilience.ledger.segments import Segment
from pytest_resilience.ledger.stacks import size_of_stacks

# What begins while nobody looks is looked at after this: no limit of anybody is that exact.
_LONGEST_PAUSE = 0.25
# Longer than for a worker: the end costs the whole session, and on a busy machine it takes time to be interrupted.
_GRACE_SECONDS = 1.5
_SHOW = "What became of every test: pytest-resilience show"

# Tests replace these; we want the real ones.
_clock, _kill, _getpid = time.monotonic, os.kill, os.getpid


class Guard:
    """Made in the session, which shows what it does in `view`; looks in a process of its own, until that is over or dead."""

    def __init__(self, owner: Owner, terminal: Terminal, view: View) -> None:
        self._owner = owner
        self._terminal = terminal
        self._view = view
        self._pid = _getpid()
        root = processes.process(self._pid)
        self._owned = Owned(frozenset({root} if root is not None else ()), "")
        self._slow: float = owner.settings["hang.slow"]
        self._stages = {stage: limit_of_stage(owner.settings, key) for key, stage in STAGES.items()}
        self._ladder = Ladder(_GRACE_SECONDS)
        self._resumed = 0.0
        self._interrupted: tuple[object, float] | None = None
        self._is_interrupting = False
        self._interrupted_phase: tuple[float, int, str] | None = None
        self._asked: int | None = None

    def stacks_of_session(self, after: int = 0) -> Stacks | None:
        """What all threads of the session did when they were asked last, of what stands after so many bytes."""
        return stacks_of(self._owner, "ctl", self._pid, after)

    def watch(self, session: int) -> None:
        """Look until there is nothing more to see; `session` is a descriptor that tells of the death of the session."""
        while not select.select([session], [], [], self._pause())[0]:
            if self._view.phase == "over":
                return
            with self._owner.guarded():
                self._look()
        if self._view.phase != "over":
            self._tell_crash()

    def _pause(self) -> float:
        return max(0.01, self._ladder.seconds_left(_clock(), _LONGEST_PAUSE))

    def _look(self) -> None:
        watched = self._watched()
        if watched is None:
            self._ladder.look({}, _clock())
            return
        if self._is_interrupting:
            # A signal that comes just before a process begins to wait for a lock does not wake it.
            self._is_interrupting = self._interrupted == (
                (self._view.begun, self._view.attempt),
                self._view.since,
            )
            self._send(*[INTERRUPT] * self._is_interrupting)
        for action in self._ladder.look({self._pid: watched}, _clock()):
            match action.kind:
                case "say":
                    self._say(watched, action.seconds)
                case "ask":
                    self._ask()
                case "end":
                    self._end(watched, action.seconds)

    def _watched(self) -> Watched | None:
        """What the session does, and how long it may. While a person has stopped it, its time does not pass."""
        found = processes.process(self._pid)
        if found is None or found.state in "Tt":
            self._resumed = _clock()
            return None
        view = self._view
        phase, since = view.phase, view.since
        if phase in self._stages:
            return Watched(what=phase, since=max(since, self._resumed), limit=self._stages[phase])
        if phase not in ("setup", "call", "teardown"):
            return None
        # In which phase it is does not matter: the limit is for all of the attempt. What is left to do of one that was
        # interrupted has the same time again.
        what: object = (view.begun, view.attempt)
        begun = view.begun
        if self._interrupted is not None and self._interrupted[0] == what and since != self._interrupted[1]:
            what, begun = (what, since), since
        return Watched(what=what, since=max(begun, self._resumed), limit=view.limit, slow=self._slow)

    def _doing(self) -> Doing:
        view = self._view
        if view.phase in self._stages:
            return Doing("collecting" if view.phase == "collecting" else "ended", view.since)
        return Doing("running", view.begun, self._in_flight(), view.phase, view.attempt)

    def _in_flight(self) -> str:
        """The key of the test that runs, as far as the ledger knows."""
        folder = self._owner.folder
        key = ""
        if folder is not None:
            for _, fact in facts_of(folder.path, folder.seal):
                if isinstance(fact, AttemptStarted):
                    key = fact.key
                elif isinstance(fact, TestFinished) and fact.key == key:
                    key = ""
        return key

    def _say(self, watched: Watched, seconds: float) -> None:
        doing = self._doing()
        self._terminal.slow_elsewhere(doing.nodeid or "the session", how_slow(doing, seconds, watched.limit))

    def _ask(self) -> None:
        """Have the stacks written, and what hangs interrupted, if it can be."""
        folder, view = self._owner.folder, self._view
        self._interrupted = (view.begun, view.attempt), view.since
        phase = (view.begun, view.attempt, view.phase)
        # What goes on after one interruption goes on after another.
        self._is_interrupting = phase != self._interrupted_phase
        self._interrupted_phase = phase
        self._asked = size_of_stacks(folder.path, "ctl", self._pid) if folder is not None else None
        self._send(SIGNAL, *[INTERRUPT] * self._is_interrupting)

    def _send(self, *numbers: int) -> None:
        for number in numbers:
            if machine.catches(self._pid, number):
                with suppress(OSError):
                    _kill(self._pid, number)

    def _end(self, watched: Watched, seconds: float) -> None:
        """End the session and all that it started; before that it stands in the ledger why."""
        doing = self._doing()
        others = tuple(one for one in self._owned.found() if one not in self._owned.roots)
        hang = Hang(
            worker="the session",
            doing=doing,
            seconds=seconds,
            limit=watched.limit,
            stacks=self.stacks_of_session(self._asked) if self._asked is not None else None,
            why_no_stacks="nobody in it could be asked",
            ended=others,
        )
        stacks = [str(hang.stacks)] if hang.stacks is not None else []
        calls = hang.stacks.in_short() if hang.stacks is not None else ""
        why = f"the session {hang.how}"
        self._write(doing, Outcome.TIMED_OUT, Code.WORKER_HUNG, f"{why}\n{calls}".strip(), seconds)
        test = f"{doing.nodeid}: " if doing.nodeid else ""
        told = f"{Code.WORKER_HUNG}: {test}{why}. It cannot be interrupted, so the session ends. {_SHOW}"
        self._terminal.say_elsewhere("\n\n".join((told, *stacks, *hang.notes)))
        # Last: what follows on the terminal is the shell's.
        processes.end(self._owned)
        os._exit(0)

    def _write(self, doing: Doing, outcome: Outcome, code: Code, why: str, seconds: float) -> None:
        """Put on record how the attempt ended. That the session finished it meanwhile would outrank that."""
        folder, settings = self._owner.folder, self._owner.settings
        if folder is None or not doing.nodeid:
            return
        segment = Segment.create(
            folder.path,
            "guard",
            run=folder.id,
            durability=settings["ledger.durability"],
            trouble=self._owner.warn,
            redactor=self._owner.redactor,
            seal=folder.seal,
        )
        segment.write(
            AttemptEnded(
                key=doing.nodeid,
                attempt=doing.attempt,
                outcome=outcome,
                phase=doing.phase,
                seconds=round(seconds, 6),
                code=code.code,
                message=f"{code}: {why}",
            )
        )
        segment.close()

    def _tell_crash(self) -> None:
        """The session died of itself: show what faulthandler wrote, which went to a file and not to the terminal."""
        with self._owner.guarded():
            stacks = self.stacks_of_session()
            if stacks is None or not stacks.error:
                return
            where = f" in {stacks.place}" if stacks.place is not None else ""
            why = f"the session died of: {stacks.error}{where}\n{stacks.in_short()}"
            doing = self._doing()
            self._write(doing, Outcome.CRASHED, Code.WORKER_CRASHED, why, _clock() - doing.since)
            self._terminal.say_elsewhere(f"{stacks}\n\n{_SHOW}")
