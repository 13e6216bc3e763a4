"""Facts as lines of bytes, and back: one JSON object of ASCII a line, its CRC-32 as the last member.

A line is believed only if its checksum holds and every value is of the type and size it must have; with a seal, only
if it is signed. What is too long to be kept is cut when it is written, see `sizes`.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from json import JSONDecoder
from json.encoder import encode_basestring_ascii as _quote
from sys import intern
from typing import NamedTuple, NoReturn, get_args
from zlib import crc32

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
)
from pytest_resilience.ledger import frequent
from pytest_resilience.ledger.members import (
    LARGEST,
    BadLine,
    Members,
    a_count,
    a_key,
    a_number,
    a_text,
    a_word,
    an_outcome,
    checked_key,
    checked_number,
)
from pytest_resilience.ledger.portions import split_tests
from pytest_resilience.ledger.seal import CODE_CHARS, Seal
from pytest_resilience.ledger.sizes import (
    KEY_SURELY_FITS,
    MAX_LINE,
    WORD_CHARS,
    quoted_key,
    quoted_keys,
    quoted_text,
    quoted_word,
)

__all__ = [
    "FORMAT",
    "BadLine",
    "Record",
    "UnknownKind",
    "decode",
    "encode",
    "encode_all",
    "split_tests",
]

FORMAT = (1, 0)
_TAIL = len(b',"c":"00000000"}')
_MAX_BODY = MAX_LINE - _TAIL - 1
_SIGNED = b',"h":"%b"'
_SIGNATURE = len(_SIGNED % bytes(CODE_CHARS))


class Record(NamedTuple):
    """A fact with who wrote it, as which of its lines, and when (seconds since 1970)."""

    writer: str
    seq: int
    at: float
    fact: Fact


class UnknownKind(BadLine):
    """An undamaged line of a kind that only newer releases know."""

    def __init__(self, kind: str, writer: str, seq: int) -> None:
        super().__init__(f"of an unknown kind: {kind[:20]}")
        self.writer = writer
        self.seq = seq


# ---- facts to bytes


def _count(number: int) -> str:
    if not 0 <= number < LARGEST:
        raise ValueError(f"not a number of things: {number}")
    return f"{number:d}"


def _signed(number: int) -> str:
    if not -LARGEST < number < LARGEST:
        raise ValueError(f"not a number that can be kept: {number}")
    return f"{number:d}"


def _seconds(seconds: float) -> str:
    return repr(float(seconds)) if math.isfinite(seconds) else "0.0"


_INHERITED = '{"k":"inh","w":%s,"s":%d,"t":%.3f,"id":%s,"o":"%s","run":%s,"n":%s,"d":%s,"dg":%s,"de":%s'
# A process has one writer most often.
_writer = lru_cache(maxsize=64)(_quote)
# Nearly all tests of a chain come from the same few runs and files.
_word = lru_cache(maxsize=4096)(quoted_word)


def encode(fact: Fact, writer: str, seq: int, at: float, seal: Seal | None = None) -> bytes:
    """The line of a fact, newline included. ValueError or TypeError for what no line can hold.

    A TestsSelected has to be small enough, see `split_tests`.
    """
    if not -1e11 < at < 1e11:
        at = 0.0
    # The two kinds that every test writes are spelled out: this runs between any two tests. Of the third one a resume
    # writes as many as there are tests.
    if type(fact) is AttemptStarted:
        key, attempt = fact
        number = "1" if attempt == 1 else _count(attempt)
        id_ = _quote(key) if len(key) <= KEY_SURELY_FITS else quoted_key(key)
        body = f'{{"k":"st","w":{_writer(writer)},"s":{seq},"t":{at:.3f},"id":{id_},"n":{number}'
    elif type(fact) is TestFinished:
        key, outcome, attempts, seconds = fact
        number = "1" if attempts == 1 else _count(attempts)
        id_ = _quote(key) if len(key) <= KEY_SURELY_FITS else quoted_key(key)
        body = (
            f'{{"k":"fin","w":{_writer(writer)},"s":{seq},"t":{at:.3f},"id":{id_}'
            f',"o":"{outcome._value_}","n":{number},"d":{_seconds(seconds)}'
        )
    elif type(fact) is TestInherited:
        key, outcome, run, attempts, seconds, digest, deaths = fact
        body = _INHERITED % (
            _quote(writer),
            seq,
            at,
            quoted_key(key),
            outcome._value_,
            _word(run),
            _count(attempts),
            _seconds(seconds),
            _word(digest),
            _count(deaths),
        )
    else:
        name, members = _members(fact)
        body = f'{{"k":"{name}","w":{_quote(writer)},"s":{seq:d},"t":{at:.3f}{members}'
    data = body.encode("ascii")
    if seal is not None:
        data += _SIGNED % seal.sign(data).encode("ascii")
    if len(data) > _MAX_BODY:
        raise ValueError(f"a fact of {len(data)} bytes is too large for a line")
    return b'%b,"c":"%08x"}\n' % (data, crc32(data))


def _members(fact: Fact) -> tuple[str, str]:
    """The name of the fact's kind, and its own members as JSON."""
    match fact:
        case SegmentOpened():
            major, minor = fact.format
            return "hdr", (
                f',"v":[{_count(major)},{_count(minor)}],"run":{quoted_word(fact.run)},"pid":{_count(fact.pid)}'
                f',"start":{quoted_word(fact.start)},"host":{quoted_word(fact.host)},"boot":{quoted_word(fact.boot)}'
            )
        case TestsSelected():
            return "tst", (
                f',"fate":"{fact.fate}","dg":{quoted_word(fact.digest)},"ids":{quoted_keys(fact.keys)}'
            )
        case TestsInherited():
            return "alk", (
                f',"o":"{fact.outcome.value}","run":{_word(fact.run)},"n":{_count(fact.attempts)}'
                f',"dg":{_word(fact.digest)},"de":{_count(fact.deaths)}'
                f',"ids":{quoted_keys(fact.keys)},"d":[{",".join(map(_seconds, fact.seconds))}]'
            )
        case FileCollected():
            return "col", f',"id":{quoted_key(fact.file)},"dg":{quoted_word(fact.digest)}'
        case SelectionDone():
            return "sel", f',"total":{_count(fact.total)},"copies":{_count(fact.copies)}'
        case AttemptEnded():
            return "att", (
                f',"id":{quoted_key(fact.key)},"n":{_count(fact.attempt)},"o":"{fact.outcome.value}"'
                f',"ph":{quoted_word(fact.phase)},"d":{_seconds(fact.seconds)},"ec":{quoted_word(fact.code)}'
                f',"fp":{quoted_word(fact.fingerprint)},"m":{quoted_text(fact.message)},"of":{_count(fact.limit)}'
                f',"ag":{quoted_text(fact.again)},"wt":{_seconds(fact.wait)}'
            )
        case DecisionTaken():
            return "dec", f',"ec":{quoted_word(fact.code)},"why":{quoted_text(fact.why)}'
        case WorkerDown():
            return (
                "wdn",
                f',"wk":{quoted_word(fact.worker)},"why":{quoted_text(fact.why)},"id":{quoted_key(fact.key)}',
            )
        case RunEnded():
            counts = ",".join(f"{quoted_word(name)}:{_count(number)}" for name, number in fact.counts.items())
            return "end", f',"exit":{_signed(fact.exit_status)},"counts":{{{counts}}}'
        case _:
            raise TypeError(f"not a fact of the ledger: {type(fact).__name__}")


def encode_all(facts: Iterable[Fact], *, writer: str, at: float, seal: Seal | None = None) -> Iterator[bytes]:
    """The lines of a file that is written in one go, numbered from 0."""
    seq = 0
    for fact in facts:
        for piece in split_tests(fact) if isinstance(fact, TestsSelected) else (fact,):
            yield encode(piece, writer, seq, at, seal)
            seq += 1


# ---- bytes to facts


def _refuse(constant: str) -> NoReturn:
    raise BadLine(f"not a number: {constant}")


_parse = JSONDecoder(parse_constant=_refuse).decode
_FATES: dict[str, Fate] = {fate: fate for fate in get_args(Fate)}


def decode(line: bytes, seal: Seal | None = None) -> Record:
    """The record of a line, with or without its newline. Whatever the bytes are, only BadLine is ever raised.

    Without a seal nobody looks whether the line is signed.
    """
    if len(line) > MAX_LINE:
        raise BadLine("longer than a line can be")
    if line[-1:] == b"\n":
        line = line[:-1]
    body, tail = line[:-_TAIL], line[-_TAIL:]
    if tail != b',"c":"%08x"}' % crc32(body):
        raise BadLine("the checksum does not hold")
    if seal is not None:
        if not _is_signed(body, seal):
            raise BadLine("not signed with our key")
        body = body[:-_SIGNATURE]
    try:
        if (known := frequent.read(str(body, "ascii"))) is not None:
            return Record(*known)
        members = _parse(str(line, "ascii"))
    except (ValueError, RecursionError) as error:
        raise BadLine("not a line of JSON") from error
    if type(members) is not dict:
        raise BadLine("not an object")
    try:
        kind = members["k"]
        make = _MAKERS.get(kind) if type(kind) is str else None
        writer, seq, at = a_word(members, "w"), a_count(members, "s"), a_number(members, "t")
        if make is not None:
            return Record(writer, seq, at, make(members))
    except KeyError as error:
        raise BadLine(f"without {error}") from None
    if type(kind) is not str:
        raise BadLine("of no kind")
    raise UnknownKind(kind, writer, seq)


def _is_signed(body: bytes, seal: Seal) -> bool:
    signature = body[-_SIGNATURE:]
    code = signature[-CODE_CHARS - 1 : -1]
    return signature == _SIGNED % code and seal.holds(body[:-_SIGNATURE], str(code, "latin-1"))


def _segment_opened(members: Members) -> Fact:
    match members["v"]:
        case [int(major), int(minor)] if 0 <= major < LARGEST and 0 <= minor < LARGEST:
            version = (int(major), int(minor))
        case _:
            raise BadLine("not a version")
    return SegmentOpened(
        run=a_word(members, "run"),
        writer=a_word(members, "w"),
        pid=a_count(members, "pid"),
        start=a_word(members, "start", ""),
        host=a_word(members, "host", ""),
        boot=a_word(members, "boot", ""),
        format=version,
    )


def _tests_selected(members: Members) -> Fact:
    ids, fate = members["ids"], members["fate"]
    if type(ids) is not list or type(fate) is not str or fate not in _FATES:
        raise BadLine("not a list of tests")
    return TestsSelected(
        keys=tuple(map(checked_key, ids)), fate=_FATES[fate], digest=a_word(members, "dg", "")
    )


def _file_collected(members: Members) -> Fact:
    return FileCollected(file=a_key(members, "id"), digest=a_word(members, "dg"))


def _selection_done(members: Members) -> Fact:
    return SelectionDone(total=a_count(members, "total"), copies=a_count(members, "copies", 1))


def _test_inherited(members: Members) -> Fact:
    return TestInherited(
        key=a_key(members, "id"),
        outcome=an_outcome(members),
        # Nearly all come from the same few runs and files.
        run=intern(a_word(members, "run")),
        attempts=a_count(members, "n", 1),
        seconds=a_number(members, "d", 0.0),
        digest=intern(a_word(members, "dg", "")),
        deaths=a_count(members, "de", 0),
    )


def _tests_inherited(members: Members) -> Fact:
    ids, seconds = members["ids"], members["d"]
    if type(ids) is not list or type(seconds) is not list or len(ids) != len(seconds):
        raise BadLine("not a list of tests")
    return TestsInherited(
        keys=tuple(map(checked_key, ids)),
        outcome=an_outcome(members),
        run=intern(a_word(members, "run")),
        attempts=a_count(members, "n"),
        seconds=tuple(map(checked_number, seconds)),
        digest=intern(a_word(members, "dg")),
        deaths=a_count(members, "de"),
    )


def _attempt_started(members: Members) -> Fact:
    return AttemptStarted(key=a_key(members, "id"), attempt=a_count(members, "n"))


def _attempt_ended(members: Members) -> Fact:
    return AttemptEnded(
        key=a_key(members, "id"),
        attempt=a_count(members, "n"),
        outcome=an_outcome(members),
        phase=a_word(members, "ph", "call"),
        seconds=a_number(members, "d", 0.0),
        code=a_word(members, "ec", ""),
        fingerprint=a_word(members, "fp", ""),
        message=a_text(members, "m", ""),
        limit=a_count(members, "of", 1),
        again=a_text(members, "ag", ""),
        wait=a_number(members, "wt", 0.0),
    )


def _test_finished(members: Members) -> Fact:
    return TestFinished(
        key=a_key(members, "id"),
        outcome=an_outcome(members),
        attempts=a_count(members, "n"),
        seconds=a_number(members, "d"),
    )


def _decision_taken(members: Members) -> Fact:
    return DecisionTaken(code=a_word(members, "ec"), why=a_text(members, "why"))


def _worker_down(members: Members) -> Fact:
    key = a_key(members, "id") if "id" in members else ""
    return WorkerDown(worker=a_word(members, "wk"), why=a_text(members, "why"), key=key)


def _run_ended(members: Members) -> Fact:
    status, counts = members["exit"], members.get("counts", {})
    if type(status) is not int or not -LARGEST < status < LARGEST or type(counts) is not dict:
        raise BadLine("not an end")
    if any(len(name) > WORD_CHARS for name in counts):
        raise BadLine("not names of outcomes")
    return RunEnded(exit_status=status, counts={name: a_count(counts, name) for name in counts})


_MAKERS: dict[str, Callable[[Members], Fact]] = {
    "hdr": _segment_opened,
    "tst": _tests_selected,
    "col": _file_collected,
    "sel": _selection_done,
    "inh": _test_inherited,
    "alk": _tests_inherited,
    "st": _attempt_started,
    "att": _attempt_ended,
    "fin": _test_finished,
    "dec": _decision_taken,
    "wdn": _worker_down,
    "end": _run_ended,
}
