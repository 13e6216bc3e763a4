"""Who is alive: locks that the kernel frees when their holder dies, whatever it left running.

The locks that a session holds are plain `flock`: filelock takes 50 ms to import and then sees every audit event of
the process, 2 % of the time of a test that does nothing. It guards the store, where it is needed for milliseconds
and rarely.
"""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_resilience.ledger.disk import DISK, opened_folder
from pytest_resilience.ledger.forks import let_go_in_children

# Somebody who asks whether a lock is held is in its way for microseconds.
ASKING_SECONDS = 0.1
STORE_SECONDS = 5.0

_sleep = time.sleep
_clock = time.monotonic


class Lock:
    """A lock that is held. It is freed by `release` and by the death of this process, not by a fork's child."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        self._identity = _identity(fd)
        let_go_in_children(self)

    @classmethod
    def acquire(cls, path: Path, seconds: float = ASKING_SECONDS) -> "Lock | None":
        """The lock at `path`, or None if somebody else holds it. OSError where there can be no lock."""
        with opened_folder(path.parent) as folder:
            # Tests close all the descriptors from 3 to 255.
            fd = DISK.lift(DISK.open_lock(path.name, folder))
        until = _clock() + seconds
        while True:
            try:
                DISK.try_lock(fd)
                return cls(fd)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                    DISK.close(fd)
                    raise
            if _clock() >= until:
                DISK.close(fd)
                return None
            _sleep(0.002)

    def release(self) -> None:
        """Let others have it. Never raises; a second call does nothing."""
        self._close(free=True)

    def forget(self) -> None:
        """In a forked child: the lock stays with the parent."""
        self._close(free=False)

    def _close(self, *, free: bool) -> None:
        fd, self._fd = self._fd, None
        if fd is None or _identity(fd) != self._identity:
            return
        with suppress(OSError):
            if free:
                DISK.unlock(fd)
            DISK.close(fd)


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        found = DISK.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock at `path`; who cannot be asked is taken for alive. Nothing is made or kept.

    Two who ask at the same time do not take each other for a holder.
    """
    try:
        with opened_folder(path.parent) as folder:
            fd = DISK.open_old(path.name, folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    try:
        DISK.try_lock(fd, shared=True)
    except OSError:
        return True
    finally:
        DISK.close(fd)
    return False


@contextmanager
def store_lock(path: Path, seconds: float = STORE_SECONDS) -> Iterator[bool]:
    """Hold the lock of a store for a moment; False when it could not be had, and then nothing may be removed."""
    from filelock import FileLock, Timeout

    lock = FileLock(str(path), timeout=seconds, mode=0o600, fallback_to_soft=False)
    try:
        # filelock would make the folder.
        with opened_folder(path.parent):
            lock.acquire()
    except (Timeout, OSError, RuntimeError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        with suppress(Exception):
            lock.release()
