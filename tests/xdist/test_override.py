"""Overrides and rules hold in workers as they do without, and what makes no sense ends the session all the same."""

import re

import pytest

from ..process.sessions import Batch

pytest.importorskip("xdist")

TESTS = """
import pytest

def test_plain(): raise TimeoutError("no answer")
@pytest.mark.slow
def test_slow(): assert 0
@pytest.mark.flaky
def test_marked(): assert 0
@pytest.mark.flaky(retries=0)
def test_off(): raise TimeoutError("no answer")
"""
TABLE = """
[tool.resilience.retry]
retries = 1
[[tool.resilience.retry.rule]]
match = ["^TimeoutError: no answer$"]
retries = 4
[[tool.resilience.override]]
paths = ["db"]
markers = "not slow"
retries = 2
[[tool.resilience.override]]
markers = "slow"
only = ["AssertionError"]
retries = 3
"""
INI = "[pytest]\nmarkers = slow\naddopts = --import-mode=importlib\n"


def test_a_test_is_tried_as_often_as_without_workers(batch: Batch) -> None:
    batch.write({"test_it.py": TESTS, "db/test_it.py": TESTS, "pyproject.toml": TABLE, "pytest.ini": INI})
    said = batch.run()
    assert said.outcomes == {"total": 8, "failed": 8}
    serial = batch.begun()
    assert serial == {
        "test_it.py::test_plain": 5,
        "test_it.py::test_slow": 4,
        "test_it.py::test_marked": 2,
        "test_it.py::test_off": 1,
        "db/test_it.py::test_plain": 3,
        "db/test_it.py::test_slow": 4,
        "db/test_it.py::test_marked": 3,
        "db/test_it.py::test_off": 1,
    }
    for mode in ("load", "loadfile"):
        assert batch.run("-n", "2", "--dist", mode).outcomes == said.outcomes
        assert batch.begun() == serial, mode


@pytest.mark.parametrize("flags", [("--retries", "0"), ("--retries", "2")])
def test_a_flag_comes_before_both(batch: Batch, flags: tuple[str, str]) -> None:
    batch.write({"test_it.py": TESTS, "pyproject.toml": TABLE, "pytest.ini": INI})
    batch.run("-n", "2", *flags)
    times = int(flags[1]) + 1
    tests = {"test_plain": times, "test_slow": times, "test_marked": times, "test_off": 1}
    assert batch.begun() == {f"test_it.py::{name}": number for name, number in tests.items()}


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            '[[tool.resilience.override]]\nmarkers = "slow and"',
            "markers = 'slow and' in [[tool.resilience.override]] 1",
        ),
        (
            '[[tool.resilience.override]]\npaths = "a"\nbudget = 3',
            "'budget' belongs in [tool.resilience.retry]",
        ),
        ("", "unknown argument 'retrys' of the flaky marker; did you mean 'retries'?"),
    ],
)
def test_what_makes_no_sense_ends_the_session_before_any_test(
    batch: Batch, table: str, sentence: str
) -> None:
    marker = "retrys" if not table else "retries"
    source = f"import pytest\n@pytest.mark.flaky({marker}=2)\ndef test_a(): pass\n"
    batch.write({"test_it.py": source, "pyproject.toml": table, "pytest.ini": INI})
    said = batch.run("-n", "2")
    assert said.status == 4
    told = [line for line in said.text.splitlines() if line.startswith("ERROR: RES701 config-invalid: ")]
    assert len(told) == 1, said.text
    assert sentence in told[0]
    assert "INTERNALERROR" not in said.text
    assert not batch.begun()


def test_an_explanation_starts_no_worker(batch: Batch) -> None:
    batch.write({"test_it.py": TESTS, "pyproject.toml": TABLE, "pytest.ini": INI})
    serial = batch.run("-q", "--resilience-explain", "test_it.py::test_slow")
    assert serial.status == 0
    assert re.search(r"^  retries +3 ", serial.text, re.MULTILINE)
    said = batch.run("-q", "-n", "2", "--resilience-explain", "test_it.py::test_slow")
    assert said.status == 0
    assert said.text.splitlines()[:-1] == serial.text.splitlines()[:-1]
    assert not batch.begun()
    assert not batch.store.root.exists()
