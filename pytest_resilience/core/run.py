"""The fold: facts in any order, any number of times, become one final outcome for each test of a run."""

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cache, lru_cache, partial
from itertools import count
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
    TestsFinished,
    TestsInherited,
    TestsSelected,
    WorkerDown,
)
from pytest_resilience.core.outcomes import Outcome, of_test


class _State(NamedTuple):
    """The most that is known of a test, but for the seconds. The greatest stands, so neither order nor repetition matters.

    What finished a test outranks its attempts, a later attempt an earlier one, and the end of an attempt its start; of
    equal `rank` the longer one stands, and of these the one whose writer comes last.
    """

    rank: tuple[bool, int, bool, int]
    writer: str
    outcome: Outcome | None

    @property
    def is_finished(self) -> bool:
        """Whether a final outcome is known."""
        return self.rank[0]

    @property
    def attempt(self) -> int:
        """The number of the last attempt."""
        return self.rank[1]


@lru_cache(maxsize=1024)
def _state(writer: str, attempt: int, outcome: Outcome | None, is_finished: bool) -> _State:
    # Most tests of a worker end in the same state, which is one object then: memory counts at 100,000 tests.
    severity = 0 if outcome is None else outcome.severity
    return _State((is_finished, attempt, outcome is not None, severity), writer, outcome)


# No key that anything was ever told of.
_NO_TEST = "\0"

# Where two records disagree, the later of these stands: in doubt a test is to be run.
_FATES: tuple[Fate, ...] = ("gone", "carried", "held", "run")

# The outcomes of attempts that took their worker along. Without its worker nobody goes on with what merely timed out.
_TOOK_WORKER = (Outcome.CRASHED, Outcome.TIMED_OUT)


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
        # What is known of any test stands in columns, by its row: an object for each takes several times the room.
        self._rows: dict[str, int] = {}
        self._selections: list[tuple[Fate, str] | None] = []
        self._states: list[_State | None] = []
        self._seconds = array("d")
        self._selected: list[str] = []
        # With `--dist each` a test runs once on each worker: the states of tests that several of them spoke of.
        self._by_writer: dict[str, dict[str, _State]] = {}
        self._attempts: dict[str, dict[tuple[str, int], AttemptEnded]] = {}
        self._downs: dict[str, set[str]] = {}
        self._decisions: set[tuple[str, str]] = set()
        # Both made when asked for, until another fact comes.
        self._outcomes: dict[str, Outcome] | None = None
        self._counts: Counter[Outcome] | None = None

    # -- what happened ------------------------------------------------------------------------------------------

    def observe(self, fact: Fact | TestsFinished, writer: str = "") -> None:
        """Take one fact, written by `writer`."""
        # The end changes no outcome, and they are wanted once more after it.
        if type(fact) is not RunEnded:
            self._outcomes = self._counts = None
        match fact:
            case TestFinished():
                key, outcome, number, seconds = fact
                self._join(key, _state(writer, number, outcome, True), seconds)
            case AttemptStarted():
                self._join(fact.key, _state(writer, fact.attempt, None, False), 0.0)
            case AttemptEnded():
                attempts = self._attempts.setdefault(fact.key, {})
                place = (writer, fact.attempt)
                attempts[place] = _graver(attempts.get(place), fact)
                self._join(fact.key, _state(writer, fact.attempt, fact.outcome, False), fact.seconds)
            case TestsSelected():
                self._select(fact)
            case FileCollected():
                self.collected.setdefault(fact.file, set()).add(fact.digest)
            case SelectionDone():
                self.copies = max(self.copies, fact.copies)
                self.selected_total = max(self.selected_total or 0, fact.total)
            case TestInherited():
                self._row(fact.key)
                self.inherited[fact.key] = _graver(self.inherited.get(fact.key), fact)
            case TestsFinished():
                self._finish(fact, writer)
            case TestsInherited():
                self._inherit(fact.one_by_one())
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

    def observe_inherited(self, tests: Iterable[TestInherited]) -> None:
        """Take what a run inherited, many tests at once."""
        self._outcomes = self._counts = None
        self._inherit(tests)

    def _row(self, key: str) -> int:
        row = self._rows.get(key)
        if row is None:
            row = len(self._rows)
            self._add_rows((key,))
        return row

    def _add_rows(self, keys: Collection[str], selection: tuple[Fate, str] | None = None) -> None:
        """Rows for keys that have none, and of which none is there twice."""
        self._rows.update(zip(keys, count(len(self._rows)), strict=False))
        self._selections += [selection] * len(keys)
        self._states += [None] * len(keys)
        self._seconds.frombytes(bytes(self._seconds.itemsize * len(keys)))

    def _inherit(self, tests: Iterable[TestInherited]) -> None:
        new: dict[str, TestInherited] = {}
        for one in tests:
            new[one.key] = _graver(new.get(one.key, self.inherited.get(one.key)), one)
        self.inherited.update(new)
        self._add_rows([key for key in new if key not in self._rows])

    def _select(self, fact: TestsSelected) -> None:
        selection, keys = (fact.fate, fact.digest), dict.fromkeys(fact.keys)
        if self._rows.keys().isdisjoint(keys):
            # As good as always, and quicker than one by one.
            self._add_rows(keys, selection)
            self._selected += keys
            return
        for key in keys:
            row = self._row(key)
            known = self._selections[row]
            if known is None:
                # One copy of a key is enough.
                before = self.inherited.get(key)
                self._selected.append(key if before is None else before.key)
                self._selections[row] = selection
            elif known != selection:
                fate, digest = known
                self._selections[row] = max(fate, fact.fate, key=_FATES.index), max(digest, fact.digest)

    def _join(self, key: str, state: _State, seconds: float) -> None:
        row = self._rows.get(key)
        if row is None:
            row = self._row(key)
        known = self._states[row]
        if known is not None:
            if known.writer != state.writer or key in self._by_writer:
                copies = self._by_writer.setdefault(key, {known.writer: known})
                copies[state.writer] = max(copies.get(state.writer, state), state)
            if (known.rank, self._seconds[row], known.writer) >= (state.rank, seconds, state.writer):
                return
        self._states[row] = state
        self._seconds[row] = seconds

    def _finish(self, fact: TestsFinished, writer: str) -> None:
        known = list(map(self._rows.get, fact.keys))
        rows = [row for row in known if row is not None and self._states[row] is None]
        if len(rows) < len(known):
            for one in fact.one_by_one():
                self.observe(one, writer)
            return
        # As good as always: nothing but that they were selected was known of any of them.
        made = zip(rows, fact.outcomes, fact.attempts, fact.seconds, strict=True)
        for row, outcome, attempts, seconds in made:
            self._states[row] = _state(writer, attempts, outcome, True)
            self._seconds[row] = seconds

    # -- what it means ------------------------------------------------------------------------------------------

    def tests(self) -> list[str]:
        """The keys of all tests of the run, in the order of selection; those that are gone are no tests any more."""
        gone = set(self.gone())
        selected = [key for key in self._selected if key not in gone] if gone else self._selected
        if len(self._selected) == len(self._rows):
            return [*selected]
        never_selected = (
            key
            for key, row in self._rows.items()
            if self._selections[row] is None and self._states[row] is not None
        )
        return [*selected, *never_selected]

    def gone(self) -> list[str]:
        """The keys of tests that were outstanding and exist no more."""
        if not any(selection is not None and selection[0] == "gone" for selection in set(self._selections)):
            return []
        return [key for key in self._selected if self.fate(key) == "gone"]

    def fate(self, key: str) -> Fate | None:
        """What the plan had for the test; None when it was not selected."""
        selection = self._selection(key)
        return selection[0] if selection is not None else None

    def digest(self, key: str) -> str:
        """The content that the test was selected with, empty when unknown."""
        selection = self._selection(key)
        return selection[1] if selection is not None else ""

    def _selection(self, key: str) -> tuple[Fate, str] | None:
        row = self._rows.get(key)
        return self._selections[row] if row is not None else None

    def _last(self, key: str) -> _State | None:
        row = self._rows.get(key)
        return self._states[row] if row is not None else None

    def outcome(self, key: str) -> Outcome:
        """The final outcome of a test, as far as the facts tell.

        Where a worker and the controller both know of an attempt, the worker's own record wins: a test that its
        worker finished before it died is not crashed.
        """
        row = self._rows.get(key)
        if row is None:
            return self._outcome_of(key, None)
        return self._outcome_as(key, self._selections[row], self._states[row])

    def _outcome_as(self, key: str, selection: tuple[Fate, str] | None, state: _State | None) -> Outcome:
        if selection is not None:
            match selection[0]:
                case "carried":
                    return Outcome.CARRIED_OVER
                case "held":
                    return Outcome.CRASHED
        if self.copies == 1:
            return self._outcome_of(key, state)
        # The state of a test that one worker alone spoke of is not kept by worker; None when none did.
        states: list[_State | None] = list(self._copies(key))
        outcomes = [self._outcome_of(key, state) for state in states or [state]]
        if len([outcome for outcome in outcomes if outcome.is_good]) < self.copies:
            outcomes.append(Outcome.NOT_RUN)
        return max(outcomes, key=lambda outcome: outcome.severity)

    def _copies(self, key: str) -> list[_State]:
        """What each worker knows of its own copy. What is known of attempts that ended a worker is left out once as many
        copies as there are came to their end: another worker went on with those.
        """
        states = list(self._by_writer.get(key, {}).values())
        if len([state for state in states if state.is_finished]) < self.copies:
            return states
        downs = self._downs.get(key, ())
        return [
            one
            for one in states
            if one.is_finished or not (one.writer in downs or one.outcome in _TOOK_WORKER)
        ]

    def _outcome_of(self, key: str, state: _State | None) -> Outcome:
        if state is None:
            return Outcome.CRASHED if key in self._downs else Outcome.NOT_RUN
        outcome = state.outcome
        if outcome is not None and state.is_finished:
            return of_test(outcome, had_bad_attempt=self._had_bad_attempt(key, state))
        if outcome is Outcome.TIMED_OUT:
            # Its worker did not die of itself: it was ended.
            return outcome
        if key in self._downs:
            return Outcome.CRASHED
        if outcome is not None and outcome.is_outstanding:
            return outcome
        return Outcome.INTERRUPTED if self.interrupted else Outcome.CRASHED

    def _had_bad_attempt(self, key: str, state: _State) -> bool:
        downs, attempts = self._downs.get(key), self._attempts.get(key)
        if downs is not None and any(worker != state.writer for worker in downs):
            return True
        if attempts is None:
            return False
        # Of an attempt that its worker finished before it ended the controller thinks that it ended in it.
        return any(
            ended.outcome.is_bad and not (ended.took_worker and ended.attempt == state.attempt)
            for ended in attempts.values()
        )

    def known(self) -> Iterator[tuple[str, Outcome, Fate | None, str, int | None, float, bool]]:
        """Of every test, in the order of selection: its key, `outcome`, `fate` and `digest`; how many attempts were made
        at it, None where it was not started, how many seconds they took, and whether it is finished.
        """
        outcomes = self.outcomes()
        rows = list(map(self._rows.__getitem__, outcomes))
        columns = (map(one.__getitem__, rows) for one in (self._selections, self._states, self._seconds))
        for (key, outcome), selection, state, seconds in zip(outcomes.items(), *columns, strict=True):
            fate, digest = selection or (None, "")
            if state is None:
                yield key, outcome, fate, digest, None, 0.0, False
            else:
                is_finished, attempt, *_ = state.rank
                yield key, outcome, fate, digest, attempt, seconds, is_finished

    def in_flight(self, key: str) -> bool:
        """Whether the test was started and has no final outcome of its own."""
        state = self._last(key)
        return state is not None and not state.is_finished

    def is_finished(self, key: str) -> bool:
        """Whether the test has a final outcome of its own."""
        state = self._last(key)
        return state is not None and state.is_finished

    def attempts(self, key: str) -> list[tuple[str, AttemptEnded]]:
        """The attempts that were recorded one by one, with their writers, in order. A plain pass leaves none."""
        return [
            (writer, ended)
            for (writer, _), ended in sorted(self._attempts.get(key, {}).items(), key=_by_attempt)
        ]

    def number_of_attempts(self, key: str) -> int:
        """How many attempts were made at the test."""
        state = self._last(key)
        return state.attempt if state is not None else 0

    def seconds(self, key: str) -> float:
        """How long the test took, all attempts together and waits left out."""
        row = self._rows.get(key)
        return self._seconds[row] if row is not None else 0.0

    def writer(self, key: str) -> str:
        """Who made the last attempt, empty when none was made."""
        state = self._last(key)
        return state.writer if state is not None else ""

    def outcomes(self) -> dict[str, Outcome]:
        """The final outcome of every test, in the order of selection. Made once, until another fact comes."""
        if self._outcomes is None:
            self._outcomes = dict(self._one_by_one())
        return self._outcomes

    def _one_by_one(self) -> Iterator[tuple[str, Outcome]]:
        keys = self.tests()
        selections = map(self._selections.__getitem__, map(self._rows.__getitem__, keys))
        states = map(self._states.__getitem__, map(self._rows.__getitem__, keys))
        # What nothing but its selection and its state speaks of is as all others like it are.
        outcomes = map(cache(partial(self._outcome_as, _NO_TEST)), selections, states)
        special = self._attempts.keys() | self._downs.keys() | self._by_writer.keys()
        if not special:
            return zip(keys, outcomes, strict=True)
        return (
            (key, self.outcome(key) if key in special else outcome)
            for key, outcome in zip(keys, outcomes, strict=True)
        )

    def having(self, *outcomes: Outcome) -> list[str]:
        """The keys of the tests with one of these outcomes, in the order of selection."""
        if self.counts().keys().isdisjoint(outcomes):
            return []
        return [key for key, outcome in self.outcomes().items() if outcome in outcomes]

    def counts(self) -> Counter[Outcome]:
        """How many tests have which outcome. The sum is the number of tests."""
        if self._counts is None:
            known = self._one_by_one() if self._outcomes is None else self._outcomes.items()
            self._counts = Counter(outcome for _, outcome in known)
        return self._counts

    @property
    def had_crash(self) -> bool:
        """Whether a worker died while it ran a test and nobody went on with that, which pytest counts as a failure
        whatever became of the test.
        """
        return not all(map(self._went_on, self._downs))

    def _went_on(self, key: str) -> bool:
        """Whether a test came to its end in an attempt after those that ended a worker."""
        last = max((ended.attempt for _, ended in self.attempts(key) if ended.took_worker), default=None)
        state = self._last(key)
        return state is not None and state.is_finished and last is not None and state.attempt > last

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
