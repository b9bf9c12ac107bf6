"""Events, decisions and histories as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.render.frame import escape
from agentsync.render.table import aligned
from agentsync.render.times import ago

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.records import Decision, Event
    from agentsync.ops.feed import Happened


def events(found: Sequence[Event], now: datetime) -> list[str]:
    """One line each: revision, age, who, what."""
    return aligned(
        [[str(e.rev), ago(e.at, now), escape(e.actor, 64), escape(e.verb, 32), _summary(e)] for e in found], indent=""
    )


def event(one: Event, now: datetime) -> str:
    """The same for one that has just come."""
    return f"{one.rev}  {ago(one.at, now)}  {escape(one.actor, 64)}  {escape(one.verb, 32)}  {_summary(one)}"


def _summary(one: Event) -> str:
    about = f" [{', '.join(escape(path, 80) for path in one.paths[:4])}]" if one.paths and not one.changes else ""
    return escape(one.summary, 400) + about


def history(found: Sequence[Happened], now: datetime) -> list[str]:
    """One line each: age, revision, verb, what, for which task."""
    rows = [
        [
            ago(h.at, now),
            str(h.rev) if h.rev is not None else "-",
            escape(h.verb, 32),
            escape(h.summary, 240) + (f" (task {escape(h.task, 40)})" if h.task else ""),
        ]
        for h in found
    ]
    return aligned(rows, indent="")


def decisions(found: Sequence[Decision], now: datetime) -> list[str]:
    """One line each: id, age, by whom, text."""
    return [decision(one, now) for one in found]


def decision(one: Decision, now: datetime, width: int = 0) -> str:
    """`d-12, 3 min ago, alice (al): …`."""
    instead = f", instead of {escape(one.supersedes, 40)}" if one.supersedes else ""
    who = f"{escape(one.by_name, 64)} ({one.by})"
    return f"{one.id}, {ago(one.created_at, now)}, {who}{instead}: {escape(one.text, width)}"
