"""The board as text: a table for people, terse Markdown for a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.render import locks, tasks
from agentsync.render.feed import decision
from agentsync.render.frame import abroad, escape, framed, neutral, shorten, shorten_path
from agentsync.render.table import aligned, cut, paint, state
from agentsync.render.times import ago

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.lease import Presence
    from agentsync.ops.remote import Standing
    from agentsync.ops.status import Overview

STATUSES = ("active", "idle", "stale", "offline", "dead")
"""Of agents, from those who are at work to those who are gone."""

MAX_ROWS = 40
"""Locks in the table; more do not fit a screen."""

MAX_TASKS = 20
"""Tasks in the table."""

MAX_DECISIONS = 5
"""Decisions in the table, and those that a new session is told: the newest."""

MAX_COMPACT = 2000
"""Characters of the text that a new session gets."""


class _Section(Struct, frozen=True, gc=False):
    """A part of the table: what stands under one title."""

    title: str
    lines: list[str]
    count: int
    """How many there would be; there are lines for as many as one may want to see at once."""
    rest: str
    """The command that shows all of them."""


def table(board: Overview, now: datetime, colour: bool, screen: tuple[int, int] | None = None) -> list[str]:
    """Everything, aligned, one line each.

    Args:
        board: What to show.
        now: The time.
        colour: Whether to paint.
        screen: Columns and lines of a terminal: what does not fit is folded, or cut and counted.
    """
    lines = _wrapped(_summary(board), screen)
    me = board.you.presence.agent.id
    if not board.agents:
        hint = "Nobody is here yet. `agent-sync install` sets up the hooks; `agent-sync lock PATH` locks by hand."
        lines += _wrapped(hint, screen)
    elif all(presence.agent.id == me for presence in board.agents):
        lines.append("Nobody else is here.")
    sections = [section for section in _sections(board, now, colour) if section.lines]
    wanted = [len(section.lines) + (len(section.lines) < section.count) for section in sections]
    if screen is not None:
        room = screen[1] - 1 - len(lines) - 2 * len(sections)
        if board.agents and sum(wanted) > room:
            names = _folded(board, screen[0])
            sections[0] = replace(sections[0], lines=names, count=len(names))
            wanted[0] = len(names)
        wanted = shares(wanted, room)
    for section, share in zip(sections, wanted, strict=True):
        lines += ["", paint(section.title, "1") if colour else section.title]
        fits = section.count <= share
        shown = section.lines if fits else section.lines[: share - 1]  # the last line counts the rest
        shown = [cut(line, screen[0]) for line in shown] if screen is not None else shown
        lines += shown if fits else [*shown, f"  and {section.count - len(shown)} more: agent-sync {section.rest}"]
    return lines


def _wrapped(text: str, screen: tuple[int, int] | None) -> list[str]:
    if screen is None:
        return [text]
    import textwrap

    return textwrap.wrap(text, max(screen[0], 40), break_on_hyphens=False)


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """How much each gets of a room: all that it wants while there is enough, else nobody more than others who want it.

    At least 2 each: something, and the number of the rest.
    """
    found = [0] * len(wanted)
    for turn, i in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        found[i] = min(wanted[i], max(room // (len(wanted) - turn), 2))
        room -= found[i]
    return found


def _summary(board: Overview) -> str:
    counts = [_count(len(board.agents), "agent"), _count(len(board.locks), "lock")]
    counts += [_count(len(board.tasks), "open task")] if board.tasks else []
    counts += [f"{board.waiting} in line (agent-sync queue)"] if board.waiting else []
    if board.overlaps:
        counts.append(f"{_count(board.overlaps, 'path')} of yours locked in other worktrees too (agent-sync conflicts)")
    counts += [f"revision {board.revision}"]
    counts += [f"{_count(board.unread, 'message')} waiting for you: agent-sync inbox"] if board.unread else []
    return ", ".join(counts)


def _sections(board: Overview, now: datetime, colour: bool) -> list[_Section]:
    held = aligned([locks.row(held, now, colour) for held in board.locks[:MAX_ROWS]])
    work = aligned([tasks.row(seen, now, colour) for seen in board.tasks[:MAX_TASKS]])
    decided = [f"  {decision(one, now, 160)}" for one in board.decisions[: -MAX_DECISIONS - 1 : -1]]
    return [
        _Section("AGENTS", _agent_lines(board, now, colour), len(board.agents), "status --json"),
        *_machines(board, now),
        _Section("LOCKS", held, len(board.locks), "locks"),
        _Section("TASKS", work, len(board.tasks), "tasks"),
        _Section("DECISIONS", decided, len(board.decisions), "decisions"),
    ]


def _machines(board: Overview, now: datetime) -> list[_Section]:
    """The other machines, where the board is shared with some."""
    if board.remote is None:
        return []
    from agentsync.render import remote

    lines = remote.machines(board.remote, now) or ["  no others"]
    failed = ", and the last sync failed: agent-sync remote status" if board.remote.trouble else ""
    return [_Section(f"MACHINES  as seen {ago(board.remote.seen, now)}{failed}", lines, len(lines), "remote status")]


def _agent_lines(board: Overview, now: datetime, colour: bool) -> list[str]:
    here = sorted(board.agents, key=_by_name)
    return aligned([_agent_row(presence, board.you.presence.agent.id, now, colour) for presence in here])


def _folded(board: Overview, width: int) -> list[str]:
    """Only the agents' names, by status."""
    import textwrap

    me, here = board.you.presence.agent.id, sorted(board.agents, key=_by_name)
    lines = []
    for status in STATUSES:
        names = [
            escape(presence.agent.name, 32) + (" (you)" if presence.agent.id == me else "")
            for presence in here
            if presence.status == status
        ]
        head = f"  {status:<8}"
        if names:
            lines += textwrap.wrap(
                ", ".join(names), max(width, 40), initial_indent=head, subsequent_indent=" " * len(head)
            )
    return lines


def _by_name(presence: Presence) -> list[tuple[int, str]]:
    """As people sort: `agent-2` before `agent-10`."""
    parts = re.split(r"([0-9]{1,9})", presence.agent.name.casefold())
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]


def agents(board: Overview, now: datetime) -> list[str]:
    """Who is here, one line each, aligned; and how old the view of other machines is."""
    lines = aligned([_agent_row(p, board.you.presence.agent.id, now) for p in board.agents], indent="")
    return [*lines, *([_seen(board.remote, now)] if board.remote is not None else [])]


def _seen(shared: Standing, now: datetime) -> str:
    return f"other machines as seen {ago(shared.seen, now)}: agent-sync sync looks again"


def compact(board: Overview, now: datetime, limit: int = MAX_COMPACT) -> str:
    """Terse Markdown inside a frame, at most `limit` characters; what does not fit is counted."""
    me = board.you.presence.agent.id
    name = escape(board.you.presence.agent.name, 64)
    who = f"You are {name} ({me})." if board.you.registered else "You are not registered."
    head = [who, *_first(board, limit // 2)]
    others = [p for p in board.agents if p.agent.id != me]
    entries = [f"- agent {_who(p)}: {p.status}, {ago(p.agent.last_seen, now)}" for p in others]
    for held in board.locks:
        holder = "you" if held.lock.holder == me else locks.who(held)
        free = "" if held.live else ", free to take"
        reason = f": {escape(held.lock.reason, 80)}" if held.lock.reason else ""
        entries.append(f"- lock {shorten_path(held.lock.path, 80)} by {holder}{free}{reason}")
    if board.remote is not None:
        entries.append(f"- {_seen(board.remote, now)}")
    entries += [f"- decision {decision(one, now, 120)}" for one in board.decisions[: -MAX_DECISIONS - 1 : -1]]
    entries += [f"- {board.waiting} in line: agent-sync queue"] if board.waiting else []
    if board.overlaps:
        entries.append(f"- {_count(board.overlaps, 'path')} of yours locked in other worktrees: agent-sync conflicts")
    entries += [tasks.line(seen, now) for seen in board.tasks if seen.task.id != board.task]
    return _fit(head, entries, limit)


def _first(board: Overview, room: int) -> list[str]:
    """What one must not miss: one's own task, in so many characters, and mail."""
    lines = []
    mine = next((seen.task for seen in board.tasks if seen.task.id == board.task), None)
    if mine is not None:
        lines.append(f"Your task (when it is done: agent-sync complete-task {mine.id}):")
        details = [f"  {neutral(line)}" for line in tasks.details(mine)]
        cut = _cut(details, room)
        lines += cut if cut == details else [*cut, f"  all of it: agent-sync task {mine.id}"]
    if board.unread:
        lines.append(f"{_count(board.unread, 'message')} waiting for you: agent-sync inbox")
    return lines


def _cut(lines: list[str], room: int) -> list[str]:
    """The longest lines made shorter, as little as it takes for all to fit."""
    width = max(map(len, lines))
    while width > 1 and sum(min(len(line), width) + 1 for line in lines) > room:
        width -= 1
    return [shorten(line, width) for line in lines]


def _fit(head: list[str], entries: list[str], limit: int) -> str:
    """As many entries as fit, the rest counted."""
    more = f"- and {len(entries)} more: agent-sync status"
    room = limit - len(framed([*head, more]))
    shown: list[str] = []
    for entry in entries:
        room -= len(framed([entry])) - _FRAME + 1
        if room < 0:
            more = f"- and {len(entries) - len(shown)} more: agent-sync status"
            return framed([*head, *shown, more])
        shown.append(entry)
    return framed([*head, *shown])


_FRAME = len(framed([])) + 1


def _agent_row(presence: Presence, me: str, now: datetime, colour: bool = False) -> list[str]:
    agent = presence.agent
    where = escape(agent.worktree or "", 40)
    branch = escape(agent.branch or "", 40)
    host = abroad(agent.host, agent.machine).strip()
    return [
        escape(agent.name, 32) + (" (you)" if agent.id == me else ""),
        agent.id if agent.id != agent.name else "",
        escape(agent.client, 16),
        state(presence.status, colour),
        ago(agent.last_seen, now),
        " ".join(part for part in (branch, f"[{where}]" if where else "", host) if part),
        escape(agent.role or "", 40),
    ]


def _who(presence: Presence) -> str:
    agent = presence.agent
    role = f", {escape(agent.role, 40)}" if agent.role else ""
    where = abroad(agent.host, agent.machine)
    return f"{escape(agent.name, 64)} ({agent.id}, {escape(agent.client, 16)}{role}){where}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def greeting(board: Overview, now: datetime) -> str:
    """What a session is told at its start, at most `MAX_COMPACT` characters; nothing when nothing is going on."""
    alone = len(board.agents) <= 1
    if alone and not (board.locks or board.unread or board.tasks or board.decisions):
        return ""
    advice = "`agent-sync status` shows everything, `agent-sync claim-next` gives you a task."
    if not alone:
        advice = (
            "Other agents work in this repository. An edit of a file that one of them holds is refused with the "
            "reason; your own edits lock their files by themselves. `agent-sync lock PATH --reason …` holds files for "
            "longer, `agent-sync send --to NAME --message …` reaches the others, " + advice
        )
    return advice + "\n" + compact(board, now, MAX_COMPACT - len(advice) - 1)
