"""The drop-in for pytest-rerunfailures: its options and ini keys, with their meaning, as settings of ours.

They are declared where that plugin is not going to be loaded. Names, defaults and meaning are those of its release
16.7; https://pytest-rerunfailures.readthedocs.io describes them.
"""

import argparse
import os
import re
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.settings.values import invalid

# Every pytest that has us installed imports this module: what only an active session needs is imported by then.
if TYPE_CHECKING:
    from pytest_resilience.settings.resolved import Settings
    from pytest_resilience.settings.tables import Part

_SOURCE = "options of pytest-rerunfailures"
# That plugin knows no longest delay.
_NO_CAP = 999_999_999.0
# What its marker means that says nothing of these fields of a retry policy, whatever holds for other tests.
LEFT_OUT: dict[str, object] = {"retries": 1, "delay": 0.0, "max_delay": _NO_CAP, "backoff": "fixed"}
_NUMBERS: dict[str, Callable[[str], object]] = {
    "reruns": int,
    "reruns_delay": float,
    "reruns_delay_backoff_factor": float,
}
OPTIONS = (
    *_NUMBERS,
    "only_rerun",
    "rerun_except",
    "rerun_exclude_path",
    "reruns_mode",
    "force_reruns",
    "max_suite_reruns",
    "rerun_show_tracebacks",
)


def declare(group: pytest.OptionGroup, parser: pytest.Parser) -> None:
    """Declare the options and ini keys: all of them, or none where another plugin has the first."""
    add = group.addoption
    try:
        add("--reruns", type=int, metavar="N", help="as --retries (pytest-rerunfailures)")
    except (ValueError, argparse.ArgumentError):
        return
    add(
        "--reruns-delay",
        type=float,
        metavar="S",
        help="as --retry-delay, without a longest delay (pytest-rerunfailures)",
    )
    add(
        "--reruns-delay-backoff-factor",
        type=float,
        metavar="F",
        help="multiply the delay by F with each attempt (pytest-rerunfailures)",
    )
    add("--only-rerun", action="append", metavar="REGEX", help="as retry.only (pytest-rerunfailures)")
    add("--rerun-except", action="append", metavar="REGEX", help="as retry.except (pytest-rerunfailures)")
    add(
        "--rerun-exclude-path",
        action="append",
        metavar="PATH",
        help="retry no test in this file or folder (pytest-rerunfailures)",
    )
    add(
        "--reruns-mode",
        choices=("strict", "append"),
        default="strict",
        help="whether a marker's retries take the place of --reruns, or are added to them (pytest-rerunfailures)",
    )
    add(
        "--force-reruns",
        type=int,
        metavar="N",
        help="as --retries, but before markers (pytest-rerunfailures)",
    )
    add("--max-suite-reruns", type=int, metavar="N", help="as --retry-budget (pytest-rerunfailures)")
    add(
        "--rerun-show-tracebacks",
        action="store_true",
        help="show the tracebacks of attempts that were retried (pytest-rerunfailures)",
    )
    for name in _NUMBERS:
        parser.addini(name, f"as --{name.replace('_', '-')} (pytest-rerunfailures)", type="string")
    for name in ("only_rerun", "rerun_except"):
        parser.addini(name, f"as --{name.replace('_', '-')} (pytest-rerunfailures)", type="linelist")


class Asked:
    """What the options and ini keys of pytest-rerunfailures ask for, as settings of ours by key.

    `typed` are values as flags have them, and `names` says how each was written. `inis` has where it stands and the
    value. `above` are parts that come even before markers.
    """

    def __init__(self, above: "tuple[Part, ...]" = ()) -> None:
        self.typed: dict[str, object] = {}
        self.names: dict[str, str] = {}
        self.inis: dict[str, tuple[str, object]] = {}
        self.above = above

    def __bool__(self) -> bool:
        return bool(self.typed or self.inis or self.above)

    @property
    def wants_retries(self) -> bool:
        """Whether any test is to be retried, markers left out."""
        forced = [part.values["retries"] for part in self.above if part.source.startswith("--force")]
        _, of_ini = self.inis.get("retry.retries", ("", 0))
        return bool(forced[0] if forced else self.typed.get("retry.retries", of_ini))


def asked(config: pytest.Config) -> Asked:
    """What the user asks for with names of pytest-rerunfailures. Raises pytest.UsageError as that plugin does."""
    option = config.option
    is_there = any(map(config.pluginmanager.hasplugin, ("rerunfailures", "pytest_rerunfailures")))
    if is_there or not hasattr(option, "max_suite_reruns"):
        return Asked()
    if option.max_suite_reruns is not None and option.max_suite_reruns < 0:
        raise pytest.UsageError("--max-suite-reruns must be >= 0")
    found = Asked(above=_above(config))
    for name in _NUMBERS:
        _take_number(config, name, found)
    for name, key in (("only_rerun", "retry.only"), ("rerun_except", "retry.except")):
        _take_patterns(config, name, key, found)
    if option.max_suite_reruns is not None:
        _type(found, "retry.budget", option.max_suite_reruns, "max_suite_reruns")
    if option.reruns_mode != "strict":
        _type(found, "retry.mode", option.reruns_mode, "reruns_mode")
    if option.rerun_show_tracebacks:
        _type(found, "retry.tracebacks", True, "rerun_show_tracebacks")
    if found:
        found.inis["retry.reports"] = (_SOURCE, "all")
    if config.getoption("usepdb", False) and not option.collectonly and found.wants_retries:
        raise pytest.UsageError("--reruns incompatible with --pdb")
    return found


def tolerated(
    name: str, value: Any, warn: Callable[[UserWarning, int], None] = warnings.warn
) -> dict[str, object]:
    """An argument of that plugin's marker, or the value of an option, by its own name, as fields of a retry policy.

    What makes no sense below zero is warned of and taken as if it was not there, as that plugin does. Empty for other
    arguments, and for values that are no numbers: those are looked at as ours are.
    """
    if name not in _NUMBERS or isinstance(value, bool) or not isinstance(value, int | float):
        return {}
    match name:
        case "reruns":
            return {"retries": max(value, 0)} if isinstance(value, int) else {}
        case "reruns_delay":
            if value < 0:
                warn(UserWarning("Delay time between re-runs cannot be < 0. Using default value: 0"), 2)
            return {"delay": max(value, 0), "max_delay": _NO_CAP}
        case _:
            if value < 0:
                warn(UserWarning("Rerun delay backoff factor cannot be < 0. Using default value: 1.0"), 2)
            return {"factor": 1.0 if value < 0 else value, "backoff": "exponential"}


def speaks(marker: pytest.Mark, settings: "Settings") -> bool:
    """Whether a marker is in the words of that plugin.

    It is with a name of its own and with arguments by position. Where options of that plugin are in use, and nobody
    else says which reports are wanted, so is one that has no name of anybody.
    """
    from pytest_resilience.core.vocabularies import OTHERS

    names = marker.kwargs.keys()
    if marker.args or not OTHERS["rerunfailures"].keys().isdisjoint(names):
        return True
    return names <= {"condition"} and settings.sources.get("retry.reports") == _SOURCE


def words(config: pytest.Config, typed: Collection[str]) -> list[str]:
    """Those of the options that are among the flags which were typed, with their values, as words of a command."""
    said = []
    for name in OPTIONS:
        if _flag(name) in typed:
            value = getattr(config.option, name, None)
            several = value if isinstance(value, list) else [] if value is None else [value]
            said += [_flag(name) if one is True else f"{_flag(name)}={one}" for one in several]
    return said


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _type(found: Asked, key: str, value: object, name: str) -> None:
    found.typed[key] = value
    found.names[key] = _flag(name)


def _take_number(config: pytest.Config, name: str, found: Asked) -> None:
    typed = getattr(config.option, name)
    value: Any = typed
    if value is None and config.getini(name):
        try:
            value = _NUMBERS[name](config.getini(name))
        except ValueError:
            raise invalid(f"{name} = {config.getini(name)}: expected a number") from None
    if value is None:
        return
    for field_name, one in tolerated(name, value, config.issue_config_time_warning).items():
        key = f"retry.{field_name.replace('_', '-')}"
        if typed is None:
            found.inis[key] = (f"{name} in the configuration", one)
        else:
            _type(found, key, one, name)


def _take_patterns(config: pytest.Config, name: str, key: str, found: Asked) -> None:
    typed: list[str] | None = getattr(config.option, name)
    patterns = typed or config.getini(name)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise pytest.UsageError(f"invalid regular expression for {name}: {pattern!r} ({error})") from None
    if typed:
        _type(found, key, typed, name)
    elif patterns:
        found.inis[key] = (f"{name} in the configuration", patterns)


def _above(config: pytest.Config) -> "tuple[Part, ...]":
    """What comes before markers: paths that are excluded, and a number of retries that is forced."""
    excluded, forced = config.option.rerun_exclude_path, config.option.force_reruns
    if not excluded and forced is None:
        return ()
    from pytest_resilience.settings.tables import Part

    parts = []
    if excluded:
        globs = tuple(_glob(path, config.rootpath) for path in excluded)
        source = f"--rerun-exclude-path {' '.join(excluded)}"
        parts.append(Part(source=source, paths=globs, values={"retries": 0}))
    if forced is not None:
        parts.append(Part(source=f"--force-reruns {forced}", values={"retries": max(0, forced)}))
    return tuple(parts)


def _glob(path: str, root: Path) -> str:
    """The glob for a file, or for a folder and all that is in it."""
    place = Path(os.path.normpath(root / path))
    return "*" if root.is_relative_to(place) else Path(os.path.relpath(place, root)).as_posix()
