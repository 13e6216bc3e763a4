"""The facts that every test makes are the same however they are made."""

import pytest

from pytest_resilience.core.facts import (
    AttemptStarted,
    Fact,
    TestFinished,
    attempt_started,
    finished_test,
)
from pytest_resilience.core.outcomes import Outcome


@pytest.mark.parametrize(
    ("quickly", "fact"),
    [
        (attempt_started(("a", 2)), AttemptStarted(key="a", attempt=2)),
        (
            finished_test(("a", Outcome.FLAKY, 2, 0.5)),
            TestFinished(key="a", outcome=Outcome.FLAKY, attempts=2, seconds=0.5),
        ),
    ],
)
def test_a_fact_made_of_a_tuple_is_the_fact(quickly: Fact, fact: Fact) -> None:
    assert type(quickly) is type(fact)
    assert quickly == fact
    assert repr(quickly) == repr(fact)
