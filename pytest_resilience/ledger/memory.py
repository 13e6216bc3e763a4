"""How many processes the system ended because there was no memory left, as the cgroup of this process counts them."""

from collections.abc import Iterator
from pathlib import Path

# Tests have a tree of their own.
ROOT = Path("/")


def oom_kills(root: Path = ROOT) -> int | None:
    """How many of this process's cgroup it were so far; None where nobody counts."""
    for file in _counters(root):
        try:
            lines = file.read_text("ascii").splitlines()
        except (OSError, ValueError):
            continue
        for line in lines:
            name, _, number = line.partition(" ")
            if name == "oom_kill" and number.isascii() and number.isdecimal():
                return int(number)
    return None


def _counters(root: Path) -> Iterator[Path]:
    """The files that may have the number, the best first.

    In a container the path may be that of the host, while the mount shows nothing but the container's own cgroup.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        place = path.strip("/")
        if "memory" in controllers.split(","):
            for folder in (mount / "memory" / place, mount / "memory"):
                yield folder / "memory.oom_control"
        elif not controllers:
            for folder in (mount / place, mount / "unified" / place, mount):
                yield folder / "memory.events"
