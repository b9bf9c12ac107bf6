"""`status`: who is here and what is held, in one look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.ops import agents, locks

if TYPE_CHECKING:
    from agentsync.core.lease import Held, Presence
    from agentsync.ops.agents import Whoami
    from agentsync.ops.session import Session


class Overview(Struct, frozen=True, kw_only=True, gc=False):
    """The board."""

    you: Whoami
    agents: tuple[Presence, ...]
    locks: tuple[Held, ...]
    unread: int
    """Notices that wait for the caller."""
    revision: int
    waiting: int = 0
    """How many are in line for something."""


def overview(session: Session) -> Overview:
    """The board as the caller sees it. Registers nobody."""
    you = agents.whoami(session)
    state = session.store.state()
    return Overview(
        you=you,
        agents=tuple(state.presences()),
        locks=tuple(locks.held(session)),
        unread=len(state.inbox(session.me.id)),
        waiting=len(state.line()),
        revision=session.store.revision(),
    )
