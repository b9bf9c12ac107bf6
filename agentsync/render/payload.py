"""Outcomes as JSON values: the records as they are on disk, an agent's status as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from agentsync.core.lease import visible_status
from agentsync.core.visible import plain_json
from agentsync.render.frame import escape

if TYPE_CHECKING:
    from agentsync.core.lease import Presence
    from agentsync.core.locks import Conflict
    from agentsync.core.records import Message
    from agentsync.core.tasks import Changed, Refused
    from agentsync.errors import AgentSyncError
    from agentsync.ops.agents import Whoami
    from agentsync.ops.locks import Checked, Story
    from agentsync.ops.report import Report
    from agentsync.ops.requests import Standing
    from agentsync.ops.status import Overview
    from agentsync.ops.tasks import Seen


def dump(value: object) -> str:
    """Two-space indented JSON."""
    try:
        return plain_json(msgspec.json.format(msgspec.json.encode(value), indent=2)).decode()
    except UnicodeEncodeError:  # a path that is not UTF-8: JSON can hold it only as escapes
        import json

        return json.dumps(msgspec.to_builtins(value), indent=2)


def line(value: object) -> bytes:
    """One line of NDJSON: events keep the layout of the records in them, which has line ends."""
    return plain_json(msgspec.json.format(msgspec.json.encode(value), indent=-1)) + b"\n"


def agent(presence: Presence) -> Any:
    """An agent's record with its present status and heartbeat."""
    return replace(presence.agent, status=visible_status(presence))


def whoami(answer: Whoami) -> dict[str, Any]:
    """The agent record plus `registered` and `source`."""
    record: dict[str, Any] = msgspec.to_builtins(agent(answer.presence))
    return {**record, "registered": answer.registered, "source": answer.source}


def overview(board: Overview) -> dict[str, Any]:
    """`status --json`."""
    return {
        "you": {**whoami(board.you), "task": board.task},
        "agents": [agent(p) for p in board.agents],
        "locks": [held.lock for held in board.locks],
        "tasks": [task(seen) for seen in board.tasks],
        "decisions": list(board.decisions),
        "unread": board.unread,
        "revision": board.revision,
    }


def task(seen: Seen) -> dict[str, Any]:
    """A task's record, what it waits for, and whether it is in good hands."""
    record: dict[str, Any] = msgspec.to_builtins(seen.task)
    waits = [other.id for other in seen.unmet]
    return {**record, "blocked_by_deps": waits, "abandoned": seen.abandoned, "stalled": seen.stalled}


def changed(outcome: Changed) -> dict[str, Any]:
    """The task as it is now; the locks that came with it, which could not be had and why, and what became ready."""
    record: dict[str, Any] = msgspec.to_builtins(outcome.task)
    busy = [blocked.held.lock for blocked in outcome.busy]
    came = {"locks": outcome.locks, "busy": busy, "waiting": outcome.waiting, "ready": outcome.ready}
    return {**record, **{name: list(found) for name, found in came.items() if found}}


def task_refused(refused: Refused) -> dict[str, Any]:
    """The JSON error object of something that cannot be done with a task now."""
    return {"kind": "error", "code": 3, "message": escape(refused.why), "hint": refused.hint, "task": refused.task}


def mine(message: Message, agent_id: str) -> dict[str, Any]:
    """A message as one reader sees it: how far that one got, not how far the others did."""
    record: dict[str, Any] = msgspec.to_builtins(message)
    readers = record.pop("readers")
    own: dict[str, Any] = next((reader for reader in readers if reader["agent"] == agent_id), {})
    return {**record, **{name: own.get(name) for name in ("delivered_at", "read_at", "acked_at")}}


def checked(answer: Checked) -> dict[str, Any]:
    """One path of `check --json`."""
    verdict = answer.verdict
    return {
        "kind": "check",
        "path": answer.target.path,
        "refused": bool(verdict.blocked),
        "yours": verdict.covered,
        "held_by": [b.held.lock for b in verdict.blocked],
        "elsewhere": [held.lock for held in verdict.elsewhere],
    }


def story(answer: Story) -> dict[str, Any]:
    """`explain --json`."""
    return {
        "kind": "explanation",
        "path": answer.target.path,
        "scope": answer.target.scope,
        "refused": bool(answer.verdict.blocked),
        "locks": [held.lock for held in answer.held],
        "events": list(answer.events),
    }


def report(found: Report) -> dict[str, Any]:
    """`report --json`: the numbers behind the page, by name."""
    account: dict[str, Any] = msgspec.to_builtins(found.account, str_keys=True)
    return {
        "kind": "report",
        "project": found.project,
        "made_at": found.made_at,
        "known_since": found.known_since,
        **account,
        "hotspots": list(found.hotspots),
    }


def error(problem: AgentSyncError) -> dict[str, Any]:
    """The JSON error object."""
    return {"kind": "error", "code": problem.code, "message": escape(str(problem)), "hint": escape(problem.hint)}


def refused(message: str, hint: str, conflict: Conflict, code: int) -> dict[str, Any]:
    """The JSON error object of a conflict, with what is in the way: locks, those in line, and a circle of waits."""
    return {
        "kind": "error",
        "code": code,
        "message": message,
        "hint": hint,
        "locks": [b.held.lock for b in conflict.blocked],
        "waiting": list(conflict.waiting),
        "cycle": list(conflict.cycle),
    }


def place(answer: Standing) -> dict[str, Any]:
    """One entry of `queue --json`: the record, whether somebody is in line with it, and whom it waits for."""
    record: dict[str, Any] = msgspec.to_builtins(answer.waiter)
    stopped = {"stopped": True} if answer.stopped else {}
    return {**record, "live": answer.live, **stopped, "behind": list(answer.behind)}
