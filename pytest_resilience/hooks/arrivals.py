"""The reports of a test as they come from a worker: pytest gets them when the worker is through with it, and so do we.

No hook of ours is called for them. All that a controller does for each test is here.
"""

from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.hooks import statuses, xdist_internals
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.redistribution import Redistribution
from pytest_resilience.hooks.repeated import is_marked
from pytest_resilience.hooks.workers import Workers

if TYPE_CHECKING:
    from pytest_resilience.hooks.poisoned import Poisoned


class Arrivals:
    """Looks at each test once before pytest has its reports, and once when it has had them.

    `poisoned` is None where no worker is watched for being that.
    """

    def __init__(
        self, owner: Owner, workers: Workers, redistribution: Redistribution, poisoned: "Poisoned | None"
    ) -> None:
        self._owner = owner
        self._workers = workers
        self._redistribution = redistribution
        self._poisoned = poisoned
        self._held: xdist_internals.HeldReports | None = None
        self._through: dict[Any, int] = {}

    def begin(self) -> None:
        """From now on reports come this way."""
        self._held = xdist_internals.HeldReports(self._owner.config, self._arrived)

    def is_through(self, node: Any, index: int) -> bool:
        """Whether a test is the last of those that a worker was through with."""
        return self._through.get(node) == index

    def of(self, node: Any) -> list[pytest.TestReport]:
        """What a dead worker has told of a test that it did not finish; it is not told to anybody else."""
        return self._held.of(node) if self._held is not None else []

    def release_all(self) -> None:
        """Give pytest what is held: the session ends."""
        if self._held is not None:
            self._held.release_all()

    def _arrived(self, node: Any, reports: list[pytest.TestReport]) -> None:
        last = reports[-1]
        index: int | None = getattr(last, "item_index", None)
        # One test may come to several ends: all but the last are marked, and others follow.
        is_through = last.when == "teardown" and not is_marked(last)
        if is_through and index is not None:
            self._through[node] = index
        if self._poisoned is not None and self._poisoned.takes(node, reports):
            return
        is_plain, why_stopped = self._give(node, reports)
        if is_through:
            self._redistribution.reported(node, last)
            if is_plain:
                self._workers.take_pass(node, last)
            else:
                self._workers.take(node, reports)
            if self._poisoned is not None:
                self._poisoned.observe(node, last)
        if why_stopped:
            self._workers.stopped_by_xdist(why_stopped)

    def _give(self, node: Any, reports: list[pytest.TestReport]) -> tuple[bool, str]:
        """Give pytest the reports of a test. Whether it simply passed, and why xdist stops should it stop for this."""
        assert self._held is not None
        is_plain, was_stopping = True, ""
        config = self._owner.config
        for one in reports:
            said = one.__dict__
            if (
                one.outcome != "passed"
                or "wasxfail" in said
                or "resilience" in said
                or "resilience_repeated" in said
            ):
                # The terminal gets it before anybody else.
                statuses.need(config)
                if is_plain:
                    was_stopping = xdist_internals.stops_for(config)
                is_plain = False
            self._held.give(node, one)
            if one.outcome != "passed":
                # Another plugin may have made something else of it.
                is_plain = False
        return is_plain, "" if is_plain or was_stopping else xdist_internals.stops_for(config)
