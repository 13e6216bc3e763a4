"""Every setting once: its name, its place in the table, its flag, its default, and what values it takes."""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Every pytest that has us installed imports this module: what only an active session needs is imported by then.
if TYPE_CHECKING:
    from pytest_resilience.core.retry import RetryPolicy


class SettingsError(ValueError):
    """A setting is not valid. The message names the key, the value, what is allowed, and the nearest known name."""


def _invalid(text: str) -> SettingsError:
    from pytest_resilience.core.codes import Code

    return SettingsError(f"{Code.CONFIG_INVALID}: {text}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, empty when none is."""
    import difflib

    return next(iter(difflib.get_close_matches(name, known, 1)), "")


class _Wrong(ValueError):
    """What was expected instead, as the end of a sentence."""


def _whole(minimum: int) -> Callable[[object], object]:
    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value < 10**18:
            raise _Wrong(f"expected a whole number, {minimum} or more")
        return value

    return parse


def _seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise _Wrong("expected a number of seconds, 0 or more")
    return float(value)


def _choice(*names: str) -> Callable[[object], object]:
    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            near = nearest(value, names) if isinstance(value, str) else ""
            raise _Wrong(
                f"expected one of {', '.join(names)}" + (f"; did you mean {near!r}?" if near else "")
            )
        return value

    return parse


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong("expected a text that is not empty")
    return value


def _patterns(value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        raise _Wrong("expected a regular expression or a list of them")
    for one in values:
        try:
            # A pattern that is warned of is refused: where warnings are errors, it would end in the middle of the run.
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                re.compile(one)
        except (re.error, OverflowError, RecursionError, Warning) as error:
            raise _Wrong(f"{_shown(one)} is no regular expression ({error})") from None
    return tuple(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting. `key` is ``table.key`` below ``[tool.resilience]``; `flag` is empty where only the table sets it."""

    key: str
    parse: Callable[[object], object]
    default: object
    help: str
    flag: str = ""
    metavar: str = ""

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
        parse=_whole(0),
        default=0,
        help="try a failed test again up to N times; 0 turns all retries off, those of markers too",
        flag="--retries",
        metavar="N",
    ),
    Option(
        key="retry.delay",
        parse=_seconds,
        default=0.0,
        help="wait S seconds before another attempt",
        flag="--retry-delay",
        metavar="S",
    ),
    Option(
        key="retry.backoff",
        parse=_choice("fixed", "exponential"),
        default="fixed",
        help="how the delay grows: not at all, or doubling with each attempt",
    ),
    Option(
        key="retry.max-delay",
        parse=_seconds,
        default=60.0,
        help="the longest wait before another attempt, in seconds",
    ),
    Option(
        key="retry.only",
        parse=_patterns,
        default=(),
        help="retry only errors that match one of these regular expressions (searched in 'TypeName: message')",
    ),
    Option(
        key="retry.except",
        parse=_patterns,
        default=(),
        help="never retry errors that match one of these regular expressions",
    ),
    Option(
        key="stop.after",
        parse=_whole(0),
        default=0,
        help="stop after N tests in a row that finally failed; 0: never",
        flag="--stop-after",
        metavar="N",
    ),
    Option(
        key="stop.same-error",
        parse=_whole(0),
        default=0,
        help="stop when N tests finally failed with the same error; 0: never",
        flag="--stop-same-error",
        metavar="N",
    ),
    Option(
        key="ledger.dir",
        parse=_text,
        default=".pytest_resilience",
        help="where the ledger is kept, relative to the rootdir",
        flag="--resilience-dir",
        metavar="DIR",
    ),
    Option(
        key="ledger.durability",
        parse=_choice("process", "second", "record"),
        default="second",
        help="what survives: the death of processes, or a power loss but for a second or a record of results",
    ),
    Option(key="ledger.keep-runs", parse=_whole(1), default=20, help="how many runs the ledger keeps"),
    Option(key="ledger.keep-days", parse=_whole(1), default=30, help="how many days the ledger keeps a run"),
    Option(key="ledger.keep-mb", parse=_whole(1), default=200, help="how many megabytes the ledger may take"),
    Option(
        key="report.summary",
        parse=_choice("all", "problems", "counts", "none"),
        default="problems",
        help="how much the summary at the end tells: all tests, problems, the counts alone, or nothing",
        flag="--resilience-summary",
        metavar="WHAT",
    ),
)
_BY_KEY = {option.key: option for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Settings:
    """The value of every option, and which of them somebody set."""

    values: Mapping[str, object]
    given: frozenset[str] = frozenset()

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def retry(self) -> "RetryPolicy":
        """The retry policy of tests without a marker."""
        from pytest_resilience.core.retry import RetryPolicy

        return RetryPolicy(
            retries=self["retry.retries"],
            delay=self["retry.delay"],
            backoff=self["retry.backoff"],
            max_delay=self["retry.max-delay"],
            only=tuple(self["retry.only"]),
            except_=tuple(self["retry.except"]),
        )

    @property
    def retries_off(self) -> bool:
        """``--retries 0`` was typed: it overrules markers."""
        return "--retries" in self.given and self["retry.retries"] == 0


def resolve(flags: Mapping[str, object], table: Mapping[str, object]) -> Settings:
    """The settings from the flags that were typed (by key) and the ``[tool.resilience]`` table; flags come first.

    Raises SettingsError.
    """
    values = {option.key: option.default for option in OPTIONS}
    given = set()
    for key, value in _flatten(table).items():
        values[key] = _parse(_BY_KEY[key], value, f"{key} = {_shown(value)} in [tool.resilience]")
        given.add(key)
    for key, value in flags.items():
        option = _BY_KEY[key]
        values[key] = _parse(option, value, f"{option.flag} {value}")
        given.add(option.flag)
    return Settings(values, frozenset(given))


def checked(key: str, value: object, shown: str) -> object:
    """A value as the setting `key` takes it; `shown` is how the user wrote it. Raises SettingsError."""
    return _parse(_BY_KEY[key], value, shown)


def _parse(option: Option, value: object, shown: str) -> object:
    try:
        return option.parse(value)
    except _Wrong as wrong:
        raise _invalid(f"{shown}: {wrong}") from None


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python refuses to write out whole numbers of thousands of digits.
        return f"<{type(value).__name__}>"
    return text if len(text) < 80 else text[:77] + "..."


def _flatten(table: Mapping[str, object]) -> dict[str, object]:
    tables = {key.partition(".")[0] for key in _BY_KEY}
    flat: dict[str, object] = {}
    for name, part in table.items():
        if name not in tables:
            raise _invalid(_unknown(name, "[tool.resilience]", sorted(tables)))
        if not isinstance(part, Mapping):
            raise _invalid(f"{name} = {_shown(part)} in [tool.resilience]: expected a table")
        known = [key.partition(".")[2] for key in _BY_KEY if key.startswith(f"{name}.")]
        for key, value in part.items():
            if key not in known:
                raise _invalid(_unknown(key, f"[tool.resilience.{name}]", known))
            flat[f"{name}.{key}"] = value
    return flat


def _unknown(name: str, where: str, known: list[str]) -> str:
    elsewhere = [key for key in _BY_KEY if key.partition(".")[2] == name]
    near = nearest(name, known)
    if elsewhere:
        table, _, key = elsewhere[0].partition(".")
        hint = f"{key!r} belongs in [tool.resilience.{table}]"
    elif near:
        hint = f"did you mean {near!r}?"
    else:
        hint = f"known are {', '.join(known)}"
    return f"unknown key {name!r} in {where}; {hint}"


def table_in(pyproject: Path) -> dict[str, object] | None:
    """The ``[tool.resilience]`` table of a file, None when there is none. Raises SettingsError for a broken file."""
    try:
        text = pyproject.read_bytes()
    except OSError:
        return None
    if b"resilience" not in text:
        return None
    try:
        import tomllib

        tool = tomllib.loads(text.decode("utf-8")).get("tool", {})
    except (ValueError, RecursionError) as error:
        raise _invalid(f"{pyproject} is no valid TOML: {error}") from None
    table = tool.get("resilience") if isinstance(tool, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise _invalid(f"tool.resilience in {pyproject}: expected a table")
    return table
