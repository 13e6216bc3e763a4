"""The files that faulthandler writes the stacks of processes to: one for each, in the folder of the run.

They are for people, and for the report of a test that crashed or hung. Nothing is ever read from them that says what
became of a test.
"""

import re
from contextlib import suppress
from pathlib import Path

from pytest_resilience.ledger.disk import DISK, Disk, opened_folder

# What is looked at of a file: the stacks of a hundred threads.
MOST_BYTES = 256 * 1024


def stacks_name(worker: str, pid: int) -> str:
    """The name of the file of a process: `ctl` for the session, and workers by their ids."""
    return f"stacks-{re.sub(r'[^A-Za-z0-9_-]', '_', worker)[:40]}.{pid}.txt"


def open_stacks(folder: Path, worker: str, pid: int, disk: Disk = DISK) -> int:
    """A descriptor for faulthandler to write to, out of the way of tests. OSError where that cannot be."""
    with opened_folder(folder, disk) as opened:
        fd = disk.open_shared(stacks_name(worker, pid), opened)
    return disk.lift(fd)


def size_of_stacks(folder: Path, worker: str, pid: int, disk: Disk = DISK) -> int:
    """How much a process has written so far, 0 when there is no file of it."""
    with suppress(OSError), opened_folder(folder, disk) as opened:
        return disk.lstat(stacks_name(worker, pid), opened).st_size
    return 0


def read_stacks(folder: Path, worker: str, pid: int, after: int = 0, disk: Disk = DISK) -> str:
    """What a process wrote after so many bytes, of much the end; empty when that is nothing, or cannot be read."""
    size = size_of_stacks(folder, worker, pid, disk)
    content = b""
    with suppress(OSError), opened_folder(folder, disk) as opened:
        fd = disk.open_old(stacks_name(worker, pid), opened)
        try:
            at = max(after, size - MOST_BYTES)
            while len(content) < MOST_BYTES and (more := disk.read_at(fd, MOST_BYTES, at + len(content))):
                content += more
        finally:
            disk.close(fd)
    return content.decode("utf-8", "backslashreplace")
