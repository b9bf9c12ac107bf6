"""What an agent is told, framed and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.render.frame import escape, framed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.records import Message

_SHOWN = 10


def told(messages: Sequence[Message]) -> str:
    """The newest notices; the rest are counted."""
    shown = messages[-_SHOWN:]
    lines = [f"agent-sync: {escape(line, 600)}" for message in shown for line in message.body.splitlines()]
    if len(messages) > len(shown):
        lines.append(f"and {len(messages) - len(shown)} older ones: agent-sync status")
    return framed(lines, width=600)
