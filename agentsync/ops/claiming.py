"""Claims for all machines: a task is claimed here, then the board is asked whether that stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.changes import Drop
from agentsync.core.locks import Conflict, Granted, Request
from agentsync.core.paths import target_of
from agentsync.core.tasks import Refused, name
from agentsync.errors import AgentSyncError
from agentsync.ops import agents, engines, reach, sync

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.records import Lock
    from agentsync.core.tasks import Changed
    from agentsync.ops.session import Session
    from agentsync.remote.backend import Backend


def confirm(session: Session, claimed: Changed, backend: Backend | None = None) -> Changed | Refused:
    """Ask the board whether a claim stands there, and put the locks that came with it there, too.

    Args:
        session: Whose.
        claimed: What was claimed here; those of its locks that others hold by now are given back, and named as busy.
        backend: The engine; None = the remote that was added.

    Returns:
        `Refused` when an agent of another machine was first.

    Raises:
        AgentSyncError: As `sync`; then the task and its locks are free again, unless the team's configuration prefers a
            claim that is not confirmed.
    """
    from agentsync.ops import tasks

    task = claimed.task
    try:
        sync.sync(session, backend=backend)
    except AgentSyncError as error:
        if isinstance(error, engines.UnreachableError) and session.store.config.unconfirmed == "warn":
            session.store.warnings.append(f"not confirmed, known on this machine only: {error.message}")
            return claimed
        _free(session, claimed.locks)
        tasks.release(session, task.id)
        raise
    now = session.store.state().task(task.id)
    if now is None or now.owner != session.me.id:
        _free(session, claimed.locks)
        whose = f"belongs to {now.owner_name} ({now.owner})" if now is not None and now.owner else "is not yours"
        why = f"{name(now or task)} {whose}: another machine was first"
        return Refused(task=now or task, why=why, hint="agent-sync claim-next gives you another")
    kept: list[Lock] = []
    busy = list(claimed.busy)
    for lock in claimed.locks:
        outcome = _widened(session, lock, backend)
        if isinstance(outcome, Conflict):
            busy += outcome.blocked
        else:
            kept += outcome.locks
    return replace(claimed, locks=tuple(kept), busy=tuple(busy))


def _widened(session: Session, lock: Lock, backend: Backend | None) -> Granted | Conflict:
    """A lock of here for all machines. One that another machine holds is given back."""
    if lock.path.startswith("/") or lock.machine is not None:
        return Granted(locks=(lock,))
    targets = reach.everywhere((target_of(lock),))
    request = Request(targets=targets, mode=lock.mode, ttl_s=lock.ttl_s, reason=lock.reason, task=lock.task)
    outcome = reach.take(session, request, backend)
    if isinstance(outcome, Conflict):
        _free(session, (lock,))
    return outcome


def _free(session: Session, mine: Sequence[Lock]) -> None:
    """Give back locks of the caller that still stand."""
    with session.store.transaction(session.me.id, session.timeout) as tx:
        gone = [lock for lock in mine if reach.stands(tx.state, lock)]
        what = ", ".join(lock.path for lock in gone)
        writes = agents.answered(tx, gone, [Drop(keys.lock(lock)) for lock in gone])
        tx.commit("unlock", f"{session.me.id} gives back {what}", writes)
