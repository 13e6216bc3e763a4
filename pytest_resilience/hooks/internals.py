"""All that touches the private parts of pytest and xdist: one file to mend when they change."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from inspect import signature
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest._io.saferepr import saferepr
from _pytest.runner import check_interactive_exception, show_test_item

# The counts of failed subtests, None where pytest has no subtests (before 9).
_FAILED_SUBTESTS: Any = None
with suppress(ImportError):
    from _pytest.subtests import failed_subtests_key

    _FAILED_SUBTESTS = failed_subtests_key

EVENT = "resilience"


def is_taken(parser: pytest.Parser, flag: str) -> bool:
    """Whether another plugin has declared the flag already. Before pytest 9 nothing says so until it is too late."""
    groups = (getattr(parser, "_anonymous", None), *getattr(parser, "_groups", ()))
    return any(flag in option.names() for group in groups if group is not None for option in group.options)


# -- one attempt at an item ----------------------------------------------------------------------------------------


def ends_session(config: pytest.Config) -> tuple[type[BaseException], ...]:
    """What a phase must not swallow: `pytest.exit` and, outside the debugger, KeyboardInterrupt."""
    with_debugger = config.getoption("usepdb", False)
    return (pytest.exit.Exception,) if with_debugger else (pytest.exit.Exception, KeyboardInterrupt)


def run_phase(
    item: pytest.Item, hook: Any, when: Any, reraise: tuple[type[BaseException], ...], **arguments: Any
) -> tuple[pytest.TestReport, BaseException | None]:
    """Run one phase of an item through pytest's own hooks, `hook` being the item's.

    Returns its report, not logged yet, and the exception that ended it, None when nothing was raised. Raises what
    is in `reraise`.
    """
    run = getattr(hook, f"pytest_runtest_{when}")
    call = pytest.CallInfo.from_call(lambda: run(item=item, **arguments), when=when, reraise=reraise)
    report: pytest.TestReport = hook.pytest_runtest_makereport(item=item, call=call)
    if check_interactive_exception(call, report):
        hook.pytest_exception_interact(node=item, call=call, report=report)
    return report, call.excinfo.value if call.excinfo is not None else None


def open_item(item: pytest.Item) -> None:
    """Give an item that ran before a new request, as pytest does for items that run again."""
    if getattr(item, "_request", None) is False:
        item._initrequest()  # type: ignore[attr-defined]


def close_item(item: pytest.Item) -> None:
    """Let go of the fixtures of an attempt."""
    if hasattr(item, "_request"):
        item._request = False
        item.funcargs = None  # type: ignore[attr-defined]


_TAKES_SPACE = "add_space" in signature(show_test_item).parameters  # since pytest 9


def show_setup(item: pytest.Item, *, add_space: bool) -> None:
    """The line of ``--setup-show`` for an item."""
    if _TAKES_SPACE:
        show_test_item(item, add_space=add_space)
    else:
        show_test_item(item)  # type: ignore[call-arg]


def failed_fixtures(item: pytest.Item) -> list[Any]:
    """The fixture definitions of an item, of any scope, whose setup failed: pytest caches the exception."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = (
        [one for group in info.name2fixturedefs.values() for one in group] if info is not None else []
    )
    request = getattr(item, "_request", None)
    definitions += list(getattr(request, "_fixture_defs", {}).values()) if request else []
    failed = []
    for definition in definitions:
        cached = getattr(definition, "cached_result", None)
        if cached is not None and cached[2] is not None and definition not in failed:
            failed.append(definition)
    return failed


def forget_fixtures(definitions: list[Any], request: Any) -> None:
    """Finish fixtures whose setup failed, with all that depends on them, so that the next attempt makes them anew.

    An error of a finalizer belongs to an attempt that failed already, and the next one begins all the same.
    """
    for definition in definitions:
        with suppress(Exception):
            definition.finish(request)


def broken_collector(item: pytest.Item) -> pytest.Collector | None:
    """The collector whose own setup raised, None when all are well: pytest keeps the exception for its items."""
    stack = item.session._setupstate.stack
    for node in item.listchain()[:-1]:
        if node in stack and stack[node][1] is not None:
            return node  # type: ignore[return-value]
    return None


class Snapshot:
    """What an attempt may leave on an item, as it was before; `restore` undoes the attempt."""

    def __init__(self, item: pytest.Item) -> None:
        self.properties = tuple(item.user_properties)
        self.sections = tuple(item._report_sections)
        self.markers = tuple(item.own_markers)
        self.keywords = dict(item.keywords._markers)  # type: ignore[attr-defined]
        self.extra = frozenset(item.extra_keyword_matches)
        self.stash = dict(item.stash._storage)
        doctest = getattr(item, "dtest", None)
        self.globals = dict(doctest.globs) if doctest is not None else None

    def restore(self, item: pytest.Item) -> None:
        """Put the item back to where it was, with a new instance of its class to come."""
        item.user_properties[:] = self.properties
        item._report_sections[:] = self.sections
        item.own_markers[:] = self.markers
        item.keywords._markers.clear()  # type: ignore[attr-defined]
        item.keywords._markers.update(self.keywords)  # type: ignore[attr-defined]
        item.extra_keyword_matches.clear()
        item.extra_keyword_matches.update(self.extra)
        item.stash._storage.clear()
        item.stash._storage.update(self.stash)
        doctest = getattr(item, "dtest", None)
        if doctest is not None and self.globals is not None:
            doctest.globs.clear()
            doctest.globs.update(self.globals)
        if getattr(item, "_instance", None) is not None:
            del item._instance  # type: ignore[attr-defined]
            item._obj = None  # type: ignore[attr-defined]
        if getattr(item, "_excinfo", None):
            item._excinfo = None  # type: ignore[attr-defined]
        _failed_subtests(item).pop(_subtests_id(item), None)


def _subtests_id(item: pytest.Item) -> Any:
    return getattr(item, "id", item.nodeid)


def _failed_subtests(item: pytest.Item) -> dict[Any, int]:
    counts: dict[Any, int] = (
        item.config.stash.get(_FAILED_SUBTESTS, {}) if _FAILED_SUBTESTS is not None else {}
    )
    return counts


def may_have_subtests(item: pytest.Item) -> bool:
    """Whether subtests can be reported while the item runs."""
    return "subtests" in getattr(item, "fixturenames", ()) or isinstance(item, _unittest_item())


def _unittest_item() -> type:
    module = sys.modules.get("_pytest.unittest")
    return module.TestCaseFunction if module is not None else type(None)


# -- the terminal --------------------------------------------------------------------------------------------------


def count(reporter: pytest.TerminalReporter, category: str, nodeids: Iterable[str]) -> None:
    """Add tests to a category of pytest's last line.

    Other plugins walk over all categories and expect what looks like a report. pytest prints only categories that
    were there when it last set the colour.
    """
    entries = [
        SimpleNamespace(nodeid=nodeid, when="call", outcome=category, sections=[]) for nodeid in nodeids
    ]
    if entries:
        reporter.stats.setdefault(category, []).extend(entries)
        with suppress(AttributeError):
            reporter._set_main_color()


def say_why_interrupted(reporter: pytest.TerminalReporter, reason: str) -> None:
    """What pytest prints between exclamation marks instead of the name and the text of the exception."""
    memo = getattr(reporter, "_keyboardinterrupt_memo", None)
    crash = getattr(memo, "reprcrash", None)
    if crash is not None:
        crash.message = reason


# -- the worker's side of xdist ------------------------------------------------------------------------------------


def interactor(config: pytest.Config) -> Any:
    """The plugin with which an xdist worker speaks to its controller."""
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":
            return plugin
    return None


def send_event(config: pytest.Config, text: str) -> None:
    """Send a message of ours to the controller; quiet when it is gone."""
    channel = interactor(config)
    if channel is not None:
        with suppress(OSError):
            channel.sendevent(EVENT, text=text)


def send_plain_values(config: pytest.Config) -> None:
    """Let a worker send what its channel refuses as plain values: one such value would end the whole session."""
    channel = interactor(config)
    if channel is None:
        return
    inner = channel.sendevent

    def send(name: str, **arguments: Any) -> None:
        try:
            inner(name, **arguments)
        except OSError:
            raise
        except Exception:
            inner(name, **_plain(arguments))

    channel.sendevent = send


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as the channel takes it: of the built-in types themselves, in UTF-8, not too deep."""
    if value is None or type(value) in (bool, float, bytes):
        return value
    if isinstance(value, str):
        return str.__str__(value).encode("utf-8", "backslashreplace").decode("utf-8")
    if type(value) is int and abs(value) < 2**31:
        return value
    if isinstance(value, dict) and depth < _DEEPEST:
        return {_plain(key, _DEEPEST): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        several = [_plain(one, depth + 1) for one in value]
        return tuple(several) if isinstance(value, tuple) else several
    return saferepr(value).encode("utf-8", "backslashreplace").decode("utf-8")


_DEEPEST = 50


def listen(config: pytest.Config, heard: Callable[[str], None]) -> None:
    """Call `heard` with each message of ours from the controller, in execnet's thread, then end the worker's queue.

    To be called before the worker's loop begins: that is when the channel takes the handler.
    """
    channel = interactor(config)
    if channel is None:
        return
    inner = channel.handle_command

    def handle(command: Any) -> None:
        if type(command) is tuple and command[0] == EVENT:
            heard(command[1]["text"])
            inner(("shutdown", {}))  # wakes a worker that waits for its next test
            return
        inner(command)

    channel.handle_command = handle


# -- the controller's side of xdist --------------------------------------------------------------------------------


def dsession(config: pytest.Config) -> Any:
    """The session that distributes tests, None when nothing is distributed."""
    return config.pluginmanager.get_plugin("dsession")


def tap(node: Any, config: pytest.Config, heard: Callable[[Any, str], None]) -> None:
    """Call `heard(node, text)`, in the controller's loop, with each message of ours from a worker.

    xdist raises at events that it does not know. They go through its queue, so their order with reports is kept.
    """
    inner = node.process_from_remote

    def process(event: Any) -> None:
        if type(event) is tuple and event[0] == EVENT:
            node.notify_inproc(EVENT, node=node, text=event[1]["text"])
        else:
            inner(event)

    node.process_from_remote = process
    session = dsession(config)
    if session is not None:
        session.worker_resilience = lambda node, text: heard(node, text)
    send = node.sendcommand

    def send_to_the_living(name: str, **arguments: Any) -> None:
        # xdist 3.8 ends with an internal error when a worker died a moment ago; its end is on the way in the queue.
        with suppress(OSError):
            send(name, **arguments)

    node.sendcommand = send_to_the_living


def stop_workers(config: pytest.Config, reason: str) -> None:
    """Make every worker stop after the test it runs, and the controller when all have."""
    session = dsession(config)
    if session is None:
        return
    session.shouldstop = reason
    for node in list(session._active_nodes):
        with suppress(OSError):
            node.sendcommand(EVENT, text=reason)


def after_failures(config: pytest.Config, stopped: Callable[[str], None]) -> None:
    """Call `stopped(reason)` once when xdist itself decides to stop (``--maxfail``, ``-x``, a worker's wish)."""
    session = dsession(config)
    if session is None:
        return
    inner = session._handlefailures

    def handle(report: Any) -> None:
        before = session.shouldstop
        inner(report)
        if session.shouldstop and not before:
            stopped(str(session.shouldstop))

    session._handlefailures = handle


def end_workers_within(config: pytest.Config, seconds: float) -> None:
    """How long xdist waits for its workers at the end before it kills them."""
    manager = getattr(dsession(config), "nodemanager", None)
    if manager is not None:
        manager.EXIT_TIMEOUT = seconds


def number_of_workers(config: pytest.Config) -> int:
    """How many workers the run begins with, those that have not collected yet included."""
    return int(dsession(config).sched.numnodes) or 1


def restart_limit(config: pytest.Config) -> str:
    """What xdist says when it replaces no more workers, empty when it did not have to."""
    return str(getattr(dsession(config), "_summary_report", None) or "")


def exit_of_worker(node: Any) -> int | None:
    """The exit status of a worker that is gone, negative for a signal; None when it cannot be told."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if process is None:
        return None
    try:
        return int(process.wait(timeout=2))
    except Exception:
        return None
