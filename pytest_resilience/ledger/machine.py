"""Which machine this is, and which start of it."""

import os
from pathlib import Path


def host() -> str:
    """The name of the machine, as good as it knows it."""
    return os.uname().nodename[:64]


def boot(source: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """What changes whenever the machine starts; empty where there is no such thing."""
    try:
        return source.read_text("ascii").strip()[:64]
    except (OSError, ValueError):
        return ""
