"""The plan of a resume, applied to what this process collected; every process applies the same plan."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from pytest_resilience.core.keys import is_gone, keys_of
from pytest_resilience.core.resume import Plan
from pytest_resilience.ledger.sizes import stored_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The part of a plan that the collecting process needs, in plain values."""

    carried: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    outstanding: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> "Orders":
        """The orders that follow from a plan."""
        return cls(carried=plan.carried, last=plan.last, held=plan.held, outstanding=tuple(plan.outstanding))

    def plain(self) -> dict[str, list[str]]:
        """As plain values."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_plain(cls, plain: dict[str, list[str]]) -> "Orders":
        """The orders that `plain` made plain."""
        return cls(
            carried=frozenset(plain["carried"]),
            last=frozenset(plain["last"]),
            held=frozenset(plain["held"]),
            outstanding=tuple(plain["outstanding"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What came of the collection. `odd` maps positions of tests to run to keys that are not the node id there."""

    carried: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    odd: dict[int, str] = field(default_factory=dict)
    nodeids: list[str] = field(default_factory=list)

    def keys(self, nodeids: list[str]) -> list[str]:
        """The keys of the tests to run, given their node ids in order."""
        return [self.odd.get(position, nodeid) for position, nodeid in enumerate(nodeids)]


class Selection:
    """Knows the key of each item, and takes out of the collection what the plan does not want to run."""

    def __init__(
        self, orders: Callable[[], Orders], rootdir: Path, done: Callable[[Collected], None]
    ) -> None:
        self._orders_when_made = orders
        self._orders = Orders()
        self._rootdir = rootdir
        self._done = done
        # By identity: the hash of an item of pytest 8 changes when xdist puts a group on its id.
        self._odd: dict[int, str] = {}
        self._odd_items: list[pytest.Item] = []
        self._carried: list[str] = []
        self._held: list[str] = []
        self._deselected: set[str] = set()
        self._collectors: set[str] = set()
        self._present: set[str] = set()
        self._all: set[str] = set()

    def key_of(self, item: pytest.Item) -> str:
        """The key of an item that was collected."""
        return self._odd.get(id(item), item.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        # The owner makes the plan when the session starts, after this object was made.
        self._orders = self._orders_when_made()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if self._orders.outstanding and report.passed:
            self._collectors.add(report.nodeid)
            self._present.update(node.nodeid for node in report.result)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        if self._orders.outstanding:
            self._deselected.update(self.key_of(item) for item in items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> object:
        # Before all others: the numbers of equal ids must not depend on what is deselected or shuffled.
        keys = [stored_key(key) for key in keys_of(item.nodeid for item in items)]
        before = list(zip(items, keys, strict=True))
        for item, key in before:
            self._set_key(item, key)
        self._all = set(keys)
        result = yield
        # After all others: xdist has put group suffixes on ids, and what is left is what would run.
        for item, key in before:
            self._set_key(item, key)
        if self._orders.carried or self._orders.held or self._orders.last:
            self._apply(items)
        return result

    def _set_key(self, item: pytest.Item, key: str) -> None:
        if key != item.nodeid and id(item) not in self._odd:
            self._odd[id(item)] = key
            self._odd_items.append(item)

    def _apply(self, items: list[pytest.Item]) -> None:
        orders = self._orders
        first: list[pytest.Item] = []
        last: list[pytest.Item] = []
        for item in items:
            key = self.key_of(item)
            if key in orders.carried:
                self._carried.append(key)
            elif key in orders.held:
                self._held.append(key)
            else:
                (last if key in orders.last else first).append(item)
        items[:] = first + last

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        nodeids = [item.nodeid for item in session.items]
        keys = [self.key_of(item) for item in session.items]
        seen = self._all | self._deselected
        gone = [
            key
            for key in self._orders.outstanding
            if key not in seen
            and is_gone(key, self._collectors, self._present, lambda file: (self._rootdir / file).exists())
        ]
        self._done(
            Collected(
                carried=self._carried,
                held=self._held,
                gone=gone,
                odd={
                    at: key
                    for at, (key, nodeid) in enumerate(zip(keys, nodeids, strict=True))
                    if key != nodeid or not _is_sendable(nodeid)
                },
                nodeids=nodeids,
            )
        )


def _is_sendable(nodeid: str) -> bool:
    """Whether the node id reaches an xdist controller as it is."""
    try:
        nodeid.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
