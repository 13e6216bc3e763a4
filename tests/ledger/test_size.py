"""A ledger takes little room, on the disk and in memory, however many tests there are."""

import runpy
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_resilience.core.facts import TestInherited, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.history import load
from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.lines import encode_all
from pytest_resilience.ledger.reading import read

BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "ledger.py"))
TESTS = 5000


# What is held while a file is read, however large it is.
PORTIONS = 1_200_000


@contextmanager
def measured() -> Iterator[Callable[[], int]]:
    """How many bytes Python has had at most since the block began."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.invariant(24)
def test_a_test_takes_at_most_400_bytes_and_reading_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "_fsync", staticmethod(lambda fd: None))
    monkeypatch.setattr(Disk, "_fdatasync", staticmethod(lambda fd: None))
    made = BENCHMARK["make"](tmp_path, TESTS)
    assert made.bytes_a_test <= 400
    with measured() as most:
        past = load(made.folder)
        taken = most()
    assert past.run.counts().total() == TESTS
    print(f"{made.bytes_a_test:.0f} bytes on the disk and {taken / TESTS:.0f} in memory for each test")
    assert taken <= PORTIONS + 250 * TESTS


@pytest.mark.invariant(24)
def test_what_an_earlier_run_knew_of_a_test_takes_as_much_again(tmp_path: Path) -> None:
    _, folder = BENCHMARK["begin"](tmp_path)
    keys = [BENCHMARK["key_of"](number) for number in range(TESTS)]
    facts = [
        TestInherited(key, Outcome.PASSED, folder.id, 1, number / 1e4, "0123456789abcdef")
        for number, key in enumerate(keys)
    ]
    for name, known in (("carry", facts), ("tests", [TestsSelected(keys=tuple(keys), fate="carried")])):
        (folder.path / f"{name}.jsonl").write_bytes(b"".join(encode_all(known, writer=name, at=0.0)))
    del facts, keys, known
    with measured() as most:
        past = load(folder)
        taken = most()
    folder.release()
    assert past.run.counts() == {Outcome.CARRIED_OVER: TESTS}
    assert taken <= PORTIONS + 500 * TESTS


@pytest.mark.invariant(24)
@pytest.mark.parametrize("is_condensed", [False, True])
def test_a_line_of_200_megabytes_takes_no_memory(tmp_path: Path, is_condensed: bool) -> None:
    with (tmp_path / "seg-gw0.1.00000000.jsonl").open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    with measured() as most:
        reading = read(tmp_path)
        assert list(reading.condensed if is_condensed else reading.records) == []
        taken = most()
    assert [damage.why for damage in reading.problems] == ["longer than a line can be"]
    assert taken <= PORTIONS
