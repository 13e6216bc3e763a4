"""Every reader of the ledger takes any bytes; `tox -e fuzz` asks the same for as long as one likes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..fuzz.targets import TARGETS, corpus

CORPUS = {name: list(corpus(name)) for name in TARGETS}


@st.composite
def mutations(draw: st.DrawFn, name: str) -> bytes:
    """A real input with a few pieces replaced, removed, repeated, or taken from another one."""
    data = draw(st.sampled_from(CORPUS[name]))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 2, 5, 40, 400])))
        piece = draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from(
                    [
                        b"\n",
                        b"\0",
                        b"[" * 300,
                        b"9" * 400,
                        b"NaN",
                        b"-1",
                        b"1e999",
                        b"null",
                        b'"\\ud800"',
                        b"{}",
                    ]
                ),
                st.sampled_from(CORPUS[name]),
                st.just(data[start:end] * 2),
            )
        )
        data = data[:start] + piece + data[end:]
    return data


@pytest.mark.invariant(3, 24)
@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150)
@given(st.data())
def test_a_reader_takes_any_bytes(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(mutations(name)))


@pytest.mark.parametrize("name", TARGETS)
def test_the_real_inputs_are_taken(name: str) -> None:
    assert CORPUS[name]
    for content in CORPUS[name]:
        TARGETS[name](content)
