"""A job is killed on one machine; its ledger comes as an artifact to another, which goes on only if it has the key."""

import shutil
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code

if TYPE_CHECKING:
    from .sessions import Batch

KEY = "0123456789abcdef-the-key"
SUITE = """
import here, pytest

@pytest.mark.parametrize("n", range(6))
def test(n):
    if n == 4 and here.mark("reached"):
        here.wait("for ever")
"""
# Both machines have the folder at the same path, as the runners of a CI service do.
MACHINE = """
import here, pytest
from pathlib import Path
from pytest_resilience.ledger import machine

name = (Path(__file__).parent / "machine").read_text()
machine.host = lambda: name

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    here.note(item.nodeid)
"""
ALL = {"total": 6, "passed": 6}
REST = {"total": 6, "passed": 2, "carried_over": 4}


@pytest.mark.parametrize("key", [KEY, ""])
def test_an_artifact_of_a_killed_job_is_resumed_with_the_key_and_not_without(
    batch: "Batch", monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("RESILIENCE_LEDGER_KEY", key)
    batch.write({"test_a.py": SUITE, "conftest.py": MACHINE, "machine": "one"})
    session = batch.start()
    session.wait_for("reached")
    session.send_group(signal.SIGKILL)
    assert session.ended().status == -signal.SIGKILL
    assert batch.begun().total() == 5

    ledger = batch.root / ".pytest_resilience"
    artifact = shutil.make_archive(str(batch.root / "artifact"), "gztar", batch.root, ledger.name)
    shutil.rmtree(ledger)
    batch.write({"machine": "two"})
    shutil.unpack_archive(artifact, batch.root, filter="data")

    said = batch.resume()
    ran = range(4, 6) if key else range(6)
    assert batch.begun() == Counter(f"test_a.py::test[{n}]" for n in ran)
    assert (said.status, said.outcomes) == (0, REST if key else ALL), said.text
    assert (str(Code.LEDGER_UNTRUSTED) in said.text) == (not key)
    # What the other machine made is a run of its own, which goes on as ever.
    assert batch.resume().outcomes == {"total": 6, "carried_over": 6}
