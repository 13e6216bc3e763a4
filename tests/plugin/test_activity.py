"""Since when a worker does what it does: an attempt begins with its setup, and what follows the last one is none."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from pytest_resilience.hooks import activity
from pytest_resilience.hooks import board as boards
from pytest_resilience.hooks.activity import Activity, Doing
from pytest_resilience.hooks.board import BOARD, Board

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="only Linux has memory that is sealed"
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows on both sides."""
    now = [0.0]
    for module in (activity, boards):
        monkeypatch.setattr(module, "_clock", lambda: now[0])
    return now


class Node:
    """A worker as xdist has it."""

    def __init__(self, process_from_remote: Callable[[Any], None]) -> None:
        self.process_from_remote = process_from_remote


def test_every_attempt_has_its_own_time(clock: list[float]) -> None:
    known, board = Activity(), Board.create()
    assert board is not None
    unheard: list[Any] = []
    node = Node(unheard.append)
    seen = []

    def at(
        now: float, *events: tuple[str, dict[str, Any]], phase: str | None = None, attempt: int = 1
    ) -> None:
        clock[0] = now
        for event in events:
            node.process_from_remote(event)
        if phase is not None:
            assert board is not None
            board.show(phase, attempt if phase else 0)
        seen.append(known.of(node))

    known.pytest_configure_node(node)
    at(1, (BOARD, board.plain()), ("collectionstart", {}))
    at(2, ("collectionfinish", {"ids": []}))
    at(10, ("logstart", {"nodeid": "t"}))
    at(11, phase="setup")
    at(12, phase="call")
    at(20, phase="waiting")
    at(30, phase="setup", attempt=2)
    at(40, phase="teardown", attempt=2)
    at(41, phase="")
    at(43, ("runtest_protocol_complete", {}))
    assert seen == [
        Doing("collecting", 1),
        Doing("idle", 2),
        Doing("running", 10, "t"),
        Doing("running", 11, "t", "setup", 1),
        Doing("running", 11, "t", "call", 1),
        Doing("running", 20, "t", "waiting", 1),
        Doing("running", 30, "t", "setup", 2),
        Doing("running", 30, "t", "teardown", 2),
        Doing("running", 41, "t"),
        Doing("idle", 43),
    ]
    assert [event[0] for event in unheard] == [
        "collectionstart", "collectionfinish", "logstart", "runtest_protocol_complete",
    ], "the event of the board is for us alone"  # fmt: skip
    assert known.workers() == [node]
    node.process_from_remote("the end")
    assert known.workers() == []
    assert known.of(node) == Doing("idle", 43)
