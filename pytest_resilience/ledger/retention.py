"""Which runs may go, and their removal: rarely, never one that is alive, never what a resume would look for."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pytest_resilience.ledger.disk import DISK, opened_folder, remove_tree
from pytest_resilience.ledger.final import final_of
from pytest_resilience.ledger.locks import store_lock
from pytest_resilience.ledger.runinfo import BadRun, RunInfo, began_at
from pytest_resilience.ledger.runs import RunFolder, Store

DAY = 24 * 3600.0
MB = 1_000_000
# A run that just began may not have its locks yet.
GRACE_SECONDS = 600.0

_TRASH = ".trash-"
_NEW = ".new-"


class Limits(NamedTuple):
    """How much is kept; 0 stands for no limit. What is protected is kept beyond any limit."""

    runs: int = 20
    days: float = 30
    mb: float = 200


class StoredRun(NamedTuple):
    """A run as retention sees it. `seconds` is its age, `size` its bytes; `key` is empty when it cannot be read."""

    id: str
    key: str
    seconds: float
    size: int
    resumable: bool
    alive: bool = False


def removable(runs: Sequence[StoredRun], limits: Limits) -> list[str]:
    """The ids of the runs to remove, oldest first; none as long as a limit is not passed clearly.

    Protected are runs that are alive or begun within ten minutes of now, and of each key the newest run and the newest
    one that can be resumed. A run that a clock has dated into the future is as old as one of today.
    """
    if not _is_due(runs, limits):
        return []
    protected = _protected(runs)
    others = sorted((run for run in runs if run.id not in protected), key=lambda run: run.id, reverse=True)
    room = limits.runs - len(protected)
    bytes_left = limits.mb * MB - sum(run.size for run in runs if run.id in protected)
    gone = []
    for run in others:
        room -= 1
        bytes_left -= run.size
        if (
            (limits.runs and room < 0)
            or (limits.days and run.seconds > limits.days * DAY)
            or (limits.mb and bytes_left < 0)
        ):
            gone.append(run.id)
    return sorted(gone)


def _is_due(runs: Sequence[StoredRun], limits: Limits) -> bool:
    return bool(
        (limits.runs and len(runs) > limits.runs + max(1, limits.runs // 4))
        or (limits.days and any(run.seconds > (limits.days + 1) * DAY for run in runs))
        or (limits.mb and sum(run.size for run in runs) > limits.mb * MB * 1.25)
    )


def _protected(runs: Sequence[StoredRun]) -> set[str]:
    newest: dict[tuple[str, bool], str] = {}
    for run in sorted(runs, key=lambda run: run.id):
        if run.key:
            newest[run.key, False] = run.id
            if run.resumable:
                newest[run.key, True] = run.id
    lively = {run.id for run in runs if run.alive or abs(run.seconds) < GRACE_SECONDS}
    return lively | set(newest.values())


def prune(store: Store, limits: Limits, *, now: float) -> list[str]:
    """Remove what may go and return the ids. Whatever goes wrong here is left for another time."""
    try:
        if not _is_due(list(_weighed(store, now)), limits):
            return []
        with store_lock(store.lock_path) as ours:
            if not ours:
                return []
            _sweep(store.folder_of_runs, now)
            # Looked at again: another process may have done it while this one waited.
            chosen = _choose(store, _stored(store, now), limits)
            with opened_folder(store.folder_of_runs) as runs:
                return [run_id for run_id in chosen if _remove(run_id, runs)]
    except Exception:
        return []


def _choose(store: Store, runs: list[StoredRun], limits: Limits) -> list[str]:
    """Asks only those runs whether they are alive that would have to go."""
    while True:
        chosen = removable(runs, limits)
        alive = {run_id for run_id in chosen if RunFolder.is_alive(store.folder_of_runs / run_id)}
        if not alive:
            return chosen
        runs = [run._replace(alive=True) if run.id in alive else run for run in runs]


def _weighed(store: Store, now: float) -> Iterator[StoredRun]:
    """The runs by age and size alone, which is quick: most sessions need to know no more."""
    for run_id in store.run_ids():
        size = _size(store.folder_of_runs / run_id)
        yield StoredRun(id=run_id, key="", seconds=now - began_at(run_id), size=size, resumable=False)


def _stored(store: Store, now: float) -> list[StoredRun]:
    return [_described(run, store.folder_of_runs / run.id) for run in _weighed(store, now)]


def _described(run: StoredRun, folder: Path) -> StoredRun:
    """The run as its files describe it. One of which that cannot be known today stays, and stands for no other."""
    try:
        key, final = RunInfo.read(folder).key, final_of(folder)
    except (BadRun, FileNotFoundError):
        return run
    except OSError:
        return run._replace(alive=True)
    return run._replace(key=key, resumable=final is None or not final.leaves_nothing)


def _size(folder: Path) -> int:
    size = 0
    with suppress(OSError), opened_folder(folder) as opened:
        for name in DISK.names(opened):
            with suppress(OSError):
                size += DISK.lstat(name, opened).st_size
    return size


def _remove(name: str, runs: int) -> bool:
    """Out of sight in one step, so that nobody finds half a run, then gone."""
    trash = f"{_TRASH}{name}-{DISK.urandom(4).hex()}"
    try:
        DISK.rename(name, trash, runs)
    except OSError:
        return False
    remove_tree(trash, runs)
    return True


def _sweep(runs: Path, now: float) -> None:
    """What processes left behind that died while they made or removed a run."""
    with opened_folder(runs) as opened:
        for name in DISK.names(opened):
            if name.startswith(_TRASH):
                remove_tree(name, opened)
            elif name.startswith(_NEW):
                with suppress(ValueError):
                    old = abs(now - began_at(name.removeprefix(_NEW))) > GRACE_SECONDS
                    if old and not RunFolder.is_alive(runs / name):
                        _remove(name, opened)
