"""What the arguments of a `flaky` marker are called: our own names, and those that other retry plugins use."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

OURS = (
    "retries",
    "delay",
    "backoff",
    "factor",
    "max_delay",
    "jitter",
    "only",
    "except_",
    "phases",
    "condition",
    "refresh",
    "strategy",
    "flaky_result",
    "min_passes",
)
BY_POSITION = ("retries", "delay", "factor")
# By plugin: the names of its own, and ours for the same thing; "" where we have nothing to set. What is not listed
# (`delay` and `condition`, say) has our name there too.
OTHERS: Mapping[str, Mapping[str, str]] = {
    "rerunfailures": {
        "reruns": "retries",
        "reruns_delay": "delay",
        "reruns_delay_backoff_factor": "factor",
        "only_rerun": "only",
        "rerun_except": "except_",
    },
    "pytest-retry": {
        "only_on": "only",
        "exclude": "except_",
        "cumulative_timing": "",  # the ledger has the seconds of all attempts in any case
    },
    "flaky": {
        "max_runs": "retries",
        "rerun_filter": "condition",
    },
}
_MEANING = {name: name for name in OURS} | {
    name: ours for names in OTHERS.values() for name, ours in names.items()
}


class ArgumentError(ValueError):
    """An argument of the marker cannot be understood. The message is a sentence for the user."""


class RerunFilter(NamedTuple):
    """A condition with the signature of the flaky package, which wants more than the exception."""

    function: Callable[[tuple[Any, Any, Any], str, object, object], object]

    def admits(self, error: BaseException | None, name: str, test: object, plugin: object) -> bool:
        """Whether the test called `name` may be tried again after `error`. Raises what the function raises."""
        as_in_sys = (None, None, None) if error is None else (type(error), error, error.__traceback__)
        return bool(self.function(as_in_sys, name, test, plugin))


class Arguments(NamedTuple):
    """The arguments of a marker in our own words.

    `values` has what was given, by our names and unchecked. Two values are not as they were written: `max_runs` has
    become a number of retries, and `rerun_filter` is a RerunFilter under the name `condition`; None leaves either
    open, as in the flaky package. A factor brings the backoff "exponential" with it, unless the marker has one
    itself. `written` has the name that the user wrote for each of our names, ours where there was none. `others` are
    the plugins, as in OTHERS, of whose own names at least one was used.
    """

    values: Mapping[str, object]
    written: Mapping[str, str]
    others: frozenset[str]


def translated(args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
    """The arguments of a marker, from any of the vocabularies, mixed ones included. Raises ArgumentError."""
    if len(args) > len(BY_POSITION):
        raise ArgumentError("flaky takes retries, delay and factor by position, the rest by name")
    values: dict[str, object] = {}
    written: dict[str, str] = {}
    for name, value in [*zip(BY_POSITION, args, strict=False), *kwargs.items()]:
        if name not in _MEANING:
            raise ArgumentError(_unknown(name))
        ours = _MEANING[name]
        if not ours or (value is None and name in OTHERS["flaky"]):
            continue
        if ours in written:
            first = written[ours]
            if first == name:
                raise ArgumentError(f"flaky has {name} twice, by position and by name")
            raise ArgumentError(f"flaky has {first} and {name}, which mean the same")
        values[ours] = _converted(name, value)
        written[ours] = name
    if "factor" in values and "backoff" not in values:
        values["backoff"] = "exponential"
        written["backoff"] = "backoff"
    others = frozenset(plugin for plugin, names in OTHERS.items() if not names.keys().isdisjoint(kwargs))
    return Arguments(values=values, written=written, others=others)


def _converted(name: str, value: object) -> object:
    # What would be something else afterwards has to be looked at before. No repr: that of a user's object may raise.
    if name == "max_runs":
        if not isinstance(value, int) or isinstance(value, bool):
            raise ArgumentError(f"flaky(max_runs=...): expected a whole number, got {type(value).__name__}")
        return value - 1
    if name == "rerun_filter":
        if not callable(value):
            raise ArgumentError(f"flaky(rerun_filter=...): expected a function, got {type(value).__name__}")
        return RerunFilter(value)
    return value


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    hint = "".join(f" did you mean {near!r}?" for near in get_close_matches(name, _MEANING, 1))
    return (
        f"unknown argument {name!r} of the flaky marker;{hint} known are {', '.join(OURS)}, "
        f"and the names of {', '.join(OTHERS)}"
    )
