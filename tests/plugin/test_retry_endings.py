"""How a session ends in the middle of retries: at once, with every fixture torn down and the attempt recorded."""

import os
import signal

import pytest

from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, DecisionTaken
from pytest_resilience.hooks import attempts
from pytest_resilience.hooks.serial import Serial

from .harness import Batch, Result


def batch_that_ends_with(pytester: pytest.Pytester, ending: str) -> Batch:
    """The first attempt fails, the second ends the session."""
    return Batch(
        pytester,
        f"""
        import os, signal, sys
        import pytest
        from steps import step
        @pytest.fixture(scope="session", autouse=True)
        def s():
            step("+s")
            yield
            step("-s")
        @pytest.fixture(scope="module", autouse=True)
        def m():
            step("+m")
            yield
            step("-m")
        @pytest.fixture
        def f():
            step("+f")
            yield
            step("-f")
        def test_before(): pass
        def test_a(f):
            assert step("a") > 1
            {ending}
        def test_after(): step("after")
        """,
    )


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("pytest.exit('enough', returncode=9)", 9),
        ("raise KeyboardInterrupt", 2),
        ("os.kill(os.getpid(), signal.SIGINT)", 2),
    ],
)
def test_what_ends_a_session_is_not_retried_and_everything_is_torn_down(
    pytester: pytest.Pytester, ending: str, status: int
) -> None:
    batch = batch_that_ends_with(pytester, ending)
    run = batch.run("--retries", "5")
    assert run.status == status, run.text
    assert " ".join(batch.steps) == "+s +m +f a -f +f a -f -m -s"
    assert run.outcomes == {"passed": 1, "interrupted": 1, "not_run": 1}
    assert batch.tests == {"test_before": "passed", "test_a": "interrupted", "test_after": "not_run"}


def test_after_a_signal_that_asks_to_end_the_attempt_in_flight_ends_and_none_follows(
    pytester: pytest.Pytester,
) -> None:
    batch = batch_that_ends_with(pytester, "os.kill(os.getpid(), signal.SIGTERM)")
    run = batch.run("--retries", "5")
    assert run.status == 2, run.text
    assert " ".join(batch.steps) == "+s +m +f a -f +f a -f -m -s"
    assert run.outcomes == {"passed": 1, "flaky": 1, "not_run": 1}


def test_the_attempt_that_was_cut_is_recorded(pytester: pytest.Pytester) -> None:
    batch = batch_that_ends_with(pytester, "raise KeyboardInterrupt")
    batch.run("--retries", "5")
    about = [
        (type(fact), fact.attempt, getattr(fact, "outcome", None) and fact.outcome.value)  # type: ignore[union-attr]
        for fact in batch.facts
        if isinstance(fact, AttemptStarted | AttemptEnded) and fact.key.endswith("test_a")
    ]
    assert about == [
        (AttemptStarted, 1, None),
        (AttemptEnded, 1, "failed"),
        (AttemptStarted, 2, None),
        (AttemptEnded, 2, "interrupted"),
    ]
    assert [fact.code for fact in batch.facts if isinstance(fact, DecisionTaken)] == ["RES306"]


def test_a_resume_after_an_interrupted_retry_runs_what_is_left(pytester: pytest.Pytester) -> None:
    batch = batch_that_ends_with(pytester, "step('done') > 1 or pytest.exit('enough')")
    assert batch.run("--retries", "5").outcomes == {"passed": 1, "interrupted": 1, "not_run": 1}
    batch.forget()
    run = batch.run("--resume-failed", "--retries", "5")
    assert run.outcomes["carried_over"] == 1


def interrupted_while_waiting(pytester: pytest.Pytester, patch: pytest.MonkeyPatch, number: int) -> Result:
    def sleep(seconds: float) -> None:
        os.kill(os.getpid(), number)

    patch.setattr(attempts, "_sleep", sleep)
    batch = batch_that_ends_with(pytester, "pass")
    run = batch.run("--retries", "5", "--retry-delay", "30")
    assert " ".join(batch.steps) == "+s +m +f a -f -m -s"
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_wait_ends_the_session_in_order(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    run = interrupted_while_waiting(pytester, monkeypatch, number)
    assert run.status == 2
    # The attempt that failed is known: the test is not as good as never started.
    assert run.outcomes == {"passed": 1, "failed": 1, "not_run": 1}
    assert "RESUME" in run.text


def test_an_internal_error_in_a_retry_still_tells_what_is_known(pytester: pytest.Pytester) -> None:
    batch = batch_that_ends_with(pytester, "pass")
    batch.write(
        {
            "conftest.py": """
                from steps import step
                def pytest_runtest_makereport(item, call):
                    if item.name == "test_a" and call.when == "call" and step("report") > 1:
                        raise RuntimeError("a broken plugin")
            """
        }
    )
    run = batch.run("--retries", "5")
    assert run.status == 3
    assert run.outcomes == {"passed": 1, "interrupted": 1, "not_run": 1}


def test_an_exit_in_a_fixture_is_not_retried(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="module")
        def broken():
            step("+broken")
            pytest.exit("no database", returncode=7)
        def test_a(broken): step("a")
        def test_b(): step("b")
        """,
    )
    run = batch.run("--retries", "5")
    assert (run.status, batch.steps) == (7, ["+broken"])
    assert run.outcomes == {"interrupted": 1, "not_run": 1}


def test_no_further_attempt_begins_when_the_session_is_stopping(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        from steps import step
        def test_a(request):
            request.session.shouldstop = "enough"
            assert step("a") > 9
        def test_b(): step("b")
        """,
    )
    run = batch.run("--retries", "5")
    assert batch.steps == ["a"]
    assert run.outcomes == {"failed": 1, "not_run": 1}
    assert run.status != 0


def test_an_interrupt_before_the_first_phase_is_told_as_the_ledger_has_it(pytester: pytest.Pytester) -> None:
    conftest = """
        from pytest_resilience.hooks.serial import Serial

        started = Serial.started

        def interrupted(self, fact):
            started(self, fact)
            if fact.key.endswith("test_b"):
                raise KeyboardInterrupt

        Serial.started = interrupted
    """
    suite = "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass"
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": suite})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Serial, "started", Serial.started
        )  # put back what the conftest replaces in this process
        run = batch.run()
    assert run.outcomes == {"passed": 1, "interrupted": 1, "not_run": 1}
