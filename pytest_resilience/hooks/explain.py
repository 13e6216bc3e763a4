"""``--resilience-explain``: prints which retry policy each test has and where it comes from, and runs none."""

from collections.abc import Iterable

import pytest

from pytest_resilience.core.layers import Places, Sourced
from pytest_resilience.core.vocabularies import RerunFilter
from pytest_resilience.hooks.policies import Policies
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.reports.summary import printable
from pytest_resilience.settings.options import OF_TEST, OPTIONS
from pytest_resilience.settings.resolved import DEFAULT, Settings
from pytest_resilience.settings.tables import Part
from pytest_resilience.settings.values import shown

FLAG = "--resilience-explain"

_OF_RUN = tuple(option for option in OPTIONS if option.table == "retry" and option.of == "run")
_NAMES = {option.field: option.name for option in OF_TEST}
_IN_SECONDS = ("delay", "max_delay")
_OF_ERRORS = ("only", "except_", "condition")
# A longer value pushes its own source aside, not those of the others.
_WIDEST = 32

Row = tuple[str, str, str]


class Explain(Registered):
    """A session that tells of the policies of all that it collected. What cannot be understood ends it."""

    def __init__(self, settings: Settings, policies: Policies) -> None:
        self._settings = settings
        self._policies = policies

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        option = session.config.option
        # From here on pytest and other plugins take the session for what it is: one that runs nothing.
        option.collectonly = True
        if session.testsfailed and not option.continue_on_collection_errors:
            return  # pytest says why, and ends the session
        if not session.items:
            raise pytest.UsageError(f"{FLAG}: no test was collected; name a test or a file of tests")
        reporter: pytest.TerminalReporter | None = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            if reporter.verbosity >= 0:
                reporter.write_line("")
            for line in self._lines(session.items):
                reporter.write_line(printable(line))

    def _lines(self, items: Iterable[pytest.Item]) -> Iterable[str]:
        for item in items:
            rules = self._settings.rules if self._policies.of(item).most_retries else ()
            yield item.nodeid
            yield from of_test(self._policies.places_of(item), rules)
            yield ""
        yield "the whole run"
        yield from of_run(self._settings)


def of_test(places: Places, rules: Iterable[Part]) -> list[str]:
    """The lines that tell of the policy of a test, value by value, and of what rules change of it."""
    values = places.values()
    rows = [_row(name, values[name]) for name in [*_NAMES, "min_passes"]]
    by_rule = [(part, places.changes(part.layer)) for part in rules]
    widths = _widths([*rows, *(_row(*one) for _, changes in by_rule for one in changes.items())])
    lines = _aligned(rows, widths, "  ")
    for part, changes in by_rule:
        if changes:
            lines.append(f"  for errors that match {' or '.join(map(shown, part.match))}")
            lines += _aligned([_row(*one) for one in changes.items()], widths, "    ")
    return lines


def of_run(settings: Settings) -> list[str]:
    """The lines that tell of the settings for retries which hold for all tests together."""
    rows = [
        (option.name, _text(option.field, settings[option.key]), settings.sources.get(option.key, DEFAULT))
        for option in _OF_RUN
    ]
    return _aligned(rows, _widths(rows), "  ")


def _row(field: str, found: Sourced) -> Row:
    return _NAMES.get(field, field), _text(field, found.value), found.source


def _text(field: str, value: object) -> str:
    """A value as a person reads it; ``-`` is for nothing."""
    if isinstance(value, RerunFilter):
        value = value.function
    if value is None or (isinstance(value, str | tuple) and not value):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g} s" if field in _IN_SECONDS else f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(shown(one) if field in _OF_ERRORS else str(one) for one in value)
    return shown(value) if field in _OF_ERRORS else str(value)


def _widths(rows: Iterable[Row]) -> tuple[int, int]:
    """How wide the columns for names and for values are."""
    several = list(rows)
    values = [len(value) for _, value, _ in several]
    return max(len(name) for name, _, _ in several), max([one for one in values if one <= _WIDEST] or [0])


def _aligned(rows: Iterable[Row], widths: tuple[int, int], indent: str) -> list[str]:
    return [
        f"{indent}{name.ljust(widths[0])}  {value.ljust(widths[1])}  {source}" for name, value, source in rows
    ]
