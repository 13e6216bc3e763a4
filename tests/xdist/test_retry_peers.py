"""Where retrying goes wrong elsewhere when a worker does it: green ends, leaks, and what is told twice."""

import json
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.core.outcomes import Outcome

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

needs_subtests = pytest.mark.skipif(
    not hasattr(pytest, "Subtests"), reason="pytest has subtests of its own since 9"
)

# Of eight tests the fourth fails, and ends with what is filled in when it is tried again.
ENDS = """
import here, os, pytest

@pytest.fixture(scope="session", autouse=True)
def s():
    here.note("+s")
    yield
    here.note("-s")

@pytest.fixture(scope="module", autouse=True)
def m():
    here.note("+m")
    yield
    here.note("-m")

@pytest.fixture
def late(n, request):
    if n == 3 and here.is_there("failed"):
        request.getfixturevalue("late_m")

@pytest.fixture(scope="module")
def late_m():
    here.note("+late")
    yield
    here.note("-late")

@pytest.mark.parametrize("n", range(8))
def test(n, late):
    if n != 3 or here.is_there("retried"):
        return
    if here.mark("failed"):
        raise ConnectionError("gone")
    here.mark("retried")
    {ending}
"""
KEY = "test_a.py::test[3]"


def noted(batch: "Batch") -> list[str]:
    """What fixtures noted, without the ids of tests that began."""
    lines = (batch.root / "notes").read_text("ascii").splitlines()
    return [word for word in map(json.loads, lines) if word[0] in "+-"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_ends_in_a_retry_and_is_not_replaced_is_not_green(batch: "Batch", workers: int) -> None:
    batch.write({"test_a.py": ENDS.format(ending="os._exit(0)")})
    said = batch.run("-n", str(workers), "--max-worker-restart", "0", "--retries", "5")
    assert said.status == 1, said.text
    assert said.outcomes["total"] == 8 == sum(said.outcomes.values()) / 2
    assert said.outcomes["crashed"] == 1
    assert batch.last.outcomes[KEY] is Outcome.CRASHED
    if workers == 1:
        assert said.outcomes["not_run"] == 4
    # What the first attempt showed is not lost with the worker.
    ended = {ended.attempt: ended.message for ended in batch.last.of(AttemptEnded)}
    assert ended.pop(1) == "ConnectionError: gone"
    assert " ended with exit status 0 " in ended.pop(2)
    assert not ended
    resumed = batch.resume("-n", str(workers))
    assert (resumed.status, resumed.outcomes["total"]) == (0, 8), resumed.text


@pytest.mark.parametrize("ending", ["pytest.exit('enough', returncode=0)", "raise KeyboardInterrupt"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_retry_that_ends_the_session_is_not_green_and_leaves_nothing_behind(
    batch: "Batch", workers: int, ending: str
) -> None:
    batch.write({"test_a.py": ENDS.format(ending=ending)})
    said = batch.run("-n", str(workers), "--retries", "5")
    assert said.status not in (0, 5), said.text
    assert batch.last.outcomes[KEY].is_outstanding
    assert len(batch.last.outcomes) == 8
    made = noted(batch)
    assert {"+s", "+m", "+late"} <= set(made)
    for name in ("s", "m", "late"):
        assert made.count(f"+{name}") == made.count(f"-{name}"), made
    resumed = batch.resume("-n", str(workers))
    assert (resumed.status, resumed.outcomes["total"]) == (0, 8), resumed.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_while_a_worker_waits_between_attempts_tears_everything_down(
    batch: "Batch", number: signal.Signals
) -> None:
    batch.write({"test_a.py": ENDS.format(ending="pass")})
    session = batch.start("-n", "1", "--retries", "5", "--retry-delay", "3600")
    session.wait_for("failed")
    deadline = time.monotonic() + 60
    while not batch.last.of(AttemptEnded):
        assert time.monotonic() < deadline, "the attempt is not in the ledger"
        time.sleep(0.01)
    session.send_group(number)
    said = session.ended()
    assert (said.status, said.outcomes) == (2, {"total": 8, "passed": 3, "failed": 1, "not_run": 4}), (
        said.text
    )
    assert noted(batch) == ["+s", "+m", "-m", "-s"]


PHASES = """
import here, pytest

def fail_in(phase, name):
    word, _, times = name.removeprefix("test_").partition("_")
    if word == phase and (times == "always" or here.mark(f"failed-{name}")):
        raise ValueError(phase)

@pytest.fixture(autouse=True)
def f(request):
    fail_in("setup", request.node.name)
    yield
    fail_in("teardown", request.node.name)

def test_setup_once(): pass
def test_setup_always(): pass
def test_call_once(): fail_in("call", "test_call_once")
def test_call_always(): fail_in("call", "test_call_always")
def test_teardown_once(): pass
def test_teardown_always(): pass
def test_good(): pass
"""
ALWAYS = {"test_setup_always", "test_call_always", "test_teardown_always"}
COUNTS = {"total": 7, "passed": 1, "flaky": 3, "failed": 1, "error": 2}


def test_each_test_is_told_once_whatever_phase_failed(batch: "Batch") -> None:
    batch.write({"test_a.py": PHASES})
    said = batch.run("-n", "2", "--retries", "2", "--junitxml", "junit.xml", "-p", "cacheprovider")
    assert (said.status, said.outcomes) == (1, COUNTS), said.text
    junit = (batch.root / "junit.xml").read_text()
    assert sorted(re.findall(r'<testcase [^>]*name="(\w+)"', junit)) == sorted(
        re.findall(r"def (test_\w+)", PHASES)
    )
    assert re.search(r'<testsuite [^>]*errors="2" failures="1" skipped="0"', junit)
    remembered = json.loads((batch.root / ".pytest_cache/v/cache/lastfailed").read_text())
    assert {name.rpartition("::")[2] for name in remembered} == ALWAYS


@needs_subtests
def test_subtests_of_the_final_attempt_alone_reach_the_controller(batch: "Batch") -> None:
    text = """
import here
def test_once(subtests):
    first = here.mark("first")
    for n in range(3):
        with subtests.test(n=n): assert n != 1 or not first
def test_always(subtests):
    for n in range(3):
        with subtests.test(n=n): assert n != 1
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "2", "--retries", "2", "--junitxml", "junit.xml")
    assert (said.status, said.outcomes) == (1, {"total": 2, "flaky": 1, "failed": 1}), said.text
    junit = (batch.root / "junit.xml").read_text()
    # The subtest and the test that contains it, as without retries.
    assert 'failures="2"' in junit
    assert said.text.count("SUBFAILED") == 1


def test_exitfirst_means_the_first_final_failure(batch: "Batch") -> None:
    text = """
import here, pytest
@pytest.mark.parametrize("n", range(8))
def test(n):
    assert n != 3
    assert not here.mark(f"failed-{n}")
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "1", "-x", "--retries", "2")
    assert said.outcomes == {"total": 8, "flaky": 3, "failed": 1, "not_run": 4}, said.text
    assert batch.begun() == {**{f"test_a.py::test[{n}]": 2 for n in range(3)}, KEY: 3}
