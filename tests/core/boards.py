"""A board in memory, for decisions about tasks: who is there, what is on it, what is held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from agentsync.core import keys, lease
from agentsync.core.changes import Drop, Put, Stamp
from agentsync.core.lease import Held, Presence
from agentsync.core.paths import overlap, target_of
from agentsync.core.records import Agent, Lock, Message, Task, Waiter
from agentsync.core.tasks import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentsync.core.changes import Write
    from agentsync.core.lease import Status
    from agentsync.core.paths import Target

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
STAMP = Stamp(NOW, 77, "s")


def agent(agent_id: str, **more: Any) -> Agent:
    return Agent(id=agent_id, name=agent_id.title(), created_at=NOW, last_seen=NOW, **more)


def task(task_id: str = "t-a", **more: Any) -> Task:
    """A task that alice put on the board an hour ago."""
    then = NOW - timedelta(hours=1)
    fields = {"title": task_id.upper(), "created_by": "alice", "created_at": then, "updated_at": then, **more}
    return Task(id=task_id, **fields)


def owned(owner: str | None, task_id: str = "t-a", **more: Any) -> Task:
    """One that somebody works on."""
    return task(task_id, **{"status": "in_progress", "owner": owner, "owner_name": owner and owner.title(), **more})


def lock(path: str, holder: str, **more: Any) -> Lock:
    """A lock with the token of an earlier revision."""
    scope = "resource" if path.startswith("@") else "dir" if path.endswith("/") else "glob" if "*" in path else "file"
    fields = {
        "scope": scope,
        "mode": "exclusive",
        "holder": holder,
        "holder_name": holder.title(),
        "token": "s:5",
        "acquired_at": NOW,
        "expires_at": NOW + timedelta(hours=1),
        "ttl_s": 3600,
        **more,
    }
    return Lock(path=path, **fields)


class Table:
    """What a store answers to decisions, from plain dictionaries."""

    def __init__(
        self, tasks: Iterable[Task] = (), agents: dict[str, Status] | None = None, locks: Iterable[Lock] = ()
    ) -> None:
        self.records: dict[str, Any] = {keys.task(one.id): one for one in tasks}
        self.records |= {keys.lock(one): one for one in locks}
        self.status: dict[str, Status] = agents if agents is not None else {"me": "active", "other": "active"}

    def presence(self, agent_id: str) -> Presence | None:
        status = self.status.get(agent_id)
        return Presence(agent(agent_id), status) if status else None

    def presences(self) -> list[Presence]:
        return [found for name in sorted(self.status) if (found := self.presence(name))]

    def past_agent(self, agent_id: str) -> Agent | None:
        return None

    def tasks(self) -> list[Task]:
        found = [one for one in self.records.values() if isinstance(one, Task)]
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def task(self, task_id: str) -> Task | None:
        return self.records.get(keys.task(task_id))

    def locks(self) -> list[Held]:
        found = [one for one in self.records.values() if isinstance(one, Lock)]
        return [lease.held(one, one.acquired_at, self.presence(one.holder), NOW) for one in found]

    def touching(self, target: Target) -> list[Held]:
        return [held for held in self.locks() if overlap(target_of(held.lock), target)]

    def line(self) -> list[Waiter]:
        return [one for one in self.records.values() if isinstance(one, Waiter)]

    def at(self, target: Target) -> list[Held]:
        return [held for held in self.locks() if target_of(held.lock) == target]

    def apply(self, write: Write) -> None:
        """What the store does with one write."""
        match write:
            case Put(key, record):
                self.records[key] = record
            case Drop(key):
                self.records.pop(key, None)

    def attempt(self, one: Task, me: str = "me", force: bool = False) -> Attempt:
        return Attempt(self, agent(me), one, STAMP, force)


def told(writes: Iterable[Write]) -> dict[str, str]:
    """What each agent is told by a decision."""
    found = [w.record for w in writes if isinstance(w, Put) and isinstance(w.record, Message)]
    assert len({message.to for message in found}) == len(found), "two notices of one revision: one would be lost"
    return {message.to: message.body for message in found}
