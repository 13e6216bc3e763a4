"""The short account of a run that came to an orderly end, believed only as long as the files are what it counted."""

import json
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.disk import DISK, opened_folder, read_whole, write_whole

FINAL = "final.json"
_MAX_FINAL = 4 * 1024 * 1024
_OUTSTANDING = frozenset(outcome.value for outcome in Outcome if outcome.is_outstanding)


class Final(NamedTuple):
    """How a run ended. `counts` holds the number of tests by outcome."""

    exit_status: int
    counts: dict[str, int]

    @property
    def leaves_nothing(self) -> bool:
        """A resume of this run would have nothing to do."""
        return self.exit_status == 0 and not any(self.counts.get(name) for name in _OUTSTANDING)


def write_final(folder: Path, final: Final) -> None:
    """To be written when all segments are closed. OSError when it cannot be."""
    files = {name: list(_fingerprint(folder, name)) for name in _counted(folder)}
    account = {"exit": final.exit_status, "counts": final.counts, "files": files}
    write_whole(folder / FINAL, json.dumps(account).encode("ascii") + b"\n")


def read_final(folder: Path, *, sizes_only: bool = False) -> Final | None:
    """How the run ended; None when it did not, or when the account is not one of the files that are there.

    With `sizes_only` the content of those files is not looked at: for decisions that no test depends on.
    """
    try:
        return final_of(folder, sizes_only=sizes_only)
    except OSError:
        return None


def final_of(folder: Path, *, sizes_only: bool = False) -> Final | None:
    """The same for those who have to tell "it did not end" from "that cannot be known now": OSError then."""
    try:
        account = json.loads(read_whole(folder / FINAL, _MAX_FINAL))
        status, counts, files = account["exit"], account["counts"], account["files"]
        if type(status) is not int or type(counts) is not dict or type(files) is not dict:
            return None
        if any(type(number) is not int or number < 0 for number in counts.values()):
            return None
        if sorted(files) != _counted(folder):
            return None
        for name, (size, checksum) in files.items():
            if size != DISK.lstat(folder / name).st_size:
                return None
            if not sizes_only and (size, checksum) != _fingerprint(folder, name):
                return None
    except (FileNotFoundError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return Final(exit_status=status, counts=counts)


def _counted(folder: Path) -> list[str]:
    with opened_folder(folder) as opened:
        return sorted(name for name in DISK.names(opened) if name.endswith(".jsonl"))


def _fingerprint(folder: Path, name: str) -> tuple[int, str]:
    """The size of a file and the checksum of all of it."""
    size = checksum = 0
    with opened_folder(folder) as opened:
        fd = DISK.open_old(name, opened)
    try:
        while portion := DISK.read(fd, 256 * 1024):
            size, checksum = size + len(portion), crc32(portion, checksum)
    finally:
        DISK.close(fd)
    return size, f"{checksum:08x}"
