"""``--retry-budget`` and ``retry.max-first-failures``: how many retries all tests of a run have together."""

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, AttemptStarted

from .harness import Batch, Result

FAILS = """
import pytest
@pytest.mark.parametrize("n", range(20))
def test(n): assert 0
"""
SPENT, CLOSED = str(Code.RETRY_BUDGET_EXHAUSTED), str(Code.RETRY_GATE_CLOSED)


def retries(batch: Batch) -> int:
    """How many attempts of the newest run were not the first of their test."""
    return sum(isinstance(fact, AttemptStarted) and fact.attempt > 1 for fact in batch.facts)


def reasons(batch: Batch) -> list[str]:
    """Why tests were not tried again, each once, in the order in which it came up."""
    ended = [fact.again for fact in batch.facts if isinstance(fact, AttemptEnded)]
    return list(dict.fromkeys(why for why in ended if not why.startswith("attempt ")))


def with_table(source: str, table: str) -> dict[str, str]:
    return {"test_it.py": source, "pyproject.toml": f"[tool.resilience.retry]\n{table}\n"}


def warning(run: Result, code: str) -> str:
    """What the summary says under a code, empty when it says nothing."""
    (found,) = [line for line in run.all_lines("WARNING") if line.startswith(code)] or [""]
    return found


# -- the budget


@pytest.mark.parametrize(("budget", "expected"), [("7", 7), ("0", 0), ("10%", 2), ("11%", 3), ("none", 60)])
def test_a_run_has_as_many_retries_as_its_budget(
    pytester: pytest.Pytester, budget: str, expected: int
) -> None:
    batch = Batch(pytester, FAILS)
    run = batch.run("--retries", "3", "--retry-budget", budget)
    assert (run.status, run.outcomes) == (1, {"failed": 20})
    assert retries(batch) == expected


def test_the_table_sets_the_budget_and_the_flag_comes_before_it(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, with_table(FAILS, "retries = 1\nbudget = '25%'"))
    batch.run()
    assert retries(batch) == 5
    batch.run("--retry-budget", "3")
    assert retries(batch) == 3


def test_tests_go_on_without_retries_and_the_summary_says_it_once(pytester: pytest.Pytester) -> None:
    source = FAILS + "\ndef test_later(): pass\n"
    batch = Batch(pytester, source)
    run = batch.run("--retries", "1", "--retry-budget", "3", "--tb=no", "-rN")
    assert run.outcomes == {"failed": 20, "passed": 1}
    assert warning(run, SPENT) == (
        f"{SPENT}: 3 retries used up the budget of 3; 17 tests were not tried again. "
        "Mend what fails, or raise --retry-budget"
    )
    assert run.text.count(SPENT) == 1


def test_each_test_that_was_not_tried_again_has_the_reason_in_the_ledger(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FAILS)
    batch.run("--retries", "1", "--retry-budget", "5%")
    assert reasons(batch) == ["no attempts left of 2", f"{SPENT}: the budget of 1 (5% of 20) is spent"]


def test_a_budget_that_is_enough_is_not_spoken_of(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FAILS)
    run = batch.run("--retries", "1", "--retry-budget", "20")
    assert retries(batch) == 20
    assert SPENT not in run.text


def test_a_share_is_of_the_tests_that_were_selected(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FAILS)
    batch.run("--retries", "3", "--retry-budget", "50%", "-k", "1")
    assert retries(batch) == 6, "half of test[1] and test[10] to test[19], rounded up"


def test_a_test_that_was_refused_is_what_it_was(pytester: pytest.Pytester) -> None:
    """Its fixtures are torn down once, it is reported once, and it has failed, not been flaky."""
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="module")
        def wide():
            step("up")
            yield
            step("down")
        @pytest.fixture
        def narrow(wide):
            step("in")
            yield
            step("out")
        def test_a(narrow): assert step("a") > 1
        def test_b(narrow): assert step("b") > 1
        """,
    )
    run = batch.run("--retries", "1", "--retry-budget", "1", "--junitxml", "report.xml")
    assert run.outcomes == {"flaky": 1, "failed": 1}
    assert batch.steps == ["up", "in", "a", "out", "in", "a", "out", "in", "b", "out", "down"]
    assert 'tests="2"' in (batch.root / "report.xml").read_text("utf-8")


def test_setup_and_teardown_draw_from_the_same_budget(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        @pytest.fixture
        def no_setup(): raise OSError
        @pytest.fixture
        def no_teardown():
            yield
            raise OSError
        def test_setup(no_setup): pass
        def test_teardown(no_teardown): pass
        def test_call(): assert 0
        """,
    )
    run = batch.run("--retries", "2", "--retry-budget", "3")
    assert run.outcomes == {"failed": 1, "error": 2}
    assert retries(batch) == 3


def test_what_a_policy_does_not_want_takes_nothing(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    @pytest.mark.parametrize("n", range(9))
    def test_not_wanted(n): raise ValueError
    def test_wanted(): raise KeyError
    """
    batch = Batch(pytester, with_table(source, "retries = 1\nbudget = 1\nonly = 'KeyError'"))
    run = batch.run()
    assert retries(batch) == 1
    assert SPENT not in run.text


def test_a_pass_that_is_repeated_takes_nothing(pytester: pytest.Pytester) -> None:
    """`min_passes` asks for proof, which is no retry."""
    batch = Batch(
        pytester,
        """
        import pytest
        @pytest.mark.flaky(retries=3, min_passes=3)
        def test_a(): pass
        """,
    )
    run = batch.run("--retry-budget", "0")
    assert (run.status, run.outcomes) == (0, {"passed": 1})


def test_a_retry_after_a_timeout_takes_what_it_costs(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_timeout")
    source = """
    import time, pytest
    @pytest.mark.timeout(0.05)
    def test_slow(): time.sleep(60)
    def test_a(): assert 0
    def test_b(): assert 0
    """
    batch = Batch(pytester, with_table(source, "retries = 1\nbudget = 6\ncost = 5"))
    run = batch.run()
    assert run.outcomes == {"timed_out": 1, "failed": 2}
    assert retries(batch) == 2
    assert batch.started == ["test_slow", "test_slow", "test_a", "test_a", "test_b"]
    assert warning(run, SPENT).startswith(
        "RES305 retry-budget-exhausted: 2 retries used up the budget of 6; 1 test was"
    )


# -- the refill


def test_tests_that_pass_at_once_give_retries_back(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    @pytest.mark.parametrize("n", range(40))
    def test(n): assert n % 4
    """
    batch = Batch(pytester, with_table(source, "retries = 1\nbudget = 2\nrefill = 0.2"))
    run = batch.run()
    # Three passes come before each failure but the first: after two retries, the budget grows by 0.6 a time.
    assert run.outcomes == {"failed": 10, "passed": 30}
    assert retries(batch) == 7
    assert warning(run, SPENT).startswith(f"{SPENT}: 7 retries used up the budget of 2; 3 tests were")


def test_a_flaky_test_gives_nothing_back(pytester: pytest.Pytester) -> None:
    source = """
    from steps import step
    def test_a(): assert step("a") > 1
    def test_b(): assert step("b") > 1
    """
    batch = Batch(pytester, with_table(source, "retries = 1\nbudget = 1\nrefill = 1.0"))
    assert batch.run().outcomes == {"flaky": 1, "failed": 1}


# -- the gate


def test_more_first_failures_than_allowed_end_all_retrying(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, with_table(FAILS, "retries = 1\nmax-first-failures = 4"))
    run = batch.run("--tb=no", "-rN")
    assert run.outcomes == {"failed": 20}
    assert retries(batch) == 4
    assert warning(run, CLOSED) == (
        f"{CLOSED}: 20 tests failed at the first attempt (at most 4); 16 tests were not tried again. "
        "Look for a cause that they share, or raise retry.max-first-failures"
    )
    assert reasons(batch)[:2] == [
        "no attempts left of 2",
        f"{CLOSED}: 5 tests failed at the first attempt (at most 4)",
    ]


def test_a_share_of_first_failures_is_not_rounded(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, with_table(FAILS, "retries = 1\nmax-first-failures = '14.9%'"))
    batch.run()
    assert retries(batch) == 2, "2.98 of 20"


def test_failures_that_are_not_retried_close_the_gate_too(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    @pytest.mark.flaky(retries=0)
    @pytest.mark.parametrize("n", range(3))
    def test_never(n): assert 0
    def test_retried(): assert 0
    """
    batch = Batch(pytester, with_table(source, "retries = 1\nmax-first-failures = 3"))
    batch.run()
    assert retries(batch) == 0


def test_further_attempts_of_one_test_do_not_close_the_gate(pytester: pytest.Pytester) -> None:
    source = "def test_a(): assert 0\n"
    batch = Batch(pytester, with_table(source, "retries = 5\nmax-first-failures = 1"))
    run = batch.run()
    assert retries(batch) == 5
    assert CLOSED not in run.text


def test_a_closed_gate_leaves_the_budget_alone(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, with_table(FAILS, "retries = 1\nmax-first-failures = 2\nbudget = 5"))
    run = batch.run()
    assert retries(batch) == 2
    assert warning(run, CLOSED)
    assert not warning(run, SPENT)


# -- a resume


def test_a_resume_has_a_budget_of_its_own_and_a_share_of_all_its_tests(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    @pytest.mark.parametrize("n", range(20))
    def test(n): assert n % 2
    """
    batch = Batch(pytester, source)
    batch.run("--retries", "3", "--retry-budget", "10%")
    assert retries(batch) == 2
    run = batch.run("--resume-failed", "--retries", "3", "--retry-budget", "25%")
    assert run.outcomes == {"failed": 10, "carried_over": 10}
    assert retries(batch) == 5, "of 20, as OUTCOMES counts them"


# -- what it costs


def test_who_sets_no_limit_does_not_pay_for_it(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, "def test_a(): assert 0\n")
    seen = "import sys\ndef pytest_unconfigure():\n    loaded = {0!r} in sys.modules\n    print('loaded', loaded)\n"
    batch.write({"conftest.py": seen.format("pytest_resilience.core.budget")})
    assert "loaded False" in batch.run_apart("-p", "resilience", "--retries", "1", "-s").text
    assert "loaded True" in batch.run_apart("-p", "resilience", "--retry-budget", "1", "-s").text
