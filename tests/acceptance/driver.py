"""The kill-and-resume driver: kills the sessions of a suite, resumes until nothing is left, and compares.

The suite says itself what it did, see `suite`; the ledger is believed only as far as the two agree. By hand, from the
top of the project: ``python -m tests.acceptance.driver --kills 30 --seed 1 [-n 2] [--dist load]``.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from pytest_resilience.core.facts import AttemptEnded, TestFinished, TestInherited
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.resume import DEATHS_BEFORE_HELD
from pytest_resilience.history import Past, load
from pytest_resilience.ledger.reading import facts_of
from pytest_resilience.ledger.runs import Store

from .. import bytecode
from ..process.sessions import Said
from .suite import Line, Moment, Suite, all_kinds

Target = Literal["group", "controller", "worker", "all but one"]

BEGIN = "pytest"
RESUME = "pytest --resume-failed"
# No session takes anywhere near this long.
SECONDS = 90.0
# How often is resumed after the last kill before a chain counts as endless.
MOST_RESUMES = 6
# What no session may ever say, whatever was done to those before it.
NEVER = ("INTERNALERROR", "Traceback (most recent call last)", "RES402", "RES406", "RES901")
# Where a process is after the first interrupt: the one that the user started, and a worker.
INTERRUPTED = ("interrupted", ""), ("interrupted", "worker")
# But for these. A fixture that fails when an interrupted pytest takes it down ends the process with a traceback.
LEAKY = "AssertionError: no teardown"
# pytest ends with one too when it is interrupted while it handles the first interrupt, or while it ends.
PYTESTS_OWN = ("\nKeyboardInterrupt\n", "\nInterrupted: SIG")
# And xdist with an error of its own when a worker does not tell that it was interrupted.
XDISTS_OWN = "worker_workerfinished\nINTERNALERROR>     assert not crashitem"

# Whoever starts us may have Ctrl-C ignored, and that is inherited; a user's terminal does not do so.
_SHELL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv("/bin/sh", ["sh", "-c", "exec " + sys.argv[1]])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Who gets which signal, and when.

    With `at` that is the moment at which the line of this kind and about this test or file is put on record: the
    process that wrote it waits there, however slow we are, and is the worker that is meant. Without, it is as soon as
    there are `after` lines; the session may be further by then, or over. Of all but one the one that is spared is
    the controller (0) or a worker, in the order of their starts. Sent a second time it comes after the first has
    interrupted pytest.
    """

    target: Target = "group"
    number: signal.Signals = signal.SIGKILL
    at: Moment | None = None
    after: int = 1
    spared: int = 0
    is_twice: bool = False

    def __str__(self) -> str:
        moment = " ".join(self.at) if self.at is not None else f"{self.after} lines"
        who = f"all but process {self.spared}" if self.target == "all but one" else f"the {self.target}"
        return f"{self.number.name}{' twice' * self.is_twice} to {who} after {moment}"

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Where processes wait for it."""
        return ((self.at,) if self.at is not None else ()) + (INTERRUPTED if self.is_twice else ())


class Process(Protocol):
    """A process that was started."""

    pid: int

    def poll(self) -> int | None:
        """Its exit status, negative for a signal, or None as long as it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. subprocess.TimeoutExpired when it takes longer."""


# How a command is run: in a folder, with an environment, and with a file for what it says.
Launch = Callable[[str, Path, dict[str, str], BinaryIO], Process]


def launched(command: str, folder: Path, environment: dict[str, str], output: BinaryIO) -> Process:
    """Run a command by a shell."""
    # Nothing that is imported ever changes here, so byte code of the suite may be kept too.
    compiled = {**bytecode.environment(), "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.Popen(
        [sys.executable, "-ISc", _SHELL, command],
        cwd=folder,
        env=environment | compiled,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class Session:
    """A command as it is typed in the folder of a suite. It leads a process group of its own."""

    def __init__(
        self,
        suite: Suite,
        command: str,
        number: int,
        workers: int = 0,
        *,
        step: str = "",
        is_slow: bool = False,
        launch: Launch = launched,
    ) -> None:
        self.command = command
        self.number = number
        self.killed: Kill | None = None
        self._workers = workers
        self._suite = suite
        self._truth = suite.truth()
        self._lines: list[Line] = []
        self._output = suite.root / f"said-{number}.txt"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        ours = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "COLUMNS": "200",
            "WITNESS_SESSION": str(number),
            **({"WITNESS_STEP": step} if step else {}),
            **({"WITNESS_SLOW": "1"} if is_slow else {}),
        }
        with self._output.open("wb") as output:
            self._process = launch(command, suite.root, inherited | ours, output)
        self.pid = self._process.pid

    def __str__(self) -> str:
        return f"session {self.number} ({self.command}; {self.killed or 'not killed'})"

    @property
    def lines(self) -> list[Line]:
        """What it has put on record by now."""
        self._lines += [line for line in self._truth.new() if line.session == self.number]
        return self._lines

    def about(self, *kinds: str) -> set[str]:
        """The tests, or files, of which there are lines of these kinds."""
        return {line.about for line in self.lines if line.what in kinds}

    @property
    def status(self) -> int | None:
        """Its exit status, None as long as it runs."""
        return self._process.poll()

    def wait_for(self, after: int, at: Moment | None = None) -> Line | None:
        """Wait until there are so many lines, or one about this, on record: the last one; None when it ended before."""
        deadline = time.monotonic() + SECONDS
        while True:
            has_ended = self._process.poll() is not None
            lines = [line for line in self.lines if at is None or at == (line.what, line.about)]
            if len(lines) >= after:
                return lines[-1]
            if has_ended:
                return None
            assert time.monotonic() < deadline, f"{self} hangs: {self.text}"
            time.sleep(0.001)

    def kill(self, kill: Kill) -> bool:
        """Wait for the moment and send the signal; False when there was nobody left to send it to."""
        line = self.wait_for(kill.after, kill.at)
        if line is None:
            return False
        reached = []
        try:
            reached = self._send(kill, line)
            if reached and kill.is_twice:
                self.wait_for(1, INTERRUPTED[self.pid not in reached])
                self._send(kill, line)
            if kill.number is signal.SIGKILL and self.pid in reached:
                # What waited for this finds its controller gone.
                self._process.wait(SECONDS)
        finally:
            self._suite.let_go(self.number)
        self.killed = kill if reached else None
        return bool(reached)

    def _send(self, kill: Kill, line: Line) -> list[int]:
        """Send the signal; to whom it went."""
        match kill.target:
            case "group":
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, kill.number)
                    return [self.pid]
                return []
            case "controller":
                chosen = [self.pid]
            case "worker":
                chosen = [line.pid] if kill.at is not None else self._worker()
            case "all but one":
                chosen = self._processes()
                del chosen[kill.spared]
        reached = []
        for pid in chosen:
            with suppress(ProcessLookupError):
                os.kill(pid, kill.number)
                reached.append(pid)
        return reached

    def _processes(self) -> list[int]:
        """The process that was started, then its workers, once they are there."""
        deadline = time.monotonic() + SECONDS
        while True:
            workers = [line.pid for line in self.lines if line.what == "opened" and line.pid != self.pid]
            if len(workers) >= self._workers:
                return [self.pid, *workers]
            assert self.status is None, f"{self} ended before its workers were there"
            assert time.monotonic() < deadline, f"{self} hangs: {self.text}"
            time.sleep(0.001)

    def _worker(self) -> list[int]:
        """A worker that runs a test at this moment, or did a moment ago."""
        workers = [line for line in self.lines if line.pid != self.pid]
        busy = {line.pid: line.what in ("start", "call", "teardown") for line in workers}
        return sorted(busy, key=lambda pid: busy[pid])[-1:]

    def ended(self) -> Said:
        """What it said, once it has ended. Workers that outlive their controller are not waited for."""
        try:
            status = self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} hangs: {self.text}") from None
        if self.killed is None and status == -signal.SIGKILL:
            self.killed = Kill()  # by itself
        return Said(status, self.text)

    @property
    def text(self) -> str:
        return self._output.read_text("utf-8", "replace")

    @property
    def past(self) -> Past | None:
        """Its run in the ledger; None when it has none, as when it died before it opened one."""
        store = Store(self._suite.ledger)
        return next((load(store.folder(info.id)) for info in store.runs() if info.pid == self.pid), None)

    def crashes(self) -> Counter[str]:
        """How many attempts at each test ended their worker."""
        past = self.past
        if past is None:
            return Counter()
        facts = facts_of(Store(self._suite.ledger).folder_of_runs / past.info.id)
        ended = [fact for _, fact in facts if isinstance(fact, AttemptEnded)]
        return Counter(one.key for one in ended if one.outcome is Outcome.CRASHED)

    def known_as_good(self) -> set[str]:
        """The tests of which it made known that they are good: the user was told, or the ledger says so."""
        good = self.about("good")
        past = self.past
        if past is not None:
            folder = Store(self._suite.ledger).folder_of_runs / past.info.id
            for _, fact in facts_of(folder):
                if isinstance(fact, TestFinished) and fact.outcome.is_good:
                    good.add(fact.key)
        return good

    def known_as_bad(self) -> set[str]:
        """The tests that it put on record as finally bad: one that an attempt was taken from may be, where it usually is not."""
        past = self.past
        if past is None:
            return set()
        facts = facts_of(Store(self._suite.ledger).folder_of_runs / past.info.id)
        return {fact.key for _, fact in facts if isinstance(fact, TestFinished) and fact.outcome.is_bad}

    def clear(self) -> None:
        """Leave nothing of it running."""
        if self.status is None or (self.killed is not None and self.killed.target != "group"):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def typed_next(said: Said) -> str:
    """The command that a user types next: that of the RESUME line, or the plain one where there is none."""
    return said.line("RESUME").rpartition(" - ")[0] or RESUME


@dataclass(frozen=True, slots=True)
class Expected:
    """The last outcomes of a suite whose sessions were left alone: before and after it was repaired."""

    broken: dict[str, Outcome]
    whole: dict[str, Outcome]
    lines: int

    @property
    def bad(self) -> set[str]:
        """The tests that fail until the suite is repaired."""
        return {key for key, outcome in self.broken.items() if outcome.is_outstanding}


@dataclass(slots=True)
class Figures:
    """What was counted."""

    kills: int = 0
    runs: int = 0
    chains: int = 0
    complete: int = 0
    acknowledged: int = 0
    lost: int = 0
    repeated: int = 0
    too_often: int = 0
    zeros: int = 0

    def add(self, other: "Figures") -> None:
        """Add up."""
        for name in Figures.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        return (
            f"kills {self.kills}, runs {self.runs}, chains {self.chains}, complete {self.complete}; "
            f"acknowledged {self.acknowledged}, lost {self.lost}; "
            f"repeated: in flight at a kill {self.repeated}, other {self.too_often}; "
            f"exits of 0 while outstanding {self.zeros}"
        )


@dataclass(slots=True)
class Chain:
    """A run of a suite and those that resume it. `wrong` says in sentences what should not have happened."""

    suite: Suite
    workers: int = 0
    launch: Launch = launched
    sessions: list[Session] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)

    def start(self, command: str, *moments: Moment, step: str = "", is_slow: bool = False) -> Session:
        """Start a session, which waits at these moments, see `Kill`, or kills itself, see `steps`.

        In a slow one tests take some time, so that a kill finds something in flight.
        """
        number = len(self.sessions) + 1
        if moments:
            self.suite.hold(number, *moments)
        session = Session(
            self.suite, command, number, self.workers, step=step, is_slow=is_slow, launch=self.launch
        )
        self.sessions.append(session)
        return self.sessions[-1]

    def run(self, command: str, kill: Kill | None = None, *, step: str = "") -> Said:
        """Run a session to its end, which may be the kill."""
        moments = kill.moments if kill is not None else ()
        session = self.start(command, *moments, step=step, is_slow=kill is not None)
        if kill is not None:
            session.kill(kill)
        said = session.ended()
        self.figures.runs += 1
        self.figures.kills += session.killed is not None
        self._check_said(session, said)
        return said

    def _check_said(self, session: Session, said: Said) -> None:
        text = said.text
        if session.killed is not None and any(one in text for one in (LEAKY, *PYTESTS_OWN)):
            text = text.partition("Traceback")[0]
        if session.killed is not None and session.killed.is_twice and XDISTS_OWN in text:
            text = text.partition("INTERNALERROR")[0]
        self.wrong += [f"{session} said {one}" for one in NEVER if one in text]
        counts = dict(said.outcomes)
        total = counts.pop("total", 0)
        if total != sum(counts.values()):
            self.wrong.append(f"{session}: the numbers do not add up: {said.line('OUTCOMES')}")
        past = session.past
        stored = {one.value: number for one, number in past.run.counts().items()} if past is not None else {}
        if counts and counts != stored:
            self.wrong.append(f"{session} told {counts}, but the ledger holds {stored}")
        if not counts and session.killed is None:
            self.wrong.append(f"{session} has no OUTCOMES, and exit status {said.status}")
        if said.status == 0 and (left := self.outstanding()):
            self.figures.zeros += 1
            self.wrong.append(f"{session} exited with 0 while outstanding: {sorted(left)}")

    # -- what the ledger says -------------------------------------------------------------------------------------

    def known(self) -> dict[str, TestInherited]:
        """What the newest run leaves to the next: every test of the chain as it was left."""
        pasts = (session.past for session in reversed(self.sessions))
        newest = next((past for past in pasts if past is not None), None)
        return {one.key: one for one in newest.knowledge} if newest is not None else {}

    def outcomes(self) -> dict[str, Outcome]:
        """The last outcome of every test; of those that were carried over the one they had where they ran."""
        return {key: one.outcome for key, one in self.known().items()}

    def outstanding(self) -> set[str]:
        """The tests of the chain that are not finally good."""
        return {key for key, outcome in self.outcomes().items() if outcome.is_outstanding}

    def held(self) -> set[str]:
        """The tests that do not run before they are named."""
        return {key for key, one in self.known().items() if one.deaths >= DEATHS_BEFORE_HELD}

    # -- compared -------------------------------------------------------------------------------------------------

    def check(self, expected: Expected) -> None:
        """Compare the end with the expected one, and all sessions with what their tests put on record."""
        self.check_outcomes(expected.whole)
        self.figures.chains += 1
        self.figures.complete += not self.outstanding()
        for at, session in enumerate(self.sessions):
            later = [other.about("start") for other in self.sessions[at + 1 :]]
            self._check_repeated(session, set().union(*later), expected.bad)
            self._check_zero(session, expected)

    def check_outcomes(self, wanted: dict[str, Outcome], but_for: Sequence[str] | set[str] = ()) -> None:
        """Compare the last outcomes with others."""
        found = self.outcomes()
        crashed = {key for session in self.sessions for key in session.crashes()}
        for key in sorted((found.keys() | wanted.keys()) - set(but_for)):
            is_retried = key in crashed and found.get(key) is Outcome.FLAKY and wanted[key].is_good
            if found.get(key) is not wanted.get(key) and not is_retried:
                self.wrong.append(
                    f"after session {len(self.sessions)} {key} is {found.get(key)}, not {wanted.get(key)}"
                )

    def _check_zero(self, session: Session, expected: Expected) -> None:
        """A session that exits with 0 knows all tests, and each of them as good."""
        past = session.past if session.status == 0 else None
        if past is not None:
            good = {one.key for one in past.knowledge if one.outcome.is_good}
            missing = sorted(expected.whole.keys() - good)
            self.figures.zeros += bool(missing)
            self.wrong += [f"{session} exited with 0 and does not know as good: {key}" for key in missing]

    def _check_repeated(self, session: Session, later: set[str], bad: set[str]) -> None:
        known = session.known_as_good()
        lost = known & later
        if session.killed is not None:
            self.figures.acknowledged += len(known)
            self.figures.lost += len(lost)
        self.wrong += [
            f"{session} made known that it is good, but it ran again: {key}" for key in sorted(lost)
        ]

        # What had finished, but nobody knew: with each worker that can be one test, and only at a kill.
        unheard = (session.about("finish") & later) - known - bad - session.known_as_bad()
        allowed = max(1, self.workers) if session.killed is not None else 0
        self.figures.repeated += min(len(unheard), allowed)
        self.figures.too_often += max(0, len(unheard) - allowed)
        if len(unheard) > allowed:
            self.wrong.append(f"{session} finished these, but they ran again: {sorted(unheard)}")

        times = Counter(line.about for line in session.lines if line.what == "start") - session.crashes()
        twice = sorted(key for key, number in times.items() if number > 1 and "flaky" not in key)
        self.figures.too_often += len(twice)
        self.wrong += [f"{session} ran it twice: {key}" for key in twice]

    def clear(self) -> None:
        """Leave nothing running."""
        for session in self.sessions:
            session.clear()


def uninterrupted(suite: Suite, launch: Launch = launched) -> Expected:
    """What becomes of a suite that nobody kills."""
    chain = Chain(suite, launch=launch)
    command = typed_next(chain.run(BEGIN))
    broken, lines = chain.outcomes(), len(chain.sessions[0].lines)
    suite.repair()
    chain.run(command)
    assert not chain.wrong, chain.wrong
    return Expected(broken, chain.outcomes(), lines)


def drive(suite: Suite, kills: Sequence[Kill], expected: Expected, workers: int = 0) -> Chain:
    """Run a suite with these kills, one a session, and resume it as it says until nothing is left, then once more.

    Between, when only those tests are left that fail and those that are held back, the suite is repaired.
    """
    chain = Chain(suite, workers)
    try:
        command = BEGIN
        for kill in kills:
            command = typed_next(chain.run(command, kill))
        command = _resume_until(chain, command, expected.bad)
        chain.check_outcomes(expected.broken, but_for=chain.held())
        suite.repair()
        resume_to_the_end(chain, command, expected)
    finally:
        chain.clear()
    return chain


def resume_to_the_end(chain: Chain, command: str, expected: Expected, *, once_more: bool = True) -> None:
    """Resume until nothing is left, then once more, which does nothing; and check all that the sessions did."""
    _resume_until(chain, command, set())
    if once_more:
        said = chain.run(f"{RESUME} -n 0" if chain.workers else RESUME)
        if said.status != 0 or chain.sessions[-1].about("start"):
            chain.wrong.append(f"nothing was left, but the exit status is {said.status}: {said.text}")
    chain.check(expected)


def _resume_until(chain: Chain, command: str, bad: set[str]) -> str:
    for _ in range(MOST_RESUMES):
        command = typed_next(chain.run(command))
        if chain.outstanding() <= (bad | chain.held() if bad else bad):
            return command
    chain.wrong.append(f"still left after {MOST_RESUMES} resumes: {sorted(chain.outstanding() - bad)}")
    return command


def random_kills(chance: random.Random, lines: int, *, workers: int, most: int = 4) -> Iterator[Kill]:
    """Some kills for one chain, at moments of an uninterrupted session with so many lines."""
    targets: list[Target] = ["group", "controller", "worker"] if workers else ["group"]
    for _ in range(chance.randint(1, most)):
        target = chance.choice(targets)
        gentle = [] if target == "worker" else [signal.SIGTERM, signal.SIGINT]
        after = chance.randint(1, lines)
        yield Kill(
            target=target, number=chance.choice([signal.SIGKILL, signal.SIGKILL, *gentle]), after=after
        )
        lines = max(12, lines - after)


def main() -> int:
    """Kill at random until there were enough kills, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-n", type=int, default=0, metavar="WORKERS")
    parser.add_argument("--dist", default="load")
    parser.add_argument("--files", type=int, default=3)
    parser.add_argument("--size", type=int, default=8, help="tests in each of the files")
    chosen = parser.parse_args()
    addopts = f"-p xdist -n {chosen.n} --dist {chosen.dist}" if chosen.n else ""
    chance, total, wrong = random.Random(chosen.seed), Figures(), 0
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))

    def made(name: str) -> Suite:
        return Suite(folder / name, addopts, all_kinds(chosen.files, chosen.size))

    expected = uninterrupted(made("alone"))
    print(f"{len(expected.broken)} tests, of which {len(expected.bad)} fail until they are repaired")
    while total.kills < chosen.kills:
        suite = made(f"chain-{total.chains + 1}")
        chain = drive(suite, list(random_kills(chance, expected.lines, workers=chosen.n)), expected, chosen.n)
        total.add(chain.figures)
        killed = [str(session.killed) for session in chain.sessions if session.killed is not None]
        print(
            f"chain {total.chains}: {len(chain.sessions)} runs; {', '.join(killed) or 'no kill'}", flush=True
        )
        for sentence in chain.wrong:
            print(f"  WRONG {sentence}")
        wrong += len(chain.wrong)
        if not chain.wrong:
            shutil.rmtree(suite.root)
    print(total)
    if wrong:
        print(f"{wrong} times WRONG; what is left of these chains: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
