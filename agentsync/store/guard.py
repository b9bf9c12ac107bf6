"""The guard: the one inter-process mutex of a store. Never call it a lock.

One file, one protocol: `flock` on `guard`. Calling sequence:

    with Guard(path).held(timeout=10.0, owns_signals=True): ...

An uncontended guard costs one `open` and one `flock`. When somebody else has it, a short-lived process of our own
(`owns_signals`, main thread) waits in a blocking `flock` under an interval timer: the kernel hands it over in the order
of arrival, where polling starves (32 writers: longest wait 0.11 s against 1.3 s). Library users, other threads and
Windows wait by `filelock` on the same file; the two exclude each other.

The file is empty, never deleted, never read. It may still be swapped or removed from outside, so after the `flock` the
file that we have is compared with the one that the path names.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agentsync.errors import GuardTimeoutError, UnusableError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOOK_TIMEOUT = 2.0
"""Seconds a hook waits. It then fails open, so an agent is never stopped by a stuck neighbour."""

CLI_TIMEOUT = 10.0
"""Seconds a command waits before it says who is in the way."""

REPEAT_S = 0.1
"""Seconds between alarms once the time is up."""

_FLAGS = (
    os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
)


class _TimeUpError(Exception):
    """Raised by the timer's handler: out of the blocking `flock`."""


class Guard:
    """The guard of the store whose guard file is `path`."""

    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def held(self, timeout: float, owns_signals: bool) -> Iterator[None]:
        """Hold the guard for the length of the block.

        Args:
            timeout: Seconds to wait at most.
            owns_signals: Whether this process is ours alone, so that SIGALRM and its timer may be used.

        Raises:
            GuardTimeoutError: Somebody else held it all that time; the message names their pid.
            UnusableError: The guard file is not a regular file.
        """
        release = self._acquire(timeout, owns_signals)
        try:
            yield
        finally:
            release()

    def _acquire(self, timeout: float, owns_signals: bool) -> Callable[[], object]:
        """Take the guard; returns what gives it back."""
        if fcntl is None:
            return self._by_filelock(timeout)
        while True:
            try:
                fd = os.open(self.path, _FLAGS, 0o600)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                    raise _not_a_file(self.path) from None
                raise
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise _not_a_file(self.path)
                if not _try_lock(fd):
                    if not owns_signals or not _in_main_thread():
                        os.close(fd)
                        fd = -1
                        return self._by_filelock(timeout)
                    self._wait_in_kernel(fd, timeout)
                if self._is_current(fd):
                    mine, fd = fd, -1
                    return lambda: _let_go(mine, self.path)
            except OSError as error:
                error.filename = error.filename or self.path  # a call on a descriptor names none
                raise
            finally:
                if fd >= 0:
                    os.close(fd)

    def _wait_in_kernel(self, fd: int, timeout: float) -> None:
        import signal

        waiting = True

        def stop(_signal: int, _frame: object) -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                raise _TimeUpError

        if timeout <= 0:
            raise self._too_late(timeout)
        previous = signal.signal(signal.SIGALRM, stop)
        try:
            # Again and again: an alarm that comes just before the call enters the kernel does not wake it.
            signal.setitimer(signal.ITIMER_REAL, timeout, REPEAT_S)
            fcntl.flock(fd, fcntl.LOCK_EX)
            waiting = False  # an alarm from here on is late; raised in the `finally`, it would leave the handler behind
        except _TimeUpError:
            raise self._too_late(timeout) from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    def _by_filelock(self, timeout: float) -> Callable[[], object]:
        from filelock import FileLock, Timeout  # 20 ms of imports that an uncontended guard never pays

        fds: list[int] = []
        lock = FileLock(
            self.path,
            timeout=timeout,
            poll_interval=0.005,
            fallback_to_soft=False,
            preserve_lock_file=True,
            mode=0o600,
            on_acquired=fds.append,
        )
        while True:
            try:
                lock.acquire()
            except Timeout:
                raise self._too_late(timeout) from None
            if fcntl is None or self._is_current(fds[-1]):
                return lock.release
            lock.release()

    def _is_current(self, fd: int) -> bool:
        """Whether the path still names the file we locked; if not, we guard nothing."""
        ours = os.fstat(fd)
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)

    def _too_late(self, timeout: float) -> GuardTimeoutError:
        holder = holder_of(self.path)
        who = f"process {holder} holds it" if holder else "another process holds it"
        return GuardTimeoutError(
            f"the guard {self.path} could not be had in {timeout:g} s: {who}",
            f"see what it does: ps -fp {holder}" if holder else "try again",
        )


def _let_go(fd: int, path: str) -> None:
    """Unlock, not only close: a process forked meanwhile has the same open file, and would keep it locked."""
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)
    except OSError as error:
        error.filename = path
        raise


def _not_a_file(path: str) -> UnusableError:
    return UnusableError(f"{path} is not a regular file", "see what it is and remove it")


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def holder_of(path: str) -> int | None:
    """The pid that holds a flock on `path`, from /proc/locks; None where that cannot be known."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="ascii") as table:
            for line in table:
                fields = line.split()
                if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode) and int(fields[4]) > 0:
                    return int(fields[4])
    except (OSError, IndexError, ValueError):
        return None
    return None
