"""Workers write what they learn themselves: it is there before the controller hears of it, and when it never does."""

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import SegmentOpened

from ..process.sessions import CONFTEST, UNTIED

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

TOTAL = 12

# The first four tests that begin pass; the next two wait, one on each worker.
SUITE = """
import here, pytest

@pytest.mark.parametrize("n", range(12))
def test(n):
    number = here.number()
    if number >= 4:
        here.mark(f"waits-{number}")
        here.wait("go")
"""
WAITING = ("waits-4", "waits-5")
# For a conftest.py: a resume that waits for two seconds only.
HASTY = """
from pytest_resilience import history
history.WAIT_FOR_WRITERS = 2.0
"""


def test_each_worker_has_a_segment_and_a_lock_that_shows_its_life(batch: "Batch") -> None:
    batch.write({"test_a.py": SUITE})
    session = batch.start("-n", "2")
    session.wait_for(*WAITING)
    alive = {writer.partition(".")[0] for writer in batch.last.folder.writers_alive()}
    assert alive == {"owner", "gw0", "gw1"}
    opened = batch.last.of(SegmentOpened)
    assert sorted(one.writer.partition(".")[0] for one in opened) == ["ctl", "gw0", "gw1"]
    assert len({one.pid for one in opened}) == 3
    batch.mark("go")
    assert session.ended().outcomes == {"total": TOTAL, "passed": TOTAL}
    assert batch.last.folder.writers_alive() == []


@pytest.mark.invariant(1)
def test_what_a_test_came_to_is_in_the_ledger_before_its_report_arrives(batch: "Batch") -> None:
    conftest = """
import os
from pathlib import Path
import here, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    if "PYTEST_XDIST_WORKER" in os.environ or report.when != "teardown":
        return
    segments = Path(__file__).parent.glob(".pytest_resilience/runs/*/seg-gw*.jsonl")
    lines = [line for segment in segments for line in segment.read_text().splitlines()]
    if any('"k":"fin"' in line and f'"{report.nodeid}"' in line for line in lines):
        here.note(report.nodeid)
"""
    text = "import pytest\n@pytest.mark.parametrize('n', range(50))\ndef test(n): assert n % 5\n"
    batch.write({"conftest.py": conftest, "test_a.py": text})
    assert batch.run("-n", "2").outcomes == {"total": 50, "passed": 40, "failed": 10}
    assert len(batch.begun()) == 50


@pytest.mark.invariant(19, 28)
def test_when_the_controller_is_killed_workers_stop_and_a_resume_has_what_they_finished(
    batch: "Batch",
) -> None:
    """Where they live on: the resume waits for them by itself; only what was in flight runs twice."""
    batch.write({"test_a.py": SUITE, "conftest.py": UNTIED + CONFTEST})
    session = batch.start("-n", "2")
    session.wait_for(*WAITING)
    session.send(signal.SIGKILL)
    assert session.ended().status == -signal.SIGKILL
    killed = batch.last
    assert len(killed.folder.writers_alive()) == 2, "the workers outlive their controller"
    begun = batch.begun()
    assert begun.total() == 6

    resumed = batch.start("--resume-failed", "-n", "2")
    batch.mark("go")
    said = resumed.ended()
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "passed": 8, "carried_over": 4}), said.text
    again = batch.begun()
    assert again.total() == 8, "workers without a controller began no further test"
    assert len(again.keys() & begun.keys()) == 2
    assert killed.folder.writers_alive() == []
    assert batch.last.info.parent == killed.info.id


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.invariant(19)
def test_workers_end_with_their_controller_even_one_that_holds_the_gil(batch: "Batch") -> None:
    """Only they could keep a resume waiting, such a one for ever."""
    text = """
import ctypes, here
def test_a(): pass
def test_b():
    here.mark("begun")
    here.is_there("mended") or ctypes.PyDLL(None).sleep(600)
"""
    batch.write({"test_a.py": text})
    session = batch.start("-n", "1")
    session.wait_for("begun")
    session.send(signal.SIGKILL)
    session.ended()
    batch.mark("mended")
    said = batch.resume("-n", "1")
    assert (said.status, said.outcomes) == (0, {"total": 2, "passed": 1, "carried_over": 1}), said.text


@pytest.mark.invariant(19)
def test_a_resume_says_whom_it_waits_for_and_then_who_is_left(batch: "Batch") -> None:
    """Of a worker that somebody stopped, for instance; once that is gone the run is resumed."""
    batch.write({"test_a.py": SUITE, "conftest.py": UNTIED + CONFTEST + HASTY})
    session = batch.start("-n", "2")
    session.wait_for(*WAITING)
    alive = batch.last.folder.writers_alive()
    pids = {writer.partition(".")[0]: int(writer.split(".")[1]) for writer in alive if "." in writer}
    os.kill(pids["gw0"], signal.SIGSTOP)
    session.send(signal.SIGKILL)
    session.ended()
    os.kill(pids["gw1"], signal.SIGKILL)
    said = batch.resume()
    named = f"worker gw0, process {pids['gw0']}"
    assert said.status == 4, said.text
    assert (
        f"resilience: waiting up to 2 seconds for the end of run {batch.last.info.id}: {named}" in said.text
    )
    assert said.text.count("waiting up to") == 1
    assert f"{Code.LEDGER_LOCKED}: run {batch.last.info.id} is still alive: {named}. " in said.text
    os.kill(pids["gw0"], signal.SIGKILL)
    batch.mark("go")
    assert batch.resume().outcomes == {"total": TOTAL, "passed": 8, "carried_over": 4}


@pytest.mark.invariant(19)
@pytest.mark.parametrize("is_named", [False, True])
def test_a_run_that_is_alive_is_not_resumed(batch: "Batch", is_named: bool) -> None:
    batch.write({"test_a.py": SUITE})
    session = batch.start("-n", "2")
    session.wait_for(*WAITING)
    run = batch.last.info.id
    said = batch.run(f"--resume-failed={run}" if is_named else "--resume-failed")
    assert said.status == 4
    assert str(Code.LEDGER_LOCKED) in said.text
    assert run in said.text
    assert len(batch.runs()) == 1
    batch.mark("go")
    assert session.ended().status == 0


def test_with_dist_each_the_ledger_knows_how_often_a_test_runs(batch: "Batch") -> None:
    """A test that was good on one worker only is not good, and a resume must know."""
    batch.write({"test_a.py": "def test(): pass\n"})
    assert batch.run("-n", "2", "--dist", "each").outcomes == {"total": 1, "passed": 1}
    assert batch.last.run.copies == 2


@pytest.mark.invariant(14)
def test_the_trouble_of_workers_is_told_once_and_changes_nothing_else(batch: "Batch") -> None:
    """Each of them meets it, and none has a terminal."""
    full = """
import errno, os
from pytest_resilience.ledger.disk import Disk

def refuse(disk, fd, data):
    raise OSError(errno.ENOSPC, "no space left")

if "PYTEST_XDIST_WORKER" in os.environ:
    Disk.append = refuse
"""
    text = "import pytest\n@pytest.mark.parametrize('n', range(8))\ndef test(n): assert n\n"
    batch.write({"conftest.py": full, "test_a.py": text})
    said = batch.run("-n", "2")
    assert (said.status, said.outcomes) == (1, {"total": 8, "passed": 7, "failed": 1}), said.text
    warnings = [line for line in said.text.splitlines() if line.startswith("WARNING ")]
    assert len(warnings) == 1, said.text
    assert warnings[0].startswith("WARNING RES402 ledger-unwritable: no space left (")
    assert warnings[0].endswith(("(gw0)", "(gw1)"))
