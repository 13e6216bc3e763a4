"""SIGINT, SIGTERM and SIGHUP end a session in order: the ledger is closed, and the block says how to go on."""

import importlib.util
import os
import pty
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import RunEnded
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.reading import CUT_OFF, read

from .sessions import command_of

if TYPE_CHECKING:
    from .sessions import Batch

TOTAL = 12

# The first four tests pass; those after them wait for a mark that comes only with the resume.
SUITE = """
import here, pytest

@pytest.mark.parametrize("n", range(12))
def test(n):
    number = here.number()
    if number >= 4:
        here.mark(f"waits-{number}")
        here.wait("go")
"""

# As long as the tests in flight may go on: here they never end by themselves, or all that they are allowed is enough.
SHORT = {"pyproject.toml": "[tool.resilience.stop]\ngrace = 0.3\n"}
LONG = {"pyproject.toml": "[tool.resilience.stop]\ngrace = 60\n"}

distributed = pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="needs xdist")
WORKERS = [pytest.param(0, id="serial"), pytest.param(2, id="xdist", marks=distributed)]


def waiting(workers: int) -> list[str]:
    return [f"waits-{number}" for number in range(4, 4 + max(workers, 1))]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
@pytest.mark.parametrize("to_group", [False, True], ids=["process", "group"])
@pytest.mark.parametrize("workers", WORKERS)
def test_a_signal_ends_a_session_in_order(
    batch: "Batch", number: signal.Signals, to_group: bool, workers: int
) -> None:
    arguments = ("-n", str(workers)) if workers else ()
    batch.write({"test_a.py": SUITE, **SHORT})
    session = batch.start(*arguments)
    session.wait_for(*waiting(workers))
    (session.send_group if to_group else session.send)(number)
    said = session.ended()

    assert said.status == 2, said.text
    in_flight = max(workers, 1)
    expected = {"total": TOTAL, "passed": 4, "interrupted": in_flight, "not_run": TOTAL - 4 - in_flight}
    assert said.outcomes == expected, said.text
    assert said.line("INTERRUPTED")
    assert str(Code.INTERRUPTED_BY_SIGNAL) in said.line("NOTRUN")
    assert [ended.exit_status for ended in batch.last.of(RunEnded)] == [2]
    assert batch.last.folder.writers_alive() == []

    batch.begun()
    batch.mark("go")
    said = batch.run(*command_of(said), *arguments)
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "passed": 8, "carried_over": 4}), said.text
    assert batch.begun().total() == 8


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        pytest.param(signal.SIGTERM, 0, id="SIGTERM-serial"),
        pytest.param(signal.SIGTERM, 2, id="SIGTERM-xdist", marks=distributed),
        pytest.param(signal.SIGINT, 2, id="SIGINT-xdist", marks=distributed),
    ],
)
def test_what_finishes_after_a_signal_counts(batch: "Batch", number: signal.Signals, workers: int) -> None:
    """Tests in flight may end, their fixtures too; the ledger, the summary and pytest itself know of them."""
    text = SUITE.replace("(n)", "(n, request, slow)").replace(
        'here.wait("go")', "while not request.session.shouldstop: time.sleep(0.005)"
    )
    fixture = "\n@pytest.fixture(scope='session')\ndef slow():\n    yield\n    here.mark('torn down')\n"
    batch.write({"test_a.py": text.replace("import here, ", "import here, time, ") + fixture, **LONG})
    session = batch.start(*(("-n", str(workers)) if workers else ()))
    session.wait_for(*waiting(workers))
    session.send(number)
    said = session.ended()
    passed = 4 + max(workers, 1)
    assert said.status == 2, said.text
    assert said.outcomes == {"total": TOTAL, "passed": passed, "not_run": TOTAL - passed}, said.text
    assert f"{passed} passed" in said.text.splitlines()[-1]
    assert list(batch.last.outcomes.values()).count(Outcome.PASSED) == passed
    assert number.name in said.line("NOTRUN")
    assert batch.has_mark("torn down")


@distributed
def test_workers_that_hang_do_not_keep_a_session_from_ending(batch: "Batch") -> None:
    """One of them cannot even run a handler: its test is in C and holds the lock of the interpreter."""
    text = """
import ctypes, here, pytest, time

@pytest.mark.parametrize("n", range(4))
def test(n):
    if here.mark("sleeps"):
        time.sleep(1000)
    here.mark("holds")
    ctypes.PyDLL(None).pause()
"""
    batch.write({"test_a.py": text, **SHORT})
    session = batch.start("-n", "2")
    session.wait_for("sleeps", "holds")
    session.send(signal.SIGTERM)
    said = session.ended()
    assert (said.status, said.outcomes) == (2, {"total": 4, "interrupted": 2, "not_run": 2}), said.text
    assert said.line("RESUME")
    assert "crashed" not in said.text
    assert batch.last.folder.writers_alive() == []


@distributed
@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("SIGINT", ""),
        ("SIGINT", "fixture"),
        ("SIGINT", "sessionfinish"),
        ("SIGINT", "unconfigure"),
        ("SIGTERM", ""),
        ("SIGTERM", "fixture"),
    ],
)
def test_a_signal_to_one_worker_ends_the_run_in_order(batch: "Batch", name: str, again: str) -> None:
    """A second SIGINT may come while it ends, wherever it is by then; a second SIGTERM kills it, as it kills any process."""
    conftest = f"""
import here, os, pytest, signal

def send(where):
    if where == "{again}" and here.is_there(os.environ.get("PYTEST_XDIST_WORKER", "?")):
        os.kill(os.getpid(), signal.{name})

@pytest.fixture
def fixture():
    yield
    send("fixture")

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(): send("sessionfinish")
def pytest_unconfigure(): send("unconfigure")
"""
    text = f"""
import here, os, pytest, signal, time

@pytest.mark.parametrize("n", range(12))
def test(n, fixture, request):
    if n == 1:
        here.mark(os.environ["PYTEST_XDIST_WORKER"])
        os.kill(os.getpid(), signal.{name})
    while n and not request.session.shouldstop:
        time.sleep(0.005)
"""
    batch.write({"conftest.py": conftest, "test_a.py": text, **LONG})
    said = batch.run("-n", "2")
    assert said.status == 2, said.text
    counts = said.outcomes
    assert counts["total"] == 12 == sum(counts.values()) / 2
    assert name in said.line("NOTRUN") or "KeyboardInterrupt (gw" in said.line("NOTRUN"), said.text
    outcome = batch.last.outcomes["test_a.py::test[1]"]
    has_finished = name == "SIGTERM" and again != "fixture"
    assert outcome is (Outcome.PASSED if has_finished else Outcome.INTERRUPTED)
    assert "crashed" not in said.text
    assert "INTERNALERROR" not in said.text


@pytest.mark.parametrize("workers", WORKERS)
def test_a_second_sigterm_kills(batch: "Batch", workers: int) -> None:
    text = SUITE.replace("(n)", "(n, request)").replace(
        'here.wait("go")',
        "while not request.session.shouldstop: time.sleep(0.005)\n        here.mark(f'stops-{number}'); here.wait('go')",
    )
    batch.write({"test_a.py": text.replace("import here, ", "import here, time, "), **LONG})
    session = batch.start(*(("-n", str(workers)) if workers else ()))
    session.wait_for(*waiting(workers))
    session.send(signal.SIGTERM)
    session.wait_for(*(mark.replace("waits", "stops") for mark in waiting(workers)))
    session.send(signal.SIGTERM)
    assert session.ended().status == -signal.SIGTERM
    outcomes = list(batch.last.outcomes.values())
    assert outcomes.count(Outcome.PASSED) == 4
    assert len(outcomes) == TOTAL
    batch.mark("go")


@pytest.mark.parametrize("workers", WORKERS)
def test_a_second_interrupt_ends_a_session_at_once(batch: "Batch", workers: int) -> None:
    """Whatever is being torn down; what was learnt is in the ledger all the same."""
    conftest = """
import here, os, pytest

def pytest_keyboard_interrupt():
    if "PYTEST_XDIST_WORKER" not in os.environ:
        here.mark("interrupted")

@pytest.fixture(scope="session", autouse=True)
def slow():
    yield
    here.wait("go")
"""
    arguments = ("-n", str(workers)) if workers else ()
    batch.write({"test_a.py": SUITE, "conftest.py": conftest, **SHORT})
    session = batch.start(*arguments)
    session.wait_for(*waiting(workers))
    session.send(signal.SIGINT)
    session.wait_for("interrupted")
    session.send(signal.SIGINT)
    said = session.ended()
    assert said.status != 0

    reading = read(batch.last.folder.path)
    assert len(list(reading.records)) > 0
    assert all(damage.why == CUT_OFF for damage in reading.problems)
    outcomes = list(batch.last.outcomes.values())
    assert len(outcomes) == TOTAL
    assert outcomes.count(Outcome.PASSED) == 4

    batch.mark("go")
    said = batch.resume(*arguments)
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "passed": 8, "carried_over": 4}), said.text


@pytest.mark.invariant(1)
@pytest.mark.parametrize("workers", WORKERS)
def test_a_terminal_that_is_closed_ends_a_session_in_order(batch: "Batch", workers: int) -> None:
    """It takes nothing more to print, and both the shell and the kernel tell it; no test becomes a suspect."""
    arguments = ("-n", str(workers)) if workers else ()
    batch.write({"test_a.py": SUITE, **SHORT})
    terminal, inside = pty.openpty()
    session = batch.start(*arguments, terminal=inside)
    session.wait_for(*waiting(workers))
    os.close(terminal)
    with suppress(ProcessLookupError):
        session.send_group(signal.SIGHUP)
    assert session.ended().status > 0
    in_flight = max(workers, 1)
    outcomes = list(batch.last.outcomes.values())
    assert outcomes.count(Outcome.INTERRUPTED) == in_flight
    assert outcomes.count(Outcome.NOT_RUN) == TOTAL - 4 - in_flight
    assert len(batch.last.of(RunEnded)) == 1

    batch.mark("go")
    said = batch.resume(*arguments)
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "passed": 8, "carried_over": 4}), said.text


def test_under_nohup_a_session_goes_on(batch: "Batch") -> None:
    text = """
import os, signal
def test():
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
"""
    conftest = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    batch.write({"conftest.py": conftest, "test_a.py": text})
    said = batch.run()
    assert (said.status, said.outcomes) == (0, {"total": 1, "passed": 1}), said.text


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_handler_is_given_back(batch: "Batch", name: str) -> None:
    text = f"""
import signal
def test(): assert signal.getsignal(signal.{name}) is not signal.SIG_DFL
"""
    batch.write({"test_a.py": text})
    said = batch.run(after=f"print('given back:', signal.getsignal(signal.{name}) is signal.SIG_DFL)")
    assert said.status == 0, said.text
    assert "given back: True" in said.text


def test_a_handler_of_the_suite_is_left_alone(batch: "Batch") -> None:
    conftest = """
import here, signal
def own(number, frame): here.mark("handled")
signal.signal(signal.SIGTERM, own)
"""
    text = """
import os, signal
import here
def test():
    assert signal.getsignal(signal.SIGTERM).__name__ == "own"
    os.kill(os.getpid(), signal.SIGTERM)
    here.wait("handled")
"""
    batch.write({"conftest.py": conftest, "test_a.py": text})
    said = batch.run(after="print('still:', signal.getsignal(signal.SIGTERM).__name__)")
    assert (said.status, said.outcomes) == (0, {"total": 1, "passed": 1}), said.text
    assert "still: own" in said.text


def test_a_handler_that_a_test_leaves_is_not_taken_away(batch: "Batch") -> None:
    text = """
import signal
def other(number, frame): pass
def test(): signal.signal(signal.SIGTERM, other)
"""
    batch.write({"test_a.py": text})
    said = batch.run(after="print('still:', signal.getsignal(signal.SIGTERM).__name__)")
    assert "still: other" in said.text
