"""What was measured as text for a terminal and as tables for the docs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from .limits import Verdict, cpu, peak, verdicts, wall, written
from .measuring import Figure
from .results import Compared, Results, Runs

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def of_group(compared: Compared) -> list[tuple[str, ...]]:
    """A row for each cell."""
    beside = f"beside {compared.base}"
    rows: list[tuple[str, ...]] = [
        ("", "CPU", beside, "fastest", "wall", beside, "fastest", "peak", "written")
    ]
    rows += [
        (
            name,
            f"{compared.figure(name, cpu).median:.2f} s",
            _ratio(compared.ratio(name, cpu)),
            f"{compared.fastest(name, cpu):.3f}",
            f"{compared.figure(name, wall).median:.2f} s",
            _ratio(compared.ratio(name, wall)),
            f"{compared.fastest(name, wall):.3f}",
            f"{compared.figure(name, peak).median / 1e6:.0f} MB",
            f"{compared.figure(name, written).median / 1e6:.2f} MB",
        )
        for name in compared.cells
    ]
    return rows


def of_runs(runs: Runs) -> list[tuple[str, ...]]:
    """A row for each system: what each test takes, or a session where there is but one size."""
    rows: list[tuple[str, ...]] = []
    if runs.few == runs.many:
        rows.append(("", "instructions", f"beside {runs.base}"))
        base = runs.counted[runs.base][0].total
        for name, (one, _) in runs.counted.items():
            rows.append((name, f"{one.total / 1e6:.1f} M", f"{one.total / base:.3f}"))
        return rows
    is_spread = any(many.workers for _, many in runs.counted.values())
    parts = ("controller", "workers", "total") if is_spread else ("total",)
    rows.append(("", *(word for part in parts for word in (part, f"beside {runs.base}"))))
    for name in runs.counted:
        cells = ((f"{runs.of(name, part) / 1e6:.3f} M", f"{runs.ratio(name, part):.3f}") for part in parts)
        rows.append((name, *(word for cell in cells for word in cell)))
    return rows


def of_verdicts(some: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """A row for each figure that has a limit."""
    rows: list[tuple[str, ...]] = [("", "measured", "limit", "")]
    for verdict in some:
        unit = "" if verdict.unit == "x" else f" {verdict.unit}"
        sign = "<" if verdict.is_strict else "<="
        rows.append(
            (verdict.name, f"{_short(verdict.value)}{unit}", f"{sign} {_short(verdict.limit)}", verdict.word)
        )
    return rows


def _ratio(figure: Figure) -> str:
    return f"{figure.median:.3f} \u00b1 {figure.spread * 100:.0f} %"


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"


def parts(results: Results) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """All tables, each with its title: the limits first."""
    if some := verdicts(results):
        yield "The limits", of_verdicts(some)
    for runs in results.instructions.values():
        yield runs.title, of_runs(runs)
    for compared in results.groups.values():
        yield compared.title, of_group(compared)


def machine(results: Results) -> str:
    """Where it was measured, in a sentence."""
    facts = results.machine
    size = "" if results.share == 1 else f" Suites had {results.share:g} of their full size."
    return f"Measured on {facts['date']} with {', '.join(_versions(results))} on {facts['cpu']}, {facts['cpus']} CPUs, {facts['system']}; load {facts['load']} when it began.{size}"


def _versions(results: Results) -> Iterator[str]:
    yield f"Python {results.machine['python']}"
    told = {"pip", "setuptools"}
    of_bare = results.versions.get("bare", {})
    for name in ("pytest", "pytest-xdist"):
        if name in of_bare:
            yield f"{name} {of_bare[name]}"
            told.add(name)
    for environment, there in results.versions.items():
        name = "pytest-resilience" if environment == "ours" else environment
        if name in there and name not in told:
            yield f"{name} {there[name]}"


def text(results: Results) -> str:
    """For a terminal."""
    lines = [machine(results)]
    for title, rows in parts(results):
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        lines += ["", f"{title}"]
        for row in rows:
            cells = (
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def markdown(results: Results) -> str:
    """For the docs."""
    lines = [machine(results)]
    for title, rows in parts(results):
        head, *others = rows
        lines += ["", f"### {title}", "", _line(head), "|" + "---|" * len(head), *map(_line, others)]
    return "\n".join(lines) + "\n"


def _line(row: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|"


def put_into(page: str, made: str) -> str:
    """A page with what stands between its two markers replaced. ValueError where they are not there, in that order."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} that is followed by {END}")
    return f"{before}{begin}\n\n{made}\n{end}{after}"


def write_docs(page: Path, results: Results) -> None:
    """Put the tables into a page of the docs."""
    page.write_text(put_into(page.read_text("utf-8"), markdown(results)), "utf-8")
