"""How many instructions a test takes, by valgrind: the same on every machine, however busy it is.

Two runs that differ in nothing but the number of their tests are compared, so what starts and ends a session falls out.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .measuring import run

VALGRIND = "valgrind"
_CACHEGRIND = (VALGRIND, "-q", "--tool=cachegrind", "--cache-sim=no", "--trace-children=yes")
# How execnet starts a worker.
_WORKER = "sys.stdin.readline"


def is_there() -> bool:
    """Whether instructions can be counted here."""
    return shutil.which(VALGRIND) is not None


@dataclass(frozen=True)
class Counted:
    """The instructions of a session: of its controller, which is all there is without workers, and of its workers."""

    controller: int
    workers: int = 0

    @property
    def total(self) -> int:
        return self.controller + self.workers


def count(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], statuses: Sequence[int] = (0,)
) -> Counted:
    """Count the instructions of a command and of all that it starts. It has to have run before, to be warm."""
    with tempfile.TemporaryDirectory() as out:
        run(
            [*_CACHEGRIND, f"--cachegrind-out-file={out}/%p.out", *command],
            folder,
            {**variables, "PYTHONHASHSEED": "0"},
            statuses,
        )
        return added(path.read_text("utf-8", "replace") for path in Path(out).glob("*.out"))


def added(files: Iterable[str]) -> Counted:
    """The sums of what cachegrind wrote, a text for each process."""
    controller = workers = 0
    for text in files:
        head = text.partition("\nfn=")[0]
        instructions = int(re.findall(r"^summary:\s*(\d+)", text, re.MULTILINE)[-1])
        if _WORKER in head:
            workers += instructions
        else:
            controller += instructions
    return Counted(controller, workers)
