"""What is read without JSON is what JSON would say, and the lines of an ordinary test are read so."""

from unittest.mock import patch
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_resilience.core.facts import AttemptStarted, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger import frequent
from pytest_resilience.ledger.lines import BadLine, Record, decode, encode
from pytest_resilience.ledger.seal import Seal

KEYS = st.text(max_size=60) | st.sampled_from(
    ["tests/a.py::test_x[1-a b]", 'quote"', "back\\slash", "\x7f", ""]
)
COUNTS = st.integers(0, 2**53 - 1)
FACTS = st.one_of(
    st.builds(AttemptStarted, key=KEYS, attempt=COUNTS),
    st.builds(
        TestFinished,
        key=KEYS,
        outcome=st.sampled_from(Outcome),
        attempts=COUNTS,
        seconds=st.floats(0, 1e20) | st.sampled_from([0.0, 1e-7, 0.012345]),
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
def test_a_line_says_the_same_either_way(
    fact: AttemptStarted | TestFinished, seq: int, at: float, seal: Seal | None
) -> None:
    line = encode(fact, writer="gw0.4250.5d2e77b1", seq=seq, at=at, seal=seal)
    assert read_as_ever(line, seal) == by_json(line, seal)
    assert read_as_ever(line, None) == by_json(line, None)


LINE = '{"k":"fin","w":"gw0.1.00000000","s":7,"t":1795228455.123,"id":"a.py::t","o":"passed","n":1,"d":0.5'
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


@given(st.integers(0, len(LINE)), st.integers(0, 3), st.sampled_from(CHANGES))
@example(LINE.index("7"), 1, "07")
@example(LINE.index("0.5"), 3, "00.5")
def test_no_change_to_a_line_is_read_as_something_that_json_would_not_say(
    start: int, length: int, text: str
) -> None:
    body = (LINE[:start] + text + LINE[start + length :]).encode("utf-8")
    line = b'%b,"c":"%08x"}' % (body, crc32(body))
    assert read_as_ever(line, None) == by_json(line, None)


@pytest.mark.parametrize(
    "fact",
    [
        AttemptStarted(key="tests/unit/test_a.py::TestX::test_y[eur-1.5]", attempt=1),
        TestFinished(key="tests/test_a.py::test_y", outcome=Outcome.PASSED, seconds=0.012345),
    ],
    ids=["started", "finished"],
)
@pytest.mark.parametrize("seal", [None, SEAL], ids=["plain", "signed"])
def test_the_lines_of_an_ordinary_test_need_no_json(
    monkeypatch: pytest.MonkeyPatch, fact: AttemptStarted | TestFinished, seal: Seal | None
) -> None:
    line = encode(fact, writer="gw0.4250.5d2e77b1", seq=3, at=1795228455.123, seal=seal)
    monkeypatch.setattr("pytest_resilience.ledger.lines._parse", lambda text: pytest.fail("parsed"))
    assert decode(line, seal) == Record("gw0.4250.5d2e77b1", 3, 1795228455.123, fact)
