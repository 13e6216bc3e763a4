"""The two kinds of line that every test writes, read without JSON where they are as we write them.

A resume reads hundreds of thousands of them. What is not spelled exactly so is left to the reader of JSON, which knows
every way to write the same and what is wrong with the rest.
"""

import re

from pytest_resilience.core.facts import AttemptStarted, TestFinished
from pytest_resilience.ledger.members import OUTCOMES
from pytest_resilience.ledger.sizes import KEY_CHARS, WORD_CHARS

_COUNT = r"(0|[1-9]\d{0,14})"
_SECONDS = r"((?:0|[1-9]\d{0,11})\.\d{1,18})"
# Printable ASCII but for quotes and backslashes: what stands for itself.
_PLAIN = r"[ !#-\[\]-~]"
_BEGINNING = (
    rf'"w":"({_PLAIN}{{0,{WORD_CHARS}}})","s":{_COUNT},"t":{_SECONDS},"id":"({_PLAIN}{{0,{KEY_CHARS}}})"'
)
_STARTED = re.compile(rf'\{{"k":"st",{_BEGINNING},"n":{_COUNT}', re.ASCII).fullmatch
_FINISHED = re.compile(
    rf'\{{"k":"fin",{_BEGINNING},"o":"(\w+)","n":{_COUNT},"d":{_SECONDS}', re.ASCII
).fullmatch


def read(body: str) -> tuple[str, int, float, AttemptStarted | TestFinished] | None:
    """Who wrote it, as which of his lines, when, and the fact; None for whatever else it is.

    `body` is a line up to its signature or checksum, which are the caller's to look at.
    """
    if (found := _FINISHED(body)) is not None:
        writer, seq, at, key, word, attempts, seconds = found.groups()
        outcome = OUTCOMES.get(word)
        if outcome is None:
            return None
        finished = TestFinished(key=key, outcome=outcome, attempts=int(attempts), seconds=float(seconds))
        return writer, int(seq), float(at), finished
    if (found := _STARTED(body)) is not None:
        writer, seq, at, key, attempt = found.groups()
        return writer, int(seq), float(at), AttemptStarted(key=key, attempt=int(attempt))
    return None
