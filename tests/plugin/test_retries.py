"""``--retries`` and its table: who gets another attempt, how many, and after how long."""

import pytest

from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.hooks import attempts

from .harness import Batch

FAILS_TWICE = """
from steps import step
def test_a(): assert step("a") > 2
"""
FAILS = """
from steps import step
def test_a():
    step("a")
    raise ConnectionError("port 80 is closed")
"""


# -- the limit


def test_a_test_that_passes_within_its_retries_is_flaky_and_the_session_passes(
    pytester: pytest.Pytester,
) -> None:
    run = Batch(pytester, FAILS_TWICE).run("--retries", "2")
    assert (run.status, run.outcomes) == (0, {"flaky": 1})


def test_a_test_that_needs_one_retry_more_has_failed(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FAILS_TWICE)
    run = batch.run("--retries", "1")
    assert (run.status, run.outcomes) == (1, {"failed": 1})
    assert batch.steps == ["a", "a"]


def test_nothing_is_retried_unless_it_is_asked_for(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FAILS_TWICE)
    assert batch.run().outcomes == {"failed": 1}
    assert batch.steps == ["a"]


def test_a_passing_test_runs_once(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "from steps import step\ndef test_a(): step('a')")
    assert batch.run("--retries", "3").outcomes == {"passed": 1}
    assert batch.steps == ["a"]


def test_the_table_sets_the_limit_and_the_flag_comes_before_it(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_it.py": FAILS, "pyproject.toml": "[tool.resilience.retry]\nretries = 1"})
    batch.run_bare("-p", "no:asyncio")
    assert batch.steps == ["a"] * 2
    batch.forget()
    batch.run("--retries", "3")
    assert batch.steps == ["a"] * 4


def test_every_attempt_is_in_the_ledger_with_its_error_and_why_it_was_retried(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(pytester, FAILS)
    batch.run("--retries", "1")
    ended = [fact for fact in batch.facts if isinstance(fact, AttemptEnded)]
    assert [(one.attempt, one.phase, one.code, one.again) for one in ended] == [
        (1, "call", "RES101", "attempt 1 of 2"),
        (2, "call", "RES101", "no attempts left of 2"),
    ]
    assert {one.message for one in ended} == {"ConnectionError: port 80 is closed"}
    assert len({one.fingerprint for one in ended}) == 1


# -- waiting


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Whole waits in seconds; the time in which they pass is made up."""
    now, slept = [0.0], [0.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        now[0] += seconds
        slept[0] += seconds

    real = attempts.Attempts._wait

    def wait(item: pytest.Item, seconds: float) -> None:
        slept[0] = 0.0
        real(item, seconds)
        waits.append(round(slept[0], 3))

    monkeypatch.setattr(attempts, "_sleep", sleep)
    monkeypatch.setattr(attempts, "_clock", lambda: now[0])
    monkeypatch.setattr(attempts.Attempts, "_wait", staticmethod(wait))
    return waits


def test_there_is_no_wait_unless_it_is_asked_for(pytester: pytest.Pytester, waits: list[float]) -> None:
    Batch(pytester, FAILS).run("--retries", "2")
    assert waits == [0, 0]


def test_a_fixed_delay_is_the_same_before_each_attempt(pytester: pytest.Pytester, waits: list[float]) -> None:
    Batch(pytester, FAILS).run("--retries", "3", "--retry-delay", "1.5")
    assert waits == [1.5, 1.5, 1.5]


def test_an_exponential_delay_doubles_up_to_its_cap(pytester: pytest.Pytester, waits: list[float]) -> None:
    table = '[tool.resilience.retry]\nretries = 4\ndelay = 2\nbackoff = "exponential"\nmax-delay = 9'
    Batch(pytester, {"test_it.py": FAILS, "pyproject.toml": table}).run()
    assert waits == [2, 4, 8, 9]


def test_a_marker_has_its_own_delay(pytester: pytest.Pytester, waits: list[float]) -> None:
    arguments = "retries=2, delay=3, backoff='exponential', max_delay=5"
    marker = f"import pytest\npytestmark = pytest.mark.flaky({arguments})\n"
    Batch(pytester, marker + FAILS).run("--retry-delay", "1")
    assert waits == [3, 5]


def test_the_wait_is_in_the_ledger(pytester: pytest.Pytester, waits: list[float]) -> None:
    batch = Batch(pytester, FAILS)
    batch.run("--retries", "1", "--retry-delay", "7")
    assert [fact.wait for fact in batch.facts if isinstance(fact, AttemptEnded)] == [7, 0]


# -- filters


@pytest.mark.parametrize(
    ("arguments", "times"),
    [
        ("only='ConnectionError'", 2),
        ("only='port [0-9]+'", 2),
        ("only='ValueError'", 1),
        ("only=ConnectionError", 2),
        ("only=OSError", 2),
        ("only=ValueError", 1),
        ("only=[ValueError, 'closed']", 2),
        ("except_='closed'", 1),
        ("except_=OSError", 1),
        ("except_=ValueError", 2),
        ("only=OSError, except_='port'", 1),
    ],
)
def test_only_and_except_decide_by_type_and_message(
    pytester: pytest.Pytester, arguments: str, times: int
) -> None:
    batch = Batch(pytester, f"import pytest\npytestmark = pytest.mark.flaky({arguments})\n" + FAILS)
    batch.run()
    assert batch.steps == ["a"] * times


def test_the_table_filters_too_and_a_marker_replaces_its_filter(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "pyproject.toml": '[tool.resilience.retry]\nretries = 1\nonly = ["TimeoutError"]',
            "test_it.py": """
                import pytest
                from steps import step
                def test_timeout():
                    step("timeout")
                    raise TimeoutError
                def test_other(): assert step("other") > 9
                @pytest.mark.flaky(only="AssertionError")
                def test_marked(): assert step("marked") > 9
            """,
        },
    )
    batch.run()
    assert [batch.steps.count(name) for name in ("timeout", "other", "marked")] == [2, 1, 2]


def test_the_cause_of_an_error_counts(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.flaky(only=ConnectionError)
        def test_a():
            try:
                raise ConnectionError("gone")
            except ConnectionError as error:
                step("a")
                raise RuntimeError("cannot load") from error
        """,
    )
    batch.run()
    assert batch.steps == ["a", "a"]


# -- what is retried at all


@pytest.mark.parametrize("error", ["pytest.fail('no')", "sys.exit(3)", "raise BaseException('bare')"])
def test_whatever_fails_a_test_in_pytest_is_retried(pytester: pytest.Pytester, error: str) -> None:
    batch = Batch(
        pytester,
        f"""
        import sys
        import pytest
        from steps import step
        def test_a():
            if step("a") == 1:
                {error}
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"flaky": 1}


def test_an_expected_failure_is_not_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.xfail
        def test_mark(): assert step("mark") > 9
        def test_call():
            step("call")
            pytest.xfail("known")
        @pytest.mark.xfail
        def test_pass(): step("pass")
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"xfailed": 2, "xpassed": 1}
    assert batch.steps == ["mark", "call", "pass"]


def test_a_strict_xpass_has_failed_and_is_not_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.xfail(strict=True)
        def test_a(): assert step("a") == 1
        """,
    )
    run = batch.run("--retries", "2")
    assert (run.status, run.outcomes, batch.steps) == (1, {"failed": 1}, ["a"])


def test_an_unexpected_error_in_an_xfail_is_retried_and_stays_visible(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.xfail(raises=ValueError)
        def test_a():
            if step("a") == 1:
                raise KeyError("wrong")
            raise ValueError("right")
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"flaky": 1}
    assert batch.steps == ["a", "a"]


@pytest.mark.parametrize("ending", ["pytest.skip('not today')", "pytest.xfail('known')"])
def test_a_skip_after_a_failure_does_not_hide_that_the_test_failed(
    pytester: pytest.Pytester, ending: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        def test_a():
            assert step("a") > 1
            {ending}
        """,
    )
    run = batch.run("--retries", "2")
    assert run.outcomes == {"flaky": 1}
    assert "FLAKY test_it.py::test_a" in run.text
    assert batch.tests == {"test_a": "flaky"}


def test_a_skipped_test_is_not_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        def test_a():
            step("a")
            pytest.skip("not today")
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"skipped": 1}
    assert batch.steps == ["a"]


def test_a_collection_error_is_not_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "from steps import step\nstep('import')\nraise ValueError")
    assert batch.run("--retries", "2").status == 2
    assert batch.steps == ["import"]


def test_a_session_in_the_debugger_does_not_retry(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Debugger:
        @pytest.hookimpl(tryfirst=True)
        def pytest_exception_interact(self, call: pytest.CallInfo[None]) -> None:
            assert call.excinfo is not None

    batch = Batch(pytester, FAILS)
    monkeypatch.setattr("_pytest.debugging._enter_pdb", lambda node, excinfo, report: report)
    run = batch.run("--retries", "2", "--pdb", plugins=(Debugger(),))
    assert batch.steps == ["a"]
    assert run.outcomes == {"failed": 1}


def test_tests_that_wait_for_a_retry_leave_the_others_alone(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        from steps import step
        def test_a(): assert step("a") > 1
        def test_b(): step("b")
        def test_c(): assert step("c") > 2
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"passed": 1, "flaky": 2}
    assert batch.steps == ["a", "a", "b", "c", "c", "c"]
