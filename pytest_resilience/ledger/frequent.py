"""The three kinds of line of which there may be one for every test, read without JSON where they are as we write them.

A resume reads hundreds of thousands of them. What is not spelled exactly so is left to the reader of JSON, which knows
every way to write the same and what is wrong with the rest.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby, repeat
from operator import itemgetter
from sys import intern
from typing import NamedTuple
from zlib import crc32

from pytest_resilience.core.facts import AttemptStarted, TestFinished, TestInherited, TestsFinished
from pytest_resilience.ledger.members import OUTCOMES
from pytest_resilience.ledger.sizes import KEY_CHARS, WORD_CHARS

_COUNT = r"(?:0|[1-9]\d{0,14})"
_SECONDS = r"(?:0|[1-9]\d{0,11})\.\d{1,18}"
# Printable ASCII but for quotes and backslashes: what stands for itself.
_PLAIN = r"[ !#-\[\]-~]"
_WORD, _KEY = rf"{_PLAIN}{{0,{WORD_CHARS}}}", rf"{_PLAIN}{{0,{KEY_CHARS}}}"


def _line(kind: str, writer: str, at: str, key: str, rest: str) -> str:
    return rf'\{{"k":"{kind}","w":"{writer}","s":({_COUNT}),"t":{at},"id":"{key}",{rest}'


_END = rf'"o":"(\w+)","n":({_COUNT}),"d":({_SECONDS})'
_STARTED = _line("st", f"({_WORD})", f"({_SECONDS})", f"({_KEY})", rf'"n":({_COUNT})')
_FINISHED = _line("fin", f"({_WORD})", f"({_SECONDS})", f"({_KEY})", _END)
_INHERITED = _line(
    "inh",
    f"({_WORD})",
    f"({_SECONDS})",
    f"({_KEY})",
    rf'"o":"(\w+)","run":"({_WORD})","n":({_COUNT}),"d":({_SECONDS}),"dg":"({_WORD})","de":({_COUNT})',
)
_CHECKED = r',"c":"([0-9a-f]{8})"\}\n'
# A test that nothing happened to: its start, and its end by the same writer. Or else any line.
_IDLE_START = _line("st", f"({_WORD})", _SECONDS, f"({_KEY})", rf'"n":{_COUNT}')
_ITS_END = _line("fin", r"\2", f"({_SECONDS})", r"\4", _END)
_PIECE = rf"({_IDLE_START}){_CHECKED}({_ITS_END}){_CHECKED}|([^\n]*\n|[^\n]+)"
_CHECKED_CHARS = len(',"c":"00000000"}\n')
_OUTCOMES = {word.encode(): outcome for word, outcome in OUTCOMES.items()}


# Compiled when something is read: most sessions only write.
@cache
def _pattern(line: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(line, re.ASCII).fullmatch


@cache
def _pieces() -> Callable[[bytes], list[tuple[bytes, ...]]]:
    """What takes a part of a file apart: into lines or, where it can be, those of a test both at once."""
    return re.compile(_PIECE.encode()).findall


class Part(NamedTuple):
    """A part of a file, from `start`: the ends of tests that one writer began and finished, or lines.

    The first of these ends is in his line number `seq`; before each is the line that its test began, which says no more. The
    checksums of all hold.
    """

    start: int
    lines: bytes
    writer: str = ""
    seq: int = 0
    ends: TestsFinished | None = None


def parts(lines: bytes) -> Iterator[Part]:
    """Some lines of a file in parts, in their order and without a gap."""
    start = 0
    for writer, some in groupby(_pieces()(lines), itemgetter(1)):
        starts, _, before, keys, sums, ends, numbers, _, words, attempts, seconds, more, others = zip(
            *some, strict=True
        )
        length = sum(map(len, (*starts, *ends, *others)))
        length += 2 * _CHECKED_CHARS * sum(map(bool, starts))
        portion = lines[start : start + length]
        first = int(before[0]) + 1 if starts[0] else 0
        is_good = (
            all(starts)
            and [*map(crc32, (*starts, *ends))] == [*map(int, (*sums, *more), repeat(16))]
            and [*map(int, before)] == [*range(first - 1, first - 1 + 2 * len(starts), 2)]
            and [*map(int, numbers)] == [*range(first, first + 2 * len(starts), 2)]
            and len(set(keys)) == len(keys)
            and _OUTCOMES.keys() >= set(words)
        )
        if is_good:
            finished = TestsFinished(
                str(b"\n".join(keys), "ascii").split("\n"),
                [*map(_OUTCOMES.__getitem__, words)],
                [*map(int, attempts)],
                [*map(float, seconds)],
            )
            yield Part(start, portion, str(writer, "ascii"), first, finished)
        else:
            yield Part(start, portion)
        start += length


_Read = tuple[str, int, float, AttemptStarted | TestFinished | TestInherited]


def read(body: str) -> _Read | None:
    """Who wrote it, as which of his lines, when, and the fact; None for whatever else it is.

    `body` is a line up to its signature or checksum, which are the caller's to look at.
    """
    reader = _READERS.get(body[:_BEGIN])
    return reader(body) if reader is not None else None


def _started(body: str) -> _Read | None:
    found = _pattern(_STARTED)(body)
    if found is None:
        return None
    writer, seq, at, key, attempt = found.groups()
    return writer, int(seq), float(at), AttemptStarted(key, int(attempt))


def _finished(body: str) -> _Read | None:
    found = _pattern(_FINISHED)(body)
    if found is None or (outcome := OUTCOMES.get(found[5])) is None:
        return None
    writer, seq, at, key, _, attempts, seconds = found.groups()
    return writer, int(seq), float(at), TestFinished(key, outcome, int(attempts), float(seconds))


def _inherited(body: str) -> _Read | None:
    found = _pattern(_INHERITED)(body)
    if found is None or (outcome := OUTCOMES.get(found[5])) is None:
        return None
    writer, seq, at, key, _, run, attempts, seconds, digest, deaths = found.groups()
    # Nearly all come from the same few runs and files.
    run, digest = intern(run), intern(digest)
    fact = TestInherited(key, outcome, run, int(attempts), float(seconds), digest, int(deaths))
    return writer, int(seq), float(at), fact


_READERS = {'{"k":"st"': _started, '{"k":"fin': _finished, '{"k":"inh': _inherited}
_BEGIN = 9
