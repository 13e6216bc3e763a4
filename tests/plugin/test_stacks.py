"""A process writes its stacks where the run finds them, and its children and other sessions do not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_resilience.hooks.stacks import SIGNAL
from pytest_resilience.ledger.machine import catches
from pytest_resilience.ledger.stacks import read_stacks

from .harness import Batch

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which signals a process handles")

# Has the stacks of a process in this folder, as a worker keeps them, and does what is filled in.
_PROCESS = """
import faulthandler, os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from pytest_resilience.hooks import internals, stacks

faulthandler.enable()
internals.stderr_for_faults = lambda config: 2
folder = Path(sys.argv[1])
kept = stacks.Stacks(None, folder, "gw0", takes_over=True)

def here():
    return sorted(path.name for path in folder.iterdir())

{}
"""


def _run(tmp_path: Path, body: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", _PROCESS.format(body), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _written(folder: Path) -> str:
    (file,) = folder.iterdir()
    _, pid, _ = file.name.split(".")
    return read_stacks(folder, "gw0", int(pid))


def test_stacks_are_written_while_the_gil_is_held(tmp_path: Path) -> None:
    body = """
import ctypes
def holds_the_gil():
    ctypes.PyDLL(None)["raise"](stacks.SIGNAL)
holds_the_gil()
"""
    assert _run(tmp_path, body).returncode == 0
    assert "in holds_the_gil" in _written(tmp_path)


def test_a_crash_is_written_to_the_file_and_that_of_a_child_is_not(tmp_path: Path) -> None:
    body = """
def crash_of_child():
    os.kill(os.getpid(), signal.SIGSEGV)
def crash():
    os.kill(os.getpid(), signal.SIGSEGV)
child = os.fork()
if not child:
    crash_of_child()
os.waitpid(child, 0)
crash()
"""
    said = _run(tmp_path, body)
    assert said.returncode == -signal.SIGSEGV
    assert "in crash\n" in _written(tmp_path)
    assert "crash_of_child" not in _written(tmp_path)
    assert "in crash_of_child\n" in said.stderr
    assert "in crash\n" not in said.stderr


def test_a_file_that_a_test_closed_is_opened_again(tmp_path: Path) -> None:
    body = """
os.closerange(3, 1024)
kept.check()
def crash():
    os.kill(os.getpid(), signal.SIGSEGV)
crash()
"""
    assert _run(tmp_path, body).returncode == -signal.SIGSEGV
    assert "in crash\n" in _written(tmp_path)


def test_who_has_the_signal_for_himself_keeps_it(tmp_path: Path) -> None:
    body = """
kept.close()
heard = []
signal.signal(stacks.SIGNAL, lambda *_: heard.append(1))
again = stacks.Stacks(None, folder, "gw1", takes_over=True)
os.kill(os.getpid(), stacks.SIGNAL)
assert heard == [1]
assert len(here()) == 1, here()
"""
    said = _run(tmp_path, body)
    assert said.returncode == 0, said.stderr


@linux
def test_a_session_without_workers_has_a_file_and_leaves_the_process_as_it_was(
    pytester: pytest.Pytester,
) -> None:
    outer = catches(os.getpid(), SIGNAL)
    batch = Batch(
        pytester,
        """
        import os
        from pytest_resilience.hooks.stacks import SIGNAL
        from pytest_resilience.ledger.machine import catches

        def test_in_session():
            assert catches(os.getpid(), SIGNAL)
            os.kill(os.getpid(), SIGNAL)
        """,
    )
    assert batch.run().outcomes == {"passed": 1}
    assert catches(os.getpid(), SIGNAL) == outer
    # Run by a worker that has stacks of its own, the session inside leaves them to it.
    assert outer or "in test_in_session" in read_stacks(batch.newest.path, "ctl", os.getpid())
