"""Two failures are the same error when they differ only in what differs each time."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.fingerprints import fingerprint, stable

WORDS = st.text("ghijklmnopqrstuvwxyz", min_size=1, max_size=8)
NUMBERS = (
    st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.integers(0).map("{:,}".format)
    | st.integers(0, 2**64).map(hex)
    | st.uuids().map(lambda one: one.hex).filter(re.compile(r"\d").search)
    | st.times().map(lambda one: one.isoformat())
)
NAMES = st.text("abcXYZ019_.-", min_size=1, max_size=8).filter(lambda name: name.strip("."))
VOLATILE = {
    "number": NUMBERS,
    "uuid": st.uuids().map(str),
    "time": st.datetimes().map(lambda one: one.isoformat("T"))
    | st.datetimes().map(lambda one: one.isoformat(" ", "minutes") + "Z"),
    "path": st.lists(NAMES, min_size=2, max_size=5).map(lambda parts: "/" + "/".join(parts)),
    "windows path": st.lists(NAMES, min_size=2, max_size=5).map(lambda parts: "C:\\" + "\\".join(parts)),
    "quoted": st.text(st.characters(exclude_characters="'\n"), max_size=20).map(lambda text: f"'{text}'"),
    "double-quoted": st.text(st.characters(exclude_characters='"\n'), max_size=20).map(
        lambda text: f'"{text}"'
    ),
}


@pytest.mark.parametrize("kind", VOLATILE)
@given(data=st.data())
def test_volatile_parts_do_not_matter(kind: str, data: st.DataObject) -> None:
    words = data.draw(st.lists(WORDS, min_size=2, max_size=5))

    def message() -> str:
        parts = [data.draw(VOLATILE[kind]) for _ in words]
        return " ".join(text for pair in zip(words, parts, strict=True) for text in pair)

    assert fingerprint("E", message()) == fingerprint("E", message())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("took 9999999 ns", "took 10000000 ns"),
        ("at <Conn 0x7f0dead0>", "at <Conn 0x55a1>"),
        ("commit 1234567890", "commit deadbeef12"),
        ("left 1.5e-07 of it", "left 12345678.25 of it"),
        ("a  b\n c", "a b c"),
        ("tests/unit/test_a.py:12: no", "tests/unit/test_a.py:345: no"),
    ],
)
def test_these_are_the_same_error(one: str, other: str) -> None:
    assert stable(one) == stable(other)


@given(st.text(), st.text(), st.text(), st.text())
def test_an_error_of_another_type_or_place_is_another_error(
    one: str, other: str, message: str, place: str
) -> None:
    is_same = one == other
    assert (fingerprint(one, message, place) == fingerprint(other, message, place)) is is_same
    assert (fingerprint("E", message, one) == fingerprint("E", message, other)) is is_same


@given(WORDS, WORDS)
def test_other_words_are_another_error(one: str, other: str) -> None:
    assert (fingerprint("E", f"no {one} at 1") == fingerprint("E", f"no {other} at 1")) is (one == other)


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_has_a_fingerprint_of_16_hex_digits(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint(text, text, text))


@pytest.mark.parametrize(
    "long",
    [
        lambda n: "a" * n,
        lambda n: "1" * n,
        lambda n: "f0" * n,
        lambda n: "/a" * n,
        lambda n: "'" * n,
        lambda n: "'\"" * n,
        lambda n: " " * n,
        lambda n: "1," * n,
        lambda n: "12345678-" * n,
        lambda n: "2026-11-21T" * n,
        lambda n: "-+" * n,
    ],
)
def test_a_long_message_takes_no_long_time(long: Callable[[int], str]) -> None:
    before = time.process_time()
    fingerprint("E", long(1_000_000))
    assert time.process_time() - before < 0.5
