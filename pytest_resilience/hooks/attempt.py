"""What one attempt at a test showed, and how the test got on over its attempts so far."""

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_resilience.core import outcomes
from pytest_resilience.core.codes import Code
from pytest_resilience.core.errors import text_of
from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import Again, Enough, RetryPolicy
from pytest_resilience.hooks import internals
from pytest_resilience.hooks.timeouts import is_timeout
from pytest_resilience.hooks.verdicts import shown

_CODES = {"setup": Code.SETUP_ERROR, "call": Code.TEST_FAILED, "teardown": Code.TEARDOWN_ERROR}
_NOT_ASKED = Enough("")


class Course:
    """How a test got on so far. `number` is that of its next or present attempt; `seconds` is the time in attempts.

    `errors` has the errors of earlier attempts as ``TypeName: message``, empty for one that passed. `limit` is how many
    attempts there may be: as the policy says, or as many as there were, where a hook wanted more.
    """

    is_marred = False
    errors: tuple[str, ...] = ()

    def __init__(self, key: str, policy: RetryPolicy) -> None:
        self.key = key
        self.policy = policy
        # Looked at for every test: to find it here is quicker than on the class.
        self.number = 1
        self.seconds = 0.0
        self.passes = 0
        self.limit = 1 + (policy.most_retries if policy.rules else policy.retries)

    @classmethod
    def from_plain(cls, key: str, policy: RetryPolicy, plain: dict[str, Any]) -> "Course":
        """The course that `plain` made plain, of the same test in another process."""
        course = cls(key, policy)
        for name, value in plain.items():
            setattr(course, name, value)
        course.errors = tuple(course.errors)
        course.limit = max(course.limit, course.number)
        return course

    def plain(self) -> dict[str, Any]:
        """What another process has to know in order to go on; key and policy it has itself."""
        return {
            "number": self.number,
            "seconds": self.seconds,
            "passes": self.passes,
            "is_marred": self.is_marred,
            "errors": [*self.errors],
        }

    def went_on(self, ended: AttemptEnded) -> None:
        """An attempt ended and another follows."""
        self.number += 1
        self.limit = max(self.limit, self.number)
        self.is_marred = self.is_marred or ended.outcome.is_bad
        self.errors += (ended.message if ended.outcome.is_bad else "",)

    def reproached(self, ended: AttemptEnded, reproach: str) -> AttemptEnded:
        """The last attempt of a test that fails for being flaky: with the error that makes it so."""
        if ended.outcome.is_bad:
            return ended._replace(code=Code.TEST_FLAKY.code, message=f"{reproach}: {ended.message}")
        from pytest_resilience.core.fingerprints import fingerprint

        error = next(filter(None, reversed(self.errors)), "")
        return ended._replace(
            code=Code.TEST_FLAKY.code,
            message=f"{reproach}: {error}" if error else reproach,
            # Tests that are flaky for different reasons did not fail with the same error.
            fingerprint=fingerprint(Code.TEST_FLAKY.code, error),
        )


class Attempt:
    """What one attempt at an item showed so far. `reports` are those not yet given to pytest.

    `phase` is where it failed first, and `error` what with; `later` is what else went wrong after that; `passed` is how many phases passed. `is_brief` says
    that failures are shown in one line until it is known that no other attempt follows, and `brief` has those that are.
    `is_logged` says that pytest gets the reports even if another attempt follows. `told` is the attempt as a fact, once
    its errors were let go.
    """

    error: BaseException | None = None
    teardown_error: BaseException | None = None
    later: tuple[str, ...] = ()
    strict_xpass = False
    told: AttemptEnded | None = None

    def __init__(
        self, item: pytest.Item, nodeid: str, hook: Any, number: int, limit: int, is_logged: bool = False
    ) -> None:
        self.item = item
        self.nodeid = nodeid
        self.hook = hook
        self.number = number
        self.limit = limit
        self.is_logged = is_logged
        self.phases: dict[str, str] = {}
        self.reports: list[pytest.TestReport] = []
        # As with Course.
        self.decision: Again | Enough = _NOT_ASKED
        self.when = "setup"
        self.phase = ""
        self.passed = 0
        self.seconds = 0.0
        self.is_brief = False
        self.brief: tuple[tuple[pytest.TestReport, Any], ...] = ()

    def saw(self, report: pytest.TestReport, error: BaseException | None) -> None:
        """Take the report of a phase, to be told later."""
        self.reports.append(report)
        outcome = report.outcome
        is_plain = outcome == "passed" and not hasattr(report, "wasxfail")
        if is_plain:
            self.phases[self.when] = "passed"
            self.passed += 1
        else:
            self.phases[self.when] = shown(report)
        self.seconds += report.duration
        if outcome == "failed":
            self._saw_failure(report, error)

    def saw_in_brief(self, report: pytest.TestReport, call: Any) -> None:
        """What `report` shows of a failure is brief; `call` is what pytest knows of it."""
        self.brief += ((report, call),)

    def complete(self) -> None:
        """Show failures in full, but for what somebody else has put there."""
        for report, call in self.brief:
            report.longrepr = internals.in_full(self.item, call, report.longrepr)
        self.brief = ()

    def _saw_failure(self, report: pytest.TestReport, error: BaseException | None) -> None:
        timed_out = is_timeout(error)
        if timed_out:
            self.phases[self.when] = "timed_out"
        if self.when == "teardown":
            self.teardown_error = error
        if timed_out or not self.phase:
            self.phase, self.error = self.when, error
            self.strict_xpass = internals.is_strict_xpass(self.item, report, error)
        elif error is not None:
            self.later += (_in_one_line(error),)

    def saw_above(self, error: BaseException) -> None:
        """What was taken down above the item raised, after the attempt: no phase tells of it."""
        self.later += (_in_one_line(error),)
        failed = next((one for one in self.reports if one.failed), self.reports[-1])
        failed.sections.append(("Error when fixtures were torn down afterwards", self.later[-1]))

    def saw_failed_subtest(self, error: BaseException | None) -> None:
        """A subtest failed with `error`, and so did the test, whatever its own call showed."""
        self.phases["call"] = "failed"
        if not self.phase:
            self.phase, self.error = "call", error

    def blame(self, text: str) -> None:
        """Have pytest count the attempt as failed, for what `text` says, though nothing in it failed."""
        report = next((one for one in self.reports if one.when == "call"), self.reports[0])
        report.outcome, report.longrepr = "failed", text
        report.__dict__.pop("wasxfail", None)

    @property
    def outcome(self) -> Outcome:
        if self.passed == len(outcomes.PHASES) and not self.phase:
            return Outcome.PASSED
        return outcomes.of_attempt(self.phases)

    def ended(self, key: str, root: str) -> AttemptEnded:
        """The attempt as a fact; `root` is the folder of the project."""
        wait = self.decision.after if isinstance(self.decision, Again) else 0.0
        if self.told is not None:
            return self.told._replace(again=self.decision.why, wait=wait)
        code = Code.STRICT_XPASS if self.strict_xpass else _CODES.get(self.phase)
        if self.outcome is Outcome.TIMED_OUT:
            code = Code.TEST_TIMEOUT
        # Most sessions have no failure, and what is compiled there takes a while.
        from pytest_resilience.core.fingerprints import fingerprint

        error = self.error
        if error is not None:
            kind, text = type(error).__name__, text_of(error)
        elif self.strict_xpass:
            kind, text = "XPASS(strict)", ""
        else:
            kind, text = ("Failed", "a subtest failed") if self.phase else (self.outcome.value, "")
        return AttemptEnded(
            key=key,
            attempt=self.number,
            outcome=self.outcome,
            phase=self.phase,
            seconds=round(self.seconds, 6),
            code=code.code if code is not None else "",
            fingerprint=fingerprint(kind, text, _place(error, root)),
            message=_with_later(f"{kind}: {text}" if text else kind, self.later),
            limit=self.limit,
            again=self.decision.why,
            wait=wait,
        )

    def interrupted(self, key: str, error: BaseException) -> AttemptEnded:
        """The attempt as a fact when `error` cut it off."""
        return AttemptEnded(
            key=key,
            attempt=self.number,
            outcome=Outcome.INTERRUPTED,
            phase=self.when,
            seconds=round(self.seconds, 6),
            code=Code.INTERRUPTED_BY_SIGNAL.code,
            message=_named(error),
        )


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")


def _in_one_line(error: BaseException) -> str:
    return _named(error).partition("\n")[0]


def _with_later(message: str, later: Iterable[str]) -> str:
    """A message with what went wrong afterwards in its first line, which is the one that is printed."""
    first, newline, rest = message.partition("\n")
    return "; then ".join([first, *later]) + newline + rest


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
