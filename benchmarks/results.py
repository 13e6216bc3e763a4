"""All that was measured, as it is kept in a JSON file."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from .instructions import Counted
from .measuring import Figure, Taken, ratio


@dataclass(frozen=True)
class Compared:
    """What the cells of a group took, the base first. `tests` is how many each ran."""

    title: str
    tests: int
    cells: dict[str, list[Taken]]

    @property
    def base(self) -> str:
        """The cell that others are compared with."""
        return next(iter(self.cells))

    def figure(self, cell: str, of: Callable[[Taken], float]) -> Figure:
        """One quantity of a cell."""
        return Figure.of([of(taken) for taken in self.cells[cell]])

    def ratio(self, cell: str, of: Callable[[Taken], float], base: str = "") -> Figure:
        """One quantity of a cell as a share of that of the base, round by round."""
        over = self.cells[base or self.base]
        return ratio([of(taken) for taken in self.cells[cell]], [of(taken) for taken in over])

    def fastest(self, cell: str, of: Callable[[Taken], float]) -> float:
        """The least that a cell took of one quantity, as a share of the least that the base took."""
        return min(map(of, self.cells[cell])) / min(map(of, self.cells[self.base]))


@dataclass(frozen=True)
class Runs:
    """Instructions that systems took for a run of so few tests and for one of so many, the base first."""

    title: str
    few: int
    many: int
    counted: dict[str, tuple[Counted, Counted]]

    @property
    def base(self) -> str:
        """The system that others are compared with."""
        return next(iter(self.counted))

    def of(self, system: str, part: str = "total") -> float:
        """What each test takes: in "total", or its part on the "controller" or on the "workers"."""
        few, many = self.counted[system]
        return (getattr(many, part) - getattr(few, part)) / (self.many - self.few)  # type: ignore[no-any-return]

    def ratio(self, system: str, part: str = "total") -> float:
        """As a share of what the base takes."""
        return self.of(system, part) / self.of(self.base, part)


@dataclass(frozen=True)
class Row:
    """A figure of the ledger by itself, with its limit."""

    name: str
    value: float
    unit: str
    limit: float


@dataclass
class Results:
    """What was measured, section by section, on which machine, with which versions in which environment."""

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    groups: dict[str, Compared] = field(default_factory=dict)
    instructions: dict[str, Runs] = field(default_factory=dict)
    ledger: list[Row] = field(default_factory=list)
    share: float = 1.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """The inverse of `to_json`."""
        found: dict[str, Any] = json.loads(text)
        return cls(
            found["machine"],
            found["versions"],
            {
                name: Compared(
                    group["title"],
                    group["tests"],
                    {cell: [Taken(**one) for one in some] for cell, some in group["cells"].items()},
                )
                for name, group in found["groups"].items()
            },
            {
                name: Runs(
                    runs["title"],
                    runs["few"],
                    runs["many"],
                    {
                        system: (Counted(**few), Counted(**many))
                        for system, (few, many) in runs["counted"].items()
                    },
                )
                for name, runs in found["instructions"].items()
            },
            [Row(**row) for row in found["ledger"]],
            found["share"],
        )

    def add(self, other: "Results") -> None:
        """Take over what another measurement has, in place of what was there; all that was there if sizes differ."""
        if other.share != self.share:
            self.groups, self.instructions, self.ledger = {}, {}, []
        self.machine, self.share = other.machine, other.share
        self.versions.update(other.versions)
        self.groups.update(other.groups)
        self.instructions.update(other.instructions)
        self.ledger = other.ledger or self.ledger
