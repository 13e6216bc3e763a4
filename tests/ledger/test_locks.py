"""Who holds a lock is known, and whoever dies holds none."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_resilience.ledger.locks import Lock, is_held, store_lock


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    lock = Lock.acquire(path)
    assert lock is not None
    assert is_held(path)
    assert Lock.acquire(path, 0) is None
    lock.release()
    lock.release()
    assert not is_held(path)
    again = Lock.acquire(path)
    assert again is not None
    again.release()


def test_asking_makes_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "x.lock")
    assert not is_held(tmp_path / "missing" / "x.lock")
    assert list(tmp_path.iterdir()) == []


def test_no_lock_makes_the_folder_it_is_in(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Lock.acquire(tmp_path / "missing" / "x.lock")
    assert list(tmp_path.iterdir()) == []


def test_asking_does_not_change_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.touch()
    assert [is_held(path) for _ in range(3)] == [False, False, False]


def test_the_file_of_a_lock_is_only_ours(tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path / "x.lock")
    assert lock is not None
    assert (tmp_path / "x.lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_lock_stays_where_its_folder_goes(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    lock = Lock.acquire(tmp_path / "before" / "x.lock")
    assert lock is not None
    (tmp_path / "before").rename(tmp_path / "after")
    assert is_held(tmp_path / "after" / "x.lock")
    lock.release()
    assert not is_held(tmp_path / "after" / "x.lock")


@pytest.mark.parametrize("plant", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("elsewhere")])
def test_what_cannot_be_asked_is_taken_for_alive(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / "x.lock")
    assert is_held(tmp_path / "x.lock")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.invariant(22)
def test_a_lock_behind_a_link_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "x.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"(?i)link|loop|levels"):
        Lock.acquire(tmp_path / "x.lock")
    assert not (tmp_path / "elsewhere").exists()


def test_the_store_is_locked_for_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    with store_lock(path) as ours:
        assert ours
        with store_lock(path, 0) as theirs:
            assert not theirs
    with store_lock(path, 0) as ours:
        assert ours


def test_a_store_that_cannot_be_locked_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "store.lock").mkdir()
    with store_lock(tmp_path / "store.lock", 0) as ours:
        assert not ours


@pytest.mark.invariant(17)
def test_a_child_of_a_fork_does_not_keep_a_lock(tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path / "x.lock")
    assert lock is not None
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(0)
    os.close(ours)
    lock.release()
    assert not is_held(tmp_path / "x.lock")
    os.close(theirs)
    os.waitpid(child, 0)


@pytest.mark.invariant(17)
def test_a_child_of_a_fork_that_ends_does_not_free_a_lock(tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path / "x.lock")
    assert lock is not None
    child = os.fork()
    if child == 0:
        try:
            lock.release()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert is_held(tmp_path / "x.lock")
    lock.release()


HOLDER = """
import os, subprocess, sys, time
from pathlib import Path
from pytest_resilience.ledger.locks import Lock

lock = Lock.acquire(Path(sys.argv[1]))
assert lock is not None
children = [subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL).pid]
child = os.fork()
if child == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(*children, child, flush=True)
time.sleep(60)
"""


@pytest.mark.invariant(18)
def test_a_killed_process_holds_nothing_though_its_children_live_on(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    children: list[int] = []
    try:
        children = [int(pid) for pid in holder.stdout.readline().split()]
        assert len(children) == 2
        assert is_held(path)
        holder.kill()
        holder.wait()
        freed = Lock.acquire(path, seconds=5)
        assert freed is not None
        freed.release()
        for child in children:
            os.kill(child, 0)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
        for child in children:
            os.kill(child, signal.SIGKILL)
