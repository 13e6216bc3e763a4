"""The worker's side of an xdist run: it keeps its own segment, retries on its own, and stops when told to."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, Fact, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import Strategy
from pytest_resilience.hooks import messages, xdist_worker
from pytest_resilience.hooks.board import BOARD, Board
from pytest_resilience.hooks.inquiry import Inquiry
from pytest_resilience.hooks.journal import is_limited
from pytest_resilience.hooks.limits import LIMITS
from pytest_resilience.hooks.redaction import redactor_for
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.selection import Collected
from pytest_resilience.hooks.stacks import Stacks
from pytest_resilience.hooks.verdicts import ended_to
from pytest_resilience.ledger.locks import Lock
from pytest_resilience.ledger.runs import RunFolder
from pytest_resilience.ledger.seal import WeakKey, secret_in
from pytest_resilience.ledger.segments import Segment

# Tests replace these; we want the real ones.
_getppid = os.getppid


class Worker(Registered):
    """What a worker writes and says. `orders` are the controller's plain values, see `Workers.orders`."""

    def __init__(self, config: pytest.Config, orders: dict[str, Any]) -> None:
        self._config = config
        self._orders = orders
        self._id: str = config.workerinput["workerid"]  # type: ignore[attr-defined]
        self._parent = _getppid()
        self._is_orphan = False
        self._segment: Segment | None = None
        self._alive: Lock | None = None
        self._stacks: Stacks | None = None
        self._writer = ""
        self._board = Board.create()
        # Shows it to the controller.
        self.entered = self._board.show if self._board is not None else _shows_nobody
        self._session: pytest.Session | None = None
        values = orders["settings"]["values"]
        self._inquiry = Inquiry(self._say_urgently) if is_limited(values) else None
        self.redactor = redactor_for(config, values["ledger.redact"], self.trouble)
        self._redacted = 0
        self._tells_passes = values["retry.budget"] != "none" and values["retry.refill"] > 0

    # -- the journal ----------------------------------------------------------------------------------------------

    def may_go_on(self, item: pytest.Item) -> bool:
        """A worker that lost its controller runs no further test: nobody would know of it."""
        if self._is_orphan or _getppid() != self._parent:
            self._is_orphan = True
            item.session.shouldstop = "the controller is gone"
            return False
        return True

    def started(self, started: AttemptStarted) -> None:
        """Write that an attempt begins."""
        segment = self._segment
        if segment is not None:
            segment.write(started)
            if segment.writer is not self._writer and self._stacks is not None:
                # A test closed what it had not opened.
                self._writer = segment.writer
                self._stacks.check()

    @property
    def is_watched(self) -> bool:
        """Whether the controller can see it."""
        return self._board is not None

    def write(self, fact: Fact) -> None:
        """Write a fact, unless the controller is gone: what an orphan sees is no verdict, it may be interrupted."""
        if type(fact) is TestFinished and _getppid() != self._parent:
            self._is_orphan = True
        if self._segment is not None and not self._is_orphan:
            self._segment.write(fact)
        self._tell_redacted()

    def _tell_redacted(self) -> None:
        if self.redactor.count != self._redacted:
            self._redacted = self.redactor.count
            self._say(redacted=self._redacted)

    def refuses_retry(self, key: str, attempt: int, outcome: Outcome, is_wanted: bool) -> str:
        """Ask the controller."""
        if self._inquiry is None:
            return ""
        return self._inquiry.refuses(key, attempt, outcome, is_wanted=is_wanted)

    def unused(self, key: str, attempt: int) -> None:
        """Let the controller have it back."""
        if self._inquiry is not None:
            self._inquiry.unused(key, attempt)

    def trouble(self, code: Code, text: str) -> None:
        """Let the controller tell it."""
        self._say(trouble=[code.name, text])

    def retried(
        self, item: pytest.Item, ended: AttemptEnded, strategy: Strategy, *, is_shown: bool = False
    ) -> None:
        """Let the controller show the attempt."""
        self._say(retried=[ended_to(ended), strategy, is_shown])

    def given_up(self, item: pytest.Item) -> None:
        """The controller sees it by the number of attempts."""

    def finished(self, finished: TestFinished, ended: AttemptEnded | None) -> None:
        """The report says it. Only a pass that refills the budget has to be known before the next question."""
        if self._tells_passes and finished.outcome is Outcome.PASSED:
            self._say_urgently(passed=finished.key)

    # -- hooks ----------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session
        xdist_worker.send_plain_values(self._config)
        if self._board is not None:
            xdist_worker.send_values(self._config, BOARD, **self._board.plain())
        self.open()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        xdist_worker.listen(self._config, self._heard, self._cut_off)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> object:
        if self._segment is not None:
            self._segment.sync()
        try:
            return (yield)
        finally:
            if self._segment is not None:
                self._segment.close()
            if self._alive is not None:
                self._alive.release()

    # -- what the controller says ---------------------------------------------------------------------------------

    def _heard(self, text: str) -> bool:
        """Take a message, in execnet's thread; whether no further test is to begin."""
        is_over = False
        for what, value in json.loads(text).items():
            match what:
                case "stop":
                    is_over = True
                    if self._session is not None:
                        self._session.shouldstop = value
                case "answer":
                    if self._inquiry is not None:
                        self._inquiry.answered(*value)
        return is_over

    def _cut_off(self) -> None:
        if self._inquiry is not None:
            self._inquiry.cut_off()

    # -- what the controller hears --------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the segment of this process in the run's folder.

        Only if that is the controller's folder, not one of the same name on another machine, and if this process has
        the key when the run is signed. Else the controller writes what the reports tell.
        """
        if not self._orders["folder"]:
            return
        folder = RunFolder.join(Path(self._orders["folder"]), self._orders["nonce"], _secret())
        if folder is None:
            return
        self._segment = Segment.create(
            folder.path,
            self._id,
            run=folder.id,
            durability=self._orders["settings"]["values"]["ledger.durability"],
            trouble=self.trouble,
            redactor=self.redactor,
            seal=folder.seal,
        )
        self._alive = folder.hold(self._segment.writer)
        self._writer = self._segment.writer
        self._stacks = Stacks(self._config, folder.path, self._id, takes_over=True)

    def collected(self, collected: Collected) -> None:
        """Tell what came of the collection, before xdist tells the ids."""
        self._say(
            hello={"writer": self._segment.writer if self._segment is not None else "", "pid": os.getpid()}
        )
        self._say(
            collected={
                "carried": collected.carried,
                "held": collected.held,
                "gone": collected.gone,
                "odd": list(collected.odd.items()),
                "whole": collected.whole,
                "unimported": collected.unimported,
                "redacted": collected.redacted,
            }
        )

    def limits(self, limits: dict[str, float]) -> None:
        """Let the controller look at the time that tests take."""
        xdist_worker.send_values(self._config, LIMITS, text=json.dumps(limits))

    def refuse(self, text: str) -> None:
        """Let the controller end the session: a worker that ends with a usage error looks like a crash to xdist."""
        self._say(refused=text)

    def _say(self, **message: object) -> None:
        xdist_worker.send_event(self._config, json.dumps(message))

    def _say_urgently(self, **message: object) -> None:
        xdist_worker.send_event(self._config, json.dumps(message), messages.URGENT)


def _shows_nobody(phase: str, attempt: int) -> None:
    """In the place of a board, where the system has none."""


def _secret() -> bytes | None:
    """The key as this process has it: a weak one is none, the owner of the run has refused it where it matters."""
    with suppress(WeakKey):
        return secret_in(os.environ)
    return None
