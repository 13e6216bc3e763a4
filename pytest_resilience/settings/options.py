"""Every setting once: its name, its place in the table, its flag, its default, and what values it takes."""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

from pytest_resilience.settings import values
from pytest_resilience.settings.values import Parse, Wrong, invalid

Value = TypeVar("Value")


class Option(NamedTuple):
    """One setting. `key` is ``table.key`` below ``[tool.resilience]``; `flag` is empty where only the table sets it.

    A flag without `metavar` is a switch. `of` says what a value may differ for: settings of a test may stand in an
    override and a marker too, settings of an error in a rule as well.
    """

    key: str
    parse: Parse
    default: object
    help: str
    flag: str = ""
    metavar: str = ""
    of: Literal["run", "test", "error"] = "run"

    @property
    def table(self) -> str:
        """The table below ``[tool.resilience]`` that the key stands in."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """The key within its table."""
        return self.key.partition(".")[2]

    @property
    def field(self) -> str:
        """What a retry policy and the `flaky` marker call it."""
        return {"except": "except_"}.get(self.name, self.name.replace("-", "_"))

    @property
    def long_flag(self) -> str:
        """The form of the flag that no other plugin takes."""
        return f"--resilience-{self.flag.removeprefix('--').removeprefix('resilience-')}"

    @property
    def dest(self) -> str:
        """The name of the value among pytest's options."""
        return "resilience_" + self.key.replace(".", "_").replace("-", "_")


OPTIONS = (
    Option(
        key="retry.retries",
        parse=values.whole(0),
        default=0,
        help="try a failed test again up to N times; 0 turns all retries off, those of markers too",
        flag="--retries",
        metavar="N",
        of="error",
    ),
    Option(
        key="retry.delay",
        parse=values.seconds,
        default=0.0,
        help="wait S seconds before another attempt",
        flag="--retry-delay",
        metavar="S",
        of="error",
    ),
    Option(
        key="retry.backoff",
        parse=values.choice("fixed", "linear", "exponential"),
        default="fixed",
        help="how the delay grows with each attempt: not at all, by itself, or by the factor",
        of="error",
    ),
    Option(
        key="retry.factor",
        parse=values.number,
        default=2.0,
        help="by what an exponential delay is multiplied with each attempt",
        of="error",
    ),
    Option(
        key="retry.max-delay",
        parse=values.seconds,
        default=60.0,
        help="the longest wait before another attempt, in seconds",
        of="error",
    ),
    Option(
        key="retry.jitter",
        parse=values.switch,
        default=False,
        help="wait for a random part of the delay",
        of="error",
    ),
    Option(
        key="retry.only",
        parse=values.patterns,
        default=(),
        help="retry only errors that match one of these regular expressions (searched in 'TypeName: message')",
        of="test",
    ),
    Option(
        key="retry.except",
        parse=values.patterns,
        default=(),
        help="never retry errors that match one of these regular expressions",
        of="test",
    ),
    Option(
        key="retry.phases",
        parse=values.some_of("setup", "call", "teardown"),
        default=("setup", "call", "teardown"),
        help="retry only failures in these phases",
        of="test",
    ),
    Option(
        key="retry.condition",
        parse=values.expression,
        default="",
        help="retry only if this expression holds, evaluated as skipif does, with the exception as `error`",
        of="test",
    ),
    Option(
        key="retry.refresh",
        parse=values.texts,
        default=(),
        help="fixtures to make anew for another attempt: up to a scope (class, module, session), or by name",
        of="error",
    ),
    Option(
        key="retry.strategy",
        parse=values.choice("immediate", "deferred", "isolated"),
        default="immediate",
        help="where another attempt happens: at once, at the end of the run, or at its end in a fresh worker",
        flag="--retry-strategy",
        metavar="WHERE",
        of="error",
    ),
    Option(
        key="retry.crash-retries",
        parse=values.whole(0),
        default=1,
        help="try a test whose xdist worker died again up to N times, on another worker",
        flag="--crash-retries",
        metavar="N",
        of="test",
    ),
    Option(
        key="retry.budget",
        parse=values.share,
        default="none",
        help="how many retries the whole run may have, all workers together: a number, or a share of the tests (5%)",
        flag="--retry-budget",
        metavar="N|P%",
    ),
    Option(
        key="retry.refill",
        parse=values.number,
        default=0.0,
        help="how much of a retry each test that passes at its first attempt gives back to the budget",
    ),
    Option(
        key="retry.cost",
        parse=values.whole(1),
        default=1,
        help="how much of the budget the retry of a test that timed out takes; any other takes 1",
    ),
    Option(
        key="retry.max-first-failures",
        parse=values.share,
        default="none",
        help="retry nothing any more when more tests than this failed at their first attempt",
    ),
    Option(
        key="retry.flaky-result",
        parse=values.choice("pass", "fail"),
        default="pass",
        help="whether a test that passes only after a retry counts as passed or as failed",
        of="test",
    ),
    Option(
        key="retry.reports",
        parse=values.choice("final", "all"),
        default="final",
        help="which reports other plugins get: those of the final attempt, or of all, as from pytest-rerunfailures",
        of="test",
    ),
    Option(
        key="retry.tracebacks",
        parse=values.switch,
        default=False,
        help="with reports of all attempts: show the tracebacks of those that were retried",
    ),
    Option(
        key="retry.mode",
        parse=values.choice("strict", "append"),
        default="strict",
        help="whether the retries of a marker take the place of the usual number, or are added to it",
    ),
    Option(
        key="retry.max-flaky",
        parse=values.share,
        default="none",
        help="exit with status 7 when more tests than this are flaky",
    ),
    Option(
        key="retry.fail-on-flaky",
        parse=values.switch,
        default=False,
        help="exit with status 7 when any test is flaky",
        flag="--fail-on-flaky",
    ),
    Option(
        key="stop.after",
        parse=values.whole(0),
        default=0,
        help="stop after N tests in a row that finally failed; 0: never",
        flag="--stop-after",
        metavar="N",
    ),
    Option(
        key="stop.same-error",
        parse=values.whole(0),
        default=0,
        help="stop when N tests finally failed with the same error; 0: never",
        flag="--stop-same-error",
        metavar="N",
    ),
    Option(
        key="stop.grace",
        parse=values.seconds,
        default=3.0,
        help="how long tests in flight may go on after a signal that ends the session, in seconds",
    ),
    Option(
        key="worker.supervise",
        parse=values.switch,
        default=False,
        help="run a session without workers in one worker of xdist, so that it survives crashes and hangs",
        flag="--supervise",
    ),
    Option(
        key="worker.orphans",
        parse=values.choice("end", "keep"),
        default="end",
        help="what becomes of processes that a worker leaves behind which dies or is ended",
    ),
    Option(
        key="worker.poisoned-after",
        parse=values.whole(0),
        default=0,
        help="replace a worker that finally fails N tests in a row while others pass, and run them again elsewhere; 0: never",
    ),
    Option(
        key="hang.timeout",
        parse=values.seconds,
        default=0.0,
        help="end an attempt at a test that takes longer than S seconds, and its xdist worker; 0: never",
        flag="--hang-timeout",
        metavar="S",
    ),
    Option(
        key="hang.slow",
        parse=values.seconds,
        default=0.0,
        help="say so every S seconds that an attempt takes; 0: once, at half of its limit",
    ),
    Option(
        key="hang.start",
        parse=values.seconds,
        default=120.0,
        help="end a worker that takes longer than S seconds to start; 0: never; for runs with a hang timeout",
    ),
    Option(
        key="hang.collect",
        parse=values.seconds,
        default=600.0,
        help="end a worker that takes longer than S seconds to collect; 0: never; for runs with a hang timeout",
    ),
    Option(
        key="hang.end",
        parse=values.seconds,
        default=60.0,
        help="end a worker that takes longer than S seconds to end; 0: never; for runs with a hang timeout",
    ),
    Option(
        key="ledger.dir",
        parse=values.text,
        default=".pytest_resilience",
        help="where the ledger is kept, relative to the rootdir",
        flag="--resilience-dir",
        metavar="DIR",
    ),
    Option(
        key="ledger.durability",
        parse=values.choice("process", "second", "record"),
        default="second",
        help="what survives: the death of processes, or a power loss but for a second or a record of results",
    ),
    Option(key="ledger.keep-runs", parse=values.whole(1), default=20, help="how many runs the ledger keeps"),
    Option(
        key="ledger.keep-days",
        parse=values.whole(1),
        default=30,
        help="how many days the ledger keeps a run",
    ),
    Option(
        key="ledger.keep-mb",
        parse=values.whole(1),
        default=200,
        help="how many megabytes the ledger may take",
    ),
    Option(
        key="ledger.redact",
        parse=values.patterns,
        default=(),
        help="what is secret beside tokens and values of secret-looking variables: regular expressions",
    ),
    Option(
        key="resume.watch",
        parse=values.globs,
        default=(),
        help="which other files below the rootdir decide whether a test is as it was when it passed, as globs",
    ),
    Option(
        key="resume.stale",
        parse=values.choice("run", "carry", "warn"),
        default="run",
        help="what becomes of a good test whose files changed: it runs, is carried over, or that with a warning",
    ),
    Option(
        key="resume.skip-files",
        parse=values.switch,
        default=True,
        help="whether a file is not even imported when it is as it was and all its tests are carried over",
    ),
    Option(
        key="report.summary",
        parse=values.choice("all", "problems", "counts", "none"),
        default="problems",
        help="how much the summary at the end tells: all tests, problems, the counts alone, or nothing",
        flag="--resilience-summary",
        metavar="WHAT",
    ),
)
BY_KEY = {option.key: option for option in OPTIONS}
OF_TEST = tuple(option for option in OPTIONS if option.of != "run")
OF_ERROR = tuple(option for option in OPTIONS if option.of == "error")


def checked(key: str, value: object, written: str) -> object:
    """A value as the setting `key` takes it; `written` is how the user wrote it. Raises SettingsError."""
    return checked_with(BY_KEY[key].parse, value, written)


def checked_with(parse: Callable[[object], Value], value: object, written: str) -> Value:
    """A value as `parse` takes it; `written` is how the user wrote it. Raises SettingsError."""
    try:
        return parse(value)
    except Wrong as wrong:
        raise invalid(f"{written}: {wrong}") from None
