"""``flaky_result``: a test that passes only after a bad attempt has failed, for those who do not tolerate it."""

import re

import pytest

from pytest_resilience.core.facts import AttemptEnded, TestFinished
from pytest_resilience.core.outcomes import Outcome

from .harness import Batch

FAIL = ("--retries", "2")
TABLE = '[tool.resilience.retry]\nflaky-result = "fail"\n'
SUITE = """
from steps import step
def test_flaky():
    if step("flaky") < 2:
        raise ConnectionError("port 80 is closed")
def test_good(): step("good")
"""


def batch_with(pytester: pytest.Pytester, suite: str = SUITE, table: str = TABLE) -> Batch:
    return Batch(pytester, {"test_it.py": suite, "pyproject.toml": table})


def test_a_flaky_test_has_failed_for_pytest_and_in_the_ledger(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester)
    run = batch.run(*FAIL)
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 1})
    assert run.last_line == "1 failed, 1 passed, 1 rerun"
    assert batch.tests == {"test_flaky": "failed", "test_good": "passed"}
    assert batch.steps == ["flaky", "flaky", "good"]
    assert not run.all_lines("FLAKY")


def test_what_it_failed_for_is_said_with_the_error_that_makes_it_flaky(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester)
    run = batch.run(*FAIL)
    why = "passed only after a bad attempt, and flaky-result is fail: ConnectionError: port 80 is closed"
    assert f"RES105 test-flaky: {why}" in run.lines
    ended = [fact for fact in batch.facts if isinstance(fact, AttemptEnded)]
    assert [(one.attempt, one.outcome, one.code) for one in ended] == [
        (1, Outcome.FAILED, "RES101"),
        (2, Outcome.PASSED, "RES105"),
    ]
    assert ended[1].message == why
    (finished,) = [one for one in batch.facts if isinstance(one, TestFinished) and one.outcome.is_bad]
    assert (finished.outcome, finished.attempts) == (Outcome.FAILED, 2)


def test_reporters_see_a_failed_call(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester)
    run = batch.run(*FAIL, "--junitxml", "junit.xml", "-v")
    assert run.reports[:3] == [
        ("test_flaky", "setup", "passed"),
        ("test_flaky", "call", "failed"),
        ("test_flaky", "teardown", "passed"),
    ]
    junit = (batch.root / "junit.xml").read_text()
    assert 'tests="2"' in junit
    assert 'failures="1"' in junit
    assert re.search('<failure message="RES105 test-flaky: passed only after a bad attempt', junit)
    assert re.search("test_flaky +FAILED", run.text)


def test_it_is_outstanding_and_a_resume_runs_it_again(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester)
    batch.run(*FAIL)
    batch.forget()
    run = batch.run("--resume-failed", *FAIL)
    assert (run.status, run.outcomes) == (1, {"failed": 1, "carried_over": 1})
    assert batch.steps == ["flaky", "flaky"]


def test_a_resume_in_which_it_passes_at_once_is_complete(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester)
    batch.run(*FAIL)
    run = batch.run("--resume-failed", *FAIL)
    assert (run.status, run.outcomes) == (0, {"passed": 1, "carried_over": 1})
    assert batch.run("--resume-failed").line("COMPLETE")


def test_last_failed_remembers_it_and_a_limit_of_failures_counts_it(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester)
    run = batch.run(*FAIL, "-x")
    assert run.outcomes == {"failed": 1, "not_run": 1}
    batch.forget()
    run = batch.run("--lf")
    assert batch.steps == ["flaky"]


@pytest.mark.parametrize(("marker", "table"), [("fail", "pass"), ("pass", "fail")])
def test_a_marker_comes_before_the_table(pytester: pytest.Pytester, marker: str, table: str) -> None:
    suite = f"import pytest\npytestmark = pytest.mark.flaky(retries=1, flaky_result='{marker}')\n{SUITE}"
    batch = batch_with(pytester, suite, TABLE.replace("fail", table))
    assert batch.run().outcomes == {"passed": 1, {"fail": "failed", "pass": "flaky"}[marker]: 1}


@pytest.mark.parametrize(
    "ending",
    [
        "pytest.skip('not now')",
        "pytest.xfail('known')",
        "request.getfixturevalue('skips')",
        "request.node.add_marker(pytest.mark.xfail)",
        "request.node.add_marker(pytest.mark.xfail); assert False",
    ],
)
def test_what_is_good_in_another_way_after_a_bad_attempt_has_failed_too(
    pytester: pytest.Pytester, ending: str
) -> None:
    suite = f"""
        import pytest
        from steps import step
        @pytest.fixture
        def skips(): pytest.skip("not now")
        def test_a(request):
            if step("a") < 2:
                raise ConnectionError
            {ending}
    """
    batch = batch_with(pytester, suite)
    run = batch.run(*FAIL, "--junitxml", "junit.xml")
    assert (run.status, run.outcomes) == (1, {"failed": 1})
    assert run.last_line == "1 failed, 1 rerun"
    assert 'failures="1"' in (batch.root / "junit.xml").read_text()


def test_a_skip_in_the_setup_after_a_bad_attempt_is_an_error_of_the_setup_to_pytest(
    pytester: pytest.Pytester,
) -> None:
    suite = """
        import pytest
        from steps import step
        @pytest.fixture
        def skips():
            if step("setup") > 1: pytest.skip("not now")
        def test_a(skips): assert False
    """
    run = batch_with(pytester, suite).run(*FAIL)
    assert (run.status, run.outcomes) == (1, {"failed": 1})
    assert run.last_line == "1 error, 1 rerun"
    assert "RES105 test-flaky: skipped only after a bad attempt" in run.text


def test_a_test_that_fails_in_every_attempt_fails_with_its_own_error(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester, SUITE.replace("< 2", "< 9"))
    run = batch.run(*FAIL)
    assert run.outcomes == {"passed": 1, "failed": 1}
    assert "RES105" not in run.text
    assert [fact.code for fact in batch.facts if isinstance(fact, AttemptEnded)] == ["RES101"] * 3


def test_a_teardown_that_fails_after_a_late_pass_is_an_error(pytester: pytest.Pytester) -> None:
    suite = """
        import pytest
        from steps import step
        @pytest.fixture
        def leaky():
            yield
            assert step("teardown") < 2
        def test_a(leaky): assert step("a") > 1
    """
    batch = batch_with(pytester, suite)
    assert batch.run("--retries", "1").outcomes == {"error": 1}
    assert [fact.code for fact in batch.facts if isinstance(fact, AttemptEnded)] == ["RES101", "RES103"]


# -- thresholds ----------------------------------------------------------------------------------------------------

FLAKY_TESTS = """
import pytest
from steps import step
@pytest.mark.parametrize("error", [{errors}])
def test_a(error):
    if step(repr(error)) == 1:
        raise error
def test_last(): step("last")
"""


def test_tests_that_are_flaky_for_the_same_error_failed_with_the_same_error(
    pytester: pytest.Pytester,
) -> None:
    errors = "OSError('port 1'), OSError('port 2'), OSError('port 3')"
    run = batch_with(pytester, FLAKY_TESTS.format(errors=errors)).run(*FAIL, "--stop-same-error", "2")
    assert run.outcomes == {"failed": 2, "not_run": 2}
    assert "RES302 stop-same-error" in run.text


def test_tests_that_are_flaky_for_different_errors_did_not_fail_with_the_same_error(
    pytester: pytest.Pytester,
) -> None:
    errors = "OSError('no disk'), ValueError('no number'), KeyError('no key')"
    run = batch_with(pytester, FLAKY_TESTS.format(errors=errors)).run(*FAIL, "--stop-same-error", "2")
    assert run.outcomes == {"failed": 3, "passed": 1}


def test_they_count_as_failures_in_a_row(pytester: pytest.Pytester) -> None:
    errors = "OSError('no disk'), ValueError('no number'), KeyError('no key')"
    run = batch_with(pytester, FLAKY_TESTS.format(errors=errors)).run(*FAIL, "--stop-after", "2")
    assert run.outcomes == {"failed": 2, "not_run": 2}


# -- under xdist ---------------------------------------------------------------------------------------------------


def test_it_has_failed_on_a_worker_as_well(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    batch = batch_with(pytester)
    run = batch.run_apart(*FAIL, "-n", "1", "--junitxml", "junit.xml")
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 1})
    assert run.last_line == "1 failed, 1 passed, 1 rerun"
    assert batch.tests == {"test_flaky": "failed", "test_good": "passed"}
    assert 'failures="1"' in (batch.root / "junit.xml").read_text()
    assert "RES105 test-flaky: passed only after a bad attempt" in run.text
