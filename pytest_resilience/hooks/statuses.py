"""How the terminal calls what became of a test, where it is more than pytest knows: its letter, its word, its category."""

import pytest

from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.hooks import verdicts
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.repeated import is_marked
from pytest_resilience.hooks.subtests import is_held

_NAME = "resilience-statuses"


def need(config: pytest.Config) -> None:
    """From now on reports may say more than pytest's own do. Until then nobody is asked about each of them."""
    if not config.pluginmanager.hasplugin(_NAME):
        config.pluginmanager.register(Statuses(), _NAME)


class Statuses(Registered):
    """The statuses of reports that carry something of ours."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, str | tuple[str, dict[str, bool]]] | None:
        if is_held(report):
            return "", "", ""
        if is_marked(report) and str(report.outcome) == "rerun":
            return "rerun", "R", ("RERUN", {"yellow": True})
        is_call = report.when == "call"
        if "resilience" not in report.__dict__ or not (is_call or report.failed):
            return None
        match verdicts.outcome_of(report):
            case Outcome.FLAKY if report.passed and is_call and "rerun" not in report.__dict__:
                return "flaky", ".", ("FLAKY", {"yellow": True})
            case Outcome.CRASHED if report.failed and is_call:
                return "failed", "C", ("CRASHED", {"red": True})
            case Outcome.TIMED_OUT if report.failed and verdicts.is_of_end(report):
                return "failed" if is_call else "error", "T", ("TIMED OUT", {"red": True})
        return None
