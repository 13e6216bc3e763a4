"""A small suite in a folder of its own, the runs made of it, and what they showed: on the terminal and in the ledger."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from textwrap import dedent
from typing import Any

import pytest

import pytest_resilience
from pytest_resilience.core.facts import AttemptStarted, Fact
from pytest_resilience.history import Past, load
from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.reading import facts_of
from pytest_resilience.ledger.runs import RunFolder, RunInfo, Store

from .. import bytecode

# Inner runs forget what they imported: so all of them meet the same modules, and none takes the time to make them anew.
for _module in walk_packages(pytest_resilience.__path__, f"{pytest_resilience.__name__}."):
    import_module(_module.name)

# What the suites may import: `step` notes that something happened, and says how often it has by now.
_STEPS = '''
"""Notes in a file, because inner runs and processes share nothing else."""
import pathlib

NOTES = pathlib.Path(__file__).with_name("steps.txt")


def step(word):
    with NOTES.open("a", encoding="utf-8") as notes:
        notes.write(f"{word}\\n")
    return NOTES.read_text(encoding="utf-8").split("\\n").count(word)
'''

# What tells an inner run how to behave and comes from wherever the outer one was started.
_FROM_OUTSIDE = (
    "PYTEST_ADDOPTS",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    "PYTEST_PLUGINS",
    "PYTEST_XDIST_WORKER",
    "PYTEST_THEME",
    "XDG_STATE_HOME",
    "CI",
    "BUILD_NUMBER",
    "NO_COLOR",
    "FORCE_COLOR",
    "PY_COLORS",
)


@dataclass(frozen=True)
class Result:
    """What a run showed. `status` is its exit status, `text` all that it printed."""

    status: int
    text: str
    root: Path
    record: Any = None

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def line(self, word: str) -> str:
        """The one line of the summary that begins with this word, without it; empty when there is none."""
        found = self.all_lines(word)
        assert len(found) <= 1, found
        return found[0] if found else ""

    def all_lines(self, word: str) -> list[str]:
        """What follows this word at the beginning of lines."""
        return [line.removeprefix(f"{word} ") for line in self.lines if line.startswith(f"{word} ")]

    @cached_property
    def outcomes(self) -> dict[str, int]:
        """The OUTCOMES line by its names, without the total: that has to be the sum."""
        pairs = (pair.partition("=") for pair in self.line("OUTCOMES").split())
        counts = {name: int(number) for name, _, number in pairs}
        total = counts.pop("total", 0)
        assert total == sum(counts.values()), self.text
        return counts

    @property
    def last_line(self) -> str:
        """What pytest counted, as its last line says it."""
        counted = [line for line in self.lines if re.search(r"\bin \d+\.\d\ds", line)]
        assert counted, self.text
        return re.sub(r" in \d+\.\d\ds.*", "", counted[-1].strip("= "))

    @property
    def reports(self) -> list[tuple[str, str, str]]:
        """What other plugins saw: name of the test, phase and outcome of each report."""
        reports = self.record.getreports("pytest_runtest_logreport")
        return [(one.nodeid.rpartition("::")[2], one.when, one.outcome) for one in reports]


class Batch:
    """A suite of files, or of one ``test_it.py``. Its runs share a folder, and so a ledger."""

    def __init__(self, pytester: pytest.Pytester, files: str | Mapping[str, str]) -> None:
        self.pytester = pytester
        self.root = pytester.path
        patch = pytester._monkeypatch
        for name in _FROM_OUTSIDE:
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", "80")
        # No run of ours meets a power loss; on a busy disk each would take ten times as long.
        patch.setattr(Disk, "_fsync", staticmethod(lambda fd: None))
        patch.setattr(Disk, "_fdatasync", staticmethod(lambda fd: None))
        # A file changed within a second, to the same size, would otherwise be taken for its old self.
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        patch.setattr(sys, "dont_write_bytecode", True)
        self.write({"steps.py": _STEPS, **({"test_it.py": files} if isinstance(files, str) else files)})

    def write(self, files: Mapping[str, str]) -> None:
        """Make or replace files of the suite."""
        for name, source in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(source).lstrip("\n"), encoding="utf-8")

    # -- runs -----------------------------------------------------------------------------------------------------

    def run(self, *args: str | Path, plugins: tuple[object, ...] = ()) -> Result:
        """A run in this process, with the plugin switched on."""
        return self.run_bare("-p", "resilience", "-p", "no:asyncio", *args, plugins=plugins)

    def run_bare(self, *args: str | Path, plugins: tuple[object, ...] = ()) -> Result:
        """A run in this process, with the plugin merely installed."""
        result = self.pytester.runpytest_inprocess(*args, plugins=plugins, no_reraise_ctrlc=True)
        return self._outcome(result, getattr(result, "reprec", None))

    def run_apart(self, *args: str | Path) -> Result:
        """A run in a process of its own, with the plugin merely installed."""
        return self._run_apart(sys.executable, "-m", "pytest", "-p", "no:asyncio", *args)

    def type(self, command: str) -> Result:
        """What a command does that is typed into a shell, in the folder that is the current one."""
        return self._run_apart("sh", "-c", command)

    def _run_apart(self, *command: str | Path) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in bytecode.environment().items():
                patch.setenv(name, value)
            return self._outcome(self.pytester.run(*command, timeout=60))

    def _outcome(self, result: pytest.RunResult, record: object = None) -> Result:
        text = "\n".join((*result.outlines, *result.errlines))
        return Result(status=int(result.ret), text=text, root=self.root, record=record)

    # -- what the suite noted -------------------------------------------------------------------------------------

    @property
    def steps(self) -> list[str]:
        """What happened, in order, in all runs since the last `forget`."""
        notes = self.root / "steps.txt"
        return notes.read_text(encoding="utf-8").split("\n")[:-1] if notes.exists() else []

    def steps_after(self, before: list[str]) -> list[str]:
        """What happened since `steps` were these."""
        assert self.steps[: len(before)] == before
        return self.steps[len(before) :]

    def forget(self) -> None:
        """Begin a new list of steps."""
        (self.root / "steps.txt").unlink(missing_ok=True)

    # -- the ledger -----------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        return Store(self.root / ".pytest_resilience")

    @property
    def runs(self) -> list[RunInfo]:
        """All runs in the ledger, oldest first."""
        return self.store.runs()

    @property
    def newest(self) -> RunFolder:
        """The folder of the newest run."""
        return self.store.folder(self.runs[-1].id)

    def segment(self) -> Path:
        """The file in which the newest run has its results."""
        (segment,) = self.newest.path.glob("seg-*.jsonl")
        return segment

    def kill_during(self, name: str) -> None:
        """Leave of the newest run what is left when its process is killed while the test of this name runs."""
        segment = self.segment()
        lines = segment.read_bytes().splitlines(keepends=True)
        (start,) = [
            at for at, line in enumerate(lines) if b'"k":"st"' in line and f'::{name}"'.encode() in line
        ]
        segment.write_bytes(b"".join(lines[: start + 1]))
        (self.newest.path / "final.json").unlink()

    @property
    def past(self) -> Past:
        """The newest run as a resume would read it."""
        return load(self.newest)

    @property
    def tests(self) -> dict[str, str]:
        """The final outcome of each test in the newest run, as the ledger has it, by the name of the test."""
        return {key.rpartition("::")[2]: one.value for key, one in self.past.run.outcomes().items()}

    @property
    def facts(self) -> list[Fact]:
        """All facts of the newest run."""
        return [fact for _, fact in facts_of(self.newest.path)]

    @property
    def started(self) -> list[str]:
        """The tests of which attempts began in the newest run, by name and in order."""
        return [fact.key.rpartition("::")[2] for fact in self.facts if isinstance(fact, AttemptStarted)]
