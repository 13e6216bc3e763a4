"""A process that kills itself at the N-th call with which its ledger changes the disk.

This file is copied into every suite: it knows nothing of what is around it but the product.
"""

import functools
import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any

from pytest_resilience.ledger.disk import Disk

# By the names that the system calls have in `Disk`. Those which only look leave nothing different for a kill.
CALLS = (
    *(
        "_open",
        "_write",
        "_fchmod",
        "_ftruncate",
        "_rename",
        "_unlink",
        "_mkdir",
        "_makedirs",
        "_chmod",
        "_rmdir",
    ),
    *("_flock", "_fsync", "_fdatasync"),
)
# What can be done in part, as the first half of it.
WRITE = "_write"


def end_at(number: int, how: str, told: Callable[[str], None]) -> None:
    """Kill this process "before" its call of this number, the first being 1, "after" it, or "within" it.

    Within is half way through a write, and after any other call. 0 is never. `told` gets the names of all calls before that as they are made.
    """
    numbers = count(1)
    for name in CALLS:
        call = getattr(Disk, name)

        @functools.wraps(call)
        def step(*arguments: Any, call: Any = call, name: str = name, **named: Any) -> Any:
            if name == "_open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **named)
            is_last = next(numbers) == number
            if is_last and how == "within" and name == WRITE:
                descriptor, data = arguments
                arguments = descriptor, data[: len(data) // 2]
            if not is_last or how != "before":
                answer = call(*arguments, **named)
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)
            told(name)
            return answer

        setattr(Disk, name, staticmethod(step))
