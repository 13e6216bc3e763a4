"""What is read from the files of a run, whatever became of them: nothing false, and as much as is there."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.facts import Fact, SegmentOpened, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.lines import Record, decode, encode
from pytest_resilience.ledger.reading import CUT_OFF, MAX_PROBLEMS, Damage, facts_of, read
from pytest_resilience.ledger.sizes import MAX_LINE

WRITER = "gw0.1.0a0b0c0d"
FILE = f"seg-{WRITER}.jsonl"


def fact(number: int) -> TestFinished:
    return TestFinished(key=f"test_{number}", outcome=Outcome.PASSED)


def line(number: int, *, writer: str = WRITER) -> bytes:
    return encode(fact(number), writer=writer, seq=number, at=0.0)


def records(folder: Path) -> tuple[list[Record], list[Damage]]:
    reading = read(folder)
    return list(reading.records), reading.problems


def keys(folder: Path) -> list[str]:
    return [fact.key for _, fact in facts_of(folder) if isinstance(fact, TestFinished)]


def write(folder: Path, content: bytes, name: str = FILE) -> None:
    (folder / name).write_bytes(content)


LINES = [line(number) for number in range(6)]
WHOLE = b"".join(LINES)


def test_an_undamaged_file_is_read_without_a_word(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    found, problems = records(tmp_path)
    assert found == [decode(each) for each in LINES]
    assert problems == []


def test_reading_twice_tells_the_same(tmp_path: Path) -> None:
    write(tmp_path, WHOLE + b"noise\n")
    reading = read(tmp_path)
    assert list(reading.records) == list(reading.records)
    assert len(reading.problems) == reading.bad == 1


def test_what_was_inherited_and_selected_comes_before_what_happened(tmp_path: Path) -> None:
    for name in (FILE, "carry.jsonl", "tests.jsonl", "seg-ctl.1.00000000.jsonl"):
        writer = name.removeprefix("seg-").removesuffix(".jsonl")
        write(tmp_path, line(0, writer=writer), name)
    assert [writer for writer, _ in facts_of(tmp_path)] == ["carry", "tests", "ctl.1.00000000", WRITER]


def test_other_files_of_the_folder_are_not_read(tmp_path: Path) -> None:
    for name in ("notes.jsonl", ".new-tests.jsonl-00", "seg-x.alive", "final.json"):
        write(tmp_path, b"noise\n", name)
    assert records(tmp_path) == ([], [])


@pytest.mark.invariant(5, 6)
@pytest.mark.parametrize("cut", range(1, len(LINES[2])))
def test_a_torn_line_costs_that_line_only(tmp_path: Path, cut: int) -> None:
    torn = LINES[2][:-cut]
    write(tmp_path, LINES[0] + LINES[1] + torn)
    expected = ["test_0", "test_1"] if cut > 1 else ["test_0", "test_1", "test_2"]
    found, problems = records(tmp_path)
    assert [record.fact for record in found] == [fact(number) for number in range(len(expected))]
    assert problems == ([Damage(FILE, len(LINES[0] + LINES[1]), CUT_OFF)] if cut > 1 else [])
    # The writer that goes on after it begins with a newline.
    write(tmp_path, LINES[0] + LINES[1] + torn + b"\n" + LINES[3])
    assert keys(tmp_path) == [*expected, "test_3"]


@pytest.mark.invariant(3, 4, 6, 9)
@given(st.binary(max_size=400), st.integers(0, len(WHOLE)), st.integers(0, 300))
def test_any_splice_yields_only_what_was_written(noise: bytes, start: int, length: int) -> None:
    spliced = WHOLE[:start] + noise + WHOLE[start + length :]
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), spliced)
        found, problems = records(Path(name))
    assert all(record in [decode(each) for each in LINES] for record in found)
    # What is gone in the middle is told; that the end is missing cannot be seen.
    numbers = [record.seq for record in found]
    if numbers and set(range(numbers[-1])) - set(numbers):
        assert problems


@pytest.mark.invariant(3)
@given(
    st.dictionaries(
        st.sampled_from([FILE, "tests.jsonl", "carry.jsonl", "run.json"]), st.binary(max_size=3000)
    )
)
def test_no_bytes_ever_raise(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            write(Path(name), content, file)
        assert records(Path(name))[0] == []


@pytest.mark.invariant(5)
@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, len(LINES[0]) - 2), st.integers(0, 7))
def test_a_flipped_bit_costs_two_lines_at_most(number: int, position: int, bit: int) -> None:
    changed = bytearray(WHOLE)
    changed[number * len(LINES[0]) + position] ^= 1 << bit
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), bytes(changed))
        found, problems = records(Path(name))
    assert len(found) == 5
    assert problems


@pytest.mark.invariant(9)
def test_missing_lines_are_told_with_where_and_how_many(tmp_path: Path) -> None:
    write(tmp_path, LINES[0] + LINES[3] + LINES[5])
    _, problems = records(tmp_path)
    assert problems == [
        Damage(FILE, len(LINES[0]), "2 lines before this one are missing"),
        Damage(FILE, len(LINES[0] + LINES[3]), "1 lines before this one are missing"),
    ]


def test_lines_that_are_repeated_in_another_file_are_not_missing(tmp_path: Path) -> None:
    write(tmp_path, LINES[0] + LINES[3])
    other = "gw0.1.00000000"
    opened = SegmentOpened(run="r", writer=other, pid=1)
    write(tmp_path, encode(opened, writer=other, seq=0, at=0.0) + LINES[1] + LINES[2], f"seg-{other}.jsonl")
    found, problems = records(tmp_path)
    assert len(found) == 5
    assert problems == []


@pytest.mark.invariant(8)
def test_the_same_line_twice_is_no_damage(tmp_path: Path) -> None:
    write(tmp_path, LINES[0] + LINES[1] + LINES[1] + LINES[0] + LINES[2])
    assert records(tmp_path)[1] == []


def test_empty_lines_are_no_damage(tmp_path: Path) -> None:
    write(tmp_path, b"\n\n" + LINES[0] + b"\n" + LINES[1] + b"\n")
    found, problems = records(tmp_path)
    assert len(found) == 2
    assert problems == []


@pytest.mark.invariant(24)
def test_a_line_of_many_megabytes_costs_that_line_only(tmp_path: Path) -> None:
    write(tmp_path, LINES[0] + b"x" * 3_000_000 + b"\n" + LINES[1])
    found, problems = records(tmp_path)
    assert [record.fact for record in found] == [fact(0), fact(1)]
    assert problems == [Damage(FILE, len(LINES[0]), "longer than a line can be")]


@pytest.mark.parametrize(
    "length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 256 * 1024 - 1, 256 * 1024, 700_000]
)
@pytest.mark.parametrize("ended", [True, False])
def test_long_lines_around_the_portions_that_are_read_keep_offsets_right(
    tmp_path: Path, length: int, ended: bool
) -> None:
    write(tmp_path, b"x" * length + b"\n" + LINES[0] + b"y" * length + b"\n" * ended)
    found, problems = records(tmp_path)
    assert [record.fact for record in found] == [fact(0)]
    assert [damage.offset for damage in problems] == [0, length + 1 + len(LINES[0])]


def test_damage_without_end_is_counted_and_told_in_part(tmp_path: Path) -> None:
    write(tmp_path, b"x\n" * (MAX_PROBLEMS + 500))
    reading = read(tmp_path)
    assert list(reading.records) == []
    assert (len(reading.problems), reading.bad) == (MAX_PROBLEMS, MAX_PROBLEMS + 500)


def newer(kind: str, seq: int) -> bytes:
    from zlib import crc32

    body = f'{{"k":"{kind}","w":"{WRITER}","s":{seq},"t":0'.encode()
    return b'%b,"c":"%08x"}\n' % (body, crc32(body))


@pytest.mark.invariant(27)
def test_kinds_of_newer_releases_are_counted_and_are_no_damage(tmp_path: Path) -> None:
    write(tmp_path, LINES[0] + newer("probe", 1) + LINES[2])
    reading = read(tmp_path)
    assert len(list(reading.records)) == 2
    assert (reading.unknown, reading.problems) == (1, [])


@pytest.mark.invariant(27)
def test_a_segment_of_a_newer_format_is_left_out(tmp_path: Path) -> None:
    opened: Fact = SegmentOpened(run="r", writer=WRITER, pid=1, format=(2, 0))
    write(tmp_path, encode(opened, writer=WRITER, seq=0, at=0.0) + LINES[1])
    found, problems = records(tmp_path)
    assert found == []
    assert problems == [Damage(FILE, 0, "format 2 is not known here")]


# ---- what is no file


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    found, problems = records(tmp_path / "missing")
    assert found == []
    assert [damage.file for damage in problems] == ["."]


@pytest.mark.invariant(22)
def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    write(real, WHOLE)
    (tmp_path / "link").symlink_to(real)
    found, problems = records(tmp_path / "link")
    assert found == []
    assert problems


@pytest.mark.invariant(22)
@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "hard link", "foreign"])
def test_what_is_not_a_file_of_ours_is_refused_and_blocks_nothing(tmp_path: Path, kind: str) -> None:
    other = "seg-gw1.1.00000000.jsonl"
    write(tmp_path, WHOLE)
    match kind:
        case "folder":
            (tmp_path / other).mkdir()
        case "pipe":
            os.mkfifo(tmp_path / other)
        case "link":
            (tmp_path / other).symlink_to(tmp_path / "elsewhere")
            write(tmp_path, WHOLE, "elsewhere")
        case "hard link":
            write(tmp_path, WHOLE, "elsewhere")
            os.link(tmp_path / "elsewhere", tmp_path / other)
        case "foreign":
            if os.geteuid() != 0:
                pytest.skip("only root can give a file away")
            write(tmp_path, WHOLE, other)
            os.chown(tmp_path / other, 12345, 12345)
    found, problems = records(tmp_path)
    assert len(found) == 6
    assert [(damage.file, damage.offset) for damage in problems] == [(other, 0)]
