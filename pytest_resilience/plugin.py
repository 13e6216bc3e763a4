"""The entry point `resilience`: declares the options, and registers what is switched on.

Merely installed it does nothing. It is active with ``-p resilience``, with any of its flags, and with a
``[tool.resilience]`` table.
"""

import argparse
import json
import os
import zlib
from collections.abc import Generator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience import imports

if TYPE_CHECKING:
    from pytest_resilience.hooks.owner import Owner
    from pytest_resilience.hooks.rerunfailures import Asked
    from pytest_resilience.hooks.terminal import Terminal
    from pytest_resilience.settings.resolved import Settings

imports.leave_as_they_are()

# What is set, or None where the plugin is not active.
_SETTINGS = pytest.StashKey["Settings | None"]()
_RESUME = "--resume-failed"
_FORCE = "--resume-force"
# By plugin and module: short flags that it declares without looking whether they are taken; pytest would not start.
_RETRY = ("pytest-retry", "pytest_retry")
_RERUNFAILURES = ("rerunfailures", "pytest_rerunfailures")
_OF_OTHERS = {"--retries": _RETRY, "--retry-delay": _RETRY, "--fail-on-flaky": _RERUNFAILURES}


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let conftest files and other plugins implement our hooks, whether the plugin is active or not."""
    from pytest_resilience import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the flags; another plugin's short name stays its own."""
    from pytest_resilience.settings.options import OPTIONS

    coming = [other for other in (_RETRY, _RERUNFAILURES) if _is_coming(other, pluginmanager)]
    group = parser.getgroup("resilience", "resilience: retries, stop, ledger, resume, summary")
    for option in OPTIONS:
        if option.flag:
            is_ours = _OF_OTHERS.get(option.flag) not in coming
            _add(
                group,
                option.flag if is_ours else option.long_flag,
                option.long_flag,
                dest=option.dest,
                help=option.help,
                **(
                    {"metavar": option.metavar}
                    if option.metavar
                    else {"action": "store_const", "const": True}
                ),
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
    _add(
        group,
        _FORCE,
        "--resilience-resume-force",
        dest="resilience_force",
        action="store_true",
        help="with --resume-failed: resume a run although it looks alive, as on a network file system",
    )
    _add(
        group,
        "--run-key",
        "--resilience-run-key",
        dest="resilience_run_key",
        default=None,
        metavar="KEY",
        help="go on with the newest run that was given this key, or begin one: the same command for all attempts of a CI job",
    )
    if _RERUNFAILURES not in coming and not _is_taken(group, "--reruns"):
        from pytest_resilience.hooks import rerunfailures

        rerunfailures.declare(group, parser)
    group.addoption(
        "--resilience-explain",
        dest="resilience_explain",
        action="store_true",
        help="show the retry policy of the tests that are named, and where each value comes from; run nothing",
    )


def _add(group: pytest.OptionGroup, flag: str, long_flag: str, **arguments: Any) -> None:
    arguments["help"] = arguments["help"].replace("%", "%%")
    # Where another plugin was first, the short name is its own, and ours stays reachable by the long one.
    is_short = flag != long_flag and not _is_taken(group, flag)
    try:
        group.addoption(*([flag] if is_short else []), long_flag, **arguments)
    except (ValueError, argparse.ArgumentError):
        group.addoption(long_flag, **arguments)


def _is_coming(other: tuple[str, str], manager: pytest.PytestPluginManager) -> bool:
    """Whether pytest is going to load another plugin: because it is installed, or because somebody names it."""
    if any(manager.is_blocked(name) for name in other):
        return False
    if {*other, *(f"-p{name}" for name in other)} & _words(manager.get_plugin("pytestconfig")):
        return True
    return not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") and find_spec(other[1]) is not None


def _words(config: pytest.Config | None) -> set[str]:
    """All words of the places that can name a plugin, conftest files left out: those come too late to tell."""
    words = {*os.environ.get("PYTEST_PLUGINS", "").split(","), *os.environ.get("PYTEST_ADDOPTS", "").split()}
    if config is not None:
        words |= {*map(str, config.invocation_params.args), *config.getini("addopts")}
    return words


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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Ask for a supervised worker before xdist looks how many it is to start."""
    if not hasattr(config, "workerinput"):
        settings = _settings_if_active(config)
        config.stash[_SETTINGS] = settings
        if settings is not None and settings["worker.supervise"]:
            from pytest_resilience.hooks.supervision import supervise

            supervise(config, settings)
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register what this process needs, if the plugin is asked for."""
    orders = getattr(config, "workerinput", None)
    if orders is not None:
        if "resilience" in orders:
            _configure_worker(config, json.loads(zlib.decompress(orders["resilience"])))
        return
    settings = config.stash[_SETTINGS] if _SETTINGS in config.stash else _settings_if_active(config)
    if settings is None:
        return
    if config.option.resilience_force:
        _refuse_force_alone(config)
    if config.option.resilience_explain:
        _configure_rehearsal(config, settings)
    else:
        _configure_owner(config, settings)


def _settings_if_active(config: pytest.Config) -> "Settings | None":
    from pytest_resilience.hooks import rerunfailures
    from pytest_resilience.settings.options import OPTIONS
    from pytest_resilience.settings.pyproject import table_in
    from pytest_resilience.settings.values import SettingsError

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
        others = rerunfailures.asked(config)
        resume, run_key = config.option.resilience_resume, config.option.resilience_run_key
        is_flagged = resume is not None or run_key is not None
        is_flagged = is_flagged or config.option.resilience_explain or config.option.resilience_force
        if not (is_asked or is_flagged or typed or others or table is not None):
            return None
        from pytest_resilience.settings.resolved import resolve

        _check_run_key(run_key, resume)
        _refuse_both(typed, others)
        return resolve({**others.typed, **typed}, table or {}, others.names, others.inis, others.above)
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def _check_run_key(run_key: str | None, resume: str | None) -> None:
    from pytest_resilience.core.codes import Code
    from pytest_resilience.settings import options, values

    if run_key is None:
        return
    options.checked_with(values.label, run_key, f"--run-key {values.shown(run_key)}")
    if resume:
        raise pytest.UsageError(
            f"{Code.OPTION_CONFLICT}: --run-key and {_RESUME}={resume} both name the run to resume; give one of them"
        )


def _refuse_both(typed: dict[str, object], others: "Asked") -> None:
    from pytest_resilience.core.codes import Code
    from pytest_resilience.settings.options import BY_KEY

    for key in typed.keys() & others.typed.keys():
        raise pytest.UsageError(
            f"{Code.OPTION_CONFLICT}: {BY_KEY[key].flag} and {others.names[key]} mean the same; give one of them"
        )


def _refuse_force_alone(config: pytest.Config) -> None:
    from pytest_resilience.core.codes import Code

    if config.option.resilience_resume is None:
        raise pytest.UsageError(f"{Code.CONFIG_INVALID}: {_FORCE} says how to resume; add {_RESUME}")


def _configure_owner(config: pytest.Config, settings: "Settings") -> None:
    from pytest_resilience.hooks.owner import Owner
    from pytest_resilience.hooks.repeated import Repeated
    from pytest_resilience.hooks.rivals import loaded, refuse_active
    from pytest_resilience.hooks.session import Session
    from pytest_resilience.hooks.terminal import Terminal

    refuse_active(loaded(config), config)
    owner = Owner(config, settings)
    terminal = Terminal(config, owner)
    register = config.pluginmanager.register
    register(terminal, "resilience-terminal")
    register(Session(owner, terminal), "resilience-session")
    register(Repeated(config, shows_tracebacks=settings["retry.tracebacks"]), "resilience-repeated")
    # Each imports only what it needs: a session without workers knows nothing of xdist, and starts earlier.
    configure = _configure_controller if _is_distributed(config) else _configure_serial
    configure(config, settings, owner, terminal)


def _configure_controller(
    config: pytest.Config, settings: "Settings", owner: "Owner", terminal: "Terminal"
) -> None:
    from pytest_resilience.hooks.activity import Activity
    from pytest_resilience.hooks.arrivals import Arrivals
    from pytest_resilience.hooks.crashes import Crashes
    from pytest_resilience.hooks.ends import Ends
    from pytest_resilience.hooks.handover import GIVES_AGAIN
    from pytest_resilience.hooks.interrupts import Grace, Interrupts
    from pytest_resilience.hooks.redistribution import Redistribution
    from pytest_resilience.hooks.signals import Signals
    from pytest_resilience.hooks.watchdog import Watchdog
    from pytest_resilience.hooks.workers import Workers

    register = config.pluginmanager.register
    activity = Activity()
    register(activity, "resilience-activity")
    watchdog = Watchdog(owner, terminal, activity)
    register(watchdog, "resilience-watchdog")
    workers = Workers(owner, terminal)
    redistribution = Redistribution(owner, terminal, workers)
    poisoned = None
    register(workers, "resilience-workers")
    register(redistribution, "resilience-redistribution")
    grace = Grace(config, settings["stop.grace"])
    register(Ends(owner, terminal, grace, watchdog, workers.take_collected), "resilience-ends")
    if settings["worker.poisoned-after"] and config.option.dist in GIVES_AGAIN:
        from pytest_resilience.hooks.poisoned import Poisoned

        poisoned = Poisoned(owner, terminal, workers, redistribution)
        register(poisoned, "resilience-poisoned")
    arrivals = Arrivals(owner, workers, redistribution, poisoned)
    crashes = Crashes(owner, terminal, workers, redistribution, arrivals, activity, watchdog)
    register(crashes, "resilience-crashes")
    interrupts = Interrupts(owner, terminal, grace)
    register(interrupts, "resilience-interrupts")
    register(Signals(interrupts, and_interrupts=True), "resilience-signals")


def _configure_serial(
    config: pytest.Config, settings: "Settings", owner: "Owner", terminal: "Terminal"
) -> None:
    from pytest_resilience.hooks.attempts import Attempts
    from pytest_resilience.hooks.deferred import Alone
    from pytest_resilience.hooks.guarded import Guarded
    from pytest_resilience.hooks.limits import Limits
    from pytest_resilience.hooks.policies import Policies
    from pytest_resilience.hooks.rivals import Rivals, loaded
    from pytest_resilience.hooks.selection import Orders, Selection
    from pytest_resilience.hooks.serial import Serial
    from pytest_resilience.hooks.signals import InThisProcess, Signals
    from pytest_resilience.hooks.stacks import OfSession

    register = config.pluginmanager.register
    in_this_process = InThisProcess(settings["stop.grace"])
    register(in_this_process, "resilience-interrupts")
    register(Signals(in_this_process), "resilience-signals")
    guarded = Guarded(owner, terminal)
    # The last one comes first: the guard takes over what faulthandler writes.
    register(OfSession(owner, lambda: guarded.is_guarded), "resilience-stacks")
    register(guarded, "resilience-guarded")
    serial = Serial(owner, terminal, guarded)
    policies = Policies(config, settings, serial.refuse)
    limits = Limits(config, settings, serial.refuse, serial.limits)
    selection = Selection(lambda: Orders.of(owner.plan), config.rootpath, serial.collected, owner.redactor)
    register(policies, "resilience-policies")
    register(limits, "resilience-limits")
    register(selection, "resilience-selection")
    attempts = Attempts(
        config,
        serial,
        policies.of,
        selection.key_of,
        Alone(),
        owner.redactor,
        retries_off=settings.retries_off,
    )
    register(attempts, "resilience-attempts")
    rivals = loaded(config)
    if rivals:
        register(Rivals(rivals, serial.refuse), "resilience-rivals")


def _configure_rehearsal(config: pytest.Config, settings: "Settings") -> None:
    """``--resilience-explain``: no run and no ledger, and one process that collects."""
    from pytest_resilience.hooks.explain import Explain
    from pytest_resilience.hooks.limits import Limits
    from pytest_resilience.hooks.policies import Policies
    from pytest_resilience.hooks.rivals import loaded, refuse_active

    def refuse(text: str) -> None:
        raise pytest.UsageError(text)

    refuse_active(loaded(config), config)
    if _is_distributed(config):
        config.option.dist = "no"
    policies = Policies(config, settings, refuse)
    limits = Limits(config, settings, refuse, lambda limits: None)
    config.pluginmanager.register(policies, "resilience-policies")
    config.pluginmanager.register(limits, "resilience-limits")
    config.pluginmanager.register(Explain(settings, policies), "resilience-explain")


def _configure_worker(config: pytest.Config, orders: dict[str, Any]) -> None:
    from pytest_resilience.hooks import belonging, lifeline
    from pytest_resilience.hooks.attempts import Attempts
    from pytest_resilience.hooks.handover import Handover
    from pytest_resilience.hooks.last_words import LastWords, Outermost
    from pytest_resilience.hooks.limits import Limits
    from pytest_resilience.hooks.policies import Policies
    from pytest_resilience.hooks.rivals import Rivals, loaded
    from pytest_resilience.hooks.selection import Orders, Selection
    from pytest_resilience.hooks.signals import OnWorker, Signals
    from pytest_resilience.hooks.worker import Worker
    from pytest_resilience.ledger.machine import Process
    from pytest_resilience.settings.resolved import Settings

    lifeline.tie_to(Process(**orders["controller"]))
    os.environ[belonging.VARIABLE] = belonging.value_for(config.workerinput)  # type: ignore[attr-defined]
    if orders["choice"] is not None:
        from pytest_resilience.hooks import choice

        choice.apply(config, choice.Choice(**orders["choice"]))
    worker = Worker(config, orders)
    settings = Settings.from_plain(orders["settings"])
    policies = Policies(config, settings, worker.refuse)
    limits = Limits(config, settings, worker.refuse, worker.limits)
    plan = Orders.from_plain(orders["plan"])
    selection = Selection(lambda: plan, config.rootpath, worker.collected, worker.redactor)
    register = config.pluginmanager.register
    register(worker, "resilience-worker")
    last_words = LastWords(config)
    register(last_words, "resilience-last-words")
    register(Outermost(last_words), "resilience-outermost")
    on_worker = OnWorker(last_words)
    register(on_worker, "resilience-interrupts")
    register(Signals(on_worker), "resilience-signals")
    register(policies, "resilience-policies")
    register(limits, "resilience-limits")
    register(selection, "resilience-selection")
    may_differ = bool(settings.overrides or settings.above) and not settings.retries_off
    crash_retries = settings.crash_retries if may_differ else None
    handover = Handover(config, orders["mode"], policies.of, selection.key_of, crash_retries)
    register(handover, "resilience-handover")
    attempts = Attempts(
        config,
        worker,
        policies.of,
        selection.key_of,
        handover,
        worker.redactor,
        retries_off=settings.retries_off,
    )
    register(attempts, "resilience-attempts")
    rivals = loaded(config)
    if rivals:
        register(Rivals(rivals, worker.refuse), "resilience-rivals")


def _is_distributed(config: pytest.Config) -> bool:
    """Whether xdist starts workers. To collect only it does not: the process that was started collects."""
    has_xdist = config.pluginmanager.hasplugin("xdist") and not config.option.collectonly
    return has_xdist and config.getoption("dist", "no") != "no"
