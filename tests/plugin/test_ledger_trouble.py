"""Whatever is wrong with the ledger, tests come to what they would come to without it, and one warning a code tells."""

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from pytest_resilience import history
from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.runs import lock_of

from .harness import Batch, Result

SUITE = """
from steps import step
def test_a(): step("a")
def test_b(): step("b"); assert 0
"""
FIRST = {"passed": 1, "failed": 1}


def resumable(pytester: pytest.Pytester) -> Batch:
    """A suite after its first run, in surroundings that nobody may touch."""
    batch = Batch(pytester, {"test_it.py": SUITE, "around/victim": "precious", "around/empty/keep": ""})
    assert batch.run("-p", "no:cacheprovider").outcomes == FIRST
    batch.forget()
    return batch


def around(batch: Batch) -> dict[str, tuple[int, int, bytes]]:
    """What is outside of the ledger: mode, links and content of each file, but for the notes of the suite."""
    found = {}
    for path in batch.root.rglob("*"):
        name = str(path.relative_to(batch.root))
        if not name.startswith((".pytest_resilience", ".local", "steps.txt")):
            state = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(state.st_mode) else b""
            found[name] = (state.st_mode, state.st_nlink if content else 0, content)
    return found


def codes(run: Result) -> list[str]:
    """The codes of the warnings, each of which may come once."""
    return [line.partition(" ")[0] for line in run.all_lines("WARNING")]


# ---- what the disk answers

NUMBERS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE)
CALLS = ("open_folder", "make_folder", "open_new", "open_lock", "append", "rename")


def refuse_all(patch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Have every call of a kind fail with an error, from now on."""

    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    patch.setattr(Disk, call, refuse)


@pytest.mark.invariant(14)
@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", CALLS)
def test_a_disk_that_refuses_changes_no_outcome_and_is_told_once(
    pytester: pytest.Pytester, call: str, number: int
) -> None:
    """And what an earlier run learnt is still known afterwards."""
    batch = resumable(pytester)
    before = around(batch)
    with pytest.MonkeyPatch.context() as patch:
        refuse_all(patch, call, number)
        run = batch.run("-p", "no:cacheprovider")
    assert (run.status, run.outcomes) == (1, FIRST), run.text
    assert codes(run) == ["RES402"]
    assert os.strerror(number) in run.line("WARNING")
    assert "INTERNALERROR" not in run.text
    assert around(batch) == before
    batch.forget()
    again = batch.run("--resume-failed", "-p", "no:cacheprovider")
    assert (again.status, again.outcomes) == (1, {"carried_over": 1, "failed": 1}), again.text
    assert batch.steps == ["b"]


# A disk that is full from the first test on, and has room again when the last one begins.
FULL = """
import errno, os
from pytest_resilience.ledger.disk import Disk

def refuse(disk, fd, data):
    raise OSError(int(os.environ["REFUSES"]), "refused")

append = Disk.append

def pytest_runtest_setup(item):
    if "REFUSES" in os.environ:
        Disk.append = append if item.name == "test_c" else refuse
"""


@pytest.mark.invariant(14, 15)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG], ids=errno.errorcode.get)
def test_a_disk_that_refuses_for_a_while_costs_what_was_found_out_meanwhile(
    pytester: pytest.Pytester, number: int
) -> None:
    batch = Batch(pytester, {"test_it.py": SUITE + "def test_c(): step('c')\n", "conftest.py": FULL})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Disk, "append", Disk.append)
        patch.setenv("REFUSES", str(number))
        run = batch.run()
    assert (run.status, run.outcomes) == (1, {"passed": 2, "failed": 1})
    assert codes(run) == ["RES402"]
    batch.forget()
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 1, "carried_over": 1}), run.text
    assert sorted(batch.steps) == ["a", "b"]


# ---- what somebody put there

Plant = Callable[[Path, Path], None]


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def device(path: Path, victim: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root can make a device")


def folder(path: Path, victim: Path) -> None:
    path.mkdir()


def place(batch: Batch, what: str) -> Path:
    store, newest = batch.store.root, batch.newest.path
    match what:
        case "store":
            return store
        case "segment":
            return batch.segment()
        case "worker.lock":
            return lock_of(newest, "gw0.1.00000000")
        case "FORMAT" | "runs" | "store.lock":
            return store / what
    return newest if what == "run" else newest / what


# What is told of it in a resume, and whether the resume then knows what the earlier run learnt.
FILES = [
    ("segment", ["RES401"], False),
    ("run.json", ["RES502"], False),
    ("tests.jsonl", ["RES401"], False),
    ("FORMAT", ["RES502", "RES402"], False),
    ("final.json", [], True),
    ("store.lock", [], True),
]


@pytest.mark.invariant(22)
@pytest.mark.parametrize(("what", "told", "knows"), FILES, ids=[what for what, *_ in FILES])
@pytest.mark.parametrize("plant", [link, hard_link, pipe, device, folder])
def test_what_is_no_file_of_ours_is_not_read_and_nothing_is_done_to_it(
    pytester: pytest.Pytester, what: str, told: list[str], knows: bool, plant: Plant
) -> None:
    batch = resumable(pytester)
    path = place(batch, what)
    path.unlink(missing_ok=True)
    plant(path, batch.root / "around" / "victim")
    planted, before = path.lstat(), around(batch)
    run = batch.run("--resume-failed", "-p", "no:cacheprovider")
    assert "INTERNALERROR" not in run.text
    assert (run.status, codes(run)) == (1, told), run.text
    assert "b" in batch.steps
    assert run.outcomes == ({"carried_over": 1, "failed": 1} if knows else FIRST)
    assert around(batch) == before
    now = path.lstat()
    assert (now.st_ino, now.st_mode, now.st_nlink) == (planted.st_ino, planted.st_mode, planted.st_nlink)


@pytest.mark.invariant(22)
@pytest.mark.parametrize("what", ["store", "runs", "run"])
def test_a_folder_that_is_a_link_is_not_followed(pytester: pytest.Pytester, what: str) -> None:
    batch = resumable(pytester)
    path = place(batch, what)
    away = batch.root / "around" / "away"
    path.rename(away)
    path.symlink_to(away)
    before = around(batch)
    run = batch.run("--resume-failed", "-p", "no:cacheprovider")
    assert (run.status, run.outcomes) == (1, FIRST), run.text
    assert codes(run) == (["RES502"] if what == "run" else ["RES502", "RES402"])
    assert around(batch) == before


@pytest.mark.invariant(22)
@pytest.mark.parametrize("what", ["owner.lock", "worker.lock"])
@pytest.mark.parametrize("plant", [link, hard_link, pipe, device, folder])
def test_a_lock_that_cannot_be_asked_refuses_the_resume_and_says_why(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, what: str, plant: Plant
) -> None:
    monkeypatch.setattr(history, "WAIT_FOR_WRITERS", 0.0)
    batch = resumable(pytester)
    path = place(batch, what)
    path.unlink(missing_ok=True)
    plant(path, batch.root / "around" / "victim")
    before = around(batch)
    run = batch.run("--resume-failed", "-p", "no:cacheprovider")
    assert (run.status, batch.steps) == (4, [])
    assert "RES403 ledger-locked: " in run.text
    assert "whose lock cannot be read: " in run.text
    run = batch.run("--resume-failed", "--resume-force", "-p", "no:cacheprovider")
    assert (run.status, run.outcomes) == (1, {"carried_over": 1, "failed": 1})
    assert codes(run) == ["RES403"]
    assert around(batch) == before


def somebody_elses(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(path, 12345, 12345)


@pytest.mark.invariant(23)
@pytest.mark.parametrize("what", ["store", "runs"])
@pytest.mark.parametrize(
    "spoil",
    [somebody_elses, lambda path: path.chmod(0o770), lambda path: path.chmod(0o707)],
    ids=["foreign", "group", "world"],
)
def test_a_ledger_that_others_can_change_is_neither_believed_nor_written(
    pytester: pytest.Pytester, what: str, spoil: Callable[[Path], None]
) -> None:
    batch = resumable(pytester)
    spoil(place(batch, what))
    before = {path: path.lstat().st_mtime_ns for path in batch.store.root.rglob("*")}
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (1, FIRST)
    assert codes(run) == ["RES502", "RES402"]
    assert re.search("owned by somebody else|others may write to it", run.all_lines("WARNING")[0])
    assert {path: path.lstat().st_mtime_ns for path in batch.store.root.rglob("*")} == before
    # What it found out is kept elsewhere, and found there.
    assert batch.run("--resume-failed").outcomes == {"carried_over": 1, "failed": 1}


# ---- other releases


def newer(line: bytes) -> Iterator[bytes]:
    """The line as the next minor version may write it, and after it one of a kind that only that one knows."""
    members = json.loads(line)
    del members["c"]
    if members["k"] == "hdr":
        members["v"] = [1, 9]
    for changed in ({**members, "later": [1, {"x": 2}]}, {**members, "k": "new", "s": members["s"] + 1000}):
        body = json.dumps(changed, separators=(",", ":"))[:-1].encode("ascii")
        yield b'%b,"c":"%08x"}\n' % (body, crc32(body))


@pytest.mark.invariant(27)
def test_a_run_of_a_newer_minor_format_is_resumed(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    described = batch.newest.path / "run.json"
    described.write_text(json.dumps({**json.loads(described.read_text()), "later": {"x": 1}}))
    (batch.store.root / "FORMAT").write_text('{"format": "pytest-resilience", "major": 1, "minor": 9}')
    for file in (batch.segment(), batch.newest.path / "tests.jsonl"):
        lines = [list(newer(line)) for line in file.read_bytes().splitlines()]
        file.write_bytes(b"".join([known for known, _ in lines] + [lines[0][1]]))
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (1, {"carried_over": 1, "failed": 1}), run.text
    assert batch.steps == ["b"]


@pytest.mark.invariant(27)
def test_a_ledger_of_a_newer_major_format_is_neither_read_nor_written(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run_id = batch.newest.id
    (batch.store.root / "FORMAT").write_text('{"format": "pytest-resilience", "major": 2, "minor": 0}')
    before = {path: path.lstat().st_mtime_ns for path in batch.store.root.rglob("*")}
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (1, FIRST)
    assert codes(run) == ["RES502", "RES404"]
    run = batch.run(f"--resume-failed={run_id}")
    assert run.status == 4
    assert "RES404 ledger-version-unsupported: " in run.text
    assert {path: path.lstat().st_mtime_ns for path in batch.store.root.rglob("*")} == before
    assert not (batch.root / ".local").exists()
