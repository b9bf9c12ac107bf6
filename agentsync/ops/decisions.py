"""`decision`, `decisions`: what was settled for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core import decisions
from agentsync.ops import agents

if TYPE_CHECKING:
    from agentsync.core.records import Decision
    from agentsync.ops.session import Session


def decide(session: Session, text: str, supersedes: str | None = None) -> Decision:
    """Record a decision.

    Args:
        session: Whose.
        text: What was decided.
        supersedes: Id of the decision whose place it takes.

    Raises:
        UsageError: The text is empty or too long.
        NotFoundError: There is no such decision, or something else superseded it already.
    """
    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        decision = tx.ask(lambda state, stamp: decisions.decide(state.decisions(), me, text, supersedes, stamp))
        writes = decisions.publish(decision, tx.state.presences(), tx.stamp)
        instead = f" instead of {supersedes}" if supersedes else ""
        tx.commit("decision", f"{me.name} ({me.id}) decided {decision.id}{instead}: {decision.text}", writes, "D")
        return decision


def listing(session: Session, superseded: bool = False) -> list[Decision]:
    """The decisions that hold, oldest first.

    Args:
        session: Who asks.
        superseded: Whether those that no longer hold are wanted too.
    """
    if not session.store.exists():
        return []
    known = session.store.state().decisions()
    return known if superseded else decisions.current(known)
