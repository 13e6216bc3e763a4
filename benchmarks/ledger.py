"""What the ledger costs: to write, to keep, to read, and to decide by what a resume does.

``python benchmarks/ledger.py [TESTS]`` makes a run of so many tests (100,000) through the real writer and prints a
table of CPU times, each the median of several.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    Fact,
    RunEnded,
    SelectionDone,
    TestFinished,
    TestsSelected,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.redaction import Redactor
from pytest_resilience.history import Past, load, plan_from, to_resume
from pytest_resilience.ledger.contents import Contents
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.runs import RunFolder, RunInfo, Store, new_run_id
from pytest_resilience.ledger.segments import Segment

WRITERS = 4
TESTS_A_FILE = 100
TIMES = 5
MESSAGE = (
    "AssertionError: assert Decimal('12.50') == Decimal('12.05')\n  + where 12.50 = price(Order(lines=3))"
)


@dataclass(frozen=True)
class Made:
    """A run that was made to be measured. `microseconds` is what a record took to be written."""

    store: Store
    folder: RunFolder
    rootdir: Path
    tests: int
    records: int
    microseconds: float

    @property
    def bytes_a_test(self) -> float:
        """How much room a test takes, the selection included."""
        return sum(path.stat().st_size for path in self.folder.path.iterdir()) / self.tests


def key_of(number: int) -> str:
    """An id as suites have them, of some 50 characters."""
    file, test = divmod(number, TESTS_A_FILE)
    return f"tests/unit/test_pricing_{file:04d}.py::test_price[eur-{test}]"


def facts_of(number: int) -> Iterator[Fact]:
    """What is written of one test: 2 of 100 fail, 1 is flaky."""
    key, bad, attempts = key_of(number), number % 50 == 7, 1
    yield AttemptStarted(key=key, attempt=1)
    if bad or number % 100 == 13:
        attempts = 1 if bad else 2
        yield AttemptEnded(
            key=key,
            attempt=1,
            outcome=Outcome.FAILED,
            seconds=0.0123,
            code="RES101",
            fingerprint="7d041bc5e42a7a4e",
            message=MESSAGE,
            limit=2,
            again=f"attempt 1 of {attempts}",
        )
    if attempts == 2:
        yield AttemptStarted(key=key, attempt=2)
    outcome = Outcome.FAILED if bad else Outcome.FLAKY if attempts == 2 else Outcome.PASSED
    yield TestFinished(key=key, outcome=outcome, attempts=attempts, seconds=0.012345)


def make(place: Path, tests: int, durability: str = "second") -> Made:
    """A run of so many tests, written by several writers in turn."""
    store = Store(place / "ledger")
    began = time.time() - 3600
    info = RunInfo(
        id=new_run_id(began, os.urandom(8)),
        key="k",
        rootdir=str(place),
        started=began,
        **asdict(Process.here()),
    )
    folder = store.create(info)
    files = [tuple(range(first, min(first + TESTS_A_FILE, tests))) for first in range(0, tests, TESTS_A_FILE)]
    contents = Contents(place)
    for some in files:
        path = place / key_of(some[0]).partition("::")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {path.name}\n" * 100, "utf-8")
    folder.write_selection(
        [
            TestsSelected(
                keys=tuple(map(key_of, some)), digest=contents.digest(key_of(some[0]).partition("::")[0])
            )
            for some in files
        ],
        SelectionDone(total=tests),
    )
    redactor = Redactor()
    # As in a session, where ids are redacted once, when they are selected.
    redactor.vouch(map(key_of, range(tests)))
    segments = [
        Segment.create(
            folder.path,
            f"gw{number}",
            run=info.id,
            durability=durability,
            trouble=_fail,
            redactor=redactor,
        )
        for number in range(WRITERS)
    ]
    facts = [(segments[number % WRITERS], fact) for number in range(tests) for fact in facts_of(number)]
    before = time.process_time()
    for segment, fact in facts:
        segment.write(fact)
    seconds = time.process_time() - before
    segments[0].write(RunEnded(exit_status=1))
    for segment in segments:
        segment.close()
    folder.release()
    return Made(store, folder, place, tests, len(facts), seconds / len(facts) * 1e6)


def _fail(code: object, why: str) -> None:
    raise SystemExit(f"{code}: {why}")


def median(work: Callable[[], object], times: int = TIMES) -> float:
    """The CPU seconds that `work` takes, the median of several."""
    taken = []
    for _ in range(times):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return statistics.median(taken)


def merge(made: Made) -> Past:
    """All that a run says, as one."""
    return load(made.folder)


def decide(made: Made) -> int:
    """Find the run to resume and make the plan: how many tests are outstanding."""
    past = to_resume(made.store, "", "k")
    assert past is not None
    return len(plan_from(past, Contents(made.rootdir)).outstanding)


def main(tests: int) -> None:
    """Make a run and print what it costs."""
    with tempfile.TemporaryDirectory() as name:
        made = make(Path(name), tests)
        assert decide(made) == sum(1 for number in range(tests) if number % 50 == 7)
        print(
            f"{tests:,} tests, {made.records:,} records, {WRITERS} writers, Python {sys.version.split()[0]}"
        )
        print(f"  write     {made.microseconds:8.2f} µs a record")
        print(f"  keep      {made.bytes_a_test:8.1f} bytes a test")
        print(f"  merge     {median(lambda: merge(made)):8.2f} s")
        print(f"  decide    {median(lambda: decide(made)):8.2f} s, the merge included")


if __name__ == "__main__":
    main(int(sys.argv[1].replace(",", "")) if sys.argv[1:] else 100_000)
