"""The twelve final outcomes of a test, and how one follows from what its attempts showed."""

from enum import Enum


class Outcome(Enum):
    """What finally became of a test in a run. Exactly one of these holds for each test selected."""

    PASSED = "passed"
    FLAKY = "flaky"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    FAILED = "failed"
    ERROR = "error"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    NOT_RUN = "not_run"
    CARRIED_OVER = "carried_over"

    # Members are what they are; enum's own hash is a call for every look into a set.
    __hash__ = object.__hash__

    @property
    def is_good(self) -> bool:
        """A later run need not repeat the test."""
        return self in _GOOD

    @property
    def is_bad(self) -> bool:
        """The test, or the process that ran it, did something wrong."""
        return self in _BAD

    @property
    def is_outstanding(self) -> bool:
        """A resume has to run the test again. Every outcome is either good or outstanding."""
        return self not in _GOOD

    @property
    def severity(self) -> int:
        """How grave the outcome is, as an order: where two records disagree, the graver one stands."""
        return _SEVERITY[self]


_GOOD = frozenset(
    {
        Outcome.PASSED,
        Outcome.FLAKY,
        Outcome.SKIPPED,
        Outcome.XFAILED,
        Outcome.XPASSED,
        Outcome.CARRIED_OVER,
    }
)
_BAD = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.CRASHED, Outcome.TIMED_OUT})

# From harmless to grave. "In doubt a test runs again": whatever is outstanding outranks whatever is good.
_SEVERITY = {
    outcome: rank
    for rank, outcome in enumerate(
        (
            Outcome.CARRIED_OVER,
            Outcome.PASSED,
            Outcome.XPASSED,
            Outcome.XFAILED,
            Outcome.SKIPPED,
            Outcome.FLAKY,
            Outcome.NOT_RUN,
            Outcome.INTERRUPTED,
            Outcome.FAILED,
            Outcome.ERROR,
            Outcome.TIMED_OUT,
            Outcome.CRASHED,
        )
    )
}

PHASES = ("setup", "call", "teardown")
_ALL_PASSED = dict.fromkeys(PHASES, "passed")


def of_attempt(phases: dict[str, str]) -> Outcome:
    """The outcome of one attempt from what its phases showed.

    `phases` maps "setup", "call" and "teardown" to one of "passed", "failed", "timed_out", "skipped", "xfailed",
    "xpassed"; phases that did not happen are left out. An attempt without any phase was interrupted.
    """
    if phases == _ALL_PASSED:
        return Outcome.PASSED
    if "timed_out" in phases.values():
        return Outcome.TIMED_OUT
    if phases.get("call") == "failed":
        return Outcome.FAILED
    if "failed" in phases.values():
        return Outcome.ERROR
    for phase in ("call", "setup"):
        match phases.get(phase):
            case "skipped":
                return Outcome.SKIPPED
            case "xfailed":
                return Outcome.XFAILED
            case "xpassed":
                return Outcome.XPASSED
            case "passed":
                return Outcome.PASSED
    return Outcome.INTERRUPTED


def of_test(last: Outcome, *, had_bad_attempt: bool) -> Outcome:
    """The final outcome of a test whose last attempt was `last`.

    Whatever is good after a bad attempt is flaky. That holds for a skip and an expected failure too: they do not
    show that the test passes, so they must not hide that it failed.
    """
    return Outcome.FLAKY if last.is_good and had_bad_attempt else last
