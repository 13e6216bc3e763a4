"""What the plugin may cost: the budget, and whether it is kept."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from .results import Compared, Results
from .systems import MINE, PEERS

# How many times as much as the ids by hand a resume may take: less where files cannot be skipped, as ids import them too.
_RESUMES = {"one-file": 1.10, "ten-files": 1.10, "every-file": 0.6}
# How each kind of work is called here.
_MINE = {system.kind: system.name for system in MINE if system.kind}


@dataclass(frozen=True)
class Verdict:
    """A figure beside its limit. `is_strict`: it has to be below it."""

    name: str
    value: float
    limit: float
    unit: str = "x"
    is_strict: bool = False

    @property
    def is_met(self) -> bool:
        return self.value < self.limit if self.is_strict else self.value <= self.limit

    @property
    def word(self) -> str:
        """Whether it is kept; one that is not stands out."""
        return "met" if self.is_met else "MISSED"


cpu, wall, peak, written = map(attrgetter, ("cpu", "wall", "peak", "written"))


def verdicts(results: Results) -> list[Verdict]:
    """All that can be said of what was measured."""
    return [verdict for part in _PARTS for verdict in part(results)]


def _passing(results: Results) -> Iterator[Verdict]:
    for name in ("ledger", "retries", "everything"):
        with suppress(KeyError):
            value = results.instructions["serial"].ratio(name)
            limit = 1.10 if name == "everything" else 1.035
            yield Verdict(f"passing test, serially, {name}: instructions", value, limit)
    with suppress(KeyError):
        value = results.instructions["one-worker"].ratio("ledger")
        yield Verdict("passing test, one worker and its controller, ledger: instructions", value, 1.025)
    for name in ("ledger", "retries", "everything"):
        with suppress(KeyError):
            group = results.groups["w1"]
            value = group.ratio(name, cpu).median
            limit = 1.10 if name == "everything" else 1.05
            yield Verdict(f"{group.tests:,} trivial tests, serially, {name}: CPU", value, limit)
    for dist in ("load", "worksteal", "loadfile"):
        with suppress(KeyError):
            group = results.groups[f"xdist-{dist}"]
            value = group.ratio("ledger", wall).median
            yield Verdict(f"{group.tests:,} trivial tests, -n 2 --dist {dist}, ledger: wall", value, 1.03)


def _beside_peers(results: Results) -> Iterator[Verdict]:
    """Below the cheapest peer that does the same work."""
    for kind, mine in _MINE.items():
        others = [system.name for system in PEERS if system.kind == kind]
        with suppress(KeyError):
            of = results.instructions["serial"].of
            yield _below(f"serially, {mine}: instructions", of, mine, others)
        for group, where in (("peers", "serially"), ("peers-xdist", "-n 2"), ("peers-failing", "failing")):
            with suppress(KeyError):
                compared = results.groups[group]
                yield _below(
                    f"{where}, {mine}: CPU",
                    lambda name, compared=compared: compared.figure(name, cpu).median,  # type: ignore[misc]
                    mine,
                    others,
                )


def _below(what: str, of: Callable[[str], float], mine: str, others: list[str]) -> Verdict:
    value, best = min((of(name), name) for name in others)
    return Verdict(f"{what}, beside {best}", of(mine) / value, 1.0, is_strict=True)


def _start(results: Results) -> Iterator[Verdict]:
    with suppress(KeyError):
        start = results.groups["startup"]
        yield Verdict("start and end, ledger: CPU", start.ratio("ledger", cpu).median, 1.03)
        more = start.figure("installed", cpu).median - start.figure("bare", cpu).median
        yield Verdict("merely installed: CPU", more * 1000, 2.0, "ms")
    with suppress(KeyError):
        counted = results.instructions["start"].counted
        base = counted["bare"][0].total
        yield Verdict("start and end, ledger: instructions", counted["ledger"][0].total / base, 1.03)


def _failing(results: Results) -> Iterator[Verdict]:
    for functions in (20, 1_000):
        with suppress(KeyError):
            value = results.instructions[f"failing-{functions}"].ratio("retries")
            what = f"failing test with two retries, in a file of {functions:,} functions"
            yield Verdict(f"{what}: instructions", value, 1.5)


def _room(results: Results) -> Iterator[Verdict]:
    with suppress(KeyError):
        many = results.groups["w5"]
        more = many.figure("ledger", peak).median - many.figure("bare", peak).median
        yield Verdict(f"memory, {many.tests:,} tests, ledger", more / many.tests, 200, "bytes a test")
    with suppress(KeyError):
        w1 = results.groups["w1"]
        value = w1.figure("ledger", written).median / w1.tests
        yield Verdict("ledger of tests that pass", value, 400, "bytes a test")


def _resume(results: Results) -> Iterator[Verdict]:
    for name, limit in _RESUMES.items():
        for suffix, where in (("", "serially"), ("-xdist", "-n 2")):
            with suppress(KeyError):
                group = results.groups[f"resume-{name}{suffix}"]
                what = f"resume, {name}, {where}: CPU, beside"
                yield Verdict(f"{what} the ids by hand", group.ratio("--resume-failed", cpu).median, limit)
                yield Verdict(f"{what} --lf", group.ratio("--resume-failed", cpu, "--lf").median, 1.0)


def _resume_counted(results: Results) -> Iterator[Verdict]:
    for name, limit in _RESUMES.items():
        with suppress(KeyError):
            counted = results.instructions[f"resume-{name}"].counted
            ours, ids, lf = (counted[cell][0].total for cell in ("--resume-failed", "ids", "--lf"))
            what = f"resume, {name}, serially: instructions, beside"
            yield Verdict(f"{what} the ids by hand", ours / ids, limit)
            yield Verdict(f"{what} --lf", ours / lf, 1.0)


def _of_ledger(results: Results) -> Iterator[Verdict]:
    for row in results.ledger:
        yield Verdict(f"ledger by itself: {row.name}", row.value, row.limit, row.unit)


def _linear(results: Results) -> Iterator[Verdict]:
    """What a test takes among many, as a multiple of the same among few, each beside bare pytest."""
    with suppress(KeyError):
        sizes = [results.groups[name] for name in ("w1-1000", "w1", "w5")]
        few, many = (_marginal(*pair) for pair in pairwise(sizes))
        yield Verdict(
            f"linear from {sizes[0].tests:,} to {sizes[-1].tests:,} tests, ledger: CPU", many / few, 1.10
        )


def _marginal(smaller: Compared, larger: Compared) -> float:
    more = {
        name: larger.figure(name, cpu).median - smaller.figure(name, cpu).median
        for name in ("ledger", "bare")
    }
    return more["ledger"] / more["bare"]


_PARTS = (_passing, _beside_peers, _start, _failing, _room, _resume, _resume_counted, _of_ledger, _linear)
