"""What instructions are counted of: sessions of two sizes, of each system, and resumes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from . import sections, systems, workloads
from .instructions import Counted
from .results import Runs
from .running import Runner, Say
from .sections import Cell, cells
from .systems import System
from .workloads import Workload

# How many times as long a session takes under valgrind, and seconds, roughly, that each takes to start there.
TIMES, START = 25, 10.0


@dataclass(frozen=True)
class _Pair:
    """Cells of two sessions that differ in the number of their tests, or of one where there are no others."""

    name: str
    title: str
    few: tuple[Cell, ...]
    many: tuple[Cell, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(START + TIMES * cell.seconds for cell in (*self.few, *self.many))


class Counting:
    """All that is counted; `is_quick` leaves out other plugins, and takes fewer tests."""

    def __init__(self, *, is_quick: bool) -> None:
        self._pairs = list(_pairs(is_quick))

    @property
    def systems(self) -> Iterable[System]:
        """The systems that are needed, with repetitions."""
        return [cell.system for pair in self._pairs for cell in pair.few]

    @property
    def seconds(self) -> float:
        """How long it takes, roughly."""
        return sum(pair.seconds for pair in self._pairs)

    def measure(self, runner: Runner, say: Say) -> Iterator[tuple[str, Runs]]:
        """Count everything, and tell of each comparison when it is complete."""
        for pair in self._pairs:
            counted: dict[str, tuple[Counted, Counted]] = {}
            for number, cell in enumerate(pair.few):
                one = runner.count(cell)
                other = runner.count(pair.many[number]) if pair.many else one
                counted[cell.name] = (one, other)
                say(f"instructions {pair.name} {cell.name}: {other.total / 1e6:,.0f} M")
            few, many = (some[0].workload.tests for some in (pair.few, pair.many or pair.few))
            yield pair.name, Runs(pair.title, few, many, counted)


def _pairs(is_quick: bool) -> Iterator[_Pair]:
    tests = (50, 150) if is_quick else (100, 500)
    few, many = (workloads.uncollected(workloads.trivial(number, 1)) for number in tests)
    of = f"({few.tests} and {many.tests} tests)"
    peers = () if is_quick else systems.PEERS
    everybody = (systems.bare, *systems.MINE, *peers)
    yield _pair("serial", f"Instructions of a passing test, serially {of}", few, many, everybody)
    spread = (systems.bare, systems.ledger, systems.everything)
    yield _pair("one-worker", f"Instructions of a passing test with -n 1 {of}", few, many, spread, "-n", "1")
    mine = (systems.bare, systems.installed, systems.ledger, systems.everything)
    one = cells(mine, workloads.trivial(1, 1))
    yield _Pair("start", "Instructions of a session of one trivial test", one)
    for functions in (20, 1_000):
        few, many = (workloads.uncollected(workloads.one_long_file(functions, bad)) for bad in (2, 12))
        title = f"Instructions of a failing test in a file of {functions:,} functions (2 and 12 of them)"
        yield _pair(f"failing-{functions}", title, few, many, (systems.bare, systems.ledger, systems.retries))
    for group in sections.resume(0.1 if is_quick else 1.0):
        if not any(cell.options for cell in group.cells):
            yield _Pair(group.name, f"Instructions: {group.title}", group.cells)


def _pair(
    name: str, title: str, few: Workload, many: Workload, some: tuple[System, ...], *options: str
) -> _Pair:
    return _Pair(name, title, cells(some, few, *options), cells(some, many, *options))
