"""A worker died: which test it cost, whether that is tried again, and what pytest hears of it."""

import signal
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.deaths import Death
from pytest_resilience.core.facts import AttemptEnded, TestFinished, WorkerDown
from pytest_resilience.core.keys import file_of
from pytest_resilience.core.outcomes import PHASES, Outcome
from pytest_resilience.core.retry import RetryPolicy
from pytest_resilience.core.stacks import Stacks
from pytest_resilience.hooks import messages, statuses, verdicts, xdist_internals, xdist_repairs
from pytest_resilience.hooks.activity import Activity
from pytest_resilience.hooks.arrivals import Arrivals
from pytest_resilience.hooks.attempt import Course
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.redistribution import Redistribution
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.stacks import stacks_of
from pytest_resilience.hooks.terminal import Terminal
from pytest_resilience.hooks.waiting import Place, WaitingTest
from pytest_resilience.hooks.watchdog import Watchdog
from pytest_resilience.hooks.workers import Workers, how_it_died
from pytest_resilience.ledger.memory import oom_kills

# Tests replace it; we want the real one.
_clock = time.monotonic

# What faulthandler writes the stacks for.
_FATAL = frozenset({signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL})


class Crashes(Registered):
    """Settles each death with the one test that was in flight, if one was.

    To xdist that is the oldest test in the queue of the worker. It may be through already, or not have begun yet: then
    the death costs no attempt.
    """

    def __init__(
        self,
        owner: Owner,
        terminal: Terminal,
        workers: Workers,
        redistribution: Redistribution,
        arrivals: Arrivals,
        activity: Activity,
        watchdog: Watchdog,
    ) -> None:
        self._owner = owner
        self._terminal = terminal
        self._workers = workers
        self._redistribution = redistribution
        self._arrivals = arrivals
        self._activity = activity
        self._watchdog = watchdog
        self._pool = xdist_internals.Pool(owner.config)
        self._oldest: dict[Any, int | None] = {}
        self._spared: set[tuple[Any, int | None]] = set()
        self._oom_kills = oom_kills()

    # -- how a session goes ---------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True, wrapper=True)
    def pytest_xdist_make_scheduler(self) -> Any:
        scheduler = yield
        with self._owner.guarded():
            xdist_repairs.repair(scheduler)
            session = xdist_internals.dsession(self._owner.config)
            xdist_repairs.add_when_collected(session)
            xdist_repairs.end_without_workers(session)
            xdist_repairs.replace_if_needed(session, self._redistribution.has_work)
            xdist_internals.settle_crashes(self._owner.config)
            self._arrivals.begin()
        return scheduler

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        # With "each" workers may differ. With all others an index, or an id, would mean another test there, or none.
        known = getattr(self._pool.scheduler, "collection", None)
        if known is not None and list(ids) != known:
            why = f"{node.gateway.id} collected other tests than the workers before it, and was given none of theirs"
            self._owner.warn(Code.WORKER_START_FAILED, why)
            node.shutdown()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> object:
        try:
            return (yield)
        finally:
            self._arrivals.release_all()

    # -- how a worker ends ----------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error is not None:
            # xdist tells the id alone, which several tests may share.
            self._oldest[node] = self._pool.oldest(node)

    @pytest.hookimpl(optionalhook=True, wrapper=True, tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> Any:
        result = yield
        is_settled = False
        with self._owner.guarded():
            is_settled = self._settle(crashitem, report)
        if is_settled:
            raise xdist_internals.Settled
        return result

    def _settle(self, nodeid: str, report: Any) -> bool:
        """Whether pytest is not to hear of it."""
        death = self._death(nodeid, report.node)
        if report.outcome == "failed" and self._is_innocent(death):
            self._owner.write(WorkerDown(worker=death.writer, why=death.told.why))
            why = f"{death.told.why} with no test in flight. It cost none an attempt: another worker went on"
            self._owner.is_marred = True
            self._owner.warn(Code.WORKER_END_FAILED, why)
            return True
        self._owner.write(
            WorkerDown(worker=death.writer, why=death.with_calls(death.told.why), key=death.key)
        )
        course = self._course(death)
        ended, is_tried_again = self._ended(death, course)
        # Before anybody can begin the next attempt.
        self._owner.write(ended)
        _fill(report, death)
        if is_tried_again and report.outcome == "failed":
            self._try_again(death, course, ended, report)
            return True
        if death.waiting is not None:
            self._redistribution.pop(death.waiting)
        finished = TestFinished(
            key=death.key, outcome=ended.outcome, attempts=ended.attempt, seconds=course.seconds
        )
        verdicts.attach(report, finished, ended)
        statuses.need(self._owner.config)
        self._workers.take(death.node, [report])
        return False

    # -- who it was -----------------------------------------------------------------------------------------------

    def _death(self, nodeid: str, node: Any) -> "_Death":
        oldest = self._oldest.get(node)
        waiting = self._redistribution.found(node, oldest, nodeid)
        if waiting is not None:
            oldest = waiting.index
        index = oldest if oldest is not None else self._workers.index_of(nodeid)
        key = self._workers.key_at(index, nodeid)
        status = xdist_internals.exit_of_worker(node)
        hang = self._watchdog.hang_of(node)
        stacks = hang.stacks if hang is not None else self._stacks(node, status)
        return _Death(
            node=node,
            writer=self._workers.writer(node),
            told=self._told(node, nodeid, key, status, stacks),
            stacks=stacks,
            has_begun=self._activity.of(node).nodeid == nodeid,
            index=index,
            nodeid=nodeid,
            key=key,
            waiting=waiting,
            reports=self._arrivals.of(node),
        )

    def _told(self, node: Any, nodeid: str, key: str, status: int | None, stacks: Stacks | None) -> Death:
        hang = self._watchdog.hang_of(node)
        doing, at = self._activity.of(node), self._activity.lost_at(node)
        is_here = doing.nodeid == nodeid and doing.phase in PHASES
        file = file_of(key)
        is_killed = status == -signal.SIGKILL and hang is None
        return Death(
            worker=str(node.gateway.id),
            how=how_it_died(status) if hang is None else hang.how,
            key=key,
            is_killed=is_killed,
            is_out_of_memory=is_killed and self._ran_out_of_memory(),
            phase=doing.phase if is_here else "",
            seconds=max(0.0, at - doing.since) if is_here else None,
            pid=xdist_internals.pid_of_worker(node),
            peak=xdist_internals.peak_of_worker(node),
            before=tuple((name, max(0.0, at - ended)) for name, ended in self._activity.before(node)),
            is_at_fault=stacks is not None and any(frame.file == file for frame in stacks.frames),
            is_hung=hang is not None,
            notes=hang.notes if hang is not None else (),
        )

    def _ran_out_of_memory(self) -> bool:
        """Whether the system counts one more process that it killed for want of memory than we have told of."""
        now, before = oom_kills(), self._oom_kills
        if now is None or before is None or now <= before:
            return False
        self._oom_kills = before + 1
        return True

    def _stacks(self, node: Any, status: int | None) -> Stacks | None:
        """What faulthandler wrote when the process died, where it died of something that faulthandler sees."""
        if status is None or -status not in _FATAL:
            return None
        stacks = None
        with self._owner.guarded():
            stacks = stacks_of(self._owner, str(node.gateway.id), xdist_internals.pid_of_worker(node))
        # Those that somebody asked for earlier show another test.
        return stacks if stacks is not None and stacks.error else None

    def _is_innocent(self, death: "_Death") -> bool:
        """Whether no attempt at the test was in flight. It is seen to that the test comes to its end all the same."""
        waiting = death.waiting
        if waiting is not None and not waiting.has_begun:
            if waiting.place is Place.QUEUED and not self._is_spared(death):
                return False
            self._redistribution.waits_on(waiting)
            return True
        if death.index is None:
            return False
        if self._arrivals.is_through(death.node, death.index):
            return True
        if death.has_begun or not self._is_spared(death):
            return False
        return self._redistribution.gives_back(death.node, death.index)

    def _is_spared(self, death: "_Death") -> bool:
        """Once for each test: what ends its workers before it begins must not go on for ever."""
        copy_of = death.node.gateway.spec if self._owner.config.option.dist == "each" else None
        before = len(self._spared)
        self._spared.add((copy_of, death.index))
        return len(self._spared) > before

    # -- what becomes of it ---------------------------------------------------------------------------------------

    def _course(self, death: "_Death") -> Course:
        """How the test got on, up to the attempt that was in flight: elsewhere first, then on this worker."""
        before = death.waiting.course if death.waiting is not None else {}
        course = Course.from_plain(death.key, RetryPolicy(), before)
        for writer, ended in self._owner.run.attempts(death.key):
            if writer == death.writer and ended.attempt == course.number:
                course.seconds = round(course.seconds + ended.seconds, 6)
                course.passes += ended.outcome is Outcome.PASSED
                course.went_on(ended)
        return course

    def _ended(self, death: "_Death", course: Course) -> tuple[AttemptEnded, bool]:
        """The attempt as a fact, and whether another follows."""
        allowed = self._workers.crash_retries(death.index)
        refusal = self._refusal(death, course.number, is_wanted=death.crashes <= allowed)
        most = course.number + max(0, allowed + 1 - death.crashes)
        ended = AttemptEnded(
            key=death.key,
            attempt=course.number,
            outcome=death.told.outcome,
            phase=death.told.phase,
            seconds=round(death.told.seconds or 0.0, 6),
            code=death.told.code.code,
            message=death.with_calls(death.told.message),
            limit=max(most, death.waiting.ended.limit if death.waiting is not None else 1),
            again=refusal or f"crash {death.crashes} of {allowed + 1}",
        )
        return ended, not refusal

    def _refusal(self, death: "_Death", number: int, *, is_wanted: bool) -> str:
        """Why the test is not tried again, empty when it is: then the retry is granted."""
        owner = self._owner
        if owner.decision is not None:
            why = "the session is stopping"
        elif not self._pool.may_replace() or not self._redistribution.can_try_again():
            why = "no worker is left to try again"
        else:
            why = "" if is_wanted else "no crash retries left"
        if owner.allowance is None:
            return why
        holder, outcome = str(death.node.gateway.id), death.told.outcome
        refusal = owner.allowance.refuses(holder, death.key, number, outcome, is_wanted=not why)
        if not (why or refusal) and owner.config.option.dist != "each":
            owner.allowance.keep(holder, death.key, number + 1)
        return why or refusal

    def _try_again(self, death: "_Death", course: Course, ended: AttemptEnded, report: Any) -> None:
        assert death.index is not None
        course.seconds = round(course.seconds + ended.seconds, 6)
        course.went_on(ended)
        # As it goes out should nobody come to the next attempt.
        alone = copy(report)
        del alone.node
        config = self._owner.config
        plain = config.hook.pytest_report_to_serializable(config=config, report=alone)
        self._redistribution.crashed(
            WaitingTest(
                index=death.index,
                nodeid=death.nodeid,
                strategy="deferred",
                due=_clock(),
                course=course.plain(),
                ended=ended,
                reports=messages.as_text([plain]),
                node=death.node,
                place=Place.QUEUED,
                is_handed_over=True,
                places=[death.node],
                crashes=death.crashes,
            )
        )
        self._terminal.retried(ended.key, ended, "immediate", str(death.node.gateway.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Death:
    """A worker died, and xdist blames a test: the test at `index`, None for one that nobody knows.

    `has_begun` says that the worker had told so, and `waiting` is that test if it was waiting for another attempt, or in
    one. `reports` are those of phases that it was through with.
    """

    node: Any
    writer: str
    told: Death
    stacks: Stacks | None
    has_begun: bool
    index: int | None
    nodeid: str
    key: str
    waiting: WaitingTest | None
    reports: list[pytest.TestReport]

    def with_calls(self, text: str) -> str:
        """A text with where the process was."""
        return f"{text}\n{self.stacks.in_short()}" if self.stacks is not None else text

    @property
    def crashes(self) -> int:
        """How many attempts at the test ended their worker, this one included."""
        return (self.waiting.crashes if self.waiting is not None else 0) + 1


def _fill(report: Any, death: _Death) -> None:
    # xdist leaves "???": reporters that know phases then lose the test.
    report.when = "call"
    report.longrepr = "\n".join([death.told.title, "", *death.told.details])
    if death.stacks is not None:
        report.longrepr += f"\n\n{death.stacks}"
    file, _, domain = death.nodeid.partition("::")
    report.location = (file, None, domain.replace("::", ".") or file)
    for one in death.reports:
        if one.failed:
            report.sections.append((f"Failed {one.when} before the worker died", one.longreprtext))
        report.sections += one.sections
