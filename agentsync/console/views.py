"""What the console shows: pure functions of a survey and the events so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.console.view_agents import AGENTS
from agentsync.console.view_locks import LOCKS
from agentsync.console.view_tasks import TASKS
from agentsync.console.view_words import DECISIONS, FEED, MAIL, tone_of
from agentsync.core.messages import is_announcement
from agentsync.core.tasks import UNFINISHED
from agentsync.ops.operator import freezing
from agentsync.render.times import ago

if TYPE_CHECKING:
    from agentsync.ops.survey import Survey

VIEWS = (AGENTS, LOCKS, TASKS, MAIL, DECISIONS, FEED)


def headline(seen: Survey) -> list[str]:
    """The board in a few words."""
    open_ones = sum(one.task.status in UNFINISHED for one in seen.tasks)
    mail = sum(not is_announcement(message) for message in seen.inbox)
    here = sum(not presence.is_gone for presence in seen.agents)
    return [
        *(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in ((here, "agent"), (len(seen.locks), "lock"))),
        f"{open_ones} open task{'' if open_ones == 1 else 's'}",
        *([f"{len(seen.waiting)} in line"] if seen.waiting else []),
        *([f"{mail} for you"] if mail else []),
        *([f"others seen {ago(seen.looked, seen.now)}"] if seen.looked else []),
        f"rev {seen.revision}",
    ]


def is_frozen(seen: Survey) -> bool:
    """Whether the operator has stopped all edits."""
    return bool(freezing(seen.locks))


__all__ = ["AGENTS", "DECISIONS", "FEED", "LOCKS", "MAIL", "TASKS", "VIEWS", "headline", "is_frozen", "tone_of"]
