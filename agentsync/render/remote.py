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
        "machines": list(found.machines),
    }


def is_news(done: Synced) -> bool:
    """Whether a sync changed any lock."""
    return bool(done.came.guests or done.came.gone or done.came.lost or _locks(done.put) or _locks(done.dropped))


def synced(done: Synced, dry_run: bool) -> list[str]:
    """What a sync did, or would do."""
    came = done.came
    lines = [f"{'would come' if dry_run else 'came'}: {_what(lock)}" for lock in came.guests]
    lines += [f"{'would go' if dry_run else 'gone'}: {_what(lock)}" for lock in came.gone]
    lines += [f"{'would be lost' if dry_run else 'lost'}: {_what(lock)}" for lock in came.lost]
    told_of = len(_locks(done.put)) + len(_locks(done.dropped))
    if told_of:
        lines.append(f"{'to tell' if dry_run else 'told'} the others: {told_of} locks")
    if done.rewound:
        lines.append("the board was rewound: what it had lost " + ("would be put back" if dry_run else "was put back"))
    return lines or ["nothing new"]


def synced_payload(done: Synced, dry_run: bool) -> dict[str, Any]:
    """`sync --json`."""
    return {
        "kind": "sync",
        "dry_run": dry_run,
        "came": list(done.came.guests),
        "gone": list(done.came.gone),
        "lost": list(done.came.lost),
        "put": list(done.put),
        "dropped": list(done.dropped),
        "rewound": done.rewound,
    }


def _what(lock: Lock) -> str:
    return f"{shorten_path(lock.path, 80)} of {escape(lock.holder_name, 64)} ({lock.holder})"


def _locks(keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if key.startswith("locks/")]
