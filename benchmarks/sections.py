"""What is run with what: each section has groups, and each group cells that take turns, the first one the base."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import systems, workloads
from .systems import System
from .workloads import SWITCH, Workload

# Seconds, roughly, on the machine that this was written on: to start, and for each test.
START, TEST, FAILURE, START_WORKERS, TEST_ON_WORKERS = 0.5, 0.0008, 0.02, 1.5, 0.0015
# What a socket of pytest-rerunfailures costs a test that runs on a worker.
RERUNFAILURES_ON_WORKERS = 0.025


@dataclass(frozen=True)
class Cell:
    """A system that runs a suite. With `resume` the run before it, in which some tests fail, is not measured."""

    name: str
    system: System
    workload: Workload
    options: tuple[str, ...] = ()
    resume: tuple[str, ...] | None = None

    @property
    def seconds(self) -> float:
        """How long a run takes, roughly."""
        tests, is_spread = self.workload.tests, "-n" in self.options
        if self.resume is not None:
            tests //= 4
        each = TEST_ON_WORKERS if is_spread else TEST
        if is_spread and self.system.name == "pytest-rerunfailures":
            each += RERUNFAILURES_ON_WORKERS
        return (START_WORKERS if is_spread else START) + tests * each + self.workload.failing * FAILURE

    @property
    def is_good(self) -> bool:
        """Whether all tests pass in the run that is measured."""
        return self.resume is not None or not self.workload.failing


@dataclass(frozen=True)
class Group:
    """Cells that are compared. `times` multiplies how often each is run."""

    name: str
    title: str
    cells: tuple[Cell, ...]
    times: float = 1.0

    def rounds(self, repeat: int) -> int:
        """How often each cell is measured."""
        return max(1, round(repeat * self.times))

    def seconds(self, repeat: int) -> float:
        """How long it takes, roughly; each cell is run once more to warm up."""
        return sum(cell.seconds for cell in self.cells) * (self.rounds(repeat) + 1)


def cells(some: Iterable[System], workload: Workload, *options: str) -> tuple[Cell, ...]:
    """A cell of each system."""
    return tuple(Cell(system.name, system, workload, options) for system in some)


def serial(share: float) -> list[Group]:
    """This plugin on all suites."""
    mine = (systems.bare, systems.installed, *systems.MINE)
    n = _scaled(share)
    suites = {
        "w1": workloads.trivial(n(10_000), n(100)),
        "w2": workloads.parametrised(n(10_000)),
        "w3": workloads.failing(n(10_000), n(100)),
        "w4": workloads.fixtures(n(2_000)),
    }
    small = workloads.trivial(n(1_000), n(10))
    return [
        *(Group(name, f"{suite.name}, serially", cells(mine, suite)) for name, suite in suites.items()),
        Group("w1-1000", f"{small.name}, serially", cells((systems.bare, systems.ledger), small)),
    ]


def xdist(share: float) -> list[Group]:
    """This plugin on two workers."""
    mine = (systems.bare, systems.ledger, systems.retries, systems.everything)
    n = _scaled(share)
    suite = workloads.trivial(n(10_000), n(100))
    return [
        Group(
            f"xdist-{dist}",
            f"{suite.name}, -n 2 --dist {dist}",
            cells(mine, suite, "-n", "2", "--dist", dist),
        )
        for dist in ("load", "worksteal", "loadfile")
    ]


def peers(share: float) -> list[Group]:
    """This plugin beside others. Under xdist there are fewer tests, because one of them takes 40 ms for each."""
    all_of_them = (systems.bare, *systems.MINE, *systems.PEERS)
    retrying = tuple(system for system in all_of_them if system.kind in ("", "retry"))
    n = _scaled(share)
    many, few = workloads.trivial(n(10_000), n(100)), workloads.trivial(n(2_000), n(20))
    bad = workloads.failing(n(2_000), n(20))
    return [
        Group("peers", f"{many.name}, serially", cells(all_of_them, many)),
        Group("peers-xdist", f"{few.name}, -n 2", cells(all_of_them, few, "-n", "2"), 0.6),
        Group("peers-failing", f"{bad.name}, serially", cells(retrying, bad)),
    ]


def failing(share: float) -> list[Group]:
    """Tests that fail three times, in a short and in a long file."""
    mine = (systems.bare, systems.ledger, systems.retries, systems.everything)
    return [
        Group(f"failing-{functions}", suite.name, cells(mine, suite))
        for functions in (20, 1_000)
        for suite in [workloads.one_long_file(functions, 20)]
    ]


def startup(share: float) -> list[Group]:
    """One test, so that nearly all of it is starting and ending."""
    mine = (systems.bare, systems.installed, systems.ledger, systems.everything)
    return [Group("startup", "one trivial test", cells(mine, workloads.trivial(1, 1)), 4)]


def memory(share: float) -> list[Group]:
    """As many tests as a suite has."""
    n = _scaled(share)
    suite = workloads.trivial(n(100_000), n(1_000))
    return [
        Group(
            "w5",
            f"{suite.name}, serially",
            cells((systems.bare, systems.ledger, systems.everything), suite),
            0.6,
        )
    ]


def resume(share: float) -> list[Group]:
    """Ten tests that are left, run again in the ways there are."""
    n = _scaled(share)
    tests = n(10_000)
    in_one = range(tests // 2, tests // 2 + 10)
    apart = tuple(number * tests // 10 for number in range(10))
    suites = {
        "one-file": workloads.with_failures("10 left in one file of 100", tests, n(100), in_one),
        "ten-files": workloads.with_failures("10 left, one in each of 10 files of 100", tests, n(100), apart),
        "every-file": workloads.with_failures(
            "10 left, one in each of 10 files, and no others", tests, 10, apart
        ),
    }
    groups = []
    for name, suite in suites.items():
        for suffix, options in (("", ()), ("-xdist", ("-n", "2"))):
            cells = (
                Cell("ids", systems.bare, suite, options, suite.failing_ids),
                Cell("--lf", systems.bare, suite, options, ("--lf",)),
                Cell("--resume-failed", systems.ledger, suite, options, ("--resume-failed",)),
            )
            title = f"{suite.name}, {tests:,} tests, {'-n 2' if options else 'serially'}"
            groups.append(Group(f"resume-{name}{suffix}", title, cells))
    return groups


SECTIONS: Mapping[str, Callable[[float], list[Group]]] = {
    "serial": serial,
    "xdist": xdist,
    "peers": peers,
    "failing": failing,
    "startup": startup,
    "memory": memory,
    "resume": resume,
}


def _scaled(share: float) -> Callable[[int], int]:
    return lambda number: max(1, round(number * share))


@dataclass
class Suites:
    """The folders of suites, each written once, with what a run leaves there put back or removed."""

    folder: Path
    _numbers: dict[str, int] = field(default_factory=dict)

    def of(self, workload: Workload) -> Path:
        """The rootdir of a suite."""
        known = workload.name in self._numbers
        path = self.folder / f"suite-{self._numbers.setdefault(workload.name, len(self._numbers))}"
        if not known:
            workload.write(path)
        return path


# What pytest and the plugin keep in a rootdir.
_KEPT = (".pytest_cache", ".pytest_resilience")


def forget(rootdir: Path) -> None:
    """Remove what runs left."""
    for name in _KEPT:
        shutil.rmtree(rootdir / name, ignore_errors=True)


def keep(rootdir: Path, place: Path) -> None:
    """Take away what a run left."""
    for name in _KEPT:
        if (rootdir / name).exists():
            shutil.copytree(rootdir / name, place / name)


def put_back(rootdir: Path, place: Path) -> None:
    """Have it again as it was when it was taken away."""
    forget(rootdir)
    for path in place.iterdir():
        shutil.copytree(path, rootdir / path.name)


def variables(cell: Cell) -> dict[str, str]:
    """What the environment of the run that is measured has more."""
    return {SWITCH: "1"} if cell.resume is not None else {}
