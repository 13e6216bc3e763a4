"""A session that dies loses nothing of what it learnt, and a test that kills cannot keep the rest from running."""

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome

from .sessions import command_of

if TYPE_CHECKING:
    from .sessions import Batch

TOTAL = 8
KEY = "test_a.py::test[3]"

# One test dies in a phase, of a death, as long as no mark says that it is mended.
SUITE = """
import here, os, pytest, signal

def die(phase, n):
    if n == 3 and phase == "{phase}" and not here.is_there("mended"):
        {death}

@pytest.fixture
def fixture(n):
    die("setup", n)
    yield
    die("teardown", n)

@pytest.mark.parametrize("n", range(8))
def test(n, fixture):
    die("call", n)
    assert n != 1 or here.is_there("mended")
"""
DEATHS = {
    "SIGSEGV": ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "exit": ("os._exit(0)", 0),
}


def expected_after(deaths: int) -> dict[str, Outcome]:
    """After the first death nothing behind the test was reached, after the second all of it was."""
    outcomes = {f"test_a.py::test[{n}]": Outcome.PASSED if n < 3 else Outcome.NOT_RUN for n in range(TOTAL)}
    if deaths > 1:
        outcomes = dict.fromkeys(outcomes, Outcome.PASSED)
    return outcomes | {"test_a.py::test[1]": Outcome.FAILED, KEY: Outcome.CRASHED}


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_a_resume_runs_what_the_death_left_and_the_suspect_last(
    batch: "Batch", phase: str, death: str
) -> None:
    statement, status = DEATHS[death]
    batch.write({"test_a.py": SUITE.format(phase=phase, death=statement)})
    assert batch.run().status == status
    assert batch.last.outcomes == expected_after(1)
    assert batch.begun().total() == 4

    batch.mark("mended")
    said = batch.resume("-v")
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "passed": 6, "carried_over": 2}), said.text
    assert batch.begun() == Counter(f"test_a.py::test[{n}]" for n in (1, 3, 4, 5, 6, 7))
    begun = [line.partition(" ")[0] for line in said.text.splitlines() if "::test[" in line and "%]" in line]
    assert begun[-1] == KEY


def test_after_two_deaths_a_test_is_held_until_it_is_named(batch: "Batch") -> None:
    batch.write({"test_a.py": SUITE.format(phase="call", death=DEATHS["SIGKILL"][0])})
    for deaths in (1, 2):
        assert batch.run(*["--resume-failed"] * (deaths - 1)).status == -signal.SIGKILL
        known = batch.last.outcomes
        carried = {key for key, outcome in known.items() if outcome is Outcome.CARRIED_OVER}
        assert known | dict.fromkeys(carried, Outcome.PASSED) == expected_after(deaths)
    assert batch.begun()[KEY] == 2

    said = batch.resume()
    assert said.status == 1
    assert said.outcomes == {"total": TOTAL, "failed": 1, "crashed": 1, "carried_over": 6}, said.text
    assert KEY not in batch.begun()
    assert said.line("CRASHED").startswith(KEY)

    batch.mark("mended")
    said = batch.resume()
    assert said.outcomes == {"total": TOTAL, "passed": 1, "crashed": 1, "carried_over": 6}, said.text
    assert said.status == 1, "a test that was held is outstanding"
    batch.begun()

    command = command_of(said)
    assert KEY in command, "the command names the test"
    said = batch.run(*command)
    assert (said.status, batch.begun()) == (0, {KEY: 1}), said.text
    assert batch.resume().outcomes == {"total": TOTAL, "carried_over": TOTAL}


def test_a_test_that_was_only_near_two_deaths_is_not_held(batch: "Batch") -> None:
    """What was not reached in a death, or came to a result since, is no suspect."""
    text = """
import here, os
def test_first(): here.is_there("two") or here.is_there("one") or os._exit(1)
def test_second(): here.is_there("two") or os._exit(1)
def test_third(): pass
"""
    batch.write({"test_a.py": text})
    assert batch.run().status == 1
    batch.mark("one")
    assert batch.resume().status == 1
    batch.mark("two")
    said = batch.resume()
    assert said.status == 0, said.text
    assert said.outcomes["total"] == 3


def test_a_death_before_the_first_test_is_known_to_have_run_nothing(batch: "Batch") -> None:
    conftest = """
import here, os
def pytest_collection_finish(): here.is_there("mended") or os._exit(0)
"""
    batch.write({"conftest.py": conftest, "test_a.py": SUITE.format(phase="", death="pass")})
    assert batch.run().status == 0, "a process can end with any status"
    batch.mark("mended")
    said = batch.resume()
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "passed": TOTAL}), said.text
    assert Code.RESUME_LEDGER_MISSING.code not in said.text
