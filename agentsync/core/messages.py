"""Decisions about mail: who gets a message, what is told first, and how far each reader got.

A message is one record in `messages/` that names all its readers; a copy lies in the inbox of each of them until that
reader has been told or has read it. The record says who got how far, the copies are what hooks look for. Both change in
one transaction, so a message is told to each reader once.

An inbox has one place per revision: a transaction that sends a message puts no notice to any of its readers.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import agents, keys
from agentsync.core.changes import ALL, SYSTEM, Drop, Put, Stamp, Write
from agentsync.core.records import Agent, Message, Reader
from agentsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from agentsync.core.lease import Presence

MAX_BODY = 4000
"""Characters of a message: it goes into the context of every reader."""

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


class Draft(Struct, frozen=True, kw_only=True, gc=False):
    """What somebody wants to say."""

    to: str
    """As `recipients` spells it."""
    body: str
    reply_to: str | None = None
    urgent: bool = False
    directive: bool = False
    request: str | None = None
    """The path that the readers are asked to let go of."""


def revision_of(message: Message) -> int:
    """The revision in a message's id."""
    return int(message.id[2:])


def is_directed(message: Message) -> bool:
    """Whether it is meant for its readers in particular. Such mail holds the end of a turn."""
    return message.directive or message.to != ALL


def is_announcement(message: Message) -> bool:
    """Whether it is the tool's word to everybody: it comes by itself, and is nobody's unread mail."""
    return message.sender == SYSTEM and message.to == ALL


# ---------------------------------------------------------------- sending
def recipients(
    to: str, presences: Sequence[Presence], me: Agent, former: Agent | None = None
) -> tuple[str, tuple[Agent, ...]]:
    """Who is meant: `all`, else an id, else a name, else a role, in this order.

    Nobody can be called `all`, so no name takes what is for everybody. Of several with one name, those who are gone do
    not count while another is there. The id of a session that `/clear` ended means its successor.

    Args:
        to: As typed.
        presences: Who is on the board.
        me: Who asks.
        former: Who left it under this id, if somebody did.

    Returns:
        The address as it is recorded, and the readers; none when nobody else is there to hear a broadcast.

    Raises:
        NotFoundError: Nobody is meant, or several agents share the name.
    """
    others = tuple(presence.agent for presence in presences if presence.agent.id != me.id)
    if to == ALL:
        return ALL, others
    found = agents.named(to, presences, former)
    if found is not None:
        return found.agent.id, (found.agent,)
    role = to.casefold()
    if acting := tuple(agent for agent in others if (agent.role or "").casefold() == role):
        return acting[0].role or to, acting
    raise agents.nobody(to, others, "id, name or role")


def check_body(body: str) -> None:
    """Refuse what cannot be a message.

    Raises:
        UsageError: There is nothing in it, or too much.
    """
    if not body.strip():
        raise UsageError("there is nothing in this message", 'for example: agent-sync send --to all --message "done"')
    if len(body) > MAX_BODY:
        raise UsageError(
            f"the message has {len(body)} characters, and {MAX_BODY} is the most",
            "write it to a file in the repository and send its path",
        )


def send(draft: Draft, me: Agent, readers: Sequence[Agent], stamp: Stamp) -> tuple[Message, tuple[Put, ...]]:
    """A message, and what is written for it. `check_body` has seen its words."""
    message = Message(
        id=f"m-{stamp.revision}",
        sender=me.id,
        sender_name=me.name,
        to=draft.to,
        body=draft.body,
        reply_to=draft.reply_to,
        urgent=draft.urgent,
        directive=draft.directive,
        request=draft.request,
        created_at=stamp.now,
    )
    kept = replace(message, readers=tuple(Reader(agent=reader.id, name=reader.name) for reader in readers))
    copies = (_copy(message, reader.id) for reader in readers)
    return kept, (Put(keys.message(stamp.revision), kept), *copies)


def _copy(message: Message, agent_id: str) -> Put:
    return Put(_place(message, agent_id), replace(message, readers=()))


def _place(message: Message, agent_id: str) -> str:
    """Where a reader's copy waits: what interrupts a turn apart from what does not, so that the gate can tell."""
    interrupts = message.urgent or is_directed(message)
    return (keys.notice if interrupts else keys.later)(agent_id, revision_of(message))


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
        writes.append(Drop(_place(copy, agent_id)))
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
        writes.append(Drop(_place(message, agent_id)))
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
        writes += [Put(keys.message(revision_of(message)), joined), _copy(message, agent.id)]
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
            writes.append(_copy(replace(copy, to=to), heir.id))
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


# ---------------------------------------------------------------- looking
def thread(kept: Iterable[Message], of: Message) -> list[Message]:
    """The conversation that a message belongs to: what it all began with and every answer, oldest first."""
    oldest_first = sorted(kept, key=revision_of)
    by_id = {message.id: message for message in oldest_first}
    root = of
    while (earlier := by_id.get(root.reply_to or "")) is not None and revision_of(earlier) < revision_of(root):
        root = earlier
    members = {root.id}
    for message in oldest_first:
        if message.reply_to in members:
            members.add(message.id)
    return [message for message in oldest_first if message.id in members]
