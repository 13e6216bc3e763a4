"""The processes that belong to a worker, and their end: its children, and what they left to nobody.

Whose parent died has another one, so that no tree leads to it. What was started as a program has inherited a variable of
the environment; what was forked holds the pipes through which the worker speaks to its controller.
"""

import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_resilience.hooks.belonging import VARIABLE
from pytest_resilience.ledger.machine import PROC

# How long the killed may take to be gone, and how often it is looked: what is killed may have started something.
_SECONDS = 2.0
_PAUSE = 0.01

# Tests replace these; we want the real ones.
_kill, _getpid, _sleep, _clock = os.kill, os.getpid, time.sleep, time.monotonic


@dataclass(frozen=True, slots=True)
class Found:
    """A process: its id, and when it began as the kernel counts; who its parent is now, and its state there."""

    pid: int
    start: str
    parent: int = field(compare=False, default=0)
    state: str = field(compare=False, default="")
    name: str = field(compare=False, default="")

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"

    @property
    def is_dead(self) -> bool:
        """Whether nothing but its exit status is left of it."""
        return self.state in "ZX"


@dataclass(frozen=True, slots=True)
class Owned:
    """How to tell the processes of a worker: itself, the value of its variable, and its pipes as the system calls them."""

    roots: frozenset[Found]
    value: str
    pipes: frozenset[str] = frozenset()
    with_children: bool = True

    @property
    def without_programs(self) -> "Owned":
        """The worker alone, and what was forked from it and holds its pipes: nobody would hear of its end."""
        return replace(self, value="", with_children=False)

    def found(self, proc: Path = PROC) -> list[Found]:
        """All that live, the worker itself first if it does. None of this process, nor of those that it descends from."""
        everybody = {one.pid: one for one in _everybody(proc)}
        ours = {_getpid(), *_ancestors(_getpid(), everybody)}
        roots = {root.pid for root in self.roots if everybody.get(root.pid) == root}
        tree = _tree(roots, everybody) if self.with_children else roots
        # What the controller forked has its ends of the pipes, and is nobody's orphan. Orphans are children of 1.
        others = _tree({_getpid()}, everybody) if _getpid() != 1 else set()
        owned = set(tree)
        for pid in everybody.keys() - tree - ours:
            is_started = bool(self.value) and _has_variable(proc / str(pid), self.value)
            if is_started or (pid not in others and _holds(proc / str(pid), self.pipes)):
                owned |= _tree({pid}, everybody)
        return sorted(
            (everybody[pid] for pid in owned - ours if not everybody[pid].is_dead),
            key=lambda one: (one.pid not in roots, one.pid),
        )


def process(pid: int, proc: Path = PROC) -> Found | None:
    """The process that has this id now."""
    return _described(proc / str(pid))


def pipe(fd: int) -> str:
    """What the system calls the pipe that a descriptor leads to, be it one end or the other."""
    return str((PROC / "self" / "fd" / str(fd)).readlink())


def _everybody(proc: Path) -> Iterator[Found]:
    with suppress(OSError):
        for one in proc.iterdir():
            if one.name.isdecimal() and (found := _described(one)) is not None:
                yield found


def _described(process: Path) -> Found | None:
    with suppress(OSError, ValueError, IndexError):
        # The name of the program stands in brackets, and may have brackets and spaces of its own.
        before, _, after = (process / "stat").read_bytes().rpartition(b")")
        words = after.split()
        name = before.partition(b"(")[2].decode("utf-8", "replace")
        return Found(int(process.name), str(int(words[19])), int(words[1]), words[0].decode("ascii"), name)
    return None


def _ancestors(pid: int, everybody: dict[int, Found]) -> Iterator[int]:
    while (found := everybody.get(pid)) is not None and found.parent:
        pid = found.parent
        yield pid


def _tree(roots: Collection[int], everybody: dict[int, Found]) -> set[int]:
    """The roots that exist, and all that descends from them."""
    children: dict[int, list[int]] = {}
    for found in everybody.values():
        children.setdefault(found.parent, []).append(found.pid)
    tree: set[int] = set()
    waiting = [pid for pid in roots if pid in everybody]
    while waiting:
        pid = waiting.pop()
        if pid not in tree:
            tree.add(pid)
            waiting += children.get(pid, ())
    return tree


def _has_variable(process: Path, value: str) -> bool:
    with suppress(OSError):
        return f"{VARIABLE}={value}".encode() in (process / "environ").read_bytes().split(b"\0")
    return False


def _holds(process: Path, pipes: Collection[str]) -> bool:
    if not pipes:
        return False
    with suppress(OSError):
        for file in (process / "fd").iterdir():
            # It closes a file, or ends, while it is looked at.
            with suppress(OSError):
                if str(file.readlink()) in pipes:
                    return True
    return False


def end(owned: Owned, proc: Path = PROC) -> tuple[list[Found], list[Found]]:
    """Kill all processes of a worker, and what they start meanwhile. Those that were ended, and those that live on."""
    ended: set[Found] = set()
    until = _clock() + _SECONDS
    while alive := owned.found(proc):
        ended.update(alive)
        for one in alive:
            # Another one may have the id by now.
            if _described(proc / str(one.pid)) == one:
                with suppress(OSError):
                    _kill(one.pid, signal.SIGKILL)
        if _clock() > until:
            break
        _sleep(_PAUSE)
    return sorted(ended.difference(alive), key=lambda one: one.pid), alive


def listed(processes: Iterable[Found], most: int = 5) -> str:
    """Processes as a person knows them: ``sleep (4711), postgres (4712)``."""
    several = list(processes)
    more = f" and {len(several) - most} more" if len(several) > most else ""
    return ", ".join(map(str, several[:most])) + more
