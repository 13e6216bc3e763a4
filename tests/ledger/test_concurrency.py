"""32 sessions that start, prune and resume at once on one rootdir: each has a run of its own, and none loses it."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_resilience.core.facts import SelectionDone, TestFinished, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.history import CannotResume, to_resume
from pytest_resilience.ledger import retention
from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.retention import DAY, Limits, prune
from pytest_resilience.ledger.runs import RunFolder, RunInfo, Store

from .. import ledgers

SESSIONS = 32
ROUNDS = 3
FEW = Limits(runs=2, days=0, mb=0)


def start(store: Store, key: str) -> tuple[RunFolder, str]:
    """What a session does before its first test: resume, begin, prune. Its run, and which one it resumes."""
    try:
        past = to_resume(store, "", key)
    except CannotResume:
        past = None
    parent = past.info.id if past is not None else ""
    now = time.time()
    folder = store.create(
        ledgers.info(now, key=key, parent=parent), past.knowledge if past is not None else []
    )
    folder.write_selection([TestsSelected(keys=("a",))], SelectionDone(total=1))
    segment = ledgers.segment(folder, trouble=lambda code, why: os._exit(3))
    assert segment.write(TestFinished(key="a", outcome=Outcome.FAILED))
    # As if all of this had been a day ago: what is protected is so because somebody is alive.
    prune(store, FEW, now=now + DAY)
    return folder, parent


class Sessions:
    """Processes that begin at the same moment, say on what run they are, and end at the same moment."""

    def __init__(self, number: int, begin: Callable[[int], tuple[RunFolder, str]]) -> None:
        said, say = os.pipe()
        hold, let_go = os.pipe()
        go, begin_now = os.pipe()
        self._pids = []
        for one in range(number):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    os.close(begin_now)
                    os.close(let_go)
                    os.read(go, 1)
                    folder, parent = begin(one)
                    os.write(say, json.dumps([folder.id, parent]).encode() + b"\n")
                    os.close(say)
                    os.read(hold, 1)
                    assert RunInfo.read(folder.path) == folder.info
                    status = 0
                finally:
                    # As a kill ends it: nothing is closed or released.
                    os._exit(status)
            self._pids.append(pid)
        for fd in (say, hold, go, begin_now):
            os.close(fd)
        self._let_go = let_go
        with os.fdopen(said) as lines:
            self.begun: list[list[str]] = [json.loads(line) for line in lines]

    def end(self) -> list[int]:
        """The status of each, once it has ended."""
        os.close(self._let_go)
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self._pids]


@pytest.mark.invariant(20, 21)
def test_32_sessions_at_once_neither_share_nor_lose_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even of those that are dead is one resumed of which somebody is alive."""
    # A run that is being made is protected by its age alone, which this test takes away.
    monkeypatch.setattr(retention, "_sweep", lambda runs, now: None)
    # No power is lost here, and a busy disk would take ten times as long.
    for sync in ("_fsync", "_fdatasync"):
        monkeypatch.setattr(Disk, sync, staticmethod(lambda fd: None))
    store = Store(tmp_path / "store")
    before: set[str] = set()
    for number in range(ROUNDS):
        sessions = Sessions(SESSIONS, lambda one: start(store, f"key {one % 4}"))
        begun = {run for run, _ in sessions.begun}
        resumed = {parent for _, parent in sessions.begun if parent}
        found = {info.id for info in store.runs()}
        alive = {run for run in found if store.folder(run).writers_alive() == ["owner"]}
        assert sessions.end() == [0] * SESSIONS
        assert len(begun) == SESSIONS
        assert alive == begun
        assert resumed <= before
        assert bool(resumed) == (number > 0)
        before = {info.id for info in store.runs()}
        assert begun <= before
    assert all(not store.folder(run).writers_alive() for run in before)
    prune(store, FEW, now=time.time() + 2 * DAY)
    assert len(store.runs()) <= 8, "of each key the newest one, and the newest that can be resumed"
