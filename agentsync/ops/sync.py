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
from agentsync.ops import exchange
from agentsync.remote.backend import Done, Lost

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agentsync.ops.exchange import Exchange
    from agentsync.ops.session import Session
    from agentsync.remote.backend import Backend


class Synced(Struct, frozen=True, kw_only=True, gc=False):
    """What a sync did, or would do."""

    came: Came
    put: tuple[str, ...] = ()
    """Keys of records that were put on the board, its own not counted."""
    dropped: tuple[str, ...] = ()
    rewound: bool = False


def sync(session: Session, *, dry_run: bool = False, backend: Backend | None = None) -> Synced:
    """Look at the board, take over what others did, and tell them what happened here.

    Args:
        session: Whose.
        dry_run: Whether nothing is to change, neither here nor there.
        backend: The engine; None = the remote that was added.

    Raises:
        UsageError: No remote was added.
        UnreachableError: There was no answer.
        RejectedError: The remote refused.
        UnusableError: What is there is not our board.
    """
    with exchange.opened(session, backend) as there:
        came = there.look(dry_run=dry_run)
        rewound = there.is_rewound
        put, dropped = publish(there, dry_run=dry_run)
        return Synced(came=came, put=put, dropped=dropped, rewound=rewound)


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
        there.recall(tuple(target_of(lock) for lock in released))
        publish(there, [keys.lock(lock) for lock in released if is_guest(lock)])


def publish(
    there: Exchange, drops: Collection[str] = (), dry_run: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Commit to the board what happened here, as often as it takes.

    Returns:
        Keys that were put and dropped, or would be.
    """
    while True:
        plan = there.plan(drops=[key for key in drops if key in there.shared.locks])
        assert isinstance(plan, Plan), "nothing was asked for, so nothing can be in the way"
        put = tuple(sorted(key for key in plan.puts if key != shared.BOARD))
        if dry_run or not plan.worth:
            return put, plan.drops
        match outcome := there.commit(plan, _told(put, plan.drops)):
            case Done():
                there.note()
                return put, plan.drops
            case Lost():
                there.look()
            case _:
                raise exchange.failure(outcome, there.link)


def _told(put: Sequence[str], dropped: Sequence[str]) -> str:
    locks = [key for key in (*put, *dropped) if key.startswith("locks/")]
    return f"sync: {len(locks)} locks changed" if locks else "sync: signs of life"
