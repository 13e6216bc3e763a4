"""``min_passes``: how many attempts have to pass before a test has; with ``max_runs``, as the flaky package has them."""

import re

import pytest

from pytest_resilience.core.facts import AttemptEnded, TestFinished
from pytest_resilience.core.outcomes import Outcome

from .harness import Batch

# Each letter is what an attempt shows: it passes, fails, or skips.
SUITE = """
import pytest
from steps import step
def show(letters):
    letter = letters[step("attempt") - 1]
    if letter == "s":
        pytest.skip("not now")
    if letter == "e":
        raise OSError("no disk")
    assert letter == "p"
{marker}
def test_a(): show("{letters}")
"""
MARKER = "@pytest.mark.flaky(max_runs=5, min_passes=2)"


def batch_with(pytester: pytest.Pytester, letters: str, marker: str = MARKER) -> Batch:
    return Batch(pytester, SUITE.format(letters=letters, marker=marker))


@pytest.mark.parametrize(
    ("letters", "outcome", "last_line"),
    [
        ("pp", "passed", "1 passed, 1 rerun"),
        ("fpp", "flaky", "2 rerun, 1 flaky"),
        ("pfp", "flaky", "2 rerun, 1 flaky"),
        ("pfffp", "flaky", "4 rerun, 1 flaky"),
        ("pffff", "failed", "1 failed, 4 rerun"),
        ("fpfff", "failed", "1 failed, 4 rerun"),
        ("ffff", "failed", "1 failed, 3 rerun"),
        ("ps", "skipped", "1 skipped, 1 rerun"),
    ],
)
def test_attempts_are_made_until_enough_have_passed_or_too_few_can(
    pytester: pytest.Pytester, letters: str, outcome: str, last_line: str
) -> None:
    batch = batch_with(pytester, letters)
    run = batch.run("--junitxml", "junit.xml")
    is_bad = outcome == "failed"
    assert (run.status, run.outcomes) == (int(is_bad), {outcome: 1})
    assert run.last_line == last_line
    assert batch.steps == ["attempt"] * len(letters)
    assert batch.tests == {"test_a": outcome}
    junit = (batch.root / "junit.xml").read_text()
    assert junit.count("<testcase") == 1
    assert f'failures="{int(is_bad)}"' in junit


def test_each_attempt_that_is_followed_by_another_is_a_letter(pytester: pytest.Pytester) -> None:
    run = batch_with(pytester, "pfp").run()
    assert any(line.startswith("test_it.py RR.") for line in run.lines)
    (pytester.path / "steps.txt").unlink()
    run = batch_with(pytester, "pp").run()
    assert any(line.startswith("test_it.py R.") for line in run.lines)


def test_verbose_output_says_that_an_attempt_passed_and_is_repeated(pytester: pytest.Pytester) -> None:
    run = batch_with(pytester, "pffff").run("-v")
    about = [re.sub(" +", " ", line) for line in run.lines if line.startswith("test_it.py::test_a ")]
    assert about[0] == "test_it.py::test_a RERUN attempt 1 of 5 - passed"
    assert about[1].startswith("test_it.py::test_a RERUN attempt 2 of 5 - AssertionError")
    assert about[-1] == "test_it.py::test_a FAILED [100%]"
    at = run.lines.index("RETRIED test_it.py::test_a - failed, though 1 of its attempts passed")
    assert run.lines[at + 1].startswith("  attempt 1 on main: passed, 0.")
    assert "passed 1 of the 2 times that it has to: AssertionError" in run.lines[at + 5]


def test_passes_without_a_failure_are_a_plain_pass(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester, "ppp", "@pytest.mark.flaky(max_runs=5, min_passes=3)")
    run = batch.run()
    assert (run.outcomes, run.last_line) == ({"passed": 1}, "1 passed, 2 rerun")
    assert not run.all_lines("FLAKY")
    (finished,) = [fact for fact in batch.facts if isinstance(fact, TestFinished)]
    assert (finished.outcome, finished.attempts) == (Outcome.PASSED, 3)
    assert [fact.again for fact in batch.facts if isinstance(fact, AttemptEnded)] == [
        "passed 1 of 3 times",
        "passed 2 of 3 times",
    ]


def test_too_few_passes_have_a_code_of_their_own_and_none_at_all_is_a_plain_failure(
    pytester: pytest.Pytester,
) -> None:
    batch = batch_with(pytester, "pffff")
    batch.run()
    codes = [fact.code for fact in batch.facts if isinstance(fact, AttemptEnded)]
    assert codes == ["", "RES101", "RES101", "RES101", "RES105"]
    batch = batch_with(pytester, "ffff")
    batch.forget()
    batch.run()
    ended = [fact for fact in batch.facts if isinstance(fact, AttemptEnded)]
    assert [fact.code for fact in ended] == ["RES101"] * 4
    assert ended[-2].again == "attempt 3 of 5"
    assert ended[-1].again == "too few attempts left to pass 2 times"


def test_the_report_of_the_last_attempt_shows_its_own_error(pytester: pytest.Pytester) -> None:
    run = batch_with(pytester, "pfffe").run()
    assert "FAILED test_it.py::test_a - OSError: no disk" in run.lines


def test_an_attempt_that_passed_is_repeated_without_a_wait(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = "@pytest.mark.flaky(retries=4, min_passes=2, delay=0)"
    batch = batch_with(pytester, "pfp", marker)
    batch.run("--retry-delay", "600")
    assert [fact.wait for fact in batch.facts if isinstance(fact, AttemptEnded)] == [0, 0]


def test_a_pass_that_its_teardown_takes_back_is_none(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture
        def leaky():
            yield
            assert step("teardown") != 2
        @pytest.mark.flaky(max_runs=5, min_passes=3)
        def test_a(leaky): step("a")
        """,
    )
    assert batch.run().outcomes == {"flaky": 1}
    assert batch.steps.count("a") == 4


def test_a_marker_without_a_number_of_runs_allows_two(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester, "pp", "@pytest.mark.flaky(min_passes=2)")
    assert batch.run().outcomes == {"passed": 1}


@pytest.mark.parametrize(
    ("marker", "most"),
    [
        ("max_runs=2, min_passes=3", 2),
        ("max_runs=1, min_passes=2", 1),
        ("retries=0, min_passes=2", 1),
        ("min_passes=3", 2),
    ],
)
def test_more_passes_than_attempts_are_refused_before_any_test(
    pytester: pytest.Pytester, marker: str, most: int
) -> None:
    batch = batch_with(pytester, "ppp", f"@pytest.mark.flaky({marker})")
    run = batch.run()
    assert (run.status, batch.steps) == (4, [])
    needed = marker[-1]
    assert f"RES701 config-invalid: flaky(min_passes={needed}): a test has at most {most} attempt" in run.text
    assert "(at test_it.py::test_a)" in run.text


def test_no_retries_typed_ask_for_one_pass(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester, "p")
    assert batch.run("--retries", "0").outcomes == {"passed": 1}
    assert batch.steps == ["attempt"]


def test_the_debugger_repeats_passes_and_no_failures(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester, "pp")
    run = batch.run("--pdb")
    assert (run.outcomes, run.last_line) == ({"passed": 1}, "1 passed, 1 rerun")


def test_a_session_that_stops_between_two_passes_leaves_the_test_outstanding(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.mark.flaky(max_runs=5, min_passes=2)
        def test_a(request):
            step("a")
            request.session.shouldstop = "enough"
        """,
    )
    run = batch.run()
    assert batch.steps == ["a"]
    assert run.status == 2
    assert run.outcomes == {"failed": 1}
    assert "passed 1 of the 2 times that it has to" in run.text


def test_a_test_that_was_killed_between_two_passes_has_not_passed(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester, "pp")
    batch.run()
    segment = batch.segment()
    lines = segment.read_bytes().splitlines(keepends=True)
    (after_first,) = [at for at, line in enumerate(lines) if b'"k":"att"' in line]
    segment.write_bytes(b"".join(lines[: after_first + 1]))
    (batch.newest.path / "final.json").unlink()
    assert batch.tests == {"test_a": "crashed"}


def test_strict_people_do_not_tolerate_a_failure_between_passes(pytester: pytest.Pytester) -> None:
    batch = batch_with(pytester, "pfp", "@pytest.mark.flaky(max_runs=5, min_passes=2, flaky_result='fail')")
    run = batch.run()
    assert (run.status, run.outcomes) == (1, {"failed": 1})


def test_the_number_of_attempts_is_right_on_a_worker_as_well(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    batch = batch_with(pytester, "ppp", "@pytest.mark.flaky(max_runs=5, min_passes=3)")
    run = batch.run_apart("-p", "resilience", "-n", "1", "--resilience-summary", "all")
    assert (run.status, run.outcomes, run.last_line) == (0, {"passed": 1}, "1 passed, 2 rerun")
    assert run.line("PASSED").endswith("3 attempts")
