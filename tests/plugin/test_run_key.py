"""``--run-key``: one command for every attempt of a CI job goes on with the run that the first one began."""

import pytest

from pytest_resilience.core.facts import WorkerDown
from pytest_resilience.hooks.owner import FLAKY_STATUS
from pytest_resilience.ledger.lines import encode

from .harness import Batch

SUITE = """
from steps import step
def test_a(): step("a")
def test_b(): assert step("b") > 1
"""
# What no test accounts for makes the run fail.
COVERAGE = """
def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0:
        session.exitstatus = 1
"""
FIRST = {"passed": 1, "failed": 1}
SECOND = {"passed": 1, "carried_over": 1}
REPORT = {"carried_over": 2}


@pytest.fixture
def batch(pytester: pytest.Pytester) -> Batch:
    return Batch(pytester, SUITE)


# -- which run


def test_the_same_command_begins_a_run_goes_on_with_it_and_reports_it(batch: Batch) -> None:
    first, second, third, fourth = (batch.run_bare("-p", "no:asyncio", "--run-key", "77") for _ in range(4))
    assert [run.outcomes for run in (first, second, third, fourth)] == [FIRST, SECOND, REPORT, REPORT]
    assert [run.status for run in (first, second, third, fourth)] == [1, 0, 0, 0]
    assert batch.steps == ["a", "b", "b"]
    assert third.line("COMPLETE") == "nothing was left to run - RES501 resume-nothing-left"
    assert "resilience: no earlier run has the key 77" in first.text
    assert not any(run.all_lines("WARNING") for run in (first, second, third, fourth))
    assert [info.run_key for info in batch.runs] == ["77"] * 4
    assert [info.parent for info in batch.runs] == ["", *(info.id for info in batch.runs[:3])]


def test_runs_of_another_key_or_of_none_are_left_alone(batch: Batch) -> None:
    batch.run("--run-key", "76")
    batch.run()
    run = batch.run("--run-key", "77")
    assert run.outcomes == {"passed": 2}
    assert [info.parent for info in batch.runs] == ["", "", ""]
    assert batch.run("--run-key", "76").outcomes == SECOND
    assert batch.runs[-1].parent == batch.runs[0].id


def test_the_newest_of_several_runs_with_the_key_is_taken(batch: Batch) -> None:
    batch.write({"test_it.py": "def test_a(): assert 0"})
    for _ in range(3):
        batch.run("--run-key", "77")
    assert [info.parent for info in batch.runs] == ["", batch.runs[0].id, batch.runs[1].id]


def test_a_complete_run_does_not_hide_one_that_is_not(batch: Batch) -> None:
    """In doubt a test runs again: two jobs had the same key by mistake."""
    batch.run("--run-key", "77", "test_it.py::test_b")
    failed = batch.runs[0]
    info = batch.runs[0]
    path = batch.newest.path / "run.json"
    path.write_text(path.read_text().replace('"run_key": "77"', '"run_key": "hidden"'))
    batch.run("--run-key", "77", "test_it.py::test_a")
    path.write_text(info.to_json())
    batch.run("--run-key", "77")
    assert batch.runs[-1].parent == failed.id


def test_a_run_that_died_is_gone_on_with(batch: Batch) -> None:
    batch.run("--run-key", "77")
    batch.kill_during("test_b")
    batch.forget()
    run = batch.run("--run-key", "77")
    assert batch.steps == ["b"]
    assert run.outcomes == {"failed": 1, "carried_over": 1}


def test_it_means_what_a_resume_without_a_name_means(batch: Batch) -> None:
    batch.run("--run-key", "77")
    batch.run()
    assert batch.run("--run-key", "77", "--resume-failed").outcomes == SECOND
    assert batch.runs[-1].parent == batch.runs[0].id


def test_a_resume_that_finds_no_run_of_the_key_says_so(batch: Batch) -> None:
    batch.run()
    run = batch.run("--run-key", "77", "--resume-failed")
    assert run.outcomes == {"passed": 2}
    assert run.line("WARNING").startswith(
        "RES502 resume-ledger-missing: no earlier run with the key '77' in "
    )


def test_a_resume_by_another_name_hands_the_key_on(batch: Batch) -> None:
    batch.run("--run-key", "77")
    assert batch.run("--resume-failed").outcomes == SECOND
    assert batch.run("--run-key", "77").outcomes == REPORT


def test_tests_whose_file_changed_run_again_in_a_complete_run(batch: Batch) -> None:
    for _ in range(2):
        batch.run("--run-key", "77")
    batch.write({"test_it.py": SUITE.replace('step("a")', "assert 0")})
    run = batch.run("--run-key", "77")
    assert (run.status, run.outcomes) == (1, FIRST)


def test_a_rehearsal_with_the_key_leaves_no_run(batch: Batch) -> None:
    batch.run("--run-key", "77")
    run = batch.run("--run-key", "77", "--collect-only", "-q")
    assert "1 left" in run.text or "test_b" in run.text
    assert len(batch.runs) == 1


# -- what a complete run ends with


def test_flaky_tests_of_a_complete_run_are_told_as_today_wants_it(batch: Batch) -> None:
    assert batch.run("--run-key", "77", "--retries", "1").status == 0
    assert batch.run("--run-key", "77", "--fail-on-flaky").status == FLAKY_STATUS
    assert batch.run("--run-key", "77").status == 0


def test_what_no_test_accounts_for_is_not_good_the_second_time(batch: Batch) -> None:
    """A plugin that found too little coverage in the whole run would find it all the more in none of it."""
    batch.write({"conftest.py": COVERAGE, "test_it.py": "def test_a(): pass"})
    assert batch.run("--run-key", "77").status == 1
    for _ in range(2):
        run = batch.run("--run-key", "77")
        assert (run.status, run.outcomes) == (1, {"carried_over": 1})
        assert run.line("WARNING").endswith(
            "all tests are good, but the run ended with exit status 1, and so does this one"
        )
    batch.write({"test_new.py": "def test_new(): pass"})
    assert batch.run("--run-key", "77").outcomes == {"passed": 1, "carried_over": 1}


def test_the_death_of_a_worker_is_over_once_its_test_is_good(batch: Batch) -> None:
    """Pytest counted it as a failure; nothing of it is left."""
    batch.write({"conftest.py": COVERAGE, "test_it.py": "def test_a(): pass"})
    assert batch.run("--run-key", "77").status == 1
    down = WorkerDown(worker="gw0.1.00000000", why="died", key="test_it.py::test_a")
    with batch.segment().open("ab") as segment:
        segment.write(encode(down, writer="gw0.1.00000000", seq=0, at=0.0))
    assert batch.run("--run-key", "77").status == 0


def test_a_test_that_is_gone_does_not_make_a_run_fail_for_ever(batch: Batch) -> None:
    batch.write({"test_c.py": "def test_c(): assert 0", "test_it.py": "def test_a(): pass"})
    assert batch.run("--run-key", "77").status == 1
    batch.write({"test_c.py": "x = 1"})
    assert batch.run("--run-key", "77").status == 0


# -- the command


def test_the_printed_command_has_the_key_and_leads_to_its_run(batch: Batch) -> None:
    command, _, _ = batch.run_apart("-p", "resilience", "--run-key", "job 7").line("RESUME").rpartition(" - ")
    assert "--run-key 'job 7' --resume-failed" in command
    batch.run("test_it.py::test_a")
    assert batch.type(f"{command} -p no:asyncio").outcomes == SECOND


def test_a_run_that_is_not_the_newest_is_named_in_place_of_the_key(batch: Batch) -> None:
    class Another:
        """Begins a run while the first one goes on."""

        def pytest_runtest_logfinish(self, nodeid: str) -> None:
            if nodeid.endswith("test_b"):
                batch.run_apart("--run-key", "78", "test_it.py::test_a")

    run = batch.run("--run-key", "77", plugins=(Another(),))
    command, _, _ = run.line("RESUME").rpartition(" - ")
    assert "--run-key" not in command
    assert f"--resume-failed={batch.runs[0].id.partition('-')[2]}" in command
    assert batch.type(f"{command} -p no:asyncio").outcomes == SECOND
    assert batch.runs[-1].run_key == "77"


# -- what is refused


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "\x1b[31m", "x" * 201])
def test_what_is_no_key_is_refused(batch: Batch, key: str) -> None:
    """An empty one is what a script gives that misspelt a variable: all of its runs would be one."""
    run = batch.run(f"--run-key={key}")
    assert run.status == 4
    assert "RES701 config-invalid: --run-key " in run.text
    assert "expected 1 to 200 printable characters" in run.text
    assert "\x1b" not in run.text
    assert batch.steps == []


@pytest.mark.parametrize("key", ["7", "x" * 200, "jenkins-main/été #7", "héhé%2F$(x)"])
def test_what_ci_services_give_is_a_key(batch: Batch, key: str) -> None:
    batch.run("--resilience-run-key", key)
    assert batch.runs[0].run_key == key


def test_a_key_and_a_run_by_name_are_refused(batch: Batch) -> None:
    run = batch.run("--run-key", "77", "--resume-failed=abc")
    assert run.status == 4
    assert "RES702 option-conflict: --run-key and --resume-failed=abc both name the run to resume" in run.text
