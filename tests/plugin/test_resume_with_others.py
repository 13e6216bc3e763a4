"""``--resume-failed`` with what else chooses, orders or splits tests: what is not run today stays open, never green.

The rules are those of the table in docs/how-to/resume-a-run.md; each has a test here.
"""

import json
from pathlib import Path

import pytest

from .harness import Batch, Result

# After `--maxfail 1`: test_a has passed, test_b has failed, and the others were never started.
SUITE = {
    "pytest.ini": "[pytest]\nmarkers = some",
    "test_one.py": """
        from steps import step
        def test_a(): step("a")
        def test_b(): assert step("b") > 1
        def test_c(): step("c")
    """,
    "test_two.py": """
        import pytest
        from steps import step
        @pytest.mark.some
        def test_d(): step("d")
        def test_e(): step("e")
    """,
}


def stopped(pytester: pytest.Pytester) -> Batch:
    batch = Batch(pytester, SUITE)
    assert batch.run("--maxfail", "1").outcomes == {"passed": 1, "failed": 1, "not_run": 3}
    return batch


def cached(batch: Batch, key: str) -> object:
    path = batch.root / ".pytest_cache" / "v" / "cache" / key
    return json.loads(path.read_text()) if path.exists() else None


def ran(batch: Batch) -> str:
    return "".join(sorted(name.removeprefix("test_") for name in batch.started))


# -- what narrows


@pytest.mark.parametrize(
    ("args", "runs"),
    [
        (["--lf"], "b"),
        (["--sw"], "bcde"),
        (["--sw-skip"], "bcde"),
        (["-k", "test_b or test_d"], "bd"),
        (["-m", "some"], "d"),
        (["--deselect", "test_one.py::test_b"], "cde"),
        (["--ignore", "test_two.py"], "bc"),
        (["--ignore-glob", "*_two.py"], "bc"),
        (["test_two.py"], "de"),
        (["--lf", "-k", "test_d"], ""),
    ],
)
def test_what_is_not_selected_today_stays_open(pytester: pytest.Pytester, args: list[str], runs: str) -> None:
    batch = stopped(pytester)
    run = batch.run("--resume-failed", *args)
    assert ran(batch) == runs
    left = sorted(set("bcde") - set(runs))
    assert not run.line("GONE")
    assert run.status == (1 if left else 0), run.text
    if left:
        assert run.line("OPEN").startswith(f"{len(left)} test")
        assert "RES506 resume-outstanding" in run.line("OPEN")
        assert f"{len(left)} outside today's selection" in run.line("RESUME")
    run = batch.run("--resume-failed", "-k", "test", "-m", "some or not some")
    assert (run.status, ran(batch)) == (0, "".join(left))


def test_with_workers_a_file_that_lf_skips_keeps_its_tests(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    batch = stopped(pytester)
    run = batch.run("--resume-failed", "--lf", "-n", "2")
    assert (run.status, run.outcomes) == (1, {"passed": 1})
    assert run.line("OPEN").startswith("3 tests")


def test_lf_without_known_failures_runs_what_is_left(pytester: pytest.Pytester) -> None:
    batch = stopped(pytester)
    run = batch.run("--resume-failed", "--lf", "--cache-clear")
    assert (run.status, ran(batch)) == (0, "bcde")


def test_lf_with_nothing_to_select_is_not_green(pytester: pytest.Pytester) -> None:
    batch = stopped(pytester)
    run = batch.run("--resume-failed", "--lf", "--cache-clear", "--lfnf", "none")
    assert (run.status, ran(batch)) == (1, "")
    assert run.line("OPEN").startswith("4 tests")


def test_stepwise_stops_at_a_failure_and_goes_on_from_there(pytester: pytest.Pytester) -> None:
    source = "from steps import step\ndef test_a(): step('a')\ndef test_b(): assert step('b') > 2\ndef test_c(): step('c')"
    batch = Batch(pytester, source)
    run = batch.run("--sw")
    assert run.outcomes == {"passed": 1, "failed": 1, "not_run": 1}
    assert "RES308 stop-max-failures: Test failed" in run.line("NOTRUN")
    run = batch.run("--resume-failed", "--sw")
    assert run.outcomes == {"failed": 1, "not_run": 1}
    run = batch.run("--resume-failed", "--sw")
    assert (run.status, run.outcomes) == (0, {"passed": 2})
    assert batch.steps == ["a", "b", "b", "b", "c"]


# -- pytest's cache


def killed(pytester: pytest.Pytester) -> Batch:
    """Before it was killed in test_c, the run had seen test_a and test_b become good; pytest's cache has not."""
    batch = Batch(pytester, SUITE)
    batch.run("test_one.py::test_b", "--sw")
    batch.write(
        {".pytest_cache/v/cache/lastfailed": '{"test_one.py::test_a": true, "test_one.py::test_b": true}'}
    )
    before = batch.root / ".pytest_cache"
    kept = {path: path.read_bytes() for path in before.rglob("*") if path.is_file()}
    assert batch.run().outcomes == {"passed": 5}
    batch.kill_during("test_c")
    for path, content in kept.items():
        path.write_bytes(content)
    return batch


def test_the_cache_does_not_take_what_is_carried_over_for_failed(pytester: pytest.Pytester) -> None:
    batch = killed(pytester)
    assert batch.run("--resume-failed").outcomes == {"passed": 3, "carried_over": 2}
    assert cached(batch, "lastfailed") == {}
    assert cached(batch, "stepwise")["last_failed"] is None  # type: ignore[index]


def test_the_cache_keeps_what_a_run_that_was_named_may_not_know(pytester: pytest.Pytester) -> None:
    batch = killed(pytester)
    batch.run(f"--resume-failed={batch.runs[-1].id}")
    assert cached(batch, "lastfailed") == {"test_one.py::test_a": True, "test_one.py::test_b": True}


def test_the_cache_learns_of_failures_that_a_killed_run_left(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester, SUITE | {"test_two.py": "def test_d(): assert 0\ndef test_e(): pass\ndef test_f(): pass"}
    )
    batch.run()
    batch.kill_during("test_f")
    (batch.root / ".pytest_cache/v/cache/lastfailed").unlink()
    run = batch.run("--resume-failed", "test_one.py")
    assert run.outcomes == {"passed": 1, "carried_over": 2}
    assert cached(batch, "lastfailed") == {"test_two.py::test_d": True, "test_two.py::test_f": True}
    batch.run("--lf")
    assert batch.started == ["test_d", "test_f"]


def test_the_cache_is_left_alone_without_a_resume_and_by_a_plan(pytester: pytest.Pytester) -> None:
    batch = killed(pytester)
    batch.run("--resume-failed", "--collect-only")
    batch.run("test_two.py")
    assert cached(batch, "lastfailed") == {"test_one.py::test_a": True, "test_one.py::test_b": True}


def test_a_session_without_a_cache_can_be_resumed(pytester: pytest.Pytester) -> None:
    batch = stopped(pytester)
    assert batch.run("--resume-failed", "-p", "no:cacheprovider").status == 0


# -- what orders

REVERSED = {
    "as a plain hook": "def pytest_collection_modifyitems(items): items.reverse()",
    "first": "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_collection_modifyitems(items): items.reverse()",
    "last": "import pytest\n@pytest.hookimpl(trylast=True)\ndef pytest_collection_modifyitems(items): items.reverse()",
    "around": """
        import pytest
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_collection_modifyitems(items):
            result = yield
            items.reverse()
            return result
    """,
}


def suspects(pytester: pytest.Pytester, files: dict[str, str]) -> Batch:
    """A suite whose run was killed while its first test ran."""
    batch = Batch(pytester, files)
    batch.run()
    batch.kill_during("test_a")
    return batch


FOUR = {
    "sub/test_one.py": "def test_a(): pass\ndef test_b(): pass",
    "sub/test_two.py": "def test_c(): pass\ndef test_d(): pass",
}


@pytest.mark.parametrize("where", ["conftest.py", "sub/conftest.py"])
@pytest.mark.parametrize("how", REVERSED)
def test_suspects_stay_last_whoever_shuffles(pytester: pytest.Pytester, how: str, where: str) -> None:
    batch = suspects(pytester, FOUR)
    batch.write({where: REVERSED[how]})
    assert batch.run("--resume-failed").outcomes == {"passed": 4}
    assert batch.started == ["test_d", "test_c", "test_b", "test_a"]


@pytest.mark.parametrize("flag", ["--ff", "--nf"])
def test_suspects_stay_last_whatever_pytest_puts_first(pytester: pytest.Pytester, flag: str) -> None:
    batch = suspects(pytester, FOUR)
    batch.write(
        {
            ".pytest_cache/v/cache/lastfailed": '{"sub/test_one.py::test_a": true, "sub/test_two.py::test_d": true}'
        }
    )
    assert batch.run("--resume-failed", flag).outcomes == {"passed": 4}
    assert batch.started[-1] == "test_a"
    assert flag != "--ff" or batch.started[0] == "test_d"


# -- what splits

SPLITTING = {
    "pytest-split": ("splits", "group", "--splits", "--group", 1, True),
    "pytest-shard": ("num_shards", "shard_id", "--num-shards", "--shard-id", 0, False),
    "pytest-test-groups": ("test-group-count", "test-group", "--test-group-count", "--test-group", 1, False),
}


def split(pytester: pytest.Pytester, plugin: str) -> tuple[Batch, list[list[str]]]:
    """A suite of which every second test is in the same shard, and the options of both shards."""
    number, which, number_flag, which_flag, first, tells = SPLITTING[plugin]
    conftest = f"""
        def pytest_addoption(parser):
            parser.addoption("{number_flag}", dest="{number}", type=int)
            parser.addoption("{which_flag}", dest="{which}", type=int)

        def pytest_collection_modifyitems(config, items):
            parts = getattr(config.option, "{number}") or 1
            at = (getattr(config.option, "{which}") or {first}) - {first}
            left = [item for number, item in enumerate(items) if number % parts != at]
            items[:] = items[at::parts]
            if {tells}:
                config.hook.pytest_deselected(items=left)
    """
    batch = Batch(pytester, SUITE | {"conftest.py": conftest})
    return batch, [[f"{number_flag}=2", which_flag, str(part + first)] for part in range(2)]


@pytest.mark.parametrize("plugin", SPLITTING)
def test_shards_of_one_machine_do_not_take_each_others_run(pytester: pytest.Pytester, plugin: str) -> None:
    batch, (one, two) = split(pytester, plugin)
    assert batch.run(*one, "--maxfail", "1").outcomes == {"passed": 3}
    assert batch.run(*two, "--maxfail", "1").outcomes == {"failed": 1, "not_run": 1}
    run = batch.run("--resume-failed", *one)
    assert (run.status, run.outcomes) == (0, {"carried_over": 3})
    run = batch.run("--resume-failed", *two)
    assert (run.status, run.outcomes) == (0, {"passed": 2})
    assert not run.line("OPEN")


@pytest.mark.parametrize("plugin", SPLITTING)
def test_the_resume_command_repeats_the_shard(pytester: pytest.Pytester, plugin: str) -> None:
    batch, (_, two) = split(pytester, plugin)
    run = batch.run(*two)
    assert f" {' '.join(two)} --resume-failed - 1 left" in run.line("RESUME")


@pytest.mark.parametrize("plugin", SPLITTING)
def test_what_moved_to_another_shard_stays_open_in_its_own(pytester: pytest.Pytester, plugin: str) -> None:
    batch, (_, two) = split(pytester, plugin)
    batch.run(*two, "--maxfail", "1")
    batch.write({"test_a.py": "def test_first(): pass"})
    run = batch.run("--resume-failed", *two)
    assert run.status == 1
    assert run.line("OPEN").startswith("2 tests - RES506")
    assert not run.line("GONE")


def test_a_shard_that_is_not_named_is_told(pytester: pytest.Pytester) -> None:
    batch, (_, two) = split(pytester, "pytest-split")
    batch.run(*two)
    run = batch.run("--resume-failed")
    assert run.outcomes == {"passed": 5}
    assert "the newest, shard was --splits=2 --group=2 and is none" in mismatch_of(run)


# -- other circumstances


def mismatch_of(run: Result) -> str:
    told = [line for line in run.all_lines("WARNING") if line.startswith("RES503 resume-mismatch: ")]
    return "".join(told)


def elsewhere(pytester: pytest.Pytester) -> tuple[Batch, Path]:
    """A suite whose ledger is outside of it, and a copy of the suite."""
    ledger = pytester.path.parent / f"{pytester.path.name}-ledger"
    files = {f"{where}/{name}": source for where in ("here", "copy") for name, source in SUITE.items()}
    batch = Batch(pytester, files)
    pytester.syspathinsert(batch.root)
    return batch, ledger


def test_a_run_of_another_rootdir_is_told_and_not_taken(pytester: pytest.Pytester) -> None:
    batch, ledger = elsewhere(pytester)
    place = ("--resilience-dir", ledger)
    batch.run("--rootdir", "here", "here", *place)
    run = batch.run("--resume-failed", "--rootdir", "copy", "copy", *place)
    assert "carried_over" not in run.outcomes
    told = mismatch_of(run)
    assert f"rootdir was {batch.root / 'here'} and is {batch.root / 'copy'}" in told
    assert "Everything runs" in told


def test_a_run_of_another_rootdir_is_refused_even_by_name(pytester: pytest.Pytester) -> None:
    """Equal files in another folder are tests of other code: what passed there says nothing."""
    batch, ledger = elsewhere(pytester)
    place = ("--resilience-dir", ledger)
    batch.run("--rootdir", "here", "here", *place)
    run = batch.run("--resume-failed=20", "--rootdir", "copy", "copy", *place)
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: RES503 resume-mismatch: " in run.text
    assert f"Give --rootdir {batch.root / 'here'}" in run.text


def test_a_suite_that_was_moved_with_its_ledger_is_resumed_by_name(pytester: pytest.Pytester) -> None:
    batch, _ = elsewhere(pytester)
    batch.run("--rootdir", "here", "here")
    moved = batch.root / "moved"
    (batch.root / "here").rename(moved)
    run = batch.run("--resume-failed", "--rootdir", "moved", "moved", "--collect-only")
    assert "rootdir was " in mismatch_of(run)
    assert run.line("PLAN") == "total=5 run=5"
    run = batch.run("--resume-failed=20", "--rootdir", "moved", "moved")
    assert (run.status, run.outcomes) == (0, {"passed": 1, "carried_over": 4})
    assert "rootdir was " in mismatch_of(run)


def test_a_run_of_another_environment_is_told_by_what_differs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(pytester, SUITE)
    batch.run()
    monkeypatch.setenv("TOX_ENV_NAME", "py311")
    run = batch.run("--resume-failed")
    assert run.outcomes == {"passed": 5}
    assert "environment was none and is TOX_ENV_NAME=py311" in mismatch_of(run)
    run = batch.run(f"--resume-failed={batch.runs[0].id}")
    assert run.outcomes == {"carried_over": 4, "passed": 1}
    assert "carried over all the same, because it was named" in mismatch_of(run)


# -- what is good now and was not


def test_a_test_that_turned_good_with_the_same_files_is_named(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "FOUND = []\ndef test_a(): FOUND.append(1)\ndef test_b(): assert not FOUND")
    assert batch.run().outcomes == {"passed": 1, "failed": 1}
    run = batch.run("--resume-failed", "-vv")
    assert (run.status, run.outcomes) == (0, {"passed": 1, "carried_over": 1})
    assert run.line("TURNED").startswith("1 test - failed before and are good now with the same files: ")
    assert run.line("TURNED").endswith(": test_it.py::test_b")


def test_a_test_whose_file_changed_or_that_was_only_in_flight_turns_nothing(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(pytester, SUITE)
    batch.run()
    batch.write({"test_one.py": SUITE["test_one.py"].replace("assert step", "assert 1 + step")})
    assert not batch.run("--resume-failed").line("TURNED")
    batch.kill_during("test_b")
    assert not batch.run("--resume-failed").line("TURNED")
