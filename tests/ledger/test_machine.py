"""A process is known for what it is although its id is given out again, and taken for dead only where that is certain."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_resilience.ledger.machine import Process, boot, start

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")


@on_linux
def test_a_process_that_lives_is_not_gone_and_one_that_ended_is() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.here(child.pid)
    assert not process.is_gone
    child.kill()
    child.communicate()
    assert process.is_gone


@on_linux
def test_a_process_whose_id_another_one_has_now_is_gone() -> None:
    me = Process.here()
    assert me.start
    assert not me.is_gone
    assert me._replace(start=str(int(me.start) - 1)).is_gone


@pytest.mark.parametrize(
    "change", [{"host": "elsewhere"}, {"boot": "another"}, {"boot": ""}, {"pid": 0}, {"pid": 2**62}]
)
def test_of_what_is_not_of_here_nothing_is_certain(change: dict[str, object]) -> None:
    gone = Process.here()._replace(start="1")
    assert not gone._replace(**change).is_gone  # type: ignore[arg-type]


def test_without_a_time_of_its_beginning_a_process_with_this_id_is_taken_for_it() -> None:
    assert not Process.here()._replace(start="").is_gone


@on_linux
def test_the_beginning_is_read_whatever_the_program_is_called(tmp_path: Path) -> None:
    stat = " ".join(["7 (a) b (c)) R", *(str(number) for number in range(4, 53))])
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(stat)
    assert start(7, tmp_path) == "22"


@pytest.mark.parametrize("content", [b"", b"7 (x) R 1", b"\xff" * 99, b"7 (x) " + b"x " * 50])
def test_what_is_no_description_of_a_process_tells_no_beginning(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_bytes(content)
    assert start(7, tmp_path) == ""
    assert start(8, tmp_path) == ""


def test_a_machine_that_does_not_count_its_starts_has_an_empty_one(tmp_path: Path) -> None:
    assert boot(tmp_path / "missing") == ""
    (tmp_path / "bad").write_bytes(b"\xff")
    assert boot(tmp_path / "bad") == ""


@on_linux
def test_this_process_is_told_with_all_that_makes_it_this_one() -> None:
    assert Process.here() == Process(
        pid=os.getpid(), start=start(os.getpid()), host=os.uname().nodename[:64], boot=boot()
    )
