"""What a decision wants done: records to put and drop, and people to tell.

Decisions return these; `store.Transaction.commit` is the only one who carries them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.records import Message, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

SYSTEM = "agent-sync"
"""Sender of what the tool itself has to say. No agent can have this id: registration refuses it."""


ALL = "all"
"""The address of what is for everybody."""


class Put(Struct, frozen=True, gc=False):
    """Write `record` at `key`, over whatever is there."""

    key: str
    record: Record


class Drop(Struct, frozen=True, gc=False):
    """Remove what is at `key`; already gone is fine."""

    key: str


Write = Put | Drop


class Stamp(Struct, frozen=True, gc=False):
    """When a transaction happens: given to decisions, so that they never ask."""

    now: datetime
    revision: int
    """The revision that a commit will have."""
    store: str

    @property
    def token(self) -> str:
        """The fencing token of what is granted now."""
        return f"{self.store}:{self.revision}"


def notices(lines: Mapping[str, Iterable[str]], stamp: Stamp) -> tuple[Put, ...]:
    """One notice per agent that has something to be told; each thing is one line, whatever names are in it."""
    puts = []
    for agent_id, told in lines.items():
        body = "\n".join("".join(c if c.isprintable() else " " for c in line) for line in told)
        message = Message(
            id=f"n-{stamp.revision}",
            sender=SYSTEM,
            sender_name=SYSTEM,
            to=agent_id,
            body=body,
            created_at=stamp.now,
        )
        puts.append(Put(keys.notice(agent_id, stamp.revision), message))
    return tuple(puts)


def announcement(line: str, readers: Iterable[str], stamp: Stamp) -> tuple[Put, ...]:
    """Something that everybody should know, and nobody needs at once: told with each reader's next prompt."""
    message = Message(
        id=f"n-{stamp.revision}",
        sender=SYSTEM,
        sender_name=SYSTEM,
        to=ALL,
        body="".join(c if c.isprintable() else " " for c in line),
        created_at=stamp.now,
    )
    return tuple(Put(keys.later(reader, stamp.revision), message) for reader in readers)


def merged(writes: Iterable[Write]) -> tuple[Write, ...]:
    """The same writes, with all that one agent is told in one notice: there is one place for it per event."""
    kept: dict[str, Write] = {}
    for write in writes:
        before = kept.pop(write.key, None)
        kept[write.key] = _joined(before, write)
    return tuple(kept.values())


def _joined(before: Write | None, after: Write) -> Write:
    if isinstance(before, Put) and isinstance(after, Put):
        old, new = before.record, after.record
        if isinstance(old, Message) and isinstance(new, Message) and old.body != new.body:
            return Put(after.key, replace(new, body=f"{old.body}\n{new.body}"))
    return after
