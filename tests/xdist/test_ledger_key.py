"""With ``RESILIENCE_LEDGER_KEY`` workers sign what they write; for one that has no key the controller writes."""

from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.facts import SegmentOpened
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.reading import read
from pytest_resilience.ledger.runs import Store

if TYPE_CHECKING:
    from ..process.sessions import Batch

pytest.importorskip("xdist")

KEY = "0123456789abcdef-the-key"
SUITE = "import pytest\n@pytest.mark.parametrize('n', range(8))\ndef test(n): assert n\n"
RESUMED = {"total": 8, "failed": 1, "carried_over": 7}

# What the workers find in their environment instead of what the controller has.
WORKERS_HAVE = """
import os, pytest
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config):
    os.environ["RESILIENCE_LEDGER_KEY"] = {key!r}
"""


def writers(batch: "Batch", key: str) -> tuple[set[str], int]:
    """Who wrote what is believed with the key, and how many tests came to their end there."""
    store = Store(batch.root / ".pytest_resilience", secret=key.encode() or None)
    folder = store.folder(store.runs()[-1].id)
    reading = read(folder.path, folder.seal)
    records = list(reading.records)
    assert reading.problems == []
    opened = {one.fact.writer.partition(".")[0] for one in records if isinstance(one.fact, SegmentOpened)}
    return opened, sum(outcome is not Outcome.NOT_RUN for outcome in batch.last.outcomes.values())


def test_workers_sign_what_they_write(batch: "Batch", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENCE_LEDGER_KEY", KEY)
    batch.write({"test_a.py": SUITE})
    batch.run("-n", "2")
    assert writers(batch, KEY) == ({"ctl", "gw0", "gw1"}, 8)
    said = batch.resume("-n", "2")
    assert (said.outcomes, said.line("WARNING")) == (RESUMED, "")


@pytest.mark.parametrize("theirs", ["weak", "another-key-0123456789"])
def test_for_workers_without_the_key_the_controller_writes(
    batch: "Batch", monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    monkeypatch.setenv("RESILIENCE_LEDGER_KEY", KEY)
    batch.write({"test_a.py": SUITE, "conftest.py": WORKERS_HAVE.format(key=theirs)})
    assert batch.run("-n", "2").outcomes == {"total": 8, "passed": 7, "failed": 1}
    assert writers(batch, KEY) == ({"ctl"}, 8)
    said = batch.resume("-n", "2")
    assert (said.outcomes, said.line("WARNING")) == (RESUMED, "")


def test_workers_that_alone_have_a_key_sign_nothing(batch: "Batch") -> None:
    batch.write({"test_a.py": SUITE, "conftest.py": WORKERS_HAVE.format(key=KEY)})
    batch.run("-n", "2")
    assert writers(batch, "") == ({"ctl", "gw0", "gw1"}, 8)
    assert batch.last.info.signature == "none"
    said = batch.resume("-n", "2")
    assert (said.outcomes, said.line("WARNING")) == (RESUMED, "")
