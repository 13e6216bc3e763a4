"""``pytest-resilience show``: the same block as the session's, of a run that ended and of one that was killed."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from pytest_resilience.cli import main
from pytest_resilience.core.codes import Code

from .harness import Batch

SUITE = """
import pytest
from steps import step
def test_passed(): pass
def test_flaky(): assert step("flaky") > 1
def test_failed(): assert 0, "wrong\\x1b[2J"
@pytest.fixture
def broken(): raise OSError("no database")
def test_error(broken): pass
def test_last(): pass
"""


def show(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    """The lines that it prints."""
    capsys.readouterr()
    assert main(["show", *map(str, arguments)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out.splitlines()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What it says when it cannot."""
    capsys.readouterr()
    assert main(["show", *map(str, arguments)]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ERROR RES")
    return printed.err


@pytest.fixture
def batch(pytester: pytest.Pytester) -> Batch:
    """The suite."""
    return Batch(pytester, SUITE)


@pytest.mark.parametrize("style", [(), ("-v",), ("-q",), ("--resilience-summary", "all"), ("-rR",)])
def test_it_prints_the_block_of_the_session(
    batch: Batch, style: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    run = batch.run("--retries", "1", "--maxfail", "2", *style)
    shown = show(capsys, *style)
    first = next(at for at, line in enumerate(run.lines) if line.startswith(("PASSED", "FLAKY", "OUTCOMES")))
    last = next(at for at, line in enumerate(run.lines) if line.startswith("RESUME"))
    block = run.lines[first:last]
    assert any(line.startswith("OUTCOMES") for line in block)
    assert shown[-len(block) - 1 : -1] == block


def test_it_says_what_the_run_was_and_why_each_bad_test_is(
    batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.run("--retries=1", "--tb=no", "test_it.py")
    lines = show(capsys)
    name = batch.newest.id.partition("-")[2][:4]
    assert lines[0] == f"RUN {name} ended with exit status 1"
    assert lines[1].strip().endswith("--retries=1 --tb=no test_it.py")
    assert f"in {batch.root}, " in lines[2]
    assert lines[3].endswith("UTC, just now")
    assert [line for line in lines if line.startswith(("FAILED", "ERROR"))] == [
        "FAILED test_it.py::test_failed - AssertionError: wrong\\x1b[2J",
        "ERROR test_it.py::test_error - OSError: no database",
    ]


def test_its_command_resumes_the_run(
    batch: Batch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    batch.run("--resilience-dir", "kept here", "--retries=1")
    older = show(capsys, "--resilience-dir", "kept here")[-1]
    assert older.startswith(
        "RESUME pytest -p resilience -p no:asyncio --resilience-dir 'kept here' --retries=1"
    )
    batch.run("--resilience-dir", "kept here", "-k", "passed")
    (batch.root / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    ledger = batch.root / "kept here"
    named = show(capsys, batch_id(ledger, 0), "--resilience-dir", ledger)[-1]
    assert named.startswith(f"RESUME cd {shlex.quote(str(batch.root))} && pytest ")
    run = batch.type(named.removeprefix("RESUME ").partition(" - ")[0])
    assert run.outcomes == {"carried_over": 3, "failed": 1, "error": 1}


def batch_id(ledger: Path, number: int) -> str:
    """The random part of the id of a run, by age."""
    return sorted(path.name for path in (ledger / "runs").iterdir())[number].partition("-")[2]


def test_of_a_killed_run_it_says_what_the_session_could_not(
    batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.run("--retries", "1")
    batch.kill_during("test_last")
    lines = show(capsys)
    assert lines[0].endswith(f"died - {Code.CONTROLLER_LOST}: it has no orderly end")
    assert "CRASHED test_it.py::test_last - RES201 worker-crashed: in flight when its process ended" in lines
    assert "OUTCOMES total=5 passed=1 flaky=1 failed=1 error=1 crashed=1" in lines
    assert lines[-1].endswith("3 left: 1 failed, 1 error, 1 crashed")


def test_of_a_resume_it_says_what_was_carried_over(batch: Batch, capsys: pytest.CaptureFixture[str]) -> None:
    batch.run("--retries", "1")
    batch.write({"test_it.py": SUITE.replace("assert 0,", "assert 1,")})
    batch.run("--resume-failed", "--retries", "1")
    batch.run("--resume-failed", "--retries", "1", "-rc")
    lines = show(capsys, "-rc")
    (carried,) = [line for line in lines if line.startswith("CARRIED")]
    older = batch.runs[-2].id.partition("-")[2][:4]
    assert carried.startswith(f"CARRIED 4 tests - passed in run {older}, ")
    assert carried.endswith(" UTC, just now")
    assert "  test_it.py::test_passed" in lines
    assert "OUTCOMES total=5 error=1 carried_over=4" in lines


def test_a_damaged_run_is_shown_as_far_as_it_can_be_read(
    batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.run()
    segment = batch.segment()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(line[:-8] + b"\n" if b'"k":"fin"' in line else line for line in lines))
    assert [line for line in show(capsys) if line.startswith(f"WARNING {Code.LEDGER_CORRUPT}: ")]


# -- which run


def test_the_ledger_is_found_from_a_folder_below(
    batch: Batch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.write({"pyproject.toml": '[tool.resilience.ledger]\ndir = "there"\n', "deep/down/x.txt": ""})
    batch.run()
    monkeypatch.chdir("deep/down")
    assert "OUTCOMES total=5 passed=2 failed=2 error=1" in show(capsys)
    monkeypatch.chdir("/")
    assert "OUTCOMES total=5 passed=2 failed=2 error=1" in show(capsys, "--rootdir", batch.root)


def test_a_run_that_is_not_there_is_refused(batch: Batch, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{Code.RESUME_LEDGER_MISSING}: no run in {batch.root}" in refusal(capsys)
    batch.run("-k", "passed")
    batch.run("-k", "passed")
    assert f"no run 'xyz' in the ledger; newest runs: {batch.runs[0].id}" in refusal(capsys, "xyz")
    assert "'2' fits several runs" in refusal(capsys, "2")
    batch.write({".pytest_resilience/FORMAT": '{"format": "pytest-resilience", "major": 99}'})
    assert f"{Code.LEDGER_VERSION_UNSUPPORTED}: " in refusal(capsys)


def test_a_broken_table_and_a_weak_key_are_named(
    batch: Batch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.write({"pyproject.toml": "[tool.resilience]\nretry = 1\n"})
    assert f"{Code.CONFIG_INVALID}: " in refusal(capsys)
    monkeypatch.setenv("RESILIENCE_LEDGER_KEY", "x")
    assert "RESILIENCE_LEDGER_KEY" in refusal(capsys)


def test_without_a_command_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "required: COMMAND" in capsys.readouterr().err
