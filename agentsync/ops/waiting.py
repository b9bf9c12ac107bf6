"""Standing in line: what `lock --wait`, `append --wait` and `claim-next --wait` share.

A waiter lays a record into `queue/`, watches the log, and whenever something has happened looks, without the guard,
whether it is its turn: nobody ahead in line wants the same, and all it wants can be had. Only then it takes the guard,
decides again, and takes what it wants together with dropping its record, in one transaction. Nobody else ever grants it
anything. What makes no event (a holder's death, the expiry of a lock) is found by looking again every second.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys, queue
from agentsync.core.changes import Drop, Put, Stamp, Write
from agentsync.core.records import Waiter
from agentsync.errors import AgentSyncError, GaveUpError, GuardTimeoutError, UsageError
from agentsync.ops import agents

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.core.locks import Request
    from agentsync.core.queue import Link
    from agentsync.core.records import Agent, Wanted
    from agentsync.ops.session import Session
    from agentsync.store.state import State
    from agentsync.store.transaction import Transaction

    Decide = Callable[[State, Stamp, Agent], "T | None"]
    """What it is for: the outcome when it can be had now, None when it cannot. Pure; also asked without the guard."""
    Commit = Callable[[Transaction, Agent, "T", tuple[Write, ...]], object]
    """Commits an outcome, in one event with the writes it is given: the waiter leaves the line with them."""

T = TypeVar("T")

FOREVER = float("inf")

MAX_SECONDS = 60 * 60 * 24 * 30

LOOK_S = 1.0
"""Seconds after which a waiter looks again although nothing seems to have happened."""

BEAT = timedelta(seconds=10)
"""Between two signs of life of somebody who waits."""


class Want(Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """What somebody waits for, and how it is had."""

    request: Request | None = None
    """The locks that are wanted; None = a task, whichever."""
    priority: int = 0
    decide: Decide[T]
    commit: Commit[T]

    def missing(self, state: State, agent_id: str) -> tuple[Wanted, ...]:
        """What one must stand in line for: the targets that one does not hold now."""
        return queue.missing(state, agent_id, self.request) if self.request is not None else ()


class GaveUp(Struct, frozen=True, gc=False):
    """It was not granted, and nobody waits any more."""

    cycle: tuple[Link, ...] = ()
    """Not empty: waiting would have closed this circle, so it never began."""


def wait(session: Session, want: Want[T], seconds: float, meanwhile: Callable[[], object] | None = None) -> T | GaveUp:
    """Take something as soon as it is one's turn.

    Args:
        session: Whose.
        want: What.
        seconds: How long to wait; 0 = only try, `FOREVER`.
        meanwhile: Called before each look, about every second.

    Raises:
        GaveUpError: The place in line was lost: the session has ended, or the state was deleted.
        UsageError: The time or the priority cannot be used.
    """
    place = join(session, want, seconds)
    if not isinstance(place, Place):
        return place
    try:
        from agentsync.store.watch import Follower  # its watcher takes 40 ms to import, and most need not wait

        end = time.monotonic() + seconds  # when the clock is set back, its time would come later, or never
        with Follower(session.store.files, place.revision) as follower:
            while (left := min(place.left(), end - time.monotonic())) > 0:
                follower.moved(min(left, LOOK_S))
                if meanwhile is not None:
                    meanwhile()
                outcome = place.look()
                if outcome is not None:
                    return outcome
        return GaveUp()
    finally:  # also when it is interrupted
        try:
            place.leave()
        except (AgentSyncError, OSError):
            pass  # what was said before counts; when this process ends, others skip whom they can prove dead


def join(session: Session, want: Want[T], seconds: float) -> T | GaveUp | Place[T]:
    """Take it at once if nobody is ahead, else stand in line. The arguments are those of `wait`."""
    if not 0 <= seconds <= MAX_SECONDS and seconds != FOREVER:
        raise UsageError(f"{seconds} seconds cannot be waited", f"give 0 to {MAX_SECONDS}, or none for no limit")
    if abs(want.priority) > queue.MAX_PRIORITY:
        raise UsageError(f"{want.priority} is no priority", f"give {-queue.MAX_PRIORITY} to {queue.MAX_PRIORITY}")
    store, runtime = session.store, session.runtime
    everywhere = store.config.worktrees == "deny"
    with store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        missing = tx.ask(lambda state, _: want.missing(state, me.id))  # under the guard: till then it may be lost
        stamp, process = tx.stamp, runtime.process(runtime.pid)
        waiter = Waiter(
            id=f"w-{stamp.revision}",
            wants="task" if want.request is None else "locks",
            agent=me.id,
            agent_name=me.name,
            targets=missing,
            mode=want.request.mode if want.request else "exclusive",
            reason=want.request.reason if want.request else None,
            priority=want.priority,
            created_at=stamp.now,
            until=None if seconds == FOREVER else stamp.now + timedelta(seconds=seconds),
            pid=runtime.pid,
            pid_start=process.start if process else None,
            boot_id=runtime.boot_id,
            pid_ns=runtime.pid_ns,
        )
        line = tx.ask(lambda state, _: state.line())
        if not queue.ahead(line, waiter, everywhere):
            outcome = tx.ask(lambda state, stamp: want.decide(state, stamp, me))
            if outcome is not None:
                want.commit(tx, me, outcome, gone(tx.state))
                return outcome
        circle = tx.ask(lambda state, _: queue.cycle(state, [*line, waiter], me.id, everywhere))
        if circle or seconds == 0:
            return GaveUp(circle)
        revision = tx.stamp.revision  # a repair may have come in between
        waiter = replace(waiter, id=f"w-{revision}")
        key = keys.waiter(revision, me.id)
        what = ", ".join(wanted.path for wanted in missing) or "a task"
        summary = f"{me.name} ({me.id}) waits for {what}"
        tx.commit("wait", summary, [Put(key, waiter), *gone(tx.state)])
        return Place(session, key, waiter, want)


def gone(state: State) -> tuple[Write, ...]:
    """Drops the records of those who left the line without a word. Whoever has the guard for a lock does that."""
    return tuple(
        Drop(key) for key, waiter in state.queue() if waiter.wants != "release" and not state.is_there(key, waiter)
    )


class Place(Generic[T]):
    """A place in line, from the event that laid the record until the one that drops it."""

    def __init__(self, session: Session, key: str, waiter: Waiter, want: Want[T]) -> None:
        self.key = key
        self.waiter = waiter
        self._session = session
        self._want = want
        self._everywhere = session.store.config.worktrees == "deny"
        self._known: dict[str, Waiter] = {}
        self._beaten = waiter.created_at

    @property
    def revision(self) -> int:
        """Of the event that laid the record."""
        return keys.revision_of(self.waiter.id, "w") or 0

    def left(self) -> float:
        """Seconds until it gives up."""
        until = self.waiter.until
        return FOREVER if until is None else (until - self._session.runtime.now()).total_seconds()

    def look(self) -> T | GaveUp | None:
        """Take it if it is our turn; None while it is not.

        Raises:
            GaveUpError: The place in line is lost.
        """
        self._beat()
        try:
            return self._take() if self._seems_ours() else None
        except GuardTimeoutError:
            return None  # somebody is slow; the next look comes in a second

    def leave(self) -> None:
        """Leave the line. Not being in it any more is fine."""
        store = self._session.store
        if store.files.status(self.key) is None:
            return
        with store.transaction(self._session.me.id, self._session.timeout) as tx:
            if store.files.status(self.key) is not None:
                tx.commit("give-up", f"{self.waiter.agent_name} ({self.waiter.agent}) waits no longer", [self._drop])

    @property
    def _drop(self) -> Drop:
        return Drop(self.key)

    def _beat(self) -> None:
        """A sign of life now and then: for those who cannot see this process, and for the agent's own locks."""
        now = self._session.runtime.now()
        if now - self._beaten >= BEAT:
            self._beaten = now
            self._session.store.files.touch(self.key)
            self._session.store.touch(self.waiter.agent)

    def _seems_ours(self) -> bool:
        """Whether the guard is worth taking. Dozens may look at once, so this reads as little as it can."""
        state = self._session.store.state()
        known = self._known = dict(state.queue(self._known))
        presence = state.presence(self.waiter.agent)
        if self.key not in known or presence is None:
            return True  # it is lost: `_take` says why
        names = {waiter.id: key for key, waiter in known.items()}
        others = queue.ahead(known.values(), self.waiter, self._everywhere)
        if any(state.is_in_line(names[other.id], other) for other in others):
            return False
        return self._want.decide(state, Stamp(state.now, 0, ""), presence.agent) is not None

    def _take(self) -> T | GaveUp | None:
        session = self._session
        if not session.store.exists():
            raise _lost("the state directory was deleted")
        with session.store.transaction(session.me.id, session.timeout) as tx:
            line = tx.ask(lambda state, _: dict(state.queue()))
            me = tx.state.presence(self.waiter.agent)
            if me is None or me.ended or me.status == "dead":
                tx.commit("give-up", f"{self.waiter.agent} has gone and waits no longer", [self._drop])
                raise _lost(f"{self.waiter.agent} has left the board")
            if self.key not in line:
                if self.left() <= 0:
                    return GaveUp()  # somebody else saw it first
                raise _lost("its record is gone")
            present = [waiter for key, waiter in line.items() if tx.state.is_in_line(key, waiter)]
            missing = tx.ask(lambda state, _: self._want.missing(state, me.agent.id))
            # Not what the record says: what was lost since then is not taken over the heads of those in line for it.
            if queue.ahead(present, replace(self.waiter, targets=missing), self._everywhere):
                return None
            outcome = tx.ask(lambda state, stamp: self._want.decide(state, stamp, me.agent))
            if outcome is not None:
                leaving = dict.fromkeys((self._drop, *gone(tx.state)))
                self._want.commit(tx, me.agent, outcome, tuple(leaving))
            return outcome


def _lost(why: str) -> GaveUpError:
    return GaveUpError(f"the place in line is lost: {why}", "ask again")
