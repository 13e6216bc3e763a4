"""Time limits hold for every attempt, and for nothing between attempts; a test that took too long is timed out."""

from collections.abc import Generator
from typing import Any

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.hooks.timeouts import is_timeout

from .harness import Batch, Result

pytest.importorskip("pytest_timeout")

# Nothing that has to end by a limit comes near its own end, and nothing that has to pass comes near this limit.
GENEROUS = "30"

HANGS_ON_TWO = """
import time
from steps import step
def test_a():
    assert step("a") > 1
    time.sleep(60)
"""
HANGS_ONCE = """
import time
from steps import step
def test_a():
    if step("a") == 1:
        time.sleep(60)
"""
FAILS_ONCE = """
from steps import step
def test_a():
    assert step("a") > 1
"""
# Notes each time a timer is set, with its settings.
NOTES_TIMERS = """
import pytest
from steps import step

@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item, settings):
    step(repr(tuple(settings)))
"""
# A failure that no exception tells of, as some plugins make them: nobody else then stops the timer of an attempt.
FAILS_ONCE_IN_SILENCE = """
import pytest
from steps import step

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and step("reported") == 1:
        report.outcome, report.longrepr = "failed", "not good enough"
    return report
"""


def ended(batch: Batch) -> list[tuple[int, str, str, str]]:
    """Number, outcome, phase and code of the attempts in the ledger."""
    return [
        (fact.attempt, fact.outcome.value, fact.phase, fact.code)
        for fact in batch.facts
        if isinstance(fact, AttemptEnded)
    ]


class Statuses:
    """Category, letter and word with which the terminal shows failures.

    On the screen the stacks of other threads stand between the letters, when this process has any.
    """

    def __init__(self) -> None:
        self.of_failures: set[tuple[str, str, str]] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Generator[None, Any, Any]:
        status = yield
        if report.failed:
            category, letter, (word, _) = status
            self.of_failures.add((category, letter, word))
        return status


def is_told(run: Result, words: str) -> bool:
    return any(line.startswith(words) for line in run.lines)


# -- pytest-timeout, method signal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["flag", "ini", "environment", "marker", "func_only"])
def test_an_attempt_after_the_first_is_ended_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    batch = Batch(pytester, HANGS_ON_TWO)
    arguments = []
    match place:
        case "flag":
            arguments = ["--timeout", "0.3"]
        case "ini":
            batch.write({"pytest.ini": "[pytest]\ntimeout = 0.3"})
        case "environment":
            monkeypatch.setenv("PYTEST_TIMEOUT", "0.3")
        case "marker":
            batch.write({"test_it.py": f"import pytest\npytestmark = pytest.mark.timeout(0.3){HANGS_ON_TWO}"})
        case "func_only":
            batch.write({"pytest.ini": "[pytest]\ntimeout = 0.3\ntimeout_func_only = true"})
    run = batch.run("--retries", "1", *arguments)
    assert (run.status, run.outcomes) == (1, {"timed_out": 1}), run.text
    assert batch.steps == ["a", "a"]
    assert ended(batch)[1:] == [(2, "timed_out", "call", Code.TEST_TIMEOUT.code)]


def test_a_test_that_hung_once_is_flaky(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, HANGS_ONCE)
    run = batch.run("--retries", "3", "--timeout", "0.3")
    assert (run.status, run.outcomes) == (0, {"flaky": 1}), run.text
    assert ended(batch)[0] == (1, "timed_out", "call", "RES104")
    assert "Failed: Timeout (>0.3s)" in run.line("FLAKY")


def test_a_test_that_always_hangs_is_ended_in_every_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "import time\ndef test_a(): time.sleep(60)")
    run = batch.run("--retries", "2", "--timeout", "0.3", "-rR")
    assert run.outcomes == {"timed_out": 1}
    assert ended(batch) == [(number, "timed_out", "call", "RES104") for number in (1, 2, 3)]
    assert run.line("RETRIED") == "test_it.py::test_a - timed out in all attempts"


@pytest.mark.parametrize("retries", ["0", "1"])
@pytest.mark.parametrize(
    ("phase", "category", "counted"),
    [
        ("setup", "error", "1 error"),
        ("call", "failed", "1 failed"),
        ("teardown", "error", "1 passed, 1 error"),
    ],
)
def test_a_timeout_in_any_phase_is_one_and_keeps_the_category_of_pytest(
    pytester: pytest.Pytester, phase: str, category: str, counted: str, retries: str
) -> None:
    source = """
        import time
        import pytest
        @pytest.fixture
        def f():
            if "{phase}" == "setup": time.sleep(60)
            yield
            if "{phase}" == "teardown": time.sleep(60)
        def test_a(f):
            if "{phase}" == "call": time.sleep(60)
        """
    batch = Batch(pytester, source.format(phase=phase))
    statuses = Statuses()
    run = batch.run("--retries", retries, "--timeout", "0.3", plugins=(statuses,))
    assert run.outcomes == {"timed_out": 1}
    assert {(outcome, at, code) for _, outcome, at, code in ended(batch)} == {("timed_out", phase, "RES104")}
    assert run.last_line == (counted if retries == "0" else f"{counted}, 1 rerun")
    assert statuses.of_failures == {(category, "T", "TIMED OUT")}
    assert is_told(run, "TIMED OUT test_it.py::test_a - Failed: Timeout (>0.3s) from pytest-timeout.")
    assert run.line("RESUME").endswith("1 left: 1 timed out")


@pytest.mark.parametrize(
    "source",
    [
        """
        import time, unittest
        from steps import step
        class TestA(unittest.TestCase):
            def test_a(self):
                assert step("a") > 1
                time.sleep(60)
        """,
        """
        import anyio, pytest
        from steps import step
        @pytest.mark.anyio
        async def test_a():
            assert step("a") > 1
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 60)
        @pytest.fixture
        def anyio_backend(): return "asyncio"
        """,
        """
        import time
        from steps import step
        def test_a():
            assert step("a") > 1
            try:
                time.sleep(60)
            finally:
                raise RuntimeError("the cleaning failed too")
        """,
    ],
    ids=["unittest", "anyio", "error of the cleaning"],
)
def test_every_kind_of_test_is_ended_in_later_attempts(pytester: pytest.Pytester, source: str) -> None:
    batch = Batch(pytester, source)
    run = batch.run("--retries", "1", "--timeout", "0.3")
    assert (run.status, run.outcomes) == (1, {"timed_out": 1}), run.text
    assert batch.steps == ["a", "a"]


def test_a_test_that_is_expected_to_fail_may_do_so_by_its_limit(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "import pytest, time\n@pytest.mark.xfail\ndef test_a(): time.sleep(60)")
    run = batch.run("--retries", "1", "--timeout", "0.3")
    assert (run.status, run.outcomes) == (0, {"xfailed": 1})


@pytest.mark.parametrize(
    ("marker", "timers"),
    [
        ("timeout(30)", 3),
        ("timeout(30, method='thread')", 3),
        ("timeout(30, func_only=True)", 3),
        ("timeout(0)", 0),
    ],
)
def test_each_attempt_gets_the_timer_of_the_first_and_gets_it_once(
    pytester: pytest.Pytester, marker: str, timers: int
) -> None:
    source = f"""
        import pytest
        from steps import step
        @pytest.mark.{marker}
        def test_a(): assert step("a") > 2
        """
    batch = Batch(pytester, {"conftest.py": NOTES_TIMERS, "test_it.py": source})
    run = batch.run("--retries", "5", "--timeout", "0.3", "--timeout-disable-debugger-detection")
    assert run.outcomes == {"flaky": 1}
    noted = [step for step in batch.steps if step != "a"]
    assert (len(noted), len(set(noted))) == (timers, min(timers, 1))
    assert all(one.startswith("(30.0, ") and one.endswith(", True)") for one in noted)


@pytest.mark.parametrize("strategy", ["immediate", "deferred"])
def test_no_attempt_leaves_a_timer_behind(pytester: pytest.Pytester, strategy: str) -> None:
    """One that is left ends the process later, in the middle of another test."""
    source = """
        import threading
        from steps import step
        def timers():
            return [one for one in threading.enumerate() if one.name.startswith("pytest_timeout")]
        def test_a():
            step(f"a {len(timers())}")
            assert step("tried") > 3
        """
    batch = Batch(pytester, source)
    arguments = ("--retries", "5", "--retry-strategy", strategy)
    run = batch.run(*arguments, "--timeout", GENEROUS, "--timeout-method", "thread")
    assert (run.status, run.outcomes) == (0, {"flaky": 1}), run.text
    assert [step for step in batch.steps if step != "tried"] == ["a 1"] * 4


def test_timeout_zero_turns_limits_off_for_every_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"conftest.py": NOTES_TIMERS, "test_it.py": FAILS_ONCE})
    batch.write({"pytest.ini": "[pytest]\ntimeout = 30"})
    assert batch.run("--retries", "1", "--timeout", "0").outcomes == {"flaky": 1}
    assert batch.steps == ["a", "a"]


# -- the wait between attempts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_wait_that_is_longer_than_the_limit_is_not_cut(pytester: pytest.Pytester, method: str) -> None:
    batch = Batch(pytester, {"conftest.py": FAILS_ONCE_IN_SILENCE, "test_it.py": "def test_a(): pass"})
    run = batch.run_apart(
        *("-p", "resilience", "--retries", "1", "--retry-delay", "2"),
        *("--timeout", "1", "--timeout-method", method),
    )
    assert (run.status, run.outcomes) == (0, {"flaky": 1}), run.text


def test_no_stacks_are_dumped_during_a_wait(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"conftest.py": FAILS_ONCE_IN_SILENCE, "test_it.py": "def test_a(): pass"})
    batch.write({"pytest.ini": "[pytest]\nfaulthandler_timeout = 1"})
    run = batch.run_apart("-p", "resilience", "--retries", "1", "--retry-delay", "2")
    assert (run.status, run.outcomes) == (0, {"flaky": 1})
    assert "Timeout (" not in run.text


# -- what ends the process -----------------------------------------------------------------------------------------


def test_the_thread_method_ends_the_process_in_a_later_attempt_and_the_ledger_knows_the_test(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(pytester, f"{HANGS_ON_TWO}def test_b(): pass")
    run = batch.run_apart(
        *("-p", "resilience", "--retries", "1", "--timeout", "0.3", "--timeout-method", "thread")
    )
    assert run.status == 1
    assert "Stack of MainThread" in run.text
    assert batch.started == ["test_a", "test_a"]
    assert batch.tests == {"test_a": "crashed", "test_b": "not_run"}
    run = batch.run("--resume-failed", "--timeout", "0.3")
    assert batch.started == ["test_b", "test_a"]
    assert run.outcomes == {"passed": 1, "timed_out": 1}


def faulthandler_can_end_the_process(config: pytest.Config) -> bool:
    try:
        config.getini("faulthandler_exit_on_timeout")
    except ValueError:
        return False
    return True


def test_stacks_are_dumped_in_a_later_attempt(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    source = """
        import pathlib, time
        from steps import step
        def test_a():
            assert step("a") > 1
            deadline = time.monotonic() + 50
            while "Timeout (0:00:00.3" not in pathlib.Path("stderr").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        """
    batch = Batch(pytester, {"test_it.py": source, "pytest.ini": "[pytest]\nfaulthandler_timeout = 0.3"})
    run = batch.run_apart("-p", "resilience", "--retries", "1")
    assert (run.status, run.outcomes) == (0, {"flaky": 1}), run.text
    assert run.text.count("Timeout (0:00:00.3") == 1
    if faulthandler_can_end_the_process(pytestconfig):  # since pytest 9
        ini = "[pytest]\nfaulthandler_timeout = 0.3\nfaulthandler_exit_on_timeout = true"
        batch.write({"pytest.ini": ini})
        batch.forget()
        run = batch.run_apart("-p", "resilience", "--retries", "1")
        assert run.status == 1
        assert batch.tests == {"test_a": "crashed"}
        assert batch.started == ["test_a", "test_a"]


# -- the time of the session ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["flag", "ini"])
def test_no_attempt_follows_when_the_time_of_the_session_is_over(
    pytester: pytest.Pytester, place: str
) -> None:
    source = """
        import time
        from steps import step
        def test_a():
            step("a")
            time.sleep(0.02)  # by now the time is over
            assert 0
        def test_b(): step("b")
        """
    batch = Batch(pytester, source)
    batch.write({"pytest.ini": "[pytest]\nsession_timeout = 0.01"} if place == "ini" else {})
    run = batch.run("--retries", "5", *(["--session-timeout", "0.01"] if place == "flag" else []))
    assert (run.status, run.outcomes) == (1, {"failed": 1, "not_run": 1}), run.text
    assert batch.steps == ["a"]
    assert "session-timeout: 0.01 sec exceeded" in run.text


def test_what_goes_wrong_in_the_last_teardown_is_told_when_the_time_of_the_session_is_over(
    pytester: pytest.Pytester,
) -> None:
    source = """
        import time
        import pytest
        @pytest.fixture(scope="module")
        def leaky():
            yield
            raise RuntimeError("the port is still open")
        def test_a(leaky):
            time.sleep(0.02)  # by now the time is over
            assert 0
        def test_b(leaky): pass
        """
    run = Batch(pytester, source).run("--retries", "5", "--session-timeout", "0.01")
    assert run.outcomes == {"failed": 1, "not_run": 1}
    assert is_told(run, "ERROR test_it.py::test_a - RuntimeError: the port is still open")


def test_a_session_that_has_time_left_retries(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FAILS_ONCE)
    run = batch.run("--retries", "1", "--session-timeout", "600")
    assert (run.status, run.outcomes) == (0, {"flaky": 1})


# -- without them, and when they are not what they were ------------------------------------------------------------


@pytest.mark.parametrize("absent", [["timeout"], ["faulthandler"], ["timeout", "faulthandler"]])
def test_neither_of_them_is_needed(pytester: pytest.Pytester, absent: list[str]) -> None:
    batch = Batch(pytester, FAILS_ONCE)
    run = batch.run("--retries", "1", *(part for name in absent for part in ("-p", f"no:{name}")))
    assert (run.status, run.outcomes) == (0, {"flaky": 1})


def test_it_is_not_imported_unless_it_is_loaded(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "import sys\ndef test_a(): assert 'pytest_timeout' not in sys.modules")
    run = batch.run_apart("-p", "resilience", "-p", "no:timeout", "--retries", "1")
    assert (run.status, run.outcomes) == (0, {"passed": 1}), run.text


@pytest.mark.parametrize("hook", ["set", "cancel"])
def test_their_trouble_in_a_later_attempt_costs_no_test(pytester: pytest.Pytester, hook: str) -> None:
    conftest = f"""
        import pytest
        from steps import step
        @pytest.hookimpl(tryfirst=True)
        def pytest_timeout_{hook}_timer(item):
            if step("asked") == 2:
                raise RuntimeError("broken")
        """
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": FAILS_ONCE})
    run = batch.run("--retries", "1", "--timeout", GENEROUS)
    assert batch.steps.count("asked") >= 2
    assert (run.status, run.outcomes) == (0, {"flaky": 1}), run.text


def test_what_a_timer_raises_is_not_kept_from_the_session(pytester: pytest.Pytester) -> None:
    conftest = """
        import pytest
        from steps import step
        @pytest.hookimpl(tryfirst=True)
        def pytest_timeout_set_timer(item):
            if step("asked") == 2:
                raise KeyboardInterrupt
        """
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": FAILS_ONCE})
    run = batch.run("--retries", "1", "--timeout", GENEROUS)
    assert (run.status, run.outcomes) == (2, {"interrupted": 1}), run.text


# -- which errors are timeouts -------------------------------------------------------------------------------------


def failed(text: str) -> BaseException:
    return pytest.fail.Exception(text)


def raised_from(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


OURS = "Timeout (>0.3s) from pytest-timeout."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failed(OURS), True),
        (failed("Timeout (>1e-05s) from pytest-timeout."), True),
        (failed("Timeout >30.0s"), True),  # before pytest-timeout 2.4
        (raised_from(RuntimeError("no answer"), failed(OURS)), True),
        (BaseExceptionGroup("tasks", [failed(OURS)]), True),
        (None, False),
        (AssertionError(OURS), False),
        (TimeoutError(OURS), False),
        (failed(f"the server said: {OURS}"), False),
        (failed(f"{OURS} Or so."), False),
        (failed("Timeout"), False),
    ],
    ids=str,
)
def test_a_timeout_is_what_pytest_timeout_raises_and_what_comes_of_it(
    error: BaseException | None, expected: bool
) -> None:
    assert is_timeout(error) is expected
