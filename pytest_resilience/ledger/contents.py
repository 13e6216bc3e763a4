"""What a test was found with: the content of its file, of the conftests above it, and of what is watched, as one digest."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from io import FileIO
from pathlib import Path


class Contents:
    """Digests of test files below `rootdir`. Each file is read once.

    `watch` are globs for files that every test depends on; the folder `ledger` is not one of these.
    """

    def __init__(self, rootdir: Path, watch: Sequence[str] = (), ledger: Path | None = None) -> None:
        self._rootdir = rootdir
        # Paths are texts here: of a large suite thousands are made, and a Path takes as long as reading the file.
        self._root = str(rootdir)
        self._watch = watch
        self._ledger = ledger
        self._read: dict[str, bytes] = {}
        self._conftests: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}

    def digest(self, file: str) -> str:
        """16 hex digits for a file, given relative to the rootdir with ``/``; empty when it cannot be read."""
        known = self._digests.get(file)
        if known is None:
            known = self._digests[file] = self._digest(file)
        return known

    def _digest(self, file: str) -> str:
        if not file or file.startswith("/"):
            return ""
        own, others = self._content(file), self._watched
        if own is None or others is None:
            return ""
        total = blake2b(own, digest_size=8)
        total.update(self._above(file.rpartition("/")[0]))
        total.update(others)
        return total.hexdigest()

    def _above(self, folder: str) -> bytes:
        """What is in the conftest files of a folder and of those above it, from the innermost one on."""
        known = self._conftests.get(folder)
        if known is None:
            known = self._content(f"{folder}/conftest.py" if folder else "conftest.py") or b"-"
            if folder:
                known += self._above(folder.rpartition("/")[0])
            self._conftests[folder] = known
        return known

    @cached_property
    def _watched(self) -> bytes | None:
        if not self._watch:
            return b""
        from pytest_resilience.ledger.watched import watched

        return watched(self._rootdir, self._watch, self._ledger)

    def _content(self, file: str) -> bytes | None:
        known = self._read.get(file)
        if known is None:
            try:
                with FileIO(f"{self._root}/{file}") as opened:
                    known = blake2b(opened.readall(), digest_size=16).digest()
            except (OSError, ValueError):
                known = b""
            self._read[file] = known
        return known or None
