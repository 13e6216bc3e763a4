"""A worker that hangs is ended with all that it started, whatever the controller is busy with; others are left alone."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, WorkerDown
from pytest_resilience.core.outcomes import Outcome

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

HANGS = """
import here, os, pytest, time

def hangs():
    here.note({"pid": os.getpid()})
    time.sleep(1000)

@pytest.fixture
def patient():
    hangs()

@pytest.mark.hang_timeout(1)
def test_hangs(patient): pass

# It would take far longer than anybody waits here.
@pytest.mark.timeout(1)
def test_that_pytest_timeout_ends(): time.sleep(1000)

@pytest.mark.parametrize("n", range(8))
def test(n): pass
"""
# The loop of the controller is stuck until the worker is gone.
STUCK = """
import here, os, pytest, time

def is_alive(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] not in "ZX"

class Controller:
    is_stuck = True

    def pytest_runtest_logreport(self, report):
        deadline = time.monotonic() + 60
        while self.is_stuck and time.monotonic() < deadline:
            pids = [note["pid"] for note in here.notes()]
            self.is_stuck = not pids or any(map(is_alive, pids))
        assert not self.is_stuck, "nobody ended it"

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller())
"""


def test_a_hang_is_ended_while_the_controller_is_busy_and_is_told_with_its_stack(batch: "Batch") -> None:
    batch.write({"test_a.py": HANGS, "conftest.py": STUCK})
    said = batch.run("-n", "2", "-p", "pytest_timeout", "--hang-timeout", "60", "--crash-retries", "0")
    assert said.outcomes == {"total": 10, "passed": 8, "timed_out": 2}, said.text
    assert said.status == 1
    assert said.line("SLOW").startswith("test_a.py::test_hangs - "), said.text
    line = HANGS.partition("time.sleep")[0].count("\n") + 1
    told = said.line(f"{Code.WORKER_HUNG}:")
    assert f" s (limit 1 s) in test_a.py:{line} in hangs while it ran test_a.py::test_hangs" in told
    assert f'  File "test_a.py", line {line}, in hangs\n' in said.text
    (down,) = batch.last.of(WorkerDown)
    assert down.why.splitlines()[1:] == [
        f"test_a.py:{line} in hangs",
        f"test_a.py:{HANGS.partition('    hangs()')[0].count(chr(10)) + 1} in patient",
    ]
    ended = {one.key.rpartition(":")[2]: one for one in batch.last.of(AttemptEnded)}
    assert {one.outcome for one in ended.values()} == {Outcome.TIMED_OUT}
    assert (ended["test_hangs"].phase, ended["test_hangs"].code) == ("setup", Code.WORKER_HUNG.code)
    assert ended["test_that_pytest_timeout_ends"].code == Code.TEST_TIMEOUT.code, "its limit comes first"


AGAIN = """
import here, pytest, time

@pytest.mark.parametrize("n", range(6))
def test(n):
    if n == 2 and here.mark("once"):
        time.sleep(1000)
    if n == 4:
        time.sleep(1000)
"""


def test_a_hang_is_tried_again_like_a_crash(batch: "Batch") -> None:
    """Once by default: what goes through then is flaky, and what hangs again has timed out, once."""
    batch.write({"test_a.py": AGAIN})
    said = batch.run("-n", "2", "--hang-timeout", "1.5", "-rR")
    assert said.outcomes == {"total": 6, "passed": 4, "flaky": 1, "timed_out": 1}, said.text
    assert said.status == 1
    assert batch.begun() == {f"test_a.py::test[{n}]": 2 if n in (2, 4) else 1 for n in range(6)}
    assert said.line("FLAKY").startswith("test_a.py::test[2] - passed on attempt 2 of 2: worker gw")
    assert said.line("SLOW").startswith("test_a.py::test["), (
        "a line begins with it, whatever was printed before"
    )
    assert said.line("RETRIED").startswith("test_a.py::test[4] - timed out in all attempts")
    ends = [(one.key[-2], one.attempt, one.outcome, one.phase) for one in batch.last.of(AttemptEnded)]
    assert sorted(ends) == [
        ("2", 1, Outcome.TIMED_OUT, "call"),
        ("4", 1, Outcome.TIMED_OUT, "call"),
        ("4", 2, Outcome.TIMED_OUT, "call"),
    ]
    said = batch.resume("-n", "2", "--hang-timeout", "1.5", "--crash-retries", "0", "--dist", "loadfile")
    assert said.outcomes == {"total": 6, "timed_out": 1, "carried_over": 5}, said.text


ORPHANS = """
import here, os, signal, subprocess, sys, time

SLEEP = [sys.executable, "-c", "import time; time.sleep(1000)"]
DAEMON = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=subprocess.DEVNULL).pid)"

def test_dies():
    daemon = int(subprocess.run([sys.executable, "-c", DAEMON, *SLEEP], stdout=subprocess.PIPE).stdout)
    # It keeps open what the worker speaks through: without its end nobody hears of the end of the worker.
    forked = os.fork()
    if not forked:
        time.sleep(1000)
    here.note({"daemon": daemon, "forked": forked})
    os.kill(os.getpid(), signal.SIGKILL)

def test_other(): pass
"""


@pytest.mark.parametrize("keeps", [False, True])
def test_what_a_worker_leaves_behind_that_dies_is_ended(batch: "Batch", keeps: bool) -> None:
    table = '[tool.resilience.worker]\norphans = "keep"\n' if keeps else ""
    batch.write({"test_a.py": ORPHANS, "pyproject.toml": table, "conftest.py": ""})
    said = batch.run("-n", "2", "--crash-retries", "0")
    assert said.outcomes == {"total": 2, "passed": 1, "crashed": 1}, said.text
    (left,) = batch.notes()
    assert not _is_alive(left["forked"])
    assert _is_alive(left["daemon"]) == keeps
    told = said.line(f"WARNING {Code.ORPHAN_PROCESS}:")
    assert f"({left['forked']})" in told
    assert (f"({left['daemon']})" in told) != keeps
    if keeps:
        os.kill(left["daemon"], signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
