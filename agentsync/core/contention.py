"""Who held what when, who was in whose way: the story that the log tells.

A `Ledger` is told every event there is, oldest first, and keeps what touches a span of time; `account` gives it. Pure:
what the log does not say is handed in, namely edits, refusals, and which of the locks on disk bind now.

The log says when a lock was taken and when its record went, not when it lapsed in between. A lock that its holder gave
up, or that was forced open, is counted until then; one that somebody swept away or took over, until the holder's last
sign of life that the log and the edits know, plus its time to live. So the end of a lapsed lock is an estimate.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core.account import Account, Breach, Edit, Flow, Hold, Stay, Step, Wait
from agentsync.core.records import Agent, Decision, Event, Lock, Message, Record, Task, Waiter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from agentsync.core.refusals import Refusal

KINDS: dict[str, type[Record]] = {
    "agents": Agent,
    "locks": Lock,
    "queue": Waiter,
    "tasks": Task,
    "messages": Message,
    "decisions": Decision,
}
"""The folders whose records a ledger wants to see."""

GRANTS = frozenset({"lock", "takeover", "auto-lock", "claim-task"})
"""Verbs that end a wait with what was waited for."""


T = TypeVar("T", Hold, Wait, Stay)


class _Open(Struct, gc=False):
    """A lock that is held as far as the ledger has got."""

    hold: Hold
    lock: Lock


class Ledger:
    """Follows the log; `account` sums up. Keeps what ended before `since` out, so that a long past costs no room."""

    def __init__(self, since: datetime, until: datetime, edits: Iterable[Edit] = ()) -> None:
        self._since = since
        self._until = until
        self._edits = sorted((edit for edit in edits if edit.at <= until), key=lambda edit: edit.at)
        self._edited: dict[tuple[str, str | None], list[datetime]] = {}
        for edit in self._edits:
            for path in (edit.path, None):
                self._edited.setdefault((edit.agent, path), []).append(edit.at)
        self._seen: dict[str, datetime] = {}
        self._events = 0
        self._open: dict[str, _Open] = {}
        self._holds: list[Hold] = []
        self._line: dict[str, Wait] = {}
        self._waits: list[Wait] = []
        self._here: dict[str, Stay] = {}
        self._stays: list[Stay] = []
        self._breaches: list[Breach] = []
        self._flows: dict[str, tuple[Task, list[Step]]] = {}
        self._messages: dict[str, Message] = {}
        self._decisions: list[Decision] = []

    def follow(self, event: Event, put: Mapping[str, Record]) -> None:
        """Take the next event into account; one after `until` changes nothing.

        Args:
            event: The event.
            put: The records that it put into the folders of `KINDS`, by key; without those that cannot be read.
        """
        if event.at > self._until:
            return
        self._events += event.at >= self._since
        for change in event.changes:
            key = change.put or change.drop or ""
            record = put.get(key) if change.put else None
            if key.startswith("locks/"):
                self._lock(key, record if isinstance(record, Lock) else None, event)
            elif key.startswith("queue/"):
                self._wait(key, record if isinstance(record, Waiter) else None, event)
            elif key.startswith("agents/") and not key.startswith("agents/past/"):
                self._stay(key, record if isinstance(record, Agent) else None, event)
            elif isinstance(record, Task):
                self._task(record, event)
            elif isinstance(record, Message):
                self._messages[key] = record
            elif isinstance(record, Decision) and record.created_at >= self._since:
                self._decisions.append(record)
        if event.verb == "breach" and event.at >= self._since:
            told = (
                change.put.split("/")[1] for change in event.changes if change.put and change.put.startswith("inbox/")
            )
            self._breaches.append(
                Breach(
                    at=event.at,
                    agent=event.actor,
                    paths=event.paths,
                    holders=tuple(dict.fromkeys(told)),
                    summary=event.summary,
                )
            )
        self._seen[event.actor] = event.at

    def account(self, refusals: Iterable[Refusal], bound: Mapping[str, datetime]) -> Account:
        """What touched the span.

        Args:
            refusals: All that are known.
            bound: The locks on disk, by key, and until when each lasts as far as that is known now.
        """
        holds = [*self._holds, *(self._still(key, one, bound) for key, one in self._open.items())]
        return Account(
            since=self._since,
            until=self._until,
            events=self._events,
            agents=tuple(self._touching([*self._stays, *self._here.values()])),
            holds=tuple(self._touching(holds)),
            waits=tuple(self._touching([*self._waits, *self._line.values()])),
            refusals=tuple(one for one in refusals if self._since <= one.at <= self._until),
            breaches=tuple(self._breaches),
            edits=tuple(edit for edit in self._edits if edit.at >= self._since),
            tasks=tuple(
                Flow(task=task, steps=tuple(steps))
                for task, steps in self._flows.values()
                if task.updated_at >= self._since or task.status not in ("done", "cancelled")
            ),
            messages=tuple(one for one in self._messages.values() if self._since <= one.created_at <= self._until),
            decisions=tuple(self._decisions),
        )

    def _touching(self, found: list[T]) -> list[T]:
        touching = (one for one in found if one.until is None or one.until >= self._since)
        return sorted(touching, key=lambda one: one.since)

    # ------------------------------------------------------------ one kind each
    def _lock(self, key: str, lock: Lock | None, event: Event) -> None:
        before = self._open.pop(key, None)
        if before is not None and lock is not None and lock.holder == before.lock.holder:
            self._open[key] = _Open(replace(before.hold, reason=lock.reason, task=lock.task), lock)  # renewed
            return
        if before is not None:
            self._end(before, event)
        if lock is not None:
            hold = Hold(
                path=lock.path,
                worktree=lock.worktree,
                scope=lock.scope,
                mode=lock.mode,
                auto=lock.auto,
                holder=lock.holder,
                reason=lock.reason,
                task=lock.task,
                since=min(lock.acquired_at, event.at),
            )
            self._open[key] = _Open(hold, lock)

    def _end(self, one: _Open, event: Event) -> None:
        until, ended = event.at, event.verb
        if event.actor != one.lock.holder and event.verb not in ("force-unlock", "handoff"):
            lapsed = self._lapses(one.lock, event.at)
            until, ended = (lapsed, "lapsed") if lapsed < event.at else (until, ended)
        if until >= self._since:
            self._holds.append(replace(one.hold, until=max(until, one.hold.since), ended=ended))

    def _lapses(self, lock: Lock, now: datetime) -> datetime:
        """When a lock lapsed, as far as the log and the edits know of its holder's life before `now`."""
        edited = self._edited.get((lock.holder, lock.path if lock.auto else None), [])
        last = bisect_right(edited, now)
        signs = [lock.acquired_at, *edited[last - 1 : last]]
        if not lock.auto:
            signs.append(self._seen.get(lock.holder, lock.acquired_at))
        try:
            return max(lock.expires_at, max(signs) + timedelta(seconds=lock.ttl_s))
        except OverflowError:  # a record of nonsense
            return now

    def _still(self, key: str, one: _Open, bound: Mapping[str, datetime]) -> Hold:
        until = bound.get(key) or self._lapses(one.lock, self._until)
        if until >= self._until:
            return one.hold
        return replace(one.hold, until=max(until, one.hold.since), ended="lapsed")

    def _wait(self, key: str, waiter: Waiter | None, event: Event) -> None:
        before = self._line.pop(key, None)
        if waiter is not None and waiter.wants != "release":
            paths = tuple(wanted.path for wanted in waiter.targets)
            self._line[key] = Wait(agent=waiter.agent, wants=waiter.wants, paths=paths, since=waiter.created_at)
        elif before is not None and event.at >= self._since:
            granted = event.actor == before.agent and event.verb in GRANTS
            until = max(event.at, before.since)
            self._waits.append(replace(before, until=until, outcome="granted" if granted else "gave up"))

    def _stay(self, key: str, agent: Agent | None, event: Event) -> None:
        before = self._here.pop(key, None)
        if agent is not None and agent.status != "offline":
            since = before.since if before is not None else event.at
            self._here[key] = Stay(agent=agent.id, name=agent.name, role=agent.role, client=agent.client, since=since)
        elif before is not None and event.at >= self._since:
            self._stays.append(replace(before, until=event.at))

    def _task(self, task: Task, event: Event) -> None:
        steps = self._flows[task.id][1] if task.id in self._flows else []
        if not steps or (steps[-1].status, steps[-1].owner) != (task.status, task.owner):
            steps.append(Step(event.at, task.status, task.owner))
        self._flows[task.id] = (task, steps)
