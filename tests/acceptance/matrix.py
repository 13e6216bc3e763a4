"""The kill matrix: who is killed, at which moment, by which signal, and how tests are distributed.

Every cell kills one session of a small suite and resumes it until nothing is left. By hand, from the top of the
project: ``python -m tests.acceptance.matrix --cells 500 --seed 1``, which is what ``tox -e torture`` runs.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations, product
from pathlib import Path
from typing import get_args

from .driver import (
    BEGIN,
    Chain,
    Expected,
    Figures,
    Kill,
    Target,
    resume_to_the_end,
    typed_next,
    uninterrupted,
)
from .suite import Suite, few

WORKERS = 2
OLD_RUNS = 5
# How tests are distributed, as options of a session.
MODES = {
    "serial": "",
    "load": f"-p xdist -n {WORKERS}",
    "worksteal": f"-p xdist -n {WORKERS} --dist worksteal",
    "loadgroup": f"-p xdist -n {WORKERS} --dist loadgroup",
}
# The kind of line that is put on record at each moment. With the last two there is only one process yet.
MOMENTS = {
    "collection": "import",
    "setup": "start",
    "call": "call",
    "teardown": "teardown",
    "between": "between",
    "finish": "closing",
    "prune": "prune",
    "resume": "carry",
}
SIGNALS = {
    "SIGKILL": Kill(number=signal.SIGKILL),
    "SIGTERM": Kill(number=signal.SIGTERM),
    "SIGINT": Kill(number=signal.SIGINT),
    "SIGINT twice": Kill(number=signal.SIGINT, is_twice=True),
    "SIGHUP": Kill(number=signal.SIGHUP),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    target: Target
    moment: str
    signal: str
    mode: str

    def __str__(self) -> str:
        return f"{self.target}, {self.moment}, {self.signal}, {self.mode}"

    @property
    def is_possible(self) -> bool:
        """Where there is only one process it is the one that gets the signal."""
        has_workers = self.mode != "serial" and self.moment not in ("prune", "resume")
        return has_workers or self.target == "controller"

    @property
    def pairs(self) -> set[tuple[tuple[int, str], ...]]:
        """Any two of its values, with their places."""
        return set(combinations(enumerate(astuple(self)), 2))

    def kill(self, chance: random.Random, tests: Sequence[str], files: Sequence[str]) -> Kill:
        """The kill of this cell, at a test, file or process that chance names."""
        return Kill(
            target=self.target,
            number=SIGNALS[self.signal].number,
            is_twice=SIGNALS[self.signal].is_twice,
            at=(MOMENTS[self.moment], chance.choice(self._places(tests, files))),
            spared=chance.randrange(WORKERS + 1),
        )

    def _places(self, tests: Sequence[str], files: Sequence[str]) -> Sequence[str]:
        match self.moment:
            case "collection":
                return files
            case "finish":
                workers = [f"gw{number}" for number in range(WORKERS)]
                # When the controller is at its end its workers are gone.
                return {"controller": [""], "group": ["", *workers]}.get(self.target, workers)
            case "prune" | "resume":
                return [""]
        return tests


CELLS = [
    cell
    for values in product(get_args(Target), MOMENTS, SIGNALS, MODES)
    if (cell := Cell(*values)).is_possible
]


def sampled(number: int, seed: int) -> Iterator[Cell]:
    """So many cells, spread over all pairs of values; none comes again before all have come."""
    chance, left, covered = random.Random(seed), list[Cell](), set[object]()
    for _ in range(number):
        if not left:
            left = chance.sample(CELLS, len(CELLS))
        best = max(left, key=lambda cell: len(cell.pairs - covered))
        if best.pairs <= covered:
            covered.clear()
        covered |= best.pairs
        left.remove(best)
        yield best


def run_cell(cell: Cell, suite: Suite, expected: Expected, chance: random.Random) -> Chain:
    """Kill one session as the cell says, then resume as it says until nothing is left, and check everything."""
    # What is skipped in its setup, or fails there, has no call.
    tests = sorted(key for key in expected.broken if "setup_fails" not in key)
    kill = cell.kill(chance, tests, sorted({key.partition("::")[0] for key in tests}))
    chain = Chain(suite, WORKERS if MODES[cell.mode] else 0)
    try:
        command = BEGIN
        if cell.moment == "resume":
            command = typed_next(chain.run(command))
            suite.repair()
        if cell.moment == "prune":
            suite.age(OLD_RUNS)
        said = chain.run(command, kill)
        suite.repair()
        resume_to_the_end(chain, typed_next(said), expected)
    except AssertionError as error:
        # A session that hangs, or is not there to be killed. The other cells have their turn all the same.
        chain.wrong.append(str(error))
    finally:
        chain.clear()
    return chain


def main() -> int:
    """Run sampled cells and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="else one by chance")
    parser.add_argument("--files", type=int, default=1, help="files of five tests, beside the others")
    parser.add_argument("--share", default="1/1", help="2/3: of every three cells the second")
    parser.add_argument("--only", default="", help="cells that have this in their name")
    chosen = parser.parse_args()
    first, _, shares = chosen.share.partition("/")
    print(f"seed {chosen.seed}: {chosen.cells} of {len(CELLS)} cells, share {chosen.share}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="kill-matrix-"))
    expected = uninterrupted(Suite(folder / "alone", texts=few(chosen.files)))
    total, wrong = Figures(), 0
    cells = [*enumerate(sampled(chosen.cells, chosen.seed), 1)][int(first) - 1 :: int(shares)]
    for number, cell in cells:
        if chosen.only not in str(cell):
            continue
        suite = Suite(folder / f"cell-{number}", MODES[cell.mode], few(chosen.files))
        chain = run_cell(cell, suite, expected, random.Random(f"{chosen.seed} {number}"))
        total.add(chain.figures)
        wrong += len(chain.wrong)
        killed = next((session.killed for session in chain.sessions if session.killed is not None), "no kill")
        statuses = " ".join(str(session.status) for session in chain.sessions)
        print(f"{number}: {cell}: {killed}; exit {statuses}", flush=True)
        for sentence in chain.wrong:
            print(f"  WRONG {sentence}", flush=True)
        if not chain.wrong:
            shutil.rmtree(suite.root)
    print(f"{total}; wrong {wrong}")
    if wrong:
        print(f"what is left of these cells: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
