"""Sessions at the same time on the same rootdir: each has a run of its own and leaves those of others alone."""

import pytest

from pytest_resilience.core.codes import Code

from .sessions import Batch

SUITE = """
import here, os, pytest

@pytest.mark.parametrize("n", range(5))
def test(n):
    if n == 3:
        here.mark(f"waits-{os.getpid()}")
        here.wait("go")
"""
# A short session, and a table by which hardly any run is kept.
QUICK = "def test(): pass\n"
FEW = "[tool.resilience.ledger]\nkeep-runs = 1\n"


@pytest.mark.invariant(20)
@pytest.mark.parametrize("number", [2, 8])
def test_sessions_at_once_each_have_a_run_that_no_other_touches(batch: Batch, number: int) -> None:
    batch.write({"test_a.py": SUITE, "test_b.py": QUICK, "pyproject.toml": FEW})
    sessions = [batch.start("test_a.py") for _ in range(number)]
    for session in sessions:
        session.wait_for(f"waits-{session.pid}")
    alive = {run.info.pid: run for run in batch.runs()}
    assert set(alive) == {session.pid for session in sessions}
    assert all(run.folder.writers_alive() == ["owner"] for run in alive.values())
    assert all(run.info.parent == "" for run in alive.values())

    # Each of these prunes; none may take a run that is alive for an old one.
    for _ in range(3):
        assert batch.run("test_b.py").status == 0
    assert set(alive) <= {run.info.pid for run in batch.runs()}

    batch.mark("go")
    for session in sessions:
        said = session.ended()
        assert (said.status, said.outcomes) == (0, {"total": 5, "passed": 5}), said.text
    for run in batch.runs():
        if run.info.pid in alive:
            assert run.run.ended is not None
            assert len(run.outcomes) == 5


@pytest.mark.invariant(19, 20)
def test_a_session_does_not_resume_one_that_is_alive(batch: Batch) -> None:
    """Neither when it is the newest, nor by its name; without a resume it simply gets a run of its own."""
    batch.write({"test_a.py": SUITE, "test_b.py": "def test(): assert 0\n"})
    session = batch.start("test_a.py")
    session.wait_for(f"waits-{session.pid}")
    run = batch.last.info.id
    for argument in ("--resume-failed", f"--resume-failed={run}"):
        said = batch.run(argument)
        assert said.status == 4
        assert f"{Code.LEDGER_LOCKED}: run {run} is still alive" in said.text
    assert batch.run("test_b.py").outcomes == {"total": 1, "failed": 1}
    assert batch.last.info.parent == ""
    assert batch.resume().outcomes == {"total": 1, "failed": 1}, "the newest run is one that ended"
    batch.mark("go")
    assert session.ended().status == 0


def test_the_older_of_two_sessions_names_its_own_run_to_resume(batch: Batch) -> None:
    batch.write({"test_a.py": f"{SUITE}\ndef test_bad(): assert 0\n", "test_b.py": QUICK})
    session = batch.start("test_a.py")
    session.wait_for(f"waits-{session.pid}")
    older = batch.last.info.id.partition("-")[2]
    assert batch.run("test_b.py").status == 0
    batch.mark("go")
    said = session.ended()
    assert f"--resume-failed={older} - 1 left: 1 failed" in said.text
    assert batch.run(f"--resume-failed={older}").outcomes == {"total": 6, "failed": 1, "carried_over": 5}
