"""How long an attempt at a test may take: what its marker says, the command line, an override, the table."""

from collections.abc import Callable

import pytest

from pytest_resilience.hooks.markers import closest
from pytest_resilience.hooks.policies import speaks_of
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.settings.options import checked
from pytest_resilience.settings.resolved import Settings
from pytest_resilience.settings.values import SettingsError, invalid, shown

MARKER = (
    "hang_timeout(seconds): "
    "end an attempt at the test that takes longer, and its worker; 0: never (pytest-resilience)"
)
# The event with which a worker tells them.
LIMITS = "resilience-limits"

_KEY = "hang.timeout"


def limit_of_stage(settings: Settings, key: str) -> float:
    """How long something beside the tests may take, 0 for any time: with a limit for tests, or where it is set itself."""
    limit: float = settings[key] if settings[_KEY] or key in settings.sources else 0.0
    return limit


class Limits(Registered):
    """Tells, by node id, which tests have another limit than is usual. `refuse` is told of what cannot be understood."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        refuse: Callable[[str], None],
        tell: Callable[[dict[str, float]], None],
    ) -> None:
        self._root = config.rootpath
        self._settings = settings
        self._refuse = refuse
        self._tell = tell
        config.addinivalue_line("markers", MARKER)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # Before xdist tells the controller that the tests may begin.
        try:
            limits = self._other_limits(session)
        except SettingsError as error:
            self._refuse(str(error))
            return
        if limits:
            self._tell(limits)

    def _other_limits(self, session: pytest.Session) -> dict[str, float]:
        overrides = []
        if not self._settings.is_typed(_KEY):
            parts = (part for part in self._settings.overrides if part.hang_timeout is not None)
            overrides = [(part.hang_timeout, speaks_of(part, self._root)) for part in parts]
        usual: float = self._settings[_KEY]
        limits: dict[str, float] = {}
        markers = closest(session.items, "hang_timeout")
        if not overrides and not any(markers):
            return limits
        for item, marker in zip(session.items, markers, strict=True):
            if marker is not None:
                limit = _seconds(marker, item)
            else:
                limit = next((one or 0.0 for one, speaks in overrides if speaks(item)), usual)
            # Where several tests have the same id, the most patient of them speaks for all.
            limits[item.nodeid] = _longest(limit, limits.get(item.nodeid, limit))
        return {nodeid: limit for nodeid, limit in limits.items() if limit != usual}


def _seconds(marker: pytest.Mark, item: pytest.Item) -> float:
    arguments = [*marker.args, *marker.kwargs.values()]
    written = ", ".join(
        [*map(shown, marker.args), *(f"{name}={shown(one)}" for name, one in marker.kwargs.items())]
    )
    try:
        if len(arguments) != 1 or marker.kwargs.keys() - {"seconds"}:
            raise invalid(f"hang_timeout({written}): expected one number of seconds, 0 or more")
        return float(str(checked(_KEY, arguments[0], f"hang_timeout({written})")))
    except SettingsError as error:
        raise SettingsError(f"{error} (at {item.nodeid})") from None


def _longest(one: float, other: float) -> float:
    """The longer of two limits; 0 is for none at all."""
    return max(one, other) if one and other else 0.0
