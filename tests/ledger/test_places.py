"""Where runs are kept when they cannot be where they belong, and that all of them are found again."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.places import Stores, state_folder
from pytest_resilience.ledger.runs import (
    AmbiguousRun,
    NoSuchRun,
    RunInfo,
    Store,
    UnsupportedFormat,
    new_run_id,
)

from .. import ledgers

MOMENT = 1.8e9


def info(second: int = 0, random: str = "") -> RunInfo:
    run_id = new_run_id(MOMENT + second, bytes.fromhex(random) if random else os.urandom(8))
    return ledgers.info(id=run_id)


class Closed(Disk):
    """A disk on which nothing can be made."""

    def __init__(self, number: int) -> None:
        self._number = number

    def make_folder(self, path: Path) -> None:
        raise OSError(self._number, os.strerror(self._number), str(path))


def stores_in(tmp_path: Path, disk: Disk | None = None) -> tuple[Store, Store, Stores]:
    first = Store(tmp_path / "root" / "store", disk=disk or Disk())
    second = Store(tmp_path / "state" / "pytest-resilience" / "x")
    return first, second, Stores([first, second])


# ---- the place


def test_the_state_folder_is_where_the_user_has_it_and_one_for_each_rootdir(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    found = state_folder(Path("/r"), environ)
    assert found is not None
    assert found.parent == tmp_path / "pytest-resilience"
    assert len(found.name) == 16
    assert state_folder(Path("/r"), environ) == found != state_folder(Path("/s"), environ)
    assert state_folder(Path("/\udcff"), environ) is not None


@pytest.mark.parametrize("environ", [{}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}])
def test_without_a_usable_variable_it_is_below_the_home(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = state_folder(Path("/r"), environ)
    assert found is not None
    assert found.parent == Path("/home/me/.local/state/pytest-resilience")


def test_a_user_without_a_home_has_no_such_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    assert state_folder(Path("/r"), {}) is None


# ---- making


def test_a_run_is_where_it_belongs_when_that_is_possible(tmp_path: Path) -> None:
    first, second, stores = stores_in(tmp_path)
    stores.create(info(), []).release()
    assert stores.current is first
    assert stores.troubles == []
    assert not second.root.parent.exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP])
def test_a_run_is_elsewhere_when_its_place_is_closed(tmp_path: Path, number: int) -> None:
    _, second, stores = stores_in(tmp_path, Closed(number))
    folder = stores.create(info(), [])
    folder.release()
    assert stores.current is second
    assert folder.path.parent == second.folder_of_runs
    assert [trouble.errno for trouble in stores.troubles] == [number]
    for path in (second.root.parent, second.root):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def unsafe_mode(store: Path) -> None:
    store.mkdir()
    store.chmod(0o777)


def foreign(store: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    store.mkdir(0o700)
    os.chown(store, 12345, 12345)


def a_link(store: Path) -> None:
    (store.parent / "victim").mkdir(0o700)
    store.symlink_to(store.parent / "victim")


@pytest.mark.invariant(22, 23)
@pytest.mark.parametrize("plant", [Path.touch, os.mkfifo, a_link, unsafe_mode, foreign])
def test_what_stands_in_its_place_or_is_not_safe_is_left_as_it_is(
    tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    first, second, stores = stores_in(tmp_path)
    first.root.parent.mkdir()
    plant(first.root)
    before = snapshot(first.root.parent)
    stores.create(info(), []).release()
    assert stores.current is second
    assert len(stores.runs()) == 1
    assert snapshot(first.root.parent) == before


def snapshot(root: Path) -> dict[str, os.stat_result]:
    return {str(path): path.lstat() for path in [root, *root.rglob("*")]}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_trouble_that_may_pass_moves_no_run(tmp_path: Path, number: int) -> None:
    _, second, stores = stores_in(tmp_path, Closed(number))
    with pytest.raises(OSError, match=r"."):
        stores.create(info(), [])
    assert not second.root.parent.exists()


def test_when_no_place_is_open_all_reasons_are_told(tmp_path: Path) -> None:
    _, second, stores = stores_in(tmp_path, Closed(errno.EROFS))
    second.root.parent.parent.mkdir()
    second.root.parent.touch()
    with pytest.raises(OSError, match="Read-only"):
        stores.create(info(), [])
    assert len(stores.troubles) == 2


def test_a_store_of_a_newer_release_moves_no_run(tmp_path: Path) -> None:
    first, second, stores = stores_in(tmp_path)
    first.create(info()).release()
    (first.root / "FORMAT").write_text('{"major": 2}')
    with pytest.raises(UnsupportedFormat):
        stores.create(info(), [])
    with pytest.raises(UnsupportedFormat):
        stores.runs()
    assert not second.root.exists()


# ---- finding


def test_the_runs_of_all_places_are_found_oldest_first(tmp_path: Path) -> None:
    first, second, stores = stores_in(tmp_path)
    made = [store.create(info(second)) for second, store in enumerate([second, first, second])]
    for folder in made:
        folder.release()
    assert [run.id for run in stores.runs()] == [folder.id for folder in made]
    assert stores.newest_id() == made[2].id
    for folder in made:
        assert stores.folder(folder.id).path == folder.path
        assert stores.find(folder.id) == folder.info
    with pytest.raises(NoSuchRun):
        stores.find("nosuchrun")
    with pytest.raises(NoSuchRun):
        stores.folder("nosuchrun")
    with pytest.raises(AmbiguousRun):
        stores.find("2")


def test_a_place_that_cannot_be_read_costs_its_own_runs(tmp_path: Path) -> None:
    first, second, stores = stores_in(tmp_path)
    first.create(info()).release()
    first.root.chmod(0o777)
    with pytest.raises(OSError, match="others may write"):
        stores.runs()
    folder = second.create(info(1))
    folder.release()
    assert [run.id for run in stores.runs()] == [folder.id]
    assert [type(trouble).__name__ for trouble in stores.troubles] == ["UnsafeStore"]
    assert stores.folder(folder.id).info == folder.info
    assert stores.newest_id() == folder.id


def test_where_nothing_is_nothing_is_found_and_nothing_made(tmp_path: Path) -> None:
    _, _, stores = stores_in(tmp_path)
    assert stores.runs() == []
    assert stores.newest_id() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_any_place_can_be_shown_to_be_alive(tmp_path: Path) -> None:
    _, second, stores = stores_in(tmp_path)
    folder = second.create(info()._replace(start="1"))
    assert stores.folder(folder.id).writers_alive() == ["owner"]
    folder.release()
