"""A fact survives being a line, and nothing else is ever taken for one."""

import json
from collections.abc import Callable
from typing import get_args
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    Fact,
    Fate,
    FileCollected,
    RunEnded,
    SegmentOpened,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsInherited,
    TestsSelected,
    WorkerDown,
    number_of_inherited,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.lines import (
    BadLine,
    Record,
    UnknownKind,
    decode,
    encode,
    encode_all,
)
from pytest_resilience.ledger.portions import split_tests, together
from pytest_resilience.ledger.sizes import (
    KEY_CHARS,
    MAX_LINE,
    length_of_quoted_keys,
    quoted_keys,
    stored_key,
)

ANY_CHARACTER = st.characters(codec=None, exclude_categories=())
KEYS = st.text(ANY_CHARACTER, max_size=60)
# A text and how often it is repeated, so that what an example shows stays short.
REPEATED = st.tuples(st.text(ANY_CHARACTER, max_size=8), st.integers(1, 3000))
TEXTS = st.text(max_size=200)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789 _-.:/", max_size=64)
COUNTS = st.integers(0, 2**40)
SECONDS = st.floats(allow_nan=False, allow_infinity=False)
OUTCOMES = st.sampled_from(Outcome)

STORED = KEYS.map(stored_key)
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        SegmentOpened,
        run=WORDS,
        writer=st.just("w"),
        pid=COUNTS,
        start=WORDS,
        host=WORDS,
        boot=WORDS,
        format=st.just((1, 0)),
    ),
    st.builds(
        TestsSelected,
        keys=st.lists(STORED, max_size=20).map(tuple),
        fate=st.sampled_from(get_args(Fate)),
        digest=WORDS,
    ),
    st.builds(FileCollected, file=STORED, digest=WORDS),
    st.builds(SelectionDone, total=COUNTS, copies=COUNTS),
    st.builds(
        TestInherited,
        key=STORED,
        outcome=OUTCOMES,
        run=WORDS,
        attempts=COUNTS,
        seconds=SECONDS,
        digest=WORDS,
        deaths=COUNTS,
    ),
    st.builds(
        lambda times, **members: TestsInherited(keys=tuple(times), seconds=tuple(times.values()), **members),
        st.dictionaries(STORED, SECONDS, max_size=5),
        outcome=OUTCOMES,
        run=WORDS,
        attempts=COUNTS,
        digest=WORDS,
        deaths=COUNTS,
    ),
    st.builds(AttemptStarted, key=STORED, attempt=COUNTS),
    st.builds(
        AttemptEnded,
        key=STORED,
        attempt=COUNTS,
        outcome=OUTCOMES,
        phase=WORDS,
        seconds=SECONDS,
        code=WORDS,
        fingerprint=WORDS,
        message=TEXTS,
        limit=COUNTS,
        again=TEXTS,
        wait=SECONDS,
    ),
    st.builds(TestFinished, key=STORED, outcome=OUTCOMES, attempts=COUNTS, seconds=SECONDS),
    st.builds(DecisionTaken, code=WORDS, why=TEXTS),
    st.builds(WorkerDown, worker=WORDS, why=TEXTS, key=STORED),
    st.builds(
        RunEnded,
        exit_status=st.integers(-255, 255),
        counts=st.dictionaries(st.sampled_from([outcome.value for outcome in Outcome]), COUNTS),
    ),
)


def line_of(fact: Fact, *, writer: str = "w", seq: int = 0, at: float = 0.0) -> bytes:
    return encode(fact, writer=writer, seq=seq, at=at)


def sealed(body: str) -> bytes:
    """A line with a checksum that holds, whatever it says."""
    data = body.removesuffix("}").encode("ascii")
    return b'%b,"c":"%08x"}\n' % (data, crc32(data))


A_LINE = line_of(
    AttemptStarted(key="tests/test_a.py::test_x[1]", attempt=1), writer="gw0.1.0a0b0c0d", seq=7, at=1.5
)


@given(FACTS, st.integers(0, 2**40), st.floats(0, 4e9))
def test_a_fact_is_the_same_after_being_a_line(fact: Fact, seq: int, at: float) -> None:
    line = line_of(fact, seq=seq, at=at)
    assert decode(line) == Record("w", seq, float(f"{at:.3f}"), fact)
    assert decode(line.removesuffix(b"\n")) == decode(line)


@given(FACTS)
def test_a_line_is_printable_ascii_with_one_newline_and_the_checksum_last(fact: Fact) -> None:
    line = line_of(fact)
    assert line.endswith(b"\n")
    assert all(32 <= byte < 127 for byte in line[:-1])
    assert list(json.loads(line))[-1] == "c"


@given(st.lists(KEYS | st.text(st.characters(max_codepoint=127), max_size=900), min_size=1, max_size=5))
def test_how_long_quoted_keys_are_is_known_without_quoting_them(keys: list[str]) -> None:
    assert length_of_quoted_keys(keys) == len(quoted_keys(keys))


@given(KEYS, st.integers(1, 3000))
def test_any_text_can_be_a_key(part: str, times: int) -> None:
    key = part * times
    line = line_of(TestFinished(key=key, outcome=Outcome.PASSED))
    assert len(line) <= MAX_LINE
    fact = decode(line).fact
    assert isinstance(fact, TestFinished)
    assert fact.key == stored_key(key) == stored_key(fact.key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "\0",
        "a\nb",
        "::[",
        "\ud83d",
        "\ude00 \ud83d",
        "x" * 10_000,
        "\U0001f600" * 4000,
        "\x9b\u202e",
        '"c":"',
    ],
    ids=ascii,
)
def test_keys_as_strange_as_real_suites_have_them_come_back(key: str) -> None:
    fact = decode(line_of(AttemptStarted(key=key, attempt=1))).fact
    assert fact == AttemptStarted(key=stored_key(key), attempt=1)
    if len(key) < 600:
        assert stored_key(key) == key


def test_two_surrogates_side_by_side_are_the_character_that_json_makes_of_them() -> None:
    assert stored_key("\ud83d\ude00") == "\U0001f600"
    assert decode(line_of(AttemptStarted(key="\ud83d\ude00", attempt=1))).fact == AttemptStarted(
        key="\U0001f600", attempt=1
    )


def test_long_keys_that_differ_at_their_end_stay_different() -> None:
    first, second = stored_key("x" * 9000 + "1"), stored_key("x" * 9000 + "2")
    assert first != second
    assert len(first) <= KEY_CHARS


@given(st.tuples(REPEATED, REPEATED, REPEATED))
def test_the_longest_texts_still_make_a_line_that_is_believed(texts: tuple[tuple[str, int], ...]) -> None:
    message, word, key = (text * times for text, times in texts)
    ended = AttemptEnded(
        key=key,
        attempt=1,
        outcome=Outcome.FAILED,
        phase=word,
        code=word,
        fingerprint=word,
        message=message,
        again=message,
    )
    line = line_of(ended)
    assert len(line) <= MAX_LINE
    fact = decode(line).fact
    assert isinstance(fact, AttemptEnded)
    assert len(fact.message) <= 512


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf")])
def test_a_time_that_is_no_number_becomes_zero(seconds: float) -> None:
    line = line_of(TestFinished(key="a", outcome=Outcome.PASSED, seconds=seconds), at=seconds)
    assert decode(line) == Record("w", 0, 0.0, TestFinished(key="a", outcome=Outcome.PASSED))


@pytest.mark.parametrize("number", [-1, 2**53])
def test_a_number_that_would_not_be_believed_is_not_written(number: int) -> None:
    with pytest.raises(ValueError, match="not a number of things"):
        line_of(AttemptStarted(key="a", attempt=number))


@settings(max_examples=40, deadline=None)
@given(st.lists(REPEATED, max_size=10), st.integers(1, 60))
def test_any_number_of_tests_becomes_lines_that_fit(texts: list[tuple[str, int]], times: int) -> None:
    keys = [text * length for text, length in texts] + [text for text, _ in texts]
    whole = TestsSelected(keys=tuple(keys * times), fate="held", digest="d")
    lines = list(encode_all([whole, SelectionDone(total=len(whole.keys))], writer="tests", at=0.0))
    assert all(len(line) <= MAX_LINE for line in lines)
    records = [decode(line) for line in lines]
    assert [record.seq for record in records] == list(range(len(lines)))
    pieces = [record.fact for record in records if isinstance(record.fact, TestsSelected)]
    assert all(0 < len(piece.keys) <= 500 and (piece.fate, piece.digest) == ("held", "d") for piece in pieces)
    assert [key for piece in pieces for key in piece.keys] == [stored_key(key) for key in whole.keys]


ALIKE = st.builds(
    TestInherited,
    key=REPEATED.map(lambda text: text[0] * text[1]),
    outcome=st.sampled_from([Outcome.PASSED, Outcome.FAILED]),
    run=st.sampled_from(["r", "s"]),
    attempts=st.just(1),
    seconds=SECONDS,
    deaths=st.just(0),
    digest=st.sampled_from(["", "d"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ALIKE, max_size=10), st.integers(1, 60))
def test_what_was_inherited_is_told_of_many_tests_at_once_and_of_all(
    some: list[TestInherited], times: int
) -> None:
    tests = [one._replace(key=f"{number} {one.key}") for number in range(times) for one in some]
    lines = list(encode_all(together(tests), writer="carry", at=0.0))
    assert all(len(line) <= MAX_LINE for line in lines)
    facts = [decode(line).fact for line in lines]
    assert sum(map(number_of_inherited, facts)) == len(tests)
    found = [
        one for fact in facts for one in (fact.one_by_one() if isinstance(fact, TestsInherited) else [fact])
    ]
    expected = [one._replace(key=stored_key(one.key)) for one in tests]
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_tests_that_are_alike_are_in_lines_of_200() -> None:
    tests = [TestInherited(f"t{number:04d}", Outcome.PASSED, "r", 1, number / 7) for number in range(401)]
    facts = together([*tests, SelectionDone(total=1), tests[0]._replace(digest="d")])
    assert [number_of_inherited(fact) for fact in facts] == [200, 200, 1, 1, 0]
    assert [type(fact) for fact in facts[2:]] == [TestInherited, TestInherited, SelectionDone]


def test_tests_are_split_at_500() -> None:
    pieces = split_tests(TestsSelected(keys=tuple(f"t{number:04d}" for number in range(1001))))
    assert [len(piece.keys) for piece in pieces] == [500, 500, 1]


# ---- what is not a line


@pytest.mark.invariant(3, 4)
@given(st.binary(max_size=300))
def test_bytes_that_nobody_wrote_are_refused_and_no_more(noise: bytes) -> None:
    with pytest.raises(BadLine):
        decode(noise)


@pytest.mark.invariant(3)
@given(st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_bytes_with_a_checksum_that_holds_are_refused_and_no_more(noise: bytes) -> None:
    with pytest.raises(BadLine):
        decode(b'%b,"c":"%08x"}\n' % (noise, crc32(noise)))


@pytest.mark.invariant(4)
@given(FACTS, st.data())
def test_no_single_change_of_up_to_four_bytes_makes_another_record(fact: Fact, data: st.DataObject) -> None:
    line = line_of(fact)
    start = data.draw(st.integers(0, len(line) - 1))
    length = data.draw(st.integers(0, 4))
    changed = line[:start] + data.draw(st.binary(max_size=4)) + line[start + length :]
    for part in changed.split(b"\n"):
        try:
            record = decode(part)
        except BadLine:
            continue
        assert record == decode(line)


@pytest.mark.invariant(4)
def test_no_flipped_bit_is_accepted() -> None:
    for position in range((len(A_LINE) - 1) * 8):
        flipped = bytearray(A_LINE)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(BadLine):
            decode(bytes(flipped))


@pytest.mark.invariant(4)
def test_every_shorter_line_is_refused() -> None:
    for length in range(len(A_LINE) - 1):
        with pytest.raises(BadLine):
            decode(A_LINE[:length])


BASE = '{"k":"fin","w":"w","s":1,"t":1.5,"id":"a","o":"passed","n":1,"d":0.5'


def test_the_example_that_the_hostile_lines_vary_is_believed() -> None:
    assert decode(sealed(BASE + "}")).fact == TestFinished(key="a", outcome=Outcome.PASSED, seconds=0.5)


@pytest.mark.invariant(24)
@pytest.mark.parametrize(
    ("good", "hostile"),
    [
        ('"id":"a"', '"id":7'),
        ('"id":"a"', '"id":"' + "x" * 5000 + '"'),
        ('"id":"a"', '"ID":"a"'),
        ('"o":"passed"', '"o":"splendid"'),
        ('"o":"passed"', '"o":["passed"]'),
        ('"n":1', '"n":true'),
        ('"n":1', '"n":-1'),
        ('"n":1', '"n":1.0'),
        ('"n":1', '"n":' + "9" * 5000),
        ('"d":0.5', '"d":NaN'),
        ('"d":0.5', '"d":Infinity'),
        ('"d":0.5', '"d":1e999'),
        ('"d":0.5', '"d":"0.5"'),
        ('"w":"w"', '"w":null'),
        ('"s":1', '"s":"1"'),
        ('"t":1.5', '"t":1e400'),
        ('"k":"fin"', '"k":7'),
        ('"k":"fin"', '"k":["fin"]'),
        ('"k":"fin"', '"x":' + "[" * 8000),
        ('"k":"fin"', '"x":' + "[" * 5000 + "]" * 5000),
        ('"k":"fin"', '"k":"fin","x":"' + "y" * 20_000 + '"'),
    ],
    ids=lambda text: text[:24],
)
def test_a_hostile_line_with_a_good_checksum_is_refused(good: str, hostile: str) -> None:
    assert good in BASE
    with pytest.raises(BadLine):
        decode(sealed(BASE.replace(good, hostile) + "}"))


@pytest.mark.parametrize(
    "body",
    [
        '{"k":"hdr","w":"w","s":0,"t":0,"v":[1],"run":"r","pid":1}',
        '{"k":"hdr","w":"w","s":0,"t":0,"v":[-1,0],"run":"r","pid":1}',
        '{"k":"tst","w":"w","s":0,"t":0,"fate":"lost","ids":[]}',
        '{"k":"tst","w":"w","s":0,"t":0,"fate":"run","ids":"abc"}',
        '{"k":"tst","w":"w","s":0,"t":0,"fate":"run","ids":[1]}',
        '{"k":"tst","w":"w","s":0,"t":0,"fate":[],"ids":[]}',
        '{"k":"end","w":"w","s":0,"t":0,"exit":"0"}',
        '{"k":"end","w":"w","s":0,"t":0,"exit":0,"counts":[]}',
        '{"k":"end","w":"w","s":0,"t":0,"exit":0,"counts":{"passed":-1}}',
        '{"k":"end","w":"w","s":0,"t":0,"exit":0,"counts":{"' + "x" * 129 + '":1}}',
        '{"k":"dec","w":"w","s":0,"t":0,"ec":"RES301"}',
        '{"w":"w","s":0,"t":0}',
    ],
)
def test_a_line_with_members_of_the_wrong_kind_is_refused(body: str) -> None:
    with pytest.raises(BadLine):
        decode(sealed(body))


@pytest.mark.invariant(27)
def test_members_that_a_newer_release_added_are_ignored() -> None:
    line = sealed(BASE + ',"later":{"deep":[1,{"x":null}]}}')
    assert decode(line).fact == TestFinished(key="a", outcome=Outcome.PASSED, seconds=0.5)


@pytest.mark.invariant(27)
def test_a_kind_that_a_newer_release_added_is_told_from_damage() -> None:
    with pytest.raises(UnknownKind, match="probe") as caught:
        decode(sealed('{"k":"probe","w":"w","s":4,"t":1.5}'))
    assert (caught.value.writer, caught.value.seq) == ("w", 4)


@pytest.mark.parametrize("make", [lambda line: line.decode(), lambda line: line.rstrip() + b" \n"])
def test_what_is_almost_a_line_is_none(make: Callable[[bytes], bytes]) -> None:
    with pytest.raises((BadLine, TypeError)):
        decode(make(A_LINE))


def test_something_else_than_a_fact_is_no_line() -> None:
    with pytest.raises(TypeError, match="not a fact"):
        encode("fact", writer="w", seq=0, at=0.0)  # type: ignore[arg-type]
