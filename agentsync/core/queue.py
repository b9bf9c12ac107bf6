"""The line: who waits, in which order, and who would wait for whom in a circle.

Nobody grants for another: each waiter takes what it wants when nobody ahead of it in line wants the same and all of it
can be had. So a waiter that has left is never granted anything, and one that is there is granted everything once.
Requests (`wants="release"`) lie in the same directory but stand in no line: nobody waits behind them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys, locks
from agentsync.core.changes import Drop, Stamp, Write, merged, notices
from agentsync.core.locks import Conflict, Granted
from agentsync.core.paths import Target, overlap, reach_overlap, target_of
from agentsync.core.records import Waiter, Wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from agentsync.core.lease import Held, Life, Presence
    from agentsync.core.locks import Board, Request
    from agentsync.core.records import Agent, Lock, Mode

MAX_PRIORITY = 1000
"""Points. Also the minutes of waiting after which nobody, however important, comes first any more."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""When waiters came at the earliest and at the latest, whatever their records say."""

SILENCE = timedelta(seconds=30)
"""Silence after which a waiter whose process cannot be seen from here has gone."""

REQUEST_AGE = timedelta(days=1)
"""Age at which a request that nobody answered is dropped."""


class Link(Struct, frozen=True, kw_only=True, gc=False):
    """One agent waits for another."""

    agent: str
    agent_name: str
    path: str
    """What it wants."""
    of: str
    of_name: str
    held: bool
    """The other holds it; else, it is ahead in line for it."""


# ---------------------------------------------------------------- the line
def order(waiter: Waiter) -> tuple[datetime, int]:
    """Where somebody stands: the smaller, the sooner.

    A point of priority counts like having come a minute earlier. So whoever waits longer than the other's priority in
    minutes cannot be overtaken any more: nobody starves.
    """
    points = max(-MAX_PRIORITY, min(waiter.priority, MAX_PRIORITY))
    came = min(max(waiter.created_at, EARLIEST), LATEST)
    return came - timedelta(minutes=points), keys.revision_of(waiter.id, "w") or 0


def ahead(line: Iterable[Waiter], waiter: Waiter, all_worktrees: bool) -> list[Waiter]:
    """Those of `line` who come before `waiter` and whose request excludes its own, first come first.

    Args:
        line: Waiters, perhaps with `waiter` among them.
        waiter: Who asks.
        all_worktrees: Whether worktrees exclude each other.
    """
    place = order(waiter)
    found = [w for w in line if order(w) < place and contends(w, waiter, all_worktrees)]
    return sorted(found, key=order)


def contends(a: Waiter, b: Waiter, all_worktrees: bool) -> bool:
    """Whether two waiters cannot both have what they want. Whatever task there is, two cannot have it."""
    if a.agent == b.agent or a.wants != b.wants or a.wants == "release":
        return False
    return a.wants == "task" or _meet(a, b, all_worktrees) is not None


def _meet(a: Waiter, b: Waiter, all_worktrees: bool) -> Target | None:
    """A target of `b` that `a` wants too and will not share."""
    if a.mode == b.mode == "shared":
        return None
    theirs = [target_from(wanted) for wanted in a.targets]
    for target in map(target_from, b.targets):
        for other in theirs:
            if (all_worktrees or reach_overlap(target, other)) and overlap(target, other):
                return target
    return None


def is_live(waiter: Waiter, seen: datetime, life: Life, agent: Presence | None, now: datetime) -> bool:
    """Whether somebody is there who waits, and will take it once it goes on, if it was stopped.

    Args:
        waiter: The record.
        seen: Its last sign of life.
        life: What is known of the waiting process.
        agent: The agent for whom it waits; nothing is granted to one that has gone.
        now: The time.
    """
    if waiter.wants == "release" or (waiter.until is not None and now >= waiter.until):
        return False
    if agent is None or agent.ended or agent.status == "dead":
        return False
    return life in ("alive", "stopped") or (life == "unknown" and now - max(seen, waiter.created_at) < SILENCE)


def wanted(target: Target) -> Wanted:
    """A target as a record keeps it."""
    return Wanted(scope=target.scope, path=target.path, worktree=target.worktree, everywhere=target.everywhere)


def target_from(wanted: Wanted) -> Target:
    """The target that a record tells of."""
    return Target(scope=wanted.scope, path=wanted.path, worktree=wanted.worktree, everywhere=wanted.everywhere)


# ---------------------------------------------------------------- locks and the line
def decide(board: Board, line: Sequence[Waiter], me: Agent, request: Request, stamp: Stamp) -> Granted | Conflict:
    """Grant a request that came without waiting, unless somebody is in line for what it asks.

    Args:
        board: What is held.
        line: Live waiters.
        me: Who asks.
        request: For what.
        stamp: When.
    """
    decision = locks.decide(board, me, request, stamp)
    waiter = Waiter(
        id=f"w-{stamp.revision}",
        wants="locks",
        agent=me.id,
        agent_name=me.name,
        targets=missing(board, me.id, request),
        mode=request.mode,
        created_at=stamp.now,
    )
    others = sorted((w for w in line if contends(w, waiter, request.all_worktrees)), key=order)
    if not others:
        return decision
    return Conflict(blocked=decision.blocked if isinstance(decision, Conflict) else (), waiting=tuple(others))


def missing(board: Board, me: str, request: Request) -> tuple[Wanted, ...]:
    """The targets that the agent does not hold yet: only for those it has to stand in line."""
    return tuple(
        wanted(target)
        for target in request.targets
        if not any(
            held.live and held.lock.holder == me and _suffices(held.lock, target, request.mode)
            for held in board.touching(target)
        )
    )


def _suffices(lock: Lock, target: Target, mode: Mode) -> bool:
    """Whether holding a lock that touches the target is as good as having the target in this mode."""
    if (lock.mode == "shared" and mode == "exclusive") or (target.everywhere and not lock.everywhere):
        return False
    exact = (lock.scope, lock.path) == (target.scope, target.path)
    return (exact or target.scope in ("file", "resource")) and reach_overlap(target, target_of(lock))


# ---------------------------------------------------------------- circles
def cycle(board: Board, line: Sequence[Waiter], start: str, all_worktrees: bool) -> tuple[Link, ...]:
    """A shortest circle of waits that the agent `start` is on, beginning with it; empty when there is none.

    Args:
        board: What is held.
        line: Live waiters, the one that is about to join among them.
        start: The agent who is about to wait.
        all_worktrees: Whether worktrees exclude each other.
    """
    paths: list[tuple[Link, ...]] = [()]
    known = set()
    for path in paths:  # grows: breadth first
        agent = path[-1].of if path else start
        for waiter in line:
            if waiter.agent != agent or waiter.wants != "locks":
                continue
            for link in links(board, line, waiter, all_worktrees):
                if link.of == start:
                    return (*path, link)
                if link.of not in known:
                    known.add(link.of)
                    paths.append((*path, link))
    return ()


def links(board: Board, line: Iterable[Waiter], waiter: Waiter, all_worktrees: bool) -> Iterator[Link]:
    """Whom somebody waits for: the live holders of what it wants, and those ahead of it in line."""
    said = Link(agent=waiter.agent, agent_name=waiter.agent_name, path="", of="", of_name="", held=True)
    for target in map(target_from, waiter.targets):
        for held in board.touching(target):
            lock = held.lock
            if not held.live or lock.holder == waiter.agent or lock.mode == waiter.mode == "shared":
                continue
            if all_worktrees or reach_overlap(target, target_of(lock)):
                yield replace(said, path=target.path, of=lock.holder, of_name=lock.holder_name)
    for other in ahead(line, waiter, all_worktrees):
        met = _meet(other, waiter, all_worktrees)
        path = met.path if met else ""
        yield replace(said, path=path, of=other.agent, of_name=other.agent_name, held=False)


# ---------------------------------------------------------------- requests
def answered(
    queue: Iterable[tuple[str, Waiter]],
    gone: Sequence[Lock],
    writes: Sequence[Write],
    stamp: Stamp,
    all_worktrees: bool,
) -> tuple[Write, ...]:
    """The writes of a transaction in which locks go, with word to those who had asked for them.

    Args:
        queue: What lies there, with the keys.
        gone: The locks that go.
        writes: What the transaction does anyway. A notice in it to one of the askers is kept: both become one.
        stamp: When.
        all_worktrees: Whether worktrees exclude each other.
    """
    drops: list[Write] = []
    told: dict[str, list[str]] = {}
    for key, request in queue:
        if request.wants != "release":
            continue
        lock = next((lock for lock in gone if _asks_for(request, lock, all_worktrees)), None)
        if lock is not None:
            drops.append(Drop(key))
            path = request.targets[0].path
            told.setdefault(request.agent, []).append(
                f"{lock.holder_name} ({lock.holder}) let go of {lock.path}: agent-sync lock {path}"
            )
    return merged((*writes, *drops, *notices(told, stamp)))


def dropped(writes: Iterable[Write], held: Iterable[Held]) -> list[Lock]:
    """Which of the locks that were held these writes drop."""
    gone = {write.key for write in writes if isinstance(write, Drop)}
    return [one.lock for one in held if keys.lock(one.lock) in gone] if gone else []


def _asks_for(request: Waiter, lock: Lock, all_worktrees: bool) -> bool:
    held = target_of(lock)
    return lock.holder != request.agent and any(
        (all_worktrees or reach_overlap(target, held)) and overlap(target, held)
        for target in map(target_from, request.targets)
    )


def lapsed(queue: Iterable[tuple[str, Waiter, bool]], present: Collection[str], now: datetime) -> tuple[Drop, ...]:
    """What compaction clears: waiters nobody is behind, requests of agents that left, and those of yesterday.

    Args:
        queue: Keys and records, and whether somebody is behind them.
        present: Ids of the agents on the board.
        now: The time.
    """
    return tuple(
        Drop(key)
        for key, waiter, live in queue
        if not live
        and (waiter.wants != "release" or waiter.agent not in present or now - waiter.created_at > REQUEST_AGE)
    )
