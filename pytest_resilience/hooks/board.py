"""Where a process that runs tests says what it does, so that another one can read it: without a message, and after its death.

It is a page of memory that both have mapped. It cannot be in a file of the run: a store to a page for which the disk has
no room left, or which somebody has truncated, kills the process. Nobody can do either to memory that is sealed.
"""

import fcntl
import mmap
import os
import time
from contextlib import suppress
from typing import Any

from pytest_resilience.ledger.disk import DISK
from pytest_resilience.ledger.forks import let_go_in_children
from pytest_resilience.ledger.machine import PROC, Process

# The event with which a worker tells where its board is.
BOARD = "resilience-board"

# What a process may be in; between attempts it waits, and is idle between tests. The last three are for a session
# without workers.
PHASES = ("", "setup", "call", "teardown", "waiting", "collecting", "ending", "over")
_NUMBER = {phase: number for number, phase in enumerate(PHASES)}
_EACH = len(PHASES)

# The clock is the same in all processes of a machine. Tests replace it; we want the real one.
_clock = time.monotonic

_BEGUN, _SINCE, _WHAT, _LIMIT = range(4)
_SIZE = mmap.PAGESIZE


class Board:
    """What this process shows. Made with `create`."""

    def __init__(self, fd: int, slots: "memoryview[float]") -> None:
        self._fd = fd
        self._slots = slots
        let_go_in_children(self)

    @classmethod
    def create(cls) -> "Board | None":
        """A board of this process, None where the system has no such memory."""
        try:
            fd = DISK.lift(os.memfd_create("pytest-resilience", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
            os.ftruncate(fd, _SIZE)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            return cls(fd, memoryview(mmap.mmap(fd, _SIZE)).cast("d"))
        except (AttributeError, OSError, ValueError):
            return None

    def show(self, phase: str, attempt: int) -> None:
        """The process goes into a phase of an attempt; with its setup an attempt begins."""
        slots, now = self._slots, _clock()
        # What it is in comes last: who reads in between finds it younger than it is, never older.
        if phase == "setup":
            slots[_BEGUN] = now
        slots[_SINCE] = now
        slots[_WHAT] = attempt * _EACH + _NUMBER[phase]

    def goes_on(self) -> None:
        """The process gets on with its phase, which begins anew."""
        self._slots[_SINCE] = _clock()

    def allow(self, seconds: float) -> None:
        """How long an attempt may take from now on; 0 for any time."""
        self._slots[_LIMIT] = seconds

    @property
    def view(self) -> "View":
        """What others see, for a process that is forked from this one."""
        return View(self._slots)

    def plain(self) -> dict[str, Any]:
        """What another process needs to read it, as plain values."""
        return {"fd": self._fd, **Process.here()._asdict()}

    def close(self) -> None:
        """Nobody looks any more. A worker does not do this: what it showed last is wanted until it is gone."""
        self.forget()
        with suppress(OSError):
            DISK.close(self._fd)

    def forget(self) -> None:
        """In a forked child: what it does is not what its parent does."""
        self._slots = memoryview(bytearray(8 * 4)).cast("d")


class View:
    """The board of another process, as long as anybody wants to know what it shows or showed last."""

    def __init__(self, slots: "memoryview[float]") -> None:
        self._slots = slots

    @classmethod
    def of(cls, fd: int, **process: Any) -> "View | None":
        """What `Board.plain` of a process leads to; None for a process on another machine, or one that is gone."""
        there = Process(**process)
        if not there.start or Process.here(there.pid) != there:
            return None
        try:
            own = os.open(PROC / str(there.pid) / "fd" / str(fd), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return cls(memoryview(mmap.mmap(own, _SIZE, prot=mmap.PROT_READ)).cast("d"))
            finally:
                os.close(own)
        except (OSError, ValueError):
            return None

    @property
    def phase(self) -> str:
        """Where the process is, empty where it runs no attempt."""
        return PHASES[int(self._slots[_WHAT]) % _EACH]

    @property
    def attempt(self) -> int:
        """The number of its attempt."""
        return int(self._slots[_WHAT]) // _EACH

    @property
    def begun(self) -> float:
        """When its attempt began, by the clock of the machine."""
        return self._slots[_BEGUN]

    @property
    def since(self) -> float:
        """When its phase began."""
        return self._slots[_SINCE]

    @property
    def limit(self) -> float:
        """How long an attempt may take, 0 for any time."""
        return self._slots[_LIMIT]
