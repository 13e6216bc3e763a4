"""Subtests: their reports come while the test still runs, before anybody knows whether it is retried."""

from collections.abc import Generator
from typing import Any

import pytest

from pytest_resilience.hooks.registered import Registered

_HELD: Any = "deferred"


def is_subtest(report: pytest.TestReport) -> bool:
    """Whether a report is about a subtest: pytest's own since 9, or the plugin's."""
    return type(report).__name__ in ("SubtestReport", "SubTestReport")


def is_held(report: pytest.TestReport) -> bool:
    """Whether a report is one of a subtest that is held back."""
    return bool(report.outcome == _HELD)


class Subtests(Registered):
    """Watches the subtests of one attempt after another, and holds their reports back where another may follow.

    Nothing else tells of a failed subtest of a unittest: to pytest the test that contains it has passed. Listeners
    of a held report see the outcome "deferred", which is neither passed, failed nor skipped.
    """

    def __init__(self) -> None:
        self.has_failed = False
        self.error: BaseException | None = None
        self._is_holding = False
        self._held: list[tuple[pytest.TestReport, Any]] = []

    def begin(self, *, hold: bool) -> None:
        """A new attempt begins; what is still held belongs to an attempt that is not the final one."""
        self.has_failed = False
        self.error = None
        self._is_holding = hold
        self._held.clear()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        # Of subtests too, and those come before the call that they are part of: what failed first.
        if report.failed and call.excinfo is not None and self.error is None:
            self.error = call.excinfo.value
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if is_subtest(report):
            self.has_failed = self.has_failed or report.failed
            if self._is_holding:
                self._held.append((report, report.outcome))
                report.outcome = _HELD

    def merged_into(self, reports: list[pytest.TestReport]) -> list[pytest.TestReport]:
        """All reports of an attempt that may become the final one later, in order; nothing is held any more."""
        for report, outcome in self._held:
            report.outcome = outcome
        held = [report for report, _ in self._held]
        self._held.clear()
        at = next((at for at, report in enumerate(reports) if report.when == "call"), len(reports))
        return [*reports[:at], *held, *reports[at:]]

    def release(self, item: pytest.Item) -> None:
        """The attempt is the final one: report its subtests."""
        self._is_holding = False
        for report, outcome in self._held:
            report.outcome = outcome
            item.ihook.pytest_runtest_logreport(report=report)
        self._held.clear()
