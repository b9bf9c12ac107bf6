"""Decisions about who owns a task: claiming, the next one, handing on, and the heir of a session."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agentsync.core import keys, locks
from agentsync.core.changes import Drop, Put, Stamp, Write, merged, notices
from agentsync.core.lease import has_left
from agentsync.core.locks import Conflict, Granted, Request
from agentsync.core.tasks import Attempt, Changed, Refused, available, by, changed, name, refusal, unmet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agentsync.core.lease import Held, Presence
    from agentsync.core.locks import Blocked
    from agentsync.core.records import Agent, Lock, Task, Waiter
    from agentsync.core.tasks import Board

CONSIDERED = 50
"""Tasks of which `claim-next --lock` looks at the files."""


def claim(attempt: Attempt, request: Request | None = None, strict: bool = False) -> Changed | Refused | Conflict:
    """Make a task one's own.

    Args:
        attempt: Who, which, when; by force, a living owner, a blocker and unmet dependencies are overridden.
        request: How to lock its files in the same transaction; None = not.
        strict: Whether one busy file means that nothing is taken.

    Returns:
        `Conflict` only when `strict`.
    """
    task, me = attempt.task, attempt.me
    mine = task.owner == me.id
    refused = refusal(attempt, "claim") or (None if mine or attempt.force else _obstacle(attempt))
    if refused is not None:
        return refused
    locked = _lock_files(attempt, request, strict)
    if isinstance(locked, Conflict):
        return locked
    if mine and task.status == "in_progress":
        return locked
    claimed = replace(
        task,
        status="in_progress",
        owner=me.id,
        owner_name=me.name,
        blocked_reason=None,
        claimed_at=attempt.stamp.now,
    )
    taken = changed(attempt, claimed, f"was taken over {by(me)}")
    writes = merged((*taken.writes, *locked.writes))
    return replace(taken, locks=locked.locks, busy=locked.busy, waiting=locked.waiting, writes=writes)


def _obstacle(attempt: Attempt) -> Refused | None:
    """What keeps an open task from being claimed by just anybody."""
    task = attempt.task
    if task.status == "blocked":
        why = f"{name(task)} is blocked: {task.blocked_reason or 'no reason was given'}"
        return Refused(task=task, why=why, hint=f"agent-sync reopen-task {task.id} makes it claimable")
    missing = unmet(task, {other.id: other for other in attempt.board.tasks()}) if task.depends_on else ()
    if missing:
        waits = ", ".join(f"{name(other)}, which is {other.status}" for other in missing[:5])
        return Refused(task=task, why=f"{name(task)} waits for {waits}", hint="agent-sync tasks --ready lists others")
    return None


def _lock_files(attempt: Attempt, request: Request | None, strict: bool) -> Changed | Conflict:
    """The locks that go with a claim: all or none if `strict`, else those that nobody has or is in line for."""
    granted: list[Lock] = []
    busy: list[Blocked] = []
    waiting: list[Waiter] = []
    writes: list[Write] = []
    wanted = request.targets if request is not None else ()
    for targets in [wanted] if strict and wanted else [(target,) for target in wanted]:
        assert request is not None
        decision = _decide(attempt.board, attempt.me, replace(request, targets=targets), attempt.stamp)
        if isinstance(decision, Granted):
            granted += decision.locks
            writes += decision.writes
        elif strict:
            return decision
        else:
            busy += decision.blocked
            waiting += decision.waiting
    task, in_line = attempt.task, tuple(dict.fromkeys(waiting))
    found = Changed(task=task, before=task, locks=tuple(granted), busy=tuple(busy), waiting=in_line)
    return replace(found, writes=merged(writes))


def _decide(board: Board, me: Agent, request: Request, stamp: Stamp) -> Granted | Conflict:
    from agentsync.core import queue  # 1 ms, and most claims lock nothing

    return queue.decide(board, board.line(), me, request, stamp)


def claim_next(
    board: Board, me: Agent, stamp: Stamp, request_of: Callable[[Task], Request] | None = None
) -> Changed | None:
    """Claim the best available task; None when there is none.

    Args:
        board: What is on it.
        me: Who claims.
        stamp: When.
        request_of: How to lock the files of a task; then one whose files are all free is preferred.
    """
    candidates = available(board, me.id)
    if not candidates:
        return None
    chosen = candidates[0]
    if request_of is not None:
        free = (task for task in candidates[:CONSIDERED] if _is_free(board, me, request_of(task), stamp))
        chosen = next(free, chosen)
    claimed = claim(Attempt(board, me, chosen, stamp), request_of(chosen) if request_of else None)
    return claimed if isinstance(claimed, Changed) else None


def _is_free(board: Board, me: Agent, request: Request, stamp: Stamp) -> bool:
    return isinstance(_decide(board, me, request, stamp), Granted)


def handoff(attempt: Attempt, to: Presence) -> Changed | Refused:
    """Give a task to another agent, with its locks (new tokens) and checkpoint: at no instant is any of it free.

    What moves are the owner's live locks that were taken for the task or are on its files, and those of the owner's
    that overlap with them: two agents must not hold both. For the same reason what has lapsed of the owner's and
    overlaps is dropped.
    """
    refused = refusal(attempt, "handoff")
    if refused is not None:
        return refused
    task, me, stamp, heir = attempt.task, attempt.me, attempt.stamp, to.agent
    if task.owner == heir.id:
        return Changed(task=task, before=task)
    if heir.machine is not None:
        why = f"{heir.name} ({heir.id}) works on another machine, where your locks cannot go"
        return Refused(task=task, why=why, hint=f"agent-sync release-task {task.id}, and tell them")
    if has_left(to):
        why = f"{heir.name} ({heir.id}) is {to.status}"
        return Refused(task=task, why=why, hint=f"agent-sync release-task {task.id} gives it to whoever comes")
    granted: list[Lock] = []
    moved, lapsed = _locks_of(task, attempt.board.locks())
    writes: list[Write] = [Drop(keys.lock(lock)) for lock in lapsed]  # first, lest a sign of life revives it
    for lock in moved:
        lease = replace(
            lock,
            holder=heir.id,
            holder_name=heir.name,
            session=heir.session,
            token=stamp.token,
            task=task.id,
            acquired_at=stamp.now,
            expires_at=stamp.now + timedelta(seconds=lock.ttl_s),
        )
        granted.append(lease)
        writes.append(Put(keys.lock(lease), lease))  # before the drop: it must never look free
        if keys.lock(lease) != keys.lock(lock):
            writes.append(Drop(keys.lock(lock)))
    given = replace(task, owner=heir.id, owner_name=heir.name, claimed_at=stamp.now)
    handed = changed(attempt, given, f"was handed to {heir.name} ({heir.id}) {by(me)}")
    told = [f"{me.name} ({me.id}) hands you the task {name(task)}: agent-sync tasks --mine"]
    told += [f"its checkpoint: {task.checkpoint[:1000]}"] if task.checkpoint else []
    told += ["with it come the locks on " + ", ".join(lock.path for lock in granted[:20])] if granted else []
    news = notices({heir.id: told}, stamp) if heir.id != me.id else ()
    return replace(handed, locks=tuple(granted), writes=merged((*handed.writes, *writes, *news)))


def _locks_of(task: Task, held: Iterable[Held]) -> tuple[list[Lock], list[Lock]]:
    """The owner's locks that go with a task, and those of its lapsed ones that would be in their way."""
    own = [h for h in held if h.lock.holder == task.owner]
    moved = [h.lock for h in own if h.live and (h.lock.task == task.id or h.lock.path in task.files)]
    for lock in moved:  # grows meanwhile
        moved += [h.lock for h in own if h.live and h.lock not in moved and _excludes(h.lock, lock)]
    lapsed = [h.lock for h in own if not h.live and any(_excludes(h.lock, lock) for lock in moved)]
    return moved, lapsed


def _excludes(lock: Lock, other: Lock) -> bool:
    """Whether two locks of one agent could not be those of two."""
    return locks.conflicting(replace(lock, holder=""), other)


def inherit(tasks: Iterable[Task], old: str, heir: Agent) -> tuple[Write, ...]:
    """The tasks of a session that goes on under another id."""
    moved = (replace(task, owner=heir.id, owner_name=heir.name) for task in tasks if task.owner == old)
    return tuple(Put(keys.task(task.id), task) for task in moved)


def ask(task: Task, stamp: Stamp) -> tuple[Write, ...]:
    """Ask a silent owner, once, what became of its task."""
    assert task.owner is not None
    minutes = int((stamp.now - task.updated_at).total_seconds() // 60)
    question = (
        f"nothing was heard of your task {name(task)} for {minutes} minutes. Is it done (agent-sync complete-task "
        f"{task.id}), stuck (block-task {task.id} --reason …), to be given back (release-task {task.id}), or under way "
        f"(note {task.id} TEXT)?"
    )
    asked = Put(keys.task(task.id), replace(task, asked_at=stamp.now))
    return (asked, *notices({task.owner: [question]}, stamp))
