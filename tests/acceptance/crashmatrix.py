"""The crash matrix: which deaths of workers a session goes through, how its tests are distributed, to how many workers.

Every cell is one session of a small suite. By hand, from the top of the project: ``python -m
tests.acceptance.crashmatrix``, which is all 108 cells; ``--repeat`` for those in which chance has a part.
"""

import argparse
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pytest_resilience.core.facts import AttemptEnded, WorkerDown
from pytest_resilience.core.outcomes import Outcome

from ..process.sessions import Batch, Said

MODES = ("load", "worksteal", "loadscope", "loadfile", "loadgroup", "each")
WORKERS = (1, 2, 3)
FILES, TESTS = 3, 4
KEYS = [f"test_{file}.py::test[{n}]" for file in "abc"[:FILES] for n in range(TESTS)]

# What is tried in each phase of each test, and at the import of each file: the death that a cell is about.
FILE = """
import here, deaths, os, pytest
deaths.reached(__name__, "import", -1)
pytestmark = pytest.mark.xdist_group(__name__ + "-group")

@pytest.fixture
def fixture(n):
    deaths.reached(__name__, "setup", n)
    yield
    deaths.reached(__name__, "teardown", n)

@pytest.mark.parametrize("n", range({tests}))
def test(n, fixture):
    deaths.reached(__name__, "call", n)
"""
DEATHS = """
import here, os, signal, time

PLACES = {places!r}

def reached(file, phase, n):
    if "PYTEST_XDIST_WORKER" not in os.environ or (file, phase, n) not in PLACES:
        return
    if {is_once!r} and not here.mark(f"died-{{file}}"):
        return
    # Two die at the same time where they are on two workers; where they are not, one does not wait for ever.
    until = time.monotonic() + 1
    while not all(here.is_there(f"died-{{one}}") for one, _, _ in PLACES) and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """What dies: at these places (file, phase, number of the test), the first time that one is reached or each time."""

    places: tuple[tuple[str, str, int], ...]
    is_once: bool = True

    @property
    def keys(self) -> list[str]:
        """The tests that are in flight then."""
        return [f"{file}.py::test[{n}]" for file, phase, n in self.places if phase != "import"]


KINDS = {
    "once": Kind((("test_b", "call", 1),)),
    "always": Kind((("test_b", "call", 1),), is_once=False),
    "import": Kind((("test_b", "import", -1),)),
    "two": Kind((("test_a", "call", 1), ("test_c", "call", 2))),
    "setup": Kind((("test_c", "setup", 3),)),
    "teardown": Kind((("test_a", "teardown", 0),)),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    mode: str
    kind: str
    workers: int

    def __str__(self) -> str:
        return f"{self.mode}, {self.kind}, -n {self.workers}"


CELLS = [Cell(*values) for values in product(MODES, KINDS, WORKERS)]


def run_cell(cell: Cell, folder: Path, *arguments: str) -> list[str]:
    """Run one session as the cell says; what was wrong about it, in sentences."""
    kind = KINDS[cell.kind]
    batch = Batch(folder)
    batch.write({f"test_{file}.py": FILE.format(tests=TESTS) for file in "abc"[:FILES]})
    batch.write({"deaths.py": DEATHS.format(places=kind.places, is_once=kind.is_once)})
    try:
        said = batch.run("-n", str(cell.workers), "--dist", cell.mode, *arguments)
        return [f"{sentence}\n{said.text}" for sentence in _wrong(cell, kind, batch, said)]
    except AssertionError as error:
        return [str(error)]
    finally:
        batch.clear()


def _wrong(cell: Cell, kind: Kind, batch: Batch, said: Said) -> Iterator[str]:
    copies = cell.workers if cell.mode == "each" else 1
    bad = len(kind.keys)
    # Where a test dies each time every copy does; else the first to come there is the only one.
    finally_bad = 0 if kind.is_once else bad * copies
    deaths = finally_bad * 2 or bad

    def differs(what: str, seen: object, expected: object) -> Iterator[str]:
        if seen != expected:
            yield f"{what}: {seen}, expected {expected}"

    yield from differs("exit status", said.status, 1 if finally_bad else 0)
    outcomes = {"total": len(KEYS), "passed": len(KEYS) - bad}
    if bad:
        outcomes["flaky" if kind.is_once else "crashed"] = bad
    yield from differs("OUTCOMES", said.outcomes, outcomes)
    begun = Counter(dict.fromkeys(KEYS, copies))
    begun.update(dict.fromkeys(kind.keys, deaths // bad - (0 if kind.is_once else copies)) if bad else {})
    yield from differs("begun", batch.begun(), begun)
    last = {"passed": len(KEYS) * copies - (bad if kind.is_once else finally_bad)}
    if bad:
        last |= {"failed": finally_bad} if finally_bad else {"flaky": bad}
        last["rerun"] = bad * (1 if kind.is_once else copies)
    yield from differs("pytest's last line", _last_line(said), last)
    if not batch.store.runs():
        yield "no run is in the ledger"
        return
    facts = batch.last.of(AttemptEnded)
    crashed = [one.key for one in facts if one.outcome is Outcome.CRASHED]
    yield from differs("attempts that crashed in the ledger", len(crashed), deaths)
    yield from differs("whose attempts these are", set(crashed), set(kind.keys))
    yield from differs("deaths", len(batch.last.of(WorkerDown)), deaths)
    live = {one.value: number for one, number in batch.last.run.counts().items()}
    yield from differs("the ledger", {"total": sum(live.values()), **live}, outcomes)


def _last_line(said: Said) -> dict[str, int]:
    text = said.text.strip().splitlines()[-1]
    return {
        word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|flaky|rerun|errors?)", text)
    }


def main() -> int:
    """Run the cells and print what was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=1, help="so often each")
    parser.add_argument("--only", default="", help="cells that have this in their name")
    chosen = parser.parse_args()
    cells = [cell for cell in CELLS if chosen.only in str(cell)]
    folder = Path(tempfile.mkdtemp(prefix="crash-matrix-"))
    wrong = 0
    for number in range(chosen.repeat):
        for at, cell in enumerate(cells):
            root = folder / f"cell-{number}-{at}"
            found = run_cell(cell, root)
            print(f"{cell}: {'WRONG' if found else 'right'}", *found, sep="\n  ", flush=True)
            wrong += bool(found)
            if not found:
                shutil.rmtree(root)
    print(f"{len(cells)} cells, {chosen.repeat} times; wrong {wrong}")
    if wrong:
        print(f"what is left of these cells: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
