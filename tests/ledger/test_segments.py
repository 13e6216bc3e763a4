"""What one process writes: acknowledged is readable, and nothing that goes wrong reaches the tests."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptStarted, Fact, SegmentOpened, TestFinished, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger import forks
from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.reading import facts_of, read
from pytest_resilience.ledger.segments import WRITER, Segment

Trouble = list[tuple[Code, str]]


def started(key: str) -> AttemptStarted:
    return AttemptStarted(key=key, attempt=1)


def passed(key: str) -> TestFinished:
    return TestFinished(key=key, outcome=Outcome.PASSED)


def about_tests(folder: Path) -> list[Fact]:
    """The facts about tests that the folder holds, in the order of the files."""
    return [fact for _, fact in facts_of(folder) if not isinstance(fact, SegmentOpened)]


def a_segment(
    folder: Path,
    *,
    worker: str = "gw0",
    durability: str = "second",
    trouble: Callable[[Code, str], None] = lambda code, why: pytest.fail(f"{code}: {why}"),
    clock: Callable[[], float] = lambda: 1000.0,
    disk: Disk | None = None,
) -> Segment:
    return Segment.create(
        folder,
        worker,
        run="r",
        durability=durability,
        trouble=trouble,
        clock=clock,
        disk=Disk() if disk is None else disk,
    )


def test_what_was_acknowledged_can_be_read_while_the_writer_goes_on(tmp_path: Path) -> None:
    segment = a_segment(tmp_path)
    assert segment.write(started("a"))
    assert segment.write(passed("a"))
    assert about_tests(tmp_path) == [started("a"), passed("a")]
    segment.close()


def test_a_segment_says_first_who_writes_it(tmp_path: Path) -> None:
    segment = a_segment(tmp_path)
    segment.close()
    reading = read(tmp_path)
    [record] = reading.records
    assert isinstance(record.fact, SegmentOpened)
    assert (record.fact.run, record.fact.writer, record.fact.pid) == ("r", segment.writer, os.getpid())
    assert reading.problems == []


@pytest.mark.invariant(22)
@pytest.mark.parametrize("worker", ["gw0", "ctl", "../../x", "", "a b/c", "x" * 300, "ü"])
def test_the_name_of_a_writer_is_safe_in_a_path_whatever_the_worker_is_called(
    tmp_path: Path, worker: str
) -> None:
    segment = a_segment(tmp_path, worker=worker)
    segment.close()
    assert WRITER.fullmatch(segment.writer)
    assert [path.name for path in tmp_path.iterdir()] == [f"seg-{segment.writer}.jsonl"]


@pytest.mark.invariant(23)
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_file_is_only_ours_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        segment = a_segment(tmp_path)
    finally:
        os.umask(before)
    segment.close()
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.invariant(7)
def test_two_segments_of_a_process_are_two_files(tmp_path: Path) -> None:
    first, second = a_segment(tmp_path), a_segment(tmp_path)
    assert first.writer != second.writer
    first.write(passed("a"))
    second.write(passed("b"))
    first.close()
    second.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert sorted(map(repr, about_tests(tmp_path))) == sorted(map(repr, [passed("a"), passed("b")]))


@pytest.mark.invariant(7)
def test_a_file_that_exists_is_never_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Segment, "_urandom", staticmethod(lambda size: b"\0" * size))
    troubles: Trouble = []
    theirs = tmp_path / f"seg-gw0.{os.getpid()}.00000000.jsonl"
    theirs.write_bytes(b"theirs\n")
    segment = a_segment(tmp_path, trouble=lambda *trouble: troubles.append(trouble))
    assert not segment.write(passed("a"))
    assert theirs.read_bytes() == b"theirs\n"
    assert [code for code, _ in troubles] == [Code.LEDGER_UNWRITABLE]


def test_many_selected_tests_become_several_lines(tmp_path: Path) -> None:
    segment = a_segment(tmp_path)
    keys = tuple(f"test_{number}" for number in range(1200))
    assert segment.write(TestsSelected(keys=keys))
    segment.close()
    pieces = about_tests(tmp_path)
    assert [key for piece in pieces if isinstance(piece, TestsSelected) for key in piece.keys] == list(keys)
    assert len(pieces) == 3


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    segment = a_segment(tmp_path)
    segment.close()
    segment.close()
    segment.sync()
    assert not segment.write(passed("a"))
    assert about_tests(tmp_path) == []


@pytest.mark.invariant(9)
def test_a_fact_that_no_line_can_hold_is_dropped_and_leaves_a_gap(tmp_path: Path) -> None:
    troubles: Trouble = []
    segment = a_segment(tmp_path, trouble=lambda *trouble: troubles.append(trouble))
    assert not segment.write(AttemptStarted(key="a", attempt=-1))
    assert not segment.write(AttemptStarted(key=7, attempt=1))  # type: ignore[arg-type]
    assert not segment.write(TestsSelected(keys=(7,)))  # type: ignore[arg-type]
    assert segment.write(passed("a"))
    segment.close()
    assert segment.dropped == 3
    assert len(troubles) == 1
    reading = read(tmp_path)
    assert [record.fact for record in reading.records][1:] == [passed("a")]
    assert [damage.why for damage in reading.problems] == ["2 lines before this one are missing"]


def test_the_one_who_is_told_may_fail_too(tmp_path: Path) -> None:
    def trouble(code: Code, why: str) -> None:
        raise RuntimeError(why)

    segment = a_segment(tmp_path / "missing", trouble=trouble)
    assert not segment.write(passed("a"))
    assert segment.dropped == 1


# ---- what tests do


@pytest.mark.invariant(14, 15)
def test_a_removed_folder_costs_what_comes_later_and_one_warning(tmp_path: Path) -> None:
    troubles: Trouble = []
    folder = tmp_path / "run"
    folder.mkdir()
    segment = a_segment(folder, trouble=lambda *trouble: troubles.append(trouble))
    assert segment.write(passed("a"))
    shutil.rmtree(folder)
    assert [segment.write(passed(key)) for key in "bcd"] == [False, False, False]
    assert segment.dropped == 3
    assert len(troubles) == 1
    folder.mkdir()
    assert segment.write(passed("e"))
    segment.close()
    assert passed("e") in about_tests(folder)


def test_a_removed_file_is_followed_by_a_new_one(tmp_path: Path) -> None:
    troubles: Trouble = []
    segment = a_segment(tmp_path, trouble=lambda *trouble: troubles.append(trouble))
    segment.write(passed("a"))
    before = segment.writer
    (tmp_path / f"seg-{before}.jsonl").unlink()
    assert segment.write(passed("b"))
    assert segment.writer != before
    segment.close()
    # What was not yet synced is known, so it is there too.
    assert about_tests(tmp_path) == [passed("a"), passed("b")]
    assert [why for _, why in troubles] == [f"somebody removed the ledger's file ({tmp_path})"]


@pytest.mark.invariant(16)
@pytest.mark.parametrize("fact", [passed("b"), started("b")])
def test_a_descriptor_that_a_test_put_its_file_on_is_left_alone(tmp_path: Path, fact: Fact) -> None:
    segment = a_segment(tmp_path)
    assert segment.write(passed("a"))
    assert segment._fd is not None
    taken = segment._fd
    with (tmp_path / "victim").open("w+b") as victim:
        os.dup2(victim.fileno(), taken)
        assert segment.write(fact)
        segment.sync()
        segment.close()
        assert os.fstat(taken).st_ino == os.fstat(victim.fileno()).st_ino, "their descriptor was closed"
        os.close(taken)
        assert os.fstat(victim.fileno()).st_size == 0
    # The first fact is there twice: in the old file, and, not being synced, in the new one.
    assert set(map(repr, about_tests(tmp_path))) == {repr(passed("a")), repr(fact)}
    assert read(tmp_path).problems == []


@pytest.mark.invariant(16)
def test_a_start_finds_a_descriptor_that_a_test_closed(tmp_path: Path) -> None:
    segment = a_segment(tmp_path)
    assert segment.write(passed("a"))
    assert segment._fd is not None
    os.close(segment._fd)
    assert segment.write(started("b"))
    segment.close()
    assert set(map(repr, about_tests(tmp_path))) == {repr(passed("a")), repr(started("b"))}


def run_python(code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CLOSE_ALL = """
import os, sys
from pathlib import Path
from pytest_resilience.core.facts import TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.locks import Lock, is_held
from pytest_resilience.ledger.segments import Segment

folder, lowest, highest = Path(sys.argv[1]), 3, LIMIT
segment = Segment.create(folder, "gw0", run="r", trouble=print)
lock = Lock.acquire(folder / "x.lock")
assert segment.write(TestFinished(key="a", outcome=Outcome.PASSED))
os.closerange(lowest, highest)
victims = [os.open(folder / "victim", os.O_RDWR | os.O_CREAT | os.O_APPEND) for _ in range(600)]
assert segment.write(TestFinished(key="b", outcome=Outcome.PASSED))
if highest == 256:
    assert is_held(folder / "x.lock")
segment.close()
lock.release()
assert not is_held(folder / "x.lock")
assert os.stat(folder / "victim").st_size == 0
for victim in victims:
    os.fstat(victim)
"""


@pytest.mark.invariant(16)
@pytest.mark.parametrize("highest", [256, 4096])
def test_a_test_that_closes_every_descriptor_gets_no_byte_of_the_ledger(tmp_path: Path, highest: int) -> None:
    done = run_python(CLOSE_ALL.replace("LIMIT", str(highest)), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert passed("a") in about_tests(tmp_path)
    assert passed("b") in about_tests(tmp_path)


def in_a_forked_child(act: Callable[[], object]) -> int:
    """What `act` answers in a child, as an exit status: 0 for true."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if act() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.invariant(17)
def test_a_forked_child_never_writes(tmp_path: Path) -> None:
    segment = a_segment(tmp_path)
    assert segment.write(passed("a"))
    assert in_a_forked_child(lambda: segment.write(passed("child"))) == 1
    assert in_a_forked_child(lambda: segment._fd is None) == 0
    in_a_forked_child(segment.close)
    assert segment.write(passed("b"))
    segment.close()
    assert about_tests(tmp_path) == [passed("a"), passed("b")]
    assert read(tmp_path).problems == []


@pytest.mark.invariant(17)
def test_a_child_that_no_callback_reached_does_not_write_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = a_segment(tmp_path)
    monkeypatch.setattr(Segment, "_getpid", staticmethod(lambda: os.getpid() + 1))
    assert not segment.write(passed("child"))
    segment.sync()
    segment.close()
    monkeypatch.undo()
    assert segment.write(passed("a"))
    segment.close()
    assert about_tests(tmp_path) == [passed("a")]


def test_segments_that_are_gone_are_not_remembered_for_forks(tmp_path: Path) -> None:
    before = len(forks._KNOWN)
    for _ in range(20):
        a_segment(tmp_path).close()
    assert len(forks._KNOWN) <= before + 1


def test_a_fact_out_of_a_signal_handler_waits_for_the_one_being_written(tmp_path: Path) -> None:
    class Interrupted(Disk):
        def append(self, fd: int, data: bytes) -> int:
            if data.startswith(b"{") and b"outer" in data:
                taken = super().append(fd, data[:5])
                signal.raise_signal(signal.SIGUSR1)
                return taken
            return super().append(fd, data)

    segment = a_segment(tmp_path, disk=Interrupted())
    answers: list[bool] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: answers.append(segment.write(passed("inner"))))
    try:
        assert segment.write(passed("outer"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    segment.close()
    assert answers == [False]
    assert about_tests(tmp_path) == [passed("outer"), passed("inner")]


def test_an_interrupt_in_mid_write_leaves_a_file_that_can_be_gone_on_with(tmp_path: Path) -> None:
    class Interrupting(Disk):
        def append(self, fd: int, data: bytes) -> int:
            if b"interrupted" in data:
                super().append(fd, data[:20])
                raise KeyboardInterrupt
            return super().append(fd, data)

    segment = a_segment(tmp_path, disk=Interrupting())
    segment.write(passed("a"))
    with pytest.raises(KeyboardInterrupt):
        segment.write(passed("interrupted"))
    assert segment.write(passed("b"))
    segment.close()
    assert about_tests(tmp_path) == [passed("a"), passed("b")]


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    segment = a_segment(tmp_path)
    threads = [
        threading.Thread(target=lambda name=name: [segment.write(passed(f"{name}{n}")) for n in range(100)])
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    segment.close()
    reading = read(tmp_path)
    assert sum(1 for _ in reading.records) == 401
    assert reading.problems == []


# ---- power cuts


class Counting(Disk):
    """A disk that counts how often it was told to make sure of a file."""

    def __init__(self) -> None:
        self.syncs = 0

    def datasync(self, fd: int) -> None:
        self.syncs += 1
        super().datasync(fd)


@pytest.mark.invariant(2, 29)
@pytest.mark.parametrize(("durability", "expected"), [("process", 0), ("second", 2), ("record", 9)])
def test_durability_says_how_often_the_disk_is_waited_for(
    tmp_path: Path, durability: str, expected: int
) -> None:
    disk, now = Counting(), [1000.0]
    segment = a_segment(tmp_path, durability=durability, clock=lambda: now[0], disk=disk)
    for _ in range(4):
        # Between tests only: a start is never the moment for it.
        segment.write(started("a"))
        now[0] += 0.6
        segment.write(passed("a"))
    assert disk.syncs == (expected if durability != "record" else 8)
    segment.write(started("b"))
    segment.close()
    assert disk.syncs == expected + (durability == "second")


@pytest.mark.invariant(32)
def test_a_clock_that_goes_back_does_not_end_the_syncing(tmp_path: Path) -> None:
    disk, now = Counting(), [1e9]
    segment = a_segment(tmp_path, clock=lambda: now[0], disk=disk)
    now[0] -= 86400
    segment.write(passed("a"))
    assert disk.syncs == 1
    segment.close()
