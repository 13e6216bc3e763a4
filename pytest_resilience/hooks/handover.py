"""The worker's side of attempts that come later: it tells the controller, and takes what the controller hands over."""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from pytest_resilience.core.retry import RetryPolicy, Strategy
from pytest_resilience.hooks import messages, xdist_worker
from pytest_resilience.hooks.attempt import Course
from pytest_resilience.hooks.deferred import Deferral
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.verdicts import ended_to

# Tests replace it; we want the real one.
_clock = time.monotonic

WAITS = "resilience_waits"
BEGINS = "resilience_begins"
HANDED = "resilience_handed"

# In these modes xdist can give a test to another worker a second time.
GIVES_AGAIN = ("load", "worksteal")


class _Handed(NamedTuple):
    """What the controller said of a test: how it got on so far, and whether it stays here from now on."""

    strategy: Strategy
    due: float
    stays: bool
    course: dict[str, Any]


class Handover(Registered):
    """The relay of a worker. `mode` is what ``--dist`` says.

    The other modes than those in `GIVES_AGAIN` keep tests together, and together they stay: such a test is run here.
    With "each" a test belongs to this worker alone, so even one that is to be isolated is.

    `crash_retries` is how often tests are usually tried again whose worker dies; None where all are alike.
    """

    is_there = True

    def __init__(
        self,
        config: pytest.Config,
        mode: str,
        policy_of: Callable[[pytest.Item], RetryPolicy],
        key_of: Callable[[pytest.Item], str],
        crash_retries: int | None,
    ) -> None:
        self._config = config
        self._mode = mode
        self._policy_of = policy_of
        self._key_of = key_of
        self._crash_retries = crash_retries
        self._indexes: dict[int, int] = {}
        # Written in execnet's thread, each before the test it speaks of can come up.
        self._handed: dict[int, _Handed] = {}
        self._staying: dict[int, Strategy] = {}
        self._is_in_loop = True

    # Before xdist tells the ids.
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self._crash_retries is not None:
            allowed = enumerate(self._policy_of(item).crash_retries for item in session.items)
            others = [(at, number) for at, number in allowed if number != self._crash_retries]
            xdist_worker.send_event(self._config, json.dumps({"crash_retries": others}))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        self._indexes = {id(item): at for at, item in enumerate(session.items)}
        xdist_worker.obey(self._config, HANDED, self._heard)

    def _heard(self, text: str) -> None:
        said = json.loads(text)
        due = _clock() + said["after"]
        self._handed[said["index"]] = _Handed(said["strategy"], due, said["stays"], said["course"])

    # -- the relay ------------------------------------------------------------------------------------------------

    def hands_over(self, item: pytest.Item, strategy: Strategy) -> bool:
        """Not what has been handed to this worker for good."""
        if self._mode == "each" or self._staying.get(self._indexes[id(item)]) == strategy:
            return False
        return strategy == "isolated" or self._mode in GIVES_AGAIN

    def waits(self, deferral: Deferral, *, is_handed_over: bool) -> None:
        """Tell all that another process needs, and the reports: should this one die, the controller gives them out."""
        item, course, failed = deferral.item, deferral.course, deferral.failed
        assert failed is not None
        said = {
            "index": self._indexes[id(item)],
            "nodeid": item.nodeid,
            "strategy": deferral.strategy,
            "after": max(0.0, deferral.due - _clock()),
            "is_handed_over": is_handed_over,
            "is_in_loop": self._is_in_loop,
            "course": course.plain(),
            "ended": ended_to(failed.ended(course.key, "")),
        }
        reports = messages.as_text([self._plain(report, item) for report in failed.reports])
        xdist_worker.send_values(self._config, WAITS, text=json.dumps(said), reports=reports)

    def handed(self, item: pytest.Item) -> Deferral | None:
        """What the controller said of the item, if anything."""
        said = self._handed.get(self._indexes[id(item)]) if self._handed else None
        if said is None:
            return None
        course = Course.from_plain(self._key_of(item), self._policy_of(item), said.course)
        return Deferral(item=item, course=course, strategy=said.strategy, due=said.due)

    def comes_up(self, item: pytest.Item) -> None:
        """Have the reports bear the right index: xdist's own loop is over."""
        self._is_in_loop = False
        xdist_worker.set_running(self._config, self._indexes[id(item)])

    def begins(self, deferral: Deferral) -> None:
        """Let the controller know what is in flight."""
        index = self._indexes[id(deferral.item)]
        said = self._handed.pop(index, None)
        if said is not None and said.stays:
            self._staying[index] = said.strategy
        xdist_worker.send_values(self._config, BEGINS, text=json.dumps({"index": index}))

    def _plain(self, report: pytest.TestReport, item: pytest.Item) -> dict[str, Any]:
        """A report as xdist sends it."""
        plain = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        return {**plain, **xdist_worker.origin(self._config), "item_index": self._indexes[id(item)]}
