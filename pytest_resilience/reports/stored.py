"""A stored run as text: what it was, what became of its bad tests, and the block that its session printed or would have."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.reports.summary import (
    Facts,
    Line,
    Style,
    first_line,
    number_of,
    safe,
    some_of,
    summary,
    upper,
)

State = Literal["running", "died", "ended"]


class About(NamedTuple):
    """What a run was. `began` is in seconds since 1970, `command` as it was typed, `place` where, and with what.

    "running": its owner is alive. "died": it is not, and the run has no orderly end.
    """

    id: str
    state: State
    began: float
    command: str
    place: str = ""


def stored(run: Run, about: About, facts: Facts, style: Style, *, now: float) -> list[Line]:
    """The lines for a run of the ledger. What a run that goes on has not told yet is not guessed: its block is left out."""
    if about.state == "running":
        return safe([*_about(run, about, style, now), *_under_way(run, facts)])
    block = summary(run, facts, style)
    is_short = style.what == "counts" or style.verbosity < 0
    return [*safe([*_about(run, about, style, now), *([] if is_short else _bad(run, facts))]), *block]


def _about(run: Run, about: About, style: Style, now: float) -> Iterable[Line]:
    match about.state:
        case "running":
            state = "still running"
        case "died":
            state = f"died - {Code.CONTROLLER_LOST}: it has no orderly end"
        case _:
            state = f"ended with exit status {run.ended.exit_status}" if run.ended is not None else "ended"
    yield Line(f"RUN {short(about.id)} {state}", is_whole=True)
    if style.verbosity >= 0:
        began = datetime.fromtimestamp(about.began, UTC).strftime("%Y-%m-%d %H:%M")
        yield Line(f"  {about.command}", is_whole=True)
        yield Line(f"  {about.place}", is_whole=True)
        yield Line(f"  began {began} UTC, {ago(about.began, now)}", is_whole=True)


def _under_way(run: Run, facts: Facts) -> Iterable[Line]:
    keys = list(run.tests())
    done = sum(run.is_finished(key) for key in keys)
    yield Line(f"RUNNING {done} of {number_of(keys)} finished", is_whole=True)
    flying = [key for key in keys if run.in_flight(key)]
    if flying:
        yield Line(f"INFLIGHT {number_of(flying)} - {some_of(facts, flying)}")


def _bad(run: Run, facts: Facts) -> Iterable[Line]:
    """A line for each bad test, as pytest's own summary has it; those that are held back have theirs in the block."""
    for key, outcome in run.outcomes().items():
        if outcome.is_bad and run.fate(key) != "held":
            yield Line(f"{upper(outcome)} {facts.name(key)} - {_why(run, key, outcome)}", "red")


def _why(run: Run, key: str, outcome: Outcome) -> str:
    last = next((ended for _, ended in reversed(run.attempts(key)) if ended.outcome is outcome), None)
    if last is not None and last.message:
        return first_line(last.message)
    if outcome is Outcome.CRASHED:
        return f"{Code.WORKER_CRASHED}: in flight when its process ended"
    return "nothing more is known"


# -- words about runs --------------------------------------------------------------------------------------------------


def short(run_id: str) -> str:
    """The first four digits of the random part: enough to name a run."""
    return run_id.partition("-")[2][:4]


def ago(then: float, now: float) -> str:
    """How long ago that was; both in seconds since 1970."""
    minutes = max(0, int(now - then)) // 60
    if minutes < 1:
        return "just now"
    if minutes < 120:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1440} days ago"


def carried_from(parent: str, runs: Iterable[str], began: float, now: float) -> str:
    """Where carried tests passed: in the run `parent`, which began then, or in other `runs` before it."""
    before = " and before" if set(runs) - {parent} else ""
    moment = datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%d %H:%M")
    return f"passed in run {short(parent)}{before}, {moment} UTC, {ago(began, now)}"
