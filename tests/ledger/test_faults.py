"""A disk that fails at any call, at any byte: what was acknowledged is readable, and one warning tells."""

import errno
import os
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import Fact, SegmentOpened, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.lines import encode
from pytest_resilience.ledger.reading import facts_of
from pytest_resilience.ledger.segments import Segment

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ESTALE)

# What one call does instead of what it should: take so many bytes, then, if there is an error, raise it.
Fault = tuple[int, int]


class FaultyDisk(Disk):
    """Counts its calls; those with a number in `faults` go wrong."""

    def __init__(self, faults: dict[int, Fault]) -> None:
        self._faults = faults
        self._number = count()
        self.failed = 0

    def _fault(self) -> Fault | None:
        fault = self._faults.get(next(self._number))
        self.failed += fault is not None and fault[1] != 0
        return fault

    def _maybe_fail(self) -> None:
        if (fault := self._fault()) is not None and fault[1]:
            raise OSError(fault[1], os.strerror(fault[1]))

    def open_folder(self, path: Path) -> int:
        self._maybe_fail()
        return super().open_folder(path)

    def open_new(self, name: str, folder: int) -> int:
        self._maybe_fail()
        return super().open_new(name, folder)

    def append(self, fd: int, data: bytes) -> int:
        if (fault := self._fault()) is None:
            return super().append(fd, data)
        size, error = fault
        taken = super().append(fd, data[:size]) if size else 0
        if error:
            raise OSError(error, os.strerror(error))
        return taken

    def truncate(self, fd: int, size: int) -> None:
        self._maybe_fail()
        super().truncate(fd, size)

    def datasync(self, fd: int) -> None:
        self._maybe_fail()
        super().datasync(fd)

    def unlink(self, name: str, folder: int) -> None:
        self._maybe_fail()
        super().unlink(name, folder)

    def sync_folder(self, folder: int) -> None:
        self._maybe_fail()
        super().sync_folder(folder)


def fact(number: int) -> TestFinished:
    return TestFinished(key=f"tests/test_a.py::test_{number}", outcome=Outcome.PASSED)


def check(faults: dict[int, Fault], *, durability: str, facts: int) -> tuple[list[bool], int]:
    """Write so many facts to a disk with these faults and compare what was said with what is there."""
    troubles: list[tuple[Code, str]] = []
    disk = FaultyDisk(faults)
    seconds = count(1000)
    with tempfile.TemporaryDirectory() as name:
        segment = Segment.create(
            Path(name),
            "gw0",
            run="r",
            durability=durability,
            trouble=lambda *trouble: troubles.append(trouble),
            clock=lambda: float(next(seconds)),
            disk=disk,
        )
        kept = [segment.write(fact(number)) for number in range(facts)]
        found = [fact for _, fact in facts_of(Path(name)) if not isinstance(fact, SegmentOpened)]
        segment.close()
    written: Sequence[Fact] = [fact(number) for number in range(facts)]
    assert {repr(fact) for fact, ok in zip(written, kept, strict=True) if ok} <= set(map(repr, found))
    assert set(map(repr, found)) <= set(map(repr, written))
    assert segment.dropped == kept.count(False)
    assert len(troubles) <= 1
    assert troubles or all(kept)
    return kept, len(troubles)


FAULTS = st.one_of(
    st.tuples(st.integers(0, 200), st.just(0)),
    st.tuples(st.integers(0, 200), st.sampled_from(ERRORS)),
)


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.integers(0, 40), FAULTS, max_size=6),
    st.sampled_from(["process", "second", "record"]),
)
def test_whatever_fails_what_was_acknowledged_is_readable(faults: dict[int, Fault], durability: str) -> None:
    check(faults, durability=durability, facts=10)


LENGTH = len(encode(fact(0), writer=f"gw0.{os.getpid()}.00000000", seq=1, at=1000.0))


@pytest.mark.parametrize("mends", [True, False], ids=["truncates", "cannot_truncate"])
def test_a_full_disk_at_any_byte_costs_that_fact_only(mends: bool) -> None:
    # The calls: open the folder, open the file, its first line, three facts of which the second goes wrong.
    for size in range(LENGTH + 1):
        faults = {4: (size, errno.ENOSPC)}
        if not mends:
            faults |= {5: (0, errno.EIO), 6: (0, errno.EIO)}
        kept, warnings = check(faults, durability="process", facts=4)
        assert kept == [True, False, True, True]
        assert warnings == 1


def test_a_kernel_that_takes_a_part_only_is_given_the_rest() -> None:
    for size in range(1, LENGTH):
        kept, warnings = check({4: (size, 0)}, durability="process", facts=3)
        assert kept == [True, True, True]
        assert warnings == 0


def test_two_failures_at_any_two_calls_cost_no_acknowledged_fact() -> None:
    for first in range(14):
        for second in range(first + 1, 14):
            for size in (0, 7):
                check({first: (size, errno.EIO), second: (size, errno.ENOSPC)}, durability="record", facts=5)


def test_a_disk_that_is_full_for_a_while_is_written_to_again_afterwards() -> None:
    full = dict.fromkeys(range(3, 30), (0, errno.ENOSPC))
    kept, warnings = check(full, durability="process", facts=40)
    assert kept[-1]
    assert not kept[0]
    assert warnings == 1


def test_three_failures_in_a_row_lead_to_a_new_file(tmp_path: Path) -> None:
    class OneBadFile(Disk):
        bad: frozenset[int] = frozenset()

        def append(self, fd: int, data: bytes) -> int:
            if fd in self.bad:
                raise OSError(errno.EIO, "bad block")
            return super().append(fd, data)

    disk = OneBadFile()
    segment = Segment.create(tmp_path, "gw0", run="r", trouble=lambda code, why: None, disk=disk)
    segment.write(fact(0))
    assert segment._fd is not None
    disk.bad = frozenset({segment._fd})
    kept = []
    for number in range(1, 5):
        kept.append(segment.write(fact(number)))
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
    assert all(segment.write(fact(number)) for number in range(3))
    segment.close()
    assert [fact for _, fact in facts_of(tmp_path)][-3:] == [fact(0), fact(1), fact(2)]
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
    assert all(segment.write(fact(number)) for number in range(3))
    segment.close()
    assert len(list(tmp_path.iterdir())) == 1
