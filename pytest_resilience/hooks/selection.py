"""The plan of a resume, applied to what this process collected; every process applies the same plan."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, is_
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_resilience.core.keys import file_of, is_gone, is_repeated, keys_of
from pytest_resilience.core.redaction import Redactor, is_redacted
from pytest_resilience.core.whole import by_file, spared
from pytest_resilience.hooks.children import Children
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.ledger.sizes import stored_keys

if TYPE_CHECKING:
    from pytest_resilience.core.resume import Plan
    from pytest_resilience.hooks.spared import Spared


_NODEID = attrgetter("nodeid")


class Orders(NamedTuple):
    """The part of a plan that the collecting process needs, in plain values."""

    carried: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    outstanding: tuple[str, ...] = ()
    unimported: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()

    @classmethod
    def of(cls, plan: "Plan") -> "Orders":
        """The orders that follow from a plan."""
        return cls(
            carried=plan.carried,
            last=plan.last,
            held=plan.held,
            outstanding=tuple(plan.outstanding),
            unimported=plan.unimported,
            partial=plan.partial,
        )

    def spared(self) -> dict[str, dict[str, list[str]]]:
        """By partial file, what of it need not be made, as `core.whole.spared` has it."""
        carried, others = (
            by_file(key for key in keys if file_of(key) in self.partial)
            for keys in (self.carried, self.outstanding)
        )
        return {file: spared(some, others.get(file, ())) for file, some in carried.items()}

    def plain(self) -> dict[str, list[str]]:
        """As plain values."""
        return {name: list(value) for name, value in self._asdict().items()}

    @classmethod
    def from_plain(cls, plain: dict[str, list[str]]) -> "Orders":
        """The orders that `plain` made plain."""
        return cls(
            carried=frozenset(plain["carried"]),
            last=frozenset(plain["last"]),
            held=frozenset(plain["held"]),
            outstanding=tuple(plain["outstanding"]),
            unimported=frozenset(plain["unimported"]),
            partial=frozenset(plain["partial"]),
        )


class Collected(NamedTuple):
    """What came of the collection. `odd` maps positions of tests to run to keys that are not the node id there.

    `redacted` is how many of these were redacted. `whole` are the files that were collected without an error and of
    which no test was left out, `unimported` those that the plan left alone; the tests of these are among the `carried`
    ones.
    """

    carried: Sequence[str] = ()
    held: Sequence[str] = ()
    gone: Sequence[str] = ()
    odd: Mapping[int, str] = {}
    redacted: int = 0
    nodeids: Sequence[str] = ()
    whole: Sequence[str] = ()
    unimported: Sequence[str] = ()

    def keys(self, nodeids: Sequence[str]) -> list[str]:
        """The keys of the tests to run, given their node ids in order."""
        if not self.odd:
            return list(nodeids)
        return [self.odd.get(position, nodeid) for position, nodeid in enumerate(nodeids)]


class Selection(Registered):
    """Knows the key of each item, and takes out of the collection what the plan does not want to run."""

    def __init__(
        self,
        orders: Callable[[], Orders],
        rootdir: Path,
        done: Callable[[Collected], None],
        redactor: Redactor,
    ) -> None:
        self._orders_when_made = orders
        self._orders = Orders()
        self._rootdir = rootdir
        self._root = str(rootdir).rstrip("/")
        self._done = done
        self._redactor = redactor
        # By identity: the hash of an item of pytest 8 changes when xdist puts a group on its id.
        self._odd: dict[int, str] = {}
        self._odd_items: list[pytest.Item] = []
        self._nodeids: dict[int, str] = {}
        self._carried: list[str] = []
        self._held: list[str] = []
        self._deselected: set[str] = set()
        self._children = Children()
        self._all: set[str] = set()
        self._unimported: set[str] = set()
        self._spared: Spared | None = None
        self._files: set[str] = set()
        self._broken: set[str] = set()
        self._is_narrowed = False
        self._is_whole = False

    def key_of(self, item: pytest.Item) -> str:
        """The key of an item that was collected."""
        return self._odd.get(id(item)) or item.nodeid if self._odd else item.nodeid

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        # The owner makes the plan when the session starts, after this object was made.
        self._orders = self._orders_when_made()
        if self._orders.outstanding:
            session.config.pluginmanager.register(self._children, "resilience-children")
        if self._orders.partial:
            from pytest_resilience.hooks.spared import Spared

            self._spared = Spared(self._rootdir, self._orders.spared())
            session.config.pluginmanager.register(self._spared, "resilience-spared")

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> pytest.CollectReport | None:
        if not isinstance(collector, pytest.File):
            return None
        file = collector.nodeid
        if str(collector.path) != f"{self._root}/{file}":
            # Another file, outside of the rootdir, goes by the same name.
            self._broken.add(file)
        elif file in self._orders.unimported:
            self._unimported.add(file)
            return pytest.CollectReport(file, "passed", longrepr=None, result=[])
        else:
            self._files.add(file)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._broken.add(file_of(report.nodeid))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._is_narrowed = True
        if self._orders.outstanding:
            self._deselected.update(self.key_of(item) for item in items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> object:
        # Before all others: the numbers of equal ids must not depend on what is deselected or shuffled.
        taken = self._carry_unmade()
        nodeids = list(map(_NODEID, items))
        keys = stored_keys(keys_of((*taken, *self._redactor.keys(nodeids)))[len(taken) :])
        self._redactor.vouch(keys)
        if any(map(is_redacted, self._orders.outstanding)):
            self._nodeids = {id(item): nodeid for item, nodeid in zip(items, nodeids, strict=True)}
        before = list(items)
        self._set_keys(before, nodeids, keys)
        self._check_places(before, keys)
        if self._orders.outstanding:
            self._all.update(keys)
        result = yield
        # After all others: xdist has put group suffixes on ids, and what is left is what would run.
        self._set_keys(before, list(map(_NODEID, before)), keys)
        is_same = len(before) == len(items) and all(map(is_, before, items))
        self._is_whole = is_same or set(map(id, before)) == set(map(id, items))
        if self._orders.carried or self._orders.held or self._orders.last:
            self._apply(items)
        return result

    def _carry_unmade(self) -> list[str]:
        """The tests, carried over, that were not made; a file of which some were not is not known whole by that."""
        taken = []
        if self._unimported:
            taken = [key for key in self._orders.carried if file_of(key) in self._unimported]
        if self._spared is not None:
            taken += self._spared.taken
            self._broken |= self._spared.files
        self._carried += taken
        return taken

    def _check_places(self, items: list[pytest.Item], keys: list[str]) -> None:
        """What says nothing of the file it comes from, or is one of several of that name, belongs to no whole file."""
        parents = list(map(attrgetter("parent"), items))
        files: dict[int, str] = {}
        for item, parent in dict(
            zip(map(id, parents), zip(items, parents, strict=True), strict=True)
        ).values():
            file = item.getparent(pytest.File)  # type: ignore[type-abstract]
            files[id(parent)] = file.nodeid if file is not None else ""
        found = list(map(files.__getitem__, map(id, parents)))
        if all(files.values()) and not any("::" in file for file in files.values()):
            begins = {parent: f"{file}::" for parent, file in files.items()}
            beginnings = map(begins.__getitem__, map(id, parents))
            if all(map(str.startswith, keys, beginnings)) and " #" not in "\n".join(keys):
                return
        for file_id, key in zip(found, keys, strict=True):
            if not file_id or file_id != file_of(key) or is_repeated(key):
                self._broken.update((file_of(key), file_id))

    def _set_keys(self, items: list[pytest.Item], nodeids: list[str], keys: list[str]) -> None:
        if nodeids == keys:
            return
        for item, nodeid, key in zip(items, nodeids, keys, strict=True):
            if key != nodeid and id(item) not in self._odd:
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
        if self._orders.last:
            # A conftest file of a subfolder is asked for the order even later than we are.
            session.items.sort(key=lambda item: self.key_of(item) in self._orders.last)
        nodeids = list(map(_NODEID, session.items))
        keys = [self.key_of(item) for item in session.items] if self._odd else nodeids
        is_plain = keys == nodeids and _are_sendable(nodeids)
        pairs = [] if is_plain else list(zip(keys, nodeids, strict=True))
        redacted = [key for key, nodeid in pairs if is_redacted(key) and not is_redacted(nodeid)]
        self._done(
            Collected(
                carried=self._carried,
                held=self._held,
                gone=self._gone(session.items),
                odd={
                    at: key
                    for at, (key, nodeid) in enumerate(pairs)
                    if key != nodeid or not _are_sendable([nodeid])
                },
                redacted=len(redacted),
                nodeids=nodeids,
                whole=sorted(self._files - self._broken) if self._is_whole and not self._is_narrowed else [],
                unimported=sorted(self._unimported),
            )
        )

    def _gone(self, items: list[pytest.Item]) -> list[str]:
        seen = self._all | self._deselected
        unseen = [key for key in self._orders.outstanding if key not in seen]
        if any(map(is_redacted, unseen)):
            # They are not in the selection, but they may be there all the same.
            there = set(map(self._redactor.text, self._children.found))
            unseen = [key for key in unseen if key not in there]
        runs = {self._nodeids.get(id(item), "") for item in items} if unseen else set()
        return [
            key
            for key in unseen
            if is_gone(
                key,
                self._children.asked,
                self._children.found,
                lambda file: (self._rootdir / file).exists(),
                runs,
            )
        ]


def _are_sendable(nodeids: Iterable[str]) -> bool:
    """Whether node ids reach an xdist controller as they are."""
    try:
        "\n".join(nodeids).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
