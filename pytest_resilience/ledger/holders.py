"""Who holds the locks of a run: processes that live, and what those left behind that are gone."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_resilience.core.facts import SegmentOpened
from pytest_resilience.ledger.disk import DISK, opened_folder
from pytest_resilience.ledger.lines import BadLine, decode
from pytest_resilience.ledger.machine import PROC, Process, start
from pytest_resilience.ledger.runs import OWNER, RunFolder, lock_of
from pytest_resilience.ledger.segments import WRITER, segment_name
from pytest_resilience.ledger.sizes import MAX_LINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A lock of a run that is held, and the process that took it.

    `children` hold it although that process is certainly gone: it forked them without Python's knowledge, and none of
    them writes to the ledger. `refusal` says why the lock cannot be asked, and is then taken for held.
    """

    name: str
    process: Process
    children: tuple[int, ...] = ()
    refusal: str = ""

    def __str__(self) -> str:
        """As a person knows it: ``worker gw0, process 4250``."""
        where = "" if self.process.is_of_here else f" on {self.process.host or 'another machine'}"
        why = f", whose lock cannot be read: {self.refusal}" if self.refusal else ""
        return f"{self.role}, process {self.process.pid}{where}{why}"

    @property
    def role(self) -> str:
        """What the process is in its run."""
        return "its session" if self.name == OWNER else f"worker {self.name.partition('.')[0]}"


def holders(folder: RunFolder) -> list[Holder]:
    """Everybody who holds a lock of the run, its owner first."""
    return [_holder(folder, name) for name in folder.writers_alive()]


def _holder(folder: RunFolder, name: str) -> Holder:
    lock = lock_of(folder.path, name)
    process = folder.info.process if name == OWNER else _writer(folder, name)
    refusal = _refusal(lock)
    children: list[int] = []
    if not refusal and process.is_gone:
        children = processes_with(lock)
        if any(start(pid) == process.start for pid in children):
            # It is the process itself under another id: it lives in a container, and is seen from outside.
            children = []
    return Holder(name=name, process=process, children=tuple(children), refusal=refusal)


def _writer(folder: RunFolder, name: str) -> Process:
    """The process that writes under a name, as the first line of its segment tells, or else the name alone."""
    info = folder.info
    pid = int(name.split(".")[1]) if WRITER.fullmatch(name) else 0
    with suppress(OSError, BadLine):
        opened = decode(_first_line(folder.path, segment_name(name))).fact
        if isinstance(opened, SegmentOpened) and opened.pid == pid:
            return Process(pid=pid, start=opened.start, host=opened.host, boot=opened.boot)
    return Process(pid=pid, start="", host=info.host, boot=info.boot)


def _first_line(path: Path, name: str) -> bytes:
    with opened_folder(path) as folder:
        fd = DISK.open_old(name, folder)
    try:
        return DISK.read(fd, MAX_LINE).partition(b"\n")[0]
    finally:
        DISK.close(fd)


def _refusal(lock: Path) -> str:
    try:
        with opened_folder(lock.parent) as folder:
            DISK.close(DISK.open_old(lock.name, folder))
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def processes_with(lock: Path, proc: Path = PROC) -> list[int]:
    """The processes that hold the `flock` of a file, as far as this user may look; none where nobody tells."""
    try:
        found = lock.stat(follow_symlinks=False)
        processes = [entry for entry in proc.iterdir() if entry.name.isdecimal()]
    except OSError:
        return []
    identity = found.st_dev, found.st_ino
    return sorted(int(process.name) for process in processes if _holds(process, lock.name, identity))


def _holds(process: Path, name: str, identity: tuple[int, int]) -> bool:
    with suppress(OSError):
        for number in os.listdir(process / "fd"):
            # A process ends, or closes a file, while it is looked at.
            with suppress(OSError):
                link = process / "fd" / number
                if not os.readlink(link).endswith(f"/{name}"):
                    continue
                file = link.stat()
                # Somebody who asks has the file open as well, and holds nothing.
                if (file.st_dev, file.st_ino) == identity and _is_locked(process / "fdinfo" / number):
                    return True
    return False


def _is_locked(info: Path) -> bool:
    return any(
        line.startswith("lock:") and " FLOCK " in line
        for line in info.read_text("ascii", "replace").splitlines()
    )
