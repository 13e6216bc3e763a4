"""What the report and the summary say of a crash: how, where, after how long, how much memory, and who else it may have been."""

import re
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.facts import AttemptEnded, SegmentOpened, WorkerDown

from ..process.sessions import CONFTEST

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")


def test_the_report_says_all_that_is_known(batch: "Batch") -> None:
    text = """
import os, signal, time
def test_first(): pass
def test_second(): pass
def test_it():
    taken = bytearray(200_000_000)
    time.sleep(1.1)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "1", "--crash-retries", "0")
    assert (said.status, said.outcomes) == (1, {"total": 3, "passed": 2, "crashed": 1}), said.text
    (pid,) = {str(one.pid) for one in batch.last.of(SegmentOpened) if one.writer.startswith("gw")}
    assert re.search(r"^gw0 was in call after 1\.\d s$", said.text, re.M)
    peak = re.search(rf"^process {pid}, at most (\d+) MB of memory$", said.text, re.M)
    assert peak is not None, said.text
    assert int(peak[1]) >= 190
    assert f"SIGKILL, perhaps out of memory: its peak was {peak[1]} MB" in said.text
    assert "before it gw0 ran test_a.py::test_first, test_a.py::test_second\n" in said.text
    assert "earlier test" not in said.text, "it had been running for long enough"
    (ended,) = batch.last.of(AttemptEnded)
    assert ended.seconds >= 1.1
    assert ended.phase == "call"


def test_a_thread_that_an_earlier_test_left_is_suspected_and_the_innocent_test_runs_elsewhere(
    batch: "Batch",
) -> None:
    text = """
import here, os, threading
def end_when_another_runs():
    here.wait("another")
    os._exit(9)
def test_guilty():
    threading.Thread(target=end_when_another_runs, daemon=True).start()
def test_innocent(attempt):
    if attempt.number == 1:
        here.mark("another")
        here.wait("never")
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "1")
    assert (said.status, said.outcomes) == (0, {"total": 2, "passed": 1, "flaky": 1}), said.text
    (ended,) = batch.last.of(AttemptEnded)
    assert ended.key == "test_a.py::test_innocent"
    assert re.search(
        r"^may be caused by an earlier test: test_a.py::test_guilty ended \d+ ms before$", ended.message, re.M
    )


def test_where_the_system_counts_a_kill_for_want_of_memory_it_is_called_so(batch: "Batch") -> None:
    """Of two that were killed it was one."""
    conftest = """
from pathlib import Path
from pytest_resilience.hooks import crashes
count = Path(__file__).parent / "count"
crashes.oom_kills = lambda: int(count.exists()) + 3
"""
    text = """
import os, signal
from conftest import count
def test_a():
    count.touch()
    os.kill(os.getpid(), signal.SIGKILL)
def test_b(): os.kill(os.getpid(), signal.SIGKILL)
"""
    batch.write({"conftest.py": CONFTEST + conftest, "test_a.py": text})
    said = batch.run("-n", "1", "--crash-retries", "0")
    assert (said.status, said.outcomes) == (1, {"total": 2, "crashed": 2}), said.text
    codes = {ended.key: ended.code for ended in batch.last.of(AttemptEnded)}
    assert codes == {"test_a.py::test_a": "RES208", "test_a.py::test_b": "RES201"}
    assert "RES208 worker-out-of-memory: gw0 was killed by the system, which ran out of memory" in said.text
    assert batch.last.of(WorkerDown)[0].why == "gw0 was killed by the system, which ran out of memory"
