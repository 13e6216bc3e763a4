"""Another plugin that retries tests: told with its code and refused, because one would hide the other's work."""

import pytest

from tests.plugin.harness import Batch

# Stand-ins for the packages: what counts is the name of their module, their options, and what they leave on a test.
_OPTION = """
    def pytest_addoption(parser):
        parser.addoption("{flag}", dest="{dest}", {kind})
        parser.addini("{dest}", "", default="")
"""
MODULES = {
    "pytest_rerunfailures.py": _OPTION.format(flag="--reruns", dest="reruns", kind="type=int"),
    "pytest_retry/__init__.py": "",
    "pytest_retry/retry_plugin.py": _OPTION.format(flag="--rt-retries", dest="retries", kind="type=int"),
    "flaky/__init__.py": "",
    "flaky/flaky_pytest_plugin.py": _OPTION.format(
        flag="--force-flaky", dest="force_flaky", kind="action='store_true'"
    ),
    "pytest_smart_rerun.py": _OPTION.format(
        flag="--smart-rerun", dest="smart_rerun", kind="action='store_true'"
    ),
    "pytest_forked.py": _OPTION.format(flag="--forked", dest="forked", kind="action='store_true'"),
}
PLAIN = "def test_a(): pass"
MARKED = "import pytest\n@pytest.mark.flaky(retries=1)\ndef test_a(): pass"


def batch(pytester: pytest.Pytester, source: str) -> Batch:
    # Not under their own names on the path of this process: a package that is installed would be found first.
    pytester.syspathinsert()
    return Batch(pytester, {"test_it.py": source, **MODULES})


@pytest.mark.parametrize(
    ("module", "package", "name", "flag"),
    [
        ("pytest_rerunfailures", "pytest-rerunfailures", "rerunfailures", "--reruns=2"),
        ("pytest_retry.retry_plugin", "pytest-retry", "pytest-retry", "--rt-retries=2"),
        ("flaky.flaky_pytest_plugin", "flaky", "flaky", "--force-flaky"),
        ("pytest_smart_rerun", "pytest-smart-rerun", "smart-rerun", "--smart-rerun"),
        ("pytest_forked", "pytest-forked", "pytest_forked", "--forked"),
    ],
)
def test_a_rival_that_is_switched_on_ends_the_session_before_it_begins(
    pytester: pytest.Pytester, module: str, package: str, name: str, flag: str
) -> None:
    result = batch(pytester, PLAIN).run_apart("-p", "resilience", "-p", module, flag)
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert f"RES703 plugin-conflict: {package} is active too" in result.text
    assert f"-p no:{name}" in result.text
    assert "passed" not in result.text


def test_a_rival_that_its_ini_switches_on_is_refused_too(pytester: pytest.Pytester) -> None:
    suite = batch(pytester, PLAIN)
    suite.write({"pytest.ini": "[pytest]\nreruns = 2\n"})
    result = suite.run_apart("-p", "resilience", "-p", "pytest_rerunfailures")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert (
        "RES703 plugin-conflict: pytest-rerunfailures is active too (reruns in the configuration)"
        in result.text
    )


@pytest.mark.parametrize("module", ["pytest_retry.retry_plugin", "flaky.flaky_pytest_plugin"])
def test_a_rival_that_acts_on_every_marker_is_refused_where_a_test_has_one(
    pytester: pytest.Pytester, module: str
) -> None:
    result = batch(pytester, MARKED).run_apart("-p", "resilience", "-p", module)
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "it acts on the flaky marker of test_it.py::test_a" in result.text


def test_a_test_with_the_decorator_of_the_flaky_package_is_never_left_without_its_retries(
    pytester: pytest.Pytester,
) -> None:
    source = "def test_a(): pass\ntest_a._flaky_max_runs = 2"
    result = batch(pytester, source).run_apart("-p", "resilience", "-p", "flaky.flaky_pytest_plugin")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "its decorator is on test_it.py::test_a" in result.text


@pytest.mark.parametrize(
    "module", [file.removesuffix(".py").replace("/", ".") for file in MODULES if "__init__" not in file]
)
def test_a_rival_that_is_merely_loaded_changes_nothing(pytester: pytest.Pytester, module: str) -> None:
    result = batch(pytester, PLAIN).run_apart("-p", "resilience", "-p", module)
    assert (result.status, result.outcomes) == (0, {"passed": 1})


def test_a_marker_is_ours_where_rerunfailures_is_merely_loaded(pytester: pytest.Pytester) -> None:
    source = """
        import pytest
        from steps import step

        @pytest.mark.flaky(reruns=2)
        def test_a():
            assert step("ran") == 3
    """
    result = batch(pytester, source).run_apart("-p", "resilience", "-p", "pytest_rerunfailures")
    assert (result.status, result.outcomes) == (0, {"flaky": 1})


def test_without_our_plugin_nothing_is_refused(pytester: pytest.Pytester) -> None:
    assert batch(pytester, PLAIN).run_apart("-p", "pytest_rerunfailures", "--reruns=2").status == 0


def test_a_worker_that_meets_a_rivals_marker_ends_the_session(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = batch(pytester, MARKED).run_apart("-p", "resilience", "-p", "pytest_retry.retry_plugin", "-n2")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "RES703 plugin-conflict: pytest-retry is active too" in result.text
