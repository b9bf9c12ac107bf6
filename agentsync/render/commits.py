"""What a committer is told: whose files would go along, what was released, what a sweeping command would do."""

from __future__ import annotations

from posixpath import relpath
from typing import TYPE_CHECKING

from agentsync.render.frame import escape, framed, quoted, shorten_path
from agentsync.render.locks import facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.lease import Presence
    from agentsync.core.locks import Blocked
    from agentsync.core.sweeps import Sweep
    from agentsync.ops.commits import Stop

MAX_PATHS = 500
"""Paths that a refusal lists; the rest are counted."""

_SPELLED = 5
"""Paths that a command is spelled out for."""

_NAMED = 5
"""Peers that a warning names."""


def commit_refused(stop: Stop, now: datetime, terminal: bool) -> str:
    """Why a commit does not happen, path by path, and how to commit the rest."""
    head = f"agent-sync: nothing was committed: {_count(stop.blocked)} in it held by another agent"
    return "\n".join([head, _listed(stop.blocked, now, terminal), f"Next: {_way_out(stop)}."])


def push_answer(stop: Stop, now: datetime, terminal: bool) -> str:
    """Why a push does not happen, or what is to be known about it."""
    lines = []
    if stop.blocked:
        verdict = "nothing was pushed: " if stop.enforce else ""
        lines = [f"agent-sync: {verdict}{_count(stop.blocked)} in this push held by another agent"]
        lines.append(_listed(stop.blocked, now, terminal))
    if stop.elsewhere:
        count = _count(stop.elsewhere)
        lines.append(f"agent-sync: {count} in this push locked in another worktree: expect a merge conflict")
        lines.append(_listed(stop.elsewhere, now, terminal))
    if stop.enforce:
        lines.append("Next: ask the holder (agent-sync request PATH), and push when it has let go.")
    return "\n".join(lines)


def _count(blocked: Sequence[Blocked]) -> str:
    paths = len({one.target.path for one in blocked})
    return "1 path is" if paths == 1 else f"{paths} paths are"


def _listed(blocked: Sequence[Blocked], now: datetime, terminal: bool) -> str:
    """All paths, those under one lock together."""
    groups: dict[str, list[Blocked]] = {}
    for one in blocked[:MAX_PATHS]:
        groups.setdefault(f"{one.held.lock.token} {one.held.lock.path}", []).append(one)
    lines: list[str] = []
    for group in groups.values():
        lines += [f"path: {escape(one.target.path, 4096)}" for one in group[:-1]]
        lines += facts(group[-1], now)
    if len(blocked) > MAX_PATHS:
        lines.append(f"and {len(blocked) - MAX_PATHS} more: agent-sync locks")
    return "\n".join(f"  {line}" for line in lines) if terminal else framed(lines)


def _way_out(stop: Stop) -> str:
    paths = list(dict.fromkeys(one.target.path for one in stop.blocked))
    typed = [quoted(relpath(path, stop.prefix) if stop.prefix else path) for path in paths]
    named = " ".join(filter(None, typed)) if len(paths) <= _SPELLED and all(typed) else "PATH …"
    again = f"agent-sync check {named} tells when it is free" if len(paths) <= _SPELLED else "agent-sync locks"
    if stop.way == "merge":
        return f"git merge --abort, and merge again when the holder has let go ({again})"
    if stop.way == "paths":
        return f"commit only what is yours: git commit -- YOUR PATHS ({again})"
    unstage = "git rm --cached" if stop.way == "first" else "git restore --staged"
    return f"leave it out: {unstage} -- {named}, then commit the rest; its holder commits it ({again})"


def released(paths: Sequence[str], unfinished: Sequence[str]) -> list[str]:
    """What the committer no longer holds, in a line or two."""
    lines = []
    if paths:
        lines.append(f"agent-sync: committed, so no longer locked by you: {_some(paths)}")
    if unfinished:
        lines.append(f"agent-sync: still locked by you, for it has uncommitted changes: {_some(unfinished)}")
    return lines


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SPELLED} more" if len(paths) > _SPELLED else ""
    return ", ".join(shorten_path(path) for path in paths[:_SPELLED]) + more


def sweep(found: Sweep, peers: Sequence[Presence], held: dict[str, list[str]]) -> str:
    """A warning for a model that is about to touch what its peers are doing."""
    lines = []
    for peer in peers[:_NAMED]:
        holds = held.get(peer.agent.id, [])
        what = f", holds {_some(sorted(holds))}" if holds else ""
        lines.append(f"{escape(peer.agent.name, 64)} ({peer.agent.id}, {peer.status}){what}")
    if len(peers) > _NAMED:
        lines.append(f"and {len(peers) - _NAMED} more: agent-sync status")
    return (
        f"`{found.command}` {found.does}, and you are not alone in this working tree:\n"
        + framed(lines, width=400)
        + f"\nBetter: {found.instead}."
    )
