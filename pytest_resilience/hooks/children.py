"""What the collectors of a session really have, whatever other plugins then leave of it."""

from collections.abc import Generator

import pytest

from pytest_resilience.hooks.internals import was_asked
from pytest_resilience.hooks.registered import Registered


class Children(Registered):
    """The node ids of the collectors that were asked, and of all that they have."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.found: set[str] = set()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        # Inside of all others: ``--lf`` skips files and drops tests of others here, and none of these is gone.
        report = yield
        if report.passed and was_asked(report):
            self.asked.add(report.nodeid)
            self.found.update(node.nodeid for node in report.result)
        return report
