"""Sessions that resume each other, simulated around the real fold, knowledge and plan: only pytest and the disk are missing."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    Fact,
    Fate,
    RunEnded,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsSelected,
    WorkerDown,
)
from pytest_resilience.core.keys import file_of, is_gone
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.resume import Plan, Stale, knowledge, plan
from pytest_resilience.core.run import Run

Behaviour = Literal["passes", "skips", "fails", "errors", "flaky", "kills", "ends its worker"]
How = Literal["killed", "interrupted", "interrupted twice", "stopped"]
RETRIES = 2
ATTEMPTS: dict[Behaviour, list[Outcome]] = {
    "passes": [Outcome.PASSED],
    "skips": [Outcome.SKIPPED],
    "fails": [Outcome.FAILED] * (RETRIES + 1),
    "errors": [Outcome.ERROR] * (RETRIES + 1),
    "flaky": [Outcome.FAILED, Outcome.PASSED],
}
FINAL: dict[Behaviour, Outcome] = {
    "passes": Outcome.PASSED,
    "skips": Outcome.SKIPPED,
    "fails": Outcome.FAILED,
    "errors": Outcome.ERROR,
    "flaky": Outcome.FLAKY,
    "kills": Outcome.CRASHED,
    "ends its worker": Outcome.CRASHED,
}
Suite = dict[str, Behaviour]
Record = tuple[str, Fact]


@dataclass(frozen=True)
class Cut:
    """Where a run ends early: after so many records, or as many tests for "stopped".

    A kill after less than 0 records comes before the selection is written.
    """

    after: int
    how: How
    workers: int = 1


@dataclass
class Chain:
    """Sessions that resume each other over a suite, with a ledger that keeps every acknowledged fact."""

    suite: Suite
    digests: Mapping[str, str] = field(default_factory=dict)
    run: Run = field(default_factory=Run)
    left: list[TestInherited] = field(default_factory=list)
    starts: Counter[str] = field(default_factory=Counter)
    finishes: Counter[str] = field(default_factory=Counter)
    records: list[Record] = field(default_factory=list)
    number: int = 0

    def digest(self, key: str) -> str:
        return self.digests.get(key, "d")

    def plan(self, named: Collection[str] = (), stale: Stale = "run") -> Plan:
        """What the next session would do."""
        return plan(f"r{self.number}", self.left, self.digest, named, stale)

    def session(
        self,
        cut: Cut | None = None,
        *,
        only: Collection[str] | None = None,
        named: Collection[str] = (),
        files: Collection[str] | None = None,
        stale: Stale = "run",
    ) -> Plan:
        """One more run of the chain; `only` narrows its selection as ``-k`` does, `files` is what is collected."""
        made = self.plan(named, stale)
        self.number += 1
        keys = [key for key in self.suite if only is None or key in only]
        to_run = [key for key in keys if key not in made.carried | made.held]
        to_run.sort(key=lambda key: key in made.last)
        self.records = [("carry", fact) for fact in made.inherited()]
        if cut is None or cut.after >= 0 or cut.how != "killed":
            selection: list[Fact] = [
                *_of_fate([key for key in keys if key in made.carried], "carried"),
                *_of_fate([key for key in keys if key in made.held], "held"),
                *_of_fate(self._gone(made, files), "gone"),
                *(TestsSelected(keys=(key,), digest=self.digest(key)) for key in to_run),
                SelectionDone(total=len(keys)),
            ]
            self.records += [("tests", fact) for fact in selection]
            self._work(to_run, cut)
        self.fold(self.records)
        return made

    def fold(self, records: Iterable[Record]) -> None:
        """Read the newest run again, of whose records these are left."""
        self.run = Run()
        self.run.observe_all(records)
        self.left = knowledge(self.run, f"r{self.number}")

    def _gone(self, made: Plan, files: Collection[str] | None) -> list[str]:
        present = {file_of(key) for key in self.suite}
        collected = present if files is None else present & set(files)
        return [
            key
            for key in made.outstanding
            if key not in self.suite and is_gone(key, collected, self.suite, present.__contains__)
        ]

    def _work(self, keys: list[str], cut: Cut | None) -> None:
        workers = cut.workers if cut is not None else 1
        if cut is not None and cut.how == "stopped":
            keys = keys[: cut.after]
        # Workers take turns record by record, which makes the cut fall in the middle of several tests.
        lines = [self._lines(keys[number::workers], f"gw{number}") for number in range(workers)]
        turns = (one for turn in itertools.zip_longest(*lines) for one in turn if one is not None)
        for at, (writer, fact) in enumerate(turns):
            if cut is not None and cut.how != "stopped" and at == cut.after:
                break
            if fact is None:
                return
            if isinstance(fact, AttemptStarted) and fact.attempt == 1:
                self.starts[fact.key] += 1
            if isinstance(fact, TestFinished):
                self.finishes[fact.key] += 1
            self.records.append((writer, fact))
        if cut is not None and cut.how == "killed":
            return
        if cut is not None:
            code = Code.STOP_CONSECUTIVE_FAILURES if cut.how == "stopped" else Code.INTERRUPTED_BY_SIGNAL
            self.records.append(("ctl", DecisionTaken(code=code.code, why="x")))
            if cut.how == "interrupted twice":
                return
        self.records.append(("ctl", RunEnded(exit_status=1)))

    def _lines(self, keys: list[str], writer: str) -> Iterator[tuple[str, Fact | None]]:
        """What one worker writes, and the controller of its death; None where the whole session dies."""
        for key in keys:
            behaviour = self.suite[key]
            if behaviour in ("kills", "ends its worker"):
                yield writer, AttemptStarted(key=key, attempt=1)
                if behaviour == "kills":
                    yield writer, None
                    return
                yield "ctl", WorkerDown(worker=writer, why="died", key=key)
                continue
            attempts = ATTEMPTS[behaviour]
            for number, outcome in enumerate(attempts, start=1):
                yield writer, AttemptStarted(key=key, attempt=number)
                if outcome.is_bad:
                    yield writer, AttemptEnded(key=key, attempt=number, outcome=outcome)
            yield writer, TestFinished(key=key, outcome=FINAL[behaviour], attempts=len(attempts))

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What the chain knows of every test."""
        return {one.key: one.outcome for one in self.left}

    def check(self, made: Plan) -> None:
        """Whatever happened: each test is accounted for once, and nothing that was good ran again."""
        if self.run.selected_total is not None:
            assert self.run.counts().total() == self.run.selected_total
        assert not any(self.run.number_of_attempts(key) for key in made.carried)


def _of_fate(keys: list[str], fate: Fate) -> list[TestsSelected]:
    return [TestsSelected(keys=tuple(keys), fate=fate)] if keys else []
