"""Every order in which two sessions can make their file-system calls, one schedule at a time.

Two threads run an operation each and hand a baton: before each primitive a thread says what it is about to do and waits
until the controller lets it. So one primitive runs at a time, in an order that we choose, and a lock-free reader can
look at the directory between any two.

Orders that differ only in primitives that nobody can tell apart are one order. `explore` runs one representative
of each (dynamic partial-order reduction, Flanagan and Godefroid 2005): after a run, wherever two primitives of
different threads depend on each other, it also tries the other one first. Nothing is left out, and instead of some
10^15 schedules there are tens to hundreds.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from world import ClockFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from world import Clock

    from agentsync.store.files import Content

    Trace = list[tuple[int, "Step", frozenset[int]]]
    """Per step: which thread made it, what it was, and who could have gone on."""

PATIENCE_S = 60.0
"""Far more than a primitive takes; a thread that waits so long has lost the baton, and the test must not hang."""


class Step(NamedTuple):
    """One primitive that a thread is about to run."""

    name: str
    reads: str | None = None
    """The key it looks at; with a trailing slash, a whole directory."""
    changes: tuple[str, ...] = ()
    """The keys it makes, changes or removes."""


_GUARD = ("guard", "release")


def dependent(a: Step, b: Step) -> bool:
    """Whether the order of two primitives can make a difference.

    That of two changes always can: to the reader who looks in between.
    """
    if a.name in _GUARD or b.name in _GUARD:
        return a.name in _GUARD and b.name in _GUARD
    if a.changes and b.changes:
        return True
    return (a.reads is not None and any(_meet(a.reads, key) for key in b.changes)) or (
        b.reads is not None and any(_meet(b.reads, key) for key in a.changes)
    )


def _meet(a: str, b: str) -> bool:
    return a == b or (a.endswith("/") and b.startswith(a)) or (b.endswith("/") and a.startswith(b))


class Stopped(BaseException):
    """Ends a thread whose schedule is over."""


class Schedule:
    """One run: who may do its next primitive. Threads call `pause`, the controller `run`."""

    def __init__(self) -> None:
        self._mutex = threading.Condition()
        self._waiting: dict[int, Step] = {}
        self._allowed: int | None = None
        self._finished: set[int] = set()
        self._stopped = False
        self._guard_holder: int | None = None

    # ------------------------------------------------------------ called by the threads
    def pause(self, thread: int, step: Step) -> None:
        """Wait for the baton."""
        with self._mutex:
            self._waiting[thread] = step
            self._allowed = None
            self._mutex.notify_all()
            if not self._mutex.wait_for(lambda: self._allowed == thread or self._stopped, PATIENCE_S):
                raise AssertionError(f"thread {thread} waits for {step} in vain")
            if self._stopped:
                raise Stopped
            del self._waiting[thread]

    @contextmanager
    def guard(self, thread: int) -> Iterator[None]:
        """The guard, as a primitive that is enabled while nobody holds it."""
        self.pause(thread, Step("guard"))
        assert self._guard_holder is None
        self._guard_holder = thread
        try:
            yield
        finally:
            if not self._stopped:
                self.pause(thread, Step("release"))
            self._guard_holder = None

    def finish(self, thread: int) -> None:
        """Say that a thread has nothing left to do."""
        with self._mutex:
            self._finished.add(thread)
            self._waiting.pop(thread, None)
            self._allowed = None
            self._mutex.notify_all()

    # ------------------------------------------------------------ called by the controller
    def run(self, acts: Sequence[Callable[[], object]], prefix: Sequence[int], look: Callable[[], None]) -> Run:
        """Run the threads: first in the order of `prefix`, then one after the other as far as the guard lets them.

        Args:
            acts: What each thread does.
            prefix: Which thread makes the first, second, … step.
            look: Called after every step that changes something, with all threads standing still.
        """
        results: list[Any] = [None] * len(acts)
        threads = [
            threading.Thread(target=self._live, args=(number, act, results), daemon=True)
            for number, act in enumerate(acts)
        ]
        for thread in threads:
            thread.start()
        trace: Trace = []
        try:
            while True:
                enabled = self._standing_still(len(acts))
                if not enabled:
                    break
                last = trace[-1][0] if trace else 0
                chosen = prefix[len(trace)] if len(trace) < len(prefix) else last if last in enabled else min(enabled)
                assert chosen in enabled, "the prefix of a schedule cannot be repeated: a run is not deterministic"
                step = self._waiting[chosen]
                trace.append((chosen, step, frozenset(enabled)))
                with self._mutex:
                    self._allowed = chosen
                    self._mutex.notify_all()
                if step.changes:
                    self._standing_still(len(acts))
                    look()
        finally:
            with self._mutex:
                self._stopped = True
                self._mutex.notify_all()
            for thread in threads:
                thread.join(PATIENCE_S)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return Run(trace, results)

    def _live(self, number: int, act: Callable[[], object], results: list[Any]) -> None:
        try:
            results[number] = act()
        except Stopped:
            pass
        except BaseException as error:
            results[number] = error
        self.finish(number)

    def _standing_still(self, threads: int) -> set[int]:
        """Wait until no thread runs; returns those that can go on."""
        with self._mutex:
            standing = self._mutex.wait_for(
                lambda: self._allowed is None and len(self._waiting) + len(self._finished) == threads, PATIENCE_S
            )
            assert standing, f"a thread is stuck outside of any primitive; waiting: {self._waiting}"
            free = {t for t, step in self._waiting.items() if step.name != "guard" or self._guard_holder is None}
            assert free or not self._waiting, f"deadlock: {self._waiting}"
            return free


class Run(NamedTuple):
    """What happened in one schedule."""

    trace: Trace
    results: list[Any]
    """What each thread's act returned."""


def explore(run: Callable[[Sequence[int]], Run], limit: int) -> int:
    """Run every schedule of two threads, up to the order of independent primitives.

    Args:
        run: Runs the schedule that begins with the given choices, from a fresh start, and checks it.
        limit: More schedules than this are an error of the test, not a reason to stop early.

    Returns:
        How many there were.
    """
    stack: list[tuple[int, set[int], set[int]]] = []  # per depth: choice, still to try, tried
    schedules = 0
    while True:
        trace = run([choice for choice, _, _ in stack]).trace
        schedules += 1
        assert schedules <= limit, f"more than {limit} schedules"
        for chosen, _, _ in trace[len(stack) :]:
            stack.append((chosen, set(), {chosen}))
        for before, thread in _reversible(trace):
            enabled = trace[before][2]
            stack[before][1].update({thread} if thread in enabled else enabled)
        while stack and not stack[-1][1] - stack[-1][2]:
            stack.pop()
        if not stack:
            return schedules
        _, wanted, tried = stack.pop()
        choice = min(wanted - tried)
        stack.append((choice, wanted, tried | {choice}))


def _reversible(trace: Trace) -> Iterator[tuple[int, int]]:
    """Where the other thread should go first, and which that is: for each step the last one that it races with.

    Two steps race if they touch the same file and nothing in between forces their order. A release forces the order of
    what comes before it and of what comes after the next guard; with it no guard can change places.
    """
    forced = [-1, -1]
    for now, (thread, step, _) in enumerate(trace):
        met = [b for b in range(forced[thread] + 1, now) if trace[b][0] != thread and dependent(trace[b][1], step)]
        racing = [b for b in met if trace[b][1].name != "release"]
        if racing:
            yield racing[-1], thread
        if met:
            forced[thread] = met[-1]


class BatonFiles(ClockFiles):
    """Real files; before each primitive the thread waits for the baton."""

    def __init__(self, root: str, clock: Clock, schedule: Schedule, thread: int) -> None:
        super().__init__(root, clock)
        self._schedule = schedule
        self._thread = thread

    def _pause(self, name: str, reads: str | None = None, changes: tuple[str, ...] = ()) -> None:
        self._schedule.pause(self._thread, Step(name, reads, changes))

    def read(self, key: str, cap: int = 1 << 20) -> Content | None:
        self._pause("read", reads=key)
        return super().read(key, cap)

    def status(self, key: str) -> os.stat_result | None:
        self._pause("status", reads=key)
        return super().status(key)

    def names(self, key: str) -> list[str]:
        self._pause("names", reads=f"{key}/")
        return super().names(key)

    def write_temp(self, data: bytes, sync: bool) -> str:
        # Nobody else knows the name, and whoever lists `tmp/` looks for old files only: no order matters.
        return super().write_temp(data, sync=False)

    def link(self, temp: str, key: str) -> bool:
        self._pause("link", changes=(key,))
        return super().link(temp, key)

    def replace(self, temp: str, key: str) -> None:
        self._pause("replace", changes=(key,))
        super().replace(temp, key)

    def rename(self, key: str, to: str) -> None:
        self._pause("rename", changes=(key, to))
        super().rename(key, to)

    def unlink(self, key: str) -> bool:
        self._pause("unlink", changes=(key,))
        return super().unlink(key)

    def remove_empty(self, key: str) -> None:
        self._pause("remove_empty", changes=(key, f"{key}/"))
        super().remove_empty(key)

    def make_directory(self, key: str) -> None:
        self._pause("make_directory", changes=(key,))
        super().make_directory(key)

    def touch(self, key: str) -> bool:
        self._pause("touch", changes=(key,))
        return super().touch(key)

    def append(self, key: str, line: bytes) -> None:
        self._pause("append", changes=(key,))
        super().append(key, line)

    def sync_directory(self, key: str) -> None:
        """Nothing that anybody could see."""
