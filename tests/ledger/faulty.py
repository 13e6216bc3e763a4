"""A disk that fails, stops or takes only a part at the calls that a test names, whichever methods `Disk` has by then."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_resilience.ledger.disk import DISK, Disk

# Chance is no matter of the disk.
CALLS = tuple(
    name
    for name in dir(Disk)
    if not name.startswith("_") and name != "urandom" and callable(getattr(Disk, name))
)
# What remains of a dead process is tidied up with these.
_TIDYING = frozenset({"close", "fstat"})
# These have an answer for every case and never fail; what they do is done by others.
_NEVER_FAIL = frozenset({"copy_high", "lift"})


class Died(BaseException):
    """The process ended in this call. Whatever runs after it in a test reaches the disk no more."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What one call does instead of what it should.

    An append takes `size` bytes; any other call does all of its work when that is not 0, and nothing of it otherwise.
    Then the process dies, or `error` is raised if there is one.
    """

    error: int = 0
    size: int = 0
    dies: bool = False

    def raise_it(self) -> None:
        """Raise what there is to raise."""
        if self.dies:
            raise Died
        if self.error:
            raise OSError(self.error, os.strerror(self.error))


class FaultyDisk(Disk):
    """Numbers its calls from 0; those with a number in `faults` go wrong. Nothing is ever synced in earnest.

    Refuses to append to a file that it has not made itself. `left_open` holds the descriptors that nobody closed,
    `failed` the methods that went wrong.
    """

    _fsync = staticmethod(lambda fd: None)
    _fdatasync = staticmethod(lambda fd: None)

    def __init__(self, faults: Mapping[int, Fault] | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self._faults = faults or {}
        self._last = max(self._faults, default=-1)
        self._is_dead = False
        self._made: set[tuple[int, int]] = set()
        self.left_open: set[int] = set()
        self.failed: list[str] = []

    @property
    def is_sound(self) -> bool:
        """No call fails from now on."""
        return len(self.calls) > self._last

    def call(self, name: str, work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Do the work of a method, or what is to happen instead."""
        if self._is_dead and name not in _TIDYING:
            raise Died
        if name in _NEVER_FAIL:
            return self._noted(name, args, work(*args))
        fault = self._faults.get(len(self.calls))
        self.calls.append((name, len(args[1]) if name == "append" else 0))
        if name == "append":
            result = self._append(work, args[0], args[1] if fault is None else args[1][: fault.size])
        elif fault is None or fault.size or name == "close":
            result = self._noted(name, args, work(*args))
        else:
            result = None
        if fault is not None:
            self.failed.append(name)
            self._is_dead = self._is_dead or fault.dies
            if name.startswith("open") and result is not None:
                self.close_all(result)
            fault.raise_it()
        return result

    def _append(self, work: Callable[..., int], fd: int, data: bytes) -> int:
        assert _identity(fd) in self._made, "the ledger wrote to a file that is not its own"
        return work(fd, data) if data else 0

    def _noted(self, name: str, args: tuple[Any, ...], result: Any) -> Any:
        if name == "close":
            self.left_open.discard(args[0])
        elif name.startswith(("open", "copy")) and result is not None:
            self.left_open.add(result)
        if name == "open_new":
            self._made.add(_identity(result))
        return result

    def close_all(self, *some: int) -> None:
        """Close these descriptors, or all that are left open."""
        for fd in some or tuple(self.left_open):
            os.close(fd)
            self.left_open.discard(fd)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _guarded(name: str) -> Callable[..., Any]:
    def method(self: FaultyDisk, *args: Any, **more: Any) -> Any:
        return self.call(name, partial(getattr(super(FaultyDisk, self), name), **more), args)

    return method


for _name in CALLS:
    setattr(FaultyDisk, _name, _guarded(_name))


@contextmanager
def in_place_of_the_disk(disk: FaultyDisk) -> Iterator[None]:
    """All of the ledger uses this disk meanwhile, also what was not given one."""
    for name in CALLS:
        setattr(DISK, name, getattr(disk, name))
    try:
        yield
    finally:
        vars(DISK).clear()
