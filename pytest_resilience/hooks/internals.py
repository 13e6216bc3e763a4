"""All that touches the private parts of pytest: one file to mend when they change."""

import faulthandler
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import FrameType
from typing import Any

import pytest
from _pytest import faulthandler as stack_dumps
from _pytest._code.code import ExceptionRepr, TerminalRepr, Traceback
from _pytest._io.saferepr import saferepr as saferepr
from _pytest.junitxml import xml_key
from _pytest.main import wrap_session
from _pytest.mark import MarkMatcher
from _pytest.mark.expression import Expression
from _pytest.outcomes import Failed as Failed
from _pytest.runner import check_interactive_exception, show_test_item

from pytest_resilience.core.errors import causes

# The counts of failed subtests, None where pytest has no subtests (before 9).
_FAILED_SUBTESTS: Any = None
with suppress(ImportError):
    from _pytest.subtests import failed_subtests_key

    _FAILED_SUBTESTS = failed_subtests_key


def is_taken(parser: pytest.Parser, flag: str) -> bool:
    """Whether another plugin has declared the flag already. Before pytest 9 nothing says so until it is too late."""
    groups = (getattr(parser, "_anonymous", None), *getattr(parser, "_groups", ()))
    return any(flag in option.names() for group in groups if group is not None for option in group.options)


# -- one attempt at an item ----------------------------------------------------------------------------------------


def ends_session(config: pytest.Config) -> tuple[type[BaseException], ...]:
    """What a phase must not swallow: `pytest.exit` and, outside the debugger, KeyboardInterrupt."""
    with_debugger = config.getoption("usepdb", False)
    return (pytest.exit.Exception,) if with_debugger else (pytest.exit.Exception, KeyboardInterrupt)


def brief_report(item: pytest.Item, hook: Any, call: "pytest.CallInfo[None]") -> pytest.TestReport:
    """The report of a phase that shows a failure in one line, see `in_full`; `hook` is the item's."""
    report: pytest.TestReport
    # A unittest keeps its error until the report is made.
    if call.excinfo is None and not getattr(item, "_excinfo", None):
        report = hook.pytest_runtest_makereport(item=item, call=call)
        return report
    with _in_one_line(item):
        report = hook.pytest_runtest_makereport(item=item, call=call)
        return report


def interact(item: pytest.Item, hook: Any, call: "pytest.CallInfo[None]", report: pytest.TestReport) -> None:
    """Let the debugger and others look at what failed, as pytest does."""
    if check_interactive_exception(call, report):
        hook.pytest_exception_interact(node=item, call=call, report=report)


@contextmanager
def _in_one_line(item: pytest.Item) -> Iterator[None]:
    """Within the block failures are shown as by ``--tb=line``. To show one in full pytest parses the whole file.

    It would also look for the test among all frames, and make a path for each of them; the last one is shown.
    """
    options, own = vars(item.config.option), vars(item)
    # Without a terminal there is no such option.
    before = options.get("tbstyle")
    with (
        _instead(options, "tbstyle", "no" if before == "no" else "line"),
        _instead(own, "_traceback_filter", _last_entry),
    ):
        yield


@contextmanager
def _instead(attributes: dict[str, Any], name: str, value: Any) -> Iterator[None]:
    """Within the block an object has another attribute, or one that it had not."""
    before = attributes.get(name)
    attributes[name] = value
    try:
        yield
    finally:
        if before is None:
            del attributes[name]
        else:
            attributes[name] = before


def _last_entry(excinfo: "pytest.ExceptionInfo[BaseException]") -> Traceback:
    return excinfo.traceback[-1:]


def in_full(item: pytest.Item, call: "pytest.CallInfo[None]", brief: Any) -> Any:
    """How the report of a phase shows its failure when it is not brief; as it is, if that is not pytest's own doing."""
    if not isinstance(brief, TerminalRepr):
        return brief
    full = pytest.TestReport.from_item_and_call(item, call).longrepr
    if isinstance(full, ExceptionRepr) and isinstance(brief, ExceptionRepr):
        # What others have added.
        full.sections = brief.sections
    return full


def is_in_call(frame: FrameType | None) -> bool:
    """Whether what is raised in this frame becomes the failure of a phase of a test, or of a collector.

    Of this session: it may run within a test of another one.
    """
    call = pytest.CallInfo.from_call.__func__.__code__  # type: ignore[attr-defined]
    while frame is not None and frame.f_code not in (call, wrap_session.__code__):
        frame = frame.f_back
    return frame is not None and frame.f_code is call


def open_item(item: pytest.Item) -> None:
    """Give an item that ran before a new request, as pytest does for items that run again."""
    if getattr(item, "_request", None) is False:
        item._initrequest()  # type: ignore[attr-defined]


def close_item(item: pytest.Item) -> None:
    """Let go of the fixtures of an attempt."""
    if hasattr(item, "_request"):
        item._request = False
        item.funcargs = None  # type: ignore[attr-defined]


def was_asked(report: pytest.CollectReport) -> bool:
    """Whether a collector was asked for its children; ``--lf`` answers for those that it skips."""
    # pytest's own report has the call until the report is told to everybody.
    return "call" in report.__dict__


_TAKES_SPACE = "add_space" in show_test_item.__code__.co_varnames  # since pytest 9


def show_setup(item: pytest.Item, *, add_space: bool) -> None:
    """The line of ``--setup-show`` for an item."""
    if _TAKES_SPACE:
        show_test_item(item, add_space=add_space)
    else:
        show_test_item(item)  # type: ignore[call-arg]


def failed_fixtures(item: pytest.Item, error: BaseException | None) -> list[Any]:
    """The fixture definitions, of any scope, whose setup failed and would fail the next attempt as well.

    To be asked when the item is torn down. pytest keeps the exception of a setup for the rest of its scope; from one
    that raised what pytest does not keep (SystemExit) it keeps finalizers, and stumbles over them. Fixtures that a
    test got by ``getfixturevalue`` are known by `error`, with which the attempt failed.
    """
    info = getattr(item, "_fixtureinfo", None)
    closure = [one for group in info.name2fixturedefs.values() for one in group] if info is not None else []
    errors = list(causes(error)) if error is not None else []
    # Nearly all of them are not set up, or well: hundreds, and this is done for every retry.
    suspects = [
        one
        for one in _all_fixtures(item.session)
        if (one._finalizers if one.cached_result is None else one.cached_result[2] is not None)
    ]
    return [one for one in suspects if _is_left(one, closure, errors)]


def _is_left(definition: Any, closure: list[Any], errors: list[BaseException]) -> bool:
    cached = definition.cached_result
    if cached is None:
        return bool(definition._finalizers)
    raised = cached[2]
    return raised is not None and (definition in closure or any(raised[0] is one for one in errors))


def _all_fixtures(session: pytest.Session) -> list[Any]:
    manager: Any = session._fixturemanager
    if hasattr(manager, "_get_all_fixture_defs"):  # since pytest 9.2
        return list(manager._get_all_fixture_defs())
    return [one for group in manager._arg2fixturedefs.values() for one in group]


def fixtures_named(item: pytest.Item, name: str) -> list[Any]:
    """The fixture definitions of a name that an item can see, with those which they override; often none."""
    return list(item.session._fixturemanager.getfixturedefs(name, item) or ())


def named_fixtures(item: pytest.Item, names: Collection[str]) -> list[Any]:
    """The fixture definitions of these names that an item uses and that are set up, the last that was first."""
    request = getattr(item, "_request", None)
    in_use = list(getattr(request, "_fixture_defs", ())) if request else []
    last_first = [name for name in reversed(in_use) if name in names]
    definitions = [one for name in last_first for one in fixtures_named(item, name)]
    return [one for one in definitions if one.cached_result is not None]


def kept(item: pytest.Item, node: Any, *, scopes: Iterable[str]) -> Any:
    """What stays set up when an item makes way for another attempt: `node` and what is above it, at most.

    Collectors whose own setup raised go, because pytest keeps the exception for their items, and so does what is
    within one of the scopes ("class", "module", "session"). None is for nothing.
    """
    stack = item.session._setupstate.stack
    kinds = {"class": pytest.Class, "module": pytest.Module, "session": pytest.Session}
    goes = tuple(kinds[scope] for scope in scopes if scope in kinds)
    chain = node.listchain()
    for at, one in enumerate(chain):
        if one in stack and one is not item and (stack[one][1] is not None or isinstance(one, goes)):
            return chain[at - 1] if at else None
    return node


def take_down(
    item: pytest.Item, keep: Any, definitions: list[Any], reraise: tuple[type[BaseException], ...]
) -> list[BaseException]:
    """Take down what an item that is torn down has left above itself: all but `keep`, and some fixtures of it.

    What depends on a fixture is finished before it. Returns the errors; raises what is in `reraise`.
    """
    request = getattr(item, "_request", None)
    steps = [partial(item.session._setupstate.teardown_exact, keep)]
    steps += [partial(_finish, one, request) for one in definitions if request]
    # Outside of the phases nothing is captured.
    capture: Any = item.config.pluginmanager.get_plugin("capturemanager")
    with capture.item_capture("teardown", item) if capture is not None else nullcontext():
        calls = [pytest.CallInfo.from_call(step, when="teardown", reraise=reraise) for step in steps]
    return [call.excinfo.value for call in calls if call.excinfo is not None]


def report_of_teardown(item: pytest.Item, hook: Any, errors: list[BaseException]) -> pytest.TestReport:
    """The report of a teardown that failed with several errors, as pytest tells of several finalizers that fail."""

    def fail() -> None:
        raise BaseExceptionGroup("errors during test teardown", errors) from None

    call = pytest.CallInfo.from_call(fail, when="teardown")
    report: pytest.TestReport = hook.pytest_runtest_makereport(item=item, call=call)
    return report


def _finish(definition: Any, request: Any) -> None:
    if definition.cached_result is None:
        # For pytest it is finished; its finalizers are not.
        definition.cached_result = (None, None, None)
    definition.finish(request)


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


def may_have_subtests(items: Collection[pytest.Item]) -> bool:
    """Whether subtests can be reported while one of the items runs."""
    of_unittest = _unittest_item()
    if any(issubclass(one, of_unittest) for one in set(map(type, items))):
        return True
    return any("subtests" in getattr(item, "fixturenames", ()) for item in items)


def is_strict_xpass(item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> bool:
    """Whether a report says that a test passed which is marked to fail: by xfail, or by unittest's expectedFailure."""
    if error is None:
        return str(report.longrepr).startswith("[XPASS(strict)]")
    is_said_by_unittest = isinstance(item, _unittest_item()) and isinstance(error, pytest.fail.Exception)
    return is_said_by_unittest and str(error).startswith("Unexpected success")


def _unittest_item() -> type:
    module = sys.modules.get("_pytest.unittest")
    return module.TestCaseFunction if module is not None else type(None)


def marker_expression(expression: str) -> Callable[[pytest.Item], bool]:
    """Whether an item has the markers that an expression as for ``-m`` asks for. Raises ValueError."""
    try:
        compiled = Expression.compile(expression)
    except Exception as error:
        raise ValueError(str(error)) from None
    return lambda item: compiled.evaluate(MarkMatcher.from_markers(item.iter_markers()))


# -- the terminal --------------------------------------------------------------------------------------------------


class _Counted:
    """What looks like a report of a test that was not run. Small, because a resume may carry over all tests."""

    when = "call"
    sections: tuple[tuple[str, str], ...] = ()

    def __init__(self, nodeid: str, outcome: str) -> None:
        self.nodeid = nodeid
        self.outcome = outcome


def count(reporter: pytest.TerminalReporter, category: str, nodeids: Iterable[str]) -> None:
    """Add tests to a category of pytest's last line.

    Other plugins walk over all categories and expect what looks like a report. pytest prints only categories that
    were there when it last set the colour.
    """
    entries = [_Counted(nodeid, category) for nodeid in nodeids]
    if entries:
        reporter.stats.setdefault(category, []).extend(entries)
        with suppress(AttributeError):
            reporter._set_main_color()


def discount(reporter: pytest.TerminalReporter, category: str, nodeid: str) -> None:
    """Take one of the entries for a test out of a category of pytest's last line."""
    entries = reporter.stats.get(category, [])
    at = next((at for at, entry in enumerate(entries) if entry.nodeid == nodeid), None)
    if at is not None:
        del entries[at]


def hide_from_junit(config: pytest.Config, is_hidden: Callable[[pytest.TestReport], bool]) -> None:
    """Keep reports from pytest's JUnit file, which makes a test of each attempt that comes to its teardown."""
    xml = config.stash.get(xml_key, None)
    for implementation in config.hook.pytest_runtest_logreport.get_hookimpls():
        if xml is not None and implementation.plugin is xml:
            implementation.function = lambda report: (  # type: ignore[misc]
                None if is_hidden(report) else xml.pytest_runtest_logreport(report)
            )


def say_why_interrupted(reporter: pytest.TerminalReporter, reason: str) -> None:
    """What pytest prints between exclamation marks instead of the name and the text of the exception."""
    memo = getattr(reporter, "_keyboardinterrupt_memo", None)
    crash = getattr(memo, "reprcrash", None)
    if crash is not None:
        crash.message = reason


# -- time limits ---------------------------------------------------------------------------------------------------


def timeout_plugin(config: pytest.Config) -> Any:
    """pytest-timeout, under the name of its entry point or of its module; None when it is not loaded."""
    manager = config.pluginmanager
    return manager.get_plugin("timeout") or manager.get_plugin("pytest_timeout")


def arm_timeout(plugin: Any, item: pytest.Item) -> None:
    """Start the timer of an item anew, as pytest-timeout does before its setup: not for a limit of the call alone."""
    settings = plugin._get_item_settings(item)
    if settings.timeout is not None and settings.timeout > 0 and settings.func_only is False:
        item.config.hook.pytest_timeout_cancel_timer(item=item)
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


def session_timeout(plugin: Any, config: pytest.Config) -> tuple[float, str]:
    """When pytest-timeout ends the session, in seconds since the epoch, 0 for never; and what it says then."""
    seconds = config.stash[plugin.SESSION_TIMEOUT_KEY]
    return config.stash[plugin.SESSION_EXPIRE_KEY], f"session-timeout: {seconds} sec exceeded"


def seconds_to_dump(config: pytest.Config) -> float:
    """After how many seconds of a test pytest dumps all stacks, 0 for never. A number that is none is its to refuse."""
    with suppress(ValueError):
        return stack_dumps.get_timeout_config_value(config)
    return 0.0


def stderr_for_faults(config: pytest.Config) -> int | None:
    """The descriptor that pytest has faulthandler write to; None when that plugin is off."""
    return config.stash.get(stack_dumps.fault_handler_stderr_fd_key, None)


def arm_dump(config: pytest.Config) -> None:
    """Have the stacks dumped as pytest does when a test begins; it can end the process then since pytest 9."""
    is_last = getattr(stack_dumps, "get_exit_on_timeout_config_value", lambda config: False)
    faulthandler.dump_traceback_later(
        seconds_to_dump(config),
        exit=is_last(config),
        file=config.stash[stack_dumps.fault_handler_stderr_fd_key],
    )
