"""`status`: who is here and what is held, in one look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core.messages import is_announcement
from agentsync.core.tasks import UNFINISHED, current
from agentsync.ops import agents, decisions, locks, tasks

if TYPE_CHECKING:
    from agentsync.core.lease import Held, Presence
    from agentsync.core.records import Decision
    from agentsync.ops.agents import Whoami
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
    waiting: int = 0
    """How many are in line for something."""


def overview(session: Session) -> Overview:
    """The board as the caller sees it. Registers nobody."""
    you = agents.whoami(session)
    known = tasks.board(session)
    state = session.store.state()
    return Overview(
        you=you,
        agents=tuple(state.presences()),
        locks=tuple(locks.held(session)),
        tasks=tuple(seen for seen in known if seen.task.status in UNFINISHED),
        task=current(session.me.id, you.presence.agent.task, [seen.task for seen in known]),
        decisions=tuple(decisions.listing(session)),
        unread=sum(not is_announcement(message) for _, message in state.inbox(session.me.id)),
        waiting=len(state.line()),
        revision=session.store.revision(),
    )
