"""Decisions about how far a message got: what is told first, to whom it counts as told, what nobody waits for any more.

The record of a message says which reader got how far, the copies in the inboxes are what hooks look for. Both change in
one transaction, so a message is told to each reader once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.changes import ALL, Drop, Put, Stamp, Write
from agentsync.core.messages import copy_of, is_directed, place_of, revision_of
from agentsync.core.records import Agent, Message, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

LATE = timedelta(hours=24)
"""Age of the oldest broadcast that somebody who joins is still told of."""

MAX_LATE = 5
"""How many of them, at most."""

LOOKED_THROUGH = 256
"""Messages that are read to find those: joining must not take longer because others wrote a lot."""

MAX_AGE = timedelta(days=7)
"""Age after which nobody is going to be told any more."""

KEPT = 200
"""Messages that are kept although everybody knows them, and that wait for somebody who has left."""

Step = Literal["delivered", "read", "acked"]
"""How far a reader can get with a message."""

_TIMES: dict[Step, tuple[str, ...]] = {
    "delivered": ("delivered_at",),
    "read": ("read_at",),
    "acked": ("read_at", "acked_at"),
}


class Board(Protocol):
    """What decisions ask of the store."""

    def message(self, revision: int) -> Message | None:
        """The record of a message."""
        ...


class Mail(Protocol):
    """All the mail there is, by key, each record read only when it is asked for."""

    def message_keys(self) -> list[str]:
        """Keys of the messages, oldest first."""
        ...

    def inboxes(self) -> list[str]:
        """Ids of those who have something to be told."""
        ...

    def inbox_keys(self, agent_id: str) -> list[str]:
        """Keys of somebody's copies, oldest first."""
        ...

    def mail(self, key: str) -> Message | None:
        """What is there."""
        ...


# ---------------------------------------------------------------- telling
def select(waiting: Sequence[Message], size: Callable[[Message], int], room: int) -> tuple[Message, ...]:
    """Which messages are told now, oldest first: all if there is room, else directed ones before the others.

    What is left waits for the next chance. Within a kind nothing overtakes, however short it is: the words of one
    sender arrive in order.
    """
    chosen = set()
    for message in sorted(waiting, key=is_directed, reverse=True):  # stable, so the oldest of each kind come first
        room -= size(message)
        if room < 0:
            break
        chosen.add(message.id)
    return tuple(message for message in waiting if message.id in chosen)


def deliver(told: Iterable[Message], board: Board, agent_id: str, stamp: Stamp) -> tuple[Write, ...]:
    """A reader was told these copies."""
    writes: list[Write] = []
    for copy in told:
        kept = _kept(copy, board)
        writes += advance(kept, agent_id, "delivered", stamp) if kept is not None else ()
        writes.append(Drop(place_of(copy, agent_id)))
    return tuple(writes)


def _kept(copy: Message, board: Board) -> Message | None:
    """The record of a message, if it is mail and not dropped yet."""
    return board.message(revision_of(copy)) if copy.id.startswith("m-") else None


def advance(message: Message, agent_id: str, step: Step, stamp: Stamp) -> tuple[Write, ...]:
    """A reader got on with a message. Nothing if it had got there already, or is no reader of it.

    Args:
        message: The record, with its readers.
        agent_id: Who.
        step: How far.
        stamp: When.
    """
    reader = next((reader for reader in message.readers if reader.agent == agent_id), None)
    if reader is None:
        return ()
    new = replace(reader, **{name: stamp.now for name in _TIMES[step] if getattr(reader, name) is None})
    if new == reader:
        return ()
    readers = tuple(new if known is reader else known for known in message.readers)
    writes: list[Write] = [Put(keys.message(revision_of(message)), replace(message, readers=readers))]
    if reader.delivered_at is None and reader.read_at is None:
        writes.append(Drop(place_of(message, agent_id)))
    return tuple(writes)


# ---------------------------------------------------------------- coming and going
def catch_up(mail: Mail, agent: Agent, stamp: Stamp) -> tuple[Write, ...]:
    """What somebody who joins is told of what was said to all before."""
    recent: list[Message] = []
    for key in mail.message_keys()[: -LOOKED_THROUGH - 1 : -1]:
        message = mail.mail(key)
        if message is None:
            continue
        if len(recent) == MAX_LATE or stamp.now - message.created_at > LATE:
            break
        if message.to == ALL and message.sender != agent.id:
            recent.append(message)
    writes = []
    for message in reversed(recent):
        if any(reader.agent == agent.id for reader in message.readers):
            continue  # it was here then
        reader = Reader(agent=agent.id, name=agent.name)
        joined = replace(message, readers=(*message.readers, reader))
        writes += [Put(keys.message(revision_of(message)), joined), copy_of(message, agent.id)]
    return tuple(writes)


def inherit(waiting: Iterable[tuple[str, Message]], board: Board, old: Agent, heir: Agent) -> tuple[Write, ...]:
    """What an agent was not told yet goes to its successor.

    Args:
        waiting: The old agent's inbox, with the keys.
        board: Where the records are.
        old: Who goes.
        heir: Who takes its place.
    """
    writes: list[Write] = []
    for key, copy in waiting:
        kept = _kept(copy, board)
        if kept is None or all(reader.agent != heir.id for reader in kept.readers):
            to = heir.id if copy.to == old.id else copy.to
            writes.append(copy_of(replace(copy, to=to), heir.id))
            if kept is not None:
                readers = tuple(
                    replace(reader, agent=heir.id, name=heir.name) if reader.agent == old.id else reader
                    for reader in kept.readers
                )
                writes.append(Put(keys.message(revision_of(kept)), replace(kept, to=to, readers=readers)))
        writes.append(Drop(key))
    return tuple(writes)


def prune(mail: Mail, here: Collection[str], now: datetime) -> tuple[Drop, ...]:
    """What need not be kept: old mail, and beyond the newest of it what nobody who is here still waits for.

    Reads from the oldest on, and stops where all the rest is to be kept: the guard is held meanwhile.

    Args:
        mail: What there is.
        here: Ids of the agents on the board.
        now: The time.
    """

    def is_old(message: Message) -> bool:
        return now - message.created_at > MAX_AGE

    drops = []
    found = mail.message_keys()
    for number, key in enumerate(found):
        beyond, message = number < len(found) - KEPT, mail.mail(key)
        if message is None:
            continue
        waiting = any(r.agent in here and r.delivered_at is None and r.read_at is None for r in message.readers)
        waiting |= message.origin is not None  # its machine waits to hear how far it got
        if is_old(message) or (beyond and not waiting):
            drops.append(Drop(key))
        elif not beyond:
            break
    for agent_id in mail.inboxes():
        found = mail.inbox_keys(agent_id)
        for number, key in enumerate(found):
            beyond, message = agent_id not in here and number < len(found) - KEPT, mail.mail(key)
            if message is None:
                continue
            if not beyond and not is_old(message):
                break
            drops.append(Drop(key))
    return tuple(drops)
