"""Which retry policy a test has: its nearest marker before the flag, the flag before the table."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.retry import Filter, RetryPolicy
from pytest_resilience.settings import Settings, SettingsError, checked, nearest

# The marker's arguments: where their value goes, and which setting says what is allowed.
_ARGUMENTS = {
    "retries": ("retries", "retry.retries"),
    "delay": ("delay", "retry.delay"),
    "backoff": ("backoff", "retry.backoff"),
    "max_delay": ("max_delay", "retry.max-delay"),
    "only": ("only", "retry.only"),
    "except_": ("except_", "retry.except"),
}
MARKER = (
    "flaky(retries=1, delay=0, backoff='fixed', max_delay=60, only=None, except_=None): "
    "try the test again up to `retries` times when it fails (pytest-resilience)"
)


class Policies:
    """The retry policy of each item. `refuse` is told of a marker that cannot be understood."""

    def __init__(self, config: pytest.Config, settings: Settings, refuse: Callable[[str], None]) -> None:
        self._refuse = refuse
        self._default = settings.retry
        self._is_off = settings.retries_off
        self._of_marked: dict[int, RetryPolicy] = {}
        config.addinivalue_line("markers", MARKER)

    def of(self, item: pytest.Item) -> RetryPolicy:
        """The policy of an item that was collected."""
        return self._of_marked.get(id(item), self._default)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # Once for all: a marker that cannot be understood is told before any test runs.
        for item in session.items if not self._is_off else ():
            marker = item.get_closest_marker("flaky")
            if marker is not None:
                try:
                    self._of_marked[id(item)] = policy_of(marker, self._default)
                except SettingsError as error:
                    self._refuse(f"{error} (at {item.nodeid})")
                    return


def policy_of(marker: pytest.Mark, default: RetryPolicy) -> RetryPolicy:
    """The policy that a ``flaky`` marker asks for; what it leaves open is as in `default`. Raises SettingsError.

    A marker that names no number of retries asks for one, or for as many as the default has.
    """
    values: dict[str, object] = {"retries": max(1, default.retries)}
    names = dict(zip(_ARGUMENTS, marker.args, strict=False)) | dict(marker.kwargs)
    if len(marker.args) > 2:
        raise SettingsError(
            f"{Code.CONFIG_INVALID}: flaky takes retries and delay by position, the rest by name"
        )
    if len(names) < len(marker.args) + len(marker.kwargs):
        raise SettingsError(f"{Code.CONFIG_INVALID}: flaky has an argument twice, by position and by name")
    for name, value in names.items():
        if name not in _ARGUMENTS:
            near = nearest(name, _ARGUMENTS)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(_ARGUMENTS)}"
            raise SettingsError(
                f"{Code.CONFIG_INVALID}: unknown argument {name!r} of the flaky marker; {hint}"
            )
        field, key = _ARGUMENTS[name]
        values[field] = (
            _filters(name, value)
            if name in ("only", "except_")
            else checked(key, value, f"flaky({name}={value!r})")
        )
    return replace(default, **values)  # type: ignore[arg-type]


def _filters(name: str, value: object) -> tuple[Filter, ...]:
    """Exception types and regular expressions, one or several."""
    several = value if isinstance(value, list | tuple) else () if value is None else (value,)
    checked_ones: list[Filter] = []
    for one in several:
        if isinstance(one, type) and issubclass(one, BaseException):
            checked_ones.append(one)
        else:
            checked_ones.extend(checked("retry.only", one, f"flaky({name}={one!r})"))  # type: ignore[arg-type]
    return tuple(checked_ones)
