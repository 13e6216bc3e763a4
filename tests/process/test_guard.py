"""A session without workers that hangs: what can be interrupted is, and what cannot be ends the session with the truth told."""

import os
import signal
import time
from pathlib import Path

import pytest

from pytest_resilience.core.facts import AttemptEnded, AttemptStarted
from pytest_resilience.core.outcomes import Outcome

from .sessions import Batch, Said, command_of

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="the system has no descriptors of processes"
)

LIMIT = ("--hang-timeout", "1")
# What every process of a session inherits; a batch keeps what begins with PYTEST_ from it.
SIGN = "GUARDED_BATCH_OF_TEST"

INTERRUPTED = """
import threading, time
import here, pytest

def test_sleeps(): time.sleep(100)
def test_spins():
    while True: pass
@pytest.fixture
def never(): threading.Event().wait()
def test_waits_in_its_setup(never): pass
def test_hangs_once():
    if here.mark("hung"):
        lock = threading.Lock()
        lock.acquire()
        try:
            lock.acquire()
        except Exception:
            pass
@pytest.mark.hang_timeout(0)
def test_may_take_its_time():
    here.wait("the others are through")
def test_passes(): here.mark("passed")
"""


@pytest.fixture
def guarded(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """A batch whose processes can be told from all others."""
    monkeypatch.setenv(SIGN, str(batch.root))
    return batch


def left_by(batch: Batch) -> list[str]:
    """The processes of its sessions that are still there."""
    sign = f"{SIGN}={batch.root}".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name != str(os.getpid()) and sign in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def ended_alone(batch: Batch, said: Said) -> None:
    """Nothing of the session is left, the guard included."""
    until = time.monotonic() + 30
    while left := left_by(batch):
        assert time.monotonic() < until, (left, said.text)
        time.sleep(0.01)


def test_what_python_can_interrupt_costs_an_attempt(guarded: Batch) -> None:
    guarded.write({"test_it.py": INTERRUPTED})
    guarded.mark("the others are through")
    said = guarded.run(*LIMIT, "--retries", "1", "-k", "not sleeps and not spins or sleeps")
    assert said.status == 1, said.text
    assert said.outcomes == {"total": 5, "passed": 2, "flaky": 1, "timed_out": 2}, said.text
    ended = [one for one in guarded.last.of(AttemptEnded) if "test_sleeps" in one.key]
    assert [(one.outcome, one.phase, one.code) for one in ended] == [
        (Outcome.TIMED_OUT, "call", "RES104")
    ] * 2
    assert "HangTimeout: hung in its call, and was interrupted (limit 1 s)" in said.text
    assert "HangTimeout: hung in its setup" in said.text
    assert "\nSLOW test_it.py::test_sleeps - " in said.text
    ended_alone(guarded, said)


NOT_INTERRUPTED = {
    "a C loop": "sum(itertools.repeat(0))",
    "a loop that goes on": """
    while True:
        try: time.sleep(100)
        except BaseException: pass""",
}


@pytest.mark.parametrize("how", NOT_INTERRUPTED)
def test_what_cannot_be_interrupted_ends_the_session(guarded: Batch, how: str) -> None:
    guarded.write(
        {
            "test_it.py": f"""
import itertools, subprocess, time
def test_first(): pass
def test_hangs():
    subprocess.Popen(["sleep", "1000"])
    {NOT_INTERRUPTED[how]}
def test_last(): pass
"""
        }
    )
    said = guarded.run(*LIMIT)
    assert said.status == -signal.SIGKILL, said.text
    assert "RES202 worker-hung: test_it.py::test_hangs: the session was in the call for " in said.text
    assert "ended with it: sleep (" in said.text
    ended_alone(guarded, said)
    outcomes = {key.partition("::")[2]: one for key, one in guarded.last.outcomes.items()}
    assert outcomes == {
        "test_first": Outcome.PASSED,
        "test_hangs": Outcome.TIMED_OUT,
        "test_last": Outcome.NOT_RUN,
    }
    (ended,) = guarded.last.of(AttemptEnded)
    assert ended.message.splitlines()[1].startswith("test_it.py:")
    assert ended.message.splitlines()[1].endswith(" in test_hangs")

    guarded.begun()
    resumed = guarded.resume(*LIMIT)
    assert "1 carried over, 2 left" in resumed.text
    started = [fact.key.partition("::")[2] for fact in guarded.last.of(AttemptStarted)]
    assert started == ["test_last", "test_hangs"]


def test_of_a_fatal_error_the_ledger_has_the_stack_and_the_terminal_too(guarded: Batch) -> None:
    guarded.write({"test_it.py": "import faulthandler\ndef test_dies(): faulthandler._sigsegv()\n"})
    said = guarded.run(*LIMIT)
    assert said.status == -signal.SIGSEGV
    ended_alone(guarded, said)
    (ended,) = guarded.last.of(AttemptEnded)
    assert (ended.outcome, ended.phase) == (Outcome.CRASHED, "call")
    assert "Segmentation fault in test_it.py:2 in test_dies" in ended.message
    # The guard has outlived the session.
    assert '\n  File "test_it.py", line 2, in test_dies' in Path(guarded.root / "said-0.txt").read_text(
        "utf-8"
    )


def test_a_file_that_hangs_when_it_is_imported_fails(guarded: Batch) -> None:
    table = "[tool.resilience.hang]\ntimeout = 60\ncollect = 1\n"
    files = {
        "pyproject.toml": table,
        "test_a.py": "import time\ntime.sleep(100)",
        "test_b.py": "def test_it(): pass",
    }
    guarded.write(files)
    (guarded.root / "pytest.ini").unlink()
    said = guarded.run()
    assert said.status == 2, said.text
    assert "HangTimeout: hung while collecting, and was interrupted" in said.text


def test_while_a_person_has_stopped_the_session_no_time_passes(guarded: Batch) -> None:
    guarded.write(
        {"test_it.py": "import here\ndef test_waits():\n    here.mark('waits')\n    here.wait('go on')\n"}
    )
    session = guarded.start("--hang-timeout", "2")
    session.wait_for("waits")
    assert len(left_by(guarded)) == 2, "the session and its guard"
    session.send(signal.SIGSTOP)
    time.sleep(4)
    guarded.mark("go on")
    session.send(signal.SIGCONT)
    said = session.ended()
    assert (said.status, said.outcomes) == (0, {"total": 1, "passed": 1}), said.text
    ended_alone(guarded, said)


def test_a_test_finds_no_child_that_it_did_not_start(guarded: Batch) -> None:
    guarded.write(
        {
            "test_it.py": """
import os, threading, pytest
def test_it():
    with pytest.raises(ChildProcessError): os.wait()
    assert threading.active_count() == 1
"""
        }
    )
    said = guarded.run(*LIMIT)
    assert (said.status, said.outcomes) == (0, {"total": 1, "passed": 1}), said.text
    ended_alone(guarded, said)


def test_its_command_keeps_the_limit(guarded: Batch) -> None:
    guarded.write({"test_it.py": "def test_it(): assert 0"})
    said = guarded.run("--hang-timeout", "50")
    assert "--hang-timeout 50" in said.line("RESUME")
    assert guarded.run(*command_of(said)).status == 1
