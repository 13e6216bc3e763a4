"""A suite of the benchmark has as many tests as it says, and those fail that it says."""

import gc

import pytest

from benchmarks import workloads
from benchmarks.workloads import SWITCH, Workload

SUITES = [
    workloads.trivial(23, 4),
    workloads.trivial(1, 1),
    workloads.parametrised(15),
    workloads.failing(20, 3, one_in=10),
    workloads.with_failures("some", 40, 10, range(20, 30)),
    workloads.fixtures(25),
    workloads.one_long_file(12, 3),
]


@pytest.mark.parametrize("suite", SUITES, ids=[suite.name for suite in SUITES])
def test_a_suite_has_the_tests_that_it_says(pytester: pytest.Pytester, suite: Workload) -> None:
    rootdir = pytester.path / "suite"
    suite.write(rootdir)
    run = pytester.inline_run("-p", "no:cacheprovider", "-p", "no:asyncio", "--rootdir", rootdir, rootdir)
    passed, skipped, failed = run.listoutcomes()
    assert (len(passed), len(skipped), len(failed)) == (suite.tests - suite.failing, 0, suite.failing)
    assert {report.nodeid for report in failed} == set(suite.failing_ids)


def test_a_switch_makes_all_tests_good_though_no_file_changes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = workloads.failing(20, 2, one_in=5)
    monkeypatch.setenv(SWITCH, "1")
    suite.write(pytester.path / "suite")
    pytester.inline_run(
        "-p", "no:asyncio", "--rootdir", pytester.path / "suite", pytester.path / "suite"
    ).assertoutcome(passed=20)


def test_a_test_fails_by_a_comparison_that_pytest_explains() -> None:
    (text,) = workloads.failing(1, 1, one_in=1).files.values()
    assert "assert order['lines'] < 0 or good" in text


def test_an_uncollected_suite_is_the_same_with_the_garbage_collector_off() -> None:
    suite = workloads.trivial(20, 2)
    uncollected = workloads.uncollected(suite)
    assert (uncollected.tests, uncollected.failing) == (suite.tests, suite.failing)
    (more,) = uncollected.files.items() - suite.files.items()
    assert more[0] == "conftest.py"
    try:
        exec(more[1], {})
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_long_file_has_all_its_functions() -> None:
    (text,) = workloads.one_long_file(30, 2).files.values()
    assert text.count("\ndef ") == 30
    assert text.count("\ndef test_") == 2
