"""Functions and classes of a file of which nothing is left: they make no items, though the file is imported."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.hooks.registered import Registered

# Of whom it is known that what a name makes bears that name. With any other plugin all items are made.
_KNOWN = ("_pytest", "pytest_asyncio", "anyio", __name__.partition(".")[0])


class Spared(Registered):
    """Keeps pytest from making what is not going to run. `taken` are the keys of the tests that were not made."""

    def __init__(self, rootdir: Path, files: Mapping[str, Mapping[str, list[str]]]) -> None:
        """By file, and by the node ids of its functions and classes, the tests that need not be made."""
        self._rootdir = rootdir
        self._files = files
        self._collector: pytest.Collector | None = None
        self._nodes: Mapping[str, list[str]] = {}
        self._prefix = ""
        self._made: dict[str, list[str]] = {}

    @property
    def taken(self) -> Iterable[str]:
        """The keys of the tests that were not made."""
        return (key for keys in self._made.values() for key in keys)

    @property
    def files(self) -> set[str]:
        """The files that such tests are in."""
        return {node.partition("::")[0] for node in self._made}

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, collector: pytest.Collector, name: str) -> list[pytest.Item] | None:
        # All names of a collector come one after another.
        if collector is not self._collector:
            self._collector, self._prefix = collector, f"{collector.nodeid}::"
            self._nodes = self._of(collector)
        node = self._prefix + name
        keys = self._nodes.get(node)
        if keys is None:
            return None
        self._made[node] = keys
        return []

    def _of(self, collector: pytest.Collector) -> Mapping[str, list[str]]:
        file: pytest.File | None = collector.getparent(pytest.File)  # type: ignore[type-abstract]
        if file is None or type(collector) not in (pytest.Module, pytest.Class):
            return {}
        # Another file, outside of the rootdir, may go by the same name.
        if file.path != self._rootdir / file.nodeid or not _is_plain(collector.ihook):
            return {}
        return self._files.get(file.nodeid, {})


def _is_plain(hooks: Any) -> bool:
    makers = hooks.pytest_pycollect_makeitem.get_hookimpls()
    return all(maker.function.__module__.partition(".")[0] in _KNOWN for maker in makers)
