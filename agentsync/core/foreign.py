"""Records out of the tables of an agent-sync that keeps its state in SQLite.

Its tables are known by name (`agents tasks task_files locks messages message_deliveries decisions activity`), their
columns are not: each value is looked for under the names it may have. Ids are kept where they can be ids here. What is
not understood is counted, by reason, and left out; nothing is made up.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from agentsync.core import keys
from agentsync.core.agents import RESERVED
from agentsync.core.decisions import MAX_TEXT as MAX_DECISION
from agentsync.core.messages import MAX_BODY, copy_of
from agentsync.core.paths import is_valid_id
from agentsync.core.progress import MAX_FILES, MAX_PRIORITY, MAX_TEXT, MAX_TITLE
from agentsync.core.records import Agent, Decision, Event, Message, Progress, Reader, Record, Task
from agentsync.core.rows import path_of, rows

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from datetime import datetime

    from agentsync.core.rows import Row

TABLES = ("agents", "tasks", "task_files", "locks", "messages", "message_deliveries", "decisions", "activity")

MAX_ID = 10**9
"""The greatest number that is kept as one: revisions go on from it."""

STATUS: dict[str, Progress] = {
    **dict.fromkeys(("pending", "open", "todo", "new", "ready", "queued", "unclaimed"), "pending"),
    **dict.fromkeys(("in_progress", "in-progress", "claimed", "active", "doing", "started", "assigned"), "in_progress"),
    "blocked": "blocked",
    **dict.fromkeys(("done", "completed", "complete", "finished", "closed"), "done"),
    **dict.fromkeys(("cancelled", "canceled", "abandoned", "dropped"), "cancelled"),
}


class Found:
    """What the tables hold, as records here, with the places they go to."""

    def __init__(self, tables: Mapping[str, Sequence[Mapping[str, object]]], now: datetime) -> None:
        """Read all tables.

        Args:
            tables: Rows, each by lower-case column names, by table; a table may be missing.
            now: Stands for times that are missing or no times.
        """
        self.records: dict[str, Record] = {}
        self.left_out: Counter[str] = Counter()
        self._now = now
        self._names: dict[str, str] = {}
        """Names, by ids here."""
        self._agents: dict[str, str] = {}
        """Ids here, by ids and names there."""
        self._tasks_here: set[str] = set()
        used: dict[str, set[str]] = {table: set() for table in TABLES}
        there = {table: rows(tables.get(table, ()), used[table]) for table in TABLES}
        for row in there["agents"]:
            self._agent(row)
        self._tasks(there["tasks"], there["task_files"])
        numbers = [number for table in ("messages", "decisions") for number in _numbers(there[table])]
        self.revision = max([len(there["activity"]), *numbers], default=0)
        """The last that a numbered id takes, and that of the last event."""
        self._messages(there["messages"], there["message_deliveries"])
        self._decisions(there["decisions"])
        self.events = tuple(self._events(there["activity"]))
        if there["locks"]:
            self.left_out["locks: whoever goes on takes them again"] += len(there["locks"])
        for table in used.keys() - {"locks"}:
            columns = {name for row in tables.get(table, ()) for name, value in row.items() if value is not None}
            self.left_out |= {f"column: {table}.{column[:60]}": 1 for column in sorted(columns - used[table])}

    # ------------------------------------------------------------ who
    def _agent(self, row: Row) -> None:
        there, name = row.text("id", "agent_id"), row.text("name", "agent_name", "display_name")
        agent_id = self._free(name if name and (there is None or there.isdigit()) else there, "x-", self._names)
        if agent_id is None:
            self.left_out["agents without an id"] += 1
            return
        self._agents |= {word: agent_id for word in (there, name) if word}
        name = (name or agent_id)[:64]
        self._names[agent_id] = name
        created = row.time("created_at", "registered_at", "first_seen", "started_at", "joined_at")
        seen = row.time("last_seen", "last_heartbeat", "heartbeat_at", "last_heartbeat_at", "updated_at")
        self.records[keys.past_agent(agent_id)] = Agent(
            id=agent_id,
            name=name,
            role=row.text("role"),
            client=row.text("client", "agent_type", "type", "tool") or "shell",
            status="offline",
            created_at=created or seen or self._now,
            last_seen=seen or created or self._now,
        )

    @staticmethod
    def _free(word: str | None, prefix: str, taken: Container[str]) -> str | None:
        """The id here for a word there: the same if it can be one, and nobody has it."""
        if not word:
            return None
        plain = word if is_valid_id(word) else re.sub(r"[^a-z0-9._-]+|\.\.+", "-", word.lower())[:56].strip(".-_")
        plain = plain if is_valid_id(plain) and plain not in RESERVED else f"{prefix}{plain}".rstrip(".-_")
        choice = (plain, *(f"{plain}-{number}" for number in range(2, 100)))
        return next((one for one in choice if one not in taken and is_valid_id(one)), None)

    def _who(self, word: str | None) -> str | None:
        """The id here of an agent that a row names; one that no table has is remembered by nothing but that."""
        if not word:
            return None
        if word not in self._agents and (made := self._free(word, "x-", self._names)) is not None:
            self._agents[word], self._names[made] = made, word[:64]
        return self._agents.get(word)

    # ------------------------------------------------------------ work
    def _tasks(self, tasks: Sequence[Row], files: Sequence[Row]) -> None:
        ids: dict[str, str] = {}
        for row in tasks:
            there = row.text("id", "task_id", "uid")
            here = self._free(there, "t-", self._tasks_here) if there not in ids else None
            if there is None or here is None:
                self.left_out["tasks without an id of their own"] += 1
                continue
            ids[there] = here
            self._tasks_here.add(here)
        paths: dict[str, list[str]] = {}
        for row in files:
            path = path_of(row.text("path", "file_path", "file", "filename"))
            if (task := row.text("task_id", "task")) is None or path is None or task not in ids:
                self.left_out["files of tasks: no such task, or no path"] += 1
                continue
            paths.setdefault(task, []).append(path)
        for row in tasks:
            if (there := row.text("id", "task_id", "uid")) in ids:
                self._task(row, ids[there], paths.get(there, []), ids)

    def _task(self, row: Row, task_id: str, files: list[str], ids: Mapping[str, str]) -> None:
        title = row.text("title", "name", "subject", "description") or task_id
        description = row.text("description", "details", "body")
        if len(title) > MAX_TITLE:
            description, title = description or title, f"{title[: MAX_TITLE - 1]}…"
        status = STATUS.get((row.text("status", "state") or "pending").lower())
        if status is None:
            self.left_out["states of tasks that are not known: they are open now"] += 1
        owner = self._who(row.text("owner", "owner_id", "assigned_to", "assignee", "claimed_by", "agent_id"))
        if status in (None, "pending") or owner is None:
            status, owner = status if status not in (None, "in_progress") else "pending", None
        files = [*files, *(path for word in row.words("files", "paths") if (path := path_of(word)))]
        created = row.time("created_at", "created") or self._now
        updated = row.time("updated_at", "modified_at") or created
        finished = row.time("completed_at", "finished_at", "done_at") or updated
        self.records[keys.task(task_id)] = Task(
            id=task_id,
            title=title,
            description=description[:MAX_TEXT] if description and description != title else None,
            status=status or "pending",
            priority=row.priority(MAX_PRIORITY),
            files=tuple(dict.fromkeys(files))[:MAX_FILES],
            depends_on=tuple(ids[word] for word in row.words("depends_on", "dependencies", "deps") if word in ids),
            owner=owner,
            owner_name=self._names.get(owner or ""),
            checkpoint=(row.text("checkpoint") or "")[:MAX_TEXT] or None,
            note=(row.text("note", "notes", "result", "summary") or "")[:MAX_TEXT] or None,
            blocked_reason=(row.text("blocked_reason", "block_reason") or "")[:MAX_TEXT] or None,
            created_by=self._who(row.text("created_by", "creator", "author")) or owner or UNKNOWN,
            created_at=created,
            updated_at=updated,
            claimed_at=row.time("claimed_at", "started_at") if owner else None,
            completed_at=finished if status in ("done", "cancelled") else None,
        )

    # ------------------------------------------------------------ words
    def _messages(self, messages: Sequence[Row], deliveries: Sequence[Row]) -> None:
        readers: dict[str, list[Reader]] = {}
        for row in deliveries:
            of, agent = (
                row.text("message_id", "message"),
                self._who(row.text("agent_id", "recipient", "reader", "agent", "recipient_id")),
            )
            if of is None or agent is None:
                self.left_out["deliveries without a message or a reader"] += 1
                continue
            acked = row.time("acked_at", "acknowledged_at")
            read = row.time("read_at", "seen_at") or acked
            told = row.time("delivered_at", "injected_at") or read
            name = self._names[agent]
            readers.setdefault(of, []).append(
                Reader(agent=agent, name=name, delivered_at=told, read_at=read, acked_at=acked)
            )
        numbers = _numbers(messages)
        ids = {row.text("id", "message_id") or "?": number for row, number in zip(messages, numbers, strict=True)}
        for row, number in zip(messages, numbers, strict=True):
            self._message(row, number, readers.get(row.text("id", "message_id") or "", []), ids)

    def _message(self, row: Row, number: int, readers: list[Reader], ids: Mapping[str, int]) -> None:
        subject, body = row.text("subject", "title"), row.text("body", "message", "content", "text")
        if not body and not subject:
            self.left_out["messages without words"] += 1
            return
        to = row.text("recipient", "to_agent", "to", "to_id", "recipient_id", "to_agent_id", "target")
        addressee = self._who(to) if to not in (None, "all", "*", "broadcast") else None
        if not readers and addressee is not None:
            read = row.time("read_at")
            readers = [Reader(agent=addressee, name=self._names[addressee], delivered_at=read, read_at=read)]
        answered = ids.get(row.text("reply_to", "in_reply_to", "reply_to_id", "parent_id") or "")
        sender = self._who(row.text("sender", "from_agent", "from", "sender_id", "from_id", "from_agent_id")) or UNKNOWN
        message = Message(
            id=f"m-{number}",
            sender=sender,
            sender_name=self._names.get(sender, sender),
            to=addressee or "all",
            body="\n".join(words for words in (subject, body) if words)[:MAX_BODY],
            reply_to=f"m-{answered}" if answered is not None else None,
            urgent=(row.text("urgent", "priority") or "").lower() in ("1", "true", "urgent", "high"),
            created_at=row.time("created_at", "sent_at", "timestamp") or self._now,
            readers=tuple({reader.agent: reader for reader in readers}.values()),
        )
        self.records[keys.message(number)] = message
        for reader in message.readers:
            if reader.delivered_at is None:
                put = copy_of(message, reader.agent)
                self.records[put.key] = put.record

    def _decisions(self, decisions: Sequence[Row]) -> None:
        for row, number in zip(decisions, _numbers(decisions), strict=True):
            words = [
                row.text(*names)
                for names in (
                    ("title",),
                    ("decision", "text", "content", "summary", "description"),
                    ("rationale", "reason"),
                )
            ]
            text = "\n".join(dict.fromkeys(word for word in words if word))
            if not text:
                self.left_out["decisions without words"] += 1
                continue
            by = (
                self._who(row.text("by", "agent_id", "made_by", "decided_by", "author", "created_by", "agent"))
                or UNKNOWN
            )
            self.records[keys.decision(number)] = Decision(
                id=f"d-{number}",
                by=by,
                by_name=self._names.get(by, by),
                text=text[:MAX_DECISION],
                created_at=row.time("created_at", "decided_at", "timestamp") or self._now,
            )

    def _events(self, activity: Sequence[Row]) -> Iterable[Event]:
        first = self.revision - len(activity) + 1
        for revision, row in enumerate(activity, first):
            verb = row.text("action", "verb", "event_type", "event", "type", "kind") or "activity"
            path = path_of(row.text("path", "file_path", "file", "target"))
            yield Event(
                rev=revision,
                at=row.time("created_at", "timestamp", "at", "time") or self._now,
                actor=self._who(row.text("agent_id", "agent", "actor", "agent_name")) or UNKNOWN,
                verb=verb[:32],
                summary=row.text("summary", "message", "details", "detail", "description", "data") or verb,
                paths=(path,) if path else (),
                changes=(),
            )


UNKNOWN = "unknown"
"""Who did what nobody is named for."""


def _numbers(table: Sequence[Row]) -> list[int]:
    """The numbers of rows: their own when each has one, else their places in the table."""
    own = [number for row in table if (number := row.number(MAX_ID, "id", "message_id", "decision_id"))]
    return own if len(set(own)) == len(table) else list(range(1, len(table) + 1))
