"""The closest marker of each item, as `get_closest_marker` finds it, for many items at once."""

from collections.abc import Sequence
from operator import attrgetter

import pytest

_PARENT, _OWN = attrgetter("parent"), attrgetter("own_markers")


def closest(items: Sequence[pytest.Item], name: str) -> list[pytest.Mark | None]:
    """The closest marker of a name on each item, in their order, None for an item without one.

    What is above items, a module or a class, is looked at once.
    """
    parents = dict(zip(map(id, map(_PARENT, items)), map(_PARENT, items), strict=True))
    above = {key: parent and parent.get_closest_marker(name) for key, parent in parents.items()}
    if not any(above.values()) and not any(map(_OWN, items)):
        return [None] * len(items)
    return [
        next((mark for mark in item.own_markers if mark.name == name), above[id(item.parent)])
        for item in items
    ]
