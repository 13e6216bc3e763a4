"""The file that one process writes its facts to, so that an acknowledged fact outlives any death of the process.

Nobody else ever writes to it, and nothing that goes wrong here reaches the tests: what cannot be written is counted,
the first trouble is told, and the next fact is tried again.
"""

import errno
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptStarted,
    DecisionTaken,
    Fact,
    RunEnded,
    SegmentOpened,
    TestFinished,
    TestsSelected,
)
from pytest_resilience.core.redaction import Redactor
from pytest_resilience.ledger.disk import DISK, Disk, append_all, opened_folder, sync_names
from pytest_resilience.ledger.forks import let_go_in_children
from pytest_resilience.ledger.lines import encode, split_tests
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.redaction import redacted
from pytest_resilience.ledger.seal import Seal

WRITER = re.compile(r"[A-Za-z0-9_-]{1,40}\.[0-9]{1,10}\.[0-9a-f]{8}")
SYNC_SECONDS = 1.0
FAILURES_BEFORE_A_NEW_FILE = 3

# After these the run, or the next test, goes on from a known state: a good moment to wait for the disk.
_MILESTONES = frozenset({TestFinished, DecisionTaken, RunEnded})
# The two kinds that every test writes: their keys were redacted when they were selected.
_FREQUENT = frozenset({AttemptStarted, TestFinished})
_HERE = os.SEEK_CUR
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})


def segment_name(writer: str) -> str:
    """The name of a writer's file."""
    return f"seg-{writer}.jsonl"


class Segment:
    """The segment of this process. Made with `create`; no method ever raises an Exception.

    `trouble` is called once in the life of the segment, with what happened to it first. `dropped` counts the facts
    that could not be written.
    """

    # What is called for every fact is kept here, where nothing that patches modules will find it.
    _getpid = staticmethod(os.getpid)
    _urandom = staticmethod(os.urandom)

    def __init__(
        self,
        folder: Path,
        worker: str,
        *,
        run: str,
        durability: str,
        trouble: Callable[[Code, str], None],
        clock: Callable[[], float],
        disk: Disk,
        redactor: Redactor,
        seal: Seal | None,
    ) -> None:
        self.dropped = 0
        self._folder = folder
        self._redactor = redactor
        self._worker = re.sub(r"[^A-Za-z0-9_-]", "_", redactor.text(worker))[:40] or "_"
        self._run = run
        self._durability = durability
        self._trouble: Callable[[Code, str], None] | None = trouble
        self._clock = clock
        self._disk = disk
        self._seal = seal
        self._pid = self._getpid()
        self._process = Process.here()
        self._lock = threading.RLock()
        self._writing = False
        self._closed = False
        self._later: deque[Fact] = deque()
        # The file: its descriptor, which file that is, how far it is known to be good, and whether it ends there.
        self._fd: int | None = None
        # As the system has them one after another: its number, its device, and under how many names it is known.
        self._identity = (0, 0, 0)
        self._good = 0
        self._intact = True
        self._failures = 0
        self._seq = 0
        # What a power cut could still take, to be written again should the disk say that it could not keep it.
        self._unsynced: deque[bytes] = deque(maxlen=10_000)
        self._synced_at = clock()
        self.writer = self._new_writer()

    @classmethod
    def create(
        cls,
        folder: Path,
        worker: str,
        *,
        run: str,
        durability: str = "second",
        trouble: Callable[[Code, str], None],
        clock: Callable[[], float] = time.time,
        disk: Disk = DISK,
        redactor: Redactor | None = None,
        seal: Seal | None = None,
    ) -> "Segment":
        """A segment of its own in the folder of a run, or one that tries again with every fact.

        Without a `redactor` tokens of well-known shapes alone are taken out of what is written.
        """
        segment = cls(
            folder,
            worker,
            run=run,
            durability=durability,
            trouble=trouble,
            clock=clock,
            disk=disk,
            redactor=redactor or Redactor(),
            seal=seal,
        )
        let_go_in_children(segment)
        try:
            segment._open()
        except Exception as error:
            segment._tell(error)
        return segment

    # ---- writing

    def write(self, fact: Fact) -> bool:
        """True when the fact will be read whatever becomes of this process.

        A fact that comes while another is being written, from a signal handler, is written after that one; its own
        answer is False.
        """
        if self._closed or self._getpid() != self._pid:
            return False
        with self._lock:
            if self._writing:
                self._later.append(fact)
                return False
            self._writing = True
            try:
                kept = self._write(fact)
                while self._later:
                    self._write(self._later.popleft())
                return kept
            finally:
                self._writing = False

    def _write(self, fact: Fact) -> bool:
        try:
            if type(fact) is TestsSelected:
                # Pieces on disk without the rest are no harm: only all of them are acknowledged.
                for piece in split_tests(redacted(fact, self._redactor)):
                    self._write_line(piece)
            else:
                self._write_line(fact)
        except Exception as error:
            self.dropped += 1
            self._tell(error)
            if isinstance(error, OSError):
                self._failures += 1
                self._mend()
            return False
        return True

    def _write_line(self, fact: Fact) -> None:
        kind = type(fact)
        # A start comes soon after the end of another test, for which we have looked thoroughly.
        if kind is not AttemptStarted or not self._is_at_end():
            self._make_ready()
        # A number is used up by a fact that is lost too: the gap tells the reader.
        seq, at = self._seq, self._clock()
        self._seq = seq + 1
        if kind not in _FREQUENT or not self._redactor.is_clean(fact.key):  # type: ignore[union-attr]
            fact = redacted(fact, self._redactor)
        line = encode(fact, self.writer, seq, at, self._seal)
        if self._intact and self._fd is not None:
            self._intact = False
            # One call a line: what a kill can tear is the last line, never one before it.
            append_all(self._fd, line, self._disk)
            self._good += len(line)
        else:
            self._append_to_torn(line)
        self._intact = True
        self._failures = 0
        if self._durability != "process":
            self._unsynced.append(line)
            if (
                kind in _MILESTONES and abs(at - self._synced_at) >= SYNC_SECONDS
            ) or self._durability == "record":
                self._sync()

    def _append_to_torn(self, line: bytes) -> None:
        """The same behind what a failed write left behind, which is cut off where that is possible."""
        assert self._fd is not None
        self._mend()
        torn, self._intact = not self._intact, False
        append_all(self._fd, b"\n" + line if torn else line, self._disk)
        self._good = self._disk.fstat(self._fd).st_size if torn else self._good + len(line)

    def _mend(self) -> None:
        """Cut off what a failed write left behind. Where even that fails, the next line begins with a newline."""
        if not self._intact and self._fd is not None and self._is_ours(self._fd):
            with suppress(OSError):
                self._disk.truncate(self._fd, self._good)
                self._intact = True

    def _tell(self, what: Exception | str) -> None:
        trouble, self._trouble = self._trouble, None
        if trouble is None:
            return
        if isinstance(what, OSError):
            what = what.strerror or type(what).__name__
        elif isinstance(what, Exception):
            what = f"{type(what).__name__}: {what}"
        with suppress(Exception):
            trouble(Code.LEDGER_UNWRITABLE, f"{what} ({self._folder})")

    # ---- the file

    def _is_at_end(self) -> bool:
        """Whether the descriptor stands in its file where it does in ours: told in a sixth of the time that it takes to be
        sure, and false where a test closed it or put a file of its own there, unless that has the same length.
        """
        if self._fd is None or self._failures:
            return False
        try:
            return self._disk.seek(self._fd, 0, _HERE) == self._good
        except OSError:
            return False

    def _make_ready(self) -> None:
        """Afterwards there is a descriptor, and what it leads to is the file we made."""
        if self._fd is not None:
            try:
                found = self._disk.fstat(self._fd)
            except OSError:
                found = None
            if found is not None and found[1:4] == self._identity and not self._failures:
                return
            if found is None or not self._is_same(found):
                # A test closed our descriptor, or put a file of its own there which is not for us to close.
                self._fd = None
            elif found.st_nlink == 0:
                self._tell("somebody removed the ledger's file")
                self._drop_file()
            elif self._failures >= FAILURES_BEFORE_A_NEW_FILE:
                self._drop_file()
        if self._fd is None:
            self._open()

    def _is_ours(self, fd: int) -> bool:
        try:
            found = self._disk.fstat(fd)
        except OSError:
            return False
        return self._is_same(found)

    def _is_same(self, found: os.stat_result) -> bool:
        return (found.st_ino, found.st_dev) == self._identity[:2]

    def _drop_file(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None and self._is_ours(fd):
            with suppress(OSError):
                self._disk.close(fd)

    def _open(self) -> None:
        """A new file that begins with who writes it. It exists afterwards with that line, or not at all."""
        disk, writer = self._disk, self._new_writer()
        with opened_folder(self._folder, disk) as folder:
            fd = disk.open_new(segment_name(writer), folder)
            try:
                fd = disk.lift(fd)
                opened = SegmentOpened(run=self._run, writer=writer, **self._process._asdict())
                first = encode(opened, writer, 0, self._clock(), self._seal)
                start = first + b"".join(self._unsynced)
                append_all(fd, start, disk)
                found = disk.fstat(fd)
            except BaseException:
                with suppress(OSError):
                    disk.close(fd)
                with suppress(OSError):
                    disk.unlink(segment_name(writer), folder)
                raise
            if self._durability != "process":
                sync_names(folder, disk)
        self.writer, self._seq = writer, 1
        self._fd, self._identity = fd, (found.st_ino, found.st_dev, 1)
        self._good, self._intact, self._failures = len(start), True, 0

    def _new_writer(self) -> str:
        return f"{self._worker}.{self._pid}.{self._urandom(4).hex()}"

    # ---- power cuts

    def sync(self) -> None:
        """What was acknowledged so far survives a power cut too, unless durability is "process"."""
        if self._closed or self._getpid() != self._pid or self._durability == "process":
            return
        with self._lock:
            if not self._writing:
                self._writing = True
                try:
                    self._sync()
                finally:
                    self._writing = False

    def _sync(self) -> None:
        self._synced_at = self._clock()
        if self._fd is None or not self._unsynced or not self._is_ours(self._fd):
            return
        try:
            self._disk.datasync(self._fd)
            self._unsynced.clear()
        except OSError as error:
            if error.errno in _CANNOT_SYNC:
                self._durability = "process"
                self._unsynced.clear()
                return
            # After such an error the kernel takes the lost pages for written, and a second call would succeed. So
            # the facts go into a new file as well; a reader takes both.
            self._tell(error)
            self._drop_file()
            with suppress(Exception):
                self._open()

    # ---- the end

    def close(self) -> None:
        """Sync and let go of the file; what comes later is not written."""
        if self._closed or self._getpid() != self._pid:
            return
        self.sync()
        with self._lock:
            self._closed = True
            self._mend()
            self._drop_file()

    def forget(self) -> None:
        """In a forked child: the file is the parent's."""
        self._closed = True
        self._drop_file()
