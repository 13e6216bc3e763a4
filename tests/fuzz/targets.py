"""What may be fed any bytes: each reader of the ledger, with what has to hold of its answer whatever the bytes are.

A target raises AssertionError when that does not hold, and nothing else unless the reader is broken.
"""

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from zlib import crc32

from pytest_resilience.history import CannotResume, load, plan_from, to_resume
from pytest_resilience.ledger.contents import Contents
from pytest_resilience.ledger.final import FINAL, read_final
from pytest_resilience.ledger.lines import BadLine, Record, decode, encode
from pytest_resilience.ledger.reading import MAX_PROBLEMS, read
from pytest_resilience.ledger.runinfo import CARRY, RUN, TESTS, BadRun, RunInfo
from pytest_resilience.ledger.runs import RunFolder, Store

Target = Callable[[bytes], object]


class AsEver(Contents):
    """Files that are as they were when the sample was made."""

    def __init__(self) -> None:
        super().__init__(Path())

    def digest(self, file: str) -> str:
        return "00635a5c63253c8f"


SAMPLE = Path(__file__).parent.parent / "ledger" / "samples" / "v1.0"
_RUNS = sorted((SAMPLE / "runs").iterdir())
_INFO = RunInfo.from_json((_RUNS[0] / RUN).read_bytes())
_SEGMENT = "seg-gw0.1.00000000.jsonl"


def sealed(line: bytes) -> bytes:
    """The line with a checksum that holds, whatever it says."""
    body = line.rpartition(b',"c":')[0] if b',"c":' in line else line.rstrip(b"}")
    return b'%b,"c":"%08x"}' % (body, crc32(body))


@cache
def _place() -> Path:
    """A folder that is used again and again, because making one takes longer than what is done in it."""
    name = tempfile.mkdtemp(prefix="fuzz-")
    atexit.register(shutil.rmtree, name, ignore_errors=True)
    return Path(name)


@contextmanager
def _folder(**files: bytes) -> Iterator[Path]:
    for file, content in files.items():
        (_place() / file).write_bytes(content)
    try:
        yield _place()
    finally:
        for file in files:
            (_place() / file).unlink()


@cache
def _store() -> tuple[Store, list[tuple[Path, bytes]]]:
    """The sample with the rights it once had, and what its files hold."""
    root = _place() / "store"
    shutil.copytree(SAMPLE, root)
    for path in (root, *root.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return Store(root), [(path, path.read_bytes()) for path in sorted(root.rglob("*")) if path.is_file()]


def line(data: bytes) -> None:
    """One line, as it is and sealed. What is believed can be written as a line again, and that says the same for ever."""
    for one in (data, sealed(data)):
        with suppress(BadLine):
            record = decode(one)
            again = _written(record)
            assert type(again.fact) is type(record.fact)
            assert _written(again) == again


def _written(record: Record) -> Record:
    return decode(encode(record.fact, writer=record.writer, seq=record.seq, at=record.at))


def segment(data: bytes) -> None:
    """The file of a writer: reading it twice tells the same, and all that is skipped is told."""
    with _folder(**{_SEGMENT: data}) as folder:
        reading = read(folder)
        first = list(reading.records)
        problems = list(reading.problems)
        assert list(reading.records) == first
        assert reading.problems == problems
        assert len(problems) == min(reading.bad, MAX_PROBLEMS)
        lines = [one for one in data.split(b"\n") if one]
        assert len(first) + reading.unknown <= len(lines)
        assert len(first) + reading.unknown == len(lines) or problems


def sealed_segment(data: bytes) -> None:
    """The same with lines of which every checksum holds."""
    segment(_all_sealed(data))


def _all_sealed(data: bytes) -> bytes:
    return b"\n".join(sealed(one) for one in data.split(b"\n") if one)


def run_json(data: bytes) -> None:
    """What describes a run: refused, or the same after being written."""
    with suppress(BadRun):
        info = RunInfo.from_json(data)
        assert RunInfo.from_json(info.to_json()) == info


def mark(data: bytes) -> None:
    """The mark of the format: the store is refused, or read as before."""
    store, _ = _store()
    path = store.root / "FORMAT"
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        with suppress(OSError):
            assert len(store.runs()) == len(_RUNS)
    finally:
        path.write_bytes(before)


def final(data: bytes) -> None:
    """The account of the end: believed only with the files it speaks of, of which there are none."""
    with _folder(**{FINAL: data, _SEGMENT: b""}) as folder:
        told = read_final(folder)
        assert told is None or json.loads(data)["files"] == {_SEGMENT: [0, "00000000"]}


def carry(data: bytes) -> None:
    """What a run inherited, and what it selected: a plan is made, and carries nothing that is not good."""
    with _folder(**{CARRY: data, TESTS: data}) as folder:
        past = load(RunFolder(folder, _INFO))
        plan = plan_from(past, Contents(folder), ["a.py::test"])
        good = {one.key for one in past.knowledge if one.outcome.is_good}
        assert plan.carried <= good
        assert len(plan.inherited()) == len(plan.known)


def sealed_carry(data: bytes) -> None:
    """The same with lines of which every checksum holds."""
    carry(_all_sealed(data))


def whole(data: bytes) -> None:
    """A whole ledger: the first byte says which file of it is replaced by the rest. It makes nothing good."""
    store, files = _store()
    path, before = files[data[0] % len(files)] if data else files[0]
    path.write_bytes(data[1:])
    try:
        with suppress(OSError, CannotResume):
            past = to_resume(store, "", _INFO.key)
            if past is not None:
                # No line of the sample says that one of these was ever good.
                assert not any("test_the_bank" in key for key in plan_from(past, AsEver()).carried)
    finally:
        path.write_bytes(before)


TARGETS: dict[str, Target] = {
    "line": line,
    "segment": segment,
    "sealed_segment": sealed_segment,
    "run_json": run_json,
    "mark": mark,
    "final": final,
    "carry": carry,
    "sealed_carry": sealed_carry,
    "whole": whole,
}


def corpus(name: str) -> Iterator[bytes]:
    """Real inputs of a target."""
    lines = [one for path in sorted(SAMPLE.rglob("*.jsonl")) for one in path.read_bytes().split(b"\n") if one]
    match name:
        case "line":
            yield from lines
        case "segment" | "sealed_segment":
            yield from (path.read_bytes() for path in sorted(SAMPLE.rglob("seg-*.jsonl")))
        case "carry" | "sealed_carry":
            yield from (path.read_bytes() for path in sorted(SAMPLE.rglob("*s.jsonl")))
            yield from (path.read_bytes() for path in sorted(SAMPLE.rglob(CARRY)))
        case "run_json":
            yield from (path.read_bytes() for path in sorted(SAMPLE.rglob(RUN)))
        case "mark":
            yield (SAMPLE / "FORMAT").read_bytes()
        case "final":
            yield from (path.read_bytes() for path in sorted(SAMPLE.rglob(FINAL)))
            yield b'{"exit": 0, "counts": {}, "files": {"%b": [0, "00000000"]}}' % _SEGMENT.encode()
        case "whole":
            files = [path for path in sorted(SAMPLE.rglob("*")) if path.is_file()]
            yield from (bytes([number]) + path.read_bytes() for number, path in enumerate(files))
