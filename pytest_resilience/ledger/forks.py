"""What a forked child lets go of: descriptors that its parent goes on using.

A callback for forks cannot be taken back, so there is one for all objects, which it knows weakly.
"""

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that must not live on in a forked child."""

    def forget(self) -> None:
        """Called in the child: close what is open without a trace on what the parent has, and be of no use."""


_KNOWN: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def let_go_in_children(thing: Forkable) -> None:
    """Have `thing` forgotten in every child forked from now on, as long as it lives."""
    _KNOWN.add(thing)


def _in_child() -> None:
    for thing in list(_KNOWN):
        try:
            thing.forget()
        except Exception:
            # The child must come up, in whatever state the fork found us.
            continue


os.register_at_fork(after_in_child=_in_child)
