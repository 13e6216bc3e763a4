"""What a passing test calls and sends under xdist: nothing of ours but what runs it. What that costs is in the benchmark."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

TELLS = """
import here, pytest

OF_EACH_TEST = '''runtest_protocol runtest_logstart runtest_logfinish runtest_setup runtest_call runtest_teardown
runtest_makereport runtest_logreport report_to_serializable report_from_serializable report_teststatus
fixture_setup fixture_post_finalizer pyfunc_call'''.split()
sent = []

def tell(config, who):
    for name in OF_EACH_TEST:
        for one in getattr(config.hook, f"pytest_{name}").get_hookimpls():
            if one.plugin_name.startswith("resilience"):
                here.note([who, name, one.plugin_name])

@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    plugins = session.config.pluginmanager.get_plugins()
    (interactor,) = [one for one in plugins if type(one).__name__ == "WorkerInteractor"]
    inner = interactor.channel.send
    def send(event):
        sent.append(event[0])
        inner(event)
    interactor.channel.send = send

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session):
    result = yield
    is_worker = hasattr(session.config, "workerinput")
    tell(session.config, "worker" if is_worker else "controller")
    if is_worker:
        here.note(["worker", "sends", *sorted(set(sent))])
    return result
"""


def test_a_passing_test_calls_one_hook_of_ours_and_sends_nothing_of_ours(batch: "Batch") -> None:
    batch.write({"test_it.py": "def test_a(): pass\ndef test_b(): pass", "conftest.py": TELLS})
    said = batch.run("-n", "1")
    assert said.status == 0, said.text
    noted = [json.loads(line) for line in (batch.root / "notes").read_text("ascii").splitlines()]
    assert sorted(noted) == [
        ["worker", "runtest_protocol", "resilience-attempts"],
        ["worker", "sends", "logfinish", "logstart", "runtest_protocol_complete", "testreport"],
    ]
