"""The fold: facts in any order, any number of times, become one final outcome for each test of a run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    Fact,
    Fate,
    FileCollected,
    RunEnded,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsSelected,
    WorkerDown,
)
from pytest_resilience.core.outcomes import Outcome, of_test


class _State(NamedTuple):
    """The most that is known of a test. States are joined by `max`, so neither order nor repetition matters.

    What finished a test outranks its attempts, a later attempt an earlier one, and the end of an attempt its start.
    """

    is_finished: bool
    attempt: int
    is_ended: bool
    severity: int
    seconds: float
    writer: str
    outcome: str


_UNKNOWN = _State(False, 0, False, 0, 0.0, "", "")

# Where two records disagree, the later of these stands: in doubt a test is to be run.
_FATES: tuple[Fate, ...] = ("gone", "carried", "held", "run")

# With `--dist each` a test runs once on each worker: what is joined is then the state of a test on a worker.
_Slot = str | tuple[str, str]


class Run:
    """What is known of one run.

    `observe` takes facts of any writer in any order; asking is possible at any time. A test that was started and
    neither ended nor finished is the record of a crash: no crash handler has to run for that to be true.
    """

    def __init__(self) -> None:
        self.copies = 1
        self.selected_total: int | None = None
        self.ended: RunEnded | None = None
        self.inherited: dict[str, TestInherited] = {}
        self.collected: dict[str, set[str]] = {}
        self._fates: dict[str, Fate] = {}
        self._digests: dict[str, str] = {}
        self._states: dict[_Slot, _State] = {}
        self._attempts: dict[str, dict[tuple[str, int], AttemptEnded]] = {}
        self._downs: dict[str, set[str]] = {}
        self._decisions: set[tuple[str, str]] = set()
        self._writers: dict[str, set[str]] = {}
        self._outcomes: dict[str, Outcome] | None = None

    # -- what happened ------------------------------------------------------------------------------------------

    def observe(self, fact: Fact, writer: str = "") -> None:
        """Take one fact, written by `writer`."""
        self._outcomes = None
        match fact:
            case TestFinished():
                self._join(
                    fact.key,
                    _State(
                        True,
                        fact.attempts,
                        True,
                        fact.outcome.severity,
                        fact.seconds,
                        writer,
                        fact.outcome._value_,
                    ),
                )
            case AttemptStarted():
                self._join(fact.key, _State(False, fact.attempt, False, 0, 0.0, writer, ""))
            case AttemptEnded():
                attempts = self._attempts.setdefault(fact.key, {})
                place = (writer, fact.attempt)
                attempts[place] = _graver(attempts.get(place), fact)
                self._join(
                    fact.key,
                    _State(
                        False,
                        fact.attempt,
                        True,
                        fact.outcome.severity,
                        fact.seconds,
                        writer,
                        fact.outcome._value_,
                    ),
                )
            case TestsSelected():
                for key in fact.keys:
                    if (fate := self._fates.setdefault(key, fact.fate)) != fact.fate:
                        self._fates[key] = max(fate, fact.fate, key=_FATES.index)
                    if fact.digest and (digest := self._digests.setdefault(key, fact.digest)) != fact.digest:
                        self._digests[key] = max(digest, fact.digest)
            case FileCollected():
                self.collected.setdefault(fact.file, set()).add(fact.digest)
            case SelectionDone():
                self.copies = max(self.copies, fact.copies)
                self.selected_total = max(self.selected_total or 0, fact.total)
            case TestInherited():
                self.inherited[fact.key] = _graver(self.inherited.get(fact.key), fact)
            case DecisionTaken():
                self._decisions.add((fact.code, fact.why))
            case WorkerDown():
                if fact.key:
                    self._downs.setdefault(fact.key, set()).add(fact.worker)
            case RunEnded():
                if self.ended is None or _rank(fact) > _rank(self.ended):
                    self.ended = fact
            case _:
                pass

    def observe_all(self, facts: Iterable[tuple[str, Fact]]) -> None:
        """Take facts with their writers."""
        for writer, fact in facts:
            self.observe(fact, writer)

    def _join(self, key: str, state: _State) -> None:
        # All states are kept by writer only once a second writer spoke of the test: memory counts at 100,000 tests.
        known = self._states.get(key)
        if known is None:
            self._states[key] = state
            return
        if known.writer != state.writer:
            for one in (known, state):
                slot = (key, one.writer)
                self._states[slot] = max(self._states.get(slot, _UNKNOWN), one)
                self._writers.setdefault(key, set()).add(one.writer)
        elif key in self._writers:
            slot = (key, state.writer)
            self._states[slot] = max(self._states.get(slot, _UNKNOWN), state)
        self._states[key] = max(known, state)

    # -- what it means ------------------------------------------------------------------------------------------

    def tests(self) -> Iterator[str]:
        """The keys of all tests of the run, in the order of selection; those that are gone are no tests any more."""
        for key, fate in self._fates.items():
            if fate != "gone":
                yield key
        for slot in self._states:
            if isinstance(slot, str) and slot not in self._fates:
                yield slot

    def gone(self) -> list[str]:
        """The keys of tests that were outstanding and exist no more."""
        return [key for key, fate in self._fates.items() if fate == "gone"]

    def fate(self, key: str) -> Fate | None:
        """What the plan had for the test; None when it was not selected."""
        return self._fates.get(key)

    def digest(self, key: str) -> str:
        """The content that the test was selected with, empty when unknown."""
        return self._digests.get(key, "")

    def outcome(self, key: str) -> Outcome:
        """The final outcome of a test, as far as the facts tell.

        Where a worker and the controller both know of an attempt, the worker's own record wins: a test that its
        worker finished before it died is not crashed.
        """
        match self._fates.get(key):
            case "carried":
                return Outcome.CARRIED_OVER
            case "held":
                return Outcome.CRASHED
        if self.copies == 1:
            return self._outcome_of(key, self._states.get(key))
        states: list[_State | None] = list(self._copies(key))
        # The state of a test that one worker alone spoke of is not kept by worker; None when none did.
        outcomes = [self._outcome_of(key, state) for state in states or [self._states.get(key)]]
        if len([outcome for outcome in outcomes if outcome.is_good]) < self.copies:
            outcomes.append(Outcome.NOT_RUN)
        return max(outcomes, key=lambda outcome: outcome.severity)

    def _copies(self, key: str) -> list[_State]:
        """What each worker knows of its own copy. What is known of attempts that ended a worker is left out once as many
        copies as there are came to their end: another worker went on with those.
        """
        states = [self._states[key, writer] for writer in self._writers.get(key, ())]
        if len([state for state in states if state.is_finished]) < self.copies:
            return states
        downs = self._downs.get(key, ())
        crashed = Outcome.CRASHED._value_
        return [
            one for one in states if one.is_finished or not (one.writer in downs or one.outcome == crashed)
        ]

    def _outcome_of(self, key: str, state: _State | None) -> Outcome:
        if state is None:
            return Outcome.CRASHED if key in self._downs else Outcome.NOT_RUN
        if state.is_finished:
            return of_test(Outcome(state.outcome), had_bad_attempt=self._had_bad_attempt(key, state))
        if key in self._downs:
            return Outcome.CRASHED
        if state.is_ended and Outcome(state.outcome).is_outstanding:
            return Outcome(state.outcome)
        return Outcome.INTERRUPTED if self.interrupted else Outcome.CRASHED

    def _had_bad_attempt(self, key: str, state: _State) -> bool:
        downs, attempts = self._downs.get(key), self._attempts.get(key)
        if downs is not None and any(worker != state.writer for worker in downs):
            return True
        if attempts is None:
            return False
        # Of an attempt that its worker finished before it died the controller thinks that it crashed.
        return any(
            ended.outcome.is_bad and (ended.outcome is not Outcome.CRASHED or ended.attempt != state.attempt)
            for ended in attempts.values()
        )

    def in_flight(self, key: str) -> bool:
        """Whether the test was started and has no final outcome of its own."""
        state = self._states.get(key)
        return state is not None and not state.is_finished

    def is_finished(self, key: str) -> bool:
        """Whether the test has a final outcome of its own."""
        state = self._states.get(key)
        return state is not None and state.is_finished

    def attempts(self, key: str) -> list[tuple[str, AttemptEnded]]:
        """The attempts that were recorded one by one, with their writers, in order. A plain pass leaves none."""
        return [
            (writer, ended)
            for (writer, _), ended in sorted(self._attempts.get(key, {}).items(), key=_by_attempt)
        ]

    def number_of_attempts(self, key: str) -> int:
        """How many attempts were made at the test."""
        state = self._states.get(key)
        return state.attempt if state is not None else 0

    def seconds(self, key: str) -> float:
        """How long the test took, all attempts together and waits left out."""
        state = self._states.get(key)
        return state.seconds if state is not None else 0.0

    def writer(self, key: str) -> str:
        """Who made the last attempt, empty when none was made."""
        state = self._states.get(key)
        return state.writer if state is not None else ""

    def outcomes(self) -> dict[str, Outcome]:
        """The final outcome of every test, in the order of selection. Made once, until another fact comes."""
        if self._outcomes is None:
            self._outcomes = {key: self.outcome(key) for key in self.tests()}
        return self._outcomes

    def having(self, *outcomes: Outcome) -> list[str]:
        """The keys of the tests with one of these outcomes, in the order of selection."""
        return [key for key, outcome in self.outcomes().items() if outcome in outcomes]

    def counts(self) -> Counter[Outcome]:
        """How many tests have which outcome. The sum is the number of tests."""
        return Counter(self.outcomes().values())

    @property
    def had_crash(self) -> bool:
        """Whether a worker died while it ran a test and nobody went on with that, which pytest counts as a failure
        whatever became of the test.
        """
        return not all(map(self._went_on, self._downs))

    def _went_on(self, key: str) -> bool:
        """Whether a test came to its end in an attempt after those that ended a worker."""
        crashed = [ended.attempt for _, ended in self.attempts(key) if ended.outcome is Outcome.CRASHED]
        state = self._states.get(key)
        return state is not None and state.is_finished and bool(crashed) and state.attempt > max(crashed)

    @property
    def interrupted(self) -> bool:
        """Whether the session was stopped from outside."""
        return any(code == Code.INTERRUPTED_BY_SIGNAL.code for code, _ in self._decisions)

    @property
    def reason(self) -> DecisionTaken:
        """Why tests did not run: the decision to stop, or that the run has no orderly end."""
        if self._decisions:
            code, why = min(self._decisions)
            return DecisionTaken(code=code, why=why)
        if self.ended is not None:
            return DecisionTaken(code=Code.WORKER_RESTART_LIMIT.code, why="no worker was left to run them")
        return DecisionTaken(code=Code.CONTROLLER_LOST.code, why="the run has no orderly end")


_Spoken = TypeVar("_Spoken", AttemptEnded, TestInherited)


def _graver(known: _Spoken | None, fact: _Spoken) -> _Spoken:
    """Which of two facts about the same thing stands, whichever came first."""
    if known is None or known == fact:
        return fact
    return max(known, fact, key=lambda one: (one.outcome.severity, repr(one)))


def _rank(ended: RunEnded) -> tuple[int, list[tuple[str, int]]]:
    return ended.exit_status, sorted(ended.counts.items())


def _by_attempt(entry: tuple[tuple[str, int], AttemptEnded]) -> tuple[int, str]:
    (writer, attempt), _ = entry
    return attempt, writer
