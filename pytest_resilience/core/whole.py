"""Which files need not be imported: those that were collected whole, and of which every test is carried over."""

from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from itertools import groupby

from pytest_resilience.core.keys import file_of


def collection_digest(how: str, content: str, keys: Iterable[str]) -> str:
    """16 hex digits for a file that was collected whole: how files were collected, what it held, and its tests.

    As long as all three are the same, so is its collection. Empty when `how` or `content` is not known.
    """
    if not how or not content:
        return ""
    parts = (how, content, *sorted(keys))
    text = "".join(map("{}:{}".format, map(len, parts), parts))
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
    known: Iterable[str],
    how: str,
    content_of: Callable[[str], str],
) -> dict[str, str]:
    """The files, with the digests of their collections, that were once collected whole exactly as they would be today.

    `collected` are the digests of earlier runs by file, `known` the keys of all tests of the chain.
    """
    files = by_file(known)
    today = {file: collection_digest(how, content_of(file), files.get(file, ())) for file in collected}
    return {file: one for file, one in today.items() if one and one in collected[file]}


def done(whole: Iterable[str], known: Iterable[str], carried: Collection[str]) -> frozenset[str]:
    """The files among the whole ones of which every test that the chain knows is in `carried`."""
    files = by_file(known)
    return frozenset(file for file in whole if all(key in carried for key in files.get(file, ())))
