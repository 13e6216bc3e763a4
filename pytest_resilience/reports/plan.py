"""The block of ``--resume-failed --collect-only``: what a resume would do with each test, in the words of the summary."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.reports.summary import (
    Facts,
    Line,
    Style,
    carried,
    complete,
    held,
    number_of,
    safe,
    some_of,
    where_open,
    word,
)


def planned(run: Run, facts: Facts, last: Collection[str], style: Style) -> list[Line]:
    """The lines of the block, empty for "none".

    `run` was selected and not begun; `last` are the keys that the plan wants to run after all others. The last line
    counts every selected test once.
    """
    if style.what == "none":
        return []
    totals = _totals(run, facts, last)
    if style.what == "counts" or style.verbosity < 0:
        return safe([totals])
    return safe(
        [
            *_to_run(run, facts, last),
            *_to_run_last(run, facts, last, style),
            *held(run, facts),
            *carried(run, facts, style),
            *_changes(facts, style),
            *(Line(f"WARNING {warning}", "yellow", is_whole=True) for warning in facts.warnings),
            *complete(run, facts),
            totals,
        ]
    )


def _to_run(run: Run, facts: Facts, last: Collection[str]) -> Iterable[Line]:
    keys = [key for key in _running(run) if key not in last]
    if not keys:
        return
    stale = set(facts.stale)
    whys = Counter(_why(run, key, stale) for key in keys)
    order = [*(word(one) for one in Outcome), "changed", "new"]
    parts = ", ".join(f"{whys[one]} {one}" for one in order if one in whys)
    yield Line(f"RUN {number_of(keys)} - {parts}")


def _why(run: Run, key: str, stale: set[str]) -> str:
    if key in stale:
        return "changed"
    known = run.inherited.get(key)
    return word(known.outcome) if known is not None else "new"


def _to_run_last(run: Run, facts: Facts, last: Collection[str], style: Style) -> Iterable[Line]:
    keys = [key for key in _running(run) if key in last]
    if keys:
        yield from _named("RUNLAST", keys, "in flight when a run died, so after all others", facts, style)


def _changes(facts: Facts, style: Style) -> Iterable[Line]:
    if facts.gone:
        text = f"{Code.RESUME_TESTS_CHANGED}: no longer there, so dropped"
        yield from _named("GONE", facts.gone, text, facts, style)
    if facts.stale:
        text = f"{Code.RESUME_CODE_CHANGED}: passed before, but their files changed, so they run again"
        yield from _named("CHANGED", facts.stale, text, facts, style)
    if facts.left_open:
        text = f"{Code.RESUME_OUTSTANDING}: {where_open(facts)}"
        yield from _named("OPEN", facts.left_open, text, facts, style, letter="n")


def _named(
    name: str, keys: Sequence[str], text: str, facts: Facts, style: Style, *, letter: str = ""
) -> Iterable[Line]:
    """A line that names some of the tests, or all of them below it where that is asked for."""
    is_listed = style.verbosity > 0 or style.what == "all" or bool(letter and letter in style.letters)
    some = "" if is_listed else f": {some_of(facts, keys)}"
    yield Line(f"{name} {number_of(keys)} - {text}{some}", "yellow")
    if is_listed:
        yield from (Line(f"  {facts.name(key)}", is_whole=True) for key in keys)


def _totals(run: Run, facts: Facts, last: Collection[str]) -> Line:
    running = _running(run)
    counts = {
        "run": sum(key not in last for key in running),
        "run_last": sum(key in last for key in running),
        "held": sum(run.fate(key) == "held" for key in run.tests()),
        "carried_over": sum(run.fate(key) == "carried" for key in run.tests()),
    }
    parts = [
        f"total={sum(counts.values())}",
        *(f"{name}={number}" for name, number in counts.items() if number),
    ]
    left = f" - {len(facts.left_open)} more {_stay(facts)} open" if facts.left_open else ""
    return Line(f"PLAN {' '.join(parts)}{left}", "", is_whole=True)


def _stay(facts: Facts) -> str:
    return "stays" if len(facts.left_open) == 1 else "stay"


def _running(run: Run) -> list[str]:
    return [key for key in run.tests() if run.fate(key) == "run"]
