"""Tests whose next attempt comes later: at the end of this process, after all others, or in another one."""

from collections.abc import Callable
from typing import Any, Protocol

import pytest

from pytest_resilience.core.retry import Strategy
from pytest_resilience.hooks.attempt import Attempt, Course
from pytest_resilience.hooks.registered import Registered


class Deferral:
    """A test that waits for its next attempt, which is not to begin before `due` on the clock of this process.

    `failed` is the attempt that it failed at last, whose reports nobody has seen; None where another process has it.
    """

    __slots__ = ("course", "due", "failed", "item", "strategy")

    def __init__(
        self,
        *,
        item: pytest.Item,
        course: Course,
        strategy: Strategy,
        due: float,
        failed: Attempt | None = None,
    ) -> None:
        self.item = item
        self.course = course
        self.strategy = strategy
        self.due = due
        self.failed = failed


class Relay(Protocol):
    """Who else may run a test that waits. In a serial session nobody; under xdist the controller finds a worker.

    `is_there` says whether anybody does.
    """

    is_there: bool

    def hands_over(self, item: pytest.Item, strategy: Strategy) -> bool:
        """Whether another process makes the next attempt; else this one does, at its end."""

    def waits(self, deferral: Deferral, *, is_handed_over: bool) -> None:
        """A test failed, its attempt is durable, and its next one comes later."""

    def handed(self, item: pytest.Item) -> Deferral | None:
        """How a test got on elsewhere, when its next attempt is to be made here; None for one that is new."""

    def comes_up(self, item: pytest.Item) -> None:
        """What this process has kept is about to be run, or to be reported."""

    def begins(self, deferral: Deferral) -> None:
        """The next attempt of a test that waited begins."""


class Alone:
    """The relay of a session without workers."""

    is_there = False

    def hands_over(self, item: pytest.Item, strategy: Strategy) -> bool:
        """Nobody else is there."""
        return False

    def waits(self, deferral: Deferral, *, is_handed_over: bool) -> None:
        """Nobody has to know."""

    def handed(self, item: pytest.Item) -> Deferral | None:
        """Nobody else runs tests."""
        return None

    def comes_up(self, item: pytest.Item) -> None:
        """Nobody has to know."""

    def begins(self, deferral: Deferral) -> None:
        """Nobody has to know."""


class Deferred(Registered):
    """The tests that wait in this process: in the order in which they failed, those that are to be isolated last.

    `give_up` is told of each that still waits when the session ends early: what it showed so far is final.
    """

    def __init__(self, relay: Relay, give_up: Callable[[Deferral], None], *, is_worker: bool) -> None:
        self._relay = relay
        self._give_up = give_up
        self._is_worker = is_worker
        self._waiting: list[Deferral] = []
        # Whether any test waits, or may come from elsewhere: as long as none does, nobody has to ask.
        self.may_be = relay.is_there
        self._next: Deferral | None = None

    # -- one test after another -----------------------------------------------------------------------------------

    def put(self, deferral: Deferral) -> None:
        """A test failed, and its next attempt comes later."""
        self.may_be = True
        is_handed_over = self._relay.hands_over(deferral.item, deferral.strategy)
        self._relay.waits(deferral, is_handed_over=is_handed_over)
        if not is_handed_over:
            self._waiting.append(deferral)
            self._waiting.sort(key=_is_isolated)

    def of(self, item: pytest.Item) -> Deferral | None:
        """The test that waits, when its turn has come; None for one that runs for the first time."""
        if self._next is not None:
            return self._next if self._next.item is item else None
        return self._relay.handed(item)

    def begins(self, deferral: Deferral) -> None:
        """The next attempt of a test begins: it waits no longer."""
        self._next = None
        self._relay.begins(deferral)

    # -- what stays set up between tests --------------------------------------------------------------------------

    def after(self, nextitem: Any) -> Any:
        """What comes after a test, so that the fixtures which both share are kept; None for nothing that shares any.

        After the last test comes the first that waits. With one that is to be isolated nothing is shared.
        """
        if nextitem is None:
            first = self._waiting[0] if self._waiting else None
            return None if first is None or _is_isolated(first) else first.item
        handed = self._relay.handed(nextitem)
        return None if handed is not None and _is_isolated(handed) else nextitem

    def after_failed(self, item: pytest.Item, nextitem: Any, strategy: Strategy) -> Any:
        """The same for a test that failed and is going to wait: where nothing comes in between, that test again."""
        following = self.after(nextitem)
        if following is None and nextitem is None and strategy == "deferred":
            return None if self._relay.hands_over(item, strategy) else item.parent
        return following

    # -- the end of the session -----------------------------------------------------------------------------------

    # Within what others wrap around it: they take its end for the end of all tests.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        try:
            result = yield
            while self._waiting and not (session.shouldfail or session.shouldstop):
                self._run(self._waiting.pop(0))
                if not self._is_worker:
                    _end_early(session)
            return result
        finally:
            while self._waiting:
                self._end(self._waiting.pop(0))

    def _run(self, deferral: Deferral) -> None:
        item = deferral.item
        self._next = deferral
        try:
            self._relay.comes_up(item)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=self.after(None))
        finally:
            if self._next is not None:
                # It did not begin: the session is stopping, or another plugin took its turn.
                self._next = None
                self._end(deferral)

    def _end(self, deferral: Deferral) -> None:
        self._relay.comes_up(deferral.item)
        self._give_up(deferral)


def _is_isolated(deferral: Deferral) -> bool:
    return deferral.strategy == "isolated"


def _end_early(session: pytest.Session) -> None:
    """Stop as pytest's own loop does."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
