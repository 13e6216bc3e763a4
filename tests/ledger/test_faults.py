"""A disk that fails at any call, at any byte, once or twice: what was acknowledged is readable, and one warning tells."""

import errno
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import combinations, count, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    Fact,
    SegmentOpened,
    TestFinished,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.reading import facts_of, read
from pytest_resilience.ledger.segments import Segment

from .faulty import Died, Fault, FaultyDisk

DURABILITIES = ("process", "second", "record")
ERRORS = (
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EMFILE,
    errno.ESTALE,
    errno.EFBIG,
    errno.EINTR,
)
Schedule = dict[int, Fault]

FACTS: tuple[Fact, ...] = (
    AttemptStarted(key="test_a", attempt=1),
    TestFinished(key="test_a", outcome=Outcome.PASSED),
    AttemptEnded(key="test_b", attempt=1, outcome=Outcome.FAILED, message="no"),
    TestFinished(key="test_b", outcome=Outcome.FAILED),
    DecisionTaken(code="RES301", why="enough"),
)


class Session:
    """A writer on a disk with faults: what it said of each fact that it was given, and of its trouble."""

    def __init__(self, disk: FaultyDisk) -> None:
        self.disk = disk
        self.kept: list[bool] = []
        self.troubles: list[tuple[Code, str]] = []

    def write(self, folder: Path, facts: Sequence[Fact], durability: str) -> None:
        """Give it the facts. Nothing but its death may come out of that."""
        seconds = count(1000)
        segment = Segment.create(
            folder,
            "gw0",
            run="r",
            durability=durability,
            trouble=lambda *trouble: self.troubles.append(trouble),
            clock=lambda: float(next(seconds)),
            disk=self.disk,
        )
        for one in facts:
            is_sound = self.disk.is_sound
            self.kept.append(segment.write(one))
            assert self.kept[-1] or not is_sound, "the disk is well again and a fact is lost"
        segment.close()
        assert segment.dropped == self.kept.count(False)
        assert self.troubles or all(self.kept), "lost, and nobody was told"
        # What a descriptor leads to that cannot be asked is not for us to close.
        assert not self.disk.left_open or "fstat" in self.disk.failed

    def check(self, folder: Path, facts: Sequence[Fact]) -> None:
        """Compare what was said with what is there. acknowledged ⊆ readable ⊆ written."""
        self.disk.close_all()
        assert len(self.troubles) <= 1
        assert all(code is Code.LEDGER_UNWRITABLE for code, _ in self.troubles)
        reading = read(folder)
        records: dict[tuple[str, int], Fact] = {}
        for writer, seq, _, fact in reading.records:
            assert records.setdefault((writer, seq), fact) == fact, "one number for two facts"
        found = {fact for fact in records.values() if not isinstance(fact, SegmentOpened)}
        assert {fact for fact, ok in zip(facts, self.kept, strict=False) if ok} <= found, "lost"
        assert found <= set(facts)
        for file in folder.iterdir():
            writer = file.name.removeprefix("seg-").removesuffix(".jsonl")
            numbers = {seq for name, seq in records if name == writer}
            assert reading.problems or numbers == set(range(len(numbers))), "a gap, and nobody is told"


def session(folder: Path, schedule: Schedule, *, durability: str, facts: Sequence[Fact] = FACTS) -> Session:
    """Write facts to a disk with these faults, and compare what was said of them with what is there."""
    result = Session(FaultyDisk(schedule))
    folder.mkdir(exist_ok=True)
    with suppress(Died):
        result.write(folder, facts, durability)
    result.check(folder, facts)
    for file in folder.iterdir():
        file.unlink()
    return result


# ---- every single fault, and every two


def singles(durability: str, folder: Path) -> Iterator[Schedule]:
    """Each call of a session with each fault that it can have; an append at each byte."""
    whole = session(folder, {}, durability=durability)
    for number, (name, length) in enumerate(whole.disk.calls):
        for error in ERRORS:
            yield {number: Fault(error)}
            yield {number: Fault(error, size=length or 1)}
        yield {number: Fault(dies=True)}
        for size in range(1, length + 1):
            yield {number: Fault(size=size)}
            yield {number: Fault(errno.ENOSPC, size=size)}
            yield {number: Fault(dies=True, size=size)}
        if name != "append":
            yield {number: Fault(dies=True, size=1)}


# What may be the first of two, at any call: nothing was done, or all, of an append a part.
FIRST = (Fault(errno.EIO), Fault(errno.ENOSPC, size=7))
SECOND = (*FIRST, Fault(dies=True))


def pairs(durability: str, folder: Path) -> Iterator[Schedule]:
    """Each two calls of a session. After a fault it makes more calls than without: those of mending."""
    whole = session(folder, {}, durability=durability)
    for one, other in combinations(range(len(whole.disk.calls) + 4), 2):
        for first, second in product(FIRST, SECOND):
            yield {one: first, other: second}


@pytest.mark.invariant(1, 3, 4, 5, 6, 9, 14, 15, 16)
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("schedules", [singles, pairs])
def test_whatever_fails_once_or_twice_what_was_acknowledged_is_readable_and_the_rest_is_told(
    schedules: Callable[[str, Path], Iterator[Schedule]], durability: str, tmp_path: Path
) -> None:
    for schedule in schedules(durability, tmp_path / "whole"):
        try:
            session(tmp_path / "run", schedule, durability=durability)
        except AssertionError as error:
            error.add_note(f"durability {durability}, {schedule}")
            raise


def test_there_are_more_than_ten_thousand_such_schedules(tmp_path: Path) -> None:
    schedules = [make(one, tmp_path / "whole") for make in (singles, pairs) for one in DURABILITIES]
    assert sum(1 for some in schedules for _ in some) >= 10_000


# ---- more of them


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.integers(0, 40), st.builds(Fault, st.sampled_from(ERRORS), size=st.integers(0, 200)), max_size=8
    ),
    st.sampled_from(DURABILITIES),
)
def test_many_faults_cost_no_acknowledged_fact(schedule: Schedule, durability: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        session(Path(name, "run"), schedule, durability=durability)


def passed(number: int) -> TestFinished:
    return TestFinished(key=f"test_{number}", outcome=Outcome.PASSED)


@pytest.mark.invariant(15)
def test_a_disk_that_is_full_for_a_while_is_written_to_again_afterwards(tmp_path: Path) -> None:
    full = dict.fromkeys(range(3, 30), Fault(errno.ENOSPC))
    done = session(
        tmp_path / "run", full, durability="process", facts=[passed(number) for number in range(40)]
    )
    assert done.kept[-1]
    assert not done.kept[0]
    assert len(done.troubles) == 1


@pytest.mark.invariant(6, 15)
@pytest.mark.parametrize("mends", [True, False], ids=["truncates", "cannot_truncate"])
def test_a_full_disk_costs_one_fact_whether_or_not_the_torn_line_can_be_cut_off(
    mends: bool, tmp_path: Path
) -> None:
    class Full(FaultyDisk):
        def truncate(self, fd: int, size: int) -> None:
            if not mends:
                raise OSError(errno.EIO, "cannot")
            super().truncate(fd, size)

    facts = [passed(number) for number in range(4)]
    calls = session(tmp_path / "run", {}, durability="process", facts=facts).disk.calls
    _, _, second, *_ = [number for number, (name, _) in enumerate(calls) if name == "append"]
    torn = Session(Full({second: Fault(errno.ENOSPC, size=20)}))
    torn.write(tmp_path, facts, "process")
    torn.check(tmp_path, facts)
    assert torn.kept == [True, False, True, True]
    reading = read(tmp_path)
    assert sum(1 for _ in reading.records) == 4
    assert len(reading.problems) == (1 if mends else 2)


def test_three_failures_in_a_row_lead_to_a_new_file(tmp_path: Path) -> None:
    class OneBadFile(Disk):
        bad: frozenset[int] = frozenset()

        def append(self, fd: int, data: bytes) -> int:
            if fd in self.bad:
                raise OSError(errno.EIO, "bad block")
            return super().append(fd, data)

    disk = OneBadFile()
    segment = Segment.create(tmp_path, "gw0", run="r", trouble=lambda code, why: None, disk=disk)
    segment.write(passed(0))
    assert segment._fd is not None
    disk.bad = frozenset({segment._fd})
    kept = []
    for number in range(1, 5):
        kept.append(segment.write(passed(number)))
        if number == 3:
            disk.bad = frozenset()
    assert kept == [False, False, False, True]
    assert len(list(tmp_path.iterdir())) == 2
    segment.close()


def test_facts_that_a_failed_sync_may_have_lost_are_written_again(tmp_path: Path) -> None:
    class Losing(Disk):
        """Fails to sync once, and loses what was not synced, as a real disk then does."""

        lost = False

        def datasync(self, fd: int) -> None:
            if self.lost:
                return super().datasync(fd)
            self.lost = True
            self._ftruncate(fd, 0)
            raise OSError(errno.EIO, "lost")

    troubles: list[str] = []
    seconds = count(1000)
    segment = Segment.create(
        tmp_path,
        "gw0",
        run="r",
        trouble=lambda code, why: troubles.append(why),
        clock=lambda: float(next(seconds)),
        disk=Losing(),
    )
    assert all(segment.write(passed(number)) for number in range(3))
    segment.close()
    assert [fact for _, fact in facts_of(tmp_path)][-3:] == [passed(0), passed(1), passed(2)]
    assert troubles == [f"lost ({tmp_path})"]


def test_a_file_system_that_cannot_sync_is_no_trouble(tmp_path: Path) -> None:
    class Unsyncable(Disk):
        def datasync(self, fd: int) -> None:
            raise OSError(errno.EINVAL, "invalid")

    segment = Segment.create(
        tmp_path,
        "gw0",
        run="r",
        durability="record",
        trouble=lambda code, why: pytest.fail(why),
        disk=Unsyncable(),
    )
    assert all(segment.write(passed(number)) for number in range(3))
    segment.close()
    assert len(list(tmp_path.iterdir())) == 1
