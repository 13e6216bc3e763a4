"""A worker ends with its controller, and nobody else's end is taken for that."""

import os
import signal
import subprocess
import sys

import pytest

from pytest_resilience.hooks import lifeline
from pytest_resilience.ledger.machine import Process

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")

# Prints what became of it, and then holds the GIL.
_WORKER = """
import ctypes, os, sys
from pytest_resilience.hooks.lifeline import tie_to
from pytest_resilience.ledger.machine import Process
print(tie_to(Process.here(os.getppid())), flush=True)
ctypes.PyDLL(None).sleep(20)
print("it lived on", flush=True)
"""
_CONTROLLER = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {_WORKER!r}]).wait()
"""


@on_linux
def test_a_worker_ends_with_its_controller_even_if_it_holds_the_gil() -> None:
    controller = subprocess.Popen([sys.executable, "-c", _CONTROLLER], stdout=subprocess.PIPE, text=True)
    assert controller.stdout is not None
    assert controller.stdout.readline() == "True\n"
    controller.kill()
    controller.wait()
    # The end of what both write to is the end of both.
    assert controller.stdout.read() == ""
    controller.stdout.close()


class Kernel:
    """What `prctl` is called with; it answers with a status."""

    def __init__(self, status: int = 0) -> None:
        self.calls: list[tuple[int, ...]] = []
        self._status = status

    def prctl(self, *arguments: int) -> int:
        self.calls.append(arguments)
        return self._status


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(lifeline, "_prctl", lambda: made.prctl)
    return made


SET = (1, signal.SIGKILL, 0, 0, 0)
UNSET = (1, 0, 0, 0, 0)
PARENT = Process.here(os.getppid())


@on_linux
def test_a_child_of_the_controller_is_tied(kernel: Kernel) -> None:
    assert lifeline.tie_to(PARENT)
    assert kernel.calls == [SET]


@pytest.mark.parametrize(
    "controller",
    [
        Process.here(),
        PARENT._replace(start="1"),
        PARENT._replace(host="elsewhere"),
        PARENT._replace(boot="another"),
        PARENT._replace(start=""),
    ],
    ids=["not its parent", "another with its id", "another machine", "another start of it", "not known"],
)
def test_who_is_no_child_of_the_controller_is_not_tied(kernel: Kernel, controller: Process) -> None:
    assert not lifeline.tie_to(controller)
    assert kernel.calls == []


@on_linux
def test_a_controller_that_dies_meanwhile_leaves_no_tie_to_somebody_else(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = iter([PARENT.pid, 1])
    monkeypatch.setattr(lifeline, "_getppid", lambda: next(parents))
    assert not lifeline.tie_to(PARENT)
    assert kernel.calls == [SET, UNSET]


@on_linux
def test_where_the_kernel_refuses_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(-1)
    monkeypatch.setattr(lifeline, "_prctl", lambda: kernel.prctl)
    assert not lifeline.tie_to(PARENT)
    assert kernel.calls == [SET]


def test_where_there_is_no_such_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "_prctl", lambda: None)
    assert not lifeline.tie_to(PARENT)
