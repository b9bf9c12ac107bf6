"""What is said about waiting: who is in line, who waits for whom, a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.render.frame import escape, shorten_path
from agentsync.render.times import clock, span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.locks import Conflict
    from agentsync.core.queue import Link
    from agentsync.core.records import Waiter
    from agentsync.ops.requests import Standing

_NAMED = 5
"""Agents or paths that one answer names."""


def standing(waiters: Sequence[Waiter], now: datetime) -> list[str]:
    """Who is in line, one line each: `bob (bo) has been in line for src/app.py for 12 s`."""
    lines = [
        f"{_who(w.agent_name, w.agent)} has been in line for {_what(w)} for {span(now - w.created_at)}"
        for w in waiters[:_NAMED]
    ]
    if len(waiters) > _NAMED:
        lines.append(f"and {len(waiters) - _NAMED} more: agent-sync queue")
    return lines


def circle(links: Sequence[Link], me: str) -> str:
    """`you wait for src/a.py of bob (bo), who waits for src/b.py of you`."""
    text = "you wait"
    for number, link in enumerate(links):
        whom = "you" if link.of == me else _who(link.of_name, link.of)
        text += (
            f"{', who waits' if number else ''} for {shorten_path(link.path)} {'of' if link.held else 'behind'} {whom}"
        )
    return text


def more(conflict: Conflict, me: str, now: datetime) -> list[str]:
    """What stands in the way besides locks."""
    if conflict.cycle:
        return [circle(conflict.cycle, me)]
    return standing(conflict.waiting, now)


def rows(places: Sequence[Standing], now: datetime) -> list[str]:
    """The line, first come first, then the requests."""
    lines = []
    for place in places:
        waiter = place.waiter
        since = f"for {span(now - waiter.created_at)}"
        if waiter.wants == "release":
            lines.append(
                f"request {waiter.id}: {_who(waiter.agent_name, waiter.agent)} asks for {_what(waiter)}, {since}"
            )
        else:
            priority = f", priority {waiter.priority}" if waiter.priority else ""
            until = f", until {clock(waiter.until, now)}" if waiter.until else ""
            gone = "" if place.live else " (stopped)" if place.stopped else " (gone)"
            who = f"{_who(waiter.agent_name, waiter.agent)}{gone}"
            lines.append(f"{who} waits for {_what(waiter)}, {since}{priority}{until}")
        if waiter.reason:
            lines.append(f"  reason: {escape(waiter.reason, 240)}")
        for link in place.behind[:_NAMED]:
            verb = "held by" if link.held else "behind"
            path = f"{shorten_path(link.path)} " if link.path else ""
            lines.append(f"  {path}{verb} {_who(link.of_name, link.of)}")
        if len(place.behind) > _NAMED:
            lines.append(f"  and behind {len(place.behind) - _NAMED} more")
    return lines


def _what(waiter: Waiter) -> str:
    if waiter.wants == "task":
        return "a task"
    shown = ", ".join(shorten_path(wanted.path) for wanted in waiter.targets[:_NAMED])
    return shown + (f" and {len(waiter.targets) - _NAMED} more" if len(waiter.targets) > _NAMED else "")


def _who(name: str, agent_id: str) -> str:
    return f"{escape(name, 64)} ({agent_id})"
