"""What each worker does, and since when, as far as its controller can tell: from the events of xdist and the worker's board.

Events come in the thread that hears a worker, so that this is known while the controller's loop is busy.
"""

import time
from collections import deque
from functools import partial
from typing import Any, Literal, NamedTuple

import pytest

from pytest_resilience.hooks import xdist_internals
from pytest_resilience.hooks.board import BOARD, View
from pytest_resilience.hooks.registered import Registered

What = Literal["starting", "collecting", "idle", "running", "ended"]

# Tests replace it; we want the real one.
_clock = time.monotonic


class Doing(NamedTuple):
    """What a worker does `since` a moment of the monotonic clock.

    For one that runs a test: which test, and where it is in which attempt. There `since` is when the attempt began.
    `phase` is "waiting" before an attempt that is to come later; it is empty, and `attempt` 0, where that is not known:
    on other machines, in what comes before and after the attempts, and where another plugin runs the test.
    """

    what: What
    since: float
    nodeid: str = ""
    phase: str = ""
    attempt: int = 0


# How many earlier tests are kept in mind.
_MOST_BEFORE = 3

_BY_EVENT: dict[str, What] = {
    "collectionstart": "collecting",
    "collectionfinish": "idle",
    "runtest_protocol_complete": "idle",
    "workerfinished": "ended",
}


class Activity(Registered):
    """Knows what the workers of a session do. Can be asked from any thread."""

    def __init__(self) -> None:
        self._doing: dict[Any, Doing] = {}
        self._views: dict[Any, View] = {}
        self._gone: dict[Any, float] = {}
        self._before: dict[Any, deque[tuple[str, float]]] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        self._doing[node] = Doing("starting", _clock())
        self._before[node] = deque(maxlen=_MOST_BEFORE)
        for event, what in _BY_EVENT.items():
            xdist_internals.overhear(node, event, partial(self._goes_on, what))
        xdist_internals.overhear(node, "logstart", self._begins_test)
        xdist_internals.overhear(node, "logfinish", self._ends_test)
        xdist_internals.overhear(node, xdist_internals.END, self._lost)
        xdist_internals.hear_at_once(node, BOARD, self._shows)

    def workers(self) -> list[Any]:
        """All workers that have not been lost, those included whose session has ended and whose process may live on."""
        return [node for node in list(self._doing) if node not in self._gone]

    def of(self, node: Any) -> Doing:
        """What a worker does; of one that is lost what it did last."""
        doing, view = self._doing[node], self._views.get(node)
        if view is None or doing.what != "running":
            return doing
        # In this order: a worker that goes on meanwhile is then taken for younger than it is.
        phase, attempt = view.phase, view.attempt
        since = view.since if phase in ("", "waiting") else view.begun
        if not phase:
            # What follows the last attempt is none: its time begins anew.
            return doing._replace(since=max(doing.since, since))
        return Doing("running", since, doing.nodeid, phase, attempt)

    def lost_at(self, node: Any) -> float:
        """When a worker was lost; now, if it is not known to be."""
        return self._gone.get(node) or _clock()

    def before(self, node: Any) -> list[tuple[str, float]]:
        """The tests that a worker was through with last, by id, and when it was; the last one last."""
        return list(self._before.get(node, ()))

    # -- in the thread that hears a worker ------------------------------------------------------------------------

    def _goes_on(self, what: What, node: Any, values: dict[str, Any]) -> None:
        self._doing[node] = Doing(what, _clock())

    def _begins_test(self, node: Any, values: dict[str, Any]) -> None:
        self._doing[node] = Doing("running", _clock(), values["nodeid"])

    def _ends_test(self, node: Any, values: dict[str, Any]) -> None:
        self._before[node].append((values["nodeid"], _clock()))

    def _shows(self, node: Any, values: dict[str, Any]) -> None:
        view = View.of(**values)
        if view is not None:
            self._views[node] = view

    def _lost(self, node: Any, values: dict[str, Any]) -> None:
        if self._doing[node].what != "ended":
            self._gone[node] = _clock()
