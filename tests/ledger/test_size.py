"""A ledger takes little room, on the disk and in memory, however many tests there are."""

import runpy
import tracemalloc
from pathlib import Path

import pytest

from pytest_resilience.history import load
from pytest_resilience.ledger.disk import Disk

BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "ledger.py"))
TESTS = 5000


@pytest.mark.invariant(24)
def test_a_test_takes_at_most_400_bytes_and_reading_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "_fsync", staticmethod(lambda fd: None))
    monkeypatch.setattr(Disk, "_fdatasync", staticmethod(lambda fd: None))
    made = BENCHMARK["make"](tmp_path, TESTS)
    assert made.bytes_a_test <= 400
    tracemalloc.start()
    try:
        past = load(made.folder)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert past.run.counts().total() == TESTS
    print(f"{made.bytes_a_test:.0f} bytes on the disk and {most / TESTS:.0f} in memory for each test")
    assert most <= 1000 * TESTS
