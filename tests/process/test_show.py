"""``pytest-resilience show`` as a program, of runs that go on and of such as were killed."""

import signal
import subprocess
import sys
from pathlib import Path

from .sessions import Batch

SUITE = """
import here
def test_first(): pass
def test_waits():
    here.mark("waits")
    here.wait("go on")
def test_last(): pass
"""


def show(batch: Batch, *arguments: str, reader: str = "cat") -> list[str]:
    """What the installed program prints."""
    program = Path(sys.executable).with_name("pytest-resilience")
    command = f'"{program}" show {" ".join(arguments)} | {reader}'
    printed = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=batch.root, capture_output=True, text=True, check=True
    )
    assert printed.stderr == ""
    return printed.stdout.splitlines()


def test_a_run_that_goes_on_and_the_same_once_it_was_killed(batch: Batch) -> None:
    batch.write({"test_it.py": SUITE})
    session = batch.start()
    session.wait_for("waits")
    alive = show(batch)
    assert alive[0].endswith(" still running")
    assert alive[-2:] == [
        "RUNNING 1 of 3 tests finished",
        "INFLIGHT 1 test - test_it.py::test_waits",
    ]
    session.send_group(signal.SIGKILL)
    session.ended()
    dead = show(batch)
    assert " died - RES207" in dead[0]
    assert "OUTCOMES total=3 passed=1 crashed=1 not_run=1" in dead


def test_a_reader_that_has_seen_enough_is_no_error(batch: Batch) -> None:
    batch.write(
        {"test_it.py": "import pytest\n@pytest.mark.parametrize('n', range(3000))\ndef test(n): pass\n"}
    )
    batch.run("-q")
    assert show(batch, "--resilience-summary=all", reader="head -1")[0].startswith("RUN ")
