"""The controller's side of an xdist run: what workers are told, and what they and their deaths tell."""

import json
import signal
import zlib
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_resilience.core import outcomes
from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    TestFinished,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.hooks import messages, verdicts, xdist_internals
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.selection import Collected, Orders
from pytest_resilience.hooks.session import stop_workers
from pytest_resilience.hooks.subtests import is_subtest
from pytest_resilience.hooks.terminal import Terminal
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.reading import facts_of


class Workers(Registered):
    """Translates between the owner of a run and its workers."""

    def __init__(self, owner: Owner, terminal: Terminal) -> None:
        self._owner = owner
        self._terminal = terminal
        self._packed: bytes | None = None
        self._writers: dict[Any, str] = {}
        self._collected: Collected | None = None
        self._keys: list[str] = []
        self._nodeids: list[str] = []
        self._crash_retries: dict[int, int] = {}
        self._unwritable: set[Any] = set()
        self._is_watching = False
        self._refused = ""

    # -- what workers are told ------------------------------------------------------------------------------------

    def orders(self) -> bytes:
        """What every worker needs, as bytes; made once, replacements get the same.

        The ids of 100,000 tests take about 0.3 MB so. Escaped JSON, because a lone surrogate ends an xdist session.
        """
        if self._packed is None:
            owner = self._owner
            folder = owner.folder
            plain = {
                "settings": owner.settings.plain(),
                "mode": owner.config.option.dist,
                "folder": str(folder.path) if folder is not None else "",
                "controller": Process.here()._asdict(),
                "nonce": folder.info.nonce if folder is not None else "",
                "choice": owner.choice._asdict() if owner.plan.parent else None,
                "plan": Orders.of(owner.plan).plain(),
            }
            self._packed = zlib.compress(json.dumps(plain).encode("ascii"), 1)
        return self._packed

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["resilience"] = self.orders()
        xdist_internals.hear(node, self._owner.config, messages.EVENT, self._heard)
        xdist_internals.hear_at_once(node, messages.URGENT, self._heard_urgent)
        xdist_internals.send_to_the_living(node)

    # -- what workers tell ----------------------------------------------------------------------------------------

    def _heard(self, node: Any, values: dict[str, Any]) -> None:
        for what, value in json.loads(values["text"]).items():
            match what:
                case "hello":
                    self._writers[node] = value["writer"]
                case "collected":
                    self._collected = Collected(
                        carried=value["carried"],
                        held=value["held"],
                        gone=value["gone"],
                        odd={int(at): key for at, key in value["odd"]},
                        whole=value["whole"],
                        unimported=value["unimported"],
                        redacted=value["redacted"],
                    )
                case "crash_retries":
                    self._crash_retries = dict(value)
                case "retried":
                    ended, (strategy, is_shown) = verdicts.ended_from(value[0]), value[1:]
                    self._observe(node, ended)
                    if not is_shown:
                        self._terminal.retried(ended.key, ended, strategy, node.gateway.id)
                case "redacted":
                    self._owner.redacted_by[node] = value
                case "refused":
                    self._refused = value
                case "trouble":
                    code = Code[value[0]]
                    if code is Code.LEDGER_UNWRITABLE:
                        self._unwritable.add(node)
                    self._owner.warn(code, f"{value[1]} ({node.gateway.id})")

    def _heard_urgent(self, node: Any, values: dict[str, Any]) -> None:
        """Take a message as it comes, in the thread that hears this worker.

        A worker that waits must not depend on the controller's loop, which may be busy, or wait for this very worker.
        """
        allowance, holder = self._owner.allowance, str(node.gateway.id)
        if allowance is None:
            return
        with self._owner.guarded():
            match json.loads(values["text"]):
                case {"bad": [key, attempt, outcome, is_wanted], **rest}:
                    why = allowance.refuses(holder, key, attempt, Outcome(outcome), is_wanted=is_wanted)
                    if "number" in rest:
                        xdist_internals.send_command(node, json.dumps({"answer": [rest["number"], why]}))
                case {"unused": [key, attempt]}:
                    allowance.give_back(holder, key, attempt)
                case {"passed": key}:
                    allowance.passed(key)

    def _observe(self, node: Any, fact: AttemptEnded | TestFinished) -> None:
        writer = self._writers.get(node)
        if not writer:
            writer = self.writer(node)
            if self._owner.segment is not None:
                # A worker that cannot see the folder of the run has no segment: what it tells is written here.
                self._owner.segment.write(fact)
        self._owner.run.observe(fact, writer)

    def writer(self, node: Any) -> str:
        """Under which name a worker writes."""
        return self._writers.get(node) or str(node.gateway.id)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        owner = self._owner
        if not self._is_watching:
            self._is_watching = True
            xdist_internals.after_failed_collections(owner.config, self.stopped_by_xdist)
        self.take_collected(node, ids)

    def take_collected(self, node: Any, ids: Sequence[str]) -> None:
        """Take what the first worker collected that is through with it."""
        owner = self._owner
        if owner.is_selected:
            return
        if self._refused:
            owner.refuse(self._refused)
        collected = self._collected or Collected()
        self._nodeids, self._keys = list(ids), collected.keys(list(ids))
        is_each = owner.config.option.dist == "each"
        owner.selected(
            collected, self._keys, xdist_internals.number_of_workers(owner.config) if is_each else 1
        )

    def take_pass(self, node: Any, report: pytest.TestReport) -> None:
        """Take the end of a test that just passed, from its last report."""
        self._take(node, TestFinished(self._key_at(report), Outcome.PASSED), None)

    def take(self, node: Any, reports: list[pytest.TestReport]) -> None:
        """Take the end of any test from its reports: all of them, or that of its worker's death."""
        last = reports[-1]
        carried = verdicts.read(last)
        if carried is None:
            if last.when == "teardown":
                self._take(node, TestFinished(self._key_at(last), _outcome_in(reports)), None)
            return
        finished, ended = carried
        if ended is not None and ended.took_worker:
            self._take_crash(finished, ended)
        elif last.when == "teardown":
            self._take(node, finished, ended)

    def note(self, node: Any, finished: TestFinished, ended: AttemptEnded | None) -> None:
        """Take what became of a test that had been reported before: no threshold counts it twice."""
        if ended is not None:
            self._observe(node, ended)
        self._observe(node, finished)

    def _key_at(self, report: pytest.TestReport) -> str:
        # Its id costs pytest some time, and mostly is not needed.
        return self.key_at(getattr(report, "item_index", None), "") or report.nodeid

    def key_at(self, index: int | None, nodeid: str) -> str:
        """The key of a test by its place among those to run; by its id where that is not known."""
        return self._keys[index] if index is not None and index < len(self._keys) else nodeid

    def index_of(self, nodeid: str) -> int | None:
        """The place of a test with this id, of several the first that has not finished."""
        places = [index for index, one in enumerate(self._nodeids) if one == nodeid]
        finished = self._owner.run.is_finished
        return next((index for index in places if not finished(self._keys[index])), next(iter(places), None))

    def crash_retries(self, index: int | None) -> int:
        """How often a test is tried again whose worker died."""
        usual: int = self._owner.settings.crash_retries
        return self._crash_retries.get(index, usual) if index is not None else 0

    def _take_crash(self, finished: TestFinished, ended: AttemptEnded | None) -> None:
        """A test ended its worker for good. The first attempt alone is no verdict: its worker may have had one."""
        if finished.attempts > 1:
            self._owner.write(finished)
        decision = self._owner.observe(finished, ended)
        if decision is not None:
            stop_workers(self._owner, decision)

    def _take(self, node: Any, finished: TestFinished, ended: AttemptEnded | None) -> None:
        owner = self._owner
        if ended is not None:
            self._observe(node, ended)
        self._observe(node, finished)
        decision = owner.observe(finished, ended)
        if decision is not None:
            stop_workers(owner, decision)

    # -- how workers end ------------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        allowance = self._owner.allowance
        if error is not None and allowance is not None:
            with self._owner.guarded():
                allowance.died(str(node.gateway.id), lambda: self._begun(node))

    def _begun(self, node: Any) -> set[tuple[str, int]]:
        """The attempts that began on a worker that is dead, by key and number; none where that cannot be known."""
        owner, writer = self._owner, self._writers.get(node)
        is_dead = xdist_internals.exit_of_worker(node) is not None
        if owner.folder is None or not writer or node in self._unwritable or not is_dead:
            return set()
        return {
            (fact.key, fact.attempt)
            for by, fact in facts_of(owner.folder.path, owner.folder.seal)
            if by == writer and isinstance(fact, AttemptStarted)
        }

    def stopped_by_xdist(self, reason: str) -> None:
        """Xdist has decided to stop (``--maxfail``, ``-x``): stop as we do."""
        if self._owner.decision is None:
            self._owner.decide(DecisionTaken(code=Code.STOP_MAX_FAILURES.code, why=reason))
        stop_workers(self._owner, self._owner.decision or DecisionTaken(code="", why=reason))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        # Nobody stopped the session, yet tests are left: xdist had no worker for them.
        owner = self._owner
        if owner.decision is None and owner.run.having(Outcome.NOT_RUN):
            why = xdist_internals.restart_limit(owner.config) or "xdist gave them to no worker"
            owner.decide(DecisionTaken(code=Code.WORKER_RESTART_LIMIT.code, why=why))


def _outcome_in(reports: list[pytest.TestReport]) -> Outcome:
    """What an attempt came to of which the worker says nothing but its reports."""
    phases = {str(one.when): verdicts.shown(one) for one in reports if not is_subtest(one)}
    return outcomes.of_attempt(phases)


def how_it_died(status: int | None) -> str:
    """The exit status of a process in words, negative for a signal."""
    if status is None:
        return "died"
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"died of {signal.Signals(-status).name}"
    except ValueError:
        return f"died of signal {-status}"
