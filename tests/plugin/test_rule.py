"""``[[tool.resilience.retry.rule]]``: other settings for errors of some kind."""

import pytest

from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.hooks import attempts

from .harness import Batch

SOURCE = """
from steps import step
def test_timeout():
    step("timeout")
    raise TimeoutError("no answer")
def test_refused():
    step("refused")
    raise ConnectionRefusedError("no server")
def test_assert(): assert step("assert") > 9
"""


def times(batch: Batch) -> list[int]:
    """How often each of the tests ran."""
    return [batch.steps.count(name) for name in ("timeout", "refused", "assert")]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ('"^TimeoutError"', [4, 2, 2]),
        ('"no (answer|server)"', [4, 4, 2]),
        ('["^TimeoutError", "^AssertionError"]', [4, 2, 4]),
        ('"nothing"', [2, 2, 2]),
    ],
)
def test_a_rule_holds_for_errors_that_it_matches(
    pytester: pytest.Pytester, match: str, expected: list[int]
) -> None:
    table = (
        f"[tool.resilience.retry]\nretries = 1\n[[tool.resilience.retry.rule]]\nmatch = {match}\nretries = 3"
    )
    batch = Batch(pytester, {"test_it.py": SOURCE, "pyproject.toml": table})
    batch.run()
    assert times(batch) == expected


def test_a_rule_can_turn_retries_off_for_errors_of_some_kind(pytester: pytest.Pytester) -> None:
    table = '[tool.resilience.retry]\nretries = 1\n[[tool.resilience.retry.rule]]\nmatch = "Assertion"\nretries = 0'
    batch = Batch(pytester, {"test_it.py": SOURCE, "pyproject.toml": table})
    batch.run()
    assert times(batch) == [2, 2, 1]


def test_of_several_rules_the_first_that_matches_and_sets_a_name_counts(pytester: pytest.Pytester) -> None:
    table = """
    [[tool.resilience.retry.rule]]
    match = "Timeout"
    delay = 0.0
    [[tool.resilience.retry.rule]]
    match = "^ConnectionRefused"
    retries = 1
    [[tool.resilience.retry.rule]]
    match = "Timeout|Connection"
    retries = 3
    delay = 600.0
    """
    batch = Batch(pytester, {"test_it.py": SOURCE, "pyproject.toml": table})
    batch.run("-k", "not refused")
    assert times(batch) == [4, 0, 1]


def test_each_attempt_is_judged_by_its_own_error(pytester: pytest.Pytester) -> None:
    source = """
    from steps import step
    def test_a():
        if step("a") < 3:
            raise TimeoutError
        raise ValueError
    """
    table = (
        '[tool.resilience.retry]\nretries = 1\n[[tool.resilience.retry.rule]]\nmatch = "Timeout"\nretries = 5'
    )
    batch = Batch(pytester, {"test_it.py": source, "pyproject.toml": table})
    batch.run()
    assert batch.steps == ["a"] * 3
    said = [fact.again for fact in batch.facts if isinstance(fact, AttemptEnded)]
    assert said == ["attempt 1 of 6", "attempt 2 of 6", "no attempts left of 2"]


def test_a_rule_has_its_own_delay(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(attempts.Attempts, "_wait", staticmethod(lambda item, seconds: slept.append(seconds)))
    table = """
    [tool.resilience.retry]
    retries = 2
    delay = 1
    [[tool.resilience.retry.rule]]
    match = "Timeout"
    delay = 30
    backoff = "linear"
    """
    batch = Batch(pytester, {"test_it.py": SOURCE, "pyproject.toml": table})
    batch.run()
    assert slept == [30, 60, 1, 1, 1, 1]
    assert times(batch) == [3, 3, 3]


def test_what_is_nearer_than_a_rule_comes_before_it(pytester: pytest.Pytester) -> None:
    source = """
    import pytest
    from steps import step
    @pytest.mark.flaky(retries=1)
    def test_marked(): assert step("marked") > 9
    @pytest.mark.flaky
    def test_open(): assert step("open") > 9
    def test_plain(): assert step("plain") > 9
    """
    table = '[[tool.resilience.retry.rule]]\nmatch = "Assertion"\nretries = 3'
    override = '\n[[tool.resilience.override]]\npaths = "test_it.py"\nretries = 2'

    def ran(*flags: str) -> list[int]:
        batch.forget()
        batch.run(*flags)
        return [batch.steps.count(name) for name in ("marked", "open", "plain")]

    batch = Batch(pytester, {"test_it.py": source, "pyproject.toml": table})
    assert ran() == [2, 4, 4]
    assert ran("--retries", "4") == [2, 5, 5]
    assert ran("--retries", "0") == [1, 1, 1]
    batch.write({"pyproject.toml": table + override})
    assert ran() == [2, 3, 3]
