"""What a test was found with: the content of its file and of the conftests above it, as one digest."""

from hashlib import blake2b
from pathlib import Path, PurePosixPath


class Contents:
    """Digests of test files below `rootdir`. Each file is read once."""

    def __init__(self, rootdir: Path) -> None:
        self._rootdir = rootdir
        self._read: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}

    def digest(self, file: str) -> str:
        """16 hex digits for a file, given relative to the rootdir with ``/``; empty when it cannot be read."""
        known = self._digests.get(file)
        if known is None:
            known = self._digests[file] = self._digest(file)
        return known

    def _digest(self, file: str) -> str:
        path = PurePosixPath(file)
        if not file or path.is_absolute():
            return ""
        own = self._content(file)
        if own is None:
            return ""
        total = blake2b(own, digest_size=8)
        for folder in path.parents:
            total.update(self._content(str(folder / "conftest.py")) or b"-")
        return total.hexdigest()

    def _content(self, file: str) -> bytes | None:
        known = self._read.get(file)
        if known is None:
            try:
                known = blake2b((self._rootdir / file).read_bytes(), digest_size=16).digest()
            except (OSError, ValueError):
                known = b""
            self._read[file] = known
        return known or None
