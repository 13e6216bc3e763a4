"""The workers of a run share its retries exactly, whoever dies, and whatever the controller is busy with."""

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, SegmentOpened

from ..process.sessions import UNTIED

if TYPE_CHECKING:
    from ..process.sessions import Batch, Said

pytest.importorskip("xdist")

MODES = ("load", "worksteal", "loadscope", "loadfile", "loadgroup", "each")
NO_CRASH_RETRIES = ("--crash-retries", "0")
SPENT, CLOSED = str(Code.RETRY_BUDGET_EXHAUSTED), str(Code.RETRY_GATE_CLOSED)

FAILS = """
import pytest
pytestmark = pytest.mark.xdist_group(__name__)
@pytest.mark.parametrize("n", range({tests}))
def test(n): assert 0
"""
# The first five times that it is reached, the process dies.
DIES = """
import here, os, pytest, signal

def die():
    if any(here.mark(f"died-{number}") for number in range(5)):
        os.kill(os.getpid(), signal.SIGKILL)
"""
DEATHS = {
    "with the question asked": """
from pytest_resilience.hooks.inquiry import Inquiry
answer = Inquiry._answer
def dying(self):
    die()
    return answer(self)
Inquiry._answer = dying
""",
    "in the teardown": """
@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(): die()
""",
    "before the next attempt": """
def pytest_resilience_attempt_finished(is_final):
    if not is_final: die()
""",
    "in the next attempt": """
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    if os.environ["PYTEST_RESILIENCE_ATTEMPT"] == "2": die()
""",
}


def retries(batch: "Batch") -> int:
    """How many attempts of the newest run were not the first of their test, as the ledger has it."""
    return sum(started.attempt > 1 for started in batch.last.of(AttemptStarted))


def warning(said: "Said", code: str) -> str:
    """What the summary says under a code, empty when it says nothing."""
    lines = [line for line in said.text.splitlines() if line.startswith(f"WARNING {code}")]
    assert len(lines) <= 1, said.text
    return lines[0].removeprefix(f"WARNING {code}: ") if lines else ""


# -- shared exactly


def test_workers_share_the_budget_exactly(batch: "Batch") -> None:
    batch.write({"test_a.py": FAILS.format(tests=500)})
    said = batch.run("-n", "2", "--retries", "3", "--retry-budget", "40", "--tb=no", "-rN")
    assert (said.status, said.outcomes) == (1, {"total": 500, "failed": 500}), said.text
    assert retries(batch) == 40
    assert warning(said, SPENT).startswith("40 retries used up the budget of 40; ")


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_neither_loses_a_retry_nor_makes_one(batch: "Batch", death: str) -> None:
    batch.write({"conftest.py": DIES + DEATHS[death], "test_a.py": FAILS.format(tests=500)})
    said = batch.run("-n", "2", "--retries", "3", "--retry-budget", "40", "--tb=no", "-rN", *NO_CRASH_RETRIES)
    assert (said.status, said.outcomes) == (1, {"total": 500, "failed": 495, "crashed": 5}), said.text
    assert retries(batch) == 40
    assert warning(said, SPENT).startswith("40 retries used up the budget of 40; ")


@pytest.mark.parametrize("mode", MODES)
def test_in_every_mode_the_budget_is_the_same(batch: "Batch", mode: str) -> None:
    batch.write({f"test_{name}.py": FAILS.format(tests=10) for name in "abcd"})
    said = batch.run("-n", "2", "--dist", mode, "--retries", "2", "--retry-budget", "17.5%", "--tb=no")
    assert said.outcomes == {"total": 40, "failed": 40}, said.text
    assert retries(batch) == 7


def test_more_workers_share_it_too(batch: "Batch") -> None:
    batch.write({"test_a.py": FAILS.format(tests=60)})
    batch.run("-n", "4", "--retries", "3", "--retry-budget", "11", "--tb=no")
    assert retries(batch) == 11


# -- workers that die while a retry waits


def test_a_retry_that_waited_when_its_worker_died_is_given_back(batch: "Batch") -> None:
    """The first two retries wait for an hour, one on each worker."""
    conftest = """
import here
waits = []
def pytest_resilience_retry(item):
    for number in range(2):
        if here.mark(f"granted-{number}"):
            waits.append(f"waits-{number}")
            return 3600.0
def pytest_resilience_attempt_finished():
    if waits: here.mark(waits.pop())
"""
    batch.write({"conftest.py": conftest, "test_a.py": FAILS.format(tests=42)})
    session = batch.start("-n", "2", "--retries", "2", "--retry-budget", "3", "--tb=no", *NO_CRASH_RETRIES)
    session.wait_for("waits-0", "waits-1")
    pids = {one.pid for one in batch.last.of(SegmentOpened) if one.writer.startswith("gw")}
    assert len(pids) == 2
    assert retries(batch) == 0
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    said = session.ended()
    assert (said.status, said.outcomes) == (1, {"total": 42, "failed": 40, "crashed": 2}), said.text
    assert retries(batch) == 3


# -- whatever the controller does


def test_a_controller_that_is_busy_answers(batch: "Batch") -> None:
    """Its loop goes on only once the retry has begun: an answer must not depend on it."""
    conftest = """
import os, here
def pytest_runtest_logreport(report):
    if "PYTEST_XDIST_WORKER" not in os.environ and "test_first" in report.nodeid:
        here.wait("retried")
"""
    text = """
import here
def test_first(): pass
def test_second():
    if here.mark("failed"): assert 0
    here.mark("retried")
"""
    batch.write({"conftest.py": conftest, "test_a.py": text})
    said = batch.run("-n", "1", "--retries", "1", "--retry-budget", "1")
    assert (said.status, said.outcomes) == (0, {"total": 2, "passed": 1, "flaky": 1}), said.text


def test_a_worker_whose_controller_is_gone_retries_nothing(batch: "Batch") -> None:
    text = """
import here, os
def test_a():
    here.note(os.environ["PYTEST_RESILIENCE_ATTEMPT"])
    here.mark("begun")
    here.wait("killed")
    assert 0
def test_b(): pass
"""
    batch.write({"conftest.py": UNTIED, "test_a.py": text})
    session = batch.start("-n", "1", "--retries", "3", "--retry-budget", "9")
    session.wait_for("begun")
    session.send(signal.SIGKILL)
    assert session.ended().status == -signal.SIGKILL
    batch.mark("killed")
    deadline = time.monotonic() + 60
    while batch.last.folder.writers_alive():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert batch.begun() == {"1": 1}


def test_an_answer_that_does_not_come_is_a_no(batch: "Batch") -> None:
    conftest = """
from pytest_resilience.hooks import inquiry, workers
inquiry.SECONDS_TO_ANSWER = 0.01
workers.Workers._heard_urgent = lambda self, node, text: None
"""
    batch.write({"conftest.py": conftest, "test_a.py": FAILS.format(tests=3)})
    said = batch.run("-n", "1", "--retries", "1", "--retry-budget", "9")
    assert (said.status, said.outcomes) == (1, {"total": 3, "failed": 3})
    assert retries(batch) == 0
    assert {ended.again for ended in batch.last.of(AttemptEnded)} == {"the controller does not answer"}


def test_an_answer_that_comes_too_late_is_not_used_by_anybody(batch: "Batch") -> None:
    """The retry that was granted goes back, so another test has it."""
    conftest = """
import json, here
from pytest_resilience.hooks import inquiry, workers
inquiry.SECONDS_TO_ANSWER = 0.01
inner = workers.Workers._heard_urgent
held = []
def late(self, node, values):
    said = json.loads(values["text"])
    if said.get("number", 9) < 3:
        held.append(values)
        return
    while held:
        inner(self, node, held.pop(0))
    if "number" in said:
        inquiry.SECONDS_TO_ANSWER = 60
    inner(self, node, values)
workers.Workers._heard_urgent = late

def pytest_runtest_setup(item):
    if "[2]" in item.nodeid:
        inquiry.SECONDS_TO_ANSWER = 60
"""
    batch.write({"conftest.py": conftest, "test_a.py": FAILS.format(tests=4)})
    said = batch.run("-n", "1", "--retries", "1", "--retry-budget", "2")
    assert said.outcomes == {"total": 4, "failed": 4}, said.text
    again = [started.key for started in batch.last.of(AttemptStarted) if started.attempt > 1]
    assert again == ["test_a.py::test[2]", "test_a.py::test[3]"]


# -- a worker without a view of the ledger

ELSEWHERE = """
import json, os, zlib, here, pytest

def pytest_configure(config):
    orders = getattr(config, "workerinput", {}).get("resilience")
    if orders is not None:
        changed = json.loads(zlib.decompress(orders)) | {"nonce": "of another run"}
        config.workerinput["resilience"] = zlib.compress(json.dumps(changed).encode())

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    here.note(os.environ["PYTEST_RESILIENCE_ATTEMPT"])
"""


def test_workers_on_another_machine_share_the_budget(batch: "Batch") -> None:
    batch.write({"conftest.py": ELSEWHERE, "test_a.py": FAILS.format(tests=60)})
    said = batch.run("-n", "2", "--retries", "3", "--retry-budget", "13", "--tb=no")
    assert said.outcomes == {"total": 60, "failed": 60}, said.text
    attempts = batch.begun()
    assert attempts.total() - attempts["1"] == 13


def test_what_a_worker_on_another_machine_had_when_it_died_stays_spent(batch: "Batch") -> None:
    """Nobody can tell whether the retry began; a budget is not exceeded on a guess."""
    died = DEATHS["before the next attempt"]
    batch.write({"conftest.py": DIES + died + ELSEWHERE, "test_a.py": FAILS.format(tests=60)})
    said = batch.run("-n", "2", "--retries", "3", "--retry-budget", "13", "--tb=no", *NO_CRASH_RETRIES)
    assert said.outcomes == {"total": 60, "failed": 55, "crashed": 5}, said.text
    attempts = batch.begun()
    assert attempts.total() - attempts["1"] == 13 - 5


def test_a_worker_that_could_not_write_down_what_began_keeps_it_spent(batch: "Batch") -> None:
    conftest = """
from pytest_resilience.core.codes import Code
from pytest_resilience.hooks.worker import Worker
started = Worker.started
def unwritten(self, fact):
    here.note(str(fact.attempt))
    if fact.attempt == 1:
        started(self, fact)
        return
    self.trouble(Code.LEDGER_UNWRITABLE, "no space left")
    die()
Worker.started = unwritten
"""
    batch.write({"conftest.py": DIES + conftest, "test_a.py": FAILS.format(tests=60)})
    said = batch.run("-n", "2", "--retries", "3", "--retry-budget", "13", "--tb=no", *NO_CRASH_RETRIES)
    assert said.outcomes == {"total": 60, "failed": 55, "crashed": 5}, said.text
    attempts = batch.begun()
    assert attempts.total() - attempts["1"] == 13


def test_a_worker_that_lives_on_without_its_channel_keeps_what_it_was_granted(batch: "Batch") -> None:
    """To xdist it has crashed. It goes on, and makes its retry when the next worker has asked for one."""
    conftest = """
import os, here, pytest
from pytest_resilience.hooks import xdist_worker

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    here.note(os.environ["PYTEST_RESILIENCE_ATTEMPT"])

def pytest_resilience_attempt_finished(item, is_final):
    if not is_final and here.mark("cut"):
        gateway = xdist_worker.interactor(item.config).channel.gateway
        gateway._terminate_execution = lambda: None  # would end the process after some seconds
        os.close(gateway._io.outfile.fileno())
        here.wait("refused")
    elif is_final:
        here.mark("refused")
"""
    batch.write({"conftest.py": conftest, "test_a.py": FAILS.format(tests=4)})
    said = batch.run("-n", "1", "--retries", "1", "--retry-budget", "1", "--tb=no", *NO_CRASH_RETRIES)
    assert said.outcomes["total"] == 4, said.text
    assert said.status == 1
    deadline = time.monotonic() + 60
    while batch.last.folder.writers_alive():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert batch.begun() == {"1": 4, "2": 1}
    assert retries(batch) == 1


# -- refill and gate


def test_passes_refill_the_budget_in_the_order_in_which_they_happen(batch: "Batch") -> None:
    """With one worker it is as it is without: not a pass is known too late."""
    text = "import pytest\n@pytest.mark.parametrize('n', range(40))\ndef test(n): assert n % 4\n"
    table = "[tool.resilience.retry]\nretries = 1\nbudget = 2\nrefill = 0.2\n"
    batch.write({"test_a.py": text, "pyproject.toml": table})
    again = []
    for arguments in ((), ("-n", "1")):
        batch.run(*arguments, "-c", "pyproject.toml")
        again.append([started.key for started in batch.last.of(AttemptStarted) if started.attempt > 1])
    assert again[0] == again[1]
    assert len(again[0]) == 7


def test_workers_share_the_gate(batch: "Batch") -> None:
    table = "[tool.resilience.retry]\nretries = 1\nmax-first-failures = '9%'\n"
    batch.write({"test_a.py": FAILS.format(tests=100), "pyproject.toml": table})
    said = batch.run("-n", "2", "-c", "pyproject.toml", "--tb=no")
    assert retries(batch) == 9, "whichever tests fail first"
    assert warning(said, CLOSED) == (
        "100 tests failed at the first attempt (at most 9% of 100); 91 tests were not tried again. "
        "Look for a cause that they share, or raise retry.max-first-failures"
    )


def test_a_crash_counts_for_the_gate(batch: "Batch") -> None:
    text = """
import here, os
def test_crashes(): os._exit(3)
def test_fails(): assert 0
"""
    table = "[tool.resilience.retry]\nretries = 1\nmax-first-failures = 1\n"
    batch.write({"test_a.py": text, "pyproject.toml": table})
    said = batch.run("-n", "1", "-c", "pyproject.toml", *NO_CRASH_RETRIES)
    assert said.outcomes == {"total": 2, "failed": 1, "crashed": 1}, said.text
    assert retries(batch) == 0
    assert warning(said, CLOSED)


# -- what it costs


def test_who_sets_no_limit_is_not_asked_about(batch: "Batch") -> None:
    conftest = """
import here
from pytest_resilience.hooks import messages, xdist_worker
inner = xdist_worker.send_event
def noting(config, text, name=messages.EVENT):
    here.note(name)
    inner(config, text, name)
xdist_worker.send_event = noting
"""
    batch.write({"conftest.py": conftest, "test_a.py": FAILS.format(tests=3)})
    batch.run("-n", "1", "--retries", "1", "--retry-budget", "none")
    assert set(batch.begun()) == {"resilience"}
    batch.run("-n", "1", "--retries", "1", "--retry-budget", "9")
    assert set(batch.begun()) == {"resilience", "resilience-urgent"}


# -- retries that come later


@pytest.mark.parametrize("mode", ["load", "loadfile"])
@pytest.mark.parametrize("strategy", ["deferred", "isolated"])
def test_retries_that_come_later_are_of_the_same_budget(batch: "Batch", strategy: str, mode: str) -> None:
    batch.write({f"test_{name}.py": FAILS.format(tests=10) for name in "abcd"})
    arguments = ("--retries", "2", "--retry-budget", "13", "--retry-strategy", strategy, "--dist", mode)
    said = batch.run("-n", "2", *arguments, "--tb=no")
    assert (said.status, said.outcomes) == (1, {"total": 40, "failed": 40}), said.text
    assert retries(batch) == 13


def test_a_worker_that_dies_takes_no_retry_along_that_is_to_come_later(batch: "Batch") -> None:
    """Whatever waits is run elsewhere, and is not given back on top of that."""
    conftest = """
import here, os, signal
def pytest_runtest_setup(item):
    if "dies" in item.nodeid: os.kill(os.getpid(), signal.SIGKILL)
"""
    text = FAILS.format(tests=20) + "def test_dies(): pass\n"
    batch.write({"conftest.py": conftest, "test_a.py": text, "test_b.py": FAILS.format(tests=20)})
    arguments = ("--retries", "2", "--retry-budget", "13", "--retry-strategy", "deferred")
    said = batch.run("-n", "2", *arguments, "--tb=no", *NO_CRASH_RETRIES)
    assert (said.status, said.outcomes) == (1, {"total": 41, "failed": 40, "crashed": 1}), said.text
    assert retries(batch) == 13


# -- crashes


def test_retries_after_crashes_are_of_the_same_budget(batch: "Batch") -> None:
    """Whoever died: the fourth crash and all failures after it are not tried again."""
    text = """
import os, pytest
@pytest.mark.parametrize("n", range(5))
def test_crashes(n): os._exit(3)
def test_fails(): assert 0
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "1", "--retries", "1", "--retry-budget", "3", "--max-worker-restart", "20")
    assert (said.status, said.outcomes) == (1, {"total": 6, "failed": 1, "crashed": 5}), said.text
    assert retries(batch) == 3
    assert warning(said, SPENT).startswith("3 retries used up the budget of 3; 3 tests were not tried again")


def test_a_retry_after_a_crash_that_nobody_is_left_to_make_is_given_back(batch: "Batch") -> None:
    """The first crash is granted one; the second is the last that the session survives, and wants one too."""
    text = """
import here, os
def test_first(): os._exit(3)
def test_second(): os._exit(3)
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "1", "--retry-budget", "1", "--max-worker-restart", "1")
    assert (said.status, said.outcomes) == (1, {"total": 2, "crashed": 2}), said.text
    assert retries(batch) == 0
    assert warning(said, SPENT) == "", "it was never used up"
    assert "2 failed" in said.text.splitlines()[-1]
    assert "rerun" not in said.text.splitlines()[-1]
