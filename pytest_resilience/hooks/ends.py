"""How workers end out of order, seen from the controller: the run then ends in order, and never green."""

import json
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import DecisionTaken, WorkerDown
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.hooks import xdist_ends, xdist_internals
from pytest_resilience.hooks.interrupts import Grace
from pytest_resilience.hooks.last_words import FAREWELL, LAST_WORDS
from pytest_resilience.hooks.owner import FLAKY_STATUS, Owner
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.session import stop_reason, stop_workers
from pytest_resilience.hooks.terminal import Terminal
from pytest_resilience.hooks.watchdog import Watchdog
from pytest_resilience.hooks.workers import how_it_died


class BrokenWorker(Exception):
    """An internal error in the session of a worker; the text is all that is left of it."""


class Ends(Registered):
    """Hears the last words of workers, and notes which said none.

    `collected(node, ids)` takes a collection that xdist has no more use for.
    """

    def __init__(
        self,
        owner: Owner,
        terminal: Terminal,
        grace: Grace,
        watchdog: Watchdog,
        collected: Callable[[Any, Sequence[str]], None],
    ) -> None:
        self._owner = owner
        self._watchdog = watchdog
        self._terminal = terminal
        self._grace = grace
        self._take_collected = collected
        self._is_set_up = False
        self._is_over = False
        self._status: int | None = None
        self._excused: set[Any] = set()
        self._errors: set[str] = set()
        self._collected: set[Any] = set()
        self._finished: set[Any] = set()
        # By worker, what went wrong: before it had collected; outside of a test; after the last one.
        self._stillborn: dict[Any, str] = {}
        self._lost: dict[Any, str] = {}
        self._farewells: dict[Any, str] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        config = self._owner.config
        if not self._is_set_up:
            self._is_set_up = True
            with self._owner.guarded():
                xdist_ends.hear_breakdowns(config, self._broke_down)
                xdist_ends.replace_none_when_stopping(config, self._is_excused)
                xdist_ends.hear_late_collections(config, self._take_collected)
        xdist_internals.hear(node, config, LAST_WORDS, self._heard)
        xdist_internals.hear_at_once(node, FAREWELL, self._bids_farewell)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        self._collected.add(node)

    # -- what workers say -----------------------------------------------------------------------------------------

    def _heard(self, node: Any, values: dict[str, Any]) -> None:
        """A worker was interrupted, or a test called ``pytest.exit``: the session ends as one without workers does."""
        said = json.loads(values["text"])
        self._excused.add(node)
        if self._owner.decision is None:
            self._status = said["status"]
        if said["is_urgent"]:
            self._grace.begin()
        self._stop(
            DecisionTaken(code=Code.INTERRUPTED_BY_SIGNAL.code, why=f"{said['why']} ({node.gateway.id})")
        )

    def _broke_down(self, node: Any, error: str) -> None:
        self._excused.add(node)
        self._status = int(pytest.ExitCode.INTERNAL_ERROR)
        self._stop(DecisionTaken(code=Code.INTERNAL_ERROR.code, why=_with_error(node, error)))
        if error in self._errors:
            return
        self._errors.add(error)
        try:
            raise BrokenWorker(f"in {node.gateway.id}\n{error}")
        except BrokenWorker:
            excinfo = pytest.ExceptionInfo.from_current()
        config = self._owner.config
        config.hook.pytest_internalerror(excrepr=excinfo.getrepr(style="value"), excinfo=excinfo)

    def _stop(self, decision: DecisionTaken) -> None:
        if self._owner.decision is None:
            self._owner.decide(decision)
        stop_workers(self._owner, self._owner.decision or decision)

    def _bids_farewell(self, node: Any, values: dict[str, Any]) -> None:
        self._farewells[node] = self._farewells.get(node) or values["error"]

    def _is_excused(self, node: Any) -> bool:
        """Whether it is known why a worker ends, and that its test is no crash."""
        return node in self._excused or node in self._grace.overdue

    # -- what they do not say -------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error is None:
            self._finished.add(node)
        if error is None or self._is_excused(node):
            return
        why = self._how_it_died(node) if xdist_ends.is_cut_off(node) else _with_error(node, str(error))
        (self._lost if node in self._collected else self._stillborn)[node] = why

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: pytest.TestReport) -> None:
        # It died in a test, which is told as the test's end.
        self._lost.pop(getattr(report, "node", None), None)

    # -- how the run ends -----------------------------------------------------------------------------------------

    def pytest_terminal_summary(self) -> None:
        with self._owner.guarded():
            self._conclude()

    # Within what closes the run, and around xdist's own: when that is through, all workers have ended.
    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> object:
        self._decide_why_none_began()
        try:
            return (yield)
        finally:
            with self._owner.guarded():
                self._conclude()
            session.exitstatus = self._status_after(int(session.exitstatus))

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self) -> None:
        if self._owner.decision is not None:
            self._terminal.say_why_interrupted(stop_reason(self._owner.decision))

    @property
    def _why_none_began(self) -> DecisionTaken:
        return DecisionTaken(code=Code.WORKER_START_FAILED.code, why=_told(self._stillborn))

    def _decide_why_none_began(self) -> None:
        """Where no worker came to its tests, that is the reason for all that did not run."""
        owner = self._owner
        if not self._stillborn or self._lost or owner.decision is not None:
            return
        is_limit = xdist_internals.restart_limit(owner.config) and owner.run.having(Outcome.NOT_RUN)
        if not owner.is_selected or is_limit:
            owner.decide(self._why_none_began)

    def _conclude(self) -> None:
        """Look at all workers once, when they have ended."""
        if self._is_over:
            return
        self._is_over = True
        owner = self._owner
        decision = owner.decision
        if not owner.is_selected and decision is not None and not self._stillborn:
            # Without tests there is no other line that tells why.
            owner.warn(Code.of(decision.code) or Code.INTERNAL_ERROR, decision.why)
        if self._stillborn and not (owner.is_selected and decision == self._why_none_began):
            owner.warn(Code.WORKER_START_FAILED, f"{_told(self._stillborn)}, before it had collected")
        failed = dict(self._lost)
        for node in self._finished - self._excused - self._grace.overdue:
            error = self._farewells.get(node)
            if error:
                failed[node] = _with_error(node, error)
            elif error is None and xdist_internals.exit_of_worker(node) not in _HARMLESS:
                failed[node] = self._how_it_died(node)
        if not failed:
            return
        owner.is_marred = True
        for node, why in failed.items():
            owner.write(WorkerDown(worker=str(node.gateway.id), why=why))
        owner.warn(
            Code.WORKER_END_FAILED,
            f"{_told(failed)}, outside of its tests. Their outcomes stand; what it had to tear down or to write at its "
            "end may be missing",
        )

    def _how_it_died(self, node: Any) -> str:
        hang = self._watchdog.hang_of(node)
        how = hang.how if hang is not None else how_it_died(xdist_internals.exit_of_worker(node))
        return f"{node.gateway.id} {how}"

    def _status_after(self, status: int) -> int:
        if self._status is not None:
            return self._status
        is_empty = status == pytest.ExitCode.NO_TESTS_COLLECTED and bool(self._stillborn)
        is_green = status in (pytest.ExitCode.OK, FLAKY_STATUS)
        return pytest.ExitCode.TESTS_FAILED if is_empty or (is_green and self._owner.is_marred) else status


# Where xdist has nothing to say of it: SIGKILL is also how it ends a worker that takes long.
_HARMLESS = (None, 0, -signal.SIGKILL)


def _with_error(node: Any, error: str) -> str:
    return f"{node.gateway.id} ended with an error: {_last_line(error)}"


def _last_line(error: str) -> str:
    return error.strip().rpartition("\n")[2]


def _told(whys: dict[Any, str]) -> str:
    """The first of several reasons, and how many there are."""
    first = next(iter(whys.values()))
    return f"{first} (and {len(whys) - 1} more)" if len(whys) > 1 else first
