"""All that the files of a run have to say, whatever became of them.

Nothing here ever raises because of what is on the disk: a line that cannot be believed is skipped and told.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

from pytest_resilience.core.facts import Fact, SegmentOpened, TestsFinished, number_of_inherited
from pytest_resilience.ledger import frequent
from pytest_resilience.ledger.disk import DISK, opened_folder
from pytest_resilience.ledger.frequent import Part
from pytest_resilience.ledger.lines import FORMAT, BadLine, Record, UnknownKind, decode
from pytest_resilience.ledger.runinfo import CARRY, RUN, TESTS, BadRun, RunInfo
from pytest_resilience.ledger.seal import Seal
from pytest_resilience.ledger.sizes import MAX_LINE

_PREFIX, _SUFFIX = "seg-", ".jsonl"
_PORTION = 64 * 1024
_LINES = re.compile(rb"[^\n]+\n?").finditer
# Of a file that is nothing but damage the first pieces are enough.
MAX_PROBLEMS = 1000
MAX_REPEATED = 100_000

# What a line without an end is called: after a kill that is no more than the fact that was being written.
CUT_OFF = "cut off at the end"


class Damage(NamedTuple):
    """Something that was skipped, or is missing: in which file, at which byte, and what is wrong there."""

    file: str
    offset: int
    why: str


class Ends(NamedTuple):
    """Tests that one writer began and finished, each in two of his lines without a gap: the first end is number `seq`."""

    writer: str
    seq: int
    fact: TestsFinished


class Reading:
    """The records of a run's folder, read while they are iterated over.

    After that `problems` tells what was skipped (the first thousand; `bad` counts all) and `unknown` how many lines
    were of kinds that only newer releases know. A file that grows meanwhile is read to where it ends then. With a
    seal, lines that are not signed are damage.
    """

    def __init__(self, folder: Path, seal: Seal | None = None) -> None:
        self._folder = folder
        self._seal = seal
        self.problems: list[Damage] = []
        self.bad = 0
        self.unknown = 0

    @property
    def records(self) -> Iterator[Record]:
        """What was inherited, then what was selected, then what the writers wrote, each in the order of its file."""
        # Nothing else is read line by line.
        return cast("Iterator[Record]", self._read(is_condensed=False))

    @property
    def condensed(self) -> Iterator[Record | Ends]:
        """The same, tests that were merely begun and finished told together, and without the records that they began."""
        # What is signed is looked at line by line.
        return self._read(is_condensed=self._seal is None)

    def _read(self, *, is_condensed: bool) -> Iterator[Record | Ends]:
        self.problems, self.bad, self.unknown = [], 0, 0
        missing = _Missing(self._inherited())
        try:
            with opened_folder(self._folder) as folder:
                for name in _files(folder):
                    yield from self._records_of(
                        name, folder, missing, frequent.parts if is_condensed else _whole
                    )
        except OSError as error:
            self._add(Damage(".", 0, error.strerror or "cannot be read"))
        for damage in missing.damage():
            self._add(damage)

    def _records_of(
        self, name: str, folder: int, missing: "_Missing", parts: Callable[[bytes], Iterator[Part]]
    ) -> Iterator[Record | Ends]:
        offset = count = 0
        try:
            fd = DISK.open_old(name, folder)
        except OSError as error:
            self._add(Damage(name, 0, error.strerror or "cannot be read"))
            return
        owner = _owner(name)
        try:
            for start, portion in _portions(fd):
                for part in parts(portion):
                    at = offset = start + part.start
                    if part.ends is not None:
                        missing.saw(name, offset, owner, part.writer, part.seq - 1, 2 * len(part.ends.keys))
                        yield Ends(part.writer, part.seq, part.ends)
                        continue
                    for offset, record in self._by_line(name, at, part.lines, missing):
                        fact = record.fact
                        if type(fact) is SegmentOpened and fact.format[0] != FORMAT[0]:
                            self._add(Damage(name, offset, f"format {fact.format[0]} is not known here"))
                            return
                        count += number_of_inherited(fact)
                        yield record
        except OSError as error:
            self._add(Damage(name, offset, error.strerror or "cannot be read"))
        finally:
            DISK.close(fd)
        if name == CARRY:
            missing.saw_inherited(offset, count)

    def _by_line(
        self, name: str, start: int, lines: bytes, missing: "_Missing"
    ) -> Iterator[tuple[int, Record]]:
        owner = _owner(name)
        for found in _LINES(lines):
            offset, line = start + found.start(), found[0]
            bare = line.removesuffix(b"\n")
            if len(bare) >= MAX_LINE:
                self._add(Damage(name, offset, "longer than a line can be"))
                continue
            try:
                record = decode(bare, self._seal)
            except UnknownKind as newer:
                self.unknown += 1
                missing.saw(name, offset, owner, newer.writer, newer.seq)
            except BadLine as error:
                self._add(Damage(name, offset, CUT_OFF if len(bare) == len(line) else str(error)))
            else:
                missing.saw(name, offset, owner, record.writer, record.seq)
                yield offset, record

    def _inherited(self) -> int:
        """How many tests the run inherited, as it knew when it began."""
        try:
            return RunInfo.read(self._folder).inherited
        except FileNotFoundError:
            return 0
        except (OSError, BadRun) as error:
            self._add(Damage(RUN, 0, str(error)))
            return 0

    def _add(self, damage: Damage) -> None:
        self.bad += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(damage)


def read(folder: Path, seal: Seal | None = None) -> Reading:
    """The records of the run in `folder`; with a seal, those that are signed."""
    return Reading(folder, seal)


def facts_of(folder: Path, seal: Seal | None = None) -> Iterator[tuple[str, Fact]]:
    """The facts of the run in `folder` with who wrote them, for those who do not ask what is damaged."""
    return ((record.writer, record.fact) for record in read(folder, seal).records)


def _whole(lines: bytes) -> Iterator[Part]:
    yield Part(0, lines)


def _files(folder: int) -> list[str]:
    names = DISK.names(folder)
    segments = sorted(name for name in names if name.startswith(_PREFIX) and name.endswith(_SUFFIX))
    return [name for name in (CARRY, TESTS) if name in names] + segments


def _owner(name: str) -> str:
    """Whose lines the file consists of; others are repetitions from another file."""
    return name.removesuffix(_SUFFIX).removeprefix(_PREFIX)


def _portions(fd: int) -> Iterator[tuple[int, bytes]]:
    """What a file holds, in pieces that end where a line does, with where they begin.

    Of a line that is too long to be one of ours there is no more than shows that.
    """
    rest, offset = b"", 0
    while portion := DISK.read(fd, _PORTION):
        rest += portion
        end = rest.rfind(b"\n") + 1
        if end:
            yield offset, rest[:end]
            rest, offset = rest[end:], offset + end
        if len(rest) >= MAX_LINE:
            yield offset, rest[:MAX_LINE] + b"\n"
            while rest and (end := rest.find(b"\n") + 1) == 0:
                offset += len(rest)
                rest = DISK.read(fd, _PORTION)
            rest, offset = rest[end:], offset + end
    if rest:
        yield offset, rest


class _Missing:
    """Which numbers of a writer never turned up, neither in its file nor repeated in another."""

    def __init__(self, inherited: int) -> None:
        self._inherited, self._inherited_end = inherited, 0
        self._next: dict[str, int] = {}
        self._gaps: list[tuple[str, int, str, int, int]] = []
        self._repeated: set[tuple[str, int]] = set()

    def saw(self, name: str, offset: int, owner: str, writer: str, seq: int, lines: int = 1) -> None:
        """There are so many lines of a writer at `offset` of a file that is the owner's, numbered from `seq`."""
        if writer != owner:
            for one in range(seq, seq + lines):
                if len(self._repeated) < MAX_REPEATED:
                    self._repeated.add((writer, one))
            return
        expected = self._next.get(name, 0)
        if seq > expected:
            self._gaps.append((name, offset, owner, expected, seq))
        if seq + lines > expected:
            self._next[name] = seq + lines

    def saw_inherited(self, end: int, count: int) -> None:
        self._inherited, self._inherited_end = self._inherited - count, end

    def damage(self) -> Iterator[Damage]:
        if self._inherited > 0:
            yield Damage(CARRY, self._inherited_end, f"{self._inherited} inherited tests are missing")
        for name, offset, owner, first, end in self._gaps:
            found = sum(1 for writer, seq in self._repeated if writer == owner and first <= seq < end)
            if (missing := end - first - found) > 0:
                yield Damage(name, offset, f"{missing} lines before this one are missing")
