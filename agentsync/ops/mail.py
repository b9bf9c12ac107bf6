"""Mail: sending, being told, reading, and what became of what one sent."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from agentsync.core import delivery as deliveries
from agentsync.core import keys, messages
from agentsync.core.changes import Drop, Put, Stamp
from agentsync.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentsync.core.changes import Write
    from agentsync.core.delivery import Step
    from agentsync.core.records import Message
    from agentsync.ops.session import Session
    from agentsync.store.state import State

When = Literal["turn", "prompt", "stop"]
"""The occasion of a delivery: within a turn, with a prompt, or at the end of a turn."""


class Delivery(Struct, frozen=True, kw_only=True, gc=False):
    """What is told now."""

    messages: tuple[Message, ...]
    """Oldest first."""
    left: int
    """How many had no room; they wait for the next chance."""


@contextmanager
def delivery(session: Session, when: When, size: Callable[[Message], int], room: int) -> Iterator[Delivery]:
    """What is to be told now; it counts as told when the block ends without an exception.

    The guard is held meanwhile, so that two hooks of one agent do not tell the same thing: write it out in the block
    and flush. A crash in between tells it again. At most 8,000 characters go into a pipe that takes 64 kB, so the guard
    does not wait for the reader.

    Args:
        session: Whose.
        when: Broadcasts that are not urgent come with a prompt only, and none holds the end of a turn.
        size: Characters that a message takes.
        room: How many there are.
    """
    if not _has_mail(session, when):
        yield Delivery(messages=(), left=0)
        return

    def due(state: State, _stamp: Stamp) -> list[Message]:
        waiting = state.inbox(session.me.id, later=when == "prompt")
        readable = (message for key, message in waiting if key not in state.newer)
        return [message for message in readable if when != "stop" or messages.is_directed(message)]

    with session.store.transaction(session.me.id, session.timeout) as tx:
        waiting = tx.ask(due)
        told = deliveries.select(waiting, size, room)
        yield Delivery(messages=told, left=len(waiting) - len(told))
        writes = tx.ask(lambda state, stamp: deliveries.deliver(told, state, session.me.id, stamp))
        # What a newer version wrote cannot be marked, and must not keep the rest from being so.
        writable = [write for write in writes if write.key not in tx.state.newer]
        # Not synced: after a power cut it is told again, and the log knows every record as it was written.
        tx.commit("deliver", f"{session.me.id} was told", writable, "E")


def _has_mail(session: Session, when: When) -> bool:
    inbox = keys.inbox(session.me.id)
    folders = (inbox, f"{inbox}/later") if when == "prompt" else (inbox,)
    return any(name.endswith(".json") for folder in folders for name in session.store.files.names(folder))


def send(
    session: Session, to: str, body: str, *, reply_to: str | None = None, urgent: bool = False, directive: bool = False
) -> Message:
    """Tell somebody something.

    Args:
        session: Whose.
        to: An agent's id or name, a role, or `all`.
        body: The words.
        reply_to: Id of the message that this answers.
        urgent: Whether it is told in the middle of a turn although it is for all.
        directive: Whether each reader gets it as if it were for that one alone.

    Raises:
        NotFoundError: Nobody is meant, several are, or there is no message to answer.
        UsageError: There is nothing in it, or too much.
    """
    from agentsync.ops import agents

    messages.check_body(body)
    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)

        def question(state: State, stamp: Stamp) -> tuple[Message, tuple[Put, ...]]:
            answered = None if reply_to is None else _kept(state, reply_to).id
            address, readers = messages.recipients(to, state.everybody(), me, state.past_agent(to))
            draft = messages.Draft(to=address, body=body, reply_to=answered, urgent=urgent, directive=directive)
            return messages.send(draft, me, readers, stamp)

        message, writes = tx.ask(question)
        tx.commit("send", f"{me.name} ({me.id}) wrote {message.id} to {message.to}", writes, "D")
        return message


def inbox(session: Session, everything: bool = False) -> list[Message]:
    """What the caller has neither been told nor read, oldest first. Looking changes nothing.

    Args:
        session: Whose.
        everything: Also what it knows already, as long as it is kept.
    """
    session.store.touch(session.me.id)
    state = session.store.state()
    waiting = [message for _, message in state.inbox(session.me.id)]
    if not everything:
        return waiting
    kept = [m for m in state.messages() if any(reader.agent == session.me.id for reader in m.readers)]
    known = {message.id for message in kept}
    return sorted([*kept, *(m for m in waiting if m.id not in known)], key=messages.revision_of)


def sent(session: Session) -> list[Message]:
    """What the caller wrote, oldest first, with all readers."""
    session.store.touch(session.me.id)
    return [message for message in session.store.state().messages() if message.sender == session.me.id]


def thread(session: Session, message_id: str) -> list[Message]:
    """The conversation that a message belongs to, oldest first.

    Raises:
        NotFoundError: There is no such message.
    """
    state = session.store.state()
    return messages.thread(state.messages(), _kept(state, message_id))


def read_message(session: Session, message_id: str) -> Message:
    """A message, which its reader knows from now on. Anybody may look; only for a reader it changes something.

    Raises:
        NotFoundError: There is no such message.
    """
    return _get_on(session, message_id, "read")


def ack(session: Session, message_id: str) -> Message:
    """Tell the sender that a message was understood.

    Raises:
        NotFoundError: There is no such message, or it is not addressed to the caller.
    """
    return _get_on(session, message_id, "ack")


def _get_on(session: Session, message_id: str, verb: Literal["read", "ack"]) -> Message:
    step: Step = "read" if verb == "read" else "acked"

    def question(state: State, stamp: Stamp) -> tuple[Message, tuple[Write, ...]]:
        message, copy = _found(state, session.me.id, message_id)
        if copy is not None:
            return message, (Drop(copy),)
        if verb == "ack" and all(reader.agent != session.me.id for reader in message.readers):
            raise NotFoundError(f"{message.id} is not addressed to you", "agent-sync inbox --all lists what is")
        return message, deliveries.advance(message, session.me.id, step, stamp)

    state = session.store.state()
    message, writes = question(state, Stamp(state.now, 0, ""))
    session.store.touch(session.me.id)
    if not writes:
        return message  # so whoever may not write can still look
    with session.store.transaction(session.me.id, session.timeout) as tx:
        message, writes = tx.ask(question)
        tx.commit(verb, f"{session.me.id} has {step} {message.id}", writes, "D")
    return next((put.record for put in writes if isinstance(put, Put)), message)  # type: ignore[return-value]


def _found(state: State, agent_id: str, message_id: str) -> tuple[Message, str | None]:
    """A message by id; with the key of the caller's copy when there is nothing but that, as with notices."""
    try:
        return _kept(state, message_id), None
    except NotFoundError:
        for key, copy in state.inbox(agent_id):
            if copy.id == message_id.lower():
                return copy, key
        raise


def _kept(state: State, message_id: str) -> Message:
    revision = keys.revision_of(message_id.lower(), "m")
    kept = None if revision is None else state.message(revision)
    if kept is None:
        raise NotFoundError(f"there is no message {message_id[:80]!r}", "agent-sync inbox --all lists them")
    return kept
