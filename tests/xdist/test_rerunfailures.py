"""The names of pytest-rerunfailures under xdist: the same attempts, the same reports, one budget for all workers."""

import json
import re
import signal
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from pytest_resilience.core.facts import AttemptEnded, AttemptStarted

if TYPE_CHECKING:
    from ..process.sessions import Batch, Said

pytest.importorskip("xdist")

# Each test fails as often as its parameter says, wherever it runs.
FAILS = """
import here, pytest
@pytest.mark.parametrize("n", range(4))
def test(n):
    name = next(f"{n}-{time}" for time in range(9) if here.mark(f"{n}-{time}"))
    assert int(name.partition("-")[2]) >= n
"""
ALWAYS = """
import pytest
@pytest.mark.parametrize("n", range(20))
def test(n): assert 0
"""
# The controller has this file too, and sees the reports of all workers.
LISTENS = """
import here, pytest

def pytest_runtest_logreport(report):
    if hasattr(report, "node"):
        here.note([report.nodeid.partition("::")[2], report.when, report.outcome, report.rerun])
"""
MARKED = """
import pytest
def test_plain(): assert 0
@pytest.mark.flaky
def test_bare(): assert 0
@pytest.mark.flaky(reruns=2)
def test_two(): assert 0
@pytest.mark.flaky(reruns=3, only_rerun=ValueError)
def test_only(): assert 0
"""


def last_line(said: "Said") -> str:
    """What pytest counted."""
    (line,) = re.findall(r"^=+ (.*) in [\d.]+s", said.text, re.MULTILINE)
    return str(line)


def about(said: "Said") -> list[str]:
    """The lines of the section on what was rerun, those of each test together."""
    text = re.sub(r"=+ rerun test summary info =+\n", "<", said.text).partition("<")[2]
    lines = re.split(r"^=", text, flags=re.MULTILINE)[0].splitlines()
    return sorted(lines, key=lambda line: line.partition(" ")[2])


def retries(batch: "Batch") -> int:
    return sum(started.attempt > 1 for started in batch.last.of(AttemptStarted))


@pytest.mark.parametrize("mode", ["load", "loadfile"])
def test_pytest_counts_reruns_and_the_summary_flaky_tests(batch: "Batch", mode: str) -> None:
    batch.write({"test_it.py": FAILS})
    said = batch.run("-n", "2", "--dist", mode, "--reruns", "2", "-rR", "--junitxml", "out.xml")
    assert (said.status, said.outcomes) == (1, {"total": 4, "passed": 1, "flaky": 2, "failed": 1})
    assert last_line(said) == "1 failed, 3 passed, 5 rerun"
    assert sorted("".join(re.findall(r"^[RF.]+(?= |$)", said.text, re.MULTILINE))) == sorted("...RRRRRF")
    assert about(said) == [
        "RERUN test_it.py::test[1]",
        "PASSED test_it.py::test[1]",
        "RERUN test_it.py::test[2]",
        "RERUN test_it.py::test[2]",
        "PASSED test_it.py::test[2]",
        "RERUN test_it.py::test[3]",
        "RERUN test_it.py::test[3]",
        "FAILED test_it.py::test[3]",
    ]
    (suite,) = ElementTree.parse(batch.root / "out.xml").iter("testsuite")
    assert [suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "0", "0"]
    cases = {case.attrib["name"]: [child.tag for child in case.iter("failure")] for case in suite}
    assert cases == {"test[0]": [], "test[1]": [], "test[2]": [], "test[3]": ["failure"]}


def test_the_controller_gets_every_report_with_its_number(batch: "Batch") -> None:
    batch.write({"test_it.py": FAILS, "conftest.py": LISTENS})
    batch.run("-n", "2", "--reruns", "2")
    noted = [json.loads(line) for line in (batch.root / "notes").read_text("ascii").splitlines()]
    by_test: dict[str, list[list[object]]] = {}
    for test, *report in noted:
        by_test.setdefault(test, []).append(report)

    def attempt(outcome: str, rerun: int) -> list[list[object]]:
        phases = (("setup", "passed"), ("call", outcome), ("teardown", "passed"))
        return [[when, one, rerun] for when, one in phases]

    assert by_test == {
        "test[0]": attempt("passed", 0),
        "test[1]": attempt("rerun", 0) + attempt("passed", 1),
        "test[2]": attempt("rerun", 0) + attempt("rerun", 1) + attempt("passed", 2),
        "test[3]": attempt("rerun", 0) + attempt("rerun", 1) + attempt("failed", 2),
    }


def test_an_attempt_that_another_follows_stops_no_session(batch: "Batch") -> None:
    batch.write({"test_it.py": FAILS})
    said = batch.run("-n", "1", "--reruns", "3", "--stop-after", "1")
    assert (said.status, said.outcomes) == (0, {"total": 4, "passed": 1, "flaky": 3})


def test_tracebacks_come_from_the_workers(batch: "Batch") -> None:
    batch.write({"test_it.py": FAILS})
    said = batch.run("-n", "2", "--reruns", "3", "--rerun-show-tracebacks", "--tb=short")
    assert said.status == 0, said.text
    assert said.text.count("\nE   AssertionError: assert 0 >= 1") == 1
    assert said.text.count("\nE   AssertionError: assert 0 >= 2") == 1
    assert said.text.count("\nE   AssertionError: assert 2 >= 3") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--reruns", "3"),
        ("--reruns", "0"),
        ("--reruns", "1", "--reruns-mode", "append"),
        ("--reruns", "3", "--force-reruns", "1"),
        ("--reruns", "3", "--rerun-exclude-path", "sub"),
        ("--only-rerun", "ValueError", "--reruns", "2"),
        ("--rerun-except", "assert 0", "--reruns", "2"),
        (),
    ],
)
def test_a_test_is_tried_as_often_as_without_workers(batch: "Batch", arguments: tuple[str, ...]) -> None:
    batch.write({"test_it.py": MARKED, "sub/test_other.py": MARKED})
    serial = batch.run(*arguments).outcomes, batch.begun()
    assert (batch.run("-n", "2", *arguments).outcomes, batch.begun()) == serial


def test_ini_keys_hold_in_workers(batch: "Batch") -> None:
    ini = "[pytest]\nreruns = 2\nreruns_delay = 0.01\nonly_rerun =\n    assert 0\n"
    batch.write({"test_it.py": MARKED, "pytest.ini": ini})
    batch.run("-n", "2")
    tests = {"plain": 3, "bare": 2, "two": 3, "only": 1}
    assert batch.begun() == {f"test_it.py::test_{name}": number for name, number in tests.items()}
    waits = {
        (ended.key.rpartition("_")[2], ended.wait) for ended in batch.last.of(AttemptEnded) if ended.wait
    }
    assert waits == {("plain", 0.01)}, "who has a marker does not wait"


@pytest.mark.parametrize("mode", ["load", "loadfile"])
def test_max_suite_reruns_is_shared_by_all_workers(batch: "Batch", mode: str) -> None:
    batch.write({"test_a.py": ALWAYS, "test_b.py": ALWAYS})
    said = batch.run("-n", "2", "--dist", mode, "--reruns", "2", "--max-suite-reruns", "7", "--tb=no")
    assert said.outcomes == {"total": 40, "failed": 40}
    assert retries(batch) == 7
    assert last_line(said) == "40 failed, 7 rerun"


def test_a_retry_that_a_teardown_prevents_is_given_back(batch: "Batch") -> None:
    text = """
import here, pytest
@pytest.fixture
def own():
    yield
    raise KeyError("mess")
def test_a(own): assert 0
def test_b(): assert 0
"""
    batch.write({"test_it.py": text})
    said = batch.run("-n", "1", "--reruns", "1", "--rerun-except", "mess", "--max-suite-reruns", "1")
    assert said.outcomes == {"total": 2, "failed": 2}
    assert batch.begun() == {"test_it.py::test_a": 1, "test_it.py::test_b": 2}
    assert last_line(said) == "2 failed, 1 error, 1 rerun"
    assert "RES305" not in said.text


def test_a_session_that_is_stopping_waits_for_no_rerun_and_tells_of_the_failure(batch: "Batch") -> None:
    text = """
import here, pytest
def test_a(): assert 0
def test_after_a(): pass
@pytest.mark.flaky(reruns=0)
def test_b():
    here.wait("waits")
    assert 0
def test_after_b(): pass
"""
    listens = "import here\ndef pytest_runtest_logreport(report):\n    if report.outcome == 'rerun': here.mark('waits')\n"
    batch.write({"test_it.py": text, "conftest.py": listens})
    # Longer than anybody waits for the end of a session here.
    said = batch.run("-n", "2", "-x", "--reruns", "1", "--reruns-delay", "600", "--junitxml", "out.xml")
    assert (said.status, said.outcomes) == (2, {"total": 4, "failed": 2, "not_run": 2}), said.text
    (suite,) = ElementTree.parse(batch.root / "out.xml").iter("testsuite")
    assert [suite.attrib[name] for name in ("tests", "failures", "errors")] == ["2", "2", "0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_a_signal_ends_the_wait(batch: "Batch", number: signal.Signals, workers: tuple[str, ...]) -> None:
    listens = "import here\ndef pytest_runtest_logreport(report):\n    if report.outcome == 'rerun': here.mark('waits')\n"
    batch.write({"test_it.py": "def test_a(): assert 0\ndef test_b(): pass\n", "conftest.py": listens})
    session = batch.start(*workers, "--reruns", "1", "--reruns-delay", "600")
    session.wait_for("waits")
    session.send(number)
    said = session.ended()
    assert said.status == 2, said.text
    assert said.outcomes["total"] == 2
    assert said.outcomes.get("passed", 0) == 0
    assert "INTERNALERROR" not in said.text


def test_flaky_tests_are_not_tolerated_where_that_is_asked_for(batch: "Batch") -> None:
    batch.write({"test_it.py": FAILS})
    assert batch.run("-n", "2", "--reruns", "3", "--fail-on-flaky").status == 7


def test_deferred_attempts_are_reported_once(batch: "Batch") -> None:
    batch.write({"test_it.py": FAILS})
    said = batch.run("-n", "2", "--reruns", "2", "--retry-strategy", "deferred", "--junitxml", "out.xml")
    assert (said.status, said.outcomes) == (1, {"total": 4, "passed": 1, "flaky": 2, "failed": 1})
    assert last_line(said) == "1 failed, 3 passed, 5 rerun"
    assert len(list(ElementTree.parse(batch.root / "out.xml").iter("testcase"))) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--retries", "1", "--reruns", "2"), "RES702 option-conflict: --retries and --reruns mean the same"),
        (("--only-rerun", "("), "invalid regular expression for only_rerun: '('"),
    ],
)
def test_what_makes_no_sense_is_told_once_and_starts_no_worker(
    batch: "Batch", arguments: tuple[str, ...], sentence: str
) -> None:
    batch.write({"test_it.py": MARKED})
    said = batch.run("-n", "2", *arguments)
    assert said.status == pytest.ExitCode.USAGE_ERROR
    assert said.text.count(sentence) == 1
    assert not batch.begun()
