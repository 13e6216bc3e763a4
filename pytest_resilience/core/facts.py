"""What happened, as values: one class for each fact, the same live and on disk.

They are named tuples: a test makes several of them, and a resume hundreds of thousands, in a quarter of the time that a
frozen dataclass takes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome

Fate = Literal["run", "carried", "held", "gone"]


class SegmentOpened(NamedTuple):
    """A process began to write its segment of the ledger."""

    run: str
    writer: str
    pid: int
    start: str = ""
    host: str = ""
    boot: str = ""
    format: tuple[int, int] = (1, 0)


class TestsSelected(NamedTuple):
    """Tests of one file were selected.

    `fate` says what the plan has for them: "run"; "carried", good already; "held", not run because they were in
    flight in too many deaths; "gone", outstanding but no longer there, so not a test of this run any more.
    `digest` is the content of the file and the conftests above it, empty when unknown.
    """

    keys: tuple[str, ...]
    fate: Fate = "run"
    digest: str = ""


class FileCollected(NamedTuple):
    """A file was collected whole: nothing in it failed, and no test was left out. `digest` is as in `core.whole`."""

    file: str
    digest: str


class SelectionDone(NamedTuple):
    """The list of selected tests is complete. `copies`: how often each test runs (``--dist each``: once a worker)."""

    total: int
    copies: int = 1


class TestInherited(NamedTuple):
    """What the earlier runs of the chain know of a test.

    `run` is where the outcome comes from, `digest` the content of the files it was found with, `deaths` how many
    runs in a row died while the test was in flight.
    """

    key: str
    outcome: Outcome
    run: str
    attempts: int = 1
    seconds: float = 0.0
    digest: str = ""
    deaths: int = 0


class TestsInherited(NamedTuple):
    """What the earlier runs of the chain know of several tests, which is the same of all but for their seconds."""

    keys: tuple[str, ...]
    outcome: Outcome
    run: str
    attempts: int
    seconds: tuple[float, ...]
    digest: str
    deaths: int

    @classmethod
    def of(cls, tests: Sequence[TestInherited]) -> "TestsInherited":
        """The same as these tests, of which there is one at least."""
        _, outcome, run, attempts, _, digest, deaths = tests[0]
        keys, seconds = tuple(one.key for one in tests), tuple(one.seconds for one in tests)
        return cls(keys, outcome, run, attempts, seconds, digest, deaths)

    def one_by_one(self) -> list[TestInherited]:
        """What is known of each of them."""
        _, outcome, run, attempts, _, digest, deaths = self
        return [
            TestInherited(key, outcome, run, attempts, seconds, digest, deaths)
            for key, seconds in zip(self.keys, self.seconds, strict=True)
        ]


class AttemptStarted(NamedTuple):
    """An attempt at a test began."""

    key: str
    attempt: int


class AttemptEnded(NamedTuple):
    """An attempt came to an end.

    `limit` is how many attempts there may be, `again` says why another follows or not, `wait` after how many seconds.
    """

    key: str
    attempt: int
    outcome: Outcome
    phase: str = "call"
    seconds: float = 0.0
    code: str = ""
    fingerprint: str = ""
    message: str = ""
    limit: int = 1
    again: str = ""
    wait: float = 0.0

    @property
    def took_worker(self) -> bool:
        """Whether its worker ended with it: died of itself, or was ended because it hung."""
        return self.outcome is Outcome.CRASHED or self.code == Code.WORKER_HUNG.code


class TestFinished(NamedTuple):
    """A test came to its final outcome, teardown included."""

    key: str
    outcome: Outcome
    attempts: int = 1
    seconds: float = 0.0


class TestsFinished(NamedTuple):
    """Several tests, no two of them the same, came to their final outcomes.

    No fact of the ledger: it is what a reader makes of many lines, for whom one by one takes too long.
    """

    keys: Sequence[str]
    outcomes: Sequence[Outcome]
    attempts: Sequence[int]
    seconds: Sequence[float]

    def one_by_one(self) -> list[TestFinished]:
        """What became of each of them."""
        return [*map(TestFinished, self.keys, self.outcomes, self.attempts, self.seconds)]


class DecisionTaken(NamedTuple):
    """The session was stopped; `code` and `why` stand for every test that did not run because of it."""

    code: str
    why: str


class WorkerDown(NamedTuple):
    """A worker process died. `key` is the test in flight, empty when there was none."""

    worker: str
    why: str
    key: str = ""


class RunEnded(NamedTuple):
    """The run came to an orderly end. `counts` holds the number of tests by outcome, zeros left out."""

    exit_status: int
    counts: Mapping[str, int] = {}


for _named in (TestsSelected, TestInherited, TestsInherited, TestFinished, TestsFinished):
    # They are no tests. Within a named tuple this would be a member.
    _named.__test__ = False  # type: ignore[union-attr]

# As AttemptStarted(key, attempt) and TestFinished(key, outcome, attempts, seconds), of a tuple of these, in a third of the
# time: between any two tests one of each is made.
attempt_started: Callable[[tuple[str, int]], AttemptStarted] = partial(tuple.__new__, AttemptStarted)
finished_test: Callable[[tuple[str, Outcome, int, float]], TestFinished] = partial(
    tuple.__new__, TestFinished
)

Fact = (
    SegmentOpened
    | TestsSelected
    | FileCollected
    | SelectionDone
    | TestInherited
    | TestsInherited
    | AttemptStarted
    | AttemptEnded
    | TestFinished
    | DecisionTaken
    | WorkerDown
    | RunEnded
)


def number_of_inherited(fact: Fact) -> int:
    """Of how many tests a fact says what earlier runs know of them."""
    if type(fact) is TestsInherited:
        return len(fact.keys)
    return 1 if type(fact) is TestInherited else 0
