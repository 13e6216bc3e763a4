"""``--resume-force``: a run that looks alive is resumed, and that is said; without it such a run is refused."""

import os

import pytest

from pytest_resilience.ledger.locks import Lock
from pytest_resilience.ledger.runs import lock_of

from .harness import Batch

SUITE = """
from steps import step
def test_a(): step("a")
def test_b(): assert step("b") > 1
"""


@pytest.fixture
def alive(pytester: pytest.Pytester) -> Batch:
    """A suite whose last run failed, and looks as if it were still alive."""
    batch = Batch(pytester, SUITE)
    assert batch.run().outcomes == {"passed": 1, "failed": 1}
    return batch


@pytest.mark.parametrize("flag", ["--resume-force", "--resilience-resume-force"])
def test_a_run_that_looks_alive_is_resumed_with_a_warning(alive: Batch, flag: str) -> None:
    lock = Lock.acquire(lock_of(alive.newest.path, "owner"))
    assert lock is not None
    refused = alive.run("--resume-failed")
    assert (refused.status, refused.outcomes) == (4, {})
    assert f"RES403 ledger-locked: run {alive.newest.id} is still alive: its session, process" in refused.text
    run = alive.run("--resume-failed", flag)
    assert (run.status, run.outcomes) == (0, {"passed": 1, "carried_over": 1})
    assert run.line("WARNING").startswith("RES403 ledger-locked: run ")
    assert f"process {os.getpid()}" in run.line("WARNING")
    lock.release()


def test_a_run_that_is_over_needs_no_force_and_gets_no_warning(alive: Batch) -> None:
    run = alive.run("--resume-failed", "--resume-force")
    assert (run.status, run.outcomes) == (0, {"passed": 1, "carried_over": 1})
    assert not run.line("WARNING")


def test_the_command_that_resumes_does_not_force(alive: Batch) -> None:
    (alive.root / "test_it.py").write_text(SUITE.replace("> 1", "> 9"))
    run = alive.run("--resume-failed", "--resume-force")
    assert "--resume-failed - 1 left" in run.line("RESUME")
    assert "force" not in run.line("RESUME")


def test_force_alone_is_refused(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, SUITE).run_bare("-p", "no:asyncio", "--resume-force")
    assert run.status == 4
    assert "RES701 config-invalid: --resume-force says how to resume; add --resume-failed" in run.text
