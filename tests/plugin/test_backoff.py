"""``delay``, ``backoff``, ``factor``, ``max_delay`` and ``jitter``: how long it waits before another attempt."""

import itertools
from dataclasses import dataclass

import pytest

from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.hooks import attempts

from .harness import Batch

FAILS = """
import pytest
from steps import step
@pytest.mark.flaky({marker})
def test_a():
    step("a")
    raise ConnectionError("port 80 is closed")
"""


@dataclass(eq=False)
class Clock:
    """A time that passes only by sleeping. At `stops_at` somebody ends the session."""

    now: float = 0.0
    stops_at: float = float("inf")
    session: pytest.Session | None = None

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 0.1, "a wait is cut into slices"
        self.now += seconds
        if self.now >= self.stops_at and self.session is not None:
            self.session.shouldstop = "somebody ended the session"

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(attempts, "_sleep", clock.sleep)
    monkeypatch.setattr(attempts, "_clock", lambda: clock.now)
    return clock


def waits_of(batch: Batch) -> list[float]:
    """The waits in the ledger, in seconds; the attempt without another has none."""
    ended = [fact for fact in batch.facts if isinstance(fact, AttemptEnded)]
    assert ended[-1].wait == 0
    return [fact.wait for fact in ended[:-1]]


@pytest.mark.parametrize(
    ("marker", "waits"),
    [
        ("retries=3", [0, 0, 0]),
        ("retries=3, delay=1.5", [1.5, 1.5, 1.5]),
        ("retries=3, delay=1.5, backoff='linear'", [1.5, 3, 4.5]),
        ("retries=3, delay=1.5, backoff='linear', max_delay=4", [1.5, 3, 4]),
        ("retries=4, delay=2, backoff='exponential'", [2, 4, 8, 16]),
        ("retries=4, delay=2, backoff='exponential', max_delay=9", [2, 4, 8, 9]),
        ("retries=4, delay=2, backoff='exponential', factor=3", [2, 6, 18, 54]),
        ("retries=4, delay=2, factor=1", [2, 2, 2, 2]),
        ("retries=2, delay=90", [60, 60]),
        ("retries=2, delay=90, max_delay=0", [0, 0]),
    ],
)
def test_the_wait_grows_as_the_policy_says_and_is_what_was_slept(
    pytester: pytest.Pytester, clock: Clock, marker: str, waits: list[float]
) -> None:
    batch = Batch(pytester, FAILS.format(marker=marker))
    batch.run()
    assert waits_of(batch) == waits
    assert clock.now == pytest.approx(sum(waits))


def test_the_table_has_all_of_it_and_a_typed_delay_comes_first(
    pytester: pytest.Pytester, clock: Clock
) -> None:
    table = """
        [tool.resilience.retry]
        retries = 3
        delay = 1
        backoff = "exponential"
        factor = 10
        max-delay = 50
    """
    suite = FAILS.replace("@pytest.mark.flaky({marker})\n", "")
    batch = Batch(pytester, {"test_it.py": suite, "pyproject.toml": table})
    batch.run()
    assert waits_of(batch) == [1, 10, 50]
    batch.run("--retry-delay", "3")
    assert waits_of(batch) == [3, 30, 50]


# -- jitter --------------------------------------------------------------------------------------------------------


def test_jitter_waits_for_a_part_of_the_delay_that_is_drawn_anew_each_time(
    pytester: pytest.Pytester, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([0.5, 0.0, 0.25, 0.125])
    monkeypatch.setattr(attempts, "_chance", lambda: next(drawn))
    batch = Batch(pytester, FAILS.format(marker="retries=3, delay=4, backoff='exponential', jitter=True"))
    batch.run()
    assert waits_of(batch) == [2, 0, 4]
    assert clock.now == pytest.approx(6)


def test_chance_without_a_seed_stays_within_the_delay(pytester: pytest.Pytester, clock: Clock) -> None:
    batch = Batch(pytester, FAILS.format(marker="retries=20, delay=4, jitter=True"))
    batch.run()
    waits = waits_of(batch)
    assert all(0 <= wait < 4 for wait in waits)
    assert len(set(waits)) > 1


def test_without_jitter_chance_changes_nothing(
    pytester: pytest.Pytester, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_chance", lambda: 0.5)
    batch = Batch(pytester, FAILS.format(marker="retries=1, delay=4"))
    batch.run()
    assert waits_of(batch) == [4]


def test_the_random_numbers_of_a_test_are_its_own(pytester: pytest.Pytester, clock: Clock) -> None:
    suite = """
        import random
        import pytest
        from steps import step
        @pytest.fixture(scope="module", autouse=True)
        def seeded(): random.seed(7)
        @pytest.mark.flaky(retries=2, delay=1, jitter=True)
        def test_a():
            step(f"drew {random.random()}")
            assert step("a") > 2
        def test_b(): step(f"drew {random.random()}")
    """
    batch = Batch(pytester, suite)
    batch.run()
    drawn = [step for step in batch.steps if step.startswith("drew")]
    batch.forget()
    batch.write({"test_it.py": suite.replace("jitter=True", "jitter=False")})
    batch.run()
    assert [step for step in batch.steps if step.startswith("drew")] == drawn
    assert len(set(drawn)) == 4


# -- a session that stops ------------------------------------------------------------------------------------------

TWO = """
import pytest
from steps import step
@pytest.fixture(scope="module", autouse=True)
def shared():
    step("+shared")
    yield
    step("-shared")
@pytest.mark.flaky(retries=3, delay=10)
def test_a(): assert step("a") > 1
def test_b(): step("b")
"""


def test_a_session_that_is_stopped_in_the_wait_waits_no_longer_and_begins_no_further_attempt(
    pytester: pytest.Pytester, clock: Clock
) -> None:
    clock.stops_at = 3.0
    batch = Batch(pytester, TWO)
    run = batch.run(plugins=(clock,))
    assert " ".join(batch.steps) == "+shared a -shared"
    assert clock.now == pytest.approx(3.0)
    assert (run.status, run.outcomes) == (2, {"failed": 1, "not_run": 1})
    assert batch.tests == {"test_a": "failed", "test_b": "not_run"}
    # What the attempt showed is not lost, though it was to be followed by another.
    assert "assert 1 > 1" in run.text
    assert run.last_line.startswith("1 failed, ")


def test_what_is_torn_down_when_the_wait_ends_early_may_fail_and_is_told(
    pytester: pytest.Pytester, clock: Clock
) -> None:
    clock.stops_at = 0.05
    batch = Batch(pytester, TWO.replace('step("-shared")', 'raise OSError("the disk is gone")'))
    run = batch.run(plugins=(clock,))
    assert run.outcomes == {"failed": 1, "not_run": 1}
    assert "Error when fixtures were torn down afterwards" in run.text
    assert "OSError: the disk is gone" in run.lines


def test_a_session_that_is_stopping_does_not_begin_to_wait(pytester: pytest.Pytester, clock: Clock) -> None:
    batch = Batch(
        pytester,
        TWO.replace("def test_a():", 'def test_a(request):\n    request.session.shouldstop = "no"\n   '),
    )
    batch.run()
    assert (" ".join(batch.steps), clock.now) == ("+shared a -shared", 0)


def test_waits_are_no_part_of_the_seconds_of_a_test(pytester: pytest.Pytester, clock: Clock) -> None:
    batch = Batch(pytester, FAILS.format(marker="retries=2, delay=50"))
    batch.run()
    (key,) = batch.past.run.tests()
    assert batch.past.run.seconds(key) < 50
    assert sum(itertools.islice(waits_of(batch), 2)) == 100
