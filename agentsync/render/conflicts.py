"""What is said about merges to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentsync.core.visible import is_visible
from agentsync.render.frame import abroad, escape, shorten_path
from agentsync.render.locks import who
from agentsync.render.payload import agent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.lease import Presence
    from agentsync.ops.conflicts import Ahead
    from agentsync.ops.partners import Partners

_SHOWN = 20
"""Paths of each kind that are listed for one branch."""


def told(found: Sequence[Ahead]) -> list[str]:
    """One paragraph for each branch."""
    lines: list[str] = []
    for one in found:
        lines.append(f"{_branch(one)}: {_verdict(one)}")
        lines += _listed([f"conflict: {shorten_path(path)}" for path in one.conflicts])
        paths = [f"{shorten_path(b.target.path)}, changed here, is locked there by {who(b.held)}" for b in one.overlap]
        lines += _listed(paths)
    return lines


def partners_told(found: Partners) -> list[str]:
    """The same with the branches of a remote, and what was left out."""
    lines = told(found.all)
    remote = escape(found.remote, 100)
    if not found.branches:
        lines.append(f"no branch of {remote} has anything that is not merged here")
    if found.left:
        lines.append(f"left out: {found.left} more of {remote}, older or too many; agent-sync conflicts --fetch BRANCH")
    gone = [escape(branch, 100) for branch in found.absent[:_SHOWN]]
    more = [f"{len(found.absent) - _SHOWN} more"] if len(found.absent) > _SHOWN else []
    if gone:
        lines.append(f"agents on other machines work on these, not pushed to {remote}: {', '.join([*gone, *more])}")
    return lines


def partners_payload(found: Partners) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "kind": "partners",
        "remote": escape(found.remote),
        "ahead": payload(found.all),
        "left": found.left,
        "absent": [_plain(branch) for branch in found.absent],
    }


def payload(found: Sequence[Ahead]) -> list[dict[str, Any]]:
    """The same as JSON values."""
    return [
        {
            "kind": "ahead",
            "branch": escape(one.branch),
            "remote": escape(one.remote) if one.remote else None,
            "worktree": one.worktree.name if one.worktree else None,
            "path": escape(one.worktree.path) if one.worktree else None,
            "agents": [agent(presence) for presence in one.agents],
            "conflicts": [_plain(path) for path in one.conflicts],
            "uncommitted": one.uncommitted,
            "locked": [{"path": _plain(b.target.path), "lock": b.held.lock} for b in one.overlap],
            "problem": one.problem,
        }
        for one in found
    ]


def _plain(path: str) -> str:
    return path if all(map(is_visible, path)) else escape(path)


def _branch(one: Ahead) -> str:
    agents = ", ".join(_agent(presence) for presence in one.agents[:_SHOWN])
    name = f" [{escape(one.worktree.name, 40)}]" if one.worktree and one.worktree.name else ""
    remote = f"{escape(one.remote, 100)}/" if one.remote else ""
    return f"{remote}{escape(one.branch, 100)}{name}" + (f", {agents}" if agents else "")


def _agent(presence: Presence) -> str:
    agent = presence.agent
    return f"{escape(agent.name, 64)} ({agent.id}){abroad(agent.host, agent.machine)}"


def _verdict(one: Ahead) -> str:
    if one.problem:
        return f"cannot be tried: {escape(one.problem, 300)}"
    with_what = " (with uncommitted changes)" if one.uncommitted else ""
    if not one.conflicts:
        return f"merges cleanly{with_what}"
    count = "1 path" if len(one.conflicts) == 1 else f"{len(one.conflicts)} paths"
    return f"{count} in conflict{with_what}"


def _listed(entries: list[str]) -> list[str]:
    lines = [f"  {entry}" for entry in entries[:_SHOWN]]
    return lines + ([f"  and {len(entries) - _SHOWN} more (--json has all)"] if len(entries) > _SHOWN else [])
