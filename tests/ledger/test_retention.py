"""What is removed, and that nothing is removed which somebody may still need."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.ledger.retention import DAY, GRACE_SECONDS, MB, Limits, StoredRun, prune, removable
from pytest_resilience.ledger.runs import RunFolder, Store, new_run_id

from .. import ledgers

NOW = 1_800_000_000.0


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stored(
    number: int,
    *,
    key: str = "k",
    days: float = 1,
    size: int = 1000,
    resumable: bool = False,
    alive: bool = False,
) -> StoredRun:
    return StoredRun(
        id=f"{number:04d}", key=key, seconds=days * DAY, size=size, resumable=resumable, alive=alive
    )


RUNS = st.lists(
    st.builds(
        StoredRun,
        id=st.integers(0, 9999).map("{:04d}".format),
        key=st.sampled_from(["", "a", "b", "c"]),
        seconds=st.floats(-DAY, 90 * DAY),
        size=st.integers(0, 100 * MB),
        resumable=st.booleans(),
        alive=st.booleans(),
    ),
    max_size=60,
    unique_by=lambda run: run.id,
)
LIMITS = st.builds(Limits, runs=st.integers(0, 30), days=st.integers(0, 60), mb=st.integers(0, 500))


@pytest.mark.invariant(21)
@given(RUNS, LIMITS)
def test_nothing_that_may_be_needed_ever_goes(runs: list[StoredRun], limits: Limits) -> None:
    gone = set(removable(runs, limits))
    assert gone <= {run.id for run in runs}
    for run in runs:
        if run.alive or abs(run.seconds) < GRACE_SECONDS:
            assert run.id not in gone
    for key in {run.key for run in runs} - {""}:
        of_key = sorted((run for run in runs if run.key == key), key=lambda run: run.id)
        assert of_key[-1].id not in gone
        resumable = [run for run in of_key if run.resumable]
        assert not resumable or resumable[-1].id not in gone


@given(RUNS, LIMITS)
def test_removing_once_is_enough(runs: list[StoredRun], limits: Limits) -> None:
    gone = set(removable(runs, limits))
    left = [run for run in runs if run.id not in gone]
    if gone:
        free = [run for run in left if run.key == "" and not run.alive and abs(run.seconds) >= GRACE_SECONDS]
        assert not limits.days or all(run.seconds <= limits.days * DAY for run in free)
        assert not free or not limits.runs or len(left) <= limits.runs
        assert not free or not limits.mb or sum(run.size for run in left) <= limits.mb * MB
    else:
        assert left == runs


@given(RUNS)
def test_without_limits_all_is_kept(runs: list[StoredRun]) -> None:
    assert removable(runs, Limits(runs=0, days=0, mb=0)) == []


def test_the_oldest_go_when_there_are_clearly_too_many() -> None:
    runs = [stored(number) for number in range(26)]
    assert removable(runs[:25], Limits(runs=20)) == []
    assert removable(runs, Limits(runs=20)) == ["0000", "0001", "0002", "0003", "0004", "0005"]


def test_what_is_too_old_goes_a_day_later() -> None:
    old, new = stored(1, days=30.5), stored(2)
    assert removable([old, new], Limits(days=30)) == []
    assert removable([stored(1, days=31.5), new], Limits(days=30)) == ["0001"]


def test_what_takes_too_much_room_goes() -> None:
    runs = [stored(number, size=50 * MB) for number in range(6)]
    assert removable(runs[:5], Limits(mb=200)) == []
    assert removable(runs, Limits(mb=200)) == ["0000", "0001"]


# ---- on the disk


def a_run(store: Store, *, hours: float, key: str = "k", ended: bool = True) -> RunFolder:
    folder = store.create(ledgers.info(NOW - hours * 3600, key=key))
    if ended:
        folder.finish(exit_status=0, counts={"passed": 1})
    folder.release()
    return folder


FEW = Limits(runs=2, days=0, mb=0)


def test_the_folders_of_old_runs_disappear(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    runs = [a_run(store, hours=hours) for hours in (9, 8, 7, 6, 5)]
    assert prune(store, FEW, now=NOW) == [run.id for run in runs[:3]]
    assert names_in(store.folder_of_runs) == [run.id for run in runs[3:]]
    assert prune(store, FEW, now=NOW) == []


@pytest.mark.invariant(21)
def test_a_run_that_is_alive_stays_however_old(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    runs = [a_run(store, hours=hours) for hours in (9, 8, 7, 6, 5)]
    worker = runs[0].hold("gw0.1.00000000")
    assert worker is not None
    assert prune(store, FEW, now=NOW) == [run.id for run in runs[1:4]]
    assert runs[0].path.exists()
    runs[0].release()


@pytest.mark.invariant(21)
def test_the_newest_run_with_something_left_to_do_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    runs = [a_run(store, hours=hours, ended=hours not in (9, 8)) for hours in (9, 8, 7, 6, 5)]
    assert runs[1].id not in prune(store, FEW, now=NOW)
    assert not runs[0].path.exists()
    assert runs[1].path.exists()


def test_a_run_that_cannot_be_read_goes_like_any_other(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    runs = [a_run(store, hours=hours) for hours in (9, 8, 7, 6, 5)]
    (runs[0].path / "run.json").write_bytes(b"\0")
    assert runs[0].id in prune(store, FEW, now=NOW)


def test_what_the_dead_left_half_made_goes_too_once_it_is_old(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for hours in (9, 8, 7, 6, 5):
        a_run(store, hours=hours)
    old, young = (f".new-{new_run_id(NOW - seconds, bytes(8))}" for seconds in (3600, 60))
    for name in (old, young, ".trash-x"):
        (store.folder_of_runs / name).mkdir()
    prune(store, FEW, now=NOW)
    left = [name for name in names_in(store.folder_of_runs) if name.startswith(".")]
    assert left == [young]


@pytest.mark.invariant(22)
def test_a_link_among_the_runs_is_removed_and_not_followed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for hours in (9, 8, 7, 6, 5):
        a_run(store, hours=hours)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (store.folder_of_runs / new_run_id(NOW - 40 * DAY, bytes(8))).symlink_to(precious)
    prune(store, FEW, now=NOW)
    assert (precious / "file").exists()


def test_what_somebody_put_into_a_run_goes_with_it_and_what_that_links_to_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    runs = [a_run(store, hours=hours) for hours in (9, 8, 7, 6, 5)]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    inner = runs[0].path / "blobs" / "deeper"
    inner.mkdir(parents=True)
    (inner / "blob").touch()
    (inner / "link").symlink_to(precious)
    assert runs[0].id in prune(store, FEW, now=NOW)
    assert names_in(store.folder_of_runs) == [run.id for run in runs[3:]]
    assert names_in(precious) == ["file"]


def test_a_store_that_is_locked_or_missing_or_unsafe_is_left_alone(tmp_path: Path) -> None:
    assert prune(Store(tmp_path / "missing"), FEW, now=NOW) == []
    store = Store(tmp_path / "store")
    for hours in (9, 8, 7, 6, 5):
        a_run(store, hours=hours)
    store.root.chmod(0o777)
    assert prune(store, FEW, now=NOW) == []
    assert len(names_in(store.folder_of_runs)) == 5
