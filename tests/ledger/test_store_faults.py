"""A disk that fails once while a run is made, described, ended or removed: no run is ever half there."""

import errno
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from pytest_resilience.core.facts import SelectionDone, TestInherited, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.history import load
from pytest_resilience.ledger.disk import Disk, write_whole
from pytest_resilience.ledger.final import Final
from pytest_resilience.ledger.locks import Lock
from pytest_resilience.ledger.retention import Limits, prune
from pytest_resilience.ledger.runs import RunFolder, Store

from .. import ledgers
from .faulty import Died, Fault, FaultyDisk, in_place_of_the_disk

NOW = 1_800_000_000.0
FAULTS = (
    Fault(errno.EIO),
    Fault(errno.ENOSPC, size=10),
    Fault(errno.ESTALE, size=10_000),
    Fault(dies=True),
    Fault(dies=True, size=10_000),
)
INHERITED = [TestInherited(key=f"test_{number}", outcome=Outcome.PASSED, run="r") for number in range(5)]
SELECTED = [TestsSelected(keys=tuple(f"test_{number}" for number in range(1200)))]
FEW = Limits(runs=1, days=0, mb=0)
DONE = SelectionDone(total=1200)

pytestmark = pytest.mark.invariant(3, 14)


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here meets a power cut."""
    monkeypatch.setattr(Disk, "_fsync", staticmethod(lambda fd: None))
    monkeypatch.setattr(Disk, "_fdatasync", staticmethod(lambda fd: None))


def a_run(store: Store, *, hours: float = 0) -> RunFolder:
    return store.create(ledgers.info(NOW - hours * 3600), INHERITED)


T = TypeVar("T")


def every_fault(
    prepare: Callable[[int], T], act: Callable[[T], object], faults: Sequence[Fault] = FAULTS
) -> Iterator[tuple[T, bool]]:
    """Do something again and again, each time with one fault at one of its calls, on what was prepared for it.

    Gives what was prepared and whether it went well. Nothing but an error of the system comes out of it.
    """
    numbers = count()
    whole, place = FaultyDisk(), prepare(next(numbers))
    with in_place_of_the_disk(whole):
        act(place)
    for at in range(len(whole.calls)):
        for fault in faults:
            disk, place, went_well = FaultyDisk({at: fault}), prepare(next(numbers)), False
            with in_place_of_the_disk(disk), suppress(OSError, Died):
                act(place)
                went_well = True
            disk.close_all()
            yield place, went_well


def test_a_run_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    made: dict[Path, RunFolder] = {}

    def make(store: Store) -> None:
        made[store.root] = a_run(store)

    for store, went_well in every_fault(lambda number: Store(tmp_path / str(number)), make):
        runs = store.runs()
        assert store.problems == []
        assert len(runs) <= 1
        assert runs or not went_well
        for info in runs:
            past = load(store.folder(info.id))
            assert (list(past.run.inherited.values()), past.damage) == (INHERITED, 0)
        if store.root in made:
            made[store.root].release()
        # The next session does not stumble over what is left.
        a_run(store).release()
        assert len(store.runs()) == len(runs) + 1


def test_a_selection_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    found = set()
    for run, went_well in every_fault(
        lambda number: a_run(Store(tmp_path / str(number))), lambda run: run.write_selection(SELECTED, DONE)
    ):
        run.release()
        past = load(run)
        assert past.damage == 0
        assert (past.run.selected_total, past.run.counts().total()) in ((1200, 1200), (None, 0))
        assert not went_well or past.run.selected_total == 1200
        found.add(past.run.selected_total)
    assert found == {None, 1200}


def test_a_file_is_as_it_was_or_as_it_is_to_be(tmp_path: Path) -> None:
    before, after = b"before" * 1000, b"after" * 1000

    def prepare(number: int) -> Path:
        path = tmp_path / str(number)
        path.write_bytes(before)
        return path

    for path, went_well in every_fault(prepare, lambda path: write_whole(path, after)):
        assert path.read_bytes() == after or (path.read_bytes() == before and not went_well)


@pytest.mark.invariant(31)
def test_a_run_ends_with_its_account_or_without(tmp_path: Path) -> None:
    said: dict[str, bool] = {}

    def finish(run: RunFolder) -> None:
        said[run.id] = run.finish(exit_status=0, counts={"passed": 1})

    for run, _ in every_fault(lambda number: a_run(Store(tmp_path / str(number))), finish):
        run.release()
        assert run.final() in (None, Final(exit_status=0, counts={"passed": 1}))
        assert run.final() is not None or not said.get(run.id)


@pytest.mark.invariant(21)
def test_old_runs_are_removed_whole_or_not_at_all_and_none_that_is_needed(tmp_path: Path) -> None:
    """Of a run whose worker is alive, one that may go, one with something left, and one that is complete."""
    template = Store(tmp_path / "template")
    runs = [a_run(template, hours=hours) for hours in (5, 4, 3, 2)]
    runs[3].finish(exit_status=0, counts={"passed": 1})
    for run in runs:
        run.release()

    def prepare(number: int) -> tuple[Store, Lock | None]:
        store = Store(tmp_path / str(number))
        shutil.copytree(template.root, store.root)
        return store, Lock.acquire(store.folder_of_runs / runs[0].id / "seg-gw0.1.00000000.alive")

    few = (Fault(errno.EIO), Fault(dies=True))
    ages = set()
    for (store, lock), went_well in every_fault(prepare, lambda it: prune(it[0], FEW, now=NOW), few):
        assert lock is not None
        lock.release()
        left = store.runs()
        assert store.problems == []
        assert all(load(store.folder(info.id)).damage == 0 for info in left)
        ages.add((went_well, tuple(round((NOW - info.started) / 3600) for info in left)))
    assert ages <= {(ok, hours) for ok in (True, False) for hours in ((5, 4, 3, 2), (5, 3, 2))}
    assert (True, (5, 3, 2)) in ages
