"""Mail and decisions of other machines come here, one by one, as if their authors had written them here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from agentsync.core import agents, decisions, delivery, keys, messages, replicas
from agentsync.core.changes import ALL, Put, Write
from agentsync.core.records import Decision, Message, Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agentsync.core.replicas import Names
    from agentsync.ops.contents import Copies
    from agentsync.ops.session import Session
    from agentsync.store.state import State


def bring(
    session: Session, state: State, copies: Copies, base: Copies, names: Names, *, dry_run: bool
) -> list[Message | Decision]:
    """Take over what is for here and has not come yet.

    Args:
        session: Whose.
        state: As it is here.
        copies: What is on the board.
        base: What was there when it was taken over last.
        names: What is called how.
        dry_run: Whether the state is to stay as it is.

    Returns:
        As they are here; with `dry_run`, as they are on the board.
    """
    came: list[Message | Decision] = []
    ids = {record.origin: record.id for record in _words(state) if record.origin}
    for key in _in_order(_unknown(copies, base, state, names), copies):
        found = copies.messages.get(key) or copies.decisions[key]
        if not dry_run:
            found = _arrive(session, names, found, ids)
            ids[found.origin or ""] = found.id
        came.append(found)
    return came


def _words(state: State) -> list[Message | Decision]:
    return [*state.messages(), *state.decisions()]


def _unknown(copies: Copies, base: Copies, state: State, names: Names) -> Iterable[str]:
    """Keys of messages and decisions that are for here, and have not come yet."""
    here = {replicas.place_of(replicas.name_of(record, names.me)) for record in _words(state)}
    known = here | base.messages.keys() | base.decisions.keys()
    yield from (key for key in copies.decisions if key not in known and replicas.machine_of(key) != names.me)
    for key, message in copies.messages.items():
        is_ours = message.to == ALL or any(names.is_ours(reader.agent) for reader in message.readers)
        is_ours = is_ours and state.now - message.created_at <= delivery.MAX_AGE  # older ones may have been here
        if is_ours and key not in known and replicas.machine_of(key) != names.me:
            yield key


def _in_order(unknown: Iterable[str], copies: Copies) -> Iterable[str]:
    """The same keys, each after what it refers to: the numbers of several machines do not tell which was first."""
    places = {message.id: key for key, message in copies.messages.items()}
    places |= {decision.id: key for key, decision in copies.decisions.items()}
    left = dict.fromkeys(sorted(unknown))
    while left:
        chain: list[str] = []
        key: str | None = next(iter(left))
        while key in left:
            del left[key]
            chain.append(key)
            message = copies.messages.get(key)
            key = places.get((message.reply_to if message else copies.decisions[key].supersedes) or "")
        yield from reversed(chain)


def _arrive(session: Session, names: Names, there: Message | Decision, ids: Mapping[str, str]) -> Message | Decision:
    """One message or decision comes, as if its author had written it here.

    Args:
        session: Whose.
        names: What is called how.
        there: As on the board; it is not here yet, and nobody else of this clone brings it.
        ids: Ids here of what came before, by origin.
    """
    author = there.sender if isinstance(there, Message) else there.by
    writes: Sequence[Write]
    with session.store.transaction(author, session.timeout) as tx:
        state = tx.state
        if isinstance(there, Message):
            message = replicas.message_here(there, ids, names, tx.stamp.revision, state.now)
            message, writes = _posted(message, state, names)
            whom = f"to {message.to}" if message.to == ALL else f"to {', '.join(r.agent for r in message.readers)}"
            tx.commit("send", f"{message.sender_name} ({author}) wrote {message.id} {whom}", writes, "D")
            return message
        decision = replicas.decision_here(there, ids, names, tx.stamp.revision, state.now)
        writes = decisions.publish(decision, state.presences(), tx.stamp)
        tx.commit("decision", f"{decision.by_name} ({author}) decided {decision.id}: {decision.text}", writes, "D")
        return decision


def _posted(message: Message, state: State, names: Names) -> tuple[Message, tuple[Write, ...]]:
    """A message of another machine, with its readers here, and a copy for each that has not been told."""
    here = [presence for presence in state.presences() if presence.agent.machine is None]
    readers: dict[str, Reader] = {}
    waiting: list[str] = []
    for reader in message.readers:
        heir = None if names.is_guest(reader.agent) else _whom(reader.agent, state)
        readers.setdefault(heir or reader.agent, replace(reader, agent=heir or reader.agent))
        if heir is not None and reader.delivered_at is None and reader.read_at is None:
            waiting.append(heir)
    if message.to == ALL:
        fresh = state.now - message.created_at <= delivery.LATE
        late = [p.agent for p in here if fresh and not p.is_gone and p.agent.id not in readers]
        readers |= {agent.id: Reader(agent=agent.id, name=agent.name) for agent in late}
        waiting = [reader for reader in waiting if fresh] + [agent.id for agent in late]
    kept = replace(message, readers=tuple(readers.values()))
    copies = (messages.copy_of(message, reader) for reader in dict.fromkeys(waiting))
    return kept, (Put(keys.message(messages.revision_of(message)), kept), *copies)


def _whom(agent_id: str, state: State) -> str | None:
    """Who hears what is for an agent of here: it, or the session that goes on after it."""
    if state.presence(agent_id) is not None:
        return agent_id
    past = state.past_agent(agent_id)
    if past is None:
        return None
    heir = (p.agent.id for p in state.presences() if agents.same_client(past, p.agent))
    return next(heir, agent_id)
