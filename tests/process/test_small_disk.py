"""A disk that is full in the middle of a run: the tests go on, what was written is known, later results are kept."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.facts import TestFinished
from pytest_resilience.core.outcomes import Outcome

if TYPE_CHECKING:
    from .sessions import Batch

TOTAL = 150
# The disk is full from test 50 to test 100; later ones wait for the room.
SUITE = """
import here, pytest, room

@pytest.mark.parametrize("n", range(150))
def test(n):
    room.change(n)
    assert n % 40 != 7 or here.is_there("mended")
"""
# No file may grow beyond what the ledger of this process has by now, and half a line.
LIMITED = """
import os, resource
from pathlib import Path

full = False

def change(n):
    global full
    if 50 <= n < 100 and not full:
        writer = os.environ.get("PYTEST_XDIST_WORKER", "ctl")
        (ours,) = Path().glob(f".pytest_resilience/runs/*/seg-{writer}.*.jsonl")
        resource.setrlimit(resource.RLIMIT_FSIZE, (ours.stat().st_size + 50, resource.RLIM_INFINITY))
        full = True
    elif n >= 100:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
# The ledger is on a disk of its own, which something else fills.
FILLED = """
import here
from contextlib import suppress
from pathlib import Path

ballast = Path(".pytest_resilience/ballast")

def change(n):
    if n == 50:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))
        here.mark("full")
    elif 50 < n < 100:
        here.mark(f"at {n}")
    elif n == 100:
        # What a file may still grow within its last block is too little for all of these.
        for other in ("full", *(f"at {number}" for number in range(51, 100))):
            here.wait(other)
        ballast.unlink(missing_ok=True)
        here.mark("room")
    elif n > 100:
        here.wait("room")
"""
FAILED = {f"test_a.py::test[{n}]" for n in (7, 47, 87, 127)}


@pytest.fixture
def small_disk(batch: "Batch") -> Iterator[None]:
    """A disk of one megabyte for the ledger."""
    root = batch.root / ".pytest_resilience"
    root.mkdir(0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size=1m,mode=0700,uid={os.geteuid()}", "tmpfs", str(root)]
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield
    batch.clear()
    subprocess.run(["umount", str(root)], check=True)


def a_full_disk_in_the_middle(batch: "Batch", room: str, *workers: str) -> None:
    batch.write({"test_a.py": SUITE, "room.py": room})
    said = batch.run("--tb=no", *workers)
    assert (said.status, said.outcomes) == (1, {"total": TOTAL, "passed": 146, "failed": 4}), said.text
    assert said.text.count("RES402") == 1, said.text
    assert "RES901" not in said.text

    known = {fact.key: fact.outcome for fact in batch.last.of(TestFinished)}
    lost = set(batch.last.outcomes) - known.keys()
    assert lost, "the disk was never full"
    # Another worker may be behind when the disk is full; none is ahead when there is room again.
    first = 0 if workers else 50
    assert all(first <= int(key[len("test_a.py::test[") : -1]) < 100 for key in lost)
    assert {key for key, outcome in known.items() if outcome is Outcome.FAILED} == FAILED - lost

    batch.begun()
    batch.mark("mended")
    batch.write({"room.py": "def change(n): pass\n"})
    said = batch.resume(*workers)
    again = lost | FAILED
    assert (said.status, said.outcomes) == (
        0,
        {"total": TOTAL, "passed": len(again), "carried_over": TOTAL - len(again)},
    ), said.text
    assert batch.begun() == Counter(again)


each_way = pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "2"), id="n2")], ids=lambda workers: "serial"
)


@pytest.mark.invariant(14, 15)
@each_way
def test_a_limit_of_the_size_of_files_costs_what_came_while_it_held(
    batch: "Batch", workers: tuple[str, ...]
) -> None:
    if workers:
        pytest.importorskip("xdist")
    a_full_disk_in_the_middle(batch, LIMITED, *workers)


@pytest.mark.invariant(14, 15)
@each_way
@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_costs_what_came_while_it_was_full(batch: "Batch", workers: tuple[str, ...]) -> None:
    if workers:
        pytest.importorskip("xdist")
    a_full_disk_in_the_middle(batch, FILLED, *workers)
