"""Runs each test, attempt by attempt, until its final outcome is known; only the final attempt is reported."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import TestFinished, attempt_started, finished_test
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.redaction import Redactor
from pytest_resilience.core.retry import Again, Enough, RetryPolicy
from pytest_resilience.hooks import internals, repeated, statuses
from pytest_resilience.hooks.attempt import Attempt, Course
from pytest_resilience.hooks.deferred import Deferral, Deferred, Relay
from pytest_resilience.hooks.journal import Journal
from pytest_resilience.hooks.listeners import Listeners
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.subtests import Subtests
from pytest_resilience.hooks.timeouts import TimeLimits
from pytest_resilience.hooks.verdicts import attach, read
from pytest_resilience.hooks.visible import Visible
from pytest_resilience.ledger.redaction import redacted

# Tests replace these; we want the real ones. Chance of our own: tests seed the one that all share.
_sleep = time.sleep
_clock = time.monotonic
_chance = random.Random().random

_SLICE = 0.1


class Attempts(Registered):
    """The protocol of one test. `policy_of` gives the retry policy of an item, `key_of` its key.

    `relay` knows who else may make an attempt that comes later. With `retries_off` nobody may want another attempt.
    """

    def __init__(
        self,
        config: pytest.Config,
        journal: Journal,
        policy_of: Callable[[pytest.Item], RetryPolicy],
        key_of: Callable[[pytest.Item], str],
        relay: Relay,
        redactor: Redactor,
        *,
        retries_off: bool,
    ) -> None:
        self._journal = journal
        self._entered = journal.entered
        self._is_watched = True
        self._redactor = redactor
        self._policy_of = policy_of
        self._key_of = key_of
        self._root = str(config.rootpath)
        self._with_debugger = bool(config.getoption("usepdb", False))
        self._reraise = internals.ends_session(config)
        self._setup_only = bool(config.getoption("setuponly", False))
        # With the one comes the other.
        self._shows_setup = bool(config.getoption("setupshow", False)) or self._setup_only
        self._subtests = Subtests()
        self._has_subtests = False
        self._limits = TimeLimits(config)
        self._visible = Visible()
        self._is_worker = hasattr(config, "workerinput")
        self._deferred = Deferred(relay, self._give_up, is_worker=self._is_worker)
        self._listeners = Listeners(journal.trouble, may_ask=not retries_off)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # Hooks are dear: each is there only where somebody needs it.
        self._has_subtests = internals.may_have_subtests(session.items)
        if self._has_subtests:
            session.config.pluginmanager.register(self._subtests, "resilience-subtests")
            self._say_more(session.config)
        self._listeners.count(session.config)
        self._is_watched = self._journal.is_watched

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        manager = session.config.pluginmanager
        manager.register(self._visible, "resilience-visible")
        manager.register(self._deferred, "resilience-deferred")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        if not self._journal.may_go_on(item):
            return True
        hook, nodeid, location = item.ihook, item.nodeid, item.location
        hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
        self._run(item, nodeid, hook, nextitem)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
        if self._is_watched:
            self._entered("", 0)
        return True

    def _run(self, item: pytest.Item, nodeid: str, hook: Any, nextitem: Any) -> None:
        deferral = self._deferred.of(item) if self._deferred.may_be else None
        if deferral is None:
            course = Course(self._key_of(item), self._policy_of(item))
        else:
            course = deferral.course
            self._limits.pause(item)
            self._entered("waiting", course.number)
            self._wait(item, deferral.due - _clock())
            if item.session.shouldfail or item.session.shouldstop:
                return
            self._deferred.begins(deferral)
        before = internals.Snapshot(item) if course.limit > 1 or self._listeners.are_asked else None
        is_logged = course.policy.reports == "all"
        while True:
            number = course.number
            attempt = Attempt(item, nodeid, hook, number, course.limit, is_logged)
            self._visible.begin(course)
            if is_logged:
                repeated.count(item, number)
            try:
                self._journal.started(attempt_started((course.key, number)))
                if number > 1:
                    self._limits.begin(item)
                self._attempt(nextitem, course, attempt)
            except BaseException as error:
                self._journal.write(attempt.interrupted(course.key, error))
                raise
            course.seconds = round(course.seconds + attempt.seconds, 6)
            decision = attempt.decision
            if isinstance(decision, Enough):
                self._finish(course, attempt)
                return
            if before is not None:
                before.restore(item)
            if decision.strategy != "immediate":
                self._defer(course, attempt, decision)
                return
            self._entered("waiting", course.number)
            if is_logged and not self._is_worker:
                # Who replaces time.sleep counts on one call for each retry, as pytest-rerunfailures makes it. What
                # stops a session without workers is a signal, and that ends the sleep.
                _sleep(decision.after)
            else:
                self._wait(item, decision.after)
            if item.session.shouldfail or item.session.shouldstop:
                # It was stopped while we waited: the attempt that failed was the last.
                if not is_logged:
                    self._journal.given_up(item)
                for problem in internals.take_down(item, None, [], self._reraise):
                    attempt.saw_above(problem)
                attempt.decision = Enough("the session is stopping")
                self._finish(course, attempt)
                return

    def _attempt(self, nextitem: Any, course: Course, attempt: Attempt) -> None:
        """Setup, call and teardown, and the decision whether another attempt follows.

        Reports go out as soon as the attempt is known to be the final one. That is at once when no attempt is left,
        before the teardown for a failure that is not retried, and after it for a pass that a failing teardown could
        still take back.
        """
        item, number = attempt.item, attempt.number
        has_more = number < attempt.limit and not self._with_debugger
        # Nobody sees what is thrown away.
        attempt.is_brief = has_more and not attempt.is_logged
        internals.open_item(item)
        is_certain = number == 1 == course.policy.min_passes and not (has_more or self._listeners.are_asked)
        if self._has_subtests:
            self._subtests.begin(hold=not is_certain)
        try:
            self._setup_and_call(attempt, at_once=is_certain)
            has_failed = bool(attempt.phase)
            if has_failed:
                if self._is_repeated(course, attempt):
                    self._make_way(attempt, nextitem)
                    if not self._is_vetoed(course, attempt, nextitem):
                        self._tell(course, attempt)
                    return
                self._release(attempt)
            session = item.session
            following = nextitem
            if session.shouldfail or session.shouldstop:
                following = None
            elif self._deferred.may_be:
                following = self._deferred.after(nextitem)
            self._tear_down(attempt, following)
            outcome = attempt.outcome
            course.passes += outcome is Outcome.PASSED
            is_open = not has_failed and (outcome.is_bad or course.policy.min_passes > 1)
            if is_open and self._is_repeated(course, attempt):
                self._make_way(attempt, nextitem)
                self._tell(course, attempt)
        finally:
            internals.close_item(item)

    def _setup_and_call(self, attempt: Attempt, *, at_once: bool = False) -> None:
        item, hook = attempt.item, attempt.hook
        report = self._phase(attempt, "setup", partial(hook.pytest_runtest_setup, item=item))
        if at_once:
            self._release(attempt)
        if report.outcome != "passed":
            return
        if self._shows_setup:
            internals.show_setup(item, add_space=not self._setup_only)
            if self._setup_only:
                return
        self._phase(attempt, "call", partial(hook.pytest_runtest_call, item=item))
        if self._has_subtests and self._subtests.has_failed:
            attempt.saw_failed_subtest(self._subtests.error)
        if at_once:
            self._release(attempt)

    def _tear_down(self, attempt: Attempt, nextitem: Any) -> None:
        item, hook = attempt.item, attempt.hook
        self._phase(attempt, "teardown", partial(hook.pytest_runtest_teardown, item=item, nextitem=nextitem))
        if self._limits.are_set:
            self._limits.pause(item)

    def _phase(self, attempt: Attempt, when: Any, work: Callable[[], None]) -> pytest.TestReport:
        attempt.when = when
        if self._is_watched:
            self._entered(when, attempt.number)
        call = pytest.CallInfo.from_call(work, when=when, reraise=self._reraise)
        report: pytest.TestReport
        if attempt.is_brief:
            report = internals.brief_report(attempt.item, attempt.hook, call)
        else:
            report = attempt.hook.pytest_runtest_makereport(item=attempt.item, call=call)
        # To be asked now: a unittest keeps its error until the report is made.
        if call.excinfo is None:
            attempt.saw(report, None)
            return report
        internals.interact(attempt.item, attempt.hook, call, report)
        attempt.saw(report, call.excinfo.value)
        if attempt.is_brief:
            attempt.saw_in_brief(report, call)
        return report

    def _is_repeated(self, course: Course, attempt: Attempt) -> bool:
        attempt.decision = self._decide(course, attempt)
        return isinstance(attempt.decision, Again)

    def _decide(self, course: Course, attempt: Attempt) -> Again | Enough:
        session = attempt.item.session
        if session.shouldfail or session.shouldstop or self._limits.has_expired(session):
            return Enough("the session is stopping")
        outcome = attempt.outcome
        if self._with_debugger and outcome.is_bad:
            return Enough("the debugger is on")
        if attempt.strict_xpass:
            return Enough("a strict xpass is no flaky failure")
        chance = _chance()
        decision = course.policy.decide(
            outcome,
            attempt.number,
            attempt.error,
            phase=attempt.phase,
            passes=course.passes,
            chance=chance,
        )
        if outcome.is_bad and self._listeners.are_asked:
            decision = self._listeners.decide(attempt, decision, course.policy, chance)
        if outcome.is_bad:
            refusal = self._journal.refuses_retry(
                course.key, attempt.number, outcome, isinstance(decision, Again)
            )
            if refusal and isinstance(decision, Again):
                return Enough(refusal)
        return decision

    def _make_way(self, attempt: Attempt, nextitem: Any) -> None:
        """Take down what another attempt makes anew: the item, what failed above it, and what is to be refreshed."""
        item, decision = attempt.item, attempt.decision
        assert isinstance(decision, Again)
        node: Any = item.parent
        if decision.strategy != "immediate":
            node = self._deferred.after_failed(item, nextitem, decision.strategy)
        if attempt.when != "teardown":
            self._tear_down(attempt, node)
        keep = None if node is None else internals.kept(item, node, scopes=decision.refresh)
        definitions = internals.failed_fixtures(item, attempt.error)
        definitions += internals.named_fixtures(item, decision.refresh)
        for error in internals.take_down(item, keep, definitions, self._reraise):
            attempt.saw_above(error)

    def _is_vetoed(self, course: Course, attempt: Attempt, nextitem: Any) -> bool:
        """Whether the teardown of a failed attempt failed with an error that is not retried: then all is torn down."""
        error = attempt.teardown_error
        reason = course.policy.excludes(error) if error is not None else ""
        if error is None or not reason:
            return False
        self._journal.unused(course.key, attempt.number + 1)
        attempt.decision = Enough(f"{reason} (in teardown)")
        errors = internals.take_down(attempt.item, self._deferred.after(nextitem), [], self._reraise)
        if errors:
            report = internals.report_of_teardown(attempt.item, attempt.hook, [*errors, error])
            attempt.reports[-1] = report
        return True

    def _tell(self, course: Course, attempt: Attempt) -> None:
        """Make what the attempt showed durable and known, before the next attempt begins."""
        ended = attempt.ended(course.key, self._root)
        # The test itself may know what its errors were.
        course.went_on(ended)
        self._say_more(attempt.item.config)
        ended = redacted(ended, self._redactor)
        self._journal.write(ended)
        is_deferred = isinstance(attempt.decision, Again) and attempt.decision.strategy != "immediate"
        if not is_deferred:
            if attempt.is_logged:
                self._log(attempt)
            self._journal.retried(attempt.item, ended, "immediate", is_shown=attempt.is_logged)
        if self._listeners.are_told:
            self._listeners.finished(attempt, is_final=False)

    def _log(self, attempt: Attempt) -> None:
        """Give pytest the reports of an attempt that another follows, as pytest-rerunfailures does."""
        for report in attempt.reports:
            # A pass that is repeated, because more are wanted, is none that counts.
            has_failed = report.failed or report.when == (attempt.phase or "call")
            told = repeated.marked(report, attempt.number, has_failed=has_failed)
            attempt.hook.pytest_runtest_logreport(report=told)

    def _release(self, attempt: Attempt) -> None:
        if attempt.brief:
            attempt.complete()
        log, reports = attempt.hook.pytest_runtest_logreport, attempt.reports
        is_plain = not (attempt.phase or self._has_subtests or attempt.is_logged)
        for report in reports:
            if not is_plain:
                self._announce(report, attempt)
            log(report=report)
        reports.clear()

    def _announce(self, report: pytest.TestReport, attempt: Attempt) -> None:
        """What is to be said before a report goes out, or by it."""
        if self._has_subtests and report.when == "call":
            self._subtests.release(attempt.item)
        if report.outcome == "failed" and attempt.outcome is Outcome.TIMED_OUT and read(report) is None:
            self._attach_timeout(report, attempt)
        if attempt.is_logged:
            repeated.number(report, attempt.number)

    def _say_more(self, config: pytest.Config) -> None:
        # To a worker's controller the reports say it themselves.
        if not self._is_worker:
            statuses.need(config)

    def _attach_timeout(self, report: pytest.TestReport, attempt: Attempt) -> None:
        """Let the report of the phase that took too long say so: the last report alone carries the final outcome."""
        self._say_more(attempt.item.config)
        key = self._key_of(attempt.item)
        finished = TestFinished(key=key, outcome=attempt.outcome, attempts=attempt.number)
        attach(report, finished, redacted(attempt.ended(key, self._root), self._redactor))

    def _defer(self, course: Course, attempt: Attempt, decision: Again) -> None:
        """Let the next attempt come later. Until then no frame of the test is kept, and nothing that it holds."""
        attempt.told = ended = redacted(attempt.ended(course.key, self._root), self._redactor)
        attempt.complete()
        attempt.error = attempt.teardown_error = None
        attempt.reports = self._subtests.merged_into(attempt.reports)
        due = _clock() + decision.after
        self._deferred.put(
            Deferral(item=attempt.item, course=course, strategy=decision.strategy, due=due, failed=attempt)
        )
        # After the reports were put in safety: who knows of the attempt must not lose them.
        self._journal.retried(attempt.item, ended, decision.strategy, is_shown=False)

    def _give_up(self, deferral: Deferral) -> None:
        """The session ends before the next attempt of a test: the attempt that failed was its last."""
        item, attempt = deferral.item, deferral.failed
        assert attempt is not None
        attempt.decision = Enough("the session ended before another attempt")
        self._subtests.begin(hold=False)
        self._journal.given_up(item)
        attempt.hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._finish(deferral.course, attempt)
        attempt.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _finish(self, course: Course, attempt: Attempt) -> None:
        """Write the final outcome, then report: who has seen a report finds the outcome in the ledger."""
        last, number = attempt.outcome, attempt.number
        is_plain = last is Outcome.PASSED and number == 1 == course.policy.min_passes
        if is_plain:
            final, reproach = last, ""
        else:
            final, reproach = course.policy.verdict(last, passes=course.passes, is_marred=course.is_marred)
        finished = finished_test((course.key, final, number, course.seconds))
        # A plain pass needs no record of its own; a skip that made a failed test flaky does.
        is_told = not is_plain and (final.is_bad or (final is Outcome.FLAKY and last is not Outcome.PASSED))
        ended = attempt.ended(course.key, self._root) if is_told else None
        if ended is not None and reproach:
            ended = course.reproached(ended, reproach)
            if not last.is_bad:
                attempt.blame(f"{Code.TEST_FLAKY}: {ended.message}")
        if ended is not None:
            # What goes to other processes, and to the terminal, is as it is in the ledger.
            ended = redacted(ended, self._redactor)
            self._journal.write(ended)
        self._journal.write(finished)
        if not is_plain or course.key != attempt.nodeid:
            self._say_more(attempt.item.config)
            attach(attempt.reports[-1], finished, ended)
        if number > 1:
            attempt.reports[-1].user_properties += [
                ("resilience_outcome", final.value),
                ("resilience_attempts", number),
            ]
            if final is Outcome.FLAKY and last is Outcome.PASSED:
                for report in attempt.reports:
                    if report.when == "call":
                        attach(report, finished)
        self._release(attempt)
        self._journal.finished(finished, ended)
        if self._listeners.are_told:
            self._listeners.finished(attempt, is_final=True)

    @staticmethod
    def _wait(item: pytest.Item, seconds: float) -> None:
        """Wait between attempts, in slices, so that a session that is stopping does not wait."""
        until = _clock() + seconds
        while (left := until - _clock()) > 0 and not (item.session.shouldfail or item.session.shouldstop):
            _sleep(min(left, _SLICE))
