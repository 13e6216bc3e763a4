"""Attempts that another follows, told to all plugins the way pytest-rerunfailures tells them.

Reporters that know that plugin look for the outcome ``rerun`` and the attribute ``rerun`` of a report, and for
``execution_count`` of an item.
"""

from collections.abc import Iterable
from copy import copy
from itertools import chain

import pytest

from pytest_resilience.hooks import internals
from pytest_resilience.hooks.registered import Registered

_MARKUP = {"passed": {"green": True}, "skipped": {"yellow": True}, "failed": {"red": True}}


def count(item: pytest.Item, number: int) -> None:
    """Attempt `number` (from 1) at an item begins."""
    item.__dict__["execution_count"] = number


def number(report: pytest.TestReport, number: int) -> None:
    """Let a report say of which attempt it is."""
    report.__dict__["rerun"] = number - 1


def marked(report: pytest.TestReport, attempt: int, *, has_failed: bool) -> pytest.TestReport:
    """A report that says that it is of attempt number `attempt`, that another follows, and whether its phase failed.

    A copy: should the session end before the other attempt, the report goes out as it was.
    """
    told = copy(report)
    told.sections, told.user_properties = [*report.sections], [*report.user_properties]
    number(told, attempt)
    told.__dict__["resilience_repeated"] = True
    if has_failed:
        told.outcome = "rerun"  # type: ignore[assignment]
    return told


def is_marked(report: pytest.TestReport) -> bool:
    """Whether another attempt follows the one that a report is of."""
    return "resilience_repeated" in report.__dict__


class Repeated(Registered):
    """What a session does with such reports. `shows_tracebacks` asks for those of attempts that were retried."""

    def __init__(self, config: pytest.Config, *, shows_tracebacks: bool) -> None:
        self._config = config
        self._shows_tracebacks = shows_tracebacks

    def pytest_sessionstart(self) -> None:
        # A test is one <testcase>, however often it ran.
        internals.hide_from_junit(self._config, is_marked)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._shows_tracebacks and "R" not in terminalreporter.reportchars:
            return
        lines = list(self._lines(chain.from_iterable(terminalreporter.stats.values())))
        if lines:
            terminalreporter.write_sep("=", "rerun test summary info", cyan=True, bold=True)
        for line, markup in lines:
            terminalreporter.write_line(line, **markup)

    def _lines(self, reports: Iterable[object]) -> Iterable[tuple[str, dict[str, bool]]]:
        by_test: dict[str, list[pytest.TestReport]] = {}
        for report in reports:
            if isinstance(report, pytest.TestReport) and "rerun" in report.__dict__:
                by_test.setdefault(report.nodeid, []).append(report)
        for nodeid, several in by_test.items():
            if not any(map(is_marked, several)):
                continue
            for report in sorted(several, key=_place):
                if report.passed and report.when != "call":
                    continue
                _, _, word = self._config.hook.pytest_report_teststatus(report=report, config=self._config)
                text, markup = word if isinstance(word, tuple) else (word, _MARKUP.get(report.outcome, {}))
                yield f"{text or report.outcome.upper()} {nodeid}", markup
                if self._shows_tracebacks and is_marked(report) and report.longrepr:
                    yield from ((line, {}) for line in str(report.longrepr).splitlines())


def _place(report: pytest.TestReport) -> tuple[int, int]:
    return report.__dict__["rerun"], ("setup", "call", "teardown").index(str(report.when))
