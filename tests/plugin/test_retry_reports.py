"""What pytest itself, its options and other plugins see of retries: the final attempt, once."""

import json
import re

import pytest

from .harness import Batch

MIXED = """
from steps import step
def test_flaky(): assert step("flaky") > 2
def test_bad(): assert step("bad") > 9
def test_good(): step("good")
"""


def test_other_plugins_see_one_report_for_each_phase(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--retries", "2")
    assert run.reports == [
        ("test_flaky", "setup", "passed"),
        ("test_flaky", "call", "passed"),
        ("test_flaky", "teardown", "passed"),
        ("test_bad", "setup", "passed"),
        ("test_bad", "call", "failed"),
        ("test_bad", "teardown", "passed"),
        ("test_good", "setup", "passed"),
        ("test_good", "call", "passed"),
        ("test_good", "teardown", "passed"),
    ]


def test_a_test_starts_and_finishes_once_in_the_log(pytester: pytest.Pytester) -> None:
    class Log:
        calls: list[str] = []  # noqa: RUF012 - the plugin is one object

        def pytest_runtest_logstart(self, nodeid: str) -> None:
            self.calls.append(f"start {nodeid}")

        def pytest_runtest_logfinish(self, nodeid: str) -> None:
            self.calls.append(f"finish {nodeid}")

    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 2")
    batch.run("--retries", "2", plugins=(log := Log(),))
    assert log.calls == ["start test_it.py::test_a", "finish test_it.py::test_a"]


def test_junitxml_has_one_testcase_for_a_flaky_test(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MIXED)
    batch.run("--retries", "2", "--junitxml", "junit.xml")
    junit = (batch.root / "junit.xml").read_text()
    assert re.findall(r'<testcase [^>]*name="(\w+)"', junit) == ["test_flaky", "test_bad", "test_good"]
    assert junit.count("<failure") == 1
    assert 'tests="3"' in junit
    assert 'failures="1"' in junit


def test_the_outcome_and_the_attempts_are_properties_of_the_report(pytester: pytest.Pytester) -> None:
    class Properties:
        seen: dict[str, object] = {}  # noqa: RUF012 - the plugin is one object

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "teardown":
                self.seen[report.nodeid.rpartition("::")[2]] = dict(report.user_properties)

    Batch(pytester, MIXED).run("--retries", "2", plugins=(properties := Properties(),))
    assert properties.seen == {
        "test_flaky": {"resilience_outcome": "flaky", "resilience_attempts": 3},
        "test_bad": {"resilience_outcome": "failed", "resilience_attempts": 3},
        "test_good": {},
    }


@pytest.mark.parametrize("flag", ["-x", "--maxfail=1"])
def test_a_flaky_test_does_not_stop_the_session(pytester: pytest.Pytester, flag: str) -> None:
    batch = Batch(pytester, MIXED)
    run = batch.run("--retries", "2", flag)
    assert (run.status, run.outcomes) == (1, {"flaky": 1, "failed": 1, "not_run": 1})
    assert batch.steps == ["flaky"] * 3 + ["bad"] * 3


def test_last_failed_remembers_final_failures_alone(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MIXED)
    batch.run("--retries", "2")
    remembered = json.loads((batch.root / ".pytest_cache/v/cache/lastfailed").read_text())
    assert remembered == {"test_it.py::test_bad": True}
    batch.forget()
    assert batch.run("--lf").outcomes == {"failed": 1}
    assert batch.steps == ["bad"]


def test_stepwise_stops_at_final_failures_alone(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MIXED)
    run = batch.run("--retries", "2", "--sw")
    assert "Test failed, continuing from this test next run" in run.text
    assert batch.steps == ["flaky"] * 3 + ["bad"] * 3
    batch.forget()
    batch.run("--retries", "1", "--sw")
    assert batch.steps == ["bad"] * 2


def test_each_retry_is_a_letter_and_each_test_one_more(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--retries", "2")
    assert any(line.startswith("test_it.py RR.RRF.") and line.endswith("[100%]") for line in run.lines)
    assert run.last_line == "1 failed, 1 passed, 4 rerun, 1 flaky"


def test_verbose_output_has_a_line_for_each_retry_and_a_word_for_flaky(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--retries", "2", "-v")
    about = [re.sub(" +", " ", line) for line in run.lines if line.startswith("test_it.py::test_flaky ")]
    assert about == [
        "test_it.py::test_flaky RERUN attempt 1 of 3 - AssertionError: assert 1 > 2",
        "test_it.py::test_flaky RERUN attempt 2 of 3 - AssertionError: assert 2 > 2",
        "test_it.py::test_flaky FLAKY [ 33%]",
    ], run.text


def test_output_that_is_not_captured_shows_all_attempts(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        from steps import step
        def test_a():
            print("attempt", step("a"))
            assert step("b") > 1
        """,
    )
    run = batch.run("--retries", "1", "-s")
    assert run.outcomes == {"flaky": 1}
    assert "attempt 1" in run.text
    assert "attempt 2" in run.text


FIXTURE = """
import pytest
from steps import step
@pytest.fixture
def own(): step("own")
def test_a(own): assert step("a") > 1
"""


def test_setup_show_shows_the_fixtures_of_each_attempt(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, FIXTURE).run("--retries", "1", "--setup-show")
    assert run.outcomes == {"flaky": 1}
    assert run.text.count("SETUP    F own") == run.text.count("TEARDOWN F own") == 2


def test_setup_only_runs_no_test(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FIXTURE)
    run = batch.run("--retries", "1", "--setup-only")
    assert run.status == 0
    assert batch.steps == ["own"]
    assert run.text.count("SETUP    F own") == 1


@pytest.mark.parametrize("flag", ["--setup-only", "--setup-plan"])
def test_a_setup_without_its_test_is_no_pass_that_a_resume_could_carry_over(
    pytester: pytest.Pytester, flag: str
) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): assert step('a') > 1")
    batch.run()
    assert batch.run("--resume-failed", flag).status == 0
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes, batch.steps) == (0, {"passed": 1}, ["a", "a"])


def test_setup_plan_runs_nothing(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FIXTURE)
    assert batch.run("--retries", "1", "--setup-plan").status == 0
    assert batch.steps == []


def test_a_failing_setup_is_retried_with_setup_only(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture
        def own(): assert step("own") > 1
        def test_a(own): step("a")
        """,
    )
    assert batch.run("--retries", "1", "--setup-only").status == 0
    assert batch.steps == ["own", "own"]


def test_durations_are_those_of_the_final_attempt(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--retries", "2", "--durations=0", "-vv")
    assert sum(line.endswith("call     test_it.py::test_flaky") for line in run.lines) == 1


def test_a_plugin_that_wraps_the_protocol_sees_one_call_for_all_attempts(pytester: pytest.Pytester) -> None:
    class Wrapper:
        calls: list[str] = []  # noqa: RUF012 - the plugin is one object

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: pytest.Item) -> object:
            self.calls.append(item.name)
            return (yield)

    Batch(pytester, MIXED).run("--retries", "2", plugins=(wrapper := Wrapper(),))
    assert wrapper.calls == ["test_flaky", "test_bad", "test_good"]


def test_a_test_whose_teardown_takes_back_its_pass_is_not_counted_as_flaky(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture
        def own():
            yield
            assert step("teardown") < 2
        def test_a(own): assert step("a") > 1
        """,
    )
    run = batch.run("--retries", "1", "-v")
    assert run.outcomes == {"error": 1}
    assert run.last_line == "1 passed, 1 error, 1 rerun"
    assert not run.all_lines("FLAKY")
