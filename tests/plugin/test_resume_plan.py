"""``--resume-failed --collect-only``: what a resume would do, told and not done."""

from hashlib import blake2b
from pathlib import Path

import pytest

from .harness import Batch, Result

SUITE = {
    "test_one.py": """
        from steps import step
        def test_a(): step("a")
        def test_b(): assert step("b") > 1
        def test_c(): step("c")
    """,
    "test_two.py": """
        from steps import step
        def test_d(): step("d")
        def test_e(): assert step("e") > 1
    """,
}


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): blake2b(path.read_bytes()).digest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shown(batch: Batch, *args: str) -> Result:
    """What is told of a resume that is not made: no test begins, and no byte of the ledger changes."""
    steps, ledger = batch.steps, content_of(batch.store.root)
    run = batch.run("--resume-failed", "--collect-only", *args)
    assert batch.steps_after(steps) == []
    assert content_of(batch.store.root) == ledger
    assert "OUTCOMES" not in run.text
    return run


def resumable(pytester: pytest.Pytester) -> Batch:
    batch = Batch(pytester, SUITE)
    assert batch.run().outcomes == {"passed": 3, "failed": 2}
    return batch


def test_the_plan_is_shown_below_the_tests_that_would_run(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run = shown(batch)
    assert run.status == 0
    assert [line.strip() for line in run.lines if "<Function" in line] == [
        "<Function test_b>",
        "<Function test_e>",
    ]
    at = next(at for at, line in enumerate(run.lines) if "= resume plan =" in line)
    assert [line.partition(" ")[0] for line in run.lines[at + 1 : at + 4]] == ["RUN", "CARRIED", "PLAN"]
    assert run.line("RUN") == "2 tests - 2 failed"
    assert run.line("CARRIED").startswith("3 tests - passed in run ")
    assert run.line("PLAN") == "total=5 run=2 carried_over=3"


def test_what_is_shown_is_what_the_resume_then_does(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    batch.kill_during("test_c")
    (batch.root / "test_two.py").write_text("def test_f(): pass\n")
    plan = shown(batch, "-vv")
    assert plan.line("PLAN") == "total=4 run=2 run_last=1 carried_over=1"
    assert plan.line("RUN") == "2 tests - 1 failed, 1 new"
    assert plan.line("RUNLAST").startswith("1 test - in flight when a run died")
    assert plan.line("GONE").startswith("2 tests - RES504 resume-tests-changed: no longer there")
    run = batch.run("--resume-failed")
    assert run.outcomes == {"passed": 3, "carried_over": 1}
    assert batch.started == ["test_b", "test_f", "test_c"]


def test_quietly_the_ids_and_the_totals_are_all(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run = shown(batch, "-q")
    ids = [line for line in run.lines if "::" in line]
    assert ids == ["test_one.py::test_b", "test_two.py::test_e"]
    assert run.line("PLAN") == "total=5 run=2 carried_over=3"
    assert not run.line("RUN")
    assert "resume plan" not in run.text


def test_letters_list_what_is_carried_and_what_stays_open(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run = shown(batch, "-rcn", "test_one.py")
    assert run.line("PLAN") == "total=3 run=1 carried_over=2 - 1 more stays open"
    assert [line for line in run.lines if line.startswith("  test_")] == [
        "  test_one.py::test_a",
        "  test_one.py::test_c",
        "  test_two.py::test_e",
    ]


def test_changed_files_are_told(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    (batch.root / "test_one.py").write_text("def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n")
    run = shown(batch, "-vv")
    assert run.line("CHANGED").startswith("2 tests - RES505 resume-code-changed: ")
    assert run.line("PLAN") == "total=5 run=4 carried_over=1"


def test_a_test_that_would_be_held_back_is_told_and_fails_nothing(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    batch.kill_during("test_e")
    batch.run("--resume-failed")
    batch.kill_during("test_e")
    run = shown(batch)
    assert run.status == 0
    assert "name it on the command line to run it" in run.line("CRASHED")
    assert "held=1" in run.line("PLAN")
    assert "run_last=1" in shown(batch, "test_two.py::test_e").line("PLAN")


def test_that_nothing_is_left_is_no_empty_collection(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    assert batch.run("--resume-failed").status == 0
    run = shown(batch)
    assert (run.status, run.line("PLAN")) == (0, "total=5 carried_over=5")
    assert run.line("COMPLETE")


def test_an_empty_collection_keeps_its_exit_status(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run = shown(batch, "-k", "no_such_test")
    assert run.status == pytest.ExitCode.NO_TESTS_COLLECTED
    assert run.line("PLAN") == "total=0 - 2 more stay open"


def test_without_a_ledger_everything_would_run(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, SUITE)
    run = shown(batch)
    assert not batch.store.root.exists()
    assert run.line("WARNING").startswith("RES502 resume-ledger-missing: ")
    assert run.line("PLAN") == "total=5 run=5"


def test_a_file_that_cannot_be_imported_leaves_its_tests_open(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    batch.write({"test_two.py": "import no_such_module"})
    run = shown(batch)
    assert run.status == pytest.ExitCode.INTERRUPTED
    assert run.line("PLAN") == "total=3 run=1 carried_over=2 - 2 more stay open"


def test_a_plain_collection_shows_no_plan(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    assert "PLAN" not in batch.run("--collect-only").text


@pytest.mark.parametrize("args", [["--resume-failed"], []])
def test_with_workers_the_session_itself_collects(pytester: pytest.Pytester, args: list[str]) -> None:
    pytest.importorskip("xdist")
    batch = resumable(pytester)
    run = batch.run("-n", "2", "--collect-only", *args)
    assert run.status == 0
    assert run.line("PLAN") == ("total=5 run=2 carried_over=3" if args else "")
    assert run.text.count("<Function") == (2 if args else 5)
