"""What the ledger costs: to write, to keep, to read, and to decide by what a resume does.

``python -m benchmarks.ledger [TESTS]`` makes a run of so many tests (100,000) through the real writer and prints what
it costs, with the limits: CPU times, each the median of several, room on the disk, and the most memory that a process
of its own took to read it. With ``--json`` it prints that as JSON. ``python -m benchmarks.ledger --million`` shows
reading at its largest: two million records of a million tests.
"""

import json
import os
import re
import statistics
import subprocess
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
from pytest_resilience.ledger.lines import encode
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.runs import RunFolder, RunInfo, Store, new_run_id
from pytest_resilience.ledger.segments import Segment

# Seconds for 100,000 tests, bytes for each, and bytes in all.
MERGE, DECIDE, KEPT, READ, READ_AT_ALL = 1.5, 2.0, 400, 200, 64 * 1024 * 1024
# Seconds to read and fold 100,000 records of tests that pass.
RECORDS = 0.3
# Seconds for a million tests: of their records there are two million.
MILLION = 20.0
WRITE = 20.0
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


def number_of(key: str) -> int:
    """The inverse of `key_of`."""
    file, test = re.findall(r"\d+", key)
    return int(file) * TESTS_A_FILE + int(test)


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


def begin(place: Path) -> tuple[Store, RunFolder]:
    """A run of which nothing is known yet."""
    store = Store(place / "ledger")
    began = time.time() - 3600
    info = RunInfo(
        id=new_run_id(began, os.urandom(8)),
        key="k",
        rootdir=str(place),
        started=began,
        **Process.here()._asdict(),
    )
    return store, store.create(info)


def make(place: Path, tests: int, durability: str = "second") -> Made:
    """A run of so many tests, written by several writers in turn."""
    store, folder = begin(place)
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
            run=folder.id,
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


def resume(made: Made) -> Made:
    """A run that resumed the one that was made, inherited all that it knew, and came to its end with the same failures."""
    past = to_resume(made.store, "", "k")
    assert past is not None
    plan = plan_from(past, Contents(made.rootdir))
    began = time.time() - 60
    info = RunInfo(
        id=new_run_id(began, os.urandom(8)),
        key="k",
        rootdir=str(made.rootdir),
        started=began,
        parent=past.info.id,
        **Process.here()._asdict(),
    )
    folder = made.store.create(info, plan.inherited())
    keys = {"carried": sorted(plan.carried), "run": sorted(plan.outstanding)}
    folder.write_selection(
        [TestsSelected(keys=tuple(some), fate=fate) for fate, some in keys.items()],  # type: ignore[arg-type]
        SelectionDone(total=made.tests),
    )
    segment = Segment.create(folder.path, "ctl", run=folder.id, trouble=_fail)
    for key in keys["run"]:
        for fact in facts_of(number_of(key)):
            segment.write(fact)
    segment.write(RunEnded(exit_status=1))
    segment.close()
    folder.release()
    return Made(made.store, folder, made.rootdir, made.tests, 3 * len(keys["run"]), 0.0)


def make_large(place: Path, tests: int) -> RunFolder:
    """A run of so many tests that all pass, its lines written in one go."""
    _, folder = begin(place)
    firsts = range(0, tests, TESTS_A_FILE)
    folder.write_selection(
        (
            TestsSelected(keys=tuple(map(key_of, range(first, first + TESTS_A_FILE))), digest=f"{first:016x}")
            for first in firsts
        ),
        SelectionDone(total=tests),
    )
    for number in range(WRITERS):
        writer = f"gw{number}.1.0000000{number}"
        with (folder.path / f"seg-{writer}.jsonl").open("xb") as file:
            for seq, test in enumerate(range(number, tests, WRITERS)):
                key, at = key_of(test), 1.8e9 + seq / 100
                end = TestFinished(key=key, outcome=Outcome.PASSED, seconds=seq / 1e5)
                file.write(encode(AttemptStarted(key=key, attempt=1), writer=writer, seq=2 * seq, at=at))
                file.write(encode(end, writer=writer, seq=2 * seq + 1, at=at))
    folder.release()
    return folder


_READER = """
import resource, sys, time
from pathlib import Path
from pytest_resilience.history import load
from pytest_resilience.ledger.runs import Store

store = Store(Path(sys.argv[1]))
folder = store.folder(store.runs()[0].id)
before = time.process_time()
past = load(folder)
seconds = time.process_time() - before
try:
    # What getrusage tells begins with the memory of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    most = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
except OSError:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(most * 1024, seconds, past.damage, past.run.counts().total())
"""


def read_apart(folder: RunFolder, tests: int) -> tuple[float, float]:
    """The bytes that a process of its own has at most when it reads a run, all of Python included, and its seconds."""
    store = folder.path.parent.parent
    child = subprocess.run([sys.executable, "-c", _READER, store], capture_output=True, text=True, check=True)
    most, seconds, damage, total = child.stdout.split()
    assert (damage, total) == ("0", str(tests))
    return float(most), float(seconds)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    value: float
    unit: str
    limit: float

    def __str__(self) -> str:
        verdict = "met" if self.value <= self.limit else "MISSED"
        return f"  {self.name:<8}{self.value:8.2f} {self.unit:<26} limit {self.limit:8.2f}  {verdict}"


def memory(most: float, tests: int) -> Row:
    """What reading takes."""
    return Row("memory", most / 1e6, "MB to read", (READ_AT_ALL + READ * tests) / 1e6)


def measure(tests: int) -> list[Row]:
    """Make runs and tell what they cost."""
    share = tests / 100_000
    bad = sum(1 for number in range(tests) if number % 50 == 7)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        made = make(place / "run", tests)
        assert decide(made) == bad
        rows = [
            Row("write", made.microseconds, "\u00b5s a record", WRITE),
            Row("keep", made.bytes_a_test, "bytes a test", KEPT),
            Row("merge", median(lambda: merge(made)), "s", MERGE * share),
            Row("decide", median(lambda: decide(made)), "s with the merge", DECIDE * share),
            memory(read_apart(made.folder, tests)[0], tests),
        ]
        resumed = resume(made)
        assert decide(resumed) == bad
        rows.append(
            Row("again", median(lambda: decide(resumed)), "s to decide after a resume", DECIDE * share)
        )
        large = make_large(place / "large", tests // 2)
        rows.append(Row("read", median(lambda: load(large)), f"s for {tests:,} records", RECORDS * share))
        return rows


def measure_million() -> list[Row]:
    """Make a run of a million tests and tell what reading it costs."""
    tests = 1_000_000
    with tempfile.TemporaryDirectory() as name:
        most, seconds = read_apart(make_large(Path(name), tests), tests)
    return [Row("merge", seconds, "s", MILLION), memory(most, tests)]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    is_million = "--million" in arguments
    tests = next((int(word.replace(",", "")) for word in arguments if not word.startswith("-")), 100_000)
    rows = measure_million() if is_million else measure(tests)
    if "--json" in arguments:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{1_000_000 if is_million else tests:,} tests, {WRITERS} writers, Python {sys.version.split()[0]}")
    print(*rows, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
