"""The folders of runs: how one is made, found again, and held by those who are alive."""

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pytest_resilience.core.facts import (
    Fact,
    FileCollected,
    SelectionDone,
    TestInherited,
    TestsSelected,
    number_of_inherited,
)
from pytest_resilience.core.redaction import Redactor
from pytest_resilience.ledger import machine
from pytest_resilience.ledger.disk import (
    DISK,
    Disk,
    exists,
    opened_folder,
    read_whole,
    remove_tree,
    sync_names,
    write_whole,
)
from pytest_resilience.ledger.final import Final, read_final, write_final
from pytest_resilience.ledger.lines import FORMAT, encode_all
from pytest_resilience.ledger.locks import Lock, is_held
from pytest_resilience.ledger.portions import together
from pytest_resilience.ledger.redaction import all_redacted, redacted_info
from pytest_resilience.ledger.runinfo import CARRY, RUN, RUN_ID, TESTS, BadRun, RunInfo, new_run_id, run_key
from pytest_resilience.ledger.seal import Seal
from pytest_resilience.ledger.segments import WRITER

__all__ = [
    "RUN_ID",
    "AmbiguousRun",
    "BadRun",
    "NoSuchRun",
    "RunFolder",
    "RunInfo",
    "Store",
    "UnsafeStore",
    "UnsupportedFormat",
    "new_run_id",
    "run_key",
]

OWNER = "owner"
_OWNER_LOCK = "owner.lock"
_ALIVE = ".alive"
_CACHEDIR_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# The ledger of pytest-resilience.\n"


class UnsafeStore(OSError):
    """The store is a link, somebody else's, or others may write to it."""


class UnsupportedFormat(OSError):
    """The store was written by a newer release, or it is not known by which."""


class NoSuchRun(LookupError):
    """No run has such an id; `candidates` are those there are, oldest first."""

    def __init__(self, asked: str, candidates: tuple[str, ...]) -> None:
        super().__init__(f"no run is called {asked}")
        self.candidates = candidates


class AmbiguousRun(LookupError):
    """Several runs have such an id: the `candidates`."""

    def __init__(self, asked: str, candidates: tuple[str, ...]) -> None:
        super().__init__(f"{len(candidates)} runs are called {asked}")
        self.candidates = candidates


class RunFolder:
    """The folder of one run. Who made it owns the run until `release`; for all others it is a view.

    With a `seal` what is written is signed, and what is not signed is not to be believed.
    """

    def __init__(
        self,
        path: Path,
        info: RunInfo,
        *,
        owner: Lock | None = None,
        disk: Disk = DISK,
        redactor: Redactor | None = None,
        seal: Seal | None = None,
    ) -> None:
        self.path = path
        self.info = info
        self.seal = seal
        self._disk = disk
        self._redactor = redactor or Redactor()
        self._held = [] if owner is None else [owner]

    @classmethod
    def join(cls, path: Path, nonce: str, secret: bytes | None = None) -> "RunFolder | None":
        """The folder as a worker of that run sees it.

        None when it is not there, or not the same one as there; also for a run that is signed with a key which this
        process does not have: what it wrote would not be believed.
        """
        try:
            info = RunInfo.read(path, secret)
        except (OSError, BadRun):
            return None
        here = (nonce, machine.host(), machine.boot())
        if (info.nonce, info.host, info.boot) != here or info.signature == "unproven":
            return None
        return cls(path, info, seal=_seal(info, secret) if info.signature == "proven" else None)

    @property
    def id(self) -> str:
        return self.info.id

    def write_selection(self, facts: Iterable[TestsSelected | FileCollected], done: SelectionDone) -> None:
        """The tests of this run, on the medium before the first of them starts. OSError when that is impossible."""
        clean = all_redacted([*facts, done], self._redactor)
        lines = _lines(clean, writer=TESTS, at=self.info.started, seal=self.seal)
        write_whole(self.path / TESTS, lines, self._disk)

    def hold(self, writer: str) -> Lock | None:
        """Show that the process of `writer` is alive, until `release` or its death. None where that cannot be."""
        if not WRITER.fullmatch(writer):
            return None
        try:
            lock = Lock.acquire(lock_of(self.path, writer))
        except OSError:
            return None
        if lock is not None:
            self._held.append(lock)
        return lock

    def writers_alive(self) -> list[str]:
        """The writers whose process is alive, and "owner" when the one that owns the run is."""
        return list(_alive(self.path, self._disk))

    @staticmethod
    def is_alive(path: Path) -> bool:
        """Whether any process still belongs to the run in this folder, readable or not."""
        return any(_alive(path, DISK))

    def finish(self, *, exit_status: int, counts: Mapping[str, int]) -> bool:
        """Leave the short account of the run, once its segments are closed. False when it could not be written."""
        try:
            write_final(self.path, Final(exit_status=exit_status, counts=dict(counts)))
        except (OSError, ValueError, TypeError):
            return False
        return True

    def final(self) -> Final | None:
        """How the run ended; None when it had no orderly end."""
        return read_final(self.path)

    def release(self) -> None:
        """Give up every lock that was taken through this object."""
        while self._held:
            self._held.pop().release()


class Store:
    """All runs of one rootdir, in one folder of its own that only its owner can write to.

    `problems` tells, after `runs` or `find`, which runs could not be read and why. What is written goes through
    `redactor`; without one, tokens of well-known shapes alone are taken out. With a `secret` new runs are signed, and
    only signed ones are trusted.
    """

    def __init__(
        self,
        root: Path,
        *,
        disk: Disk = DISK,
        redactor: Redactor | None = None,
        secret: bytes | None = None,
    ) -> None:
        self.root = root.absolute()
        self.problems: list[tuple[str, str]] = []
        self._disk = disk
        self._redactor = redactor or Redactor()
        self._secret = secret

    @property
    def is_signed(self) -> bool:
        """Whether there is a secret to sign new runs with."""
        return self._secret is not None

    @property
    def folder_of_runs(self) -> Path:
        return self.root / "runs"

    @property
    def lock_path(self) -> Path:
        return self.root / "store.lock"

    # ---- making

    def create(self, info: RunInfo, inherited: Iterable[TestInherited | FileCollected] = ()) -> RunFolder:
        """A run that is there with all it inherits, owned by this process. Raises OSError only.

        It is filled under another name first: whoever dies in between leaves nothing that looks like a run.
        """
        if not RUN_ID.fullmatch(info.id):
            raise OSError(errno.EINVAL, "not the id of a run", info.id)
        self._prepare()
        facts = together(all_redacted(inherited, self._redactor))
        info = info._replace(inherited=sum(map(number_of_inherited, facts)))
        info = redacted_info(info, self._redactor)
        seal = _seal(info, self._secret)
        new, path = self.folder_of_runs / f".new-{info.id}", self.folder_of_runs / info.id
        self._disk.make_folder(new)
        owner = None
        try:
            write_whole(new / RUN, info.to_json(seal).encode("ascii"), self._disk)
            if facts:
                lines = _lines(facts, writer=CARRY, at=info.started, seal=seal)
                write_whole(new / CARRY, lines, self._disk)
            owner = Lock.acquire(new / _OWNER_LOCK)
            if owner is None:
                raise OSError(errno.EBUSY, "somebody else owns the run", str(new))
            with opened_folder(self.folder_of_runs, self._disk) as folder:
                self._disk.rename(new.name, path.name, folder)
                sync_names(folder, self._disk)
        except BaseException:
            if owner is not None:
                owner.release()
            with suppress(OSError), opened_folder(self.folder_of_runs, self._disk) as folder:
                remove_tree(new.name, folder, self._disk)
            raise
        return RunFolder(path, info, owner=owner, disk=self._disk, redactor=self._redactor, seal=seal)

    def _prepare(self) -> None:
        """The folders and the marks of the store, made where they are missing."""
        self._disk.make_parents(self.root)
        for folder in (self.root, self.folder_of_runs):
            with suppress(FileExistsError):
                self._disk.make_folder(folder)
                with opened_folder(folder.parent, self._disk) as parent:
                    sync_names(parent, self._disk)
            _check(folder, self._disk)
        self._check_format()
        major, minor = FORMAT
        version = {"format": "pytest-resilience", "major": major, "minor": minor}
        marks = {
            "FORMAT": json.dumps(version).encode("ascii") + b"\n",
            ".gitignore": b"*\n",
            "CACHEDIR.TAG": _CACHEDIR_TAG,
        }
        for name, content in marks.items():
            if not exists(self.root / name, self._disk):
                write_whole(self.root / name, content, self._disk)

    def _check_format(self) -> None:
        try:
            version = json.loads(read_whole(self.root / "FORMAT", 4096))
            major = version["major"]
        except FileNotFoundError:
            return
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise UnsupportedFormat(
                errno.EPROTO, "the format of the store is not known", str(self.root)
            ) from error
        if type(major) is not int or major > FORMAT[0]:
            raise UnsupportedFormat(errno.EPROTO, "the store was written by a newer release", str(self.root))

    # ---- finding

    def runs(self) -> list[RunInfo]:
        """Every run that can be read, oldest first. UnsafeStore and UnsupportedFormat as for `create`."""
        self.problems = []
        found = []
        for run_id in self.run_ids():
            try:
                found.append(self._read(run_id))
            except (OSError, BadRun) as error:
                self.problems.append((run_id, str(error)))
        return found

    def run_ids(self) -> list[str]:
        """The ids of all runs there are, readable or not, oldest first."""
        if not exists(self.root, self._disk):
            return []
        _check(self.root, self._disk)
        self._check_format()
        if not exists(self.folder_of_runs, self._disk):
            return []
        _check(self.folder_of_runs, self._disk)
        with opened_folder(self.folder_of_runs, self._disk) as folder:
            return sorted(name for name in self._disk.names(folder) if RUN_ID.fullmatch(name))

    def folder(self, run_id: str) -> RunFolder:
        """A view of one run. NoSuchRun when there is none, or none that can be read, with exactly this id."""
        ids = self.run_ids()
        if run_id in ids:
            with suppress(OSError, BadRun):
                info = self._read(run_id)
                path, seal = self.folder_of_runs / run_id, _seal(info, self._secret)
                return RunFolder(path, info, disk=self._disk, seal=seal)
        raise NoSuchRun(run_id, tuple(ids))

    def _read(self, run_id: str) -> RunInfo:
        info = RunInfo.read(self.folder_of_runs / run_id, self._secret)
        if info.id != run_id:
            raise BadRun("it is another run")
        return info

    def trusts(self, info: RunInfo) -> bool:
        """Whether what a run says may keep a test from running.

        With a secret that is for its signature to show. Without one a run that was made on this machine is trusted
        as the store is: that tells an artifact from elsewhere, and is no proof against somebody who wants to deceive.
        """
        if self._secret is not None:
            return info.signature == "proven"
        return info.host == machine.host()

    def find(self, prefix: str) -> RunInfo:
        """The one run of that name, see `the_one_called`."""
        return the_one_called(prefix, self.runs())


def the_one_called(prefix: str, runs: Sequence[RunInfo]) -> RunInfo:
    """The one run whose id, or the random part of whose id, begins like this; a whole id is never ambiguous."""
    found = [info for info in runs if info.id == prefix]
    if not found:
        found = [
            info
            for info in runs
            if info.id.startswith(prefix) or info.id.partition("-")[2].startswith(prefix)
        ]
    if not found:
        raise NoSuchRun(prefix, tuple(info.id for info in runs))
    if len(found) > 1:
        raise AmbiguousRun(prefix, tuple(info.id for info in found))
    return found[0]


def lock_of(path: Path, name: str) -> Path:
    """The lock of a writer in the folder of a run, or of the `OWNER` of that run."""
    return path / (_OWNER_LOCK if name == OWNER else f"seg-{name}{_ALIVE}")


def _alive(path: Path, disk: Disk) -> Iterator[str]:
    if is_held(path / _OWNER_LOCK):
        yield OWNER
    try:
        with opened_folder(path, disk) as folder:
            names = sorted(disk.names(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        # As with a lock: who cannot be asked is taken for alive.
        yield OWNER
        return
    for name in names:
        if name.startswith("seg-") and name.endswith(_ALIVE) and is_held(path / name):
            yield name.removeprefix("seg-").removesuffix(_ALIVE)


def _seal(info: RunInfo, secret: bytes | None) -> Seal | None:
    return Seal.of(secret, info.id, info.nonce) if secret is not None else None


def _lines(facts: Iterable[Fact], *, writer: str, at: float, seal: Seal | None) -> bytes:
    try:
        return b"".join(encode_all(facts, writer=writer.removesuffix(".jsonl"), at=at, seal=seal))
    except (ValueError, TypeError) as error:
        raise OSError(errno.EINVAL, str(error), writer) from error


def _check(path: Path, disk: Disk) -> None:
    found = disk.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        refusal = "not a folder, or a link to one"
    elif found.st_uid != os.geteuid():
        refusal = "owned by somebody else"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        refusal = "others may write to it"
    else:
        return
    raise UnsafeStore(errno.EPERM, refusal, str(path))
