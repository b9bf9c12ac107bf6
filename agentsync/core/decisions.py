"""What was settled for everybody: decisions are never changed, a later one may take an earlier one's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core import keys
from agentsync.core.changes import Drop, Put, Stamp, Write, announcement
from agentsync.core.records import Agent, Decision
from agentsync.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentsync.core.lease import Presence

MAX_TEXT = 2000
"""Characters of a decision: every new session is shown the newest."""

KEPT = 100
"""Superseded decisions that stay in the directory; older ones are in the archive."""


def current(decisions: Sequence[Decision]) -> list[Decision]:
    """Those that nothing has superseded, in their order."""
    gone = {decision.supersedes for decision in decisions}  # by everybody's name, of one that came after it
    return [found for found in decisions if gone.isdisjoint((found.id, found.origin or found.id))]


def decide(known: Sequence[Decision], me: Agent, text: str, supersedes: str | None, stamp: Stamp) -> Decision:
    """Settle something.

    Raises:
        UsageError: The text is empty or too long.
        NotFoundError: There is no such decision to supersede, or something else did so already.
    """
    text = text.strip()
    if not 0 < len(text) <= MAX_TEXT:
        raise UsageError(f"a decision has 1 to {MAX_TEXT} characters, not {len(text)}", "put more into a file")
    if supersedes is not None:
        successor = next((other for other in known if other.supersedes == supersedes), None)
        if successor is not None:
            raise NotFoundError(
                f"{supersedes} was superseded by {successor.id}", f"agent-sync decision … --supersedes {successor.id}"
            )
        if all(other.id != supersedes for other in known):
            raise NotFoundError(f"there is no decision {supersedes[:80]!r}", "agent-sync decisions lists them")
    return Decision(
        id=f"d-{stamp.revision}", by=me.id, by_name=me.name, text=text, supersedes=supersedes, created_at=stamp.now
    )


def publish(decision: Decision, others: Iterable[Presence], stamp: Stamp) -> tuple[Write, ...]:
    """Record it, and tell those who are here; who comes later finds it in the status."""
    instead = f" instead of {decision.supersedes}" if decision.supersedes else ""
    line = f"{decision.by_name} ({decision.by}) decided {decision.id}{instead}: {decision.text}"
    here = [other.agent.id for other in others if other.agent.machine is None and not other.is_gone]
    readers = [reader for reader in here if reader != decision.by]  # other machines tell their own
    return (Put(keys.decision(stamp.revision), decision), *announcement(line, readers, stamp))


def outdated(decisions: Sequence[Decision]) -> tuple[Write, ...]:
    """Drop the oldest superseded decisions. The archive keeps them."""
    valid = {decision.id for decision in current(decisions)}
    superseded = [decision for decision in decisions if decision.id not in valid]
    revisions = (keys.revision_of(decision.id, "d") for decision in superseded[: max(len(superseded) - KEPT, 0)])
    return tuple(Drop(keys.decision(revision)) for revision in revisions if revision is not None)
