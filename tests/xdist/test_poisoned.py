"""A worker that fails test after test while others pass is replaced, and its failures are looked at elsewhere."""

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import TestFinished
from pytest_resilience.core.outcomes import Outcome

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

TOTAL, LIMIT = 24, 3
SETTING = {"pyproject.toml": f"[tool.resilience.worker]\npoisoned-after = {LIMIT}\n"}

# What the first worker to begin does from its second test on; what others do meanwhile passes.
SUITE = """
import here, os, pytest

WORKER = os.environ["PYTEST_XDIST_WORKER"]
IS_FIRST = here.mark("first")
tests = []

@pytest.fixture(scope="session", autouse=True)
def session():
    yield
    here.mark(f"torn down {WORKER}")

@pytest.mark.parametrize("n", range(24))
def test(n):
    tests.append(n)
    if not IS_FIRST:
        if len(tests) > 1:
            here.wait("row begins")
        if len(tests) > 3:
            here.mark("others pass")
            here.wait("row is long")
    elif len(tests) > 1:
        if not here.mark("row begins"):
            here.wait("others pass")
        if len(tests) > 3:
            here.mark("row is long")
        STATEMENT
"""
POISONED = SUITE.replace("STATEMENT", "assert 0, 'poisoned'")
BROKEN = (
    SUITE.replace("STATEMENT", "here.mark(f'broken-{n}')") + "    assert not here.is_there(f'broken-{n}')\n"
)


@pytest.mark.parametrize("mode", ["load", "worksteal"])
def test_what_a_poisoned_worker_failed_passes_elsewhere(batch: "Batch", mode: str) -> None:
    batch.write({"test_a.py": POISONED, **SETTING})
    said = batch.run("-n", "2", "--dist", mode)
    # Others may have been in flight, or on their way here, when it was told to end.
    flaky = said.outcomes.get("flaky", 0)
    assert flaky >= LIMIT, said.text
    assert said.outcomes == {"total": TOTAL, "passed": TOTAL - flaky, "flaky": flaky}
    assert said.status == 1, "pytest was told of failures"
    assert f"{flaky} failed, {TOTAL - flaky} passed" in said.text.splitlines()[-1]
    warning = said.line("WARNING")
    name = warning.partition(": ")[2].partition(" ")[0]
    why = f"{name} failed {flaky} tests while others passed, and was replaced; elsewhere {flaky} passed"
    assert warning == f"{Code.WORKER_POISONED}: {why}", said.text
    assert batch.has_mark(f"torn down {name}"), "it ended in order"
    assert list(batch.last.folder.path.glob("seg-gw2*")), "another one took its place"
    assert "crashed" not in said.text
    # Each failed once and passed once; nothing else ran twice, nothing was left out.
    assert Counter(batch.begun().values()) == {1: TOTAL - flaky, 2: flaky}
    finished = [one for one in batch.last.of(TestFinished) if one.outcome is Outcome.FAILED]
    assert len(finished) == flaky, "the first failure stays on record"
    said = batch.resume("-n", "2")
    assert (said.status, said.outcomes) == (0, {"total": TOTAL, "carried_over": TOTAL}), said.text


def test_what_fails_elsewhere_too_stays_failed_and_counts_once(batch: "Batch") -> None:
    """Then the tests are broken, not the worker: after that no other one is replaced."""
    batch.write({"test_a.py": BROKEN, **SETTING})
    said = batch.run("-n", "2", "--maxfail", "20")
    failed = said.outcomes["failed"]
    assert said.outcomes == {"total": TOTAL, "passed": TOTAL - failed, "failed": failed}, said.text
    assert f"{failed} failed, {TOTAL - failed} passed" in said.text.splitlines()[-1]
    assert "failed again" in said.line("WARNING")
    assert said.status == 1


def test_by_default_no_worker_is_replaced(batch: "Batch") -> None:
    batch.write({"test_a.py": POISONED})
    said = batch.run("-n", "2")
    assert said.status == 1
    assert "flaky" not in said.outcomes
    assert str(Code.WORKER_POISONED) not in said.text
    assert set(batch.begun().values()) == {1}
