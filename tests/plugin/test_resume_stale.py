"""``resume.stale`` and ``resume.watch``: what becomes of good tests whose files changed, and which files are meant."""

import pytest

from .harness import Batch

TABLE = "[tool.resilience.resume]\n"
SUITE = "from steps import step\ndef test_a(): step('a')\ndef test_b(): assert step('b') > 2\n"


def changed(pytester: pytest.Pytester, stale: str, files: dict[str, str] | None = None) -> Batch:
    """A suite after its first run, whose one file then changed."""
    table = f"{TABLE}stale = '{stale}'\n"
    batch = Batch(pytester, {"pyproject.toml": table, "test_it.py": SUITE, **(files or {})})
    assert batch.run().outcomes == {"passed": 1, "failed": 1}
    batch.write({"test_it.py": f"{SUITE}\n# Changed.\n"})
    batch.forget()
    return batch


def test_run_is_the_default_and_runs_them_again(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, SUITE)
    batch.run()
    batch.write({"test_it.py": f"{SUITE}\n# Changed.\n"})
    run = batch.run("--resume-failed", "-vv")
    assert batch.started == ["test_a", "test_b"]
    assert run.line("CHANGED") == (
        "1 test - RES505 resume-code-changed: passed before, but their files changed, so they ran again"
    )


def test_carry_carries_them_over_without_a_word(pytester: pytest.Pytester) -> None:
    batch = changed(pytester, "carry")
    run = batch.run("--resume-failed", "-vv")
    assert batch.started == ["test_b"]
    assert (run.status, run.outcomes) == (1, {"failed": 1, "carried_over": 1})
    assert not run.line("CHANGED")
    assert "RES505" not in run.text


def test_warn_carries_them_over_and_says_so(pytester: pytest.Pytester) -> None:
    batch = changed(pytester, "warn")
    run = batch.run("--resume-failed", "-vv")
    assert batch.started == ["test_b"]
    assert run.outcomes == {"failed": 1, "carried_over": 1}
    assert run.line("CHANGED") == (
        "1 test - RES505 resume-code-changed: carried over, though their files changed: test_it.py::test_a"
    )


def test_warn_is_silent_where_nothing_changed_or_what_did_was_not_selected(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"pyproject.toml": f"{TABLE}stale = 'warn'\n", "test_it.py": SUITE})
    batch.run()
    assert not batch.run("--resume-failed").line("CHANGED")
    batch.write({"test_it.py": f"{SUITE}\n# Changed.\n", "test_new.py": "def test_new(): pass"})
    assert not batch.run("--resume-failed", "test_new.py").line("CHANGED")


@pytest.mark.parametrize("stale", ["carry", "warn"])
def test_what_was_carried_so_runs_as_soon_as_changes_count(pytester: pytest.Pytester, stale: str) -> None:
    batch = changed(pytester, stale)
    batch.run("--resume-failed")
    batch.run("--resume-failed")
    assert batch.started == ["test_b"]
    batch.write({"pyproject.toml": f"{TABLE}stale = 'run'\n"})
    run = batch.run("--resume-failed")
    assert batch.started == ["test_a", "test_b"]
    assert run.line("CHANGED").startswith("1 test - RES505 resume-code-changed: passed before")


@pytest.mark.parametrize("stale", ["carry", "warn"])
def test_a_test_of_which_nobody_knows_what_it_passed_with_runs_all_the_same(
    pytester: pytest.Pytester, stale: str
) -> None:
    """Its file could not be read when it was selected."""
    away = "import pathlib\ndef pytest_collection_modifyitems(): pathlib.Path('test_it.py').rename('away')"
    table = f"{TABLE}stale = '{stale}'\n"
    batch = Batch(pytester, {"pyproject.toml": table, "test_it.py": SUITE, "conftest.py": away})
    batch.run()
    (batch.root / "away").rename(batch.root / "test_it.py")
    batch.write({"conftest.py": ""})
    batch.run("--resume-failed")
    assert batch.started == ["test_a", "test_b"]


# -- watch


def watching(pytester: pytest.Pytester, watch: str = '["src/**", "*.sql"]') -> Batch:
    """A suite that watches other files too, after its first run."""
    files = {
        "pyproject.toml": f"{TABLE}watch = {watch}\n",
        "src/app/code.py": "x = 1",
        "data.sql": "select 1",
        "other.txt": "other",
        "test_it.py": SUITE,
        "test_other.py": "def test_other(): pass",
    }
    batch = Batch(pytester, files)
    assert batch.run().outcomes == {"passed": 2, "failed": 1}
    return batch


@pytest.mark.parametrize("name", ["src/app/code.py", "src/new.py", "data.sql", "test_it.py"])
def test_a_change_of_what_is_watched_runs_every_test_again(pytester: pytest.Pytester, name: str) -> None:
    batch = watching(pytester)
    assert batch.run("--resume-failed").outcomes == {"failed": 1, "carried_over": 2}
    batch.write({name: f"{SUITE}# Changed.\n"})
    run = batch.run("--resume-failed")
    others = {"carried_over": 1} if name == "test_it.py" else {}
    assert run.outcomes == {"passed": 2 + (not others), **others}
    assert run.line("CHANGED").startswith(f"{1 if others else 2} test")


def test_what_is_not_watched_may_change(pytester: pytest.Pytester) -> None:
    batch = watching(pytester)
    batch.write({"other.txt": "changed"})
    assert batch.run("--resume-failed").outcomes == {"failed": 1, "carried_over": 2}


def test_other_globs_run_every_test_again(pytester: pytest.Pytester) -> None:
    batch = watching(pytester)
    batch.write({"pyproject.toml": f"{TABLE}watch = 'src/**'\n"})
    assert batch.run("--resume-failed").outcomes == {"passed": 2, "failed": 1}


def test_what_a_run_leaves_behind_is_no_change(pytester: pytest.Pytester) -> None:
    """The ledger and byte code, which are in the folder that is watched."""
    batch = watching(pytester, '["**/*.jsonl", "**/*.json", "**/*.pyc", "FORMAT", "**/store.lock"]')
    batch.write({"__pycache__/new.pyc": "x"})
    run = batch.run("--resume-failed", "-p", "no:cacheprovider")
    assert run.outcomes == {"failed": 1, "carried_over": 2}


def test_changes_of_what_is_watched_are_carried_when_that_is_wanted(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {"pyproject.toml": f"{TABLE}watch = 'src'\nstale = 'warn'\n", "src/a.py": "", "test_it.py": SUITE},
    )
    batch.run()
    batch.write({"src/a.py": "x = 1"})
    run = batch.run("--resume-failed")
    assert run.outcomes == {"failed": 1, "carried_over": 1}
    assert run.line("CHANGED").startswith("1 test - RES505 resume-code-changed: carried over")
