"""For each setting: values that it takes, values that it refuses, and what it then says is allowed."""

from datetime import date

from pytest_resilience.settings.options import OPTIONS

BY_KEY = {option.key: option for option in OPTIONS}
WITH_FLAG = [option for option in OPTIONS if option.flag]

# For each setting: two good values as the table and as the command line have them, and bad ones. The value of a switch
# is never typed.
GOOD: dict[str, tuple[object, object]] = {
    "retry.retries": (3, 4),
    "retry.delay": (1.5, 2.0),
    "retry.backoff": ("exponential", "linear"),
    "retry.factor": (1.5, 0.0),
    "retry.max-delay": (5.0, 6.0),
    "retry.jitter": (True, False),
    "retry.only": (["a", "b"], ["c"]),
    "retry.except": (["a"], []),
    "retry.phases": (["setup"], ["call", "teardown"]),
    "retry.condition": ("error is None", ""),
    "retry.refresh": (["module"], []),
    "retry.strategy": ("deferred", "isolated"),
    "retry.crash-retries": (2, 0),
    "retry.budget": ("5%", 50),
    "retry.refill": (0.1, 0.0),
    "retry.cost": (2, 1),
    "retry.max-first-failures": (100, "0.5%"),
    "retry.flaky-result": ("fail", "pass"),
    "retry.reports": ("all", "final"),
    "retry.tracebacks": (True, False),
    "retry.mode": ("append", "strict"),
    "retry.max-flaky": (0, "none"),
    "retry.fail-on-flaky": (True, True),
    "stop.after": (5, 6),
    "stop.same-error": (7, 8),
    "stop.grace": (1.5, 2.0),
    "ledger.dir": ("x", "y"),
    "ledger.durability": ("record", "process"),
    "ledger.keep-runs": (1, 2),
    "ledger.keep-days": (1, 2),
    "ledger.keep-mb": (1, 2),
    "ledger.redact": (["cust-[0-9]+"], ["a", "b"]),
    "resume.watch": (["src/**", "*.sql"], []),
    "resume.stale": ("carry", "warn"),
    "resume.skip-files": (False, True),
    "worker.supervise": (True, True),
    "worker.poisoned-after": (3, 4),
    "worker.orphans": ("keep", "end"),
    "hang.timeout": (2.0, 0.5),
    "hang.slow": (2.0, 0.5),
    "hang.start": (2.0, 0.0),
    "hang.collect": (2.0, 0.0),
    "hang.end": (2.0, 0.0),
    "report.summary": ("all", "none"),
}
NO_NUMBER = [-1, 1.5, "x", "", True, None, [], {}, 10**30, date(2026, 11, 21)]
NO_POSITIVE = [0, *NO_NUMBER]
NO_SECONDS = [-1, -0.5, "x", "", True, None, [1], float("nan"), float("inf"), "nan", "1e400", 10**30]
NO_SHARE = [-1, 0.5, "x", "", "-5%", "5 %", "%", "101%", "1e1%", "None", "5%%", True, None, [], 10**30]
NO_SWITCH = ["true", "", 0, 1, None, [True]]
BAD: dict[str, list[object]] = {
    "retry.retries": NO_NUMBER,
    "retry.delay": NO_SECONDS,
    "retry.backoff": ["expo", "Fixed", "", 3, None, ["fixed"]],
    "retry.factor": NO_SECONDS,
    "retry.max-delay": NO_SECONDS,
    "retry.jitter": NO_SWITCH,
    "retry.only": ["(", ["a", "["], [1], 3, None, {"a": "b"}, "a{99999999999999999999}", "[[a]"],
    "retry.except": ["*", ["a", "(?P<x"], [None]],
    "retry.phases": ["body", "", [], ["call", "body"], [1], 3, None, True, {"call": True}],
    "retry.condition": ["error is", "x = 1", "(", "a\0b", "error is 1", " x", 3, True, None, ["True"]],
    "retry.refresh": ["", [""], ["module", 1], 3, None, True, {"a": "b"}],
    "retry.strategy": ["later", "Deferred", "", 1, None, ["deferred"]],
    "retry.crash-retries": NO_NUMBER,
    "retry.budget": NO_SHARE,
    "retry.refill": NO_SECONDS,
    "retry.cost": NO_POSITIVE,
    "retry.max-first-failures": NO_SHARE,
    "retry.flaky-result": ["passed", "failed", "", True, None],
    "retry.reports": ["last", "", 1, None, ["all"]],
    "retry.tracebacks": NO_SWITCH,
    "retry.mode": ["add", "", True, None],
    "retry.max-flaky": NO_SHARE,
    "retry.fail-on-flaky": NO_SWITCH,
    "stop.after": NO_NUMBER,
    "stop.same-error": NO_NUMBER,
    "stop.grace": NO_SECONDS,
    "ledger.dir": ["", 3, None, ["x"]],
    "ledger.durability": ["seconds", "", 1],
    "ledger.keep-runs": NO_POSITIVE,
    "ledger.keep-days": NO_POSITIVE,
    "ledger.keep-mb": NO_POSITIVE,
    "ledger.redact": ["(", [1], 3, None],
    "resume.watch": ["", "/src", [""], ["src/**", "/x"], "../x", ["src/../../x"], 3, None, True, {"a": "b"}],
    "resume.skip-files": NO_SWITCH,
    "worker.supervise": NO_SWITCH,
    "worker.poisoned-after": NO_NUMBER,
    "worker.orphans": ["kill", "", True, None, ["end"]],
    **dict.fromkeys(["hang.timeout", "hang.slow", "hang.start", "hang.collect", "hang.end"], NO_SECONDS),
    "resume.stale": ["rum", "Run", "", True, None, ["run"]],
    "report.summary": ["al", "ALL", "", 1],
}
ALLOWED = {
    "retry.retries": "a whole number, 0 or more",
    "retry.delay": "a number of seconds, 0 or more",
    "retry.backoff": "one of fixed, linear, exponential",
    "retry.factor": "a number, 0 or more",
    "retry.max-delay": "a number of seconds, 0 or more",
    "retry.jitter": "true or false",
    "retry.only": "regular expression",
    "retry.except": "regular expression",
    "retry.phases": "of setup, call, teardown",
    "retry.condition": "expression",
    "retry.refresh": "a text or a list of them",
    "retry.strategy": "one of immediate, deferred, isolated",
    "retry.crash-retries": "a whole number, 0 or more",
    "retry.budget": 'a whole number, 0 or more, a share from "0%" to "100%", or "none"',
    "retry.refill": "a number, 0 or more",
    "retry.cost": "a whole number, 1 or more",
    "retry.max-first-failures": 'a whole number, 0 or more, a share from "0%" to "100%", or "none"',
    "retry.flaky-result": "one of pass, fail",
    "retry.reports": "one of final, all",
    "retry.tracebacks": "true or false",
    "retry.mode": "one of strict, append",
    "retry.max-flaky": 'a whole number, 0 or more, a share from "0%" to "100%", or "none"',
    "retry.fail-on-flaky": "true or false",
    "stop.after": "a whole number, 0 or more",
    "stop.same-error": "a whole number, 0 or more",
    "stop.grace": "a number of seconds, 0 or more",
    "ledger.dir": "a text that is not empty",
    "ledger.durability": "one of process, second, record",
    "ledger.keep-runs": "a whole number, 1 or more",
    "ledger.keep-days": "a whole number, 1 or more",
    "ledger.keep-mb": "a whole number, 1 or more",
    "ledger.redact": "regular expression",
    "resume.watch": "expected ",
    "resume.stale": "one of run, carry, warn",
    "resume.skip-files": "true or false",
    "worker.supervise": "true or false",
    "worker.poisoned-after": "a whole number, 0 or more",
    "worker.orphans": "one of end, keep",
    **dict.fromkeys(
        ["hang.timeout", "hang.slow", "hang.start", "hang.collect", "hang.end"], "a number of seconds"
    ),
    "report.summary": "one of all, problems, counts, none",
}


def table(key: str, value: object) -> dict[str, object]:
    """The ``[tool.resilience]`` table with one value in it."""
    name, _, rest = key.partition(".")
    return {name: {rest: value}}


def as_kept(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
