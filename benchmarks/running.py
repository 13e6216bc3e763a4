"""Run the cells of a group in turns, and tell what each took."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from .instructions import Counted, count
from .measuring import Taken, environment, run, size
from .sections import Cell, Group, Suites, forget, keep, put_back, variables

Say = Callable[[str], None]


class Runner:
    """Runs cells. `folder` is for suites and for what is written."""

    def __init__(self, envs: Path, folder: Path, say: Say) -> None:
        self._envs = envs
        self._folder = folder
        self._suites = Suites(folder)
        self._say = say
        self._before: dict[Cell, Path] = {}

    def measure(self, group: Group, repeat: int) -> dict[str, list[Taken]]:
        """What the cells took, by name, in rounds: once to warm up, which is not told, and every other one backwards."""
        taken: dict[str, list[Taken]] = {cell.name: [] for cell in group.cells}
        rounds = group.rounds(repeat)
        for number in range(rounds + 1):
            for cell in group.cells if number % 2 else reversed(group.cells):
                one = self.once(cell)
                what = f"{number} of {rounds}" if number else "to warm up"
                self._say(f"{group.name} {cell.name}: {one.cpu:.2f} s of CPU, {one.wall:.2f} s, {what}")
                if number:
                    taken[cell.name].append(one)
        return taken

    def once(self, cell: Cell) -> Taken:
        """Run a cell once, in a rootdir that is as it has to be before it."""
        return self._run(cell, self._prepared(cell), cell.resume or (), is_good=cell.is_good)

    def count(self, cell: Cell) -> Counted:
        """The instructions that a cell takes once it is warm."""
        self.once(cell)
        rootdir = self._prepared(cell)
        with tempfile.TemporaryDirectory(dir=self._folder) as out:
            command = self._command(cell, Path(out), cell.resume or ())
            statuses = (0,) if cell.is_good else (1,)
            return count(command, rootdir, environment(**variables(cell)), statuses)

    def _prepared(self, cell: Cell) -> Path:
        rootdir = self._suites.of(cell.workload)
        if cell.resume is None:
            forget(rootdir)
        else:
            put_back(rootdir, self._earlier(cell, rootdir))
        return rootdir

    def _earlier(self, cell: Cell, rootdir: Path) -> Path:
        """What the run before a resume left behind, in which the tests that can fail did."""
        if cell not in self._before:
            forget(rootdir)
            self._run(cell, rootdir, (), is_good=False)
            place = self._before[cell] = self._folder / f"before-{len(self._before)}"
            place.mkdir()
            keep(rootdir, place)
        return self._before[cell]

    def _command(self, cell: Cell, out: Path, more: tuple[str, ...]) -> list[str]:
        return [*cell.system.command(self._envs, out), *cell.options, *more]

    def _run(self, cell: Cell, rootdir: Path, more: tuple[str, ...], *, is_good: bool) -> Taken:
        with tempfile.TemporaryDirectory(dir=self._folder) as out:
            command = self._command(cell, Path(out), more)
            switched = variables(cell) if is_good else {}
            held = size(rootdir / ".pytest_resilience")
            taken = run(command, rootdir, environment(**switched), (0,) if is_good else (1,))
            written = size(Path(out), rootdir / ".pytest_resilience") - held
        return Taken(taken.cpu, taken.wall, taken.peak, written)
