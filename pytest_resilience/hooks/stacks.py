"""Has faulthandler write the stacks of this process to a file of the run, when they are asked for and when it crashes."""

import faulthandler
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from pytest_resilience.hooks import internals
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.ledger import machine
from pytest_resilience.ledger.disk import DISK
from pytest_resilience.ledger.forks import let_go_in_children
from pytest_resilience.ledger.stacks import open_stacks, read_stacks

if TYPE_CHECKING:
    from pytest_resilience.core import stacks
    from pytest_resilience.hooks.owner import Owner

# Who wants the stacks of a process sends this. Programs use SIGUSR1 for themselves, and so do their tests; nothing of
# theirs uses one of these.
SIGNAL: int = signal.SIGRTMIN + 13 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR1

# Tests replace these; we want the real ones.
_getpid = os.getpid
_enable, _is_enabled = faulthandler.enable, faulthandler.is_enabled
_register, _unregister = faulthandler.register, faulthandler.unregister


class Stacks:
    """The file of one process, in `folder`, under the name of `worker`. No method ever raises an Exception.

    faulthandler writes on its own, whoever holds the GIL. It writes there when SIGNAL comes, unless somebody else
    handles that. With `takes_over` it does so for fatal errors too, instead of to the standard error, where the stack
    of a worker stands among the lines of all others. Who has switched pytest's own plugin off gets no fatal errors.
    """

    # Of a process, not of a session: tests of plugins run sessions within one.
    _is_taken: ClassVar[bool] = False

    def __init__(self, config: pytest.Config, folder: Path, worker: str, *, takes_over: bool) -> None:
        self._folder = folder
        self._worker = worker
        self._pid = _getpid()
        self._takes_over = takes_over and _is_enabled()
        self._stderr = internals.stderr_for_faults(config)
        self._fd: int | None = None
        self._identity = (0, 0)
        self._is_registered = False
        if Stacks._is_taken or machine.catches(self._pid, SIGNAL):
            return
        let_go_in_children(self)
        self._open()

    def check(self) -> None:
        """Open the file again if a test closed it."""
        if self._is_registered and not self._is_ours():
            self._open()

    def close(self) -> None:
        """Leave everything as it was. A worker does not: its stacks are wanted until it is gone."""
        if not self._is_registered or _getpid() != self._pid:
            return
        self._let_go()
        Stacks._is_taken = False

    def forget(self) -> None:
        """In a forked child: what it dies of is not what its parent died of."""
        if self._is_registered:
            self._let_go()

    def _open(self) -> None:
        with suppress(OSError, ValueError, RuntimeError):
            self._fd = open_stacks(self._folder, self._worker, self._pid)
            found = DISK.fstat(self._fd)
            self._identity = (found.st_dev, found.st_ino)
            _register(SIGNAL, file=self._fd, all_threads=True, chain=False)
            self._is_registered = Stacks._is_taken = True
            if self._takes_over:
                _enable(file=self._fd)

    def _let_go(self) -> None:
        self._is_registered = False
        with suppress(OSError, ValueError, RuntimeError):
            _unregister(SIGNAL)
            if self._takes_over and self._stderr is not None:
                _enable(file=self._stderr)
        if self._fd is not None and self._is_ours():
            with suppress(OSError):
                DISK.close(self._fd)

    def _is_ours(self) -> bool:
        try:
            found = DISK.fstat(self._fd if self._fd is not None else -1)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity


class OfSession(Registered):
    """Keeps the file of a session without workers.

    What it dies of goes to the standard error, where a person looks; with a guard, who shows it there, to the file.
    """

    def __init__(self, owner: "Owner", is_guarded: Callable[[], bool]) -> None:
        self._owner = owner
        self._is_guarded = is_guarded
        self._stacks: Stacks | None = None

    def pytest_sessionstart(self) -> None:
        folder = self._owner.folder
        if folder is not None:
            self._stacks = Stacks(self._owner.config, folder.path, "ctl", takes_over=self._is_guarded())

    def pytest_unconfigure(self) -> None:
        if self._stacks is not None:
            self._stacks.close()


def stacks_of(owner: "Owner", worker: str, pid: int | None, after: int = 0) -> "stacks.Stacks | None":
    """The last stacks that a process of the run wrote after so many bytes of its file, secrets taken out.

    None when there are none, as of a worker on another machine.
    """
    if owner.folder is None or pid is None:
        return None
    from pytest_resilience.core import stacks

    text = owner.redactor.text(read_stacks(owner.folder.path, worker, pid, after))
    return stacks.parse(text, str(owner.config.rootpath))
