"""The few system calls the ledger makes, in one object that a test can replace by a disk that fails or kills.

They are bound in class bodies when this module is imported: tests of users replace `os.write`, `open` or whole modules,
and tools that do so look through the names of modules, not into classes.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, cast

# Descriptors of ours live up here, out of the way of tests that close or reuse the low numbers.
_HIGH = (500, 200, 100)


class Disk:
    """The disk as it is. What writes goes through here, and every method may raise OSError."""

    _NEW: ClassVar[int] = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    _OLD: ClassVar[int] = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    _LOCK: ClassVar[int] = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    _SHARED: ClassVar[int] = (
        os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    )
    _FOLDER: ClassVar[int] = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

    _open = staticmethod(os.open)
    _fchmod = staticmethod(os.fchmod)
    _ftruncate = staticmethod(os.ftruncate)
    _rename = staticmethod(os.rename)
    _unlink = staticmethod(os.unlink)
    _mkdir = staticmethod(os.mkdir)
    _makedirs = staticmethod(os.makedirs)
    _chmod = staticmethod(os.chmod)
    _rmdir = staticmethod(os.rmdir)
    _flock = staticmethod(fcntl.flock)
    _stat = staticmethod(os.stat)
    _fsync = staticmethod(os.fsync)
    _fdatasync = staticmethod(getattr(os, "fdatasync", os.fsync))
    _fcntl = staticmethod(fcntl.fcntl)
    _S_ISREG = staticmethod(stat.S_ISREG)
    _geteuid = staticmethod(os.geteuid)
    fstat = staticmethod(os.fstat)
    seek = staticmethod(os.lseek)
    close = staticmethod(os.close)
    # How many bytes went out, as the kernel tells; the file was opened for appending.
    append = staticmethod(cast("Callable[[int, bytes], int]", os.write))
    read = staticmethod(os.read)
    _pread = staticmethod(os.pread)
    _listdir = staticmethod(cast("Callable[[int], list[str]]", os.listdir))
    urandom = staticmethod(os.urandom)

    def open_folder(self, path: Path) -> int:
        """The folder itself, never what a link of that name points to."""
        return self._open(path, self._FOLDER)

    def open_folder_in(self, name: str, folder: int) -> int:
        """A folder in a folder, with the same care."""
        return self._open(name, self._FOLDER, dir_fd=folder)

    def open_new(self, name: str, folder: int) -> int:
        """A file that did not exist, only ours to read and write whatever the umask, for appending."""
        fd = self._open(name, self._NEW, 0o600, dir_fd=folder)
        try:
            self._fchmod(fd, 0o600)
        except BaseException:
            self.close(fd)
            raise
        return fd

    def open_lock(self, name: str, folder: int) -> int:
        """A file to lock, made when it is missing; its content means nothing."""
        return self._open(name, self._LOCK, 0o600, dir_fd=folder)

    def open_shared(self, name: str, folder: int) -> int:
        """A file to append to, made when it is missing: not of ours alone, but of libraries that write on their own."""
        return self._open(name, self._SHARED, 0o600, dir_fd=folder)

    def open_old(self, name: str, folder: int) -> int:
        """A file for reading; links, pipes, devices and other people's files are refused, and nothing blocks."""
        fd = self._open(name, self._OLD, dir_fd=folder)
        found = self.fstat(fd)
        if not self._S_ISREG(found.st_mode):
            refusal = "not a regular file"
        elif found.st_uid != self._geteuid():
            refusal = "owned by somebody else"
        elif found.st_nlink > 1:
            refusal = "known under another name too"
        else:
            return fd
        self.close(fd)
        raise PermissionError(errno.EPERM, refusal, name)

    def read_at(self, fd: int, size: int, at: int) -> bytes:
        """What stands at this place, at most so many bytes."""
        return self._pread(fd, size, at)

    def lstat(self, path: Path | str, folder: int | None = None) -> os.stat_result:
        """What has this name, in the folder if one is given; a link is not followed."""
        return self._stat(path, dir_fd=folder, follow_symlinks=False)

    def names(self, folder: int) -> list[str]:
        """What is in the folder, in no order."""
        return self._listdir(folder)

    def truncate(self, fd: int, size: int) -> None:
        self._ftruncate(fd, size)

    def datasync(self, fd: int) -> None:
        """All of the file's data is on the medium."""
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is not None:
            # There fsync stops at the drive's cache; not every file system can do better.
            with suppress(OSError):
                self._fcntl(fd, full)
                return
        self._fdatasync(fd)

    def rename(self, old: str, new: str, folder: int) -> None:
        self._rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    def unlink(self, name: str, folder: int) -> None:
        self._unlink(name, dir_fd=folder)

    def make_parents(self, path: Path) -> None:
        """The folders above, where they are missing. They are the user's, with the rights that the umask leaves."""
        self._makedirs(path.parent, exist_ok=True)

    def make_folder(self, path: Path) -> None:
        """A folder that did not exist, only ours to enter whatever the umask."""
        self._mkdir(path, 0o700)
        self._chmod(path, 0o700)

    def remove_folder(self, name: str, folder: int) -> None:
        """An empty one."""
        self._rmdir(name, dir_fd=folder)

    def try_lock(self, fd: int, *, shared: bool = False) -> None:
        """A lock that the kernel frees with the last descriptor of this open file. Does not wait."""
        self._flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def unlock(self, fd: int) -> None:
        self._flock(fd, fcntl.LOCK_UN)

    def sync_folder(self, folder: int) -> None:
        """The names in the folder are on the medium."""
        self._fsync(folder)

    def lift(self, fd: int) -> int:
        """The same open file under a high number where the limits allow it; the low number is closed."""
        high = self.copy_high(fd)
        if high is None:
            return fd
        with suppress(OSError):
            self.close(fd)
        return high

    def copy_high(self, fd: int) -> int | None:
        """One more descriptor of the same open file under a high number, or None where the limits forbid it."""
        for lowest in _HIGH:
            with suppress(OSError):
                return self._fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
        return None


DISK = Disk()


@contextmanager
def opened_folder(path: Path, disk: Disk = DISK) -> Iterator[int]:
    """The folder as a descriptor, to reach the files in it without walking the path again."""
    folder = disk.open_folder(path)
    try:
        yield folder
    finally:
        # It was only looked up in: whatever the system says of that, nothing is lost.
        with suppress(OSError):
            disk.close(folder)


def exists(path: Path, disk: Disk = DISK) -> bool:
    """Whether anything has this name, be it a link to nothing."""
    try:
        disk.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def remove_tree(name: str, folder: int, disk: Disk = DISK) -> None:
    """What has this name in the folder, with all that is in it, and nothing that links lead to.

    What cannot be removed stays.
    """
    try:
        disk.unlink(name, folder)
    except FileNotFoundError:
        return
    except OSError:
        with suppress(OSError):
            inner = disk.open_folder_in(name, folder)
            try:
                for one in disk.names(inner):
                    remove_tree(one, inner, disk)
            finally:
                disk.close(inner)
            disk.remove_folder(name, folder)


def append_all(fd: int, data: bytes, disk: Disk = DISK) -> None:
    """All of `data`, however small the portions that the kernel takes; OSError when it takes no more."""
    while (taken := disk.append(fd, data)) < len(data):
        if taken <= 0:
            raise OSError(errno.EIO, "nothing was written")
        data = data[taken:]


def write_whole(path: Path, data: bytes, disk: Disk = DISK) -> None:
    """A file that is there with all of `data`, or as it was before, whatever happens meanwhile."""
    with opened_folder(path.parent, disk) as folder:
        new = f".new-{path.name}-{disk.urandom(4).hex()}"
        fd = disk.open_new(new, folder)
        try:
            try:
                append_all(fd, data, disk)
                disk.datasync(fd)
            finally:
                disk.close(fd)
            disk.rename(new, path.name, folder)
        except BaseException:
            with suppress(OSError):
                disk.unlink(new, folder)
            raise
        sync_names(folder, disk)


def read_whole(path: Path, limit: int, disk: Disk = DISK) -> bytes:
    """The content of a file of at most `limit` bytes; OSError for anything else."""
    with opened_folder(path.parent, disk) as folder:
        fd = disk.open_old(path.name, folder)
    try:
        content = b""
        while portion := disk.read(fd, limit + 1 - len(content)):
            content += portion
    finally:
        disk.close(fd)
    if len(content) > limit:
        raise OSError(errno.EFBIG, "larger than it can be", path.name)
    return content


def sync_names(folder: int, disk: Disk = DISK) -> None:
    """The names of a folder on the medium, where the file system can do that at all."""
    with suppress(OSError):
        disk.sync_folder(folder)
