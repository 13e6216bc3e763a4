"""Other plugins that run or retry tests themselves: two of a kind in one session would hide each other's work."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.hooks.registered import Registered


class Rival(NamedTuple):
    """A plugin that does what we do. `name` is what ``-p no:`` takes, `module` where its hooks are.

    `options` switch it on, by their names among pytest's options, and so do `inis`. `has_marker` says that it acts on
    every ``flaky`` marker, asked or not, and `attribute` what its decorator leaves on a test function.
    """

    package: str
    name: str
    module: str
    options: tuple[str, ...] = ()
    inis: tuple[str, ...] = ()
    has_marker: bool = False
    attribute: str = ""

    def asked_by(self, config: pytest.Config) -> str:
        """What in the command line or the configuration switches it on, empty when nothing does."""
        for option in self.options:
            if config.getoption(option, None):
                return f"--{option.replace('_', '-')}"
        return next((f"{ini} in the configuration" for ini in self.inis if _is_set(config, ini)), "")

    def refusal(self, why: str) -> str:
        """The sentence that ends the session."""
        return (
            f"{Code.PLUGIN_CONFLICT}: {self.package} is active too ({why}), and tests would be run by one of us only. "
            f"Uninstall it or switch it off with -p no:{self.name}, or switch this plugin off with -p no:resilience"
        )


def _is_set(config: pytest.Config, ini: str) -> bool:
    try:
        return bool(config.getini(ini))
    except ValueError:
        return False  # an older release, which does not know the key


_RIVALS = (
    Rival(
        package="pytest-rerunfailures",
        name="rerunfailures",
        module="pytest_rerunfailures",
        options=("reruns", "force_reruns"),
        inis=("reruns",),
    ),
    Rival(
        package="pytest-retry",
        name="pytest-retry",
        module="pytest_retry.retry_plugin",
        options=("retries",),
        inis=("retries",),
        has_marker=True,
    ),
    Rival(
        package="flaky",
        name="flaky",
        module="flaky.flaky_pytest_plugin",
        options=("force_flaky",),
        has_marker=True,
        attribute="_flaky_max_runs",
    ),
    Rival(
        package="pytest-smart-rerun",
        name="smart-rerun",
        module="pytest_smart_rerun",
        options=("smart_rerun",),
        inis=("smart_rerun",),
    ),
    Rival(package="pytest-forked", name="pytest_forked", module="pytest_forked", options=("forked",)),
)


def loaded(config: pytest.Config) -> list[Rival]:
    """The rivals among the plugins of a session."""
    modules = {getattr(plugin, "__name__", "") for _, plugin in config.pluginmanager.list_name_plugin()}
    return [rival for rival in _RIVALS if rival.module in modules]


def refuse_active(rivals: list[Rival], config: pytest.Config) -> None:
    """Raise pytest.UsageError when one of the rivals is switched on."""
    for rival in rivals:
        why = rival.asked_by(config)
        if why:
            raise pytest.UsageError(rival.refusal(why))


class Rivals(Registered):
    """Looks for tests on which a rival would act without being switched on. `refuse` is told of the first."""

    def __init__(self, rivals: list[Rival], refuse: Callable[[str], None]) -> None:
        self._rivals = rivals
        self._refuse = refuse

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for rival in self._rivals:
            for item in session.items:
                if rival.attribute and hasattr(getattr(item, "obj", None), rival.attribute):
                    self._refuse(rival.refusal(f"its decorator is on {item.nodeid}"))
                    return
                if rival.has_marker and item.get_closest_marker("flaky") is not None:
                    self._refuse(rival.refusal(f"it acts on the flaky marker of {item.nodeid}"))
                    return
