"""Which test is which: the key of a test is its node id and, where a session has the same id twice, its occurrence."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from pytest_resilience.core.redaction import MARK, is_redacted

_OCCURRENCE = r" #\d+\Z"


def keys_of(nodeids: Iterable[str]) -> list[str]:
    """One key for each node id, in the same order; no two are equal.

    The first test with an id has the id itself as its key, the second ``id #2`` and so on: ``--pyargs`` and files
    outside the rootdir give equal ids.
    """
    ids = list(nodeids)
    if len(set(ids)) == len(ids):
        return ids
    taken: set[str] = set()
    keys = []
    for nodeid in ids:
        key, occurrence = nodeid, 1
        while key in taken:
            occurrence += 1
            key = f"{nodeid} #{occurrence}"
        taken.add(key)
        keys.append(key)
    return keys


def nodeid_of(key: str) -> str:
    """The node id that a test with this key has."""
    return re.sub(_OCCURRENCE, "", key) if " #" in key else key


def file_of(key: str) -> str:
    """The file part of a key, relative to the rootdir with ``/``; empty for an id without one (``::Case::test_x``)."""
    return key.partition("::")[0]


def parents_of(key: str) -> Iterator[str]:
    """The node ids of the classes and the function that a test belongs to, from the outermost: without parameters."""
    file, separator, rest = key.partition("::")
    names, node = rest.partition("[")[0], f"{file}{separator}"
    for name in names.split("::"):
        node += name
        yield node
        node += "::"


def is_repeated(key: str) -> bool:
    """Whether it is the key of a second or later test with the same id, or looks like one."""
    return " #" in key and re.search(_OCCURRENCE, key) is not None


def is_gone(
    key: str,
    collected: Collection[str],
    present: Collection[str],
    file_exists: Callable[[str], bool],
    runs: Collection[str] = (),
) -> bool:
    """Whether the test exists no more, as far as today's collection can tell.

    `collected` holds the node ids of the collectors (files, classes) that were collected without an error, `present`
    the node ids of all that they yielded. Where the collection did not look, the test is not gone: in doubt it stays.
    That includes the second test with an id: what was yielded says that there is one, not how many.

    A redacted key stands for whatever begins as it does up to the mark. It is gone once all that does is among `runs`,
    the node ids that run today: then so does the test, if it exists.
    """
    file = file_of(key)
    if not file or is_redacted(file):
        return False
    if not file_exists(file):
        return True
    name = key.partition("[")[0]
    parts = name.split("::")
    parent = parts[0]
    for depth in range(1, len(parts)):
        child = key if depth == len(parts) - 1 else "::".join(parts[: depth + 1])
        if parent not in collected:
            return False
        if child not in present and nodeid_of(child) not in present:
            return not is_redacted(child) or all(one in runs for one in _like(child, present))
        parent = child
    return False


def _like(key: str, present: Iterable[str]) -> Iterable[str]:
    beginning = key.partition(MARK)[0]
    return (one for one in present if one.startswith(beginning))
