"""Tasks, mail and decisions between the state here and the shared board.

`take_over` brings what is new there, and remembers in `link.json` up to which version it has; from then on whatever
differs between the two happened here, and `changes` tells it. Mail and decisions come one by one, as if their authors
had written them here: each gets an event and a number of its own. A crash in between only means that the rest comes
with the next sync.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys, messages, replicas
from agentsync.core.changes import Drop, Put, Write, notices
from agentsync.core.records import Decision, Message, Task
from agentsync.core.replicas import Names
from agentsync.core.tasks import UNFINISHED, name
from agentsync.ops import arrivals, contents
from agentsync.ops.contents import Copies

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from agentsync.core.changes import Stamp
    from agentsync.core.records import Record
    from agentsync.ops.exchange import Exchange
    from agentsync.ops.session import Session
    from agentsync.store.state import State

BATCH = 300
"""Writes of one event."""

FORGOTTEN_DAYS = 30
"""Age of mail on the board at which anybody may remove it: its own machine does so far earlier, if there is one."""


class Brought(Struct, frozen=True, kw_only=True, gc=False):
    """What came from other machines."""

    tasks: tuple[Task, ...] = ()
    """As they are now here."""
    gone: tuple[str, ...] = ()
    """Ids of tasks that were cleared away there."""
    lost: tuple[Task, ...] = ()
    """Tasks of agents here that are theirs no more."""
    messages: tuple[Message, ...] = ()
    decisions: tuple[Decision, ...] = ()


NOTHING = Brought()


def take_over(there: Exchange, session: Session, *, dry_run: bool = False) -> Brought:
    """Bring what is new on the board, after a look at it.

    Args:
        there: The board; it has been looked at.
        session: Whose.
        dry_run: Whether the state is to stay as it is.
    """
    copies = contents.words(there.files)
    base = _base(there, copies)
    state = session.store.state()
    names = names_for(there, state, copies)
    said = arrivals.bring(session, state, copies, base, names, dry_run=dry_run)
    if dry_run:
        changed = _merge_tasks(state, copies, base, names, there)
        lost = tuple(_lost(state, changed, names))
    else:
        changed, lost = _take_tasks(there, session, copies, base, names)
    return Brought(
        tasks=tuple(task for task in changed.values() if task is not None),
        gone=tuple(task_id for task_id, task in changed.items() if task is None),
        lost=lost,
        messages=tuple(one for one in said if isinstance(one, Message)),
        decisions=tuple(one for one in said if isinstance(one, Decision)),
    )


def changes(there: Exchange, session: Session, unwritten: Brought = NOTHING) -> dict[str, Record | None]:
    """What the board does not know of what happened here, once `take_over` is done; None = to be removed.

    Args:
        there: The board.
        session: Whose.
        unwritten: What `take_over` would have brought, if it was not to write.
    """
    copies = contents.words(there.files)
    state = session.store.state()
    names, me = names_for(there, state, copies), there.link.machine
    found: dict[str, Record | None] = {}
    local = {task.id: task for task in (*state.tasks(), *unwritten.tasks) if task.id not in unwritten.gone}
    for task in local.values():
        key, mine = keys.task(task.id), replicas.task_abroad(task, names)
        if mine is not None and key not in copies.closed and _plain(copies.tasks.get(key)) != mine:
            found[key] = replace(mine, machine=me)
    kept, settled = state.messages(), state.decisions()
    words: list[Message | Decision] = [*kept, *settled]
    unreadable = _unreadable(state)
    found |= {key: None for key, task in copies.tasks.items() if task.id not in local and key not in unreadable}
    origins = {record.id: record.origin for record in words if record.origin}
    abroad: dict[str, Message | Decision] = {}
    for message in kept:
        if replicas.is_shared(message, names) and (sent := replicas.message_abroad(message, origins, names)):
            abroad[replicas.place_of(sent.id)] = sent
    for decision in settled:
        if (said := replicas.decision_abroad(decision, origins, names)) is not None:
            abroad[replicas.place_of(said.id)] = said
    for key, record in abroad.items():
        if key not in copies.closed:
            found |= _news(key, record, copies, me)
    for key in (*copies.messages, *copies.decisions):
        is_lost = key not in abroad and key.replace(f".{me}.json", ".json") not in unreadable
        if is_lost and _may_go(key, copies, me, state.now):
            found[key] = None
    return found


def _news(key: str, record: Message | Decision, copies: Copies, me: str) -> dict[str, Record | None]:
    """What of a message or decision of here the board does not know."""
    known = copies.messages.get(key)
    if isinstance(record, Message) and known is not None:
        mine = {reader.agent for reader in record.readers}  # an agent whose heir has its mail is none any more
        left = tuple(r for r in known.readers if r.agent in mine or not r.agent.endswith(f".{me}"))
        readers = replicas.receipts(left, record.readers)
        return {} if readers == known.readers else {key: replace(known, readers=readers)}
    is_there = known is not None or key in copies.decisions
    return {} if is_there or replicas.machine_of(key) != me else {key: record}


def _may_go(key: str, copies: Copies, me: str, now: datetime) -> bool:
    """Whether what is on the board and not here is to be removed there: by its own machine, or when it is very old."""
    message = copies.messages.get(key)
    is_old = message is not None and (now - message.created_at).days >= FORGOTTEN_DAYS
    return is_old or replicas.machine_of(key) == me


def _unreadable(state: State) -> Collection[str]:
    """Keys here at which there is something, which reads as nothing."""
    return state.damaged.keys() | state.newer | state.strange.keys()


def names_for(there: Exchange, state: State, copies: Copies) -> Names:
    """What is called how, by all machines that are known, or were: on the board, every name ends with one."""
    others = {machine.id for machine in state.machines()} | there.shared.machines.keys()
    words = (key for key in there.files if key.startswith(("messages/", "decisions/")))
    others |= {machine for key in words if (machine := replicas.machine_of(key))}
    people = {name for task in copies.tasks.values() for name in (task.created_by, task.owner) if name}
    people |= {reader.agent for message in copies.messages.values() for reader in message.readers}
    return Names(there.link.machine, others | {name.rpartition(".")[2] for name in people})


def _base(there: Exchange, copies: Copies) -> Copies:
    """The board as it was taken over last; empty when that is not known any more, or is no base for what is there."""
    if there.is_rewound or there.link.merged is None:
        return Copies()
    if there.link.merged == there.version:
        return copies
    found = there.recalled(there.link.merged)
    return contents.words(found) if found is not None else Copies()


def _plain(task: Task | None) -> Task | None:
    """A board's task without what it says of who wrote it there."""
    return replace(task, machine=None) if task is not None else None


# ---------------------------------------------------------------- tasks
def _merge_tasks(state: State, copies: Copies, base: Copies, names: Names, there: Exchange) -> dict[str, Task | None]:
    """Which tasks change here; None = is cleared away."""
    local = {task.id: task for task in state.tasks()}
    unreadable = _unreadable(state)
    changed: dict[str, Task | None] = {}
    for task_id in {*local, *(task.id for task in copies.tasks.values()), *(task.id for task in base.tasks.values())}:
        key, mine = keys.task(task_id), local.get(task_id)
        if key in copies.closed or key in unreadable:
            continue
        outward = replicas.task_abroad(mine, names) if mine is not None else None
        if mine is not None and outward is None:
            continue
        found = copies.tasks.get(key)
        is_echo = found is not None and found.machine == names.me
        version = replicas.merged(_plain(base.tasks.get(key)), outward, _plain(found), is_echo)
        if version != outward:
            changed[task_id] = replicas.task_here(version, mine, names) if version is not None else None
    return changed


def _take_tasks(
    there: Exchange, session: Session, copies: Copies, base: Copies, names: Names
) -> tuple[dict[str, Task | None], tuple[Task, ...]]:
    """Write down the tasks as they are now, and how far readers elsewhere got; then, up to which version that is.

    Returns:
        Which tasks changed, and those of agents here that are theirs no more, as they were.
    """
    with session.store.transaction(session.me.id, session.timeout) as tx:
        changed = tx.ask(lambda state, _: _merge_tasks(state, copies, base, names, there))
        writes: list[Write] = []
        for task_id, task in changed.items():
            writes.append(Put(keys.task(task_id), task) if task is not None else Drop(keys.task(task_id)))
        writes += tx.ask(lambda state, _: list(_receipts(state, copies, names)))
        lost = tx.ask(lambda state, _: tuple(_lost(state, changed, names)))
        last = [*_told(lost, changed, tx.stamp), *there.merged(tx.state)]
        summary = f"from other machines: {len(changed)} tasks changed" if changed else "other machines were heard of"
        for first in range(0, len(writes), BATCH):
            tx.commit("sync", summary, writes[first : first + BATCH])
        tx.commit("sync", summary, last)
    return changed, lost


def _receipts(state: State, copies: Copies, names: Names) -> Iterable[Write]:
    """How far readers on other machines got with messages that are here."""
    for message in state.messages():
        there = copies.messages.get(replicas.place_of(replicas.name_of(message, names.me)))
        if there is None:
            continue
        guests = {r.agent: r for r in there.readers if not names.is_ours(r.agent)}  # told of by their machines alone
        left = tuple(r for r in message.readers if r.agent in guests or not names.is_guest(r.agent))
        known = replicas.receipts(left, guests.values())
        if known != message.readers:
            yield Put(keys.message(messages.revision_of(message)), replace(message, readers=known))


def _lost(state: State, changed: Mapping[str, Task | None], names: Names) -> Iterable[Task]:
    """Unfinished tasks of agents here, as they were, of which somebody elsewhere decided otherwise."""
    for task_id, now in changed.items():
        before = state.task(task_id)
        if before is None or before.owner is None or names.is_guest(before.owner) or before.status not in UNFINISHED:
            continue
        if now is None or (now.owner, now.status) != (before.owner, before.status):
            yield before


def _told(lost: Iterable[Task], changed: Mapping[str, Task | None], stamp: Stamp) -> tuple[Put, ...]:
    told: dict[str, list[str]] = {}
    for task in lost:
        now = changed[task.id]
        if now is None:
            became = "was cleared away"
        elif now.owner not in (None, task.owner):
            became = f"belongs to {now.owner_name} ({now.owner}), who was first: do not go on with it"
        else:
            became = f"is {now.status} now"
        told.setdefault(task.owner or "", []).append(f"by another machine, your task {name(task)} {became}")
    return notices(told, stamp)
