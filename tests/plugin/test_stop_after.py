"""``--stop-after N``: the session ends when N tests in a row have finally failed."""

import pytest

from pytest_resilience.core.facts import DecisionTaken

from .harness import Batch


def suite(pattern: str) -> str:
    """One test a letter: ``P`` passes, ``F`` fails, ``E`` fails in its setup, ``S`` skips, ``K`` passes when retried."""
    bodies = {
        "P": "pass",
        "F": "assert False",
        "E": "",
        "S": "pytest.skip('not today')",
        "K": "assert step(request.node.name) > 1",
        "X": "pytest.xfail('known')",
    }
    tests = [
        f"def test_{at}_{letter}(request{', broken' if letter == 'E' else ''}): {bodies[letter] or 'pass'}"
        for at, letter in enumerate(pattern)
    ]
    fixture = "@pytest.fixture\ndef broken(): raise OSError('no database')\n"
    return f"import pytest\nfrom steps import step\n{fixture}" + "\n".join(tests)


@pytest.mark.parametrize(
    ("pattern", "outcomes"),
    [
        ("FFFP", {"failed": 3, "not_run": 1}),
        ("PFFPFFFPP", {"passed": 2, "failed": 5, "not_run": 2}),
        ("FFPFF", {"failed": 4, "passed": 1}),
        # A setup error is a failure too.
        ("FEFP", {"failed": 2, "error": 1, "not_run": 1}),
        # A skipped test neither adds to the row nor ends it.
        ("FSFSFP", {"failed": 3, "skipped": 2, "not_run": 1}),
        # A test that passed in the end ends the row.
        ("FFKFF", {"failed": 4, "flaky": 1}),
        ("FFXFF", {"failed": 4, "xfailed": 1}),
    ],
)
def test_failures_in_a_row_stop_the_session(
    pytester: pytest.Pytester, pattern: str, outcomes: dict[str, int]
) -> None:
    run = Batch(pytester, suite(pattern)).run("--stop-after", "3", "--retries", "1")
    assert run.outcomes == outcomes
    assert run.status == 1


def test_what_remains_is_not_run_and_the_reason_is_told_with_its_code(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, suite("PFFPP"))
    run = batch.run("--stop-after", "2")
    reason = "RES301 stop-consecutive-failures: 2 in a row (limit 2)"
    assert run.line("NOTRUN") == f"2 tests - {reason}"
    assert f"!! {reason} !!" in run.text
    assert run.last_line == "2 failed, 1 passed, 2 not run"
    assert batch.tests == {
        "test_0_P": "passed",
        "test_1_F": "failed",
        "test_2_F": "failed",
        "test_3_P": "not_run",
        "test_4_P": "not_run",
    }
    assert [fact for fact in batch.facts if isinstance(fact, DecisionTaken)] == [
        DecisionTaken(code="RES301", why="2 in a row (limit 2)")
    ]


def test_fixtures_are_torn_down_when_the_session_stops(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="session", autouse=True)
        def s():
            yield
            step("-s")
        def test_a(): assert 0
        def test_b(): step("b")
        """,
    )
    batch.run("--stop-after", "1")
    assert batch.steps == ["-s"]


def test_zero_never_stops(pytester: pytest.Pytester) -> None:
    assert Batch(pytester, suite("FFFF")).run("--stop-after", "0").outcomes == {"failed": 4}


def test_the_table_sets_it_and_the_flag_comes_before_it(pytester: pytest.Pytester) -> None:
    files = {"test_it.py": suite("FFFF"), "pyproject.toml": "[tool.resilience.stop]\nafter = 2"}
    batch = Batch(pytester, files)
    assert batch.run().outcomes == {"failed": 2, "not_run": 2}
    assert batch.run("--stop-after", "0").outcomes == {"failed": 4}


def test_a_resume_goes_on_after_the_stop(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, suite("PFFPP"))
    batch.run("--stop-after", "2")
    assert batch.run("--resume-failed").outcomes == {"carried_over": 1, "failed": 2, "passed": 2}


def test_the_maxfail_of_pytest_has_a_code_of_its_own(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, suite("PFFPP")).run("--maxfail", "2")
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 2, "not_run": 2})
    assert run.line("NOTRUN") == "2 tests - RES308 stop-max-failures: stopping after 2 failures"


def test_exitfirst_has_the_code_of_maxfail(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, suite("FP")).run("-x", "--stop-after", "9")
    assert (run.status, run.outcomes) == (1, {"failed": 1, "not_run": 1})
    assert "RES308 stop-max-failures" in run.line("NOTRUN")


def test_no_attempt_is_made_after_the_stop(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, suite("FFFF"))
    batch.run("--stop-after", "2", "--retries", "1")
    assert batch.started == ["test_0_F"] * 2 + ["test_1_F"] * 2


def test_a_stop_at_the_last_test_leaves_nothing_not_run(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, suite("PFF")).run("--stop-after", "2")
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 2})
    assert run.line("NOTRUN") == ""
