"""Which retry policy a test has: what its nearest marker and the overrides that fit it say, and all the settings."""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.core.errors import Filter
from pytest_resilience.core.layers import Layer, Places
from pytest_resilience.core.retry import SCOPES, Condition, RetryPolicy, Rule
from pytest_resilience.hooks import internals, rerunfailures
from pytest_resilience.hooks.markers import closest
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.settings.options import OF_TEST, checked, checked_with
from pytest_resilience.settings.resolved import DEFAULT, Settings
from pytest_resilience.settings.tables import Part
from pytest_resilience.settings.values import SettingsError, invalid, nearest, patterns, shown, whole

if TYPE_CHECKING:
    from pytest_resilience.core.vocabularies import Arguments

MARKER = (
    "flaky(retries=1, delay=0, backoff='fixed', ...): "
    "try the test again up to `retries` times when it fails (pytest-resilience)"
)
_KEYS = {option.field: option.key for option in OF_TEST}


class Policies(Registered):
    """The retry policy of each item. `refuse` is told of what cannot be understood."""

    def __init__(self, config: pytest.Config, settings: Settings, refuse: Callable[[str], None]) -> None:
        self._root = config.rootpath
        self._settings = settings
        self._refuse = refuse
        self._overrides: list[tuple[Part, Callable[[pytest.Item], bool]]] = []
        self._above: list[tuple[Part, Callable[[pytest.Item], bool]]] = []
        self._default = _policy(settings.places(), settings.rules, None)
        self._of_item: dict[int, RetryPolicy] = {}
        config.addinivalue_line("markers", MARKER)

    def of(self, item: pytest.Item) -> RetryPolicy:
        """The policy of an item that was collected."""
        return self._of_item.get(id(item), self._default) if self._of_item else self._default

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # Once for all: what cannot be understood is told before any test runs.
        try:
            self._overrides = [(part, speaks_of(part, self._root)) for part in self._settings.overrides]
            self._above = [(part, speaks_of(part, self._root)) for part in self._settings.above]
            if not self._settings.retries_off:
                self._take(session.items)
        except SettingsError as error:
            self._refuse(str(error))

    def _take(self, items: Sequence[pytest.Item]) -> None:
        """Note the policies of items that differ from the default. A condition is bound to the item that it is of."""
        is_bound = self._settings["retry.condition"] != ""
        may_differ = is_bound or bool(self._overrides or self._above)
        markers = closest(items, "flaky")
        if not may_differ and not any(markers):
            return
        for item, marker in zip(items, markers, strict=True):
            if is_bound or marker is not None or self._overrides_of(item) or self._above_of(item):
                policy = _policy(self.places_of(item), self._settings.rules, item)
                _check_passes(policy, item)
                self._of_item[id(item)] = policy

    def places_of(self, item: pytest.Item) -> Places:
        """Where the policy of an item comes from. Raises SettingsError for a marker that cannot be understood."""
        marker = None if self._settings.retries_off else item.get_closest_marker("flaky")
        overrides, above = self._overrides_of(item), self._above_of(item)
        try:
            layer = None if marker is None else self._layer(marker, overrides)
            if layer is not None and "refresh" in layer.values:
                _check_refresh(item, layer.values["refresh"])
        except SettingsError as error:
            raise SettingsError(f"{error} (at {item.nodeid})") from None
        return self._settings.places(layer, overrides, above)

    def _layer(self, marker: pytest.Mark, overrides: list[Part]) -> Layer:
        """What a marker sets, given what holds for a test without one."""
        values = marked(marker)
        usual = self._settings.places(None, overrides).values()
        if rerunfailures.speaks(marker, self._settings):
            # Who has said which reports are wanted has meant these tests too.
            told = {"reports": "all"} if usual["reports"].source == DEFAULT else {}
            values = {**rerunfailures.LEFT_OUT, **told, **values}
        if self._settings["retry.mode"] == "append":
            values["retries"] = int(str(values.get("retries", 1))) + int(str(usual["retries"].value))
        return Layer(_source(marker), values)

    def _overrides_of(self, item: pytest.Item) -> list[Part]:
        return [part for part, speaks_of in self._overrides if speaks_of(item)]

    def _above_of(self, item: pytest.Item) -> list[Part]:
        return [part for part, speaks_of in self._above if speaks_of(item)]


def marked(marker: pytest.Mark) -> dict[str, object]:
    """What a ``flaky`` marker asks for, by the fields of a policy. Raises SettingsError."""
    from pytest_resilience.core.vocabularies import ArgumentError, translated

    try:
        arguments = translated(marker.args, marker.kwargs)
    except ArgumentError as error:
        raise invalid(str(error)) from None
    values: dict[str, object] = {}
    for name, value in arguments.values.items():
        given = arguments.written[name]
        tolerated = rerunfailures.tolerated(given, value)
        if not tolerated:
            values[name] = _of_argument(name, value, arguments)
        for field, one in tolerated.items():
            # What a name brings with it gives way to what is said.
            if field == name or field not in arguments.written:
                values[field] = checked(_KEYS[field], one, f"flaky({given}={shown(value)})")
    return values


def _of_argument(name: str, value: object, arguments: "Arguments") -> object:
    given = arguments.written[name]
    if given == "max_runs" and isinstance(value, int):
        # The flaky package counts the first attempt, and so does who wrote the number.
        return checked_with(whole(1), value + 1, f"flaky(max_runs={value + 1})") - 1
    written = f"flaky({given}={shown(value)})"
    if name in ("only", "except_"):
        return _filters(value, written)
    if name == "condition":
        return value
    if name == "min_passes":
        return checked_with(whole(1), value, written)
    return checked(_KEYS[name], value, written)


def _filters(value: object, written: str) -> tuple[Filter, ...]:
    """Exception types and regular expressions, one or several; None is for none."""
    several = value if isinstance(value, list | tuple) else () if value is None else (value,)
    filters: list[Filter] = []
    for one in several:
        if isinstance(one, type) and issubclass(one, BaseException):
            filters.append(one)
        elif isinstance(one, str):
            filters.extend(checked_with(patterns, one, written))
        else:
            raise invalid(f"{written}: expected an exception type, a regular expression, or a list of these")
    return tuple(filters)


def _check_refresh(item: pytest.Item, names: Any) -> None:
    """Raise SettingsError for a name that is neither a scope nor that of a fixture which the item can see."""
    for name in names:
        if name not in SCOPES and not internals.fixtures_named(item, name):
            near = nearest(name, [*SCOPES, *getattr(item, "fixturenames", ())])
            hint = f"; did you mean {near!r}?" if near else ""
            expected = f"expected {', '.join(SCOPES)}, or a fixture that the test can see"
            raise invalid(f"flaky(refresh={shown(name)}): {expected}{hint}")


def _check_passes(policy: RetryPolicy, item: pytest.Item) -> None:
    """Raise SettingsError for a test that could only fail."""
    most = policy.most_retries + 1
    if policy.min_passes > most:
        attempts = f"{most} attempt{'s' if most > 1 else ''}"
        why = f"a test has at most {attempts} here; raise retries or max_runs (at {item.nodeid})"
        raise invalid(f"flaky(min_passes={policy.min_passes}): {why}")


def _source(marker: pytest.Mark) -> str:
    by_name = (f"{name}={shown(value)}" for name, value in marker.kwargs.items())
    return f"marker flaky({', '.join([*map(shown, marker.args), *by_name])})"


def _policy(places: Places, rules: Iterable[Part], item: pytest.Item | None) -> RetryPolicy:
    """The policy that follows from the places and rules; without an item it has no condition."""
    fields: dict[str, Any] = {name: found.value for name, found in places.values().items()}
    condition = fields.pop("condition")
    is_none = isinstance(condition, str) and not condition
    return RetryPolicy(
        **fields,
        condition=None if is_none or item is None else _condition(item, condition),
        rules=tuple(
            Rule(part.match, {name: found.value for name, found in places.changes(part.layer).items()})
            for part in rules
        ),
    )


def _condition(item: pytest.Item, condition: Any) -> Condition:
    from pytest_resilience.hooks.conditions import condition_for

    return condition_for(item, condition)


def speaks_of(part: Part, root: Path) -> Callable[[pytest.Item], bool]:
    """Whether an override speaks of an item: of its path and of its markers, where it names them."""
    from pytest_resilience.core.globs import matcher

    try:
        has_markers = internals.marker_expression(part.markers) if part.markers else None
    except ValueError as error:
        raise invalid(f"markers = {shown(part.markers)} in {part.source}: {error}") from None
    fits = matcher(part.paths)

    @functools.cache
    def is_there(path: Path) -> bool:
        return fits(Path(os.path.relpath(path, root)).as_posix())

    def speaks_of(item: pytest.Item) -> bool:
        return (not part.paths or is_there(item.path)) and (has_markers is None or has_markers(item))

    return speaks_of
