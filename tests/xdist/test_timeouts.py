"""Time limits hold for every attempt on a worker, and the controller tells what they did."""

from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, WorkerDown
from pytest_resilience.core.outcomes import Outcome

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")
pytest.importorskip("pytest_timeout")

TWO = ("-n", "2", "-p", "pytest_timeout", "--retries", "1")

# The first attempt of one test fails, the second hangs; one test hangs once; one hangs in its teardown.
SUITE = """
import here, pytest, time

@pytest.fixture
def leaky():
    yield
    time.sleep(60)

@pytest.mark.timeout(0.3)
def test_late():
    assert not here.mark("late")
    time.sleep(60)

@pytest.mark.timeout(0.3)
def test_once(): here.mark("once") and time.sleep(60)

@pytest.mark.timeout(0.3, func_only=True)
def test_call(): time.sleep(60)

@pytest.mark.timeout(0.3)
def test_teardown(leaky): pass

@pytest.mark.parametrize("n", range(4))
def test_other(n): pass
"""


def test_attempts_are_ended_on_workers_as_they_are_without(batch: "Batch") -> None:
    batch.write({"test_a.py": SUITE})
    said = batch.run(*TWO, "--timeout", "30", "-v")
    assert said.status == 1
    assert said.outcomes == {"total": 8, "passed": 4, "flaky": 1, "timed_out": 3}, said.text
    outcomes = {key.partition("::")[2]: outcome for key, outcome in batch.last.outcomes.items()}
    timed_out = {name for name, outcome in outcomes.items() if outcome is Outcome.TIMED_OUT}
    assert timed_out == {"test_late", "test_call", "test_teardown"}
    assert {
        (fact.key.partition("::")[2], fact.phase, fact.code)
        for fact in batch.last.of(AttemptEnded)
        if fact.outcome is Outcome.TIMED_OUT and fact.attempt == 2
    } == {(name, "teardown" if name == "test_teardown" else "call", "RES104") for name in timed_out}
    for name in timed_out:
        assert f"] TIMED OUT test_a.py::{name} " in said.text
        assert f"\nTIMED OUT test_a.py::{name} - Failed: Timeout (>0.3s)" in said.text
    assert "2 failed, 5 passed, 1 error" in said.text


def test_the_thread_method_costs_the_worker_and_its_test_alone(batch: "Batch") -> None:
    text = """
import here, pytest, time

@pytest.mark.timeout(0.3, method="thread")
def test_late():
    assert not here.mark("late")
    time.sleep(60)

@pytest.mark.parametrize("n", range(8))
def test_other(n): pass
"""
    batch.write({"test_a.py": text})
    said = batch.run(*TWO)
    assert (said.status, said.outcomes) == (1, {"total": 9, "passed": 8, "crashed": 1}), said.text
    assert [down.key for down in batch.last.of(WorkerDown)] == ["test_a.py::test_late"] * 2
    assert batch.begun()["test_a.py::test_late"] == 3


def test_no_attempt_follows_when_the_time_of_the_session_is_over(batch: "Batch") -> None:
    text = """
import here, pytest, time

@pytest.mark.parametrize("n", range(20))
def test(n):
    time.sleep(0.02)  # by now the time is over
    assert 0
"""
    batch.write({"test_a.py": text})
    said = batch.run(*TWO, "--session-timeout", "0.01")
    assert said.status != 0
    ran = batch.begun()
    assert set(ran.values()) == {1}
    assert said.outcomes == {"total": 20, "failed": len(ran), "not_run": 20 - len(ran)}, said.text
    assert len(ran) <= 2, "each worker stops after the test that it runs"
    assert "session-timeout: 0.01 sec exceeded" in said.text
    assert Code.TEST_TIMEOUT.code not in {fact.code for fact in batch.last.of(AttemptEnded)}
