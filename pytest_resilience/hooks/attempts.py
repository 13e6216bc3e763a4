"""Runs each test, attempt by attempt, until its final outcome is known; only the final attempt is reported."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_resilience.core import outcomes
from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded, AttemptStarted, TestFinished
from pytest_resilience.core.fingerprints import fingerprint
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import Again, Enough, RetryPolicy, text_of
from pytest_resilience.hooks import internals
from pytest_resilience.hooks.journal import Journal
from pytest_resilience.hooks.subtests import Subtests
from pytest_resilience.hooks.verdicts import attach, shown

# Tests replace these; we want the real ones.
_sleep = time.sleep
_clock = time.monotonic

_SLICE = 0.1
_CODES = {"setup": Code.SETUP_ERROR, "call": Code.TEST_FAILED, "teardown": Code.TEARDOWN_ERROR}


_NOT_ASKED = Enough("")


@dataclass(slots=True)
class _Attempt:
    """What one attempt at an item showed so far. `reports` are those not yet given to pytest."""

    item: pytest.Item
    hook: Any
    number: int
    limit: int
    decision: Again | Enough = _NOT_ASKED
    when: str = "setup"
    phases: dict[str, str] = field(default_factory=dict)
    reports: list[pytest.TestReport] = field(default_factory=list)
    phase: str = ""
    error: BaseException | None = None
    strict_xpass: bool = False
    seconds: float = 0.0

    def saw(self, report: pytest.TestReport, error: BaseException | None) -> None:
        """Take the report of a phase, to be told later."""
        self.reports.append(report)
        self.phases[self.when] = shown(report)
        self.seconds += report.duration
        if report.failed and not self.phase:
            self.phase, self.error = self.when, error
            self.strict_xpass = error is None and str(report.longrepr).startswith("[XPASS(strict)]")

    def saw_failed_subtest(self) -> None:
        """A subtest failed, and so did the test, whatever its own call showed."""
        self.phases["call"] = "failed"
        self.phase = self.phase or "call"

    @property
    def outcome(self) -> Outcome:
        return outcomes.of_attempt(self.phases)


class Attempts:
    """The protocol of one test. `policy_of` gives the retry policy of an item, `key_of` its key."""

    def __init__(
        self,
        config: pytest.Config,
        journal: Journal,
        policy_of: Callable[[pytest.Item], RetryPolicy],
        key_of: Callable[[pytest.Item], str],
    ) -> None:
        self._journal = journal
        self._policy_of = policy_of
        self._key_of = key_of
        self._root = str(config.rootpath)
        self._with_debugger = bool(config.getoption("usepdb", False))
        self._reraise = internals.ends_session(config)
        self._setup_only = bool(config.getoption("setuponly", False))
        self._shows_setup = bool(config.getoption("setupshow", False))
        self._subtests = Subtests()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # A hook for every report is dear: it is there only where subtests can be.
        if any(internals.may_have_subtests(item) for item in session.items):
            session.config.pluginmanager.register(self._subtests, "resilience-subtests")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        if not self._journal.may_go_on(item):
            return True
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._run(item, hook, nextitem)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _run(self, item: pytest.Item, hook: Any, nextitem: pytest.Item | None) -> None:
        key, policy = self._key_of(item), self._policy_of(item)
        before = internals.Snapshot(item) if policy.retries else None
        seconds, number = 0.0, 1
        while True:
            attempt = _Attempt(item, hook, number, policy.retries + 1)
            try:
                self._journal.started(AttemptStarted(key=key, attempt=number))
                self._attempt(nextitem, key, policy, attempt)
            except BaseException as error:
                self._journal.write(_interrupted(key, attempt, error))
                raise
            seconds = round(seconds + attempt.seconds, 6)
            if isinstance(attempt.decision, Enough):
                self._finish(key, attempt, seconds)
                return
            self._wait(item, attempt.decision.after)
            if before is not None:
                before.restore(item)
            number += 1

    def _attempt(
        self, nextitem: pytest.Item | None, key: str, policy: RetryPolicy, attempt: _Attempt
    ) -> None:
        """Setup, call and teardown, and the decision whether another attempt follows.

        Reports go out as soon as the attempt is known to be the final one. That is at once when no attempt is left,
        before the teardown for a failure that is not retried, and after it for a pass that a failing teardown could
        still take back.
        """
        item = attempt.item
        armed = attempt.number <= policy.retries and not self._with_debugger
        internals.open_item(item)
        self._subtests.begin(hold=armed)
        try:
            self._setup_and_call(attempt, at_once=not armed and attempt.number == 1)
            if attempt.phase:
                if self._is_repeated(policy, attempt):
                    self._teardown_for_another(attempt)
                    self._tell(key, attempt)
                    return
                self._release(attempt)
            stopping = item.session.shouldfail or item.session.shouldstop
            self._phase(attempt, "teardown", nextitem=None if stopping else nextitem)
            if attempt.phase == "teardown" and self._is_repeated(policy, attempt):
                self._tell(key, attempt)
        finally:
            internals.close_item(item)

    def _setup_and_call(self, attempt: _Attempt, *, at_once: bool = False) -> None:
        report = self._phase(attempt, "setup")
        if at_once:
            self._release(attempt)
        if report.passed:
            if self._shows_setup:
                internals.show_setup(attempt.item, add_space=not self._setup_only)
            if not self._setup_only:
                self._phase(attempt, "call")
                if self._subtests.has_failed:
                    attempt.saw_failed_subtest()
                if at_once:
                    self._release(attempt)

    def _phase(self, attempt: _Attempt, when: str, **arguments: Any) -> pytest.TestReport:
        attempt.when = when
        report, error = internals.run_phase(attempt.item, attempt.hook, when, self._reraise, **arguments)
        attempt.saw(report, error)
        return report

    def _is_repeated(self, policy: RetryPolicy, attempt: _Attempt) -> bool:
        session = attempt.item.session
        if session.shouldfail or session.shouldstop:
            attempt.decision = Enough("the session is stopping")
        elif self._with_debugger:
            attempt.decision = Enough("the debugger is on")
        elif attempt.strict_xpass:
            attempt.decision = Enough("a strict xpass is no flaky failure")
        else:
            attempt.decision = policy.decide(attempt.outcome, attempt.number, attempt.error)
        return isinstance(attempt.decision, Again)

    def _teardown_for_another(self, attempt: _Attempt) -> None:
        """Tear down the item alone, and what failed above it: fixtures that succeeded are kept for the next attempt."""
        item = attempt.item
        broken = internals.failed_fixtures(item)
        request = getattr(item, "_request", None)
        collector = internals.broken_collector(item)
        keep = collector.parent if collector is not None else item.parent
        self._phase(attempt, "teardown", nextitem=keep)
        internals.forget_fixtures(broken, request)

    def _tell(self, key: str, attempt: _Attempt) -> None:
        """Make what the attempt showed durable and known, before the next attempt begins."""
        ended = self._ended(key, attempt)
        self._journal.write(ended)
        self._journal.retried(attempt.item, ended)

    def _release(self, attempt: _Attempt) -> None:
        for report in attempt.reports:
            if report.when == "call":
                self._subtests.release(attempt.item)
            attempt.hook.pytest_runtest_logreport(report=report)
        attempt.reports.clear()

    def _finish(self, key: str, attempt: _Attempt, seconds: float) -> None:
        """Write the final outcome, then report: who has seen a report finds the outcome in the ledger."""
        last = attempt.outcome
        final = outcomes.of_test(last, had_bad_attempt=attempt.number > 1)
        finished = TestFinished(key=key, outcome=final, attempts=attempt.number, seconds=seconds)
        # A plain pass needs no record of its own; a skip that made a failed test flaky does.
        is_told = final.is_bad or (final is Outcome.FLAKY and last is not Outcome.PASSED)
        ended = self._ended(key, attempt) if is_told else None
        if ended is not None:
            self._journal.write(ended)
        self._journal.write(finished)
        if final is not Outcome.PASSED:
            attach(attempt.reports[-1], finished, ended)
        elif key != attempt.item.nodeid:
            attach(attempt.reports[-1], finished)
        if attempt.number > 1:
            attempt.reports[-1].user_properties += [
                ("resilience_outcome", final.value),
                ("resilience_attempts", attempt.number),
            ]
            if last is Outcome.PASSED:
                for report in attempt.reports:
                    if report.when == "call":
                        attach(report, finished)
        self._release(attempt)
        self._journal.finished(finished, ended)

    def _ended(self, key: str, attempt: _Attempt) -> AttemptEnded:
        code = Code.STRICT_XPASS if attempt.strict_xpass else _CODES.get(attempt.phase)
        error = attempt.error
        if error is not None:
            kind, text = type(error).__name__, text_of(error)
        elif attempt.strict_xpass:
            kind, text = "XPASS(strict)", ""
        else:
            kind, text = ("Failed", "a subtest failed") if attempt.phase else (attempt.outcome.value, "")
        return AttemptEnded(
            key=key,
            attempt=attempt.number,
            outcome=attempt.outcome,
            phase=attempt.phase,
            seconds=round(attempt.seconds, 6),
            code=code.code if code is not None else "",
            fingerprint=fingerprint(kind, text, _place(error, self._root)),
            message=f"{kind}: {text}" if text else kind,
            limit=attempt.limit,
            again=attempt.decision.why,
            wait=attempt.decision.after if isinstance(attempt.decision, Again) else 0.0,
        )

    @staticmethod
    def _wait(item: pytest.Item, seconds: float) -> None:
        """Wait between attempts, in slices, so that a session that is stopping does not wait."""
        until = _clock() + seconds
        while (left := until - _clock()) > 0 and not (item.session.shouldfail or item.session.shouldstop):
            _sleep(min(left, _SLICE))


def _interrupted(key: str, attempt: _Attempt, error: BaseException) -> AttemptEnded:
    return AttemptEnded(
        key=key,
        attempt=attempt.number,
        outcome=Outcome.INTERRUPTED,
        phase=attempt.when,
        seconds=round(attempt.seconds, 6),
        code=Code.INTERRUPTED_BY_SIGNAL.code,
        message=f"{type(error).__name__}: {text_of(error)}".removesuffix(": "),
    )


def _place(error: BaseException | None, root: str) -> str:
    """The innermost frame inside the project, as ``path:function``, empty when there is none."""
    place = ""
    traceback: Any = error.__traceback__ if error is not None else None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename.startswith(root) and "site-packages" not in code.co_filename:
            place = f"{code.co_filename[len(root) :]}:{code.co_name}"
        traceback = traceback.tb_next
    return place
