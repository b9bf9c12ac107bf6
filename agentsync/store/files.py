"""File primitives below one directory: the only code that links, replaces, renames or unlinks.

Keys are relative paths with `/`. Nothing follows a symlink at its last component, changes anything behind one on the
way there (as far as one can look before one acts), opens anything but regular files, or reads more than a cap; files
are made 0600 and directories 0700 whatever the umask. A test may pass another object with these methods: to fail, to
crash, or to interleave.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.errors import StrangeFileError
from agentsync.runtime import PLATFORM
from agentsync.store.sharing import patiently

if TYPE_CHECKING:
    from agentsync.runtime import Platform

MAX_RECORD = 1 << 20
"""Bytes of the largest file that is read as a record."""

_BINARY = getattr(os, "O_BINARY", 0)
_READ = (
    _BINARY | os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
)
_CREATE = _BINARY | os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_APPEND = _CREATE & ~os.O_EXCL | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
_FOLLOW = os.utime not in os.supports_follow_symlinks  # Windows cannot but
FULL = frozenset({errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC})
"""What a disk says that has no room, or none for this user."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class Content(Struct, frozen=True, gc=False):
    """What a file held, and when it was last touched."""

    data: bytes
    mtime: float
    """Seconds since the epoch, by the file system's clock."""


def read_plain(path: str, cap: int) -> bytes | None:
    """What a file outside of the state holds; None when there is none, or it is no regular file (a pipe would wait).

    Args:
        path: Links are followed: it is the user's own.
        cap: Bytes to read at most.

    Raises:
        OSError: There is one, and it cannot be read.
    """
    try:
        fd = os.open(path, _READ & ~getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NOCTTY", 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            return None
        raise
    with _Closing(fd, path):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        chunks, left = [], cap
        while left > 0 and (chunk := os.read(fd, min(left, 1 << 16))):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)


class Files:
    """Primitives on the files below `root`. Every method may raise `OSError`, with the path in it."""

    CAN_SYNC_ALL = sys.platform == "linux"
    """Whether the system waits until it is done; others return before."""

    def __init__(self, root: str, label: str, platform: Platform = PLATFORM) -> None:
        self.root = root
        self._label = label
        self._serial = 0
        self._platform = platform

    def path(self, key: str) -> str:
        """The absolute path of a key."""
        return f"{self.root}/{key}"

    def _way(self, key: str) -> str:
        """The absolute path of a key where something is about to change.

        Raises:
            StrangeFileError: A directory on the way is a symlink.
        """
        end = key.find("/")
        while end >= 0:
            if os.path.islink(f"{self.root}/{key[:end]}"):
                raise _linked(f"{self.root}/{key[:end]}")
            end = key.find("/", end + 1)
        return f"{self.root}/{key}"

    def read(self, key: str, cap: int = MAX_RECORD) -> Content | None:
        """The content of a regular file, or None when there is no such file.

        Raises:
            StrangeFileError: It is a symlink, no regular file, or larger than `cap` bytes.
        """
        path = self.path(key)
        try:
            fd = patiently(os.open, self._platform)(path, _READ)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise StrangeFileError(f"{path} is not a regular file", _STRANGE) from None
            raise
        with _Closing(fd, path):
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise StrangeFileError(f"{path} is not a regular file", _STRANGE)
            if status.st_size > cap:
                raise StrangeFileError(f"{path} has {status.st_size} bytes, more than any record", _STRANGE)
            chunks = []
            while chunk := os.read(fd, 1 << 16):
                chunks.append(chunk)
            return Content(b"".join(chunks), status.st_mtime)

    def status(self, key: str) -> os.stat_result | None:
        """`lstat` of a key; None when there is nothing."""
        try:
            return os.lstat(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, key: str) -> list[str]:
        """Names in a directory, unordered; none when it does not exist. A listing is no snapshot."""
        try:
            return os.listdir(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def write_temp(self, data: bytes, sync: bool) -> str:
        """Write a new file in `tmp/`, on disk when this returns if `sync`.

        Returns:
            Its key.
        """
        self._serial += 1
        key = f"tmp/{self._label}-{self._serial}"
        path = self._way(key)
        fd = os.open(path, _CREATE, 0o600)
        try:
            with _Closing(fd, path):
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                if sync:
                    _sync(fd)
        except OSError:
            self.unlink(key)  # a full disk needs no half files
            raise
        return key

    def link(self, temp: str, key: str) -> bool:
        """Publish a temporary file under a name that must not exist yet; False when it does. Consumes the file."""
        source, target = self._way(temp), self._way(key)
        try:
            patiently(os.link, self._platform)(source, target)
        except FileExistsError:
            patiently(os.unlink, self._platform)(source)
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS or os.path.lexists(target):
                raise
            patiently(os.rename, self._platform)(
                source, target
            )  # no hard links here; whoever calls holds the guard, so nobody comes between
            return True
        patiently(os.unlink, self._platform)(source)
        return True

    def replace(self, temp: str, key: str) -> None:
        """Publish a temporary file under a name, over what is there."""
        patiently(os.replace, self._platform)(self._way(temp), self._way(key))

    def rename(self, key: str, to: str) -> None:
        """Move a file within the directory."""
        patiently(os.rename, self._platform)(self._way(key), self._way(to))

    def unlink(self, key: str) -> bool:
        """Remove a file; False when it was already gone."""
        try:
            patiently(os.unlink, self._platform)(self._way(key))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def remove_empty(self, key: str) -> None:
        """Remove a directory if it is empty."""
        try:
            os.rmdir(self._way(key))
        except (OSError, StrangeFileError):
            pass  # not empty, or already gone: both are fine

    def remove_tree(self, key: str) -> None:
        """Remove a directory with all that is in it, links themselves and not what they lead to."""
        for name in self.names(key):
            below = f"{key}/{name}"
            status = self.status(below)
            if status is not None and stat.S_ISDIR(status.st_mode):
                self.remove_tree(below)
            else:
                self.unlink(below)
        self.remove_empty(key)

    def make_directory(self, key: str) -> None:
        """Make a directory (0700) and those above it, down from `root`; existing ones are fine."""
        path = self.root
        for part in ("", *key.split("/")):
            path = f"{path}/{part}" if part else path
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                if path != self.root and os.path.islink(path):
                    raise _linked(path) from None

    def touch(self, key: str) -> bool:
        """Set a file's mtime to now; False when there is no such file."""
        try:
            os.utime(self._way(key), follow_symlinks=_FOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def mark(self, key: str, seconds: float) -> None:
        """Give an empty file this mtime, in seconds since the epoch; it is made if there is none."""
        path = self._way(key)
        with _Closing(os.open(path, _APPEND, 0o600), path) as fd:
            os.utime(fd, (seconds, seconds))

    def append(self, key: str, line: bytes) -> None:
        """Add a line by one write. A crash may tear it, so nothing that matters is kept this way."""
        path = self._way(key)
        with _Closing(os.open(path, _APPEND, 0o600), path) as fd:
            os.write(fd, line)

    def append_bounded(self, key: str, line: bytes, cap: int) -> None:
        """The same for a file that may lose its older half: it is cut when it has more than `cap` bytes."""
        status = self.status(key)
        if status is not None and status.st_size > cap and (content := self.read(key, 2 * cap)) is not None:
            newer = content.data[len(content.data) // 2 :].partition(b"\n")[2]
            self.replace(self.write_temp(newer, sync=False), key)
        self.append(key, line)

    def disk_time(self) -> float:
        """The time by the file system's own clock, in seconds since the epoch: a file made just now tells it."""
        probe = self.write_temp(b"", sync=False)
        status = self.status(probe)
        self.unlink(probe)
        return status.st_mtime if status is not None else 0.0  # then nothing is old

    def sync_all(self) -> None:
        """Make all files durable that were written so far. Only where `CAN_SYNC_ALL`."""
        os.sync()

    def sync_directory(self, key: str) -> None:
        """Make the names in a directory durable. Worth nothing unless the files were synced first."""
        if self._platform == "windows":
            return  # a directory cannot be opened there, and its journal keeps names in order
        path = self.path(key)
        with _Closing(os.open(path, os.O_RDONLY), path) as fd:
            os.fsync(fd)


def _linked(path: str) -> StrangeFileError:
    return StrangeFileError(f"{path} is a symlink; state is never written through one", "remove the link")


_STRANGE = "nothing of ours looks like that: see what it is and remove it"


class _Closing:
    """Close a file in the end. The system names no path when a call on a descriptor fails, so this does."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            os.close(self._fd)
        except OSError as failed:
            failed.filename = self._path
            raise
        if isinstance(error, OSError):
            error.filename = error.filename or self._path


def _sync(fd: int) -> None:
    """Force a file to the disk. On macOS `fsync` stops at the drive's cache; F_FULLFSYNC goes through it."""
    try:
        import fcntl
    except ImportError:  # Windows
        os.fsync(fd)
        return
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(fd)
        return
    try:
        fcntl.fcntl(fd, full)
    except OSError:  # a file system that does not know it
        os.fsync(fd)
