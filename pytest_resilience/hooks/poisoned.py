"""A worker that fails test after test is ended, another one takes its place, and its failures are run again elsewhere."""

import time
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.poison import Poison
from pytest_resilience.hooks import verdicts, xdist_ends, xdist_internals
from pytest_resilience.hooks.last_words import RETIRE
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.redistribution import Redistribution
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.repeated import is_marked
from pytest_resilience.hooks.terminal import Terminal
from pytest_resilience.hooks.waiting import Place, WaitingTest
from pytest_resilience.hooks.workers import Workers

# Tests replace it; we want the real one.
_clock = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """A test that finally failed, as pytest has been told."""

    index: int
    nodeid: str
    finished: TestFinished
    ended: AttemptEnded

    def waiting_on(self, node: Any, place: Place) -> WaitingTest:
        """The test as one that waits for another attempt, on any worker but this one."""
        course = {
            "number": self.finished.attempts + 1,
            "seconds": self.finished.seconds,
            "passes": 0,
            "is_marred": True,
            "errors": [self.ended.message],
        }
        return WaitingTest(
            index=self.index,
            nodeid=self.nodeid,
            strategy="deferred",
            due=_clock(),
            course=course,
            ended=self.ended,
            reports="[]",
            node=node,
            place=place,
            is_handed_over=True,
            places=[node],
            is_told=True,
        )


@dataclass(slots=True)
class _Ended:
    """A poisoned worker: how many of its failures are in doubt, how many were run again, how many of these passed."""

    name: str
    doubted: int = 0
    settled: int = 0
    passed: int = 0


class Poisoned(Registered):
    """Watches the workers in modes in which xdist can give a test to another worker a second time.

    To pytest and its plugins a failure that was reported stays one: they hear nothing of the attempt that follows. It is
    in the ledger, and in the summary.
    """

    def __init__(
        self, owner: Owner, terminal: Terminal, workers: Workers, redistribution: Redistribution
    ) -> None:
        self._owner = owner
        self._terminal = terminal
        self._workers = workers
        self._redistribution = redistribution
        self._pool = xdist_internals.Pool(owner.config)
        self._poison: Poison[_Failure] | None = None
        self._ended: dict[Any, _Ended] = {}
        # By index, the worker on which it failed.
        self._in_doubt: dict[int, Any] = {}

    # -- how tests end --------------------------------------------------------------------------------------------

    def observe(self, node: Any, report: pytest.TestReport) -> None:
        """Look at the end of a test, of which pytest has had the last report."""
        index = getattr(report, "item_index", None)
        if index is not None:
            with self._owner.guarded():
                self._observe(node, index, report)

    def _observe(self, node: Any, index: int, report: pytest.TestReport) -> None:
        owner = self._owner
        if self._poison is None:
            most = xdist_internals.number_of_workers(owner.config)
            self._poison = Poison(owner.settings["worker.poisoned-after"], most)
        carried = verdicts.read(report)
        if carried is None:
            # It simply passed. Where another plugin runs the tests, nothing is known of a failure that could be run again.
            if report.passed:
                self._poison.observe(node, _NONE, Outcome.PASSED)
            return
        finished, ended = carried
        if finished.outcome.is_bad and ended is None:
            return
        failure = (
            _NONE
            if ended is None
            else _Failure(index=index, nodeid=report.nodeid, finished=finished, ended=ended)
        )
        verdict = self._poison.observe(node, failure, finished.outcome)
        if verdict is None or owner.decision is not None or not self._pool.may_grow():
            return
        if verdict.is_news:
            self._end(node, len(verdict.tests))
        for one in verdict.tests if node in self._ended else ():
            self._doubt(node, one, Place.ENDING if one is failure else Place.NOWHERE)

    def _end(self, node: Any, number: int) -> None:
        """Have a worker end after the test that it runs, in order, so that its fixtures are torn down."""
        self._ended[node] = _Ended(str(node.gateway.id))
        why = f"{node.gateway.id} failed {number} tests in a row while others passed"
        self._terminal.say(f"{why} ({Code.WORKER_POISONED}): another one takes its place, and they run again")
        xdist_ends.retire(node, RETIRE, why)

    def _doubt(self, node: Any, failure: _Failure, place: Place) -> None:
        self._ended[node].doubted += 1
        self._in_doubt[failure.index] = node
        self._redistribution.doubted(failure.waiting_on(node, place))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error is None and node in self._ended:
            with self._owner.guarded():
                self._redistribution.retires(node)
                if self._pool.may_grow() and self._redistribution.has_work():
                    self._pool.start(node)

    # -- what becomes of those in doubt -------------------------------------------------------------------------------

    def takes(self, node: Any, reports: list[pytest.TestReport]) -> bool:
        """Whether these reports are of an attempt that pytest is not to hear of."""
        last = reports[-1]
        index = getattr(last, "item_index", None)
        if index not in self._in_doubt or self._in_doubt[index] is node:
            return False
        if last.when == "teardown" and not is_marked(last):
            with self._owner.guarded():
                self._settle(node, index, verdicts.read(last))
        return True

    def _settle(
        self, node: Any, index: int, carried: tuple[TestFinished, AttemptEnded | None] | None
    ) -> None:
        ended = self._ended[self._in_doubt.pop(index)]
        self._redistribution.came_to_its_end(node, index)
        ended.settled += 1
        if carried is not None:
            self._workers.note(node, *carried)
            ended.passed += not carried[0].outcome.is_bad
        if ended.settled == ended.doubted and not ended.passed and self._poison is not None:
            self._poison.confirmed()

    def pytest_terminal_summary(self) -> None:
        if self._ended:
            self._owner.warn(Code.WORKER_POISONED, "; ".join(map(_told, self._ended.values())))


_NONE = _Failure(
    index=-1,
    nodeid="",
    finished=TestFinished("", Outcome.NOT_RUN),
    ended=AttemptEnded(key="", attempt=0, outcome=Outcome.NOT_RUN),
)


def _told(ended: _Ended) -> str:
    failed, left = ended.settled - ended.passed, ended.doubted - ended.settled
    parts = [(ended.passed, "passed"), (failed, "failed again"), (left, "not run again")]
    told = ", ".join(f"{number} {what}" for number, what in parts if number)
    return (
        f"{ended.name} failed {ended.doubted} tests while others passed, and was replaced; elsewhere {told}"
    )
