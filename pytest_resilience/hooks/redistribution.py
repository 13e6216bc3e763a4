"""The controller's side of attempts that come later: it finds a worker for each, and loses no failure."""

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.core.facts import TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.hooks import statuses, verdicts, xdist_internals, xdist_repairs
from pytest_resilience.hooks.handover import BEGINS, HANDED, WAITS
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.terminal import Terminal
from pytest_resilience.hooks.waiting import Place, WaitingTest, WaitingTests
from pytest_resilience.hooks.workers import Workers

if TYPE_CHECKING:
    from pytest_resilience.hooks.rescheduling import Rescheduling

# Tests replace it; we want the real one.
_clock = time.monotonic


class Redistribution(Registered):
    """Hears which tests wait, and sees to it that each is run again, or else reported as it was.

    xdist's scheduler is wrapped when the first test waits: a session in which none does knows nothing of this.
    """

    def __init__(self, owner: Owner, terminal: Terminal, workers: Workers) -> None:
        self._owner = owner
        self._terminal = terminal
        self._workers = workers
        self._pool = xdist_internals.Pool(owner.config)
        self._tests = WaitingTests(is_each=owner.config.option.dist == "each")
        self._ids: list[str] = []
        self._collected: dict[Any, bool] = {}
        self._scheduler: Rescheduling | None = None

    # Last, so that what is said before a command goes the way of the command.
    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_configure_node(self, node: Any) -> None:
        config = self._owner.config
        xdist_internals.hear(node, config, WAITS, self._guarded(self._waits))
        xdist_internals.hear(node, config, BEGINS, self._guarded(self._begins))
        xdist_internals.precede_tests(node, HANDED, self._handed)
        xdist_internals.ask_before_end(node, self._may_end)

    def _guarded(self, heard: Callable[[Any, dict[str, Any]], None]) -> Callable[[Any, dict[str, Any]], None]:
        def hear(node: Any, values: dict[str, Any]) -> None:
            with self._owner.guarded():
                heard(node, values)

        return hear

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._ids = self._ids or list(ids)
        self._collected[node] = list(ids) == self._ids

    # -- what workers tell ----------------------------------------------------------------------------------------

    def _waits(self, node: Any, values: dict[str, Any]) -> None:
        said = json.loads(values["text"])
        is_handed_over = said["is_handed_over"]
        after_loop = Place.NOWHERE if is_handed_over else Place.KEPT
        test = WaitingTest(
            index=said["index"],
            nodeid=said["nodeid"],
            strategy=said["strategy"],
            due=_clock() + said["after"],
            course=said["course"],
            ended=verdicts.ended_from(said["ended"]),
            reports=values["reports"],
            node=node,
            place=Place.ENDING if said["is_in_loop"] else after_loop,
            is_handed_over=is_handed_over,
            places=[node],
        )
        self._tests.put(test)
        if self._owner.allowance is not None and not self._tests.is_each:
            # With "each" the test is run where it waits, or not at all.
            self._owner.allowance.keep(str(node.gateway.id), test.ended.key, test.ended.attempt + 1)
        self._reschedule()

    def _reschedule(self) -> None:
        if self._scheduler is None:
            from pytest_resilience.hooks.rescheduling import Rescheduling

            self._scheduler = Rescheduling(
                self._pool.scheduler, self._tests, self._pool, self._collected, self._owner.guarded
            )
            self._pool.scheduler = self._scheduler

    def _begins(self, node: Any, values: dict[str, Any]) -> None:
        test = self._tests.get(node, json.loads(values["text"])["index"])
        if test is not None:
            test.has_begun = True

    def _handed(self, node: Any, indexes: Iterable[int]) -> list[str]:
        """What a worker is told before it is told to run tests, whoever decided that it is to run them."""
        if not self._tests:
            return []
        living = self._pool.workers()
        tests = [test for index in indexes if (test := self._tests.left_to(node, index, living)) is not None]
        for test in tests:
            if test.node is not node:
                self._tests.goes_to(node, test, stays=False)
        return [test.to_worker(_clock()) for test in tests]

    def _may_end(self, node: Any) -> bool:
        """Whether xdist may tell a worker that nothing more follows."""
        if self._scheduler is not None:
            with self._owner.guarded():
                return self._scheduler.may_end(node)
        return True

    # -- how it ends for a test -----------------------------------------------------------------------------------

    def reported(self, node: Any, report: pytest.TestReport) -> None:
        """A test came to its end, and pytest has had the last report of it: if it waited, it does so no longer."""
        if not self._tests:
            return
        test = self._tests.get(node, getattr(report, "item_index", -1))
        if test is None:
            return
        self._tests.pop(test)
        carried = verdicts.read(report)
        if carried is not None and carried[0].attempts == test.ended.attempt:
            # Its worker gave it up.
            self._terminal.given_up(test.ended.key)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A worker died: xdist does not know of the tests that were left to its end."""
        if error is None:
            return
        with self._owner.guarded():
            for test in self._tests.at(node, Place.KEPT):
                if test.has_begun:
                    self._pool.report_crash(test.nodeid, node)
                else:
                    self.waits_on(test)

    # -- tests whose worker died ----------------------------------------------------------------------------------

    @property
    def _xdists_own(self) -> Any:
        """The scheduler of xdist."""
        return self._pool.scheduler if self._scheduler is None else self._scheduler.inner

    def has_work(self) -> bool:
        """Whether a worker that comes now may get something to do."""
        return bool(self._tests) or not self._xdists_own.tests_finished

    def found(self, node: Any, index: int | None, nodeid: str) -> WaitingTest | None:
        """The test that waits and that a worker was running, was to run, or was not yet through with."""
        for test in self._tests if index is None else filter(None, [self._tests.get(node, index)]):
            is_there = test.place in (Place.ENDING, Place.QUEUED) or test.has_begun
            if is_there and test.nodeid == nodeid and test.node is node:
                return test
        return None

    def pop(self, test: WaitingTest) -> None:
        """A test waits no longer: its worker died in its last attempt."""
        self._tests.pop(test)
        self._never_begins(test)

    def waits_on(self, test: WaitingTest) -> None:
        """The worker died that a test waits on, and no attempt was in flight: somebody else has to run it."""
        if test.has_crashed and test.place is Place.QUEUED and xdist_repairs.can_take_back(self._xdists_own):
            xdist_repairs.take_back(self._xdists_own, test.node, test.index)
        elif self._tests.is_each:
            self._give_up(test)
        else:
            self._tests.lost(test)

    def gives_back(self, node: Any, index: int) -> bool:
        """A dead worker was about to begin a test: give it to another one. False where that cannot be done."""
        if xdist_repairs.can_take_back(self._xdists_own):
            xdist_repairs.take_back(self._xdists_own, node, index)
            return True
        return False

    def can_try_again(self) -> bool:
        """Whether a test can be run once more that its worker left in the middle."""
        return not self._tests.is_each or xdist_repairs.can_take_back(self._xdists_own)

    def crashed(self, test: WaitingTest) -> None:
        """A worker died in an attempt at a test, and there is to be another one. See `can_try_again`."""
        self._tests.put(test)
        if not self.gives_back(test.node, test.index):
            self._reschedule()
            self._tests.lost(test)

    # -- tests whose failure is in doubt --------------------------------------------------------------------------

    def doubted(self, test: WaitingTest) -> None:
        """A test failed on a worker that is not to be trusted: it runs again elsewhere."""
        self._tests.put(test)
        self._reschedule()

    def retires(self, node: Any) -> None:
        """That worker has ended, in order, and left its queue."""
        if self._scheduler is not None:
            self._scheduler.retires(node)

    def came_to_its_end(self, node: Any, index: int) -> None:
        """A test waits no longer: it has been run again."""
        test = self._tests.get(node, index)
        if test is not None:
            self._tests.pop(test)

    # Within what others wrap around it: they take its end for the end of all tests.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> object:
        try:
            return (yield)
        finally:
            with self._owner.guarded():
                self._catch_up()
            workers = self._pool.workers()
            for test in self._tests:
                # What is in flight is interrupted, and no more.
                if not (test.has_begun and test.node in workers):
                    with self._owner.guarded():
                        self._give_up(test)

    def _catch_up(self) -> None:
        """Take what workers told and the controller did not come to: it was interrupted."""
        for name, values in self._pool.unheard():
            if name == WAITS:
                self._waits(**values)
            elif name == BEGINS:
                self._begins(**values)
            elif name == "testreport" and values["rep"].when == "teardown":
                test = self._tests.get(values["node"], getattr(values["rep"], "item_index", -1))
                if test is not None:
                    # It came to its end, and the ledger tells of it.
                    self._tests.pop(test)

    def _give_up(self, test: WaitingTest) -> None:
        """Nobody is going to run the test again: what it showed is final, and the reports go out that nobody has seen."""
        owner = self._owner
        self._tests.pop(test)
        if test.is_told:
            return
        self._never_begins(test)
        self._terminal.given_up(test.ended.key)
        ended = test.ended._replace(again="the session ended before another attempt", wait=0.0)
        finished = TestFinished(
            key=ended.key, outcome=ended.outcome, attempts=ended.attempt, seconds=test.course["seconds"]
        )
        if owner.segment is not None and not test.has_crashed:
            owner.segment.write(finished)
        hook = owner.config.hook
        reports = [
            hook.pytest_report_from_serializable(config=owner.config, data=data)
            for data in json.loads(test.reports)
        ]
        for report in reports:
            report.node = test.node
            if report.failed and ended.outcome is Outcome.TIMED_OUT:
                verdicts.attach(report, finished, ended)
        last = reports[-1]
        verdicts.attach(last, finished, ended)
        statuses.need(owner.config)
        hook.pytest_runtest_logstart(nodeid=last.nodeid, location=last.location)
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=last.nodeid, location=last.location)
        self._workers.take(test.node, reports)

    def _never_begins(self, test: WaitingTest) -> None:
        """The retry that was granted to a test is somebody else's, unless it began."""
        allowance, number = self._owner.allowance, test.ended.attempt + 1
        if allowance is None or test.has_begun or test.is_told:
            return
        if self._tests.is_each:
            allowance.give_back(str(test.places[-1].gateway.id), test.ended.key, number)
        else:
            allowance.give_back_kept(test.ended.key, number)
