"""How a command is measured, and what is made of several measurements."""

import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Taken:
    """What one run took: seconds of CPU of all its processes, seconds by the clock, and bytes.

    `peak` is the most memory that its largest process had. It is never less than this process has, which is small.
    """

    cpu: float
    wall: float
    peak: int
    written: int = 0


@dataclass(frozen=True)
class Figure:
    """The median of several values, and how far they are apart: half of their range, as a share of the median."""

    median: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Raises StatisticsError where there is no value."""
        median = statistics.median(values)
        return cls(median, (max(values) - min(values)) / 2 / abs(median) if median else 0.0)


def ratio(ours: Sequence[float], base: Sequence[float]) -> Figure:
    """The ratio of two series, taken round by round: what a round has in common falls out."""
    return Figure.of([one / other for one, other in zip(ours, base, strict=True)])


class Failed(Exception):
    """A run did not end as it had to. The message has the end of what it printed."""


def environment(**more: str) -> dict[str, str]:
    """The same for everybody, whoever starts the benchmark: byte code is written, and nothing is configured."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONHASHSEED": "0", **more}


def run(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], statuses: Sequence[int] = (0,)
) -> Taken:
    """Run a command in a folder. All its processes are ended when this one is interrupted.

    The CPU time of a process that its parent did not wait for is not known; xdist waits for its workers.
    """
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            wall = time.perf_counter() - began
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        if child.returncode not in statuses:
            output.seek(0)
            told = output.read()[-3000:].decode(errors="replace")
            raise Failed(f"exit status {child.returncode} of {' '.join(command)}\n{told}")
    return Taken(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024)


def size(*places: Path) -> int:
    """The bytes of all files below these folders."""
    return sum(
        path.stat().st_size
        for place in places
        if place.exists()
        for path in place.rglob("*")
        if path.is_file()
    )
