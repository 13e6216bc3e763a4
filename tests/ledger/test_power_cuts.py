"""Whatever a power cut leaves, nothing false is read, and no more is lost than `durability` says."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    Fact,
    RunEnded,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsSelected,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.history import load, to_resume
from pytest_resilience.ledger.lines import BadLine, decode
from pytest_resilience.ledger.reading import read
from pytest_resilience.ledger.runs import RunFolder, Store, new_run_id
from pytest_resilience.ledger.segments import SYNC_SECONDS

from .. import ledgers
from .power_cuts import TracedDisk, left_by

NOW = 1_800_000_000.0
TESTS = tuple(f"test_{number}" for number in range(12))
# Known from an earlier run; of these the first is selected to run again.
INHERITED = tuple(
    TestInherited(key=key, outcome=Outcome.PASSED, run="r") for key in ("test_0", "old_1", "old_2")
)
STATES_OF_A_RUN = 25
RUNS = 28


@dataclass
class Story:
    """A run on a disk that is traced: after how many calls which fact was acknowledged, and when."""

    disk: TracedDisk
    store: Store
    acknowledged: list[tuple[int, float, Fact]] = field(default_factory=list)
    synced: list[tuple[int, float]] = field(default_factory=list)
    begun: int = 0
    now: float = NOW


def tell(base: Path, durability: str, chance: Random) -> Story:
    """A run of twelve tests from its making to its end."""
    disk = TracedDisk(base)
    story = Story(disk, Store(base / ".pytest_resilience", disk=disk))
    info = ledgers.info(NOW, id=new_run_id(NOW, chance.randbytes(8)))
    folder = story.store.create(info, INHERITED)
    segment = ledgers.segment(folder, durability=durability, clock=lambda: story.now, disk=disk)
    folder.write_selection(
        [TestsSelected(keys=TESTS), TestsSelected(keys=("old_1", "old_2"), fate="carried")],
        SelectionDone(total=len(TESTS) + 2),
    )
    story.begun = len(disk.trace)
    story.synced.append((len(disk.trace), story.now))
    for fact in facts(chance):
        before = len(disk.trace)
        assert segment.write(fact)
        story.acknowledged.append((len(disk.trace), story.now, fact))
        if any(call.what == "synced" for call in disk.trace[before:]):
            story.synced.append((len(disk.trace), story.now))
        story.now += chance.choice((0.0, 0.1, 0.4, 0.9, 3.0))
    segment.close()
    folder.finish(exit_status=1, counts={})
    folder.release()
    return story


def facts(chance: Random) -> list[Fact]:
    told: list[Fact] = []
    for key in TESTS:
        told.append(AttemptStarted(key=key, attempt=1))
        outcome = chance.choice((Outcome.PASSED, Outcome.FAILED))
        if outcome.is_bad:
            text = "x" * chance.choice((1, 500))
            told.append(AttemptEnded(key=key, attempt=1, outcome=outcome, message=text))
        told.append(TestFinished(key=key, outcome=outcome))
    return [*told, RunEnded(exit_status=1)]


def check(story: Story, calls: int, durability: str, root: Path) -> None:
    """Compare what is left of a run, cut off after so many calls, with what it had said by then."""
    store = Store(root / ".pytest_resilience")
    past = to_resume(store, "", "k")
    said = [(at, fact) for number, at, fact in story.acknowledged if number <= calls]
    if past is None:
        assert calls < story.begun, "the whole run is lost"
        return
    assert calls < story.begun or past.run.selected_total == len(TESTS) + 2, "the selection is lost"
    folder = RunFolder(store.folder_of_runs / past.info.id, past.info)
    found = facts_in(folder)
    check_nothing_is_false(story, calls, found)
    check_what_is_intact_is_read(folder)
    if durability != "process":
        check_no_more_is_lost_than_was_said(story, calls, durability, found)
    if folder.final() is not None:
        assert {fact for _, fact in said} <= found


def facts_in(folder: RunFolder) -> set[Fact]:
    return {
        record.fact
        for record in read(folder.path).records
        if isinstance(record.fact, AttemptStarted | AttemptEnded | TestFinished)
    }


def check_nothing_is_false(story: Story, calls: int, found: set[Fact]) -> None:
    """Only what was written is read, and only what ended well is known as good."""
    told = [fact for _, _, fact in story.acknowledged]
    # The next fact may have been written and not yet acknowledged.
    begun = sum(1 for number, _, _ in story.acknowledged if number <= calls) + 1
    assert found <= {fact for fact in told[:begun] if not isinstance(fact, RunEnded)}


def check_what_is_intact_is_read(folder: RunFolder) -> None:
    """Every line that is whole is read, whatever stands before it."""
    reading = read(folder.path)
    lines = {(record.writer, record.seq) for record in reading.records}
    for file in folder.path.glob("*.jsonl"):
        for line in file.read_bytes().split(b"\n"):
            try:
                record = decode(line)
            except BadLine:
                continue
            assert (record.writer, record.seq) in lines


def check_no_more_is_lost_than_was_said(story: Story, calls: int, durability: str, found: set[Fact]) -> None:
    """With "record" nothing; with "second" what came after the last sync, which is a second of results."""
    _, synced_at = max(moment for moment in story.synced if moment[0] <= calls or moment is story.synced[0])
    for number, at, fact in story.acknowledged:
        if number > calls or isinstance(fact, RunEnded) or fact in found:
            continue
        assert durability != "record"
        assert at >= synced_at
        assert at < synced_at + SYNC_SECONDS or not isinstance(fact, TestFinished)


def good(story: Story, calls: int) -> set[str]:
    """What may be known as good after so many calls: what ended well, and what did earlier and is not to run again."""
    ended = {
        fact.key
        for _, _, fact in story.acknowledged[
            : 1 + sum(1 for number, _, _ in story.acknowledged if number <= calls)
        ]
        if isinstance(fact, TestFinished) and fact.outcome.is_good
    }
    before = {"old_1", "old_2"} if calls > story.begun else {one.key for one in INHERITED}
    return ended | before


@pytest.mark.invariant(2, 3, 4, 5, 6, 11, 31)
@pytest.mark.parametrize("durability", ["process", "second", "record"])
def test_a_power_cut_loses_what_it_may_and_makes_nothing_up(durability: str, tmp_path: Path) -> None:
    """700 states each: 28 runs, cut off at 25 moments."""
    found_whole = 0
    for seed in range(RUNS):
        chance = Random(seed)
        base = tmp_path / "base"
        base.mkdir()
        story = tell(base, durability, chance)
        for state in range(STATES_OF_A_RUN):
            calls, root = chance.randint(0, len(story.disk.trace)), tmp_path / f"state-{state}"
            left_by(story.disk, calls, chance, root)
            try:
                check(story, calls, durability, root)
                store = Store(root / ".pytest_resilience")
                for info in store.runs():
                    past = load(store.folder(info.id))
                    known = {one.key for one in past.knowledge if one.outcome.is_good}
                    assert known <= good(story, calls)
                    found_whole += past.run.ended is not None
            except AssertionError as error:
                error.add_note(f"durability {durability}, run {seed}, state {state}, after {calls} calls")
                raise
            shutil.rmtree(root)
        shutil.rmtree(base)
    assert found_whole or durability == "process"
