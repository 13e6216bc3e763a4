"""Whatever a worker ends of, the run ends in order: with its summary, all tests accounted for, and never green."""

import json
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import RunEnded, WorkerDown
from pytest_resilience.core.outcomes import Outcome

from ..process.sessions import CONFTEST

if TYPE_CHECKING:
    from ..process.sessions import Batch, Said

pytest.importorskip("xdist")

FILES, TESTS_IN_FILE = 4, 5
TOTAL = FILES * TESTS_IN_FILE
KEY = "test_a.py::test[3]"

SUITE = f"""
import os, here, pytest

@pytest.mark.parametrize("n", range({TESTS_IN_FILE}))
def test(n, request):
    if "test_a" in request.node.nodeid and n == 3 and not here.is_there("mended"):
        {{statement}}
"""

# For a conftest.py: what happens on all workers, or on the second one alone.
HOOKS = """
import os
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
IS_ONE = WORKER == "gw1" and not here.is_there("mended")

"""


def write(batch: "Batch", *, statement: str = "pass", conftest: str = "") -> None:
    batch.write({f"test_{name}.py": SUITE.format(statement=statement) for name in "abcd"[:FILES]})
    batch.write({"conftest.py": f"{CONFTEST}{HOOKS}{conftest}"})


def check_sums(batch: "Batch", said: "Said") -> None:
    """The summary is there, has every test once, and says what the ledger says."""
    counts = said.outcomes
    assert counts["total"] == TOTAL == sum(counts.values()) / 2, said.text
    stored = [outcome.value for outcome in batch.last.outcomes.values()]
    assert {name: stored.count(name) for name in stored} | {"total": TOTAL} == counts, said.text
    assert [ended.exit_status for ended in batch.last.of(RunEnded)] == [said.status]
    left = TOTAL - counts.get("passed", 0)
    assert (f"- {left} left" in said.line("RESUME")) == (left > 0)


def check_resume(batch: "Batch", said: "Said") -> None:
    """Once it is mended, what is left passes, and no more is run."""
    batch.begun()
    batch.mark("mended")
    passed = said.outcomes.get("passed", 0)
    said = batch.resume("-n", "2")
    expected = {"total": TOTAL, "passed": TOTAL - passed, "carried_over": passed}
    assert (said.status, said.outcomes) == (0, {name: number for name, number in expected.items() if number})
    assert batch.begun().total() == TOTAL - passed


# -- in a test ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "statement", "status", "why"),
    [
        ("load", "pytest.exit('no database')", 2, "Exit: no database"),
        ("loadscope", "pytest.exit('no database', returncode=9)", 9, "Exit: no database"),
        ("load", "raise KeyboardInterrupt", 2, "KeyboardInterrupt"),
    ],
)
def test_a_test_that_ends_its_session_ends_the_run_in_order(
    batch: "Batch", mode: str, statement: str, status: int, why: str
) -> None:
    write(batch, statement=statement)
    said = batch.run("-n", "2", "--dist", mode)
    assert said.status == status, said.text
    check_sums(batch, said)
    assert said.outcomes["interrupted"] == 1
    assert batch.last.outcomes[KEY] is Outcome.INTERRUPTED
    assert f"{Code.INTERRUPTED_BY_SIGNAL}: {why} (gw" in said.line("NOTRUN")
    assert "crashed" not in said.text
    assert "INTERNALERROR" not in said.text
    if mode == "loadscope":
        check_resume(batch, said)


# -- in a hook of somebody else ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hook",
    [
        "def pytest_runtest_makereport(item, call):\n    if IS_ONE and call.when == 'call': raise KeyError('bug')",
        "def pytest_collection_finish():\n    if IS_ONE: raise KeyError('bug')",
    ],
    ids=["makereport", "collection_finish"],
)
def test_an_internal_error_of_one_worker_ends_the_run_in_order(batch: "Batch", hook: str) -> None:
    write(batch, conftest=hook)
    said = batch.run("-n", "2")
    assert said.status == 3, said.text
    check_sums(batch, said)
    assert "gw1 ended with an error: KeyError: 'bug'" in said.line("NOTRUN")
    assert f"INTERNALERROR> {KeyError('bug')!r}".replace("(", ": ").rstrip(")") in said.text
    assert "dsession" not in said.text.partition("= resilience summary")[0].rpartition("KeyError")[2]
    assert "failed" not in said.outcomes
    if "collection_finish" in hook:
        check_resume(batch, said)


def test_an_internal_error_before_any_test_is_known_is_told(batch: "Batch") -> None:
    write(batch, conftest="def pytest_sessionstart():\n    if WORKER: raise KeyError('bug')")
    said = batch.run("-n", "2")
    assert said.status == 3, said.text
    assert said.line("WARNING").startswith(f"{Code.INTERNAL_ERROR}: gw"), said.text
    assert "replacing crashed worker" not in said.text


# -- after the last test -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        ("def pytest_sessionfinish():\n    if IS_ONE: os._exit(3)", "ended with exit status 3"),
        (
            "def pytest_sessionfinish():\n    if IS_ONE: raise KeyError('bug')",
            "ended with an error: KeyError: 'bug'",
        ),
        ("def pytest_unconfigure():\n    if IS_ONE: os._exit(3)", "ended with exit status 3"),
        (
            "def pytest_unconfigure():\n    if IS_ONE: raise KeyError('bug')",
            "ended with an error: KeyError: 'bug'",
        ),
    ],
    ids=["dies in sessionfinish", "raises in sessionfinish", "dies in unconfigure", "raises in unconfigure"],
)
def test_a_worker_that_fails_at_its_end_is_never_green(batch: "Batch", hook: str, why: str) -> None:
    """By itself xdist does not notice. The outcomes of tests stand, but something was not torn down, or not written."""
    write(batch, conftest=hook)
    said = batch.run("-n", "2")
    assert (said.status, said.outcomes) == (1, {"total": TOTAL, "passed": TOTAL}), said.text
    assert said.line("WARNING").startswith(f"{Code.WORKER_END_FAILED}: gw1 {why}"), said.text
    assert [down.key for down in batch.last.of(WorkerDown)] == [""]
    check_sums(batch, said)


def test_how_a_process_ends_after_its_session_is_nobody_s_failure(batch: "Batch") -> None:
    write(batch, conftest="import atexit\nif WORKER: atexit.register(os._exit, 5)")
    said = batch.run("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "passed": TOTAL}), said.text
    assert "WARNING" not in said.text


# -- before the first test ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conftest", "why"),
    [
        ("if WORKER: os._exit(0)", "ended with exit status 0 (and 2 more)"),
        (
            "def pytest_configure():\n    if WORKER: raise pytest.UsageError('no such host')",
            "ended with an error: pytest.UsageError: no such host (and 2 more)",
        ),
    ],
    ids=["dies", "refuses"],
)
def test_when_no_worker_can_start_the_run_says_so(batch: "Batch", conftest: str, why: str) -> None:
    write(batch, conftest=conftest)
    said = batch.run("-n", "2", "--max-worker-restart", "1")
    assert said.status == 1, said.text
    told = said.line("WARNING")
    assert told.startswith(f"{Code.WORKER_START_FAILED}: gw"), said.text
    assert why in told


def test_what_one_worker_that_cannot_start_leaves_is_not_run(batch: "Batch") -> None:
    """The other one has collected, so it is known what there is; xdist gives it nothing."""
    write(batch, conftest="if IS_ONE: os._exit(3)")
    said = batch.run("-n", "2", "--max-worker-restart", "0")
    assert (said.status, said.outcomes) == (1, {"total": TOTAL, "not_run": TOTAL}), said.text
    assert f"{Code.WORKER_START_FAILED}: gw1 ended with exit status 3" in said.line("NOTRUN")
    check_sums(batch, said)
    check_resume(batch, said)


def test_a_worker_that_is_replaced_before_its_first_test_is_told_and_costs_nothing(batch: "Batch") -> None:
    write(batch, conftest="if WORKER and here.mark('died'): os._exit(3)")
    said = batch.run("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "passed": TOTAL}), said.text
    assert str(Code.WORKER_START_FAILED) in said.line("WARNING")


# -- crashes without end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["0", "1"])
@pytest.mark.parametrize("mode", ["load", "loadscope"])
def test_at_the_limit_of_restarts_the_rest_is_not_run(batch: "Batch", mode: str, limit: str) -> None:
    write(batch)
    crashing = SUITE.format(statement="pass") + "    here.is_there('mended') or os._exit(1)\n"
    batch.write({f"test_{name}.py": crashing for name in "abcd"})
    said = batch.run("-n", "2", "--dist", mode, "--max-worker-restart", limit)
    assert said.status == 1, said.text
    check_sums(batch, said)
    assert said.outcomes["crashed"] >= 1
    assert Code.WORKER_RESTART_LIMIT.code in said.line("NOTRUN")


# -- what a channel does not take --------------------------------------------------------------------------------------


def test_whatever_a_report_holds_it_arrives(batch: "Batch") -> None:
    """Any of these values would end a session of xdist with an internal error."""
    conftest = """
import datetime, pathlib

class Text(str): pass
class Unprintable:
    def __repr__(self): raise ValueError

deep = endless = []
for _ in range(3000): deep = [deep]
endless.append(endless)
VALUES = [
    Text("x"), {"x": [pathlib.Path("x")]}, "\\udc80", deep, endless, datetime.datetime.now(), object(), Unprintable(),
    2**80, {(1, 2): Text("x"), Text("y"): {3}},
]

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    value = VALUES[here.number() % len(VALUES)]
    report.extra = value
    report.user_properties.append(("value", value))
    report.sections.append(("Captured", "\\udc80"))
    return report
"""
    write(batch, statement="raise ValueError('\\udc80')", conftest=conftest)
    said = batch.run("-n", "2")
    assert (said.status, said.outcomes) == (1, {"total": TOTAL, "passed": TOTAL - 1, "failed": 1}), said.text
    (key,) = [key for key, outcome in batch.last.outcomes.items() if outcome is Outcome.FAILED]
    assert key == KEY, json.dumps(key)
