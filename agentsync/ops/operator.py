"""The person at the console: an agent with a reserved id, which only the console gives.

It comes on the board with its first deed, so that looking on costs the others nothing. Its locks name the process of
its console (see `ops.running`), and bind nobody once that is dead, however it died.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core.agents import CONSOLE, OPERATOR
from agentsync.core.locks import EVERYTHING
from agentsync.ops import agents, running
from agentsync.ops.identity import Identity
from agentsync.ops.session import Session, open_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentsync.core.lease import Held
    from agentsync.ops.running import Hold
    from agentsync.runtime import Runtime


def open_operator(runtime: Runtime, owns_signals: bool = False) -> Session:
    """The operator's session at the store of the runtime's working directory. Creates nothing.

    Args:
        runtime: The machine; its own process is the operator's life.
        owns_signals: Whether this process is ours alone (see `Guard.held`).
    """
    own = runtime.process(runtime.pid)
    me = Identity(id=OPERATOR, source="the console", client=CONSOLE, process=own)
    return open_place(runtime, me, owns_signals)


def freeze(session: Session, reason: str | None = None) -> Hold:
    """Stop all edits by everybody on this machine, in all worktrees: whoever holds a file here loses it, and is told.

    Agents of other machines are not stopped, and keep their locks.

    Args:
        session: The operator's.
        reason: Why, for those who are refused.
    """
    pattern = f"{session.place.base.rstrip('/')}/{EVERYTHING}"
    held = running.hold(session, [pattern], reason=reason, everywhere=True, force=True)
    assert isinstance(held, running.Hold), "by force it is never refused"
    return held


def freezing(held: Iterable[Held]) -> list[Held]:
    """Those of some locks that freeze everything: the operator's, and live."""
    return [one for one in held if one.live and one.lock.holder == OPERATOR and one.lock.path == EVERYTHING]


def leave(session: Session) -> None:
    """Go from the board, unless another console has taken over there."""
    if session.store.exists() and agents.is_own(session):
        agents.end(session, release_all=False)
