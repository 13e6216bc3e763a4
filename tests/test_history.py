"""Which run is resumed, and how long processes of it are waited for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience import history
from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import SelectionDone, TestFinished, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.history import WAIT_FOR_WRITERS, CannotResume, Past, Patience, to_resume
from pytest_resilience.ledger.holders import Holder
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.runs import RunFolder, Store

from . import ledgers

ME = Process.here()
WORKER = f"gw0.{os.getpid()}.00000000"


def a_run(store: Store, now: float = 1.8e9, **others: Any) -> RunFolder:
    """A run that died after one of its two tests, its lock still held."""
    folder = store.create(ledgers.info(now, **others))
    folder.write_selection([TestsSelected(keys=("a", "b"))], SelectionDone(total=2))
    segment = ledgers.segment(folder)
    assert segment.write(TestFinished(key="a", outcome=Outcome.PASSED))
    segment.close()
    return folder


class Waiting:
    """Somebody who waits in no time; `ends` are called when so many seconds have passed."""

    def __init__(self, **ends: Callable[[], None]) -> None:
        self.seconds = 0.0
        self.said: list[str] = []
        self.warned: dict[Code, str] = {}
        self._ends = {float(after.removeprefix("at_")): end for after, end in ends.items()}

    def patience(self, *, is_forced: bool = False) -> Patience:
        return Patience(
            is_forced=is_forced, say=self.said.append, warn=self.warned.__setitem__, sleep=self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
        for after in [after for after in self._ends if after <= self.seconds]:
            self._ends.pop(after)()


def found(past: Past | None) -> str:
    assert past is not None
    return past.info.id


def test_a_run_that_is_over_is_resumed_at_once_without_a_word(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run = a_run(store)
    run.release()
    waiting = Waiting()
    assert found(to_resume(store, "", "k", waiting.patience())) == run.id
    assert (waiting.seconds, waiting.said, waiting.warned) == (0, [], {})


def test_an_owner_that_is_alive_is_not_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run = a_run(store)
    waiting = Waiting()
    for wanted in ("", run.id):
        with pytest.raises(CannotResume) as refused:
            to_resume(store, wanted, "k", waiting.patience())
        assert str(refused.value).startswith(
            f"RES403 ledger-locked: run {run.id} is still alive: its session, process {os.getpid()}. "
        )
        assert f"(kill {os.getpid()})" in str(refused.value)
        assert "--resume-force" in str(refused.value)
    assert waiting.seconds == 0
    run.release()


@pytest.mark.invariant(19)
def test_a_worker_is_waited_for_and_after_a_second_that_is_said_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run = a_run(store)
    run.release()
    worker = store.folder(run.id)
    assert worker.hold(WORKER) is not None
    waiting = Waiting(at_5=worker.release)
    assert found(to_resume(store, "", "k", waiting.patience())) == run.id
    assert waiting.seconds == pytest.approx(5, abs=0.2)
    assert waiting.said == [
        f"waiting up to 20 seconds for the end of run {run.id}: worker gw0, process {os.getpid()}"
    ]
    assert waiting.warned == {}


def test_a_short_wait_is_not_worth_a_word(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run = a_run(store)
    run.release()
    worker = store.folder(run.id)
    assert worker.hold(WORKER) is not None
    waiting = Waiting(**{"at_0.5": worker.release})
    assert found(to_resume(store, "", "k", waiting.patience())) == run.id
    assert waiting.said == []


@pytest.mark.invariant(19)
def test_workers_that_do_not_end_are_named_with_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run = a_run(store)
    run.release()
    workers = store.folder(run.id)
    assert workers.hold(WORKER) is not None
    assert workers.hold(f"gw1.{os.getppid()}.00000000") is not None
    waiting = Waiting()
    with pytest.raises(CannotResume) as refused:
        to_resume(store, "", "k", waiting.patience())
    assert waiting.seconds == pytest.approx(WAIT_FOR_WRITERS, abs=0.2)
    assert len(waiting.said) == 1
    text = str(refused.value)
    assert f"worker gw0, process {os.getpid()}; worker gw1, process {os.getppid()}. Wait for it" in text
    assert f"(kill {os.getpid()} {os.getppid()})" in text
    workers.release()


def test_a_process_of_another_machine_is_not_to_be_killed_here(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", secret=b"what both machines know")
    run = a_run(store, host="ci-7\x1b[31m")
    with pytest.raises(CannotResume) as refused:
        to_resume(store, "", "k", Waiting().patience())
    assert f"process {os.getpid()} on ci-7" in str(refused.value)
    assert "kill" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    run.release()


@pytest.mark.parametrize("name", ["owner", WORKER], ids=["owner", "worker"])
def test_force_does_not_wait_and_is_told(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    run = a_run(store)
    if name != "owner":
        run.release()
        assert run.hold(name) is not None
    waiting = Waiting()
    past = to_resume(store, "", "k", waiting.patience(is_forced=True))
    assert found(past) == run.id
    assert past is not None
    assert past.run.outcome("a") is Outcome.PASSED
    assert waiting.seconds == 0
    assert f"process {os.getpid()}" in waiting.warned[Code.LEDGER_LOCKED]
    run.release()


def test_a_run_that_is_over_is_not_told_of_though_force_was_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    a_run(store).release()
    waiting = Waiting()
    to_resume(store, "", "k", waiting.patience(is_forced=True))
    assert waiting.warned == {}


@pytest.mark.invariant(18)
def test_a_leftover_of_a_dead_owner_is_told_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That such a process is found is for the tests of `holders`."""
    store = Store(tmp_path / "store")
    run = a_run(store)
    left = Holder(name="owner", process=ME._replace(pid=4711), children=(4712,))
    monkeypatch.setattr(history, "holders", lambda folder: [left])
    waiting = Waiting()
    assert found(to_resume(store, "", "k", waiting.patience())) == run.id
    assert waiting.seconds == 0
    assert waiting.warned == {
        Code.ORPHAN_PROCESS: f"the lock of its session is held by process 4712, a leftover of run {run.id}, whose "
        "own process 4711 is gone. It writes nothing, so the resume goes on; to be rid of it: kill 4712"
    }
    run.release()
