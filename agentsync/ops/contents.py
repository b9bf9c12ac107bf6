"""What lies on a shared board, as records.

What is none, or says what no writer of ours would, is left out and left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core import replicas, shared
from agentsync.core.records import VERSION, Board, Decision, Lock, Machine, Message, Task
from agentsync.core.shared import Shared
from agentsync.errors import DamagedRecordError, NewerRecordError
from agentsync.store import codec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentsync.core.records import Record

_WORDS: dict[str, type[Task | Message | Decision]] = {
    "tasks": Task,
    "messages": Message,
    "decisions": Decision,
}
"""What is in which folder of a board."""


class Copies(Struct, frozen=True, kw_only=True, gc=False):
    """What a board has of tasks and words, decoded, by key."""

    tasks: dict[str, Task] = {}
    messages: dict[str, Message] = {}
    decisions: dict[str, Decision] = {}
    closed: frozenset[str] = frozenset()
    """Keys of what cannot be read or is not sound: left alone."""


def board(files: Mapping[str, bytes]) -> Shared:
    """Which board it is, the machines at it, and the locks.

    Raises:
        NewerRecordError: A newer version made it.
    """
    found: Board | None = None
    machines: dict[str, Machine] = {}
    locks: dict[str, Lock] = {}
    closed = set()
    for key, data in files.items():
        kind = _kind(key)
        if kind is None:
            continue
        try:
            record = codec.decode(data, kind, key)
        except NewerRecordError:
            closed.add(key)
            continue
        except DamagedRecordError:
            continue
        if record.v > VERSION:
            closed.add(key)
        if isinstance(record, Board):
            found = record
        elif isinstance(record, Machine) and key == f"machines/{record.id}.json":
            machines[record.id] = record
        elif isinstance(record, Lock) and shared.is_sound(key, record):
            locks[key] = record
    if found is None and shared.BOARD in closed:
        raise NewerRecordError("the board was made by a newer agent-sync", "upgrade this one")
    return Shared(board=found, machines=machines, locks=locks, closed=frozenset(closed))


def _kind(key: str) -> type[Record] | None:
    if key == shared.BOARD:
        return Board
    return Machine if key.startswith("machines/") else Lock if key.startswith("locks/") else None


def words(files: Mapping[str, bytes]) -> Copies:
    """The tasks and words of a board."""
    tasks: dict[str, Task] = {}
    said: dict[str, Message] = {}
    settled: dict[str, Decision] = {}
    closed = set()
    for key, data in files.items():
        kind = _WORDS.get(key.partition("/")[0])
        if kind is None:
            continue
        try:
            record = codec.decode(data, kind, key)
        except (DamagedRecordError, NewerRecordError):
            closed.add(key)
            continue
        if record.v > VERSION:
            closed.add(key)
        elif isinstance(record, Task) and replicas.is_sound_task(key, record):
            tasks[key] = record
        elif isinstance(record, Message) and replicas.is_sound_words(key, record):
            said[key] = record
        elif isinstance(record, Decision) and replicas.is_sound_words(key, record):
            settled[key] = record
        else:
            closed.add(key)
    return Copies(tasks=tasks, messages=said, decisions=settled, closed=frozenset(closed))
