"""The tests that wait for another attempt, as the controller of an xdist run knows them."""

import json
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.core.retry import Strategy


class Place(Enum):
    """Where a test waits."""

    ENDING = "its worker has not yet told xdist that it is through with the test"
    NOWHERE = "somebody has to be found to run it"
    QUEUED = "a worker was told to run it"
    KEPT = "the worker on which it failed runs it at its end"


@dataclass(slots=True, kw_only=True)
class WaitingTest:
    """A test that waits. `node` is the worker on which it failed last, or that is to run it.

    It is not to begin before `due` on the clock of this process. `course` is what the next worker has to know,
    `reports` are those of the attempt that failed, as text, because mostly nobody asks for them. `stays` tells the
    next worker to keep the test should it fail again. `places` are the workers on which it failed, `crashes` is how
    many attempts ended their worker. Of one that `is_told` pytest has the reports: it failed finally, and is in doubt.
    """

    index: int
    nodeid: str
    strategy: Strategy
    due: float
    course: dict[str, Any]
    ended: AttemptEnded
    reports: str
    node: Any
    place: Place
    is_handed_over: bool
    places: list[Any]
    stays: bool = False
    has_begun: bool = False
    crashes: int = 0
    is_told: bool = False

    @property
    def has_crashed(self) -> bool:
        """Whether the last attempt ended its worker: then it has been told, and its test is in xdist's own queue."""
        return self.ended.took_worker

    def to_worker(self, now: float) -> str:
        """What the worker is told that is to run it."""
        said = {
            "index": self.index,
            "strategy": self.strategy,
            "after": max(0.0, self.due - now),
            "stays": self.stays,
            "course": self.course,
        }
        return json.dumps(said)


class WaitingTests:
    """All that wait, in the order in which they failed. With ``--dist each`` every worker has a test of its own."""

    def __init__(self, *, is_each: bool) -> None:
        self.is_each = is_each
        self._tests: dict[Hashable, WaitingTest] = {}
        # Looked at after every event of a session in which everything may fail.
        self._nowhere: dict[str, dict[int, WaitingTest]] = {"deferred": {}, "isolated": {}}

    def __bool__(self) -> bool:
        return bool(self._tests)

    def __iter__(self) -> Iterator[WaitingTest]:
        return iter(list(self._tests.values()))

    def put(self, test: WaitingTest) -> None:
        """A test failed, for the first time or again."""
        before = self.get(test.node, test.index)
        if before is not None:
            self.pop(before)
            test.places = [*before.places, *test.places]
            test.crashes = max(before.crashes, test.crashes)
        self._tests[self._slot(test.node, test.index)] = test
        self._moves(test, test.place)

    def get(self, node: Any, index: int) -> WaitingTest | None:
        """The test at an index, if it waits."""
        return self._tests.get(self._slot(node, index))

    def pop(self, test: WaitingTest) -> None:
        """A test waits no longer."""
        self._tests.pop(self._slot(test.node, test.index), None)
        self._nowhere[test.strategy].pop(test.index, None)

    def nowhere(self, strategy: Strategy) -> Collection[WaitingTest]:
        """Those for which somebody has to be found."""
        return self._nowhere[strategy].values()

    def at(self, node: Any, place: Place) -> list[WaitingTest]:
        """Those that wait on a worker."""
        return [test for test in self if test.place is place and test.node is node]

    def completed(self, node: Any, index: int) -> None:
        """A worker told xdist that it is through with a test."""
        test = self.get(node, index)
        if test is not None and test.node is node and test.place is Place.ENDING:
            self._moves(test, Place.NOWHERE if test.is_handed_over else Place.KEPT)

    def left_to(self, node: Any, index: int, living: Collection[Any]) -> WaitingTest | None:
        """The test that a worker is about to run, if it waits; with "each" it may have been left by a dead one."""
        test = self.get(node, index)
        if test is not None or not self.is_each:
            return test
        spec = node.gateway.spec
        orphans = (one for one in self if one.index == index and one.has_crashed and one.node not in living)
        return next((one for one in orphans if one.node.gateway.spec == spec), None)

    def goes_to(self, node: Any, test: WaitingTest, *, stays: bool) -> None:
        """A worker is about to be told to run a test."""
        if self.is_each and test.node is not node:
            del self._tests[self._slot(test.node, test.index)]
            self._tests[self._slot(node, test.index)] = test
        test.node, test.stays, test.has_begun = node, stays, False
        self._moves(test, Place.QUEUED)

    def lost(self, test: WaitingTest) -> None:
        """The worker that was to run a test is not going to."""
        test.has_begun = False
        self._moves(test, Place.NOWHERE)

    def _moves(self, test: WaitingTest, place: Place) -> None:
        test.place = place
        if place is Place.NOWHERE:
            self._nowhere[test.strategy][test.index] = test
        else:
            self._nowhere[test.strategy].pop(test.index, None)

    def _slot(self, node: Any, index: int) -> Hashable:
        return (node, index) if self.is_each else index
