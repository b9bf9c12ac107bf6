"""The only module that asks the machine: clock, randomness, environment, processes.

Everything above takes a `Runtime`, so that a test can move time and kill processes by hand. All facts are read from
plain files or single system calls; nothing here spawns a process.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Letters of generated ids: 32 of them, none that is mistaken for another when read aloud."""

INTERPRETERS = ("node", "bun", "deno")
"""What clients are run by that are scripts."""

Life = Literal["alive", "dead", "unknown"]
Platform = Literal["posix", "windows"]
PLATFORM: Platform = "windows" if os.name == "nt" else "posix"


class Process(Struct, frozen=True, gc=False):
    """A process as a proof of life needs it: a pid alone may be reused."""

    pid: int
    start: int | None
    """Clock ticks between boot and the start of the process (field 22 of /proc/PID/stat); None where unknown."""
    stopped: bool = False
    """By a signal, as Ctrl-Z sends it, or a debugger: it lives, and does nothing."""


class Runtime:
    """This machine, this process, now."""

    def __init__(self, env: Mapping[str, str] | None = None, cwd: str | None = None) -> None:
        self.env: Mapping[str, str] = os.environ if env is None else env
        self._cwd = cwd

    @property
    def cwd(self) -> str:
        """The working directory, also when it has been deleted meanwhile (then `PWD`, else `/`)."""
        if self._cwd is not None:
            return self._cwd
        try:
            return os.getcwd()
        except OSError:  # deleted under our feet; absolute paths still make sense
            return self.env.get("PWD") or os.sep

    def now(self) -> datetime:
        """The wall clock, UTC, in milliseconds: what records are stamped with."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def random_id(self, length: int) -> str:
        """`length` random characters of `ALPHABET`, five bits each."""
        return "".join(ALPHABET[byte & 31] for byte in os.urandom(length))

    @property
    def platform(self) -> Platform:
        """What kind of system this is, where it makes a difference: what starts hooks, how files move."""
        return PLATFORM

    @property
    def pid(self) -> int:
        """The pid of this process."""
        return os.getpid()

    @cached_property
    def uid(self) -> int | None:
        """The effective user id; None on Windows, where files have no such owner."""
        return os.geteuid() if hasattr(os, "geteuid") else None

    @cached_property
    def host(self) -> str:
        """The machine's name."""
        return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")

    @cached_property
    def boot_id(self) -> str | None:
        """Identifies this boot of this kernel; None where the system has no such thing."""
        return _first_line("/proc/sys/kernel/random/boot_id")

    @cached_property
    def pid_ns(self) -> str | None:
        """Identifies the pid namespace. A pid of another namespace looks dead from here although it lives."""
        try:
            return os.readlink("/proc/self/ns/pid")
        except OSError:
            return None

    def process(self, pid: int) -> Process | None:
        """The live process with this pid, or None. A zombie is dead: it will never write again.

        Raises:
            OSError: It cannot be looked up: no descriptor is free, or somebody hides it.
        """
        stat = _stat_fields(pid)
        if stat is not None:
            return None if stat[0] in "ZX" else Process(pid, int(stat[19]), stat[0] in "Tt")
        if os.path.isdir("/proc/self"):
            return None
        return Process(pid, None) if _signalable(pid) else None

    def life_of(self, pid: int | None, start: int | None, boot_id: str | None, pid_ns: str | None) -> Life:
        """Whether the recorded process lives, is dead for certain, or cannot be seen from here.

        Proof needs all three facts: the same boot, the same pid namespace, and a pid that is gone or was given to
        another process. Anything less says nothing: from inside a container every outer pid looks dead, and without
        a free descriptor every pid does.
        """
        if pid is None or start is None or boot_id is None or pid_ns is None:
            return "unknown"
        if boot_id != self.boot_id or pid_ns != self.pid_ns:
            return "unknown"
        try:
            process = self.process(pid)
        except OSError:
            return "unknown"
        return "alive" if process is not None and process.start == start else "dead"

    def is_stopped(self, pid: int) -> bool:
        """Whether a process that lives was stopped (Ctrl-Z) and not continued yet."""
        try:
            process = self.process(pid)
        except OSError:
            return False
        return process is not None and process.stopped

    def ancestors(self) -> Iterator[tuple[int, str]]:
        """`(pid, program name)` of the parent, its parent, and so on; nothing where /proc is not there."""
        pid = os.getppid()
        for _ in range(64):
            try:
                stat = _stat_fields(pid)
            except PermissionError:  # hidden, as other users' processes may be
                return
            if pid <= 1 or stat is None:
                return
            yield pid, _first_line(f"/proc/{pid}/comm") or ""
            pid = int(stat[1])

    def runs(self, pid: int, program: str) -> bool:
        """Whether a process runs a program: under that name, or as a script of that name that an interpreter runs.

        Not by the file that it executes: that of a client may also be its sandbox, with another first argument.
        """
        words = _arguments(pid)
        names = [_first_line(f"/proc/{pid}/comm") or "", os.path.basename(words[0]) if words else ""]
        if any(name.startswith(INTERPRETERS) for name in names):
            script = next((word for word in words[1:] if not word.startswith("-")), "")
            names.append(re.sub(r"\.[cm]?js$", "", os.path.basename(script)))
        return program in names

    def terminal_key(self) -> str:
        """A text that is the same for every command of one login or terminal session and differs between two.

        The session leader with its start time: two terminals of one person are two agents.
        """
        if not hasattr(os, "getsid"):
            return f"{self.host}:{os.getppid()}"
        leader = os.getsid(0)
        try:
            stat = _stat_fields(leader) if leader else None
        except PermissionError:  # hidden, now and in every other command of the session
            stat = None
        return f"{self.host}:{self.boot_id}:{self.pid_ns}:{self.uid}:{leader}:{stat[19] if stat else ''}"

    def is_terminal(self, fd: int) -> bool:
        """Whether a person is looking at this file descriptor."""
        try:
            return os.isatty(fd)
        except OSError:
            return False

    @property
    def python(self) -> str:
        """The interpreter that runs us, absolute, the virtual environment's own name kept."""
        return sys.executable


def _first_line(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip() or None
    except OSError:
        return None


def _arguments(pid: int) -> list[str]:
    """The beginning of a process's command line; empty when it cannot be read."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(4096).decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on; None when there is no such process.

    The program's name before them may hold spaces and parentheses. Any other failure is no proof of death, so it is the
    caller's to judge.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended between opening and reading
        return None


def _signalable(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # EPERM: it lives, and belongs to somebody else
    return True
