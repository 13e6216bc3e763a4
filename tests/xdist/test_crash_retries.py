"""A test whose worker died is tried again: how often, what is known before it begins, and who hears of it."""

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from pytest_resilience.core.facts import AttemptEnded, WorkerDown
from pytest_resilience.core.outcomes import Outcome

from ..process.sessions import CONFTEST

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

CRASHES = """
import here, os, signal, sys
def crash(): os.kill(os.getpid(), signal.SIGSEGV)
def test_before(): pass
def test_it(attempt):
    print("what it printed")
    if attempt.number == 1: crash()
def test_after(): pass
"""


def test_it_is_shown_as_it_happens_and_in_the_summary(batch: "Batch") -> None:
    batch.write({"test_a.py": CRASHES})
    said = batch.run("-n", "1", "-v", "--dist", "loadfile", "--junitxml", "junit.xml")
    assert (said.status, said.outcomes) == (0, {"total": 3, "passed": 2, "flaky": 1}), said.text
    lines = [line.rstrip() for line in said.text.splitlines()]
    why = "worker gw0 died of SIGSEGV in call after "
    assert any(line.startswith(f"[gw0] test_a.py::test_it RERUN attempt 1 of 2 - {why}") for line in lines)
    assert said.line("FLAKY").startswith(f"test_a.py::test_it - passed on attempt 2 of 2: {why}")
    assert "  attempt 1: crashed in call, " in said.text
    cases = ElementTree.parse(batch.root / "junit.xml").getroot().iter("testcase")
    assert sorted(case.attrib["name"] for case in cases) == ["test_after", "test_before", "test_it"]
    assert "2 passed, 1 rerun, 1 flaky" in lines[-1]


def test_each_crash_is_durable_before_the_next_attempt_begins(batch: "Batch") -> None:
    text = """
import here, os
from pathlib import Path
def test_it(attempt, pytestconfig):
    lines = [line for file in Path(".pytest_resilience").rglob("seg-ctl*") for line in file.open()]
    here.note([attempt.number, sum('"k":"att"' in line for line in lines), sum('"k":"wdn"' in line for line in lines)])
    if attempt.number < 4: os._exit(1)
"""
    batch.write({"conftest.py": "", "test_a.py": text})
    said = batch.run("-n", "2", "--crash-retries", "3")
    assert (said.status, said.outcomes) == (0, {"total": 1, "flaky": 1}), said.text
    assert set(batch.begun()) == {str([number, number - 1, number - 1]) for number in (1, 2, 3, 4)}


def test_how_often_may_differ_between_tests(batch: "Batch") -> None:
    crashing = "import os\ndef test(): os._exit(1)\n"
    table = """
[tool.resilience.retry]
crash-retries = 2
[[tool.resilience.override]]
paths = "test_none.py"
crash-retries = 0
[[tool.resilience.override]]
paths = "test_one.py"
crash-retries = 1
"""
    files = {f"test_{name}.py": crashing for name in ("none", "one", "usual")}
    batch.write({**files, "pyproject.toml": table})
    said = batch.run("-n", "1", "-c", "pyproject.toml", "--max-worker-restart", "9")
    assert (said.status, said.outcomes) == (1, {"total": 3, "crashed": 3}), said.text
    assert batch.begun() == {"test_none.py::test": 1, "test_one.py::test": 2, "test_usual.py::test": 3}
    run = batch.last.run
    assert [run.number_of_attempts(f"{file[:-3]}.py::test") for file in files] == [1, 2, 3]
    assert "3 failed" in said.text.splitlines()[-1]
    batch.run("-n", "1", "-c", "pyproject.toml", "--max-worker-restart", "9", "--retries", "0")
    assert set(batch.begun().values()) == {1}


def test_what_the_earlier_phases_told_is_in_the_report(batch: "Batch") -> None:
    text = """
import os, pytest
@pytest.fixture
def fixture():
    print("set up")
    yield
    os._exit(1)
def test_it(fixture):
    print("called")
    assert 0, "it failed first"
"""
    batch.write({"test_a.py": text})
    said = batch.run("-n", "1", "--crash-retries", "0")
    assert (said.status, said.outcomes) == (1, {"total": 1, "crashed": 1}), said.text
    assert "1 failed in" in said.text.splitlines()[-1]
    for told in ("AssertionError: it failed first", "set up", "called"):
        assert told in said.text
    (ended,) = batch.last.of(AttemptEnded)
    assert ended.phase == "teardown"


# The process dies once, at a moment when no attempt is in flight.
MOMENTS = {
    "before it begins a test": "wrapper=True)\ndef pytest_runtest_protocol(item):\n"
    "    if item.name == 'test[2]': die()\n"
    "    return (yield)",
    "when it is through with a test": "trylast=True)\ndef pytest_runtest_logfinish(nodeid): '[2]' in nodeid and die()",
}


@pytest.mark.parametrize("mode", ["load", "loadfile", "each"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_death_with_no_test_in_flight_costs_no_attempt_and_is_never_green(
    batch: "Batch", moment: str, mode: str
) -> None:
    # The controller hears of the end of a test, too.
    dies = f"import os\ndef die(): 'PYTEST_XDIST_WORKER' in os.environ and here.mark('died') and os._exit(1)\n@pytest.hookimpl({MOMENTS[moment]}\n"
    text = "import pytest\n@pytest.mark.parametrize('n', range(5))\ndef test(n): pass\n"
    batch.write({"conftest.py": CONFTEST + dies, "test_a.py": text})
    said = batch.run("-n", "1", "--dist", mode)
    assert (said.status, said.outcomes) == (1, {"total": 5, "passed": 5}), said.text
    assert set(batch.begun().values()) == {1}
    assert batch.begun().total() == 0
    assert "5 passed in" in said.text.splitlines()[-1]
    assert [down.key for down in batch.last.of(WorkerDown)] == [""]
    assert "RES209 worker-end-failed: gw0 ended with exit status 1 with no test" in said.line("WARNING")


def test_what_ends_its_workers_before_it_begins_does_not_go_on_for_ever(batch: "Batch") -> None:
    dies = """
import os
@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    if item.name == "test_it": os._exit(1)
    return (yield)
"""
    batch.write(
        {"conftest.py": CONFTEST + dies, "test_a.py": "def test_it(): pass\ndef test_other(): pass\n"}
    )
    said = batch.run("-n", "1", "--max-worker-restart", "9")
    assert (said.status, said.outcomes) == (1, {"total": 2, "passed": 1, "crashed": 1}), said.text
    assert batch.last.outcomes["test_a.py::test_it"] is Outcome.CRASHED


def test_a_hook_that_puts_the_test_back_itself_is_left_to_it(batch: "Batch") -> None:
    """As the documentation of xdist shows it."""
    hook = """
def pytest_handlecrashitem(crashitem, report, sched):
    sched.mark_test_pending(crashitem)
    report.outcome = "rerun"
"""
    batch.write(
        {
            "conftest.py": CONFTEST + hook,
            "test_a.py": CRASHES.replace("attempt.number == 1", "here.mark('x')"),
        }
    )
    said = batch.run("-n", "1", "--dist", "loadscope")
    assert batch.begun()["test_a.py::test_it"] == 2, said.text
    assert said.outcomes["total"] == 3
