"""The agents and what each is at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agentsync.console.table import Column, Row, View, age, counted, line, newest
from agentsync.render.frame import abroad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.lease import Presence
    from agentsync.core.records import Event
    from agentsync.ops.survey import Survey
    from agentsync.store.activity import Line


def _branch(presence: Presence) -> str:
    agent = presence.agent
    where = f"[{agent.worktree}]" if agent.worktree else abroad(agent.host, agent.machine).strip()
    return line(" ".join(part for part in (agent.branch, where) if part))


def _file(here: AgentHere) -> str:
    return line(here.edit.path) if here.edit is not None else ""


class AgentHere(NamedTuple):
    """An agent with what it is at."""

    presence: Presence
    edit: Line | None
    task: str
    locks: int


def _agents(seen: Survey, _events: Sequence[Event]) -> list[Row]:
    titles = {one.task.id: one.task.title for one in seen.tasks}
    working = {one.task.owner: one.task.title for one in seen.tasks if one.task.status == "in_progress"}
    held: dict[str, int] = {}
    for one in seen.locks:
        held[one.lock.holder] = held.get(one.lock.holder, 0) + 1
    rows = []
    for presence in seen.agents:
        agent = presence.agent
        task = titles.get(agent.task or "", "") or working.get(agent.id, "")
        here = AgentHere(presence, seen.edits.get(agent.id), task, held.get(agent.id, 0))
        rows.append(Row(agent.id, here))
    return sorted(rows, key=lambda row: (_LIVELY.get(row.item.presence.status, 9), row.item.presence.agent.name))


_LIVELY = {"active": 0, "idle": 1, "stale": 2, "offline": 3, "dead": 4}
_STATUS_TONE = {"active": "good", "idle": "calm", "stale": "warn", "offline": "dim", "dead": "bad"}

AGENTS = View(
    "agents",
    "Agents",
    (
        Column(
            "AGENT", 13, lambda a, _: line(a.presence.agent.name), lambda a: a.presence.agent.name.casefold(), grows=2
        ),
        Column(
            "STATUS",
            7,
            lambda a, _: a.presence.status,
            lambda a: _LIVELY.get(a.presence.status, 9),
            tone=lambda a: _STATUS_TONE.get(a.presence.status, ""),
        ),
        Column("CLIENT", 8, lambda a, _: line(a.presence.agent.client), lambda a: a.presence.agent.client),
        Column("BRANCH", 9, lambda a, _: _branch(a.presence), lambda a: _branch(a.presence), grows=1, tail=True),
        Column("TASK", 11, lambda a, _: line(a.task), lambda a: (not a.task, a.task), grows=4),
        Column("FILE", 11, lambda a, _: _file(a), lambda a: (not a.edit, _file(a)), grows=4, tail=True),
        Column("LOCKS", 5, lambda a, _: str(a.locks or ""), lambda a: -a.locks, rank=1),
        Column(
            "SEEN",
            6,
            lambda a, now: age(a.presence.agent.last_seen, now),
            lambda a: newest(a.presence.agent.last_seen),
        ),
    ),
    _agents,
    "Nobody is here. Agents come by themselves once `agent-sync install` has set up their hooks.",
    lambda seen, _: counted(
        f"{presence.status}{' elsewhere' if presence.agent.machine else ''}" for presence in seen.agents
    ),
    lambda a: a.presence.agent.id,
)
