"""Which worker runs a test that waits for another attempt: a scheduler around that of xdist."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pytest_resilience.hooks.waiting import Place, WaitingTest, WaitingTests


class Pool(Protocol):
    """The workers of the session, those included that are still starting."""

    def workers(self) -> list[Any]:
        """All that have not ended."""

    def may_grow(self) -> bool:
        """Whether another worker can be started: not when the session is stopping, nor after too many crashes."""

    def has_nothing_for_another(self, scheduler: Any) -> bool:
        """Whether a worker that comes now would get no tests from this scheduler of xdist."""

    def start(self, like: Any) -> Any:
        """Start another worker. Raises what the system raises when there is none to be had."""


class Rescheduling:
    """xdist's scheduler, which goes on giving out the tests, and around it the tests that wait.

    Instead of being told that nothing more follows, a worker gets a test that waits (see `may_end`). When all workers
    have been told so, a fresh one is started for the tests that wait by then, and keeps them: what fails there again is
    tried there again. Tests to be isolated get a fresh worker when all others are done. So each test that waits is in
    the queue of a worker, or a worker is going to ask for it, or one is coming, or none may be started any more.

    Attributes that are not mentioned here are those of xdist's scheduler. What goes wrong here alone stays within
    `guarded`: then tests are not run again, and xdist goes on.
    """

    def __init__(
        self,
        inner: Any,
        tests: WaitingTests,
        pool: Pool,
        collected: dict[Any, bool],
        guarded: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._inner = inner
        self._tests = tests
        self._pool = pool
        # Whether the collection of a worker is that of the others; without it nobody knows what its indexes mean.
        self._collected = collected
        self._guarded = guarded
        self._gives_again = hasattr(inner, "pending") and hasattr(inner, "node2pending")
        self._fresh: dict[Any, dict[int, None]] = {}
        self._served: set[Any] = set()
        self._started: set[Any] = set()
        self._retired: set[Any] = set()
        self._is_barren = False
        self._is_due = False

    @property
    def inner(self) -> Any:
        """The scheduler of xdist."""
        return self._inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    # -- what xdist asks ------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[Any]:
        """All workers that take tests."""
        return [*self._inner.nodes, *self._fresh]

    @property
    def has_pending(self) -> bool:
        """Whether tests are left to run."""
        return bool(self._inner.has_pending or self._tests)

    @property
    def tests_finished(self) -> bool:
        """Whether workers may be told that nothing more follows. Asked after every event: the time to act."""
        with self._guarded():
            self._place()
        is_needed = self._tests.nowhere("deferred") or self._tests.nowhere("isolated")
        return bool(self._inner.tests_finished) and not (is_needed and self._coming())

    # -- what xdist tells -----------------------------------------------------------------------------------------

    def add_node(self, node: Any) -> None:
        """A worker has started. One that the others leave nothing to is for those that wait."""
        if node in self._started or self._is_wanted(node):
            self._fresh[node] = {}
        else:
            self._inner.add_node(node)

    def _is_wanted(self, node: Any) -> bool:
        if not self._pool.has_nothing_for_another(self._inner):
            return False
        is_alone = self._pool.workers() == [node]
        is_needed = self._tests.nowhere("deferred") or (is_alone and self._tests.nowhere("isolated"))
        # xdist does not know what to do with a worker in the place of one that was through with its tests.
        return bool(is_needed or self._tests.is_each)

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """A worker has collected."""
        if node in self._fresh:
            self._is_barren = self._is_barren or not self._collected.get(node)
        elif node in self._inner.nodes:
            self._inner.add_node_collection(node, collection)
            self._is_due = True
        # Any other was told to end when it came, because the session was ending then.

    def schedule(self) -> None:
        """Some worker has collected and can be given tests."""
        with self._guarded():
            for node in [one for one in self._fresh if one in self._collected and one not in self._served]:
                self._serve(node)
        if self._is_due:
            self._is_due = False
            self._inner.schedule()

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """A worker is through with a test."""
        self._tests.completed(node, item_index)
        if node in self._fresh:
            self._fresh[node].pop(item_index, None)
        else:
            self._inner.mark_test_complete(node, item_index, duration)

    def remove_node(self, node: Any) -> str | None:
        """A worker has ended: the id of the test that it left in the middle, None when it left none."""
        if node in self._retired:
            self._take_back(node)
            return None
        if node not in self._fresh:
            if self._gives_again:
                # All but the first, which xdist takes for the one in flight.
                queue = self._inner.node2pending.get(node, [])
                queue[1:] = [index for index in queue[1:] if not self._is_lost(node, index)]
            crashed: str | None = self._inner.remove_node(node)
            return crashed
        tests = [self._tests.get(node, index) for index in self._fresh.pop(node)]
        in_flight = tests[0] if tests and tests[0] is not None and tests[0].place is Place.QUEUED else None
        for test in tests:
            if test is not None and test is not in_flight:
                self._tests.lost(test)
        return in_flight.nodeid if in_flight is not None else None

    def retires(self, node: Any) -> None:
        """A worker has ended before its time, between two tests; it is removed next. Only where tests can be given again."""
        if node in self._inner.nodes:
            self._retired.add(node)

    def _take_back(self, node: Any) -> None:
        queue = self._inner.node2pending[node]
        self._inner.pending.extend(index for index in queue if not self._is_lost(node, index))
        queue.clear()
        # One that came up when it was told to end did not begin.
        for test in self._tests.at(node, Place.QUEUED):
            self._tests.lost(test)
        self._inner.remove_node(node)
        self._inner.schedule()

    def _is_lost(self, node: Any, index: int) -> bool:
        """Whether a test waits that a worker had in its queue and is not going to run: somebody else has to."""
        test = self._tests.get(node, index)
        if test is not None:
            self._tests.lost(test)
        return test is not None

    # -- who runs what --------------------------------------------------------------------------------------------

    def may_end(self, node: Any) -> bool:
        """Whether a worker may be told that nothing more follows. If not, xdist asks again when it is through with a test.

        It may not while it has two tests, which is when it goes on without being told: who knows what fails by then.
        """
        if not self._pool.may_grow() or node not in self._living():
            return True
        queue = self._inner.node2pending[node]
        while len(queue) < 2 and (test := self._test_for(node)) is not None:
            self._tests.goes_to(node, test, stays=False)
            queue.append(test.index)
            node.send_runtest_some([test.index])
        return len(queue) < 2

    def _test_for(self, node: Any) -> WaitingTest | None:
        """The first test that waits and that no other worker, not one that is coming either, should rather take."""
        takers = [*self._living(), *self._coming()]
        for test in self._tests.nowhere("deferred"):
            if min(test.places.count(one) for one in takers) == test.places.count(node):
                return test
        return None

    def _place(self) -> None:
        """Start a worker where nobody else can run what waits."""
        deferred, isolated = self._tests.nowhere("deferred"), self._tests.nowhere("isolated")
        if not (deferred or isolated) or self._is_barren or not self._pool.may_grow() or self._coming():
            return
        if deferred and not self._living():
            self._start(next(iter(deferred)))
        elif isolated and not self._pool.workers():
            self._start(next(iter(isolated)))

    def _living(self) -> list[Any]:
        """The workers whose queue can still grow."""
        if not self._gives_again:
            return []
        workers = self._pool.workers()
        return [
            one
            for one in self._inner.nodes
            if one in workers and not one.shutting_down and self._collected.get(one)
        ]

    def _coming(self) -> list[Any]:
        """The workers that have not collected yet."""
        return [one for one in self._pool.workers() if not one.shutting_down and one not in self._collected]

    def _serve(self, node: Any) -> None:
        """Give a fresh worker all that wait for one, and tell it that nothing more follows."""
        self._served.add(node)
        tests = list(self._tests.nowhere("deferred") or self._tests.nowhere("isolated"))
        if tests and self._collected[node] and not node.shutting_down:
            for test in tests:
                self._tests.goes_to(node, test, stays=True)
            self._fresh[node] = dict.fromkeys(test.index for test in tests)
            node.send_runtest_some(list(self._fresh[node]))
        node.shutdown()

    def _start(self, test: WaitingTest) -> None:
        try:
            self._started.add(self._pool.start(test.node))
        except Exception:
            self._is_barren = True
            raise
