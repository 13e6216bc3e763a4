"""Where the runs of a rootdir are: in a store below it, or where there can be none, in the user's state folder."""

import errno
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pytest_resilience.core.facts import FileCollected, TestInherited
from pytest_resilience.ledger.disk import DISK
from pytest_resilience.ledger.runinfo import RunInfo
from pytest_resilience.ledger.runs import NoSuchRun, RunFolder, Store, UnsupportedFormat, the_one_called

# What stands in the way of a store below the rootdir and will not go by itself.
_CLOSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP})


def state_folder(rootdir: Path, environ: Mapping[str, str]) -> Path | None:
    """Where the user's state folder has room for the ledger of a rootdir; None for a user without a home."""
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        try:
            state = Path.home() / ".local" / "state"
        except RuntimeError:
            return None
    name = hashlib.blake2b(str(rootdir).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return state / "pytest-resilience" / name


class Stores:
    """Several stores as one. The first is where runs belong, the others take them when it cannot.

    A store that cannot be read or written costs its own runs only; `troubles` tells, after any call, what was wrong, and
    `problems` which runs could not be read and why.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self.current = stores[0]
        self.troubles: list[OSError] = []
        self.problems: list[tuple[str, str]] = []
        self._stores = stores

    @property
    def is_signed(self) -> bool:
        """As that of a store: all of them have the same secret, or none."""
        return self.current.is_signed

    def trusts(self, info: RunInfo) -> bool:
        """As a store does."""
        return self.current.trusts(info)

    def create(self, info: RunInfo, inherited: Iterable[TestInherited | FileCollected]) -> RunFolder:
        """As a store does, in the first one that is not closed to us, which is the `current` one from then on."""
        self.troubles = []
        facts = list(inherited)
        for store in self._stores:
            try:
                if store is not self._stores[0]:
                    _make_private(store.root.parent)
                folder = store.create(info, facts)
            except OSError as error:
                self.troubles.append(error)
                if error.errno not in _CLOSED:
                    break
            else:
                self.current = store
                return folder
        raise self.troubles[0]

    def runs(self) -> list[RunInfo]:
        """The runs of all stores, oldest first. OSError when none can be read, or one is of a newer release."""
        self.troubles, self.problems = [], []
        found = []
        for store in self._stores:
            try:
                found += store.runs()
                self.problems += store.problems
            except UnsupportedFormat:
                raise
            except OSError as error:
                self.troubles.append(error)
        if self.troubles and not found:
            raise self.troubles[0]
        return sorted(found, key=lambda info: info.id)

    def newest_id(self) -> str:
        """The greatest id of all runs there are, readable or not; empty when there are none."""
        ids = [""]
        for store in self._stores:
            with suppress(OSError):
                ids += store.run_ids()
        return max(ids)

    def folder(self, run_id: str) -> RunFolder:
        """As that of a store."""
        for store in self._stores:
            with suppress(NoSuchRun, OSError):
                return store.folder(run_id)
        raise NoSuchRun(run_id, ())

    def find(self, prefix: str) -> RunInfo:
        """As that of a store."""
        return the_one_called(prefix, self.runs())


def _make_private(folder: Path) -> None:
    """The folder of the ledgers of all rootdirs, which are nobody else's business."""
    DISK.make_parents(folder)
    with suppress(FileExistsError):
        DISK.make_folder(folder)
