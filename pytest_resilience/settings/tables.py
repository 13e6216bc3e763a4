"""What stands below ``[tool.resilience]`` in a pyproject.toml: keys in tables, overrides and rules."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pytest_resilience.core.layers import Layer
from pytest_resilience.settings import values
from pytest_resilience.settings.options import OF_ERROR, OF_TEST, OPTIONS, Option, checked, checked_with
from pytest_resilience.settings.values import invalid, nearest, shown

_ROOT = "[tool.resilience]"
_RETRY = "[tool.resilience.retry]"
_OVERRIDE = "[[tool.resilience.override]]"
_RULE = "[[tool.resilience.retry.rule]]"
# Where each name belongs.
_BELONGS = {option.name: f"[tool.resilience.{option.table}]" for option in OPTIONS} | {
    "override": _ROOT,
    "rule": _RETRY,
    "paths": _OVERRIDE,
    "markers": _OVERRIDE,
    "hang-timeout": _OVERRIDE,
    "match": _RULE,
    "min_passes": "the flaky marker",
}


class Part(NamedTuple):
    """Settings that hold for some tests, or for some errors: a ``[[...]]`` of the table.

    `source` names it. `paths` are globs below the rootdir and `markers` is an expression as for ``-m``; a test has to
    fit both. `match` are regular expressions for errors. `values` are by the fields of a retry policy; beside them
    an override may have a `hang_timeout`.
    """

    source: str
    values: Mapping[str, object]
    paths: tuple[str, ...] = ()
    markers: str = ""
    match: tuple[str, ...] = ()
    hang_timeout: float | None = None

    @property
    def layer(self) -> Layer:
        """The place that its values come from."""
        return Layer(self.source, self.values)


class Table(NamedTuple):
    """What a pyproject.toml says: values by key, the overrides, and the rules for errors, in order."""

    values: Mapping[str, object]
    overrides: tuple[Part, ...] = ()
    rules: tuple[Part, ...] = ()


def read(table: Mapping[str, object]) -> Table:
    """The values of a ``[tool.resilience]`` table, checked. Raises SettingsError."""
    names = sorted({option.table for option in OPTIONS} | {"override"})
    flat: dict[str, object] = {}
    overrides: tuple[Part, ...] = ()
    rules: tuple[Part, ...] = ()
    for name, part in table.items():
        if name not in names:
            raise invalid(_unknown(name, _ROOT, names))
        if name == "override":
            overrides = tuple(_override(f"{_OVERRIDE} {at}", one) for at, one in _several(name, part))
            continue
        if not isinstance(part, Mapping):
            raise invalid(f"{name} = {shown(part)} in {_ROOT}: expected a table")
        known = [option.name for option in OPTIONS if option.table == name]
        known += ["rule"] if name == "retry" else []
        for key, value in part.items():
            if key not in known:
                raise invalid(_unknown(key, f"[tool.resilience.{name}]", known))
            full = f"{name}.{key}"
            if full == "retry.rule":
                rules = tuple(_rule(f"{_RULE} {at}", one) for at, one in _several(full, value))
            else:
                flat[full] = checked(full, value, f"{full} = {shown(value)} in {_ROOT}")
    return Table(values=flat, overrides=overrides, rules=rules)


def _several(name: str, value: object) -> Iterable[tuple[int, Mapping[str, object]]]:
    """The tables of an array of tables, counted from 1 as a reader of the file does."""
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise invalid(f"{name} = {shown(value)} in {_ROOT}: expected tables, as [[tool.resilience.{name}]]")
    return enumerate(value, start=1)


def _override(where: str, part: Mapping[str, object]) -> Part:
    found = _values(part, where, ("paths", "markers", "hang-timeout"), OF_TEST)
    paths = checked_with(values.globs, part.get("paths", ()), _written(part, "paths", where))
    markers = checked_with(values.markers, part.get("markers", ""), _written(part, "markers", where))
    if not paths and not markers:
        raise invalid(f"{where} has neither paths nor markers; what holds for all tests belongs in {_RETRY}")
    limit = None
    if "hang-timeout" in part:
        limit = checked_with(values.seconds, part["hang-timeout"], _written(part, "hang-timeout", where))
    return Part(source=where, paths=paths, markers=markers, values=found, hang_timeout=limit)


def _rule(where: str, part: Mapping[str, object]) -> Part:
    found = _values(part, where, ("match",), OF_ERROR)
    match = checked_with(values.patterns, part.get("match", ()), _written(part, "match", where))
    if not match:
        raise invalid(f"{where} has no match; expected a regular expression or a list of them")
    return Part(source=where, match=match, values=found)


def _values(
    part: Mapping[str, object], where: str, own: tuple[str, ...], options: tuple[Option, ...]
) -> dict[str, object]:
    """The settings among the keys of a part, by field; `own` are the keys that say what it speaks of."""
    by_name = {option.name: option for option in options}
    found: dict[str, object] = {}
    for name, value in part.items():
        if name in own:
            continue
        if name not in by_name:
            raise invalid(_unknown(name, where, [*own, *by_name]))
        found[by_name[name].field] = checked(by_name[name].key, value, _written(part, name, where))
    return found


def _written(part: Mapping[str, object], name: str, where: str) -> str:
    return f"{name} = {shown(part.get(name))} in {where}"


def _unknown(name: str, where: str, known: list[str]) -> str:
    near = nearest(name, known)
    if name in _BELONGS:
        hint = f"{name!r} belongs in {_BELONGS[name]}"
    elif near:
        hint = f"did you mean {near!r}?"
    else:
        hint = f"known are {', '.join(known)}"
    return f"unknown key {name!r} in {where}; {hint}"
