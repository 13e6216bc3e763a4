"""Sessions of pytest as real processes, on a folder of tests: what they said, and what they left in the ledger."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.ledger.lines import Record
from pytest_resilience.ledger.reading import read
from pytest_resilience.ledger.runs import RunFolder, RunInfo, Store

from .. import bytecode

T = TypeVar("T")

# Whoever starts us may have Ctrl-C ignored, and children inherit that; a handler of Python's they do not.
# With a terminal as its standard input the session takes that as its own, as if a person had typed it there.
_START = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if sys.stdin.isatty():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
import pytest
status = pytest.main()
{after}
raise SystemExit(status)
"""

# Tests tell with marks how far they are, and wait for each other's: nothing here depends on how long it takes.
_HERE = """
import json, os, time
from pathlib import Path

_MARKS = Path(__file__).parent / "marks"

def mark(name):
    "Leave a mark; True for the first to do so."
    try:
        os.close(os.open(_MARKS / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

def number():
    "How many asked before."
    number = 0
    while not mark(f"number-{number}"):
        number += 1
    return number

def is_there(name):
    "Whether somebody has left a mark."
    return (_MARKS / name).exists()

def wait(name):
    "Wait until somebody has left a mark."
    deadline = time.monotonic() + 60
    while not is_there(name):
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.005)

def fail(text):
    raise RuntimeError(text)

def note(text):
    "Put a line on record, whatever becomes of this process."
    fd = os.open(_MARKS.parent / "notes", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(fd, json.dumps(text).encode() + b"\\n")
    os.close(fd)

def notes():
    "All that was put on record so far."
    file = _MARKS.parent / "notes"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
"""

# The conftest.py of a batch.
CONFTEST = """
import here, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    here.note(item.nodeid)
"""

# For a conftest.py: workers that outlive their controller, as they do where the system cannot tie them to it.
UNTIED = """
from pytest_resilience.hooks import lifeline
lifeline.tie_to = lambda controller: False
"""

# No session takes anywhere near this long; the matrix of retries takes ten seconds of a quiet machine.
SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a session said, and how it ended: `status` is its exit status, negative for the signal it died of."""

    status: int
    text: str

    def line(self, word: str) -> str:
        """What follows `word` where a line begins with it, empty when none does."""
        begin = f"{word} "
        lines = [line.removeprefix(begin) for line in self.text.splitlines() if line.startswith(begin)]
        return lines[-1] if lines else ""

    @property
    def outcomes(self) -> dict[str, int]:
        """The numbers of the OUTCOMES line."""
        pairs = (part.split("=") for part in self.line("OUTCOMES").split())
        return {name: int(number) for name, number in pairs}


@dataclass(frozen=True, slots=True)
class Stored:
    """A run in the ledger, as it was when it was read."""

    info: RunInfo
    folder: RunFolder
    records: list[Record]

    @property
    def run(self) -> Run:
        """All of its facts, folded."""
        run = Run()
        for record in self.records:
            run.observe(record.fact, record.writer)
        return run

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The final outcome of every test."""
        run = self.run
        return {key: run.outcome(key) for key in run.tests()}

    def of(self, kind: type[T]) -> list[T]:
        """The facts of one kind."""
        return [record.fact for record in self.records if isinstance(record.fact, kind)]


class Session:
    """A session that runs. It leads a process group of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", said: Path, batch: "Batch") -> None:
        self.pid = process.pid
        self._process = process
        self._said = said
        self._batch = batch

    def wait_for(self, *marks: str) -> None:
        """Wait until its tests have left all these marks."""
        deadline = time.monotonic() + SECONDS
        while not all(self._batch.has_mark(mark) for mark in marks):
            assert self._process.poll() is None, f"it ended too early: {self._text()}"
            assert time.monotonic() < deadline, f"no mark {marks}: {self._text()}"
            time.sleep(0.005)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started, not to its workers."""
        os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """Send a signal to it and all its workers, as a terminal does."""
        os.killpg(self.pid, number)

    def ended(self) -> Said:
        """What it said, once it has ended."""
        try:
            status = self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it hangs: {self._text()}") from None
        return Said(status, self._text())

    def clear(self) -> None:
        """Leave nothing of it running."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _text(self) -> str:
        return self._said.read_text("utf-8", "replace")


class Batch:
    """A folder of tests on which sessions are run with ``-p resilience``; every test notes its id when it begins."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sessions: list[Session] = []
        self.write({"pytest.ini": "[pytest]\n", "here.py": _HERE, "conftest.py": CONFTEST})
        (root / "marks").mkdir()

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, given by path and text."""
        for path, text in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")

    # -- sessions -------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, after: str = "", terminal: int | None = None) -> Session:
        """Start a session; with ``-n`` among the arguments under xdist. Its process does `after` before it ends.

        It speaks to the `terminal` whose inner end is given, which is closed here, instead of being heard.
        """
        names = ["resilience", "xdist"] if "-n" in arguments else ["resilience"]
        names += ["no:cacheprovider", "no:asyncio"]
        loaded = [part for name in names for part in ("-p", name)]
        start = _START.format(after=after)
        said = self.root / f"said-{len(self._sessions)}.txt"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        ours = {**bytecode.environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
        ours["XDG_STATE_HOME"] = str(self.root.with_name("state"))
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", start, *loaded, *arguments],
                cwd=self.root,
                env=inherited | ours,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=output if terminal is None else terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if terminal is not None:
            os.close(terminal)
        self._sessions.append(Session(process, said, self))
        return self._sessions[-1]

    def run(self, *arguments: str, after: str = "") -> Said:
        """Run a session to its end."""
        return self.start(*arguments, after=after).ended()

    def resume(self, *arguments: str) -> Said:
        """Run a session that resumes the newest run."""
        return self.run("--resume-failed", *arguments)

    def clear(self) -> None:
        """End whatever is left of the sessions."""
        for session in self._sessions:
            session.clear()

    # -- what they left -------------------------------------------------------------------------------------------

    def mark(self, name: str) -> None:
        """Leave a mark for tests that wait for it."""
        (self.root / "marks" / name).touch()

    def has_mark(self, name: str) -> bool:
        """Whether a test has left this mark."""
        return (self.root / "marks" / name).exists()

    def begun(self) -> Counter[str]:
        """How often each test was begun since this was asked last, without the groups of xdist."""
        return Counter(str(note).partition("@")[0] for note in self.notes())

    def notes(self) -> list[Any]:
        """What was put on record since this was asked last."""
        notes = self.root / "notes"
        if not notes.exists():
            return []
        lines = notes.read_text("ascii").splitlines()
        notes.unlink()
        return [json.loads(line) for line in lines]

    @property
    def store(self) -> Store:
        """The ledger."""
        return Store(self.root / ".pytest_resilience")

    def runs(self) -> list[Stored]:
        """All runs in the ledger, oldest first."""
        return [self._stored(info) for info in self.store.runs()]

    @property
    def last(self) -> Stored:
        """The newest run in the ledger."""
        return self._stored(self.store.runs()[-1])

    def _stored(self, info: RunInfo) -> Stored:
        folder = self.store.folder(info.id)
        return Stored(info, folder, list(read(folder.path).records))


def command_of(said: Said) -> list[str]:
    """The arguments of the RESUME command that a session printed, without the program."""
    command = shlex.split(said.line("RESUME").partition(" - ")[0])
    return command[command.index("--resume-failed") :]
