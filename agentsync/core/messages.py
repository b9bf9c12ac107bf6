"""What a message is: who it is for, what is written for it, and which conversation it belongs to.

A message is one record in `messages/` that names all its readers; a copy lies in the inbox of each of them until that
reader has been told or has read it. What becomes of both is decided in `core.delivery`.

An inbox has one place per revision: a transaction that sends a message puts no notice to any of its readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import agents, keys
from agentsync.core.changes import ALL, SYSTEM, Put, Stamp
from agentsync.core.records import Agent, Message, Reader
from agentsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentsync.core.lease import Presence

MAX_BODY = 4000
"""Characters of a message: it goes into the context of every reader."""


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
        presences: Who is on the board, here and on other machines.
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
    copies = (copy_of(message, reader.id) for reader in readers if reader.machine is None)  # a sync brings it to guests
    return kept, (Put(keys.message(stamp.revision), kept), *copies)


def copy_of(message: Message, agent_id: str) -> Put:
    """What waits in a reader's inbox until it has been told."""
    return Put(place_of(message, agent_id), replace(message, readers=()))


def place_of(message: Message, agent_id: str) -> str:
    """Where a reader's copy waits: what interrupts a turn apart from what does not, so that the gate can tell."""
    interrupts = message.urgent or is_directed(message)
    return (keys.notice if interrupts else keys.later)(agent_id, revision_of(message))


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
