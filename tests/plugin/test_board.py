"""What a process shows of itself is seen by another one, also after its death, and no child of it disturbs that."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pytest_resilience.hooks.board import Board, View
from pytest_resilience.ledger.machine import Process

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="only Linux has memory that is sealed"
)

# Shows what it reads, a line at a time.
_PROCESS = """
import json, os, sys
from pytest_resilience.hooks.board import Board

board = Board.create()
print(json.dumps(board.plain()), flush=True)
for line in sys.stdin:
    phase, attempt = json.loads(line)
    board.show(phase, attempt)
    child = os.fork()
    if not child:
        board.show("teardown", 99)
        os._exit(0)
    os.waitpid(child, 0)
    print(flush=True)
"""


class Shower:
    """A process with a board."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.plain = json.loads(self._read())

    def show(self, phase: str, attempt: int) -> None:
        """Have it show something, and a child of it something else."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([phase, attempt]) + "\n")
        self.process.stdin.flush()
        self._read()

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@pytest.fixture
def shower() -> Iterator[Shower]:
    made = Shower()
    yield made
    made.process.kill()
    made.process.communicate()


def test_what_a_process_showed_last_is_known_after_its_death(shower: Shower) -> None:
    view = View.of(**shower.plain)
    assert view is not None
    assert (view.phase, view.attempt) == ("", 0)
    before = time.monotonic()
    shower.show("setup", 2)
    begun = view.begun
    shower.show("call", 2)
    shower.process.kill()
    shower.process.wait()
    assert (view.phase, view.attempt) == ("call", 2)
    assert before <= begun == view.begun <= view.since <= time.monotonic()
    assert View.of(**shower.plain) is None, "that process is gone"


def test_what_is_not_of_this_machine_or_not_that_process_is_not_looked_at(shower: Shower) -> None:
    for other in ({"host": "elsewhere"}, {"boot": "another"}, {"start": "1"}, {"start": ""}):
        assert View.of(**{**shower.plain, **other}) is None
    assert View.of(**{**shower.plain, "fd": 10_000}) is None
    assert View.of(**{**shower.plain, "fd": 0}) is None, "that is a pipe"


def test_nobody_can_take_the_memory_away() -> None:
    board = Board.create()
    assert board is not None
    with pytest.raises(PermissionError):
        os.ftruncate(board.plain()["fd"], 0)
    board.show("call", 1)
    os.close(board.plain()["fd"])
    assert Process.here(board.plain()["pid"]) == Process.here()


def test_without_such_memory_there_is_no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refused)
    assert Board.create() is None
    monkeypatch.delattr(os, "memfd_create")
    assert Board.create() is None
