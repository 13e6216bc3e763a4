"""Who keeps a run alive is named; who merely keeps its lock, long after it died, is told from that."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_resilience.ledger.holders import holders, processes_with
from pytest_resilience.ledger.locks import Lock, is_held
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.runs import RunFolder, Store, lock_of
from pytest_resilience.ledger.segments import Segment

from .. import ledgers

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a lock")
pytestmark = pytest.mark.invariant(18)

ME = Process.here()


def a_run(tmp_path: Path, owner: Process = ME) -> RunFolder:
    return Store(tmp_path / "store").create(ledgers.info(owner=owner))


# Makes a run, or takes the lock of a worker, and forks a child as a library in C does: Python does not learn of it.
_DIES = """
import ctypes, os, sys, time
from pathlib import Path
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.runs import RunFolder, RunInfo, Store, new_run_id
from pytest_resilience.ledger.segments import Segment

path, worker = Path(sys.argv[1]), sys.argv[2]
if worker:
    folder = RunFolder(path, RunInfo.read(path))
    segment = Segment.create(path, worker, run=folder.id, trouble=print)
    assert folder.hold(segment.writer)
else:
    me = Process.here()
    info = RunInfo(id=new_run_id(1.8e9, os.urandom(8)), key="k", rootdir="/r", pid=me.pid, start=me.start, host=me.host, boot=me.boot)
    folder = Store(path).create(info)
child = ctypes.CDLL(None).fork()
if child == 0:
    os.closerange(0, 3)
    time.sleep(60)
    os._exit(0)
print(os.getpid(), child, flush=True)
os._exit(0)
"""


@contextmanager
def left_behind(path: Path, worker: str = "") -> Iterator[tuple[int, int]]:
    """The ids of a process that is dead and of the child that has its lock."""
    program = [sys.executable, "-c", _DIES, str(path), worker]
    parent, child = map(int, subprocess.run(program, check=True, capture_output=True).stdout.split())
    try:
        yield parent, child
    finally:
        os.kill(child, signal.SIGKILL)


def test_owner_and_workers_are_named_as_a_person_knows_them(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    assert folder.hold("gw3.4250.00000000") is not None
    assert list(map(str, holders(folder))) == [
        f"its session, process {os.getpid()}",
        "worker gw3, process 4250",
    ]
    folder.release()
    assert holders(folder) == []


def test_a_process_of_another_machine_is_named_with_it(tmp_path: Path) -> None:
    folder = a_run(tmp_path, ME._replace(host="ci-7"))
    assert [str(one) for one in holders(folder)] == [f"its session, process {os.getpid()} on ci-7"]
    folder.release()


def test_a_lock_that_cannot_be_asked_is_held_and_the_reason_is_told(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    folder.release()
    lock = lock_of(folder.path, "owner")
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    (one,) = holders(folder)
    assert "process" in str(one)
    assert "whose lock cannot be read: " in str(one)
    assert one.children == ()


def test_the_file_of_a_lock_with_a_name_that_is_no_writers_is_no_trouble(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    folder.release()
    lock = Lock.acquire(folder.path / "seg-odd\x1b.alive")
    assert lock is not None
    (one,) = holders(folder)
    assert one.process.pid == 0
    lock.release()


@on_linux
def test_a_child_that_keeps_the_lock_of_a_dead_owner_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with left_behind(store.root) as (parent, child):
        folder = store.folder(store.runs()[0].id)
        (one,) = holders(folder)
        assert (one.name, one.process.pid, one.children) == ("owner", parent, (child,))
        assert RunFolder.is_alive(folder.path), "a pruner leaves it alone"


@on_linux
def test_a_child_that_keeps_the_lock_of_a_dead_worker_is_found(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    folder.release()
    with left_behind(folder.path, "gw0") as (parent, child):
        (one,) = holders(folder)
        assert (one.process.pid, one.children) == (parent, (child,))
        assert one.role == "worker gw0"


@on_linux
def test_an_owner_whose_id_another_process_has_now_is_dead(tmp_path: Path) -> None:
    """This process has the id, and holds the lock: a child of the former one could not be told from that."""
    folder = a_run(tmp_path, ME._replace(start=str(int(ME.start) - 5)))
    (one,) = holders(folder)
    assert one.children == (os.getpid(),)
    folder.release()


@on_linux
def test_a_process_that_is_seen_from_outside_its_container_is_alive(tmp_path: Path) -> None:
    """Its id is another one here, but it began when the run's owner did."""
    folder = a_run(tmp_path, ME._replace(pid=2**22 + 1))
    (one,) = holders(folder)
    assert one.children == ()
    folder.release()


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"boot": "another"}])
def test_of_another_machine_nobody_is_taken_for_dead(tmp_path: Path, change: dict[str, str]) -> None:
    folder = a_run(tmp_path, ME._replace(start="1", **change))  # type: ignore[arg-type]
    assert [one.children for one in holders(folder)] == [()]
    folder.release()


@on_linux
def test_who_has_the_file_of_a_lock_open_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    lock = Lock.acquire(path)
    assert lock is not None
    assert processes_with(path) == [os.getpid()]
    lock.release()
    with path.open():
        assert processes_with(path) == []
    assert not is_held(path)


def test_where_nobody_tells_nobody_is_found(tmp_path: Path) -> None:
    assert processes_with(tmp_path / "missing") == []
    (tmp_path / "x").touch()
    assert processes_with(tmp_path / "x", tmp_path / "no-proc") == []


def test_a_segment_that_tells_nothing_leaves_the_name_of_its_writer(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    folder.release()
    segment = Segment.create(folder.path, "gw0", run=folder.id, trouble=lambda code, why: pytest.fail(why))
    assert folder.hold(segment.writer) is not None
    assert holders(folder)[0].process == ME
    (folder.path / f"seg-{segment.writer}.jsonl").write_bytes(b"\0")
    assert holders(folder)[0].process == ME._replace(start="")
    segment.close()
    folder.release()
