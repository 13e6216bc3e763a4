"""Every problem we can tell of: a number, a name, and what can be done. Numbers and names are never used again."""

from enum import Enum
from typing import NamedTuple


class Problem(NamedTuple):
    """A kind of problem. `severity` is "error", "warning" or "info"; `actions` come most useful first."""

    code: str
    name: str
    severity: str
    title: str
    actions: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        """The hundreds of the number, as a word."""
        return _CATEGORIES[self.code[3]]


_CATEGORIES = {
    "1": "test",
    "2": "process",
    "3": "run",
    "4": "ledger",
    "5": "resume",
    "6": "environment",
    "7": "config",
    "8": "report",
    "9": "internal",
}


class Code(Enum):
    """The problems used so far; ``str(Code.X)`` is how a message begins: number and name."""

    TEST_FAILED = Problem(
        "RES101", "test-failed", "error", "the call phase failed", ("fix_test_or_code", "rerun_test")
    )
    SETUP_ERROR = Problem(
        "RES102",
        "setup-error",
        "error",
        "a fixture failed before the test ran",
        ("fix_fixture", "rerun_test"),
    )
    TEARDOWN_ERROR = Problem(
        "RES103",
        "teardown-error",
        "error",
        "a fixture failed after the test ran",
        ("fix_fixture", "rerun_isolated"),
    )
    TEST_TIMEOUT = Problem(
        "RES104",
        "test-timeout",
        "error",
        "the test was ended because it took too long",
        ("inspect_stacks", "raise_timeout", "rerun_isolated"),
    )
    TEST_FLAKY = Problem(
        "RES105", "test-flaky", "warning", "the test passed only after a retry", ("deflake", "quarantine")
    )
    STRICT_XPASS = Problem(
        "RES106", "strict-xpass", "error", "a test that is marked to fail passed", ("edit_marker",)
    )
    COLLECTION_ERROR = Problem(
        "RES110", "collection-error", "error", "a test file cannot be collected", ("fix_import",)
    )
    WORKER_CRASHED = Problem(
        "RES201",
        "worker-crashed",
        "error",
        "the process died while the test ran",
        ("rerun_isolated", "inspect_core_dump"),
    )
    WORKER_HUNG = Problem(
        "RES202",
        "worker-hung",
        "error",
        "the worker was ended because it did not get on",
        ("inspect_stacks", "rerun_isolated", "raise_timeout"),
    )
    WORKER_START_FAILED = Problem(
        "RES203",
        "worker-start-failed",
        "error",
        "a worker ended before it had collected the tests",
        ("wait_and_retry", "edit_config"),
    )
    WORKER_RESTART_LIMIT = Problem(
        "RES204",
        "worker-restart-limit",
        "error",
        "no worker is left to run tests",
        ("inspect_core_dump", "resume"),
    )
    ORPHAN_PROCESS = Problem(
        "RES205",
        "orphan-process",
        "warning",
        "a process outlived the run or the worker that started it",
        ("stop_process",),
    )
    ORPHAN_PROCESS_NOT_STOPPED = Problem(
        "RES206",
        "orphan-process-not-stopped",
        "error",
        "a process that outlived its worker cannot be ended",
        ("stop_process",),
    )
    CONTROLLER_LOST = Problem(
        "RES207", "controller-lost", "warning", "the run has no orderly end in the ledger", ("resume",)
    )
    WORKER_OUT_OF_MEMORY = Problem(
        "RES208",
        "worker-out-of-memory",
        "error",
        "the system killed the process because there was no memory left",
        ("reduce_workers", "rerun_isolated"),
    )
    WORKER_END_FAILED = Problem(
        "RES209",
        "worker-end-failed",
        "error",
        "a worker failed outside of its tests",
        ("fix_fixture", "disable_plugin"),
    )
    WORKER_POISONED = Problem(
        "RES210",
        "worker-poisoned",
        "warning",
        "a worker failed test after test while others passed",
        ("fix_test_or_code", "rerun_isolated"),
    )
    STOP_CONSECUTIVE_FAILURES = Problem(
        "RES301",
        "stop-consecutive-failures",
        "error",
        "too many failures in a row",
        ("fix_test_or_code", "resume"),
    )
    STOP_SAME_ERROR = Problem(
        "RES302", "stop-same-error", "error", "the same error came too often", ("fix_cause", "resume")
    )
    RETRY_BUDGET_EXHAUSTED = Problem(
        "RES305",
        "retry-budget-exhausted",
        "warning",
        "the run has no retries left",
        ("deflake", "raise_budget"),
    )
    INTERRUPTED_BY_SIGNAL = Problem(
        "RES306", "interrupted-by-signal", "error", "the session was stopped from outside", ("resume",)
    )
    STOP_MAX_FAILURES = Problem(
        "RES308",
        "stop-max-failures",
        "error",
        "pytest's --maxfail or -x was reached",
        ("fix_test_or_code", "resume"),
    )
    RETRY_GATE_CLOSED = Problem(
        "RES309",
        "retry-gate-closed",
        "warning",
        "too many tests failed at their first attempt to retry any",
        ("fix_cause", "raise_limit"),
    )
    LEDGER_CORRUPT = Problem(
        "RES401", "ledger-corrupt", "warning", "bad records of the ledger were skipped", ("start_fresh",)
    )
    LEDGER_UNWRITABLE = Problem(
        "RES402",
        "ledger-unwritable",
        "error",
        "the ledger cannot be written",
        ("free_disk", "fix_permissions"),
    )
    LEDGER_LOCKED = Problem(
        "RES403", "ledger-locked", "error", "the run is still alive", ("wait_and_retry", "stop_process")
    )
    LEDGER_VERSION_UNSUPPORTED = Problem(
        "RES404",
        "ledger-version-unsupported",
        "error",
        "the ledger was written by a newer release",
        ("upgrade_plugin", "start_fresh"),
    )
    LEDGER_INCONSISTENT = Problem(
        "RES406", "ledger-inconsistent", "error", "the outcomes do not add up to the tests", ("report_bug",)
    )
    LEDGER_UNTRUSTED = Problem(
        "RES407",
        "ledger-untrusted",
        "warning",
        "nothing proves that the run is genuine",
        ("set_key", "start_fresh"),
    )
    RESUME_NOTHING_LEFT = Problem("RES501", "resume-nothing-left", "info", "every test has passed already")
    RESUME_LEDGER_MISSING = Problem(
        "RES502", "resume-ledger-missing", "warning", "there is no earlier run to resume", ("start_fresh",)
    )
    RESUME_MISMATCH = Problem(
        "RES503",
        "resume-mismatch",
        "error",
        "the earlier run was made under other circumstances",
        ("start_fresh", "repeat_arguments"),
    )
    RESUME_TESTS_CHANGED = Problem(
        "RES504", "resume-tests-changed", "warning", "tests are gone since the run"
    )
    RESUME_CODE_CHANGED = Problem(
        "RES505", "resume-code-changed", "warning", "test files changed since the run", ("start_fresh",)
    )
    RESUME_OUTSTANDING = Problem(
        "RES506", "resume-outstanding", "error", "tests outside today's selection are still open", ("resume",)
    )
    CONFIG_INVALID = Problem("RES701", "config-invalid", "error", "a setting is not valid", ("edit_config",))
    OPTION_CONFLICT = Problem(
        "RES702", "option-conflict", "error", "two options contradict each other", ("edit_config",)
    )
    PLUGIN_CONFLICT = Problem(
        "RES703",
        "plugin-conflict",
        "warning",
        "another plugin that retries tests is active",
        ("disable_plugin",),
    )
    SECRET_REDACTED = Problem(
        "RES803",
        "secret-redacted",
        "info",
        "what looks like a secret is not in the ledger",
        ("rotate_secret",),
    )
    INTERNAL_ERROR = Problem(
        "RES901", "internal-error", "warning", "our own machinery failed", ("report_bug",)
    )

    def __str__(self) -> str:
        return f"{self.value.code} {self.value.name}"

    @property
    def code(self) -> str:
        """The number alone: ``RES101``."""
        return self.value.code

    @classmethod
    def of(cls, number: str) -> "Code | None":
        """The code with a number, None for a number that this release does not know."""
        return next((code for code in cls if code.code == number), None)


def told(number: str, text: str) -> str:
    """A problem as it is printed: number, name, and what happened. An unknown number stands alone."""
    return f"{Code.of(number) or number}: {text}"
