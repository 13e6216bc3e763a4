"""The hang matrix: in what a worker hangs, where, and how tests are distributed.

In every cell one worker hangs, for good, and the session has to come to its end all the same: soon, with the right
outcome for every test, with the stack, and with nothing left running. By hand, from the top of the project:
``python -m tests.acceptance.hangmatrix``, which is what ``tox -e torture`` runs.
"""

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..process.sessions import Batch, Said

LIMIT = 1.5
# To start and to collect takes a worker some time where it does not hang.
STAGES = {
    "start": ("start", 6.0),
    "collection": ("collect", 6.0),
    "finish": ("end", 3.0),
    "exit": ("end", 3.0),
}
# A machine that is busy with other things may need longer to get round to it.
SECONDS_TO_RECOVER = 2.0
TESTS = 12

MODES = ("load", "worksteal", "loadscope", "loadfile", "loadgroup")

# How things hang. Each says first who it is, and when.
HANGS = """
import ctypes, os, signal, subprocess, sys, threading, time
import here

def begins(*children):
    here.note({"pid": os.getpid(), "children": children, "at": time.monotonic()})

def sleeps():
    begins()
    time.sleep(1000)

def spins():
    begins()
    while True:
        pass

def holds_the_gil():
    library = ctypes.PyDLL(os.environ["LIBRARY_THAT_SPINS"])
    begins()
    library.spin()

def is_stopped():
    begins()
    os.kill(os.getpid(), signal.SIGSTOP)

def waits_for_a_process():
    # It ends neither with what it speaks to nor by the signals of a terminal.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
    begins(child.pid)
    child.wait()

def waits_for_a_forked_process():
    child = os.fork()
    if not child:
        time.sleep(1000)
    begins(child)
    os.waitpid(child, 0)

def is_deadlocked():
    first, second, both = threading.Lock(), threading.Lock(), threading.Barrier(2)
    def takes(one, other):
        with one:
            both.wait()
            with other:
                pass
    thread = threading.Thread(target=takes, args=(second, first), daemon=True)
    thread.start()
    begins()
    takes(first, second)
"""
KINDS = (
    "sleeps",
    "spins",
    "holds_the_gil",
    "is_stopped",
    "waits_for_a_process",
    "waits_for_a_forked_process",
    "is_deadlocked",
)

# Where it happens, and what becomes of the test: none is to blame for what is outside of all tests.
PLACES = ("setup", "call", "teardown", "start", "collection", "finish", "exit")
_IN_A_TEST = ("setup", "call", "teardown")

_SUITE = """
import atexit, here, hangs, os, pytest

@pytest.fixture
def fixture(n):
    if ({place!r}, n) == ("setup", 3):
        hangs.{kind}()
    yield
    if ({place!r}, n) == ("teardown", 3):
        hangs.{kind}()

if {place!r} == "collection" and here.mark("once"):
    hangs.{kind}()

@pytest.mark.parametrize("n", range({tests}))
def test(n, fixture):
    if ({place!r}, n) == ("call", 3):
        hangs.{kind}()
"""
_CONFTEST = """
import atexit, here, hangs, os, pytest, time

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

def pytest_sessionstart():
    if {place!r} == "start" and IS_WORKER and here.mark("once"):
        hangs.{kind}()
    if {place!r} == "exit" and IS_WORKER and here.mark("once"):
        atexit.register(hangs.{kind})

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    if {place!r} == "finish" and IS_WORKER and here.mark("once"):
        hangs.{kind}()

@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(error):
    if error is not None:
        here.note({{"recovered": time.monotonic()}})

def pytest_unconfigure():
    if not IS_WORKER:
        here.note({{"over": time.monotonic()}})
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    kind: str
    place: str
    mode: str

    def __str__(self) -> str:
        return f"{self.kind}, {self.place}, {self.mode}"

    @property
    def missing(self) -> str:
        """What this machine lacks for it, empty when nothing does."""
        return "no C compiler" if self.kind == "holds_the_gil" and compiler() is None else ""


CELLS = [
    Cell(kind, place, mode)
    for kind, place, mode in product(KINDS, PLACES, MODES)
    # Elsewhere than in a test one way to hang is like the others, and the mode is nothing to it.
    if place == "call" or kind == "sleeps"
]


@functools.cache
def compiler() -> str | None:
    """The C compiler at hand."""
    names = ((sysconfig.get_config_var("CC") or "").split() or [""])[0], "cc", "gcc", "clang"
    return next((found for name in names if name and (found := shutil.which(name))), None)


def library_that_spins(folder: Path) -> Path:
    """A library with a function that never returns; called through ctypes.PyDLL it has the GIL."""
    library = folder / "spin.so"
    source = folder / "spin.c"
    source.write_text("volatile int turns; void spin(void) { for (;;) turns++; }\n", "ascii")
    command = [compiler() or "cc", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return library


def run_cell(cell: Cell, folder: Path, seconds_to_recover: float = SECONDS_TO_RECOVER) -> list[str]:
    """Run a session in which a worker hangs, and tell what was wrong with that."""
    batch = Batch(folder / "batch")
    names = {"kind": cell.kind, "place": cell.place, "tests": TESTS}
    batch.write(
        {"hangs.py": HANGS, "test_a.py": _SUITE.format(**names), "conftest.py": _CONFTEST.format(**names)}
    )
    if cell.place in STAGES:
        stage, limit = STAGES[cell.place]
        batch.write({"pyproject.toml": f"[tool.resilience.hang]\n{stage} = {limit}\n"})
    if cell.kind == "holds_the_gil":
        os.environ["LIBRARY_THAT_SPINS"] = str(library_that_spins(folder))
    try:
        said = batch.run("-n", "2", "--dist", cell.mode, "--hang-timeout", str(LIMIT), "--crash-retries", "0")
        return [*_wrong(cell, batch, said, seconds_to_recover)]
    finally:
        batch.clear()


def _wrong(cell: Cell, batch: Batch, said: Said, seconds_to_recover: float) -> Iterator[str]:
    notes = {key: value for note in batch.notes() for key, value in note.items()}
    if "pid" not in notes:
        yield f"nothing hung: {said.text}"
        return
    is_in_test = cell.place in _IN_A_TEST
    bad = {"timed_out": 1} if is_in_test else {}
    outcomes = {"total": TESTS, "passed": TESTS - len(bad), **bad}
    if said.outcomes != outcomes:
        yield f"outcomes {said.outcomes} instead of {outcomes}: {said.text}"
    # What hangs at the end of a session may not have written what it should; later there is nothing more to lose.
    if said.status != (1 if is_in_test or cell.place == "finish" else 0):
        yield f"exit status {said.status}: {said.text}"
    stack = (
        "no stack: the process was stopped"
        if cell.kind == "is_stopped"
        else rf'"hangs.py", line \d+, in {cell.kind}\n'
    )
    if not re.search(stack, said.text):
        yield f"no stack of {cell.kind}: {said.text}"
    if is_in_test and f" was in the {cell.place} for " not in said.text:
        yield f"not told to be in the {cell.place}: {said.text}"
    recovered = notes.get("recovered") or notes.get("over", float("inf"))
    _, limit = STAGES.get(cell.place, ("", LIMIT))
    if recovered - notes["at"] > limit + seconds_to_recover:
        yield f"recovered after {recovered - notes['at']:.1f} s: {said.text}"
    alive = [pid for pid in (notes["pid"], *notes["children"]) if _is_alive(pid)]
    if alive:
        yield f"still alive: {alive}"
    if "WARNING" in said.text and is_in_test:
        yield f"warned: {said.text}"


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def main(arguments: Sequence[str]) -> int:
    """Run the matrix, print a line for each cell, and end with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only cells with this in their name")
    parser.add_argument("--patience", type=float, default=SECONDS_TO_RECOVER, help="seconds after the limit")
    options = parser.parse_args(arguments)
    bad = 0
    for cell in CELLS:
        if options.only not in str(cell):
            continue
        if cell.missing:
            print(f"{cell}: skipped, {cell.missing}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrong = run_cell(cell, Path(folder), options.patience)
        bad += bool(wrong)
        print(f"{cell}: {'; '.join(wrong) or 'right'}", flush=True)
    print(f"{bad} of {len(CELLS)} cells wrong")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
