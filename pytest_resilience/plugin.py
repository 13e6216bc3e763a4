"""The entry point `resilience`: declares the options, and registers what is switched on.

Merely installed it does nothing. It is active with ``-p resilience``, with any of its flags, and with a
``[tool.resilience]`` table.
"""

import argparse
import json
import os
import zlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_resilience.settings import Settings

_RESUME = "--resume-failed"
# Short flags that an installed plugin declares without looking whether they are taken: then pytest would not start.
_OF_OTHERS = {"--retries": "pytest-retry", "--retry-delay": "pytest-retry"}


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the flags; another plugin's short name stays its own."""
    from pytest_resilience.settings import OPTIONS

    group = parser.getgroup("resilience", "resilience: retries, stop, ledger, resume, summary")
    for option in OPTIONS:
        if option.flag:
            is_ours = not _is_coming(_OF_OTHERS.get(option.flag), pluginmanager)
            _add(
                group,
                option.flag if is_ours else option.long_flag,
                option.long_flag,
                dest=option.dest,
                metavar=option.metavar,
                help=option.help,
            )
    _add(
        group,
        _RESUME,
        "--resilience-resume-failed",
        dest="resilience_resume",
        nargs="?",
        const="",
        default=None,
        metavar="RUN",
        help="run what is not finally passed in the newest run, or in the run whose name begins with RUN (=RUN)",
    )


def _add(group: pytest.OptionGroup, flag: str, long_flag: str, **arguments: Any) -> None:
    arguments["help"] = arguments["help"].replace("%", "%%")
    # Where another plugin was first, the short name is its own, and ours stays reachable by the long one.
    is_short = flag != long_flag and not _is_taken(group, flag)
    try:
        group.addoption(*([flag] if is_short else []), long_flag, **arguments)
    except (ValueError, argparse.ArgumentError):
        group.addoption(long_flag, **arguments)


def _is_coming(other: str | None, manager: pytest.PytestPluginManager) -> bool:
    """Whether another plugin is installed and pytest is going to load it."""
    if other is None or manager.is_blocked(other) or os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return False
    return find_spec(other.replace("-", "_")) is not None


def _is_taken(group: pytest.OptionGroup, flag: str) -> bool:
    if pytest.version_tuple >= (9,) or group.parser is None:
        return False  # declaring it raises
    from pytest_resilience.hooks.internals import is_taken

    return is_taken(group.parser, flag)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """``--resume-failed tests/`` names a path, not a run: only what follows ``=`` is a run."""
    for at, argument in enumerate(args):
        if argument in (_RESUME, "--resilience-resume-failed"):
            args[at] = f"{argument}="
            taken = early_config.known_args_namespace.resilience_resume
            if taken:
                early_config.known_args_namespace.resilience_resume = ""
                early_config.known_args_namespace.file_or_dir.insert(0, taken)


def pytest_configure(config: pytest.Config) -> None:
    """Register what this process needs, if the plugin is asked for."""
    orders = getattr(config, "workerinput", None)
    if orders is not None:
        if "resilience" in orders:
            _configure_worker(config, json.loads(zlib.decompress(orders["resilience"])))
        return
    settings = _settings_if_active(config)
    if settings is not None:
        _configure_owner(config, settings)


def _settings_if_active(config: pytest.Config) -> "Settings | None":
    from pytest_resilience.settings import OPTIONS, SettingsError, resolve, table_in

    inipath = config.inipath
    pyproject = (
        inipath
        if inipath is not None and inipath.name == "pyproject.toml"
        else config.rootpath / "pyproject.toml"
    )
    flags = {option.key: config.getoption(option.dest) for option in OPTIONS if option.flag}
    typed = {key: value for key, value in flags.items() if value is not None}
    try:
        table = table_in(pyproject)
        is_asked = "resilience" in (config.known_args_namespace.plugins or [])
        if not (is_asked or typed or table is not None or config.option.resilience_resume is not None):
            return None
        return resolve(typed, table or {})
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def _configure_owner(config: pytest.Config, settings: "Settings") -> None:
    from pytest_resilience.hooks.attempts import Attempts
    from pytest_resilience.hooks.owner import Owner
    from pytest_resilience.hooks.policies import Policies
    from pytest_resilience.hooks.selection import Orders, Selection
    from pytest_resilience.hooks.serial import Serial
    from pytest_resilience.hooks.session import Session
    from pytest_resilience.hooks.signals import Sigterm
    from pytest_resilience.hooks.terminal import Terminal
    from pytest_resilience.hooks.workers import Workers

    owner = Owner(config, settings)
    terminal = Terminal(config, owner)
    register = config.pluginmanager.register
    register(terminal, "resilience-terminal")
    register(Session(owner, terminal), "resilience-session")
    register(Sigterm(is_worker=False), "resilience-signals")
    if _is_distributed(config):
        register(Workers(owner, terminal), "resilience-workers")
        return
    serial = Serial(owner, terminal)
    policies = Policies(config, settings, serial.refuse)
    selection = Selection(lambda: Orders.of(owner.plan), config.rootpath, serial.collected)
    register(policies, "resilience-policies")
    register(selection, "resilience-selection")
    register(Attempts(config, serial, policies.of, selection.key_of), "resilience-attempts")


def _configure_worker(config: pytest.Config, orders: dict[str, Any]) -> None:
    from pytest_resilience.hooks import choice
    from pytest_resilience.hooks.attempts import Attempts
    from pytest_resilience.hooks.policies import Policies
    from pytest_resilience.hooks.selection import Orders, Selection
    from pytest_resilience.hooks.signals import Sigterm
    from pytest_resilience.hooks.worker import Worker
    from pytest_resilience.settings import Settings

    if orders["choice"] is not None:
        choice.apply(config, choice.Choice(**orders["choice"]))
    worker = Worker(config, orders)
    policies = Policies(config, Settings(orders["settings"], frozenset(orders["given"])), worker.refuse)
    plan = Orders.from_plain(orders["plan"])
    selection = Selection(lambda: plan, config.rootpath, worker.collected)
    register = config.pluginmanager.register
    register(worker, "resilience-worker")
    register(Sigterm(is_worker=True), "resilience-signals")
    register(policies, "resilience-policies")
    register(selection, "resilience-selection")
    register(Attempts(config, worker, policies.of, selection.key_of), "resilience-attempts")


def _is_distributed(config: pytest.Config) -> bool:
    return config.pluginmanager.hasplugin("xdist") and config.getoption("dist", "no") != "no"
