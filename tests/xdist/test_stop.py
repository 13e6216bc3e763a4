"""A threshold stops every worker at once: tests in flight finish and count, nothing more begins."""

from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import DecisionTaken

if TYPE_CHECKING:
    from ..process.sessions import Batch, Said

pytest.importorskip("xdist")

MODES = ("load", "worksteal", "loadscope", "loadfile", "loadgroup", "each")
FILES, TESTS_IN_FILE, LIMIT = 5, 20, 4
TOTAL = FILES * TESTS_IN_FILE

# The first four tests that begin fail. Those after them are in flight until their worker has been told to stop.
SUITE = f"""
import here, pytest, time

@pytest.mark.parametrize("n", range({TESTS_IN_FILE}))
def test(n, request):
    number = here.number()
    if number < {LIMIT}:
        here.fail(f"no {{number}} at {{n}}")
    deadline = time.monotonic() + 10
    while not request.session.shouldstop:
        assert time.monotonic() < deadline
        time.sleep(0.005)
"""


def stopped(batch: "Batch", *arguments: str) -> "Said":
    marker = 'pytestmark = pytest.mark.xdist_group("{}")'
    batch.write({f"test_{name}.py": SUITE + marker.format(name) for name in "abcde"[:FILES]})
    return batch.run("-n", "2", *arguments)


def check(batch: "Batch", said: "Said", code: Code, workers: int = 2) -> None:
    begun = batch.begun().total()
    assert LIMIT <= begun <= LIMIT + workers
    assert said.outcomes["total"] == TOTAL
    assert sum(said.outcomes.values()) == 2 * TOTAL
    assert code.code in said.line("NOTRUN")
    assert [decision.code for decision in batch.last.of(DecisionTaken)] == [code.code]
    assert said.line("RESUME")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("--stop-after", Code.STOP_CONSECUTIVE_FAILURES),
        ("--stop-same-error", Code.STOP_SAME_ERROR),
    ],
)
def test_a_threshold_stops_all_workers_at_once(batch: "Batch", mode: str, option: str, code: Code) -> None:
    said = stopped(batch, "--dist", mode, option, str(LIMIT))
    assert said.status == 1, said.text
    check(batch, said, code)
    if mode != "each":
        # With "each" a test that ran on one worker alone has not run.
        finished = len([one for one in batch.last.outcomes if batch.last.run.is_finished(one)])
        assert said.outcomes["failed"] == LIMIT
        assert said.outcomes.get("passed", 0) == finished - LIMIT
        assert said.outcomes["not_run"] == TOTAL - finished


@pytest.mark.parametrize("mode", MODES)
def test_maxfail_stops_all_workers_at_once(batch: "Batch", mode: str) -> None:
    """By itself xdist would first run all that is queued on the workers."""
    said = stopped(batch, "--dist", mode, "--maxfail", str(LIMIT))
    assert said.status not in (0, 3), said.text
    check(batch, said, Code.STOP_MAX_FAILURES)


def test_idle_workers_are_stopped_too(batch: "Batch") -> None:
    """More workers than files: those without work wait for something to do."""
    said = stopped(
        batch, "-n", "4", "--dist", "loadfile", "--stop-after", str(LIMIT), "test_a.py", "test_b.py"
    )
    assert said.status == 1, said.text
    assert batch.begun().total() <= LIMIT + 4
    assert said.outcomes["total"] == 2 * TESTS_IN_FILE


def test_a_worker_that_waits_for_its_next_attempt_is_woken_and_makes_none(batch: "Batch") -> None:
    waiting = """
import here, pytest
@pytest.mark.flaky(retries=1, delay=3600)
def test_waits():
    first = here.mark("waits")
    assert not first
def test_other(): pass
"""
    failing = """
import here, pytest, time
@pytest.mark.parametrize("n", range(20))
def test(n, request):
    here.wait("waits")
    while here.number() >= 3 and not request.session.shouldstop:
        time.sleep(0.005)
    assert 0
"""
    batch.write({"test_a.py": waiting, "test_b.py": failing})
    said = batch.run("-n", "2", "--dist", "loadfile", "--stop-after", "3")
    assert said.status == 1, said.text
    assert said.outcomes["total"] == 22
    assert said.outcomes["failed"] in (4, 5), (
        "three, the one that waited, and one that may have been in flight"
    )


def test_a_flaky_pass_is_no_failure(batch: "Batch") -> None:
    """Thresholds look at final outcomes, and a pass in between begins the row anew."""
    text = """
import pytest
tries = set()
@pytest.mark.flaky(retries=1)
@pytest.mark.parametrize("n", range(20))
def test(n):
    if n not in tries:
        tries.add(n)
        raise ValueError
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "2", "--stop-after", "2", "--stop-same-error", "2", "--maxfail", "1")
    assert (said.status, said.outcomes) == (0, {"total": 20, "flaky": 20}), said.text


def test_what_a_threshold_left_is_run_by_a_resume(batch: "Batch") -> None:
    said = stopped(batch, "--stop-after", str(LIMIT))
    left = said.outcomes["failed"] + said.outcomes["not_run"]
    batch.begun()
    marker = f"import pytest\n@pytest.mark.parametrize('n', range({TESTS_IN_FILE}))\ndef test(n): pass\n"
    assert left == TOTAL - said.outcomes.get("passed", 0)
    batch.write({f"test_{name}.py": marker for name in "abcde"[:FILES]})
    said = batch.resume("-n", "2")
    assert (said.status, said.outcomes["total"]) == (0, TOTAL), said.text
    assert batch.begun().total() == TOTAL, "all files changed"
