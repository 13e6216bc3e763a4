"""The controller knows in which phase of which attempt a worker was when it died."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

SUITE = """
import os, here, pytest

@pytest.fixture
def fixture(request):
    if "setup" in request.node.name:
        os._exit(3)
    yield
    if "teardown" in request.node.name:
        os._exit(3)

@pytest.mark.parametrize("phase", ["pass", "setup", "call", "teardown"])
def test(phase, fixture):
    if phase == "call":
        os._exit(3)

@pytest.mark.flaky(retries=1)
def test_again():
    if not here.mark("once"):
        os._exit(3)
    assert False
"""
CONFTEST = """
import here, pytest

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller(config.pluginmanager))

class Controller:
    def __init__(self, manager):
        self.manager = manager

    def pytest_handlecrashitem(self, crashitem, report):
        doing = self.manager.get_plugin("resilience-activity").of(report.node)
        here.note([doing.what, doing.nodeid.partition("::")[2], doing.phase, doing.attempt])
"""


def test_the_phase_and_the_attempt_of_a_crash_are_known(batch: "Batch") -> None:
    batch.write({"test_a.py": SUITE, "conftest.py": CONFTEST})
    said = batch.run("-n", "2", "--crash-retries", "0")
    assert said.outcomes == {"total": 5, "passed": 1, "crashed": 4}, said.text
    assert sorted(batch.notes()) == [
        ["running", "test[call]", "call", 1],
        ["running", "test[setup]", "setup", 1],
        ["running", "test[teardown]", "teardown", 1],
        ["running", "test_again", "call", 2],
    ]
