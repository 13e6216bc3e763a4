"""What travels with a report: the final outcome of its test, as one plain text, so that any channel takes it."""

import json

import pytest

from pytest_resilience.core.facts import AttemptEnded, TestFinished
from pytest_resilience.core.outcomes import Outcome

_NAME = "resilience"


def attach(report: pytest.TestReport, finished: TestFinished, ended: AttemptEnded | None = None) -> None:
    """Put the final outcome on a report. A report without one speaks of a test that simply passed."""
    report.__dict__[_NAME] = json.dumps([_plain(finished), None if ended is None else _plain(ended)])


def read(report: pytest.TestReport) -> tuple[TestFinished, AttemptEnded | None] | None:
    """The final outcome that a report carries, None when it carries none."""
    text = report.__dict__.get(_NAME)
    if text is None:
        return None
    finished, ended = json.loads(text)
    return (
        TestFinished(**{**finished, "outcome": Outcome(finished["outcome"])}),
        None if ended is None else ended_from(ended),
    )


def shown(report: pytest.TestReport) -> str:
    """What a phase showed, in the words of `outcomes.of_attempt`."""
    if report.outcome == "passed" and not hasattr(report, "wasxfail"):
        return "passed"
    if hasattr(report, "wasxfail"):
        return {"skipped": "xfailed", "passed": "xpassed"}.get(report.outcome, "failed")
    # An outcome that another plugin made up is none that we may call good.
    return "skipped" if report.outcome == "skipped" else "failed"


def outcome_of(report: pytest.TestReport) -> Outcome | None:
    """The final outcome that a report carries, None when it carries none."""
    carried = read(report)
    return carried[0].outcome if carried is not None else None


def is_of_end(report: pytest.TestReport) -> bool:
    """Whether a report is that of the phase in which the last attempt went wrong, or the only one of its worker's end."""
    carried = read(report)
    ended = carried[1] if carried is not None else None
    return ended is not None and (ended.phase == report.when or ended.took_worker)


def _plain(fact: TestFinished | AttemptEnded) -> dict[str, object]:
    return {**fact._asdict(), "outcome": fact.outcome.value}


def ended_to(ended: AttemptEnded) -> dict[str, object]:
    """An attempt as plain values."""
    return _plain(ended)


def ended_from(plain: dict[str, object]) -> AttemptEnded:
    """The attempt that `ended_to` made plain."""
    return AttemptEnded(**{**plain, "outcome": Outcome(plain["outcome"])})  # type: ignore[arg-type]
