"""When the plugin is active, and that it is invisible when it is not."""

import os

import pytest

from .harness import Batch, Result

PLAIN = "def test_a(): pass"


class Registered:
    """Notes which plugins of ours were registered."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        names = (name for name, plugin in session.config.pluginmanager.list_name_plugin() if plugin)
        self.names = sorted(name for name in names if name.startswith("resilience-"))


def is_active(run: Result) -> bool:
    """Whether a run shows and keeps anything."""
    shown = "OUTCOMES" in run.text
    assert shown == (run.root / ".pytest_resilience").exists(), run.text
    return shown


def test_merely_installed_nothing_happens(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, PLAIN).run_bare("-p", "no:asyncio", plugins=(registered := Registered(),))
    assert run.status == 0
    assert not is_active(run)
    assert registered.names == []
    assert "RES" not in run.text


def test_naming_the_plugin_switches_it_on(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, PLAIN).run(plugins=(registered := Registered(),))
    assert is_active(run)
    assert "resilience-attempts" in registered.names


def test_naming_it_in_addopts_switches_it_on(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_it.py": PLAIN, "pytest.ini": "[pytest]\naddopts = -p resilience\n"})
    assert is_active(batch.run_bare("-p", "no:asyncio"))


@pytest.mark.parametrize(
    "flag",
    [
        "--retries=1",
        "--resilience-retries=1",
        "--retry-delay=0",
        "--resilience-retry-delay=0",
        "--stop-after=3",
        "--resilience-stop-after=3",
        "--stop-same-error=3",
        "--resilience-stop-same-error=3",
        "--resilience-dir=.pytest_resilience",
        "--resilience-summary=counts",
        "--resume-failed",
        "--resilience-resume-failed",
        "--run-key=7",
        "--resilience-run-key=7",
    ],
)
def test_each_flag_switches_it_on(pytester: pytest.Pytester, flag: str) -> None:
    assert is_active(Batch(pytester, PLAIN).run_bare("-p", "no:asyncio", flag))


@pytest.mark.parametrize("table", ["[tool.resilience]", "[tool.resilience.stop]\nafter = 3"])
def test_a_table_switches_it_on_even_an_empty_one(pytester: pytest.Pytester, table: str) -> None:
    batch = Batch(pytester, {"test_it.py": PLAIN, "pyproject.toml": table})
    assert is_active(batch.run_bare("-p", "no:asyncio"))


def test_the_table_is_found_beside_a_configuration_of_another_kind(pytester: pytest.Pytester) -> None:
    files = {"test_it.py": PLAIN, "pytest.ini": "[pytest]\n", "pyproject.toml": "[tool.resilience]\n"}
    assert is_active(Batch(pytester, files).run_bare("-p", "no:asyncio"))


def test_a_table_of_somebody_else_does_not(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_it.py": PLAIN, "pyproject.toml": '[tool.other]\nx = "resilience"'})
    assert not is_active(batch.run_bare("-p", "no:asyncio"))


def test_blocking_the_plugin_switches_it_off(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_it.py": PLAIN, "pyproject.toml": "[tool.resilience]"})
    assert not is_active(batch.run_bare("-p", "no:asyncio", "-p", "no:resilience"))


def test_blocked_it_knows_none_of_its_flags(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, PLAIN).run_bare("-p", "no:asyncio", "-p", "no:resilience", "--retries", "1")
    assert run.status == 4
    assert "unrecognized arguments" in run.text


def test_it_loads_by_name_when_nothing_loads_by_itself(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run = batch.run_apart("-p", "resilience", "--retries", "1")
    assert is_active(run)
    assert (run.status, run.outcomes) == (0, {"flaky": 1})


def test_the_resume_command_names_the_plugin_when_nothing_loads_by_itself(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run = batch.run_apart("-p", "resilience")
    command, _, _ = run.line("RESUME").rpartition(" - ")
    assert batch.type(command).outcomes == {"passed": 1}


@pytest.mark.parametrize(
    "without", ["cacheprovider", "xdist", "faulthandler", "logging", "junitxml", "doctest"]
)
def test_it_works_without_other_plugins(pytester: pytest.Pytester, without: str) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    run = batch.run("--retries", "1", "-p", f"no:{without}")
    assert (run.status, run.outcomes) == (0, {"flaky": 1})


def test_without_a_terminal_the_ledger_is_kept_all_the_same(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    run = batch.run("--retries", "1", "-p", "no:terminal")
    assert (run.status, run.text.strip()) == (0, "")
    assert batch.tests == {"test_a": "flaky"}


@pytest.mark.parametrize("mode", ["active", "installed"])
def test_strict_suites_see_no_warning_and_no_unknown_marker(pytester: pytest.Pytester, mode: str) -> None:
    marker = "import pytest\n@pytest.mark.flaky(retries=1)\n" if mode == "active" else ""
    batch = Batch(
        pytester,
        {
            "test_it.py": f"{marker}def test_a(): pass",
            "pyproject.toml": '[tool.pytest.ini_options]\nfilterwarnings = ["error"]\n',
        },
    )
    flags = ("-p", "no:asyncio", "--strict-config", "--strict-markers", "-W", "error")
    run = batch.run(*flags) if mode == "active" else batch.run_bare(*flags)
    assert run.status == 0, run.text
    assert "warnings summary" not in run.text


def test_the_marker_is_listed(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, PLAIN).run("--markers")
    assert "@pytest.mark.flaky(retries=1, delay=0, backoff='fixed'" in run.text


def test_a_pytest_inside_an_active_one_stays_inactive(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": "pytest_plugins = ['pytester']",
            "test_it.py": """
                def test_a(pytester):
                    pytester.makepyfile("def test_b(): assert 0")
                    result = pytester.runpytest_inprocess("-p", "no:asyncio")
                    result.stdout.no_fnmatch_line("*OUTCOMES*")
                    result.assert_outcomes(failed=1)
                    assert not (pytester.path / ".pytest_resilience").exists()
            """,
        },
    )
    run = batch.run("--retries", "1")
    assert run.outcomes == {"passed": 1}, run.text
    assert len(batch.runs) == 1


def test_an_active_pytest_inside_an_active_one_keeps_a_ledger_of_its_own(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": "pytest_plugins = ['pytester']",
            "test_it.py": """
                def test_a(pytester):
                    pytester.makepyfile("def test_b(): assert 0\\ndef test_c(): pass")
                    result = pytester.runpytest_inprocess("-p", "no:asyncio", "--retries", "1")
                    result.stdout.fnmatch_lines(["OUTCOMES total=2 passed=1 failed=1"])
                    assert (pytester.path / ".pytest_resilience").exists()
            """,
        },
    )
    run = batch.run("--retries", "1")
    assert run.outcomes == {"passed": 1}, run.text
    assert len(batch.runs) == 1


def test_help_lists_all_options_in_one_group(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, PLAIN).run_bare("-p", "no:asyncio", "--help")
    group = run.text.partition("\nresilience:")[2].partition("\n\n")[0]
    for flag in (
        "--retries",
        "--resilience-retries",
        "--retry-delay",
        "--stop-after",
        "--stop-same-error",
        "--resilience-dir",
        "--resilience-summary",
        "--resume-failed",
    ):
        assert flag in group, group
    assert "--retries" not in run.text.replace(group, "")


def test_a_flag_is_left_to_a_plugin_that_comes_after_us(pytester: pytest.Pytester) -> None:
    """pytest-retry declares ``--retries`` whoever has it already; with both installed pytest would not start."""
    batch = Batch(pytester, {"test_it.py": "n = []\ndef test_a(): n.append(1); assert len(n) > 1"})
    batch.write({"pytest_retry.py": "def pytest_addoption(parser): parser.addoption('--retries', default=0)"})
    pytester.syspathinsert(batch.root)
    plugins = ("-p", "resilience", "-p", "pytest_retry", "-p", "no:asyncio")
    run = batch.run_bare(*plugins, "--resilience-retries", "1")
    assert (run.status, run.outcomes) == (0, {"flaky": 1}), run.text
    assert batch.run_bare(*plugins, "--retries", "1").status == pytest.ExitCode.TESTS_FAILED


def test_a_collection_that_is_only_shown_is_no_run(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, PLAIN)
    run = batch.run("--collect-only")
    assert run.status == 0
    assert "OUTCOMES" not in run.text
    assert not (batch.root / ".pytest_resilience").exists()


def test_a_collection_that_is_only_shown_shows_what_a_resume_would_run(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "def test_a(): pass\ndef test_b(): assert 0")
    batch.run()
    run = batch.run("--collect-only", "-q", "--resume-failed")
    assert "test_it.py::test_b" in run.text
    assert "test_it.py::test_a" not in run.lines
    assert len(batch.runs) == 1


def test_a_flag_that_another_plugin_took_is_left_to_it(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "other_retries.py": """
                def pytest_addoption(parser):
                    parser.addoption("--retries", default="theirs", help="of another plugin")
            """,
            "test_it.py": """
                from steps import step
                def test_a(request):
                    step(request.config.getoption("--retries"))
                    assert step("a") > 1
            """,
        },
    )
    pytester.syspathinsert(batch.root)
    run = batch.run_bare(
        "-p", "other_retries", "-p", "resilience", "-p", "no:asyncio", "--resilience-retries", "1"
    )
    assert (run.status, run.outcomes) == (0, {"flaky": 1}), run.text
    assert batch.steps == ["theirs", "a"] * 2


@pytest.mark.parametrize(
    "flag", ["--version", "--fixtures", "--fixtures-per-test", "--markers", "--cache-show", "--setup-plan"]
)
def test_showing_something_is_no_run(pytester: pytest.Pytester, flag: str) -> None:
    batch = Batch(pytester, PLAIN)
    run = batch.run(flag)
    assert run.status == 0, run.text
    assert "OUTCOMES" not in run.text
    assert not (batch.root / ".pytest_resilience").exists()


def test_assertions_of_ours_are_not_rewritten(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in every environment where the plugin is installed as a wheel.
    told = """
        import sys
        from _pytest.assertion.rewrite import AssertionRewritingHook

        def test_a():
            ours = [module for name, module in sys.modules.items() if name.startswith("pytest_resilience.")]
            print([one.__name__ for one in ours if isinstance(one.__loader__, AssertionRewritingHook)])
    """
    pytester.makepyfile(
        test_it=told, marks='import pytest\npytest.register_assert_rewrite("pytest_resilience")'
    )
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=os.pathsep)
    run = pytester.runpytest_subprocess("-s", "-p", "marks", "-p", "no:asyncio", "-p", "resilience")
    run.stdout.fnmatch_lines(["*'pytest_resilience.imports', 'pytest_resilience.plugin'*"])
    run.stdout.no_fnmatch_line("*pytest_resilience.hooks*")
