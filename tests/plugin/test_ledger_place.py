"""Where the ledger goes when it cannot be at the rootdir: the user's state folder, then nowhere; always with a word."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.places import state_folder
from pytest_resilience.ledger.runs import Store

from .harness import Batch, Result

SUITE = """
from steps import step
def test_a(): step("a")
def test_b(): assert step("b") > 1
def test_c(): assert step("c") > 2
"""
# For a suite whose disk is full from its first test on.
FULL = """
import errno
import pytest
from pytest_resilience.ledger.disk import Disk

def append(disk, fd, data):
    raise OSError(errno.ENOSPC, "no space left")

@pytest.fixture(autouse=True)
def full():
    Disk.append = append
"""


def elsewhere(batch: Batch) -> Store:
    """The store of a batch in the user's state folder."""
    place = state_folder(batch.root, os.environ)
    assert place is not None
    return Store(place)


class Closing:
    """Makes the store below a rootdir, and no other, one that nothing can be written to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.number = 0
        self._root = str(root)
        monkeypatch.setattr(Disk, "make_folder", self._guarded(Disk.make_folder))

    def _guarded(self, inner: Callable[[Disk, Path], None]) -> Callable[[Disk, Path], None]:
        def make_folder(disk: Disk, path: Path) -> None:
            if self.number and str(path).startswith(self._root):
                raise OSError(self.number, os.strerror(self.number), str(path))
            inner(disk, path)

        return make_folder


@pytest.fixture
def closing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Closing:
    return Closing(monkeypatch, pytester.path / ".pytest_resilience")


def check_moved(batch: Batch, run: Result) -> None:
    """A word says why, and where the ledger is now."""
    (warning,) = run.all_lines("WARNING")
    assert f"So the ledger is in {elsewhere(batch).root}, where --resume-failed finds it" in warning
    assert warning.startswith("RES402 ledger-unwritable: [Errno ")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_rootdir_that_cannot_be_written_has_its_ledger_in_the_state_folder(
    pytester: pytest.Pytester, closing: Closing, number: int
) -> None:
    batch = Batch(pytester, SUITE)
    closing.number = number
    run = batch.run()
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 2})
    check_moved(batch, run)
    assert os.strerror(number) in run.line("WARNING")
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (1, {"carried_over": 1, "passed": 1, "failed": 1})
    check_moved(batch, run)
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (0, {"carried_over": 2, "passed": 1})
    assert not batch.store.root.exists()
    assert len(elsewhere(batch).runs()) == 3


def test_a_file_in_its_place_is_left_alone(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_it.py": SUITE, ".pytest_resilience": "a file"})
    check_moved(batch, batch.run())
    run = batch.run("--resume-failed")
    assert run.outcomes == {"carried_over": 1, "passed": 1, "failed": 1}
    assert (batch.root / ".pytest_resilience").read_text() == "a file"


def test_the_newest_run_is_resumed_wherever_it_is(pytester: pytest.Pytester, closing: Closing) -> None:
    """From the rootdir to the state folder, and back when the rootdir can be written again."""
    batch = Batch(pytester, SUITE)
    batch.run()
    closing.number = errno.EROFS
    assert batch.run("--resume-failed").outcomes == {"carried_over": 1, "passed": 1, "failed": 1}
    closing.number = 0
    batch.forget()
    batch.write(
        {"steps.py": (batch.root / "steps.py").read_text().replace(".count(word)", ".count(word) + 9")}
    )
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (0, {"carried_over": 2, "passed": 1})
    assert batch.steps == ["c"]
    assert not run.line("WARNING")
    assert [len(store.runs()) for store in (batch.store, elsewhere(batch))] == [2, 1]
    assert batch.newest.info.parent == elsewhere(batch).runs()[0].id


def test_a_newer_run_that_failed_is_not_hidden_by_an_older_one_elsewhere(
    pytester: pytest.Pytester, closing: Closing
) -> None:
    """It would be a false green: there the test had passed."""
    batch = Batch(
        pytester, "from steps import step\ndef test_a(): assert step('a') != 2\ndef test_b(): assert 0\n"
    )
    closing.number = errno.EROFS
    assert batch.run().outcomes == {"passed": 1, "failed": 1}
    closing.number = 0
    assert batch.run().outcomes == {"failed": 2}
    run = batch.run("--resume-failed")
    assert run.outcomes == {"passed": 1, "failed": 1}
    assert batch.steps.count("a") == 3


def test_a_run_elsewhere_has_a_name(pytester: pytest.Pytester, closing: Closing) -> None:
    batch = Batch(pytester, SUITE)
    closing.number = errno.EROFS
    batch.run()
    closing.number = 0
    batch.run()
    name = elsewhere(batch).runs()[0].id
    run = batch.run(f"--resume-failed={name}")
    assert run.outcomes["carried_over"] == 1
    assert batch.newest.info.parent == name


@pytest.mark.parametrize("how", ["flag", "table"])
def test_a_place_that_the_user_named_is_not_replaced(
    pytester: pytest.Pytester, closing: Closing, how: str
) -> None:
    table = "[tool.resilience.ledger]\ndir = '.pytest_resilience'\n" if how == "table" else ""
    batch = Batch(pytester, {"test_it.py": SUITE, "pyproject.toml": table})
    flags = ["--resilience-dir", ".pytest_resilience"] if how == "flag" else []
    closing.number = errno.EROFS
    run = batch.run(*flags)
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 2})
    assert "--resume-failed will know nothing of this run" in run.line("WARNING")
    assert not run.line("RESUME")
    assert not elsewhere(batch).root.exists()


def test_when_there_is_no_place_at_all_both_reasons_are_told(
    pytester: pytest.Pytester, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(pytester, SUITE)
    (batch.root / "state").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(batch.root / "state"))
    closing.number = errno.EROFS
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 2})
    (warning,) = [line for line in run.all_lines("WARNING") if "RES402" in line]
    assert "Read-only file system" in warning
    assert f"'{batch.root / 'state'}'" in warning
    assert "will know nothing of this run" in warning


@pytest.mark.invariant(23)
def test_an_unsafe_store_elsewhere_is_not_read(pytester: pytest.Pytester, closing: Closing) -> None:
    batch = Batch(pytester, SUITE)
    closing.number = errno.EROFS
    batch.run()
    elsewhere(batch).root.chmod(0o777)
    run = batch.run("--resume-failed")
    assert run.outcomes == {"passed": 2, "failed": 1}
    warnings = "\n".join(run.all_lines("WARNING"))
    assert "RES502 resume-ledger-missing: the ledger cannot be read" in warnings
    assert "others may write to it" in warnings


def test_that_the_ledger_is_elsewhere_does_not_hide_what_is_lost_there(
    pytester: pytest.Pytester, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(pytester, SUITE)
    closing.number = errno.EROFS
    batch.write({"conftest.py": FULL})
    monkeypatch.setattr(Disk, "append", Disk.append)
    run = batch.run()
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 2})
    (warning,) = run.all_lines("WARNING")
    assert "So the ledger is in " in warning
    assert ". Later: no space left" in warning


@pytest.fixture
def mounted(pytester: pytest.Pytester) -> Iterator[Path]:
    """A rootdir on a file system of its own."""
    root = pytester.path / "mounted"
    root.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(root)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True)


def test_on_a_file_system_that_is_read_only(pytester: pytest.Pytester, mounted: Path) -> None:
    """With a run of before that is read there, and resumed."""
    batch = Batch(pytester, {})
    (mounted / "pytest.ini").write_text("[pytest]\n")
    (mounted / "test_it.py").write_text(
        "import os\ndef test_a(): pass\ndef test_b(): assert 'MENDED' in os.environ\n"
    )
    arguments = ("-p", "no:cacheprovider", "--rootdir", mounted, mounted)
    assert batch.run(*arguments).outcomes == {"passed": 1, "failed": 1}
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    run = batch.run("--resume-failed", *arguments)
    assert (run.status, run.outcomes) == (1, {"carried_over": 1, "failed": 1})
    assert "Read-only file system" in run.line("WARNING")
    run = batch.run("--resume-failed", *arguments)
    assert (run.status, run.outcomes) == (1, {"carried_over": 1, "failed": 1})
    place = state_folder(mounted, os.environ)
    assert place is not None
    assert len(Store(place).runs()) == 2
