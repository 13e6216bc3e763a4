"""``--resume-failed`` after runs that died: what was in flight runs last, and is held back after two deaths."""

import pytest

from .harness import Batch

THREE = """
from steps import step
def test_a(): step("a")
def test_b(): step("b")
def test_c(): step("c")
"""


def killed_during(pytester: pytest.Pytester, name: str, source: str = THREE) -> Batch:
    """A suite whose first run was killed while the test of this name ran."""
    batch = Batch(pytester, source)
    batch.run()
    batch.kill_during(name)
    return batch


def test_a_test_in_flight_when_the_run_died_is_crashed_and_runs_last(pytester: pytest.Pytester) -> None:
    batch = killed_during(pytester, "test_b")
    assert batch.tests == {"test_a": "passed", "test_b": "crashed", "test_c": "not_run"}
    before = batch.steps
    run = batch.run("--resume-failed")
    assert batch.steps_after(before) == ["c", "b"]
    assert (run.status, run.outcomes) == (0, {"passed": 2, "carried_over": 1})


def test_a_real_kill_is_resumed(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import os, signal
        from steps import step
        def test_a(): step("a")
        def test_b():
            if step("b") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        def test_c(): step("c")
        """,
    )
    batch.run_apart("-p", "resilience")
    assert batch.tests == {"test_a": "passed", "test_b": "crashed", "test_c": "not_run"}
    assert batch.run("--resume-failed").outcomes == {"passed": 2, "carried_over": 1}
    assert batch.steps == ["a", "b", "c", "b"]


def died_twice(pytester: pytest.Pytester) -> Batch:
    batch = killed_during(pytester, "test_b")
    batch.run("--resume-failed")
    batch.kill_during("test_b")
    batch.forget()
    return batch


def test_after_two_deaths_a_test_is_crashed_without_being_run(pytester: pytest.Pytester) -> None:
    batch = died_twice(pytester)
    run = batch.run("--resume-failed")
    assert batch.steps == []
    assert (run.status, run.outcomes) == (1, {"crashed": 1, "carried_over": 2})
    assert run.line("CRASHED").startswith("test_it.py::test_b - not run: it was in flight in 2 runs")
    assert batch.run("--resume-failed").outcomes == {"crashed": 1, "carried_over": 2}


@pytest.mark.parametrize("named", [True, False])
def test_naming_a_test_that_is_held_runs_it(pytester: pytest.Pytester, named: bool) -> None:
    batch = died_twice(pytester)
    run = batch.run("--resume-failed", "test_it.py::test_b" if named else "test_it.py")
    assert batch.steps == (["b"] if named else [])
    assert run.status == (0 if named else 1)


def test_the_printed_command_releases_a_test_that_is_held(pytester: pytest.Pytester) -> None:
    batch = died_twice(pytester)
    command = batch.run("--resume-failed").line("RESUME").partition(" - ")[0]
    run = batch.type(f"{command} -p no:asyncio")
    assert (run.status, run.outcomes) == (0, {"passed": 1})
    assert batch.steps == ["b"]


def test_a_result_ends_the_count_of_deaths(pytester: pytest.Pytester) -> None:
    batch = killed_during(pytester, "test_b", "from steps import step\ndef test_b(): assert step('b') > 3")
    assert batch.run("--resume-failed").outcomes == {"failed": 1}
    batch.run("--resume-failed")
    batch.kill_during("test_b")
    assert batch.run("--resume-failed").outcomes == {"passed": 1}


def test_a_run_that_died_before_any_test_is_resumed_whole(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, THREE)
    batch.run()
    batch.segment().unlink()
    (batch.newest.path / "final.json").unlink()
    assert batch.run("--resume-failed").outcomes == {"passed": 3}


def test_a_run_that_died_while_collecting_a_resume_loses_nothing(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, THREE.replace('step("b")', 'assert step("b") > 2'))
    batch.run()
    assert batch.run("--resume-failed").outcomes == {"failed": 1, "carried_over": 2}
    folder = batch.newest.path
    for name in ("tests.jsonl", "final.json", batch.segment().name):
        (folder / name).unlink()
    assert batch.run("--resume-failed").outcomes == {"passed": 1, "carried_over": 2}
