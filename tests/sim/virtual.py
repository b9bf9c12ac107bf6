"""Virtual time, and the coroutines that live in it: a discrete-event simulator for code that blocks.

    time = VirtualTime()
    time.start(lambda: (time.sleep(3), print(time.monotonic())))
    time.run()

The protocol is written as any command is: it asks, waits, and goes on. So each virtual machine is a thread, and one
baton goes round: whoever sleeps hands it to whoever wakes next, by the virtual clock. Only one thread ever runs, nothing
really waits, and what happens depends on nothing but the seed.
"""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STACK_BYTES = 1 << 20
"""Of each thread: there may be hundreds."""


class EndOfTimeError(BaseException):
    """Raised out of a sleep that nobody will wake from. Not an `Exception`: no protocol code swallows it."""


class Coroutine:
    """One thread, and its place to wait for the baton."""

    def __init__(self, time: VirtualTime, work: Callable[[], object]) -> None:
        self.baton = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._time = time
        self._work = work

    def _run(self) -> None:
        self.baton.acquire()
        try:
            if not self._time.is_over:
                self._work()
        except EndOfTimeError:
            pass  # the run is over, and this one was in the middle of something
        except BaseException as error:  # told to whoever called `run`
            self._time.failure = self._time.failure or error
        self._time._hub.release()


class VirtualTime:
    """What the time is, who sleeps until when. Stands in for the module `time`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, int, Coroutine]] = []
        self._serial = 0
        self._all: list[Coroutine] = []
        self._running: Coroutine | None = None
        self._hub = threading.Semaphore(0)
        self.failure: BaseException | None = None
        self.is_over = False

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let others act for so long. Before and after `run`, nobody else is there and no time passes."""
        me = self._running
        if self.is_over and me is not None:
            raise EndOfTimeError
        if me is None:
            return
        self._wake(me, seconds)
        self._hub.release()
        me.baton.acquire()
        if self.is_over:
            raise EndOfTimeError

    def start(self, work: Callable[[], object], after: float = 0.0) -> None:
        """Add a coroutine that begins so many seconds from now."""
        made = Coroutine(self, work)
        self._all.append(made)
        self._wake(made, after)

    def _wake(self, who: Coroutine, seconds: float) -> None:
        self._serial += 1  # of those that wake at the same time, the first to fall asleep
        heapq.heappush(self._sleepers, (self._now + seconds, self._serial, who))

    def run(self, until: float = float("inf"), is_enough: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until nobody is left, or until a time; then whoever still sleeps is ended.

        Raises:
            BaseException: What a coroutine raised first.
        """
        before = threading.stack_size(STACK_BYTES)
        for one in self._all:
            one.thread.start()
        threading.stack_size(before)
        while self._sleepers and self.failure is None and self._sleepers[0][0] <= until and not is_enough():
            self._now, _, self._running = heapq.heappop(self._sleepers)
            self._pass(self._running)
        self.is_over = True
        for one in self._all:
            self._running = one
            while one.thread.is_alive():  # what it does on its way out may want to sleep, too
                one.baton.release()
                one.thread.join(timeout=0.2)
        self._running = None
        if self.failure is not None:
            raise self.failure

    def _pass(self, who: Coroutine) -> None:
        who.baton.release()
        self._hub.acquire()
