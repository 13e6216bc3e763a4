"""Which machine this is, which start of it, and which process: a process id alone is given out again."""

import os
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


def host() -> str:
    """The name of the machine, as good as it knows it."""
    return os.uname().nodename[:64]


def boot(source: Path = PROC / "sys/kernel/random/boot_id") -> str:
    """What changes whenever the machine starts; empty where there is no such thing."""
    try:
        return source.read_text("ascii").strip()[:64]
    except (OSError, ValueError):
        return ""


def start(pid: int, proc: Path = PROC) -> str:
    """When a process began, as its kernel counts; empty when there is none, or where nobody tells."""
    try:
        line = (proc / str(pid) / "stat").read_bytes()
        # The name of the program stands in brackets, and may have brackets and spaces of its own.
        word = line.rpartition(b")")[2].split()[19]
        return str(int(word))
    except (OSError, ValueError, IndexError):
        return ""


def catches(pid: int, number: int, proc: Path = PROC) -> bool:
    """Whether a process has a handler for a signal, whoever installed it; False where nobody tells."""
    try:
        for line in (proc / str(pid) / "status").read_bytes().splitlines():
            if line.startswith(b"SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    except (OSError, ValueError, IndexError):
        pass
    return False


class Process(NamedTuple):
    """A process, told from all others that ever were. `boot` and `start` are empty where nobody tells."""

    pid: int
    start: str
    host: str
    boot: str

    @classmethod
    def here(cls, pid: int | None = None) -> "Process":
        """The process with this id on this machine, by default this one."""
        pid = os.getpid() if pid is None else pid
        return cls(pid=pid, start=start(pid), host=host(), boot=boot())

    @property
    def is_of_here(self) -> bool:
        """Whether it belongs to this machine as it runs now."""
        return bool(self.boot) and (self.host, self.boot) == (host(), boot())

    @property
    def is_gone(self) -> bool:
        """Whether it is certain that it is no more; in doubt it is not."""
        if not self.is_of_here or not self.pid:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass
        now = start(self.pid)
        return bool(self.start and now) and now != self.start
