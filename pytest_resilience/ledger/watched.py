"""The files that the user says tests depend on, as one digest of their names and what is in them."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path

from pytest_resilience.core.globs import matcher

# A run itself writes the byte code of what it imports: with it, every test would run again.
_LEFT_OUT = (".git", "__pycache__")
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def watched(rootdir: Path, globs: Sequence[str], left_out: Path | None = None) -> bytes | None:
    """16 bytes for all files below `rootdir` that fit the globs; None when one of them cannot be read.

    Not looked at are `left_out`, byte code, folders whose name begins with ``.git``, and what is neither a file nor a folder.
    Of a link that leads out of the rootdir only counts where it leads to.
    """
    fits = matcher(globs)
    root = _Root(rootdir, left_out)
    total = blake2b("\0".join(globs).encode("utf-8", "surrogatepass"), digest_size=16)
    try:
        found = {name: what for start in {_start(glob) for glob in globs} for name, what in root.below(start)}
        for name in sorted(filter(fits, found)):
            total.update(os.fsencode(f"{name}\0"))
            total.update(found[name] or blake2b((rootdir / name).read_bytes(), digest_size=16).digest())
    except (OSError, ValueError):
        return None
    return total.digest()


def _start(glob: str) -> str:
    """The folder, or the file, that holds all that the glob can fit."""
    parts = glob.removeprefix("./").rstrip("/").split("/")
    return "/".join(takewhile(lambda part: not set(part) & set("*?"), parts))


class _Root:
    """The folder in which names are looked up, and what of it is left out."""

    def __init__(self, rootdir: Path, left_out: Path | None) -> None:
        self._rootdir = rootdir
        self._real = os.path.realpath(rootdir)
        self._left_out = left_out

    def below(self, name: str, above: frozenset[str] = frozenset()) -> Iterator[tuple[str, bytes]]:
        """The files in a folder, or the file itself; with where it leads for a link out of the rootdir, else empty.

        `above` are the folders that led here: a link to one of them is not followed.
        """
        path = self._rootdir / name
        real = os.path.realpath(path)
        if not Path(real).is_relative_to(self._real):
            yield name, os.fsencode(real)
            return
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return
            raise
        if stat.S_ISREG(mode):
            yield name, b""
        elif stat.S_ISDIR(mode):
            yield from self._in_folder(name, real, above)

    def _in_folder(self, name: str, real: str, above: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        folder = self._rootdir / name
        if real in above or folder == self._left_out or folder.name.startswith(_LEFT_OUT):
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                inner = f"{name}/{entry.name}" if name else entry.name
                if entry.is_symlink():
                    yield from self.below(inner, above | {real})
                elif entry.is_file():
                    yield inner, b""
                elif entry.is_dir():
                    yield from self._in_folder(inner, f"{real}/{entry.name}", above | {real})
