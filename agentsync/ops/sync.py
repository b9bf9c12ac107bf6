"""Bringing the state here and the shared board in line: `sync`, and what a release for all machines needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core import keys, shared
from agentsync.core.incoming import Came
from agentsync.core.lease import is_guest
from agentsync.core.outgoing import Plan
from agentsync.core.paths import target_of
from agentsync.core.records import Lock
from agentsync.ops import background, engines, exchange, replicate
from agentsync.ops.replicate import Brought
from agentsync.remote.backend import Done, Lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.ops.exchange import Exchange
    from agentsync.ops.session import Session
    from agentsync.remote.backend import Backend


class Synced(Struct, frozen=True, kw_only=True, gc=False):
    """What a sync did, or would do."""

    came: Came
    brought: Brought = replicate.NOTHING
    """Tasks and words that came."""
    put: tuple[str, ...] = ()
    """Keys of records that were put on the board, its own not counted."""
    dropped: tuple[str, ...] = ()
    rewound: bool = False


def sync(
    session: Session,
    *,
    dry_run: bool = False,
    backend: Backend | None = None,
    patience_s: float = exchange.PATIENCE_S,
) -> Synced:
    """Look at the board, take over what others did, and tell them what happened here.

    Args:
        session: Whose.
        dry_run: Whether nothing is to change, neither here nor there.
        backend: The engine; None = the remote that was added.
        patience_s: Seconds to wait for another process of this clone that is at it.

    Raises:
        UsageError: No remote was added.
        GuardTimeoutError: Another process was at it all the time.
        UnreachableError: There was no answer.
        RejectedError: The remote refused.
        UnusableError: What is there is not our board.
    """
    with exchange.opened(session, backend, patience_s) as there:
        if not dry_run:
            background.put_off(session)
        there.is_whole = True
        came = there.look(dry_run=dry_run)
        rewound = there.is_rewound
        brought = replicate.take_over(there, session, dry_run=dry_run)
        unwritten = brought if dry_run else replicate.NOTHING
        put, dropped = publish(there, dry_run=dry_run, whole=session, unwritten=unwritten)
        return Synced(came=came, brought=brought, put=put, dropped=dropped, rewound=rewound)


def tell(session: Session, released: Sequence[Lock], backend: Backend | None = None) -> None:
    """Tell the board what was released here, without a look at it if it is as it was.

    Args:
        session: Whose.
        released: Own locks, and those of others that were released by force.
        backend: The engine; None = the remote that was added.

    Raises:
        AgentSyncError: As `sync`.
    """
    with exchange.opened(session, backend) as there:
        there.forced = {keys.lock(lock): lock.token for lock in released if is_guest(lock)}
        there.recall(tuple(target_of(lock) for lock in released))
        publish(there)


def publish(
    there: Exchange, dry_run: bool = False, whole: Session | None = None, unwritten: Brought = replicate.NOTHING
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Commit to the board what happened here, as often as it takes.

    Args:
        there: The board.
        dry_run: Whether nothing is to change.
        whole: Whose tasks and words are to be told too, those of the board having been taken over; None = only locks.
        unwritten: What was brought, but not written here.

    Returns:
        Keys that were put and dropped, or would be.
    """
    while True:
        more = replicate.changes(there, whole, unwritten) if whole is not None else None
        drops = [key for key, lock in there.shared.locks.items() if there.forced.get(key) == lock.token]
        plan = there.plan(drops=drops, more=more)
        assert isinstance(plan, Plan), "nothing was asked for, so nothing can be in the way"
        put = tuple(sorted(key for key in plan.puts if key != shared.BOARD))
        if dry_run or not plan.worth:
            return put, plan.drops
        match outcome := there.commit(plan, _told(put, plan.drops)):
            case Done():
                there.note(is_whole=whole is not None)
                return put, plan.drops
            case Lost():
                there.look()
                if whole is not None:
                    replicate.take_over(there, whole)
            case _:
                raise engines.failure(outcome, there.link)


def _told(put: Sequence[str], dropped: Sequence[str]) -> str:
    folders = [key.partition("/")[0] for key in (*put, *dropped)]
    counts = ((folder, folders.count(folder)) for folder in ("locks", "tasks", "messages", "decisions"))
    told = [f"{count} {folder}" for folder, count in counts if count]
    return f"sync: {', '.join(told)}" if told else "sync: signs of life"
