"""Events, decisions and histories as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentsync.render.frame import escape, named
from agentsync.render.table import aligned, paint
from agentsync.render.times import ago, moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.records import Decision, Event
    from agentsync.ops.feed import Happened

AGENTS = ("32", "33", "34", "35", "36", "92", "93", "94", "95", "96")
"""SGR codes for agents, so that one is told from another at a glance: green, yellow, blue, …, then the bright ones."""

VERBS = {"breach": "31", "takeover": "31", "refuse": "33", "request": "33", "ask": "33"}
"""SGR codes of what somebody should look at: red and yellow; other verbs are bold."""

SHOWN = 4
"""Events in one notification."""


_TWICE = re.compile(r"\b([a-z0-9][a-z0-9._-]*) \(\1\)")


def events(found: Sequence[Event], now: datetime) -> list[str]:
    """One line each: revision, age, who, what."""
    return aligned(
        [[str(e.rev), ago(e.at, now), escape(e.actor, 64), escape(e.verb, 32), _summary(e)] for e in found], indent=""
    )


class Feed:
    """The same for events that come one by one: a column is as wide as the widest so far."""

    def __init__(self, relative: bool, colour: bool) -> None:
        """Begin with narrow columns.

        Args:
            relative: Whether the age is shown, and not the time of day.
            colour: Whether lines are coloured.
        """
        self._relative = relative
        self._colour = colour
        self._widths = [0, 0, 0, 0]

    def line(self, one: Event, now: datetime) -> str:
        """One line: revision, time, who, what."""
        when = ago(one.at, now) if self._relative else moment(one.at, now)
        cells = [str(one.rev), when, escape(one.actor, 64), escape(one.verb, 32)]
        self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        cells = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)]
        if self._colour:
            codes = ("2", "2", AGENTS[sum(one.actor.encode()) % len(AGENTS)], VERBS.get(one.verb, "1"))
            cells = [paint(cell, code) for cell, code in zip(cells, codes, strict=True)]
        return "  ".join([*cells, _summary(one)])


def notification(found: Sequence[Event]) -> tuple[str, str]:
    """Title and body for some events, oldest first: the last of them, and how many there were."""
    title = f"agent-sync: {len(found)} events" if len(found) > 1 else f"agent-sync: {escape(found[0].verb, 32)}"
    return title, "\n".join(_summary(one) for one in found[-SHOWN:])


def _summary(one: Event) -> str:
    about = f" [{', '.join(escape(path, 80) for path in one.paths[:4])}]" if one.paths and not one.changes else ""
    return _once(escape(one.summary.replace(f" ({one.actor})", "", 1), 400)) + about  # the id has its column


def _once(summary: str) -> str:
    """A summary in which an agent whose name is its id is called by it once."""
    return _TWICE.sub(r"\1", summary)


def history(found: Sequence[Happened], now: datetime) -> list[str]:
    """One line each: revision, age, verb, what, for which task."""
    rows = [
        [
            str(h.rev) if h.rev is not None else "-",
            ago(h.at, now),
            escape(h.verb, 32),
            _once(escape(h.summary, 240)) + (f" (task {escape(h.task, 40)})" if h.task else ""),
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
    who = named(one.by_name, one.by)
    return f"{one.id}, {ago(one.created_at, now)}, {who}{instead}: {escape(one.text, width)}"
