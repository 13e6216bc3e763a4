"""``--fail-on-flaky`` and ``retry.max-flaky``: a run that is green but for its flaky tests ends with 7."""

import json

import pytest

from pytest_resilience.core.codes import Code

from .harness import Batch

# Fails at the first attempt of every test whose name has "flaky" in it.
FLAKY = """
import pytest
from steps import step
pytestmark = pytest.mark.flaky(retries=1)
def fail_once(request):
    assert step(request.node.name) > 1
@pytest.mark.parametrize("n", range(3))
def test_flaky(n, request): fail_once(request)
@pytest.mark.parametrize("n", range(7))
def test_stable(n): pass
"""
CODE = str(Code.TEST_FLAKY)


def with_table(table: str, source: str = FLAKY) -> dict[str, str]:
    return {"test_it.py": source, "pyproject.toml": f"[tool.resilience.retry]\n{table}\n"}


def test_flaky_tests_are_green_unless_something_is_said(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, FLAKY).run()
    assert (run.status, run.outcomes) == (0, {"passed": 7, "flaky": 3})
    assert CODE not in run.text


def test_one_flaky_test_is_too_much_where_none_is_tolerated(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, FLAKY).run("--fail-on-flaky", "-k", "flaky and 1 or stable")
    assert (run.status, run.outcomes) == (7, {"passed": 7, "flaky": 1})
    assert run.line("WARNING") == f"{CODE}: 1 flaky test (at most 0), exit status 7"


def test_without_a_flaky_test_the_run_is_green(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, FLAKY).run("--fail-on-flaky", "-k", "stable")
    assert (run.status, run.line("WARNING")) == (0, "")


@pytest.mark.parametrize(
    ("most", "shown", "status"),
    [
        ("3", "3", 0),
        ("2", "2", 7),
        ("0", "0", 7),
        ("'30%'", "30% of 10", 0),
        ("'29.9%'", "29.9% of 10", 7),
        ("'none'", "none", 0),
    ],
)
def test_more_flaky_tests_than_the_table_allows_are_too_many(
    pytester: pytest.Pytester, most: str, shown: str, status: int
) -> None:
    run = Batch(pytester, with_table(f"max-flaky = {most}")).run()
    assert run.status == status
    expected = f"{CODE}: 3 flaky tests (at most {shown}), exit status 7" if status else ""
    assert run.line("WARNING") == expected


def test_the_flag_is_stricter_than_the_table(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, with_table("max-flaky = 9"))
    assert batch.run("--fail-on-flaky").status == 7
    batch.forget()
    assert batch.run().status == 0


def test_the_table_can_tolerate_none(pytester: pytest.Pytester) -> None:
    assert Batch(pytester, with_table("fail-on-flaky = true")).run().status == 7


def test_a_run_with_failures_keeps_its_status_and_says_what_else_is_wrong(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, FLAKY + "def test_fails(): assert 0\n").run("--fail-on-flaky")
    assert (run.status, run.outcomes) == (1, {"passed": 7, "flaky": 3, "failed": 1})
    assert run.line("WARNING") == f"{CODE}: 3 flaky tests (at most 0)"


def test_a_run_that_was_stopped_keeps_its_status(pytester: pytest.Pytester) -> None:
    source = FLAKY + "def test_stops(): pytest.exit('enough', returncode=3)\n"
    assert Batch(pytester, source).run("--fail-on-flaky").status == 3


@pytest.mark.parametrize("arguments", [("-q",), ("--resilience-summary", "counts"), ("--no-summary",)])
def test_however_little_is_told_the_reason_of_the_status_is(
    pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    run = Batch(pytester, FLAKY).run("--fail-on-flaky", *arguments)
    assert run.status == 7
    assert run.line("WARNING") == f"{CODE}: 3 flaky tests (at most 0), exit status 7"


def test_nothing_at_all_is_told_to_who_wants_that(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, FLAKY).run("--fail-on-flaky", "--resilience-summary", "none")
    assert (run.status, CODE in run.text) == (7, False)


def test_the_ledger_has_the_status(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FLAKY)
    batch.run("--fail-on-flaky")
    ended = batch.past.run.ended
    assert ended is not None
    assert ended.exit_status == 7
    assert "7" in json.dumps(json.loads((batch.newest.path / "final.json").read_text("utf-8")))


def test_a_skip_after_a_failure_is_flaky_here_too(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    from steps import step
    @pytest.mark.flaky(retries=1)
    def test_a():
        if step("a") > 1: pytest.skip()
        assert 0
    """
    assert Batch(pytester, source).run("--fail-on-flaky").status == 7


def test_a_test_that_counts_as_failed_for_being_flaky_is_not_counted_again(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, with_table("flaky-result = 'fail'")).run("--fail-on-flaky")
    assert (run.status, run.outcomes) == (1, {"passed": 7, "failed": 3})
    assert run.line("WARNING") == ""


# -- resumes


def test_a_resume_does_not_launder_flaky_tests(pytester: pytest.Pytester) -> None:
    """Nothing is left to run, and the tests are as flaky as before."""
    batch = Batch(pytester, FLAKY)
    assert batch.run("--fail-on-flaky").status == 7
    for _ in range(2):
        run = batch.run("--resume-failed", "--fail-on-flaky")
        assert (run.status, run.outcomes) == (7, {"carried_over": 10})
        assert (
            run.line("WARNING") == f"{CODE}: 3 flaky tests, 3 of them carried over (at most 0), exit status 7"
        )


def test_flaky_tests_of_all_runs_of_a_chain_are_counted_together(pytester: pytest.Pytester) -> None:
    source = (
        FLAKY
        + "def test_late(request):\n    if step('late') > 1: fail_once(request)\n    else: pytest.exit()\n"
    )
    batch = Batch(pytester, source)
    batch.write({"pyproject.toml": "[tool.resilience.retry]\nmax-flaky = 3\n"})
    assert batch.run().status == 2
    run = batch.run("--resume-failed")
    assert run.outcomes == {"flaky": 1, "carried_over": 10}
    assert run.status == 7
    assert run.line("WARNING") == f"{CODE}: 4 flaky tests, 3 of them carried over (at most 3), exit status 7"


def test_a_flaky_test_that_runs_again_is_what_it_is_today(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FLAKY)
    assert batch.run("--fail-on-flaky").status == 7
    batch.write({"test_it.py": FLAKY + "# mended\n"})
    run = batch.run("--resume-failed", "--fail-on-flaky")
    assert (run.status, run.outcomes) == (0, {"passed": 10})


def test_a_resume_with_tests_left_open_has_their_status(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_a.py": FLAKY, "test_b.py": "def test_fails(): assert 0\n"})
    assert batch.run().status == 1
    run = batch.run("--resume-failed", "--fail-on-flaky", "test_a.py")
    assert (run.status, run.outcomes) == (1, {"carried_over": 10})
    assert run.line("WARNING") == f"{CODE}: 3 flaky tests, 3 of them carried over (at most 0)"


# -- what is no run


@pytest.mark.parametrize("argument", ["--collect-only", "--setup-plan", "--fixtures"])
def test_what_runs_no_tests_is_not_judged(pytester: pytest.Pytester, argument: str) -> None:
    assert Batch(pytester, FLAKY).run("--fail-on-flaky", argument).status == 0


def test_a_run_without_tests_keeps_its_status(pytester: pytest.Pytester) -> None:
    assert Batch(pytester, FLAKY).run("--fail-on-flaky", "-k", "nothing").status == 5
