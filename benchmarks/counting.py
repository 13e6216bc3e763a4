"""What instructions are counted of: sessions of two sizes, of each system."""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import systems, workloads
from .instructions import Counted, count
from .measuring import environment, run
from .results import Runs
from .running import Say
from .sections import Suites, forget
from .systems import System
from .workloads import Workload

# Seconds, roughly, that valgrind takes for a session, and for each test in it.
START, TEST = 10.0, 0.025


@dataclass(frozen=True)
class _Pair:
    """Two sessions that differ in the number of their tests, or one where both are the same."""

    name: str
    title: str
    few: Workload
    many: Workload
    systems: tuple[System, ...]
    options: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        sessions = [self.few, self.many][: 1 + (self.few != self.many)]
        return (
            sum(START + one.tests * TEST for one in sessions) * len(self.systems) * (2 if self.options else 1)
        )


class Counting:
    """All that is counted; `is_quick` leaves out other plugins, and takes fewer tests."""

    def __init__(self, *, is_quick: bool) -> None:
        self._pairs = list(_pairs(is_quick))

    @property
    def systems(self) -> Iterable[System]:
        """The systems that are needed, with repetitions."""
        return [system for pair in self._pairs for system in pair.systems]

    @property
    def seconds(self) -> float:
        """How long it takes, roughly."""
        return sum(pair.seconds for pair in self._pairs)

    def measure(self, envs: Path, folder: Path, say: Say) -> Iterator[tuple[str, Runs]]:
        """Count everything, and tell of each comparison when it is complete."""
        suites = Suites(folder / "counted")
        for pair in self._pairs:
            counted: dict[str, tuple[Counted, Counted]] = {}
            for system in pair.systems:
                few = self._count(pair, pair.few, system, envs, suites)
                many = few if pair.many == pair.few else self._count(pair, pair.many, system, envs, suites)
                counted[system.name] = (few, many)
                say(f"instructions {pair.name} {system.name}: {many.total / 1e6:,.0f} M for {pair.many.name}")
            yield pair.name, Runs(pair.title, pair.few.tests, pair.many.tests, counted)

    def _count(self, pair: _Pair, suite: Workload, system: System, envs: Path, suites: Suites) -> Counted:
        rootdir, statuses = suites.of(suite), (1,) if suite.failing else (0,)
        with tempfile.TemporaryDirectory() as out:
            command = [*system.command(envs, Path(out)), *pair.options]
            forget(rootdir)
            run(command, rootdir, environment(), statuses)
            forget(rootdir)
            return count(command, rootdir, environment(), statuses)


def _pairs(is_quick: bool) -> Iterator[_Pair]:
    few, many = (
        workloads.uncollected(workloads.trivial(tests, 1))
        for tests in ((50, 150) if is_quick else (100, 500))
    )
    peers = () if is_quick else systems.PEERS
    yield _Pair(
        "serial",
        f"Instructions of a passing test, serially ({few.tests} and {many.tests} tests)",
        few,
        many,
        (systems.bare, *systems.MINE, *peers),
    )
    yield _Pair(
        "one-worker",
        f"Instructions of a passing test with -n 1 ({few.tests} and {many.tests} tests)",
        few,
        many,
        (systems.bare, systems.ledger, systems.everything),
        ("-n", "1"),
    )
    one = workloads.trivial(1, 1)
    mine = (systems.bare, systems.installed, systems.ledger, systems.everything)
    yield _Pair("start", "Instructions of a session of one trivial test", one, one, mine)
    for functions in (20, 1_000):
        few, many = (workloads.uncollected(workloads.one_long_file(functions, bad)) for bad in (2, 12))
        title = f"Instructions of a failing test in a file of {functions:,} functions (2 and 12 of them)"
        yield _Pair(f"failing-{functions}", title, few, many, (systems.bare, systems.ledger, systems.retries))
