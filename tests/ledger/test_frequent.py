"""What is read without JSON is what JSON would say, and the lines of an ordinary test are read so."""

import tempfile
from pathlib import Path
from unittest.mock import patch
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    Fact,
    TestFinished,
    TestInherited,
    TestsFinished,
    TestsSelected,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.ledger import frequent, reading
from pytest_resilience.ledger.lines import BadLine, Record, decode, encode
from pytest_resilience.ledger.reading import Damage, Ends, read
from pytest_resilience.ledger.seal import Seal

KEYS = st.text(max_size=60) | st.sampled_from(
    ["tests/a.py::test_x[1-a b]", 'quote"', "back\\slash", "\x7f", ""]
)
COUNTS = st.integers(0, 2**53 - 1)
SECONDS = st.floats(0, 1e20) | st.sampled_from([0.0, 1e-7, 0.012345])
Frequent = AttemptStarted | TestFinished | TestInherited
FACTS = st.one_of(
    st.builds(AttemptStarted, key=KEYS, attempt=COUNTS),
    st.builds(
        TestFinished,
        key=KEYS,
        outcome=st.sampled_from(Outcome),
        attempts=COUNTS,
        seconds=SECONDS,
    ),
    st.builds(
        TestInherited,
        key=KEYS,
        outcome=st.sampled_from(Outcome),
        run=KEYS,
        attempts=COUNTS,
        seconds=SECONDS,
        digest=KEYS,
        deaths=COUNTS,
    ),
)
SEAL = Seal.of(b"a secret of sixteen", "run", "nonce")


def read_as_ever(line: bytes, seal: Seal | None) -> Record | str:
    try:
        return decode(line, seal)
    except BadLine as error:
        return str(error)


def by_json(line: bytes, seal: Seal | None) -> Record | str:
    with patch.object(frequent, "read", return_value=None):
        return read_as_ever(line, seal)


@given(FACTS, COUNTS, st.floats(-1e6, 1e10), st.sampled_from([None, SEAL]))
def test_a_line_says_the_same_either_way(fact: Frequent, seq: int, at: float, seal: Seal | None) -> None:
    line = encode(fact, writer="gw0.4250.5d2e77b1", seq=seq, at=at, seal=seal)
    assert read_as_ever(line, seal) == by_json(line, seal)
    assert read_as_ever(line, None) == by_json(line, None)


LINE = '{"k":"fin","w":"gw0.1.00000000","s":7,"t":1795228455.123,"id":"a.py::t","o":"passed","n":1,"d":0.5'
INHERITED = '{"k":"inh","w":"carry","s":7,"t":17.123,"id":"a.py::t","o":"passed","run":"x-1","n":1,"d":0.5,"dg":"a1","de":0'
# Texts that are no JSON, or another value than they seem, in the place of others.
CHANGES = [
    "0",
    "00",
    "-1",
    "1e3",
    "1.",
    ".5",
    "1_0",
    "\u0661",
    '"',
    "\\",
    "\\u0041",
    "\t",
    "\x7f",
    " ",
    "x",
    "",
]


@given(
    st.sampled_from([LINE, INHERITED]),
    st.integers(0, len(INHERITED)),
    st.integers(0, 3),
    st.sampled_from(CHANGES),
)
@example(LINE, LINE.index("7"), 1, "07")
@example(LINE, LINE.index("0.5"), 3, "00.5")
@example(INHERITED, INHERITED.index('1,"d"'), 0, "0")
def test_no_change_to_a_line_is_read_as_something_that_json_would_not_say(
    whole: str, start: int, length: int, text: str
) -> None:
    body = (whole[:start] + text + whole[start + length :]).encode("utf-8")
    line = b'%b,"c":"%08x"}' % (body, crc32(body))
    assert read_as_ever(line, None) == by_json(line, None)


@pytest.mark.parametrize(
    "fact",
    [
        AttemptStarted(key="tests/unit/test_a.py::TestX::test_y[eur-1.5]", attempt=1),
        TestFinished(key="tests/test_a.py::test_y", outcome=Outcome.PASSED, seconds=0.012345),
        TestInherited(
            key="tests/test_a.py::test_y", outcome=Outcome.FAILED, run="20261120-1", digest="a1", deaths=1
        ),
    ],
    ids=["started", "finished", "inherited"],
)
@pytest.mark.parametrize("seal", [None, SEAL], ids=["plain", "signed"])
def test_the_lines_of_an_ordinary_test_need_no_json(
    monkeypatch: pytest.MonkeyPatch, fact: Frequent, seal: Seal | None
) -> None:
    line = encode(fact, writer="gw0.4250.5d2e77b1", seq=3, at=1795228455.123, seal=seal)
    monkeypatch.setattr("pytest_resilience.ledger.lines._parse", lambda text: pytest.fail("parsed"))
    assert decode(line, seal) == Record("gw0.4250.5d2e77b1", 3, 1795228455.123, fact)


# ---- both lines of a test at once

WRITER, OTHER = "gw0.1.00000000", "gw1.1.00000000"
OUTCOMES = st.sampled_from(Outcome)
NAMES = st.sampled_from(["a.py::t", "a.py::t", "b", "\u00e4"])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """What a writer leaves behind: tests, and what happens to them, in lines of which any may be damaged or missing."""
    written: list[bytes] = []
    seq = 0
    for key in draw(st.lists(NAMES, min_size=1, max_size=5)):
        start, end = AttemptStarted(key, draw(st.integers(1, 2))), TestFinished(key, draw(OUTCOMES))
        bad = AttemptEnded(key=key, attempt=1, outcome=draw(OUTCOMES))
        pair: list[Fact] = [start, end]
        kinds: list[list[Fact]] = [pair, pair, pair, [start, bad, end], [start], [end]]
        for fact in draw(st.sampled_from(kinds)):
            writer = draw(st.sampled_from([WRITER] * 9 + [OTHER]))
            written.append(encode(fact, writer=writer, seq=seq, at=1e9 + seq))
            seq += draw(st.sampled_from([1] * 9 + [0, 2]))
    if draw(st.booleans()):
        number = draw(st.integers(0, len(written) - 1))
        line = written[number]
        # A digit in the place of another does least to how a line is spelled.
        digits = [at for at, byte in enumerate(line) if chr(byte).isdigit()]
        at, new = draw(st.sampled_from(digits)), draw(st.sampled_from([b"7", b"7", b"7", b"x", b"", b"\n"]))
        written[number] = line[:at] + new + line[at + 1 :]
    return draw(st.sampled_from([b"", b"\n", b"x"])) + b"".join(written)


def told(folder: Path, *, is_condensed: bool) -> tuple[list[Record], list[Damage], int]:
    """What is read of a folder, test by test and without its times, and what is said of the rest."""
    found = read(folder)
    records = [
        one for part in (found.condensed if is_condensed else found.records) for one in one_by_one(part)
    ]
    return records, found.problems, found.unknown


def one_by_one(part: Record | Ends) -> list[Record]:
    if isinstance(part, Record):
        return [part._replace(at=0.0)]
    tests = enumerate(part.fact.one_by_one())
    return [Record(part.writer, part.seq + 2 * number, 0.0, finished) for number, finished in tests]


def without_idle_starts(records: list[Record]) -> list[Record]:
    """The records but for starts before the end that the same writer wrote, in his next line, of the same test."""
    kept: list[Record] = []
    for record in reversed(records):
        fact, then = record.fact, kept[-1] if kept else None
        is_idle = (
            isinstance(fact, AttemptStarted)
            and then is not None
            and isinstance(then.fact, TestFinished)
            and (then.writer, then.seq, then.fact.key) == (record.writer, record.seq + 1, fact.key)
        )
        if not is_idle:
            kept.append(record)
    return kept


def read_either_way(content: bytes) -> tuple[list[Record], list[Record]]:
    """The records of such a file as they are and condensed, of which the rest of what is told is the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"seg-{WRITER}.jsonl").write_bytes(content)
        every, *others = told(folder, is_condensed=False)
        some, *same = told(folder, is_condensed=True)
    assert same == others
    # Where a pair was not seen as one, its start is still there.
    assert without_idle_starts(some) == without_idle_starts(every)
    return every, some


@given(lines(), st.sampled_from([256 * 1024, 500, 37]))
def test_condensed_reading_leaves_out_only_what_says_nothing_and_tells_the_same_damage(
    content: bytes, portion: int
) -> None:
    with patch.object(reading, "_PORTION", portion):
        every, some = read_either_way(content)
    whole, condensed = Run(), Run()
    for run, records in ((whole, every), (condensed, some)):
        run.observe_all((record.writer, record.fact) for record in records)
    assert condensed.outcomes() == whole.outcomes()
    for key in whole.tests():
        assert (condensed.number_of_attempts(key), condensed.seconds(key), condensed.writer(key)) == (
            whole.number_of_attempts(key),
            whole.seconds(key),
            whole.writer(key),
        )


def a_test(key: str = "a", writer: str = WRITER, seq: int = 1) -> bytes:
    """A test that began as `a`; its end is the one that is asked for."""
    return encode(AttemptStarted("a", 1), writer=WRITER, seq=0, at=5.5) + encode(
        TestFinished(key, Outcome.PASSED, 1, 0.5), writer=writer, seq=seq, at=5.5
    )


def test_no_changed_byte_of_a_test_is_taken_for_what_was_written() -> None:
    content = a_test()
    for position, byte in enumerate(content):
        every, _ = read_either_way(
            content[:position] + (b"7" if byte != ord("7") else b"8") + content[position + 1 :]
        )
        assert len(every) < 2


@pytest.mark.parametrize("key", ["a", "b"])
@pytest.mark.parametrize("writer", [WRITER, OTHER])
@pytest.mark.parametrize("seq", [0, 1, 2])
def test_only_the_next_line_of_the_same_writer_on_the_same_test_makes_a_start_idle(
    key: str, writer: str, seq: int
) -> None:
    every, some = read_either_way(a_test(key, writer, seq))
    assert len(every) == 2
    assert len(some) == (1 if (key, writer, seq) == ("a", WRITER, 1) else 2)


@given(st.integers(0, 400), st.integers(0, 3), st.sampled_from(CHANGES))
def test_no_change_to_the_lines_of_a_test_is_read_as_something_that_json_would_not_say(
    start: int, length: int, text: str
) -> None:
    bodies = b"\n".join(line.rpartition(b',"c"')[0] for line in a_test().splitlines())
    start = min(start, len(bodies))
    changed = bodies[:start] + text.encode() + bodies[start + length :]
    read_either_way(b"".join(b'%b,"c":"%08x"}\n' % (body, crc32(body)) for body in changed.split(b"\n")))


def test_the_lines_of_an_ordinary_test_are_read_both_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = TestFinished(key="tests/test_a.py::test_x[eur-1.5]", outcome=Outcome.PASSED, seconds=0.012345)
    content = encode(AttemptStarted(end.key, 1), writer=WRITER, seq=0, at=1795228455.1) + encode(
        end, writer=WRITER, seq=1, at=1795228455.123
    )
    (tmp_path / f"seg-{WRITER}.jsonl").write_bytes(content)
    monkeypatch.setattr(reading, "decode", lambda *line: pytest.fail("read one by one"))
    assert told(tmp_path, is_condensed=True) == ([Record(WRITER, 1, 0.0, end)], [], 0)


@given(st.lists(st.tuples(NAMES, OUTCOMES), max_size=6), st.sampled_from([WRITER, OTHER]))
def test_tests_that_are_told_together_mean_what_they_mean_one_by_one(
    ends: list[tuple[str, Outcome]], writer: str
) -> None:
    together, apart = Run(), Run()
    for run in (together, apart):
        run.observe(TestsSelected(("a.py::t",), digest="d"))
        run.observe(TestFinished("b", Outcome.FAILED), OTHER)
    tests = [TestFinished(key, outcome, 1, 0.5) for key, outcome in dict(ends).items()]
    columns = zip(*tests, strict=True) if tests else [()] * 4
    together.observe(TestsFinished(*columns), writer)
    apart.observe_all((writer, one) for one in tests)
    assert together.outcomes() == apart.outcomes()
    assert [*together.known()] == [*apart.known()]
