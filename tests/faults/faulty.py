"""A system whose calls fail: the modules of the store see an `os` and an `fcntl` that fail where a test says so.

Every call is counted; the chosen one raises an errno of our choice instead of being made. A *lasting* fault makes all
later changes fail too, as a disk that is full or was remounted does (a full one still removes files). A *late* fault makes
the call and then reports that it failed, as a network file system does whose answer got lost.
"""

from __future__ import annotations

import errno
import fcntl
import os
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from agentsync.store import compact, files, guard, setup, store

if TYPE_CHECKING:
    from collections.abc import Iterator

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE, errno.EROFS, errno.EINTR)

CHANGES = frozenset({"open", "write", "fsync", "link", "rename", "replace", "unlink", "mkdir", "makedirs", "utime"})

CALLS = CHANGES | {"rmdir", "read", "close", "stat", "lstat", "fstat", "listdir"}


class Fault(NamedTuple):
    """What goes wrong."""

    call: int
    """Which call fails, counted from 1; 0 = none."""
    error: int = errno.EIO
    lasting: bool = False
    late: bool = False


class Faulty:
    """Counts calls and fails some of them."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.made: list[str] = []
        """The names of all calls so far."""
        self.failed: list[str] = []
        """What was refused: the call, and the path or descriptor it was about."""

    def call(self, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        changes = name in CHANGES and not (name == "open" and not args[1] & os.O_CREAT)
        self.made.append(name if changes or name not in CHANGES else "look")
        if not self._fails(name, changes):
            return function(*args, **options)
        self.failed.append(f"{name} {args[0]}")
        if name == "close" or self.fault.late:
            made = function(*args, **options)  # no system keeps a descriptor open that it could not close
            if name == "open":
                os.close(made)
        error = self.fault.error
        raise OSError(error, os.strerror(error), *(args[:1] if isinstance(args[0], str) else ()))

    def _fails(self, name: str, changes: bool) -> bool:
        if self.fault.lasting:
            needs_room = name not in ("unlink", "utime") or self.fault.error != errno.ENOSPC
            return changes and needs_room and 0 < self.fault.call <= len(self.made)
        return len(self.made) == self.fault.call


class Proxy(types.ModuleType):
    """A module whose named functions go through an object that counts, fails or records them."""

    def __init__(self, real: types.ModuleType, names: frozenset[str], through: Any) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _names=names, _through=through)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._names:
            return found
        return lambda *args, **options: self._through.call(name, found, args, options)


@contextmanager
def calls_go_through(through: Any) -> Iterator[None]:
    """Every system call of the store's modules goes through `through.call(name, function, args, options)`."""
    system, locking = Proxy(os, CALLS, through), Proxy(fcntl, frozenset({"flock"}), through)
    modules = (files, guard, store, setup, compact)
    try:
        for module in modules:
            module.os = system  # type: ignore[attr-defined]
        guard.fcntl = locking
        yield
    finally:
        for module in modules:
            module.os = os  # type: ignore[attr-defined]
        guard.fcntl = fcntl


@contextmanager
def faults(fault: Fault) -> Iterator[Faulty]:
    """The store's modules on a system with a fault."""
    faulty = Faulty(fault)
    with calls_go_through(faulty):
        yield faulty


def open_files() -> set[str]:
    """What this process has open below a state directory: the guard, for example, when it was not let go of."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the descriptor of this very listing
        if "/coordination/" in target:
            found.add(target)
    return found
