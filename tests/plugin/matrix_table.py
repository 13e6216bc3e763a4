"""What must come of the matrix: a decision table, read for the order in which a process ran its tests."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TypeVar

from ..process.sessions import Batch
from .matrix import SCOPES, Cell, Group, Spot, arguments, files


@dataclass(frozen=True, slots=True)
class Ran:
    """A test as it ran in a process.

    `is_first`: it is the first of its cell, in its process, that asked for the fixture that may fail. `ends`
    are the scopes that end with it; with `breaks` a teardown fails then, of its cell or of one before it.
    """

    cell: Cell
    spot: Spot
    is_first: bool
    ends: frozenset[str]
    breaks: bool

    @property
    def is_struck(self) -> bool:
        """Whether its first attempt fails."""
        match self.cell.phase:
            case "setup":
                return self.spot.uses and (self.cell.always or self.is_first)
            case "call":
                return self.spot.is_target
            case _:
                return self.breaks


@dataclass(frozen=True, slots=True)
class Row:
    """What is right for a test: outcome, attempts, how often its body runs and how often x and y are made."""

    outcome: str
    attempts: int
    body: int
    x: int
    y: int


def row(ran: Ran) -> Row:
    """What is right for a test that has two retries."""
    cell, uses = ran.cell, ran.spot.uses
    each = cell.is_made_for_each_test
    # The first that uses a fixture makes it, the others find it there, unless each has its own.
    new = int(uses and (each or ran.is_first))
    if not ran.is_struck:
        return Row("passed", 1, body=1, x=new, y=new)
    match cell.phase, cell.always:
        case "setup", False:
            return Row("flaky", 2, body=1, x=2, y=1)
        case "setup", True:
            # The first attempt of the next test meets the error that pytest keeps of a shared fixture.
            return Row("error", 3, body=0, x=2 + new, y=0)
        case "call", False:
            return Row("flaky", 2, body=2, x=2 if each else 1, y=2 if each else 1)
        case "call", True:
            return Row("failed", 3, body=3, x=3 if each else 1, y=3 if each else 1)
        case "teardown", True if uses:
            return Row("error", 3, body=3, x=2 + new, y=2 + new)
        case _:
            # Of the scopes that ended the next attempt makes what the test itself needs, and no more.
            return Row("flaky", 2, body=2, x=uses + new, y=uses + new)


def numbers(cell: Cell, ran_here: list[Ran]) -> Counter[str]:
    """How often each thing of a cell has to happen in a process that ran these of its tests."""
    right: Counter[str] = Counter({"+s": 1} if ran_here else {})
    shared = Counter[str]()
    for ran in ran_here:
        one, name = row(ran), ran.spot.name
        right += Counter({f"begin {name}": one.attempts, f"body {name}": one.body, "+x": one.x, "+y": one.y})
        right += Counter({f"+f {name}": _reached(ran, "function"), f"+g {name}": one.body})
        if ran.spot.uses and not cell.late and cell.scope == "function":
            right[f"+g {name}"] = one.attempts
        # A scope that ended in an attempt that was repeated is made anew; a failed setup or call ends none.
        anew = one.attempts - 1 if cell.phase == "teardown" else 0
        shared += Counter({"+m": _reached(ran, "module"), "+c": _reached(ran, "class")})
        if "session" in ran.ends:
            right["+s"] += anew
        if "module" in ran.ends:
            right["+m"] += min(1, shared.pop("+m", 0)) + anew
        if not cell.has_classes:
            right[f"+c {name}"] += shared.pop("+c", 0)
        elif "class" in ran.ends:
            right["+c"] += min(1, shared.pop("+c", 0)) + anew
    return right


def _reached(ran: Ran, scope: str) -> int:
    """How many attempts came to the fixture of a scope: a broader one that the test names is made before."""
    one = row(ran)
    comes_before = SCOPES.index(ran.cell.scope) > SCOPES.index(scope)
    return one.body if ran.spot.uses and not ran.cell.late and comes_before else one.attempts


# -- what was seen -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Note:
    """What a fixture (``+name``, ``!name``, ``-name``) or a test (``begin``, ``body``) noted, and where."""

    cell: Cell
    what: str
    test: str

    def __str__(self) -> str:
        return f"{self.what} {self.test}".rstrip()

    @property
    def breadth(self) -> int:
        """How wide the scope of the fixture is: 0 for that of a test."""
        match self.what[1:]:
            case "s":
                return SCOPES.index("session")
            case "m":
                return SCOPES.index("module")
            case "c":
                return SCOPES.index("class") if self.cell.has_classes else 0
            case "x" | "y":
                return 0 if self.cell.is_made_for_each_test else SCOPES.index(self.cell.scope)
            case _:
                return 0


class Seen:
    """A run of some groups as a session of its own: what it said, what the ledger has, what was noted.

    `more` are arguments for pytest; with `many_ends` each file ends as a session does.
    """

    def __init__(self, groups: list[Group], folder: Path, *more: str, many_ends: bool = False) -> None:
        batch = Batch(folder)
        batch.write(files(groups, many_ends=many_ends))
        try:
            self.said = batch.run(*arguments(), *more)
        finally:
            batch.clear()
        self.run = batch.last.run
        self._groups = groups
        self._cells = {cell.name: cell for group in groups for cell in group.cells}
        self.notes = [self._read(path) for path in sorted(folder.glob("notes-*.txt"))]
        self._ran = [_by_cell(_ran(notes, many_ends=many_ends)) for notes in self.notes]
        self._done = [_by_cell(notes) for notes in self.notes]

    @property
    def counts(self) -> dict[str, int]:
        """What the OUTCOMES line has to say for what is in the ledger."""
        counts = {outcome.value: number for outcome, number in self.run.counts().items()}
        return {"total": sum(counts.values()), **counts}

    def _read(self, path: Path) -> list[Note]:
        lines = (line.split() for line in path.read_text("utf-8").splitlines())
        return [Note(self._cells[name], what, test[0] if test else "") for name, what, *test in lines]

    @cached_property
    def rows(self) -> dict[str, Row]:
        """What is right for each test that ran, by its key."""
        return {
            ran.cell.key(ran.spot): row(ran)
            for process in self._ran
            for several in process.values()
            for ran in several
        }

    def wrong(self) -> dict[str, list[str]]:
        """What is not as the table has it, by the groups."""
        found = {str(one): self.wrong_outcomes(one) + self.wrong_numbers(one) for one in self._groups}
        return {group: sentences for group, sentences in found.items() if sentences}

    def wrong_outcomes(self, group: Group) -> list[str]:
        """The tests of a group of which the ledger has another outcome or other attempts than the table."""
        wrong = []
        for key in (cell.key(spot) for cell in group.cells for spot in cell.spots):
            right = self.rows.get(key)
            told = self.run.outcome(key).value, self.run.number_of_attempts(key)
            if right is None or told != (right.outcome, right.attempts):
                wrong.append(f"{key}: {told}, right is {right}")
        return wrong

    def wrong_numbers(self, group: Group) -> list[str]:
        """What was made or run more or less often in a group than the table says."""
        wrong = []
        for cell, (done, ran) in product(group.cells, zip(self._done, self._ran, strict=True)):
            right = numbers(cell, ran.get(cell, []))
            begun = (str(note) for note in done.get(cell, []) if note.what[0] != "-")
            made = Counter(what.replace("!", "+") for what in begun)
            wrong += [
                f"{cell.name}: {made[what]} times {what}, right is {right[what]}"
                for what in sorted({*made, *right})
                if made[what] != right[what]
            ]
        return wrong

    def wrong_order(self) -> list[str]:
        """What was torn down at a wrong time, or twice, or never."""
        return [sentence for notes in self.notes for sentence in _wrong_order(notes)]


OfACell = TypeVar("OfACell", Note, Ran)


def _by_cell(several: Iterable[OfACell]) -> dict[Cell, list[OfACell]]:
    found: dict[Cell, list[OfACell]] = {}
    for one in several:
        found.setdefault(one.cell, []).append(one)
    return found


def _ran(notes: list[Note], *, many_ends: bool) -> Iterator[Ran]:
    """The tests of a process in their order, with what the table asks about them."""
    begun = list(dict.fromkeys((note.cell, note.test) for note in notes if note.what == "begin"))
    alive: list[Cell] = []
    have_used: set[Cell] = set()
    have_broken: set[Cell] = set()
    for (cell, test), following in zip(begun, [*begun[1:], None], strict=True):
        spot = cell.spot(test)
        ends = {"function"}
        if following is None or following[0] != cell:
            ends |= {"class", "module"}
            if following is None or many_ends:
                ends.add("session")
        elif not cell.has_classes or cell.spot(following[1]).group != spot.group:
            ends.add("class")
        is_first = spot.uses and cell not in have_used
        if spot.uses:
            have_used.add(cell)
            alive.append(cell)
        lost = {one for one in alive if one.scope in ends}
        alive = [one for one in alive if one not in lost]
        broken = {one for one in lost if one.phase == "teardown" and (one.always or one not in have_broken)}
        have_broken |= broken
        yield Ran(cell, spot, is_first, frozenset(ends), bool(broken))


def _wrong_order(notes: list[Note]) -> Iterator[str]:
    """Of the narrowest scope that is alive, the fixture that was made last is the one to be torn down.

    One whose setup failed is cleaned up before the next attempt, whatever is kept of narrower scopes.
    """
    alive: list[Note] = []
    for note in notes:
        there = next((one for one in alive if _is_same(one, note)), None)
        if note.what[0] in "+!":
            if there is not None:
                yield f"{note.cell.name}: {note} while {there} was there"
            alive.append(note)
        elif note.what[0] == "-":
            narrowest = min((one.breadth for one in alive), default=0)
            turn = next((one for one in reversed(alive) if one.breadth == narrowest), None)
            if there is None:
                yield f"{note.cell.name}: {note} when it was not there"
            elif there is not turn and not (there.what[0] == "!" and there is alive[-1]):
                yield f"{note.cell.name}: {note} when it was the turn of {turn}"
            alive = [one for one in alive if one is not there]
    yield from (f"{note.cell.name}: {note} and never torn down" for note in alive)


def _is_same(one: Note, other: Note) -> bool:
    return (one.cell, one.what[1:], one.test) == (other.cell, other.what[1:], other.test)
