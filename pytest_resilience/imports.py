"""How the modules of the plugin are imported: as Python does it, and not by pytest's rewriting of assertions.

pytest rewrites the assertions of every installed plugin, so that tests which call them show what was compared. No test
calls ours, and the loader that goes with it takes four times as many instructions for a module: it has its byte code read
from the file piece by piece.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_OURS = f"{__package__}."


class _Finder:
    """Finds the modules of this package before pytest does."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, path, target) if fullname.startswith(_OURS) else None


def leave_as_they_are() -> None:
    """Have the rest of this package imported without its assertions being rewritten."""
    sys.meta_path.insert(0, _Finder())
