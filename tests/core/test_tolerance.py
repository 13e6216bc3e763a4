"""A run that is green but for its flaky tests is green as long as they are tolerated."""

import pytest

from pytest_resilience.core.facts import SelectionDone, TestFinished, TestInherited, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.core.shares import Share
from pytest_resilience.core.tolerance import Tolerance


def run_of(*outcomes: Outcome, carried: tuple[Outcome, ...] = ()) -> Run:
    """A run whose tests have these outcomes, and that took over others."""
    run = Run()
    for number, outcome in enumerate(outcomes):
        key = f"test_{number}"
        run.observe(TestsSelected(keys=(key,)))
        run.observe(TestFinished(key=key, outcome=outcome))
    for number, outcome in enumerate(carried):
        key = f"test_carried_{number}"
        run.observe(TestsSelected(keys=(key,), fate="carried"))
        run.observe(TestInherited(key=key, outcome=outcome, run="earlier"))
    run.observe(SelectionDone(total=len(outcomes) + len(carried)))
    return run


FLAKY, PASSED = Outcome.FLAKY, Outcome.PASSED


@pytest.mark.parametrize(
    ("flaky", "others", "most", "is_tolerated"),
    [
        (0, 4, 0, True),
        (1, 3, 0, False),
        (2, 2, 2, True),
        (3, 1, 2, False),
        (1, 19, "5%", True),
        (2, 18, "5%", False),
        (1, 18, "5%", False),
        (9, 0, "none", True),
    ],
)
def test_more_than_the_limit_is_too_much(flaky: int, others: int, most: Share, is_tolerated: bool) -> None:
    run = run_of(*[FLAKY] * flaky, *[PASSED] * others)
    assert (Tolerance(most=most).reproach(run) == "") is is_tolerated


def test_unless_something_is_said_every_flaky_test_is_tolerated() -> None:
    assert Tolerance().reproach(run_of(FLAKY, FLAKY)) == ""


def test_no_tolerance_is_stricter_than_a_limit() -> None:
    assert Tolerance(is_none=True, most=9).reproach(run_of(FLAKY)) == "1 flaky test (at most 0)"
    assert Tolerance(is_none=True, most=9).reproach(run_of(PASSED)) == ""


def test_a_flaky_test_that_is_carried_over_is_flaky_still() -> None:
    run = run_of(FLAKY, PASSED, carried=(FLAKY, FLAKY, PASSED))
    assert Tolerance(most=2).reproach(run) == "3 flaky tests, 2 of them carried over (at most 2)"
    assert Tolerance(most="60%").reproach(run) == ""
    assert Tolerance(most="59.9%").reproach(run).endswith("(at most 59.9% of 5)")


def test_what_a_test_was_before_it_ran_again_does_not_count() -> None:
    run = run_of(PASSED)
    run.observe(TestInherited(key="test_0", outcome=FLAKY, run="earlier"))
    assert Tolerance(is_none=True).reproach(run) == ""
