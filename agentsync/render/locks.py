"""What is said about locks: a refusal, a list, a story."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core.lease import is_guest
from agentsync.render.frame import abroad, escape, framed, named, quoted, shorten_path
from agentsync.render.table import STATES, paint
from agentsync.render.times import ago, clock, span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.lease import Held
    from agentsync.core.locks import Blocked, Verdict
    from agentsync.core.paths import Target
    from agentsync.core.records import Lock
    from agentsync.ops.commands import Damage
    from agentsync.ops.locks import Story

MAX_DENIAL = 1500
"""Characters of a denial: it costs the model context on every try."""

_TYPED = 150
"""Characters of a path that a command is spelled out for."""

_NAMED = 5
"""Locks that an answer about one path names."""

_SHOWN = 2
"""Locks that a refusal describes; the rest are counted."""


def who(held: Held) -> str:
    """`alice (claude-3fa9c1d2)`; of an agent of another machine, where that is, too."""
    return f"{escape(held.lock.holder_name, 64)} ({held.lock.holder}){machine(held)}"


def machine(held: Held) -> str:
    """` on laptop` for a lock of an agent of another machine; nothing for others."""
    if not is_guest(held.lock):
        return ""
    return abroad(held.holder.agent.host if held.holder else "", held.lock.machine)


def reach(lock: Lock) -> str:
    """Where a lock binds beyond its own working tree; nothing when it does not."""
    if lock.machine is not None:
        return "all machines"
    return "everywhere" if lock.everywhere else ""


def facts(blocked: Blocked, now: datetime) -> list[str]:
    """One lock that is in the way, one value per line, escaped."""
    held = blocked.held
    lock = held.lock
    lines = [f"path: {shorten_path(blocked.target.path)}"]
    if lock.path != blocked.target.path:
        lines.append(f"locked as: {shorten_path(lock.path)} ({lock.scope})")
    seen = f", {held.holder.status}, last seen {ago(held.holder.agent.last_seen, now)}" if held.holder else ""
    lines.append(f"holder: {who(held)}{seen}")
    if lock.reason:
        lines.append(f"reason: {escape(lock.reason, 240)}")
    elif lock.auto:
        lines.append("reason: it is being edited (automatic lock)")
    lines.append(f"since: {clock(lock.acquired_at, now)} ({ago(lock.acquired_at, now)})")
    moves = "the last edit" if lock.auto else "the holder's last sign of life"
    if lock.process is not None:
        lines.append(f"until: its command has ended (process {lock.process.pid})")
    else:
        lines.append(f"until: {clock(held.until, now)} (in {span(held.until - now)}, counted from {moves})")
    return lines


def refusal(blocked: Sequence[Blocked], now: datetime, width: int = 0, more: Sequence[str] = ()) -> str:
    """The framed facts of a refusal, each line at most `width` characters (0 = as long as it is).

    Args:
        blocked: Whose locks are in the way.
        now: The time.
        width: Characters of a line.
        more: Further lines, escaped.
    """
    lines: list[str] = []
    for one in blocked[:_SHOWN]:
        lines += facts(one, now)
    if len(blocked) > _SHOWN:
        lines.append(f"and {len(blocked) - _SHOWN} more: agent-sync locks")
    return framed([*lines, *more], width)


def denial(path: str, blocked: Sequence[Blocked], now: datetime, how: str | None = None) -> str:
    """What a model is told whose edit is refused: who, why, since and until when, and what to do.

    At most `MAX_DENIAL` characters: where names and reasons are long, their lines are cut.

    Args:
        path: As the agent would type it.
        blocked: Whose locks are in the way; none = the path requires a lock by hand.
        now: The time.
        how: What in a shell command would write it; None = a tool that edits.
    """
    text = ""
    for width in (0, 250, 120, 70):
        text = _denial(path, blocked, now, width, how)
        if len(text) <= MAX_DENIAL:
            break
    return text


def _denial(path: str, blocked: Sequence[Blocked], now: datetime, width: int, how: str | None) -> str:
    name = quoted(path) if len(path) <= _TYPED else None
    did_not = "The edit did not happen: "
    if how is not None:
        did_not = f"The command did not run, none of it ({escape(how, 40)} would write this): "
    again = f"`agent-sync check {name}` tells when it is free" if name else "`agent-sync locks` tells when it is free"
    if not blocked:
        command = f"agent-sync lock {name} --reason …" if name else "agent-sync lock PATH --reason …"
        return "\n".join(
            [
                f"{did_not}this repository requires a lock taken by hand on this path.",
                framed([f"path: {shorten_path(path)}"], width),
                f"Next: take it with `{command}`, then try again.",
            ]
        )
    return "\n".join(
        [
            f"{did_not}another agent is working on this file.",
            refusal(blocked, now, width),
            f"Next: go on with something else and come back; {again}. "
            "Do not write the file by another way, and do not undo the other agent's work.",
        ]
    )


def elsewhere(held: Sequence[Held], now: datetime) -> str:
    """A warning: the same path is being worked on in another worktree."""
    lines = []
    for one in held[:_NAMED]:
        where = f"worktree {escape(one.lock.worktree, 64)}" if one.lock.worktree else "the main worktree"
        on = f" on branch {escape(one.lock.branch, 100)}" if one.lock.branch else ""
        since = ago(one.lock.acquired_at, now)
        lines.append(f"{shorten_path(one.lock.path)} is locked in {where}{on} by {who(one)} since {since}")
        if one.lock.reason:
            lines.append(f"  reason: {escape(one.lock.reason, 240)}")
    return (
        "The edit is allowed, but the same path is being worked on in another worktree: expect a merge conflict.\n"
        + framed(lines, width=400)
    )


def breach(blocked: Sequence[Blocked], now: datetime) -> str:
    """What an editor is told whose edit got past a lock."""
    return (
        "This edit went through although another agent holds the file (the lock was taken while you were editing).\n"
        + refusal(blocked, now)
        + "\nNext: stop editing it, and tell the user; `git diff` on it shows what both of you changed. "
        "The holder has been told."
    )


def damage(found: Sequence[Damage], now: datetime) -> str:
    """What an agent is told during whose command files of others changed."""
    lines = []
    for one in found[:_NAMED]:
        lines.append(f"{'removed' if one.gone else 'changed'}: {shorten_path(one.path)}, held by {who(one.held)}")
        if one.copy:
            lines.append(f"  its content before: {escape(one.copy, 300)}")
    if len(found) > _NAMED:
        lines.append(f"and {len(found) - _NAMED} more")
    return (
        "While your command ran, files changed that another agent holds and did not report to have edited.\n"
        + framed(lines, width=400)
        + "\nNext: if your command did it, tell the holder (agent-sync send), who can restore its work from the copy; "
        "do not restore it yourself while the holder is at it. The holder has been told."
    )


def row(held: Held, now: datetime, colour: bool = False) -> list[str]:
    """Cells for a table: path, holder, what it is, since, until, reason."""
    lock = held.lock
    kind = [word for word, there in ((lock.mode, lock.mode == "shared"), ("auto", lock.auto)) if there]
    if beyond := reach(lock):
        kind.append(beyond)
    elif lock.worktree:
        kind.append(f"in {escape(lock.worktree, 40)}")
    if not held.live:
        status: str = held.holder.status if held.holder else "expired"
        status = "its command has ended" if lock.process is not None else status
        free = f"{status}: free to take"
        kind.append(paint(free, STATES["stale"]) if colour else free)
    until = f"until {clock(held.until, now)}"
    reason = escape(lock.reason or "", 80)
    holder = named(lock.holder_name, lock.holder) + machine(held)
    return [shorten_path(lock.path, 60), holder, ", ".join(kind), ago(lock.acquired_at, now), until, reason]


def sentence(blocked: Blocked, now: datetime) -> str:
    """`src/api.py is held by backend (claude-3fa9c1d2, active, 12 s ago, until 14:05 UTC): reason`."""
    held = blocked.held
    holder = held.holder
    life = f", {holder.status}, {ago(holder.agent.last_seen, now)}" if holder else ""
    lock = held.lock
    by = "" if lock.path == blocked.target.path else f" (as {shorten_path(lock.path)})"
    reason = f": {escape(lock.reason, 240)}" if lock.reason else ""
    name = f"{escape(lock.holder_name, 64)} ({lock.holder}{life}, until {clock(held.until, now)}){machine(held)}"
    return f"{shorten_path(blocked.target.path)} is held by {name}{by}{reason}"


def verdict(target: Target, found: Verdict, now: datetime) -> list[str]:
    """What an edit would meet."""
    lines = [f"refused: {sentence(blocked, now)}" for blocked in found.blocked[:_NAMED]]
    if len(found.blocked) > _NAMED:
        lines.append(f"  and {len(found.blocked) - _NAMED} more locks in it: agent-sync locks")
    if not lines:
        lines = [f"yours: {shorten_path(target.path)}" if found.covered else f"free: {shorten_path(target.path)}"]
    for held in found.elsewhere[:_NAMED]:
        where = f"worktree {escape(held.lock.worktree, 64)}" if held.lock.worktree else "the main worktree"
        lines.append(f"  also locked in {where} by {who(held)}")
    return lines


def story(told: Story, now: datetime) -> list[str]:
    """A path's holder, its last events, and what to do."""
    path = shorten_path(told.target.path)
    lines = []
    for held in told.held[:_NAMED]:
        lock = held.lock
        life = f", {held.holder.status}, last seen {ago(held.holder.agent.last_seen, now)}" if held.holder else ""
        lines.append(f"{shorten_path(lock.path)} is {'held' if held.live else 'no longer held'} by {who(held)}{life}")
        lines += [f"  {line}" for line in _details(held, now)]
    if len(told.held) > _NAMED:
        lines.append(f"and {len(told.held) - _NAMED} more locks touch it: agent-sync locks")
    if not lines:
        lines.append(f"{path} is not locked")
    if told.waiting:
        from agentsync.render.queue import standing

        lines += standing(told.waiting, now)
    if told.events:
        lines.append("last events:")
        lines += [f"  {event.rev}  {ago(event.at, now)}  {escape(event.summary, 200)}" for event in told.events]
    if told.verdict.blocked:
        lines.append("you: an edit would be refused; come back after the time above, or ask the holder")
    elif told.verdict.covered:
        lines.append(f"you: it is yours; agent-sync unlock {quoted(told.target.path) or 'PATH'} lets go")
    else:
        lines.append(f"you: free to edit; agent-sync lock {quoted(told.target.path) or 'PATH'} holds it")
    return lines


def _details(held: Held, now: datetime) -> list[str]:
    lock = held.lock
    bound = reach(lock) or (f"in worktree {escape(lock.worktree, 64)}" if lock.worktree else "")
    lines = [
        f"since {clock(lock.acquired_at, now)} ({ago(lock.acquired_at, now)}), until {clock(held.until, now)}",
        f"{lock.mode}, {'by an edit' if lock.auto else 'by hand'}, token {escape(lock.token, 64)}"
        + (f", {bound}" if bound else ""),
    ]
    return [f"reason: {escape(lock.reason, 240)}", *lines] if lock.reason else lines
