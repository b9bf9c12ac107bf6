"""`status`: who is here and what is held, in one look."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core import keys
from agentsync.core.messages import is_announcement
from agentsync.core.paths import Target, overlap, target_of
from agentsync.core.tasks import UNFINISHED, current
from agentsync.ops import agents, decisions, locks, tasks
from agentsync.store import activity

if TYPE_CHECKING:
    from datetime import datetime

    from agentsync.core.lease import Held, Presence
    from agentsync.core.records import Decision
    from agentsync.ops.agents import Whoami
    from agentsync.ops.remote import Standing
    from agentsync.ops.session import Session
    from agentsync.ops.tasks import Seen


class Overview(Struct, frozen=True, kw_only=True, gc=False):
    """The board."""

    you: Whoami
    agents: tuple[Presence, ...]
    locks: tuple[Held, ...]
    tasks: tuple[Seen, ...] = ()
    """Unfinished ones, the best first."""
    task: str | None = None
    """What the caller works on."""
    decisions: tuple[Decision, ...] = ()
    """Those that hold, oldest first."""
    unread: int
    """Messages that wait for the caller."""
    revision: int
    remote: Standing | None = None
    """The board that is shared with other machines, if there is one."""
    waiting: int = 0
    """How many are in line for something."""
    overlaps: int = 0
    """Paths that the caller holds or edited lately and that others hold in other worktrees: merges to come.

    Counted from records alone. `conflicts` asks git, which takes longer than this whole command may.
    """


def overview(session: Session) -> Overview:
    """The board as the caller sees it. Registers nobody."""
    you = agents.whoami(session)
    known = tasks.board(session)
    state = session.store.state()
    held = tuple(locks.held(session))
    others = None
    if session.store.files.status(keys.LINK) is not None:
        from agentsync.ops import remote

        others = remote.standing(session)
    return Overview(
        you=you,
        agents=tuple(state.everybody()),
        locks=held,
        tasks=tuple(seen for seen in known if seen.task.status in UNFINISHED),
        task=current(session.me.id, you.presence.agent.task, [seen.task for seen in known]),
        decisions=tuple(decisions.listing(session)),
        unread=sum(not is_announcement(message) for _, message in state.inbox(session.me.id)),
        remote=others,
        waiting=len(state.line()),
        revision=session.store.revision(),
        overlaps=_overlaps(session, held, state.now),
    )


def _overlaps(session: Session, held: tuple[Held, ...], now: datetime) -> int:
    me, here, config = session.me.id, session.place.worktree, session.store.config
    there = [
        target_of(h.lock)
        for h in held
        if h.live and h.lock.holder != me and h.lock.worktree != here and h.lock.scope != "resource"
    ]
    if not there or config.worktrees == "ignore":
        return 0
    mine = {target_of(h.lock) for h in held if h.lock.holder == me and h.lock.worktree == here}
    since = now - timedelta(minutes=config.offline_minutes)
    mine |= {
        Target(scope="file", path=line.path, worktree=here)
        for line in activity.read(session.store.files, me)
        if line.verb == "edit" and line.worktree == here and line.at >= since
    }
    return sum(any(overlap(one, other) for other in there) for one in mine)
