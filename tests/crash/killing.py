"""A process killed before a system call of our choice, and what must be true of the directory it leaves behind.

The process is a fork of the test. In the fork the store's modules see an `os` (and `fcntl`) that counts calls and, at
the k-th, ends the process by `os._exit`: no `finally` runs, no buffer is flushed, the kernel drops the flock. That is
what `kill -9` at the entry of the call does; `test_kill_points.py` cross-checks it with strace on real processes.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import shutil
import types
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from invariants import check_replay, check_store, history, plain
from rounds import LONG

from agentsync.core.locks import Granted, conflicting
from agentsync.store import compact, files, guard, log, setup, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from world import World

KILLED = 137

CHANGING = frozenset(
    {
        "open",
        "write",
        "link",
        "rename",
        "replace",
        "unlink",
        "mkdir",
        "makedirs",
        "rmdir",
        "utime",
        "chmod",
        "ftruncate",
    }
)
"""Calls that may change the disk; `open` only when it creates."""

CALLS = CHANGING | {"read", "close", "fsync", "stat", "lstat", "fstat", "listdir"}


class Deadly(types.ModuleType):
    """A module whose named functions are counted; the process dies instead of making the `fatal`-th call."""

    def __init__(self, real: types.ModuleType, names: frozenset[str], counter: Counter) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _names=names, _counter=counter)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._names:
            return found

        def counted(*args: Any, **options: Any) -> Any:
            self._counter.tick(name, args)
            return found(*args, **options)

        return counted


class Counter:
    """Counts calls, and ends the process at one of them."""

    def __init__(self, fatal: int, only_changing: bool) -> None:
        self.seen = 0
        self._fatal = fatal
        self._only_changing = only_changing

    def tick(self, name: str, args: tuple[Any, ...]) -> None:
        if self._only_changing and name == "open" and not _creates(args[1]):
            return
        self.seen += 1
        if self.seen == self._fatal:
            os._exit(KILLED)


def _creates(how: int | str) -> bool:
    return "w" in how if isinstance(how, str) else bool(how & os.O_CREAT)


def kill_before(
    fatal: int, act: Callable[[], object], only_changing: bool = False, more: tuple[types.ModuleType, ...] = ()
) -> bool:
    """Run `act` in a process that is killed before its `fatal`-th call; False when it finished before that.

    Calls of the store are counted, and those of `more` modules, which write outside of it.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: other threads, as pytest-xdist has, may hold locks
        pid = os.fork()
    if pid == 0:
        try:
            counter = Counter(fatal, only_changing)
            deadly = Deadly(os, CHANGING if only_changing else CALLS, counter)
            for module in (files, guard, store, setup, compact, *more):
                module.os = deadly  # type: ignore[attr-defined]
            for module in more:
                module.open = Deadly(builtins, frozenset({"open"}), counter).open  # type: ignore[attr-defined]
            guard.fcntl = Deadly(fcntl, frozenset({"flock"}), counter)
            act()
            os._exit(0)
        except BaseException as error:
            os.write(writer, repr(error).encode()[:4000])
        finally:
            os._exit(3)
    os.close(writer)
    with open(reader, "rb") as pipe:
        complaint = pipe.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, KILLED), f"before call {fatal} it was not killed but failed: {complaint}"
    return code == KILLED


class Snapshot:
    """The content of a state directory, put back in place: a copy beside it would be another store."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._spare = state.parent.parent / f"snapshot-{len(list(state.parent.parent.iterdir()))}"
        self._folders = {path for path in state.rglob("*") if path.is_dir()} if state.exists() else set()
        self._marks: dict[str, tuple[int, ...]] = {}
        self._existed = state.exists()
        if self._existed:
            # Events are never written to, so a second name keeps one; what may be touched is kept as a copy.
            shutil.copytree(state, self._spare, copy_function=_keep)
            self._marks = dict(_marks(state))

    def restore(self) -> None:
        """Make the directory what it was; files that nobody touched are left alone."""
        if not self._existed:
            shutil.rmtree(self._state.parent, ignore_errors=True)
            return
        present = dict(_marks(self._state))
        for path, mark in present.items():
            if self._marks.get(path) != mark:
                os.unlink(path)
        for folder in sorted((path for path in self._state.rglob("*") if path.is_dir()), reverse=True):
            if folder not in self._folders:
                folder.rmdir()
        for folder in sorted(self._folders):
            folder.mkdir(mode=0o700, exist_ok=True)
        for path, mark in self._marks.items():
            if present.get(path) != mark:
                _keep(f"{self._spare}{path.removeprefix(str(self._state))}", path)
                self._marks[path] = _mark(path)


def _keep(path: str, to: str) -> None:
    if "/log/" in path:
        os.link(path, to)
    else:
        shutil.copy2(path, to)


def _marks(state: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for folder, _, names in os.walk(state):
        for name in names:
            yield f"{folder}/{name}", _mark(f"{folder}/{name}")


def _mark(path: str) -> tuple[int, ...]:
    """What tells a file from what it was. An inode's number is given away again, and on the clock of a test sizes and
    times of modification repeat; the time of change is the system's own.
    """
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def content(state: Path) -> list[tuple[str, bytes]]:
    """All that a later process could learn from the directory; random names in `tmp/` do not count."""
    found = [(path.relative_to(state).as_posix(), path.read_bytes()) for path in state.rglob("*") if path.is_file()]
    return sorted((key if not key.startswith("tmp/") else "tmp/", data) for key, data in found)


class Aftermath(NamedTuple):
    """How a series of kills went."""

    kills: int
    """Kill points: calls before which the process was killed."""
    states: int
    """Different directories that the kills left behind, each checked."""


def kill_everywhere(world: World, act: Callable[[], object], only_changing: bool = not LONG) -> Aftermath:
    """Kill `act` before every call that it makes, from the same start each time, and check what is left.

    By default before each that may change the disk: a kill before any other leaves what the next of those finds.

    The last round finishes, and what it did must be there: it was acknowledged.
    """
    start = Snapshot(world.state)
    known = [plain(event) for event in history(world.state)]
    expected = _reference(world, start, act)
    kills = 0
    checked: list[list[tuple[str, bytes]]] = []
    while True:
        start.restore()
        killed = kill_before(kills + 1, act, only_changing)
        left = content(world.state)
        if not killed or left not in checked:
            checked.append(left)
            try:
                check_after(world, known, expected, acknowledged=not killed)
            except BaseException as error:
                error.add_note(f"{'killed' if killed else 'finished'} before call {kills + 1}")
                raise
        if not killed:
            return Aftermath(kills, len(checked))
        kills += 1


def _reference(world: World, start: Snapshot, act: Callable[[], object]) -> list[dict[str, Any]]:
    """The events of a run that nobody kills, before and during `act`."""
    assert not kill_before(1 << 30, act)
    events = [plain(event) for event in check_replay(world.state)]
    start.restore()
    return events


def leave_half_done(world: World, act: Callable[[], object], until: Callable[[], bool]) -> None:
    """Kill `act` at the first call before which the disk is as `until` says."""
    start = Snapshot(world.state)
    fatal = 1
    while kill_before(fatal, act):
        if until():
            return
        start.restore()
        fatal += 1
    raise AssertionError("it never came to that")


def check_after(world: World, known: list[dict[str, Any]], expected: list[dict[str, Any]], acknowledged: bool) -> None:
    """Readers and the next writer get on with what a killed process left behind, and it is all or nothing.

    Args:
        world: The repository.
        known: Events that were acknowledged before the killed process began.
        expected: Those, and the ones of a whole run.
        acknowledged: Whether the process finished.
    """
    assert board(world) == board(world), "two looks at the same directory differ"
    assert isinstance(world.agent("next").locks("a-file-of-the-next-writer"), Granted)
    check_store(world.state)
    events = [plain(event) for event in check_replay(world.state)]
    done = [event for event in events if event["actor"] != "next"]
    assert done[: len(known)] == known, "an acknowledged event is lost"
    assert done == expected[: len(done)], "what was done is no prefix of what a whole run does"
    assert not acknowledged or done == expected, "an acknowledged change is not there"
    assert not (world.state / "intent.json").exists()


def board(world: World) -> tuple[object, ...]:
    """What a reader sees. It must not fail, find anything damaged, or see two live holders of one path."""
    looking = world.agent("reader").session.store
    state = looking.state()
    agents, locks, tasks, decisions = state.presences(), state.locks(), state.tasks(), state.decisions()
    live = [held.lock for held in locks if held.live]
    assert not any(conflicting(a, b) for i, a in enumerate(live) for b in live[:i])
    assert state.damaged == {}
    assert state.newer == set()
    revisions = [event.rev for event in log.since(looking.files, 0)]
    assert revisions == list(range(1, looking.revision() + 1))
    return agents, locks, tasks, decisions, revisions
