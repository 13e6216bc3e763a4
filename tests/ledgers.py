"""Runs that tests make without a session: what is noted of one at its beginning, and who writes to it."""

import os
from typing import Any

import pytest

from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.runs import RunFolder, RunInfo, new_run_id
from pytest_resilience.ledger.segments import Segment

NOW = 1_800_000_000.0


def info(now: float = NOW, owner: Process | None = None, **others: Any) -> RunInfo:
    """What is noted of a run that begins now, by its owner, which is this process unless another one is given."""
    noted = {"id": new_run_id(now, os.urandom(8)), "key": "k", "rootdir": "/r", "started": now}
    return RunInfo(**{**noted, **(owner or Process.here())._asdict(), **others})


def segment(folder: RunFolder, writer: str = "ctl", **others: Any) -> Segment:
    """A segment of a run; the test has failed when there is trouble with it."""
    untroubled = {"trouble": lambda code, why: pytest.fail(why), "seal": folder.seal}
    return Segment.create(folder.path, writer, run=folder.id, **{**untroubled, **others})
