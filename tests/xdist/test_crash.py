"""A worker that dies costs the test it was running, once; all others run exactly once."""

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import WorkerDown
from pytest_resilience.core.outcomes import Outcome

from ..process.sessions import command_of

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

TOTAL = 20

# One test dies when it comes for the first time, in the phase and of the death that are filled in.
SUITE = """
import here, os, pytest, signal

def die(phase, n):
    if n == 7 and phase == "{phase}" and here.mark("died"):
        {death}

@pytest.fixture
def fixture(n):
    die("setup", n)
    yield
    die("teardown", n)

@pytest.mark.parametrize("n", range(20))
def test(n, fixture):
    die("call", n)
"""
SEGFAULT = "os.kill(os.getpid(), signal.SIGSEGV)"
KEY = "test_a.py::test[7]"
ONCE_ONLY = ("--crash-retries", "0")
ONCE = Counter(f"test_a.py::test[{n}]" for n in range(TOTAL))


@pytest.mark.parametrize("mode", ["load", "worksteal"])
@pytest.mark.parametrize(
    ("phase", "death", "name"),
    [
        ("setup", "os.kill(os.getpid(), signal.SIGKILL)", "died of SIGKILL"),
        ("call", SEGFAULT, "died of SIGSEGV"),
        ("teardown", "os._exit(3)", "ended with exit status 3"),
    ],
)
def test_a_crash_is_told_once_and_a_resume_goes_green(
    batch: "Batch", mode: str, phase: str, death: str, name: str
) -> None:
    batch.write({"test_a.py": SUITE.format(phase=phase, death=death)})
    said = batch.run("-n", "2", "--dist", mode, *ONCE_ONLY)
    assert (said.status, said.outcomes) == (1, {"total": 20, "passed": 19, "crashed": 1}), said.text
    # The short summary has the reason only since pytest 9; the section of failures has it always.
    assert said.line("CRASHED").startswith(KEY), said.text
    told = said.line(str(Code.WORKER_CRASHED) + ":")
    assert told.startswith("gw")
    assert told.endswith(f"{name} while it ran {KEY}")
    assert batch.begun() == ONCE
    assert [(down.key, name in down.why) for down in batch.last.of(WorkerDown)] == [(KEY, True)]
    if death == SEGFAULT:
        line, call = (SUITE.partition(text)[0].count("\n") + 1 for text in ("{death}", 'die("call"'))
        assert f'(most recent call first):\n  File "test_a.py", line {line}, in die\n' in said.text
        (down,) = batch.last.of(WorkerDown)
        assert down.why.splitlines()[1:3] == [
            f"test_a.py:{line} in die",
            f"test_a.py:{call} in test",
        ]
        assert "Fatal Python error" not in said.text.partition("= FAILURES =")[0]

    said = batch.run(*command_of(said), "-n", "2", "--dist", mode)
    assert (said.status, said.outcomes) == (0, {"total": 20, "passed": 1, "carried_over": 19}), said.text
    assert batch.begun() == {KEY: 1}
    assert said.line("RESUME") == ""


@pytest.mark.parametrize("mode", ["load", "worksteal"])
def test_several_crashes_are_told_each(batch: "Batch", mode: str) -> None:
    text = """
import os, pytest
@pytest.mark.parametrize("n", range(20))
def test(n):
    if n % 6 == 5:
        os._exit(n)
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "2", "--dist", mode, *ONCE_ONLY)
    assert (said.status, said.outcomes) == (1, {"total": 20, "passed": 17, "crashed": 3}), said.text
    assert batch.begun() == ONCE
    assert {down.why.rpartition(" ")[2] for down in batch.last.of(WorkerDown)} == {"5", "11", "17"}


def test_without_a_worker_left_the_rest_is_not_run(batch: "Batch") -> None:
    batch.write({"test_a.py": SUITE.format(phase="call", death=SEGFAULT)})
    said = batch.run("-n", "1", "--max-worker-restart", "0")
    assert (said.status, said.outcomes) == (1, {"total": 20, "passed": 7, "crashed": 1, "not_run": 12})
    assert str(Code.WORKER_RESTART_LIMIT) in said.line("NOTRUN"), said.text
    batch.begun()
    said = batch.resume("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": 20, "passed": 13, "carried_over": 7})
    assert batch.begun().total() == 13


def test_when_no_worker_may_be_replaced_all_tests_add_up(batch: "Batch") -> None:
    """What the dead worker had queued either goes to the other one or is told as not run."""
    batch.write({"test_a.py": SUITE.format(phase="call", death=SEGFAULT)})
    said = batch.run("-n", "2", "--max-worker-restart", "0")
    assert said.status == 1
    assert said.outcomes["crashed"] == 1
    assert said.outcomes["total"] == 20 == sum(said.outcomes.values()) / 2
    assert ("not_run" in said.outcomes) == (Code.WORKER_RESTART_LIMIT.code in said.line("NOTRUN"))
    batch.begun()
    left = 20 - said.outcomes["passed"]
    assert batch.resume("-n", "2").status == 0
    assert batch.begun().total() == left


def test_what_a_worker_finished_before_it_died_is_not_crashed(batch: "Batch") -> None:
    """It dies with the result in its segment of the ledger and before the report is sent."""
    conftest = """
import os, signal, here, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    here.note(item.nodeid)

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    in_worker = "PYTEST_XDIST_WORKER" in os.environ
    if in_worker and report.when == "teardown" and "[7]" in report.nodeid and here.mark("died"):
        os.kill(os.getpid(), signal.SIGKILL)
"""
    batch.write({"test_a.py": SUITE.format(phase="", death="pass"), "conftest.py": conftest})
    said = batch.run("-n", "2", *ONCE_ONLY)
    assert batch.begun() == ONCE
    assert batch.last.outcomes[KEY] is Outcome.PASSED
    assert said.outcomes == {"total": 20, "passed": 20}, said.text
    assert said.status == 1, "the worker did die"
    said = batch.resume("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": 20, "carried_over": 20})


def test_a_crash_counts_for_a_threshold(batch: "Batch") -> None:
    batch.write({"test_a.py": SUITE.format(phase="call", death=SEGFAULT)})
    said = batch.run("-n", "1", "--stop-after", "1", *ONCE_ONLY)
    assert (said.status, said.outcomes) == (1, {"total": 20, "passed": 7, "crashed": 1, "not_run": 12})
    assert Code.STOP_CONSECUTIVE_FAILURES.code in said.line("NOTRUN")


@pytest.mark.parametrize("mode", ["loadscope", "loadfile", "loadgroup", "each"])
def test_in_every_mode_all_adds_up_without_retries_too(batch: "Batch", mode: str) -> None:
    """These modes of xdist run the test again or lose count."""
    quiet = "import pytest\n@pytest.mark.parametrize('n', range(10))\ndef test(n): pass\n"
    suite = SUITE.format(phase="call", death=SEGFAULT)
    batch.write({"test_a.py": suite, "test_b.py": quiet, "test_c.py": quiet})
    said = batch.run("-n", "2", "--dist", mode, *ONCE_ONLY)
    assert (said.status, said.outcomes) == (1, {"total": 40, "passed": 39, "crashed": 1}), said.text
    assert set(batch.begun().values()) == {2 if mode == "each" else 1}
    assert batch.last.outcomes[KEY] is Outcome.CRASHED
