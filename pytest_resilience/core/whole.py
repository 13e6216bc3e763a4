"""Which files need not be imported: those that were collected whole, and of which every test is carried over.

Of a file with something left, which of its functions and classes need not be looked at.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby

from pytest_resilience.core.keys import file_of, parents_of


def collection_digest(how: str, content: str, keys: Iterable[str]) -> str:
    """16 hex digits for a file that was collected whole: how files were collected, what it held, and its tests.

    As long as all three are the same, so is its collection. Empty when `how` or `content` is not known.
    """
    if not how or not content:
        return ""
    parts = (how, content, *sorted(keys))
    text = f"{','.join(map(str, map(len, parts)))}:{''.join(parts)}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def by_file(keys: Iterable[str]) -> dict[str, list[str]]:
    """Keys by the file that they are in."""
    files: dict[str, list[str]] = {}
    # Those of a file come one after another.
    for file, some in groupby(keys, file_of):
        files.setdefault(file, []).extend(some)
    return files


def still_whole(
    collected: Mapping[str, Collection[str]],
    files: Mapping[str, Sequence[str]],
    how: str,
    content_of: Callable[[str], str],
) -> dict[str, str]:
    """The files, with the digests of their collections, that were once collected whole exactly as they would be today.

    `collected` are the digests of earlier runs by file, `files` the keys of all tests of the chain.
    """
    today = {file: collection_digest(how, content_of(file), files.get(file, ())) for file in collected}
    return {file: one for file, one in today.items() if one and one in collected[file]}


def done(whole: Iterable[str], files: Mapping[str, Sequence[str]], carried: frozenset[str]) -> frozenset[str]:
    """The files among the whole ones of which every test that the chain knows is in `carried`."""
    return frozenset(file for file in whole if carried.issuperset(files.get(file, ())))


def spared(carried: Iterable[str], others: Iterable[str]) -> dict[str, list[str]]:
    """The functions and classes, by their node ids, all tests of which are `carried`, with these tests.

    `others` are all other tests of the same files. What is in a class that is spared is not told again.
    """
    busy = {parent for key in others for parent in parents_of(key)}
    found: dict[str, list[str]] = {}
    for key in carried:
        top = next((parent for parent in parents_of(key) if parent not in busy), None)
        if top is not None:
            found.setdefault(top, []).append(key)
    return found
