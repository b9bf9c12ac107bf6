"""Decisions about locks: may this be granted, may that be released, may a file be edited.

Pure functions of what is held, who asks and when. They return the outcome together with the writes it needs; a refusal
has none. The invariant they keep, and on which the gate relies: *no two records of different holders on disk conflict,
live or not*, because whoever takes over what is no longer live drops the old record in the same transaction.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.agents import OPERATOR
from agentsync.core.changes import Drop, Put, Stamp, Write, notices
from agentsync.core.lease import Held, is_guest
from agentsync.core.paths import Target, overlap, reach_overlap, target_of
from agentsync.core.records import Agent, Lock, Mode, Owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentsync.core.queue import Link
    from agentsync.core.records import Waiter


EVERYTHING = "**"
"""What a freeze locks, in all worktrees."""


class Board(Protocol):
    """What decisions ask of the store."""

    def touching(self, target: Target) -> Sequence[Held]:
        """All locks whose paths overlap the target's, whatever worktree they are meant in, live or not."""
        ...

    def at(self, target: Target) -> Sequence[Held]:
        """The locks on exactly this target."""
        ...


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """What somebody wants to lock."""

    targets: tuple[Target, ...]
    ttl_s: int
    may_shorten: bool = False
    """Whether this time was asked for; if not, a longer one that a lock of the caller's own has is kept."""
    mode: Mode = "exclusive"
    reason: str | None = None
    task: str | None = None
    auto: bool = False
    process: Owner | None = None
    """The process that the locks live and die with; None = they are the agent's."""
    all_worktrees: bool = False
    """The team's policy is that worktrees exclude each other."""
    force: bool = False
    """Whether live locks of others give way, too. Only a person may ask for that."""


class Blocked(Struct, frozen=True, gc=False):
    """One target that cannot be had, and the lock that is in the way."""

    target: Target
    held: Held


class Granted(Struct, frozen=True, kw_only=True, gc=False):
    """All targets are the caller's."""

    locks: tuple[Lock, ...]
    taken_over: tuple[Lock, ...] = ()
    """Locks that gave way: no longer live, or taken by force."""
    elsewhere: tuple[Held, ...] = ()
    """Locks on the same paths in other worktrees: a merge conflict to come."""
    writes: tuple[Write, ...] = ()


class Conflict(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody else holds at least one, or is in line for it; nothing was taken."""

    blocked: tuple[Blocked, ...]
    waiting: tuple[Waiter, ...] = ()
    """Who came earlier and waits for it."""
    cycle: tuple[Link, ...] = ()
    """Not empty: waiting would have closed this circle, so nobody waits."""


class Released(Struct, frozen=True, kw_only=True, gc=False):
    """What was asked to be unlocked is no longer locked by those named; `locks` may be empty."""

    locks: tuple[Lock, ...]
    writes: tuple[Write, ...] = ()


def decide(board: Board, me: Agent, request: Request, stamp: Stamp) -> Granted | Conflict:
    """Grant all targets of a request, or none."""
    mine = {target: [h for h in board.at(target) if h.lock.holder == me.id] for target in request.targets}
    wanted = [(_with_reach(target, own), own) for target, own in mine.items()]
    blocked: list[Blocked] = []
    gone: dict[str, Lock] = {}
    lost: dict[str, str] = {}
    elsewhere: list[Held] = []
    for target, _ in wanted:
        for held in board.touching(target):
            lock = held.lock
            if lock.holder == me.id or (_freezes(me.id, target.path) and is_guest(lock)):
                continue
            if not (request.all_worktrees or reach_overlap(target, target_of(lock))):
                if held.live:
                    elsewhere.append(held)
            elif lock.mode == "shared" and request.mode == "shared":
                continue
            elif held.live and not request.force:
                blocked.append(Blocked(target, held))
            else:
                gone[keys.lock(lock)] = lock
                lost[keys.lock(lock)] = "was taken from you" if held.live else "had lapsed and was taken over"
    if blocked:
        return Conflict(blocked=tuple(blocked))
    locks: dict[str, Lock] = {}
    drops: set[str] = set()
    for target, own in wanted:
        lock = _lease(me, target, request, own, stamp)
        drops.update(keys.lock(held.lock) for held in own)
        locks[keys.lock(lock)] = lock
    # Readers take no guard. First goes what has lapsed, lest its holder revives it beside the new lock; last go the
    # caller's own old records, lest the path looks free while its record changes.
    writes: list[Write] = [Drop(key) for key in sorted(gone) if key not in locks]
    writes += [Put(key, lock) for key, lock in locks.items()]
    writes += [Drop(key) for key in sorted(drops) if key not in locks]
    told: dict[str, list[str]] = {}
    for key, lock in gone.items():
        if is_guest(lock):
            continue  # its machine tells it
        told.setdefault(lock.holder, []).append(
            f"your lock on {lock.path} {lost[key]} by {me.name} ({me.id}): read the file again before you go on with it"
        )
    return Granted(
        locks=tuple(locks.values()),
        taken_over=tuple(gone.values()),
        elsewhere=tuple(elsewhere),
        writes=(*writes, *notices(told, stamp)),
    )


def _freezes(holder: str, path: str) -> bool:
    """Whether a lock stops all edits on this machine: it owns nothing, so what other machines hold stays theirs."""
    return holder == OPERATOR and path == EVERYTHING


def _with_reach(target: Target, own: Sequence[Held]) -> Target:
    """Renewing a lock that binds everywhere goes on binding everywhere, and is judged as such."""
    if target.everywhere or not any(held.live and held.lock.everywhere for held in own):
        return target
    return replace(target, everywhere=True)


def _lease(me: Agent, target: Target, request: Request, own: Sequence[Held], stamp: Stamp) -> Lock:
    """The new record. Renewing a live lock keeps its token, its start and what was not said again.

    Excluding more than before, by mode or by reach, is a new grant: others may have had later tokens meanwhile.
    """
    live = [held.lock for held in own if held.live]
    kept = next((lock for lock in live if lock.everywhere == target.everywhere), next(iter(live), None))
    ttl_s = request.ttl_s if kept is None or request.may_shorten else max(request.ttl_s, kept.ttl_s)
    lock = Lock(
        path=target.path,
        scope=target.scope,
        mode=request.mode,
        process=request.process,
        holder=me.id,
        holder_name=me.name,
        session=me.session,
        token=stamp.token,
        reason=request.reason,
        task=request.task or me.task,
        auto=request.auto,
        everywhere=target.everywhere,
        worktree=target.worktree,
        branch=me.branch,
        acquired_at=stamp.now,
        expires_at=stamp.now + timedelta(seconds=ttl_s),
        ttl_s=ttl_s,
    )
    if kept is None:
        return lock
    same = (kept.mode, kept.everywhere) == (request.mode, target.everywhere)
    return replace(
        lock,
        token=kept.token if same else stamp.token,
        machine=kept.machine if same else None,
        acquired_at=kept.acquired_at,
        reason=request.reason or kept.reason,
        task=request.task or kept.task or me.task,
        auto=request.auto and kept.auto,
    )


def release(board: Board, me: Agent, targets: Iterable[Target], force: bool, stamp: Stamp) -> Released | Conflict:
    """Give up locks: one's own freely, what is no longer live freely, another's live one only by force."""
    dropped: dict[str, Lock] = {}
    blocked: list[Blocked] = []
    for target in targets:
        found = board.at(target)
        mine = [held for held in found if held.lock.holder == me.id]
        for held in mine or found:
            if held.live and not mine and not force:
                blocked.append(Blocked(target, held))
            else:
                dropped[keys.lock(held.lock)] = held.lock
    if blocked:
        return Conflict(blocked=tuple(blocked))
    told: dict[str, list[str]] = {}
    for lock in dropped.values():
        if lock.holder != me.id and not is_guest(lock):
            told.setdefault(lock.holder, []).append(f"your lock on {lock.path} was released by {me.name} ({me.id})")
    drops: list[Write] = [Drop(key) for key in dropped]
    return Released(locks=tuple(dropped.values()), writes=(*drops, *notices(told, stamp)))


class Verdict(Struct, frozen=True, kw_only=True, gc=False):
    """What an edit of one file by one agent meets."""

    blocked: tuple[Blocked, ...] = ()
    """Not empty: the edit is refused."""
    covered: bool = False
    """A live lock of the editor's own covers the file, so the edit needs no further one."""
    elsewhere: tuple[Held, ...] = ()
    """Live locks of others on the same path in other worktrees."""


def judge_edit(board: Board, me: str, target: Target, all_worktrees: bool) -> Verdict:
    """Judge an edit of `target`, a file, by the agent `me`.

    Those who share a lease on a file may all edit it: they agreed to. Everybody else is refused while one of them is
    live.
    """
    covered = False
    others: list[Held] = []
    elsewhere: list[Held] = []
    for held in board.touching(target):
        meets = all_worktrees or reach_overlap(target, target_of(held.lock))
        if not held.live:
            continue
        if held.lock.holder == me:
            covered = covered or meets
        else:
            (others if meets else elsewhere).append(held)
    blocked = tuple(Blocked(target, held) for held in others if not (covered and held.lock.mode == "shared"))
    return Verdict(blocked=blocked, covered=covered, elsewhere=tuple(elsewhere))


def conflicting(a: Lock, b: Lock) -> bool:
    """Whether two records of different holders must not both be live. The property that every test of locks checks."""
    if a.holder == b.holder or (a.mode == "shared" and b.mode == "shared"):
        return False
    if any(_freezes(one.holder, one.path) and is_guest(other) for one, other in ((a, b), (b, a))):
        return False
    first, second = target_of(a), target_of(b)
    return reach_overlap(first, second) and overlap(first, second)
