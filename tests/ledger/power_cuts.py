"""What a power cut may leave of what was written: made from the calls that were made, as file systems allow it.

Of a file all is there that was synced; of what came later there is a beginning, torn anywhere, and behind it nothing,
or zeros, or what was on the medium before. Of a folder all names are there that were synced; of what became of names
later any part is there.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from pytest_resilience.ledger.disk import Disk

_BLOCKS = (512, 4096)


@dataclass(eq=False)
class Node:
    """A file, or a folder, for ever the same whatever its name becomes."""

    is_folder: bool = False
    entries: "dict[str, Node]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that changed something: `what` it did to a file, or to the names in a folder."""

    node: Node
    what: str
    data: bytes = b""
    size: int = 0
    names: tuple[tuple[str, Node | None], ...] = ()


class TracedDisk(Disk):
    """The disk below `base`, which is on the medium, with a trace of all that is done there."""

    _fsync = staticmethod(lambda fd: None)
    _fdatasync = staticmethod(lambda fd: None)

    def __init__(self, base: Path) -> None:
        self.root = Node(is_folder=True)
        self.trace: list[Call] = []
        self._base = base
        self._nodes: dict[int, Node] = {}

    def _child(self, folder: Node, name: str, *, is_folder: bool = False) -> Node:
        """What is called so in a folder; when nothing is, it has just been made."""
        if name not in folder.entries:
            self._name(folder, (name, Node(is_folder=is_folder)))
        return folder.entries[name]

    def _name(self, folder: Node, *names: tuple[str, Node | None]) -> None:
        for name, node in names:
            if node is None:
                folder.entries.pop(name, None)
            else:
                folder.entries[name] = node
        self.trace.append(Call(node=folder, what="names", names=names))

    def _opened(self, fd: int, node: Node) -> int:
        self._nodes[fd] = node
        return fd

    def _at(self, path: Path) -> Node:
        node = self.root
        for name in path.relative_to(self._base).parts:
            node = self._child(node, name, is_folder=True)
        return node

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._at(path)

    def open_folder(self, path: Path) -> int:
        return self._opened(super().open_folder(path), self._at(path))

    def open_new(self, name: str, folder: int) -> int:
        fd, made = super().open_new(name, folder), Node()
        self._name(self._nodes[folder], (name, made))
        return self._opened(fd, made)

    def open_lock(self, name: str, folder: int) -> int:
        fd = super().open_lock(name, folder)
        return self._opened(fd, self._child(self._nodes[folder], name))

    def lift(self, fd: int) -> int:
        node = self._nodes[fd]
        return self._opened(super().lift(fd), node)

    def append(self, fd: int, data: bytes) -> int:
        taken = super().append(fd, data)
        self.trace.append(Call(node=self._nodes[fd], what="append", data=data[:taken]))
        return taken

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self.trace.append(Call(node=self._nodes[fd], what="truncate", size=size))

    def datasync(self, fd: int) -> None:
        super().datasync(fd)
        self.trace.append(Call(node=self._nodes[fd], what="synced"))

    def sync_folder(self, folder: int) -> None:
        super().sync_folder(folder)
        self.trace.append(Call(node=self._nodes[folder], what="synced"))

    def rename(self, old: str, new: str, folder: int) -> None:
        super().rename(old, new, folder)
        node = self._nodes[folder]
        self._name(node, (new, self._child(node, old)), (old, None))

    def unlink(self, name: str, folder: int) -> None:
        super().unlink(name, folder)
        self._name(self._nodes[folder], (name, None))


def left_by(disk: TracedDisk, calls: int, chance: Random, place: Path) -> None:
    """Put into a new folder what a power cut after so many calls may have left."""
    by_node: dict[Node, list[Call]] = defaultdict(list)
    for call in disk.trace[:calls]:
        by_node[call.node].append(call)
    _put(disk.root, by_node, chance, place)


def _put(folder: Node, by_node: dict[Node, list[Call]], chance: Random, place: Path) -> None:
    place.mkdir(0o700)
    entries: dict[str, Node] = {}
    synced, later = _by_sync(by_node[folder])
    for call in synced + [call for call in later if chance.random() < 0.5]:
        for name, node in call.names:
            if node is None:
                entries.pop(name, None)
            else:
                entries[name] = node
    for name, node in entries.items():
        if node.is_folder:
            _put(node, by_node, chance, place / name)
        else:
            (place / name).write_bytes(_content(by_node[node], chance))
            (place / name).chmod(0o600)


def _by_sync(calls: list[Call]) -> tuple[list[Call], list[Call]]:
    """The calls that the last sync made sure of, and those after it."""
    last = max((at for at, call in enumerate(calls) if call.what == "synced"), default=-1)
    return calls[: last + 1], calls[last + 1 :]


def _content(calls: list[Call], chance: Random) -> bytes:
    synced, later = _by_sync(calls)
    sure, whole = _written(b"", synced), _written(_written(b"", synced), later)
    written = _written(sure, later[: chance.randint(0, len(later))])
    if not whole.startswith(sure) or not written.startswith(sure):
        # It was cut meanwhile, and the cut is there or not.
        return written
    new = _torn(written[len(sure) :], len(sure), chance)
    rest = len(whole) - len(sure) - len(new)
    before = whole[chance.randint(0, len(whole)) :][:rest]
    return sure + new + chance.choice((b"", bytes(rest), chance.randbytes(rest), before))


def _written(content: bytes, calls: list[Call]) -> bytes:
    for call in calls:
        if call.what == "append":
            content += call.data
        elif call.what == "truncate":
            content = content[: call.size]
    return content


def _torn(new: bytes, offset: int, chance: Random) -> bytes:
    """A beginning of what is new in a file, to a byte or to a block; maybe with a block that was not reached."""
    torn = new[: chance.randint(0, len(new))]
    if chance.random() < 0.3:
        block = chance.choice(_BLOCKS)
        torn = new[: max(0, (offset + len(torn)) // block * block - offset)]
    if torn and chance.random() < 0.2:
        start = chance.randrange(len(torn))
        end = min(len(torn), start + chance.choice(_BLOCKS))
        torn = torn[:start] + bytes(end - start) + torn[end:]
    return torn
