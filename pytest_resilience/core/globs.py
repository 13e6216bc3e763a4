"""Which paths a glob speaks of: files, and all that is in a folder."""

import re
from collections.abc import Callable, Iterable

_WILDCARDS = {"*": ".*", "?": ".", "**/": "(?:.*/)?"}


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path, with slashes and without a leading one, fits one of the globs.

    ``*`` is any text, slashes included, ``?`` is one character, ``**/`` is nothing or folders. A glob that fits a
    folder fits all that is in it.
    """
    parts = (re.split(r"(\*\*/|\*|\?)", glob.removeprefix("./").rstrip("/")) for glob in globs)
    patterns = ("".join(_WILDCARDS.get(part) or re.escape(part) for part in some) for some in parts)
    compiled = re.compile("|".join(f"(?:{pattern})(?:/.*)?" for pattern in patterns), re.DOTALL)
    return lambda path: compiled.fullmatch(path) is not None
