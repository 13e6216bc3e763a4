"""A clock that jumps a day ahead or back changes neither what is known, nor which run is resumed, nor what is removed."""

import os
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.facts import AttemptStarted, SelectionDone, TestFinished, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.history import Past, load, to_resume
from pytest_resilience.ledger.retention import DAY, Limits, prune
from pytest_resilience.ledger.runinfo import RUN_ID, began_at, run_id_after
from pytest_resilience.ledger.runs import RunFolder, Store, new_run_id

from .. import ledgers

pytestmark = pytest.mark.invariant(32)

NOW = 1_800_000_000.0
JUMPS = (-DAY, 0.0, DAY)
FEW = Limits(runs=2, days=0, mb=0)


def a_run(store: Store, now: float, outcome: Outcome = Outcome.FAILED, parent: str = "") -> RunFolder:
    """A run of one test that died with this outcome known, as a session makes it whose clock says `now`."""
    newest = max(store.run_ids(), default="")
    folder = store.create(ledgers.info(now, id=run_id_after(newest, now, os.urandom(8)), parent=parent))
    folder.write_selection([TestsSelected(keys=("a",))], SelectionDone(total=1))
    write(folder, "ctl", now, outcome)
    return folder


def write(folder: RunFolder, worker: str, now: float, outcome: Outcome) -> None:
    segment = ledgers.segment(folder, worker, clock=lambda: now)
    assert segment.write(AttemptStarted(key="a", attempt=1))
    assert segment.write(TestFinished(key="a", outcome=outcome))
    segment.close()


def resumed(store: Store) -> Past:
    past = to_resume(store, "", "k")
    assert past is not None
    return past


@pytest.mark.parametrize("clocks", list(permutations(JUMPS)))
def test_the_run_that_began_last_is_resumed_whatever_the_clocks_said(
    tmp_path: Path, clocks: tuple[float, ...]
) -> None:
    """In an older run the test may have passed that failed in the last one."""
    store = Store(tmp_path / "store")
    for jump in clocks:
        last = a_run(store, NOW + jump, Outcome.PASSED if jump != clocks[-1] else Outcome.FAILED)
        last.release()
    past = resumed(store)
    assert past.info.id == last.id
    assert [one.outcome for one in past.knowledge] == [Outcome.FAILED]


@pytest.mark.parametrize("jump", JUMPS)
def test_a_resume_is_resumed_in_turn_whatever_its_clock_says(tmp_path: Path, jump: float) -> None:
    store = Store(tmp_path / "store")
    first = a_run(store, NOW)
    first.release()
    second = a_run(store, NOW + jump, parent=first.id)
    second.release()
    assert resumed(store).info.id == second.id


@pytest.mark.parametrize("clocks", list(permutations(JUMPS)))
def test_what_workers_wrote_means_the_same_whatever_their_clocks_said(
    tmp_path: Path, clocks: tuple[float, ...]
) -> None:
    folder = a_run(Store(tmp_path / "store"), NOW + clocks[0], Outcome.PASSED)
    write(folder, "gw0", NOW + clocks[1], Outcome.FAILED)
    write(folder, "gw1", NOW + clocks[2], Outcome.PASSED)
    folder.release()
    assert load(folder).run.outcomes() == {"a": Outcome.FAILED}


@pytest.mark.parametrize("made", JUMPS)
@pytest.mark.parametrize("asked", JUMPS)
def test_no_clock_removes_a_run_that_is_alive(tmp_path: Path, made: float, asked: float) -> None:
    """Nor the newest that can be resumed."""
    store = Store(tmp_path / "store")
    alive = a_run(store, NOW + made)
    others = [a_run(store, NOW + hour * 3600) for hour in range(5)]
    for folder in others:
        folder.release()
    gone = prune(store, FEW, now=NOW + asked + 12 * 3600)
    assert alive.path.exists()
    assert others[-1].path.exists()
    assert set(gone) == {folder.id for folder in others[:-1]}
    alive.release()


def test_runs_from_the_future_do_not_pile_up(tmp_path: Path) -> None:
    """After a clock that was years ahead every later run is dated after it; their number is limited all the same."""
    store = Store(tmp_path / "store")
    a_run(store, NOW + 9000 * DAY).release()
    for _ in range(6):
        a_run(store, NOW).release()
    assert len(prune(store, FEW, now=NOW)) == 5


MOMENTS = st.floats(0, 4e9)


@given(MOMENTS, MOMENTS, st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_an_id_comes_after_the_newest_one(before: float, now: float, one: bytes, other: bytes) -> None:
    newest = new_run_id(before, one)
    later = run_id_after(newest, now, other)
    assert RUN_ID.fullmatch(later)
    assert later > newest
    if began_at(newest) < now - 0.001:
        assert later == new_run_id(now, other)


def test_an_id_that_nothing_can_come_after_is_no_trouble() -> None:
    last = "99991231T235959999Z-ffffffffffffffff"
    assert run_id_after(last, NOW, bytes(8)) == new_run_id(NOW, bytes(8))
    assert run_id_after("99999999T999999999Z-ffffffffffffffff", NOW, bytes(8)) == new_run_id(NOW, bytes(8))
    assert run_id_after("", NOW, bytes(8)) == new_run_id(NOW, bytes(8))
