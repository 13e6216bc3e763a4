"""On Linux a worker ends with its controller: the kernel kills it, whatever its test is doing."""

import os
import signal
from collections.abc import Callable

from pytest_resilience.ledger.machine import Process

_PR_SET_PDEATHSIG = 1

_getppid = os.getppid


def _prctl() -> Callable[..., int] | None:
    # Only here, and only once in a worker: it takes a few milliseconds to import.
    try:
        import ctypes

        found = ctypes.CDLL(None).prctl
        found.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    except (ImportError, OSError, AttributeError):
        return None
    call: Callable[..., int] = found
    return call


def tie_to(controller: Process) -> bool:
    """Have this process killed when its controller dies; False when that cannot be, and then nothing has changed.

    Only a child can be tied, and only to the very process that the controller is: a worker on another machine, or one
    that was started through something else, is not.
    """
    prctl = _prctl()
    if prctl is None or Process.here(_getppid()) != controller or not controller.start:
        return False
    if prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return False
    if _getppid() == controller.pid:
        return True
    # It died in between, and nobody would send the signal for it any more.
    prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)
    return False
