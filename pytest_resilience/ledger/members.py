"""What a member of a line has to be to be believed: of its type, finite, and no larger than we write it."""

import math
from typing import Any

from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.sizes import KEY_CHARS, TEXT_CHARS, WORD_CHARS

# Every whole number below is the same number wherever JSON is read.
LARGEST = 2**53
OUTCOMES = {outcome.value: outcome for outcome in Outcome}

Members = dict[str, Any]


class BadLine(ValueError):
    """Not a line as one of us wrote it."""


def a_key(members: Members, name: str) -> str:
    """The key of a test."""
    return checked_key(members[name])


def checked_key(value: object) -> str:
    """`value`, if it can be the key of a test."""
    if type(value) is str and len(value) <= KEY_CHARS:
        return value
    raise BadLine("not a key")


def a_text(members: Members, name: str, default: str | None = None) -> str:
    """A message."""
    value = members[name] if default is None else members.get(name, default)
    if type(value) is str and len(value) <= TEXT_CHARS:
        return value
    raise BadLine(f"not a text: {name}")


def a_word(members: Members, name: str, default: str | None = None) -> str:
    """A name, a code or a digest."""
    value = members[name] if default is None else members.get(name, default)
    if type(value) is str and len(value) <= WORD_CHARS:
        return value
    raise BadLine(f"not a word: {name}")


def a_count(members: Members, name: str, default: int | None = None) -> int:
    """How many."""
    value = members[name] if default is None else members.get(name, default)
    if type(value) is int and 0 <= value < LARGEST:
        return value
    raise BadLine(f"not a number of things: {name}")


def a_number(members: Members, name: str, default: float | None = None) -> float:
    """Any finite number."""
    return checked_number(members[name] if default is None else members.get(name, default))


def checked_number(value: object) -> float:
    """`value`, if it is a finite number."""
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and -LARGEST < value < LARGEST:
        return float(value)
    raise BadLine("not a number")


def an_outcome(members: Members) -> Outcome:
    """One of the twelve outcomes."""
    value = members["o"]
    if type(value) is str and (outcome := OUTCOMES.get(value)) is not None:
        return outcome
    raise BadLine("not an outcome")
