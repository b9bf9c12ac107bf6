"""What is said about other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentsync.render.frame import escape, shorten_path
from agentsync.render.table import aligned
from agentsync.render.times import ago

if TYPE_CHECKING:
    from datetime import datetime

    from agentsync.core.records import Link, Lock, Machine
    from agentsync.ops.remote import Standing
    from agentsync.ops.sync import Synced

MAX_MACHINES = 20
"""Machines in a table."""

_NAMED = 5
"""Agents of a machine that are named."""


def address(link: Link) -> str:
    """`origin (refs/agentsync/state)`."""
    return f"{escape(link.remote, 200)} ({escape(link.ref, 100)})"


def told(found: Standing, now: datetime) -> list[str]:
    """`remote status`."""
    mine = f"{found.locks} lock{'' if found.locks == 1 else 's'} of this machine on all machines"
    serial = f", commit {found.serial}" if found.serial is not None else ""
    lines = [f"board: {address(found.link)}{serial}", f"seen: {ago(found.seen, now)}"]
    lines += [f"the last sync failed: {escape(found.trouble, 300)}"] if found.trouble else []
    lines += [f"this machine: {found.link.machine}, {mine}"]
    return [*lines, *machines(found, now)]


def machines(found: Standing, now: datetime) -> list[str]:
    """The other machines, one line each."""
    rows = [_row(machine, now) for machine in found.machines[:MAX_MACHINES]]
    more = len(found.machines) - len(rows)
    return [*aligned(rows), *([f"  and {more} more"] if more > 0 else [])]


def _row(machine: Machine, now: datetime) -> list[str]:
    signs = [present.seen_at for present in machine.agents if present.seen_at is not None]
    names = [escape(present.name, 32) for present in machine.agents]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    heard = ago(max(signs), now) if signs else ""
    return [machine.id, escape(machine.host, 32), heard, ", ".join(names[:_NAMED]) + more or "nobody"]


def payload(found: Standing) -> dict[str, Any]:
    """`remote … --json`."""
    return {
        "kind": "remote",
        "link": found.link,
        "seen_at": found.seen,
        "serial": found.serial,
        "locks": found.locks,
        "trouble": found.trouble,
        "machines": list(found.machines),
    }


def is_news(done: Synced) -> bool:
    """Whether a sync brought or told anything but signs of life."""
    return bool(_came(done, "") or _counts(done))


def synced(done: Synced, dry_run: bool) -> list[str]:
    """What a sync did, or would do."""
    lines = _came(done, "would be " if dry_run else "")
    if counts := _counts(done):
        lines.append(f"{'to tell' if dry_run else 'told'} the others: {', '.join(counts)}")
    if done.rewound:
        lines.append("the board was rewound: what it had lost " + ("would be put back" if dry_run else "was put back"))
    return lines or ["nothing new"]


def _came(done: Synced, would_be: str) -> list[str]:
    came, brought = done.came, done.brought
    lines = [f"{would_be}taken over: lock on {_what(lock)}" for lock in came.guests]
    lines += [f"{would_be}gone: lock on {_what(lock)}" for lock in came.gone]
    lines += [f"{would_be}lost: lock on {_what(lock)}" for lock in came.lost]
    lines += [
        f"{would_be}taken over: task {task.id}, {task.status}: {escape(task.title, 80)}" for task in brought.tasks
    ]
    lines += [f"{would_be}gone: task {task_id}" for task_id in brought.gone]
    lines += [f"{would_be}lost: your task {task.id}: {escape(task.title, 80)}" for task in brought.lost]
    for message in brought.messages:
        lines.append(f"{would_be}taken over: message {message.id} of {escape(message.sender_name, 64)}")
    for decision in brought.decisions:
        lines.append(f"{would_be}taken over: decision {decision.id} of {escape(decision.by_name, 64)}")
    return lines


def _counts(done: Synced) -> list[str]:
    """What was told the others, counted."""
    folders = [key.partition("/")[0] for key in (*done.put, *done.dropped)]
    counts = ((folders.count(folder), folder) for folder in ("locks", "tasks", "messages", "decisions"))
    return [f"{count} {folder if count > 1 else folder[:-1]}" for count, folder in counts if count]


def synced_payload(done: Synced, dry_run: bool) -> dict[str, Any]:
    """`sync --json`."""
    return {
        "kind": "sync",
        "dry_run": dry_run,
        "came": list(done.came.guests),
        "gone": list(done.came.gone),
        "lost": list(done.came.lost),
        "tasks": list(done.brought.tasks),
        "tasks_gone": list(done.brought.gone),
        "tasks_lost": list(done.brought.lost),
        "messages": list(done.brought.messages),
        "decisions": list(done.brought.decisions),
        "put": list(done.put),
        "dropped": list(done.dropped),
        "rewound": done.rewound,
    }


def _what(lock: Lock) -> str:
    return f"{shorten_path(lock.path, 80)} of {escape(lock.holder_name, 64)} ({lock.holder})"
