"""A whole board as a list of lines, and what of it another board takes.

An import is a copy, and copies hold nothing: locks and places in line belong to agents who work elsewhere, and a token
means something only in the store that gave it. So they stay behind, agents become past ones, whom others remember by
name, and everything else keeps its id. Numbered ids (`m-12`) are revisions: a board takes one only if it has got as far
itself, or has no revisions of its own yet and goes on from those of the export.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.changes import Drop, Put, Write
from agentsync.core.messages import revision_of
from agentsync.core.paths import is_valid_id
from agentsync.core.records import Agent, Change, Decision, Event, Lock, Message, Record, Task, Time, Waiter

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDERS: dict[str, type[Record]] = {
    "agents": Agent,
    "locks": Lock,
    "tasks": Task,
    "messages": Message,
    "inbox": Message,
    "decisions": Decision,
    "queue": Waiter,
}
"""What an export has, by folder. Not `installed/`: what was in settings files before ours may be secret."""


class Header(Record, tag="export", frozen=True, kw_only=True, gc=False):
    """The first line of an export."""

    store: str
    revision: int
    """The last one that it tells of."""
    at: Time
    records: int
    """Lines that follow: `{"put": place, "record": {…}}`."""
    events: int
    """Lines after those, oldest first: the history."""


class Bundle(Struct, frozen=True, kw_only=True, gc=False):
    """What is to be imported."""

    mark: str
    """Says which it is, so that it is imported once."""
    revision: int
    records: dict[str, Record]
    """By place."""
    events: tuple[Event, ...] = ()
    left_out: dict[str, int] = {}
    """What could not be brought, by reason."""


class Plan(Struct, frozen=True, kw_only=True, gc=False):
    """What an import writes."""

    writes: tuple[Write, ...]
    left_out: dict[str, int]


class Collision(Struct, frozen=True, kw_only=True, gc=False):
    """Why a board cannot take it: nothing was written."""

    different: tuple[str, ...]
    """Places where this board has something else."""
    ahead: tuple[str, ...]
    """Places whose numbers this board has yet to use itself."""


class Board(Protocol):
    """What decisions ask of the store."""

    def knows_agent(self, agent_id: str) -> bool:
        """Whether there is or was such an agent."""
        ...

    def record(self, key: str, kind: type[Record]) -> Record | None:
        """What is at a place."""
        ...


def plan(bundle: Bundle, board: Board, head: int) -> Plan | Collision:
    """What to write, if it can be taken.

    Args:
        bundle: What there is.
        board: What is here already.
        head: The newest revision of this board; 0 = it has none, and goes on from those of the bundle.
    """
    writes: list[Write] = []
    left: Counter[str] = Counter(bundle.left_out)
    different, ahead = [], []
    for key, record in bundle.records.items():
        match record:
            case Lock():
                left["locks: whoever goes on takes them again"] += 1
            case Waiter():
                left["places in line, and requests to let go"] += 1
            case Agent(id=agent_id):
                if not board.knows_agent(agent_id):
                    writes.append(Put(keys.past_agent(agent_id), _parted(record)))
            case _:
                here = board.record(key, type(record))
                if here == record:
                    left["records that are here already"] += 1
                elif here is not None:
                    different.append(key)
                elif _number(record) > (head or bundle.revision):
                    ahead.append(key)
                else:
                    writes.append(Put(key, record))
                continue
        if head == 0 and not key.startswith("agents/past/"):
            writes.append(Drop(key))  # the history that comes with it says that it is there
    if different or ahead:
        return Collision(different=tuple(different), ahead=tuple(ahead))
    return Plan(writes=tuple(writes), left_out=dict(left))


def _parted(agent: Agent) -> Agent:
    return replace(agent, status="offline", pid=None, pid_start=None, boot_id=None, pid_ns=None)


def _number(record: Record) -> int:
    """The revision in a record's id; 0 when it has none."""
    if isinstance(record, Message):
        return revision_of(record)
    return (keys.revision_of(record.id, "d") or 0) if isinstance(record, Decision) else 0


def belongs(key: str, record: Record) -> bool:
    """Whether a record may be put there. A place is what a file says, and the file may be anybody's."""
    folder, _, name = key.partition("/")
    if not isinstance(record, FOLDERS.get(folder, ())) or not keys.is_place(key):
        return False
    match record:
        case Agent(id=agent_id):
            return is_valid_id(agent_id) and key in (keys.agent(agent_id), keys.past_agent(agent_id))
        case Task(id=task_id):
            return is_valid_id(task_id) and key == keys.task(task_id)
        case Lock():
            return key == keys.lock(record)
        case Decision(id=decision_id):
            number = keys.revision_of(decision_id, "d")
            return number is not None and key == keys.decision(number)
        case Message(id=message_id):
            if keys.revision_of(message_id, "m") is None and keys.revision_of(message_id, "n") is None:
                return False
            number, reader = revision_of(record), name.partition("/")[0]
            if folder == "messages":
                return key == keys.message(number)
            return is_valid_id(reader) and key in (keys.notice(reader, number), keys.later(reader, number))
    return True


def told(event: Event) -> Event:
    """An event as an export has it: without what settings files held."""
    return replace(event, changes=tuple(change for change in event.changes if not _is_secret(change)))


def _is_secret(change: Change) -> bool:
    return (change.put or change.drop or "").startswith("installed/")


def counts(left_out: Mapping[str, int]) -> list[str]:
    """What was left out, a line each: how many, and of what."""
    return [f"{number} {reason}" for reason, number in left_out.items()]
