"""`export` and `import`: a whole board to a file of lines, and back.

The export is one moment of the board. The import is one transaction, which happens or does not; the history comes after
it and is only ever added whole. Whoever is killed in between runs the command again.
"""

from __future__ import annotations

import os
from itertools import takewhile
from typing import TYPE_CHECKING

from msgspec import MsgspecError, Raw, Struct, json
from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.changes import Put
from agentsync.core.records import VERSION, Change, Event, Format, Record
from agentsync.core.transfer import FOLDERS, Bundle, Collision, Header, belongs, plan, told
from agentsync.errors import AgentSyncError, NewerRecordError, NotFoundError, UsageError
from agentsync.ops import user_files
from agentsync.render.payload import line
from agentsync.store import codec, inspect, log
from agentsync.store.restore import lay_down

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.ops.session import Session
    from agentsync.store.state import State
    from agentsync.store.store import Store

MAX_IMPORT = 1 << 25
"""Bytes of all records of an import: it is one event, and an event is read whole."""


ATTEMPTS = 3
"""How often an export looks for a moment in which nobody writes, before it makes one."""


class Exported(Struct, frozen=True, kw_only=True, gc=False):
    """A board as lines."""

    header: Header
    lines: tuple[bytes, ...]
    left_out: tuple[str, ...]
    """Places of records that cannot be read."""

    @property
    def data(self) -> bytes:
        """The whole file."""
        return b"".join(self.lines)


class Imported(Struct, frozen=True, kw_only=True, gc=False):
    """What an import did."""

    revision: int
    """Of the event that brought the records."""
    records: int
    history: int
    """Events that came with them."""
    left_out: dict[str, int]
    again: bool
    """It had been imported before."""


# ---------------------------------------------------------------- out
def export(session: Session) -> Exported:
    """The whole board at one moment: agents, locks, tasks, mail, decisions, the line, and the history.

    Raises:
        NotFoundError: There is no board here.
    """
    store = session.store
    if not store.exists():
        raise NotFoundError(f"there is no board in {store.place.state}", "agent-sync export -C DIR")
    head, found, left_out = _moment(session)
    events = [told(event) for event in takewhile(lambda event: event.rev <= head, log.since(store.files, 0))]
    content = store.files.read(keys.FORMAT)
    store_id = codec.decode(content.data if content else b"", Format, keys.FORMAT).store
    header = Header(store=store_id, revision=head, at=session.runtime.now(), records=len(found), events=len(events))
    return Exported(header=header, lines=tuple(map(line, (header, *found, *events))), left_out=left_out)


def _moment(session: Session) -> tuple[int, list[Change], tuple[str, ...]]:
    """One moment of the board: its revision, its records, and the places of those that cannot be read.

    Nobody is kept waiting unless others write all the time; so a board that is read-only for us can be exported.
    """
    store = session.store
    for _ in range(ATTEMPTS):
        head, is_still = store.revision(), not inspect.stuck_intent(store)
        found = _read(store.state()) if is_still else ([], ())
        if is_still and not inspect.stuck_intent(store) and store.revision() == head:
            return head, *found
    with store.transaction(session.me.id, session.timeout) as tx:
        return tx.stamp.revision - 1, *_read(tx.state)


def _read(state: State) -> tuple[list[Change], tuple[str, ...]]:
    found = list(_records(state))
    lines = [Change(put=key, record=_raw(record)) for key, record in found if key not in state.newer]
    return lines, (*state.damaged, *state.strange, *state.newer)


def _raw(record: Record) -> Raw:
    return Raw(codec.compact(record))


def _records(state: State) -> Iterator[tuple[str, Record]]:
    """Everything, with its place; signs of life, which are times of files, are written into the records."""
    yield from ((keys.agent(presence.agent.id), presence.agent) for presence in state.presences())
    yield from ((keys.past_agent(agent.id), agent) for agent in state.past_agents())
    yield from ((keys.lock(held.lock), replace(held.lock, expires_at=held.until)) for held in state.locks())
    yield from ((keys.task(task.id), task) for task in state.tasks())
    for key in state.message_keys():
        if (message := state.mail(key)) is not None:
            yield key, message
    for agent_id in state.inboxes():
        yield from state.inbox(agent_id)
    yield from ((keys.decision(keys.revision_of(one.id, "d") or 0), one) for one in state.decisions())
    yield from state.queue()


# ---------------------------------------------------------------- in
def read(session: Session, path: str) -> bytes:
    """What a file holds.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        found = user_files.read(os.path.join(session.runtime.cwd, path))
    except (OSError, ValueError, AgentSyncError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path[:200]!r} cannot be read: {why}", "name the file of an export") from None
    if found is None:
        raise UsageError(f"there is no file {path[:200]!r}", "name the file of an export")
    return found


def bundle(data: bytes) -> Bundle:
    """What an export holds.

    Raises:
        NewerRecordError: It has fields that this version does not know.
        UsageError: It is none, or not whole.
    """
    lines = data.splitlines()
    try:
        header = codec.decode(lines[0] if lines else b"", Header, "the first line")
    except AgentSyncError as error:
        raise UsageError(
            f"this is no export of agent-sync: {error.message}", "agent-sync export --output FILE"
        ) from None
    _refuse_newer(header)
    if len(lines) != 1 + header.records + header.events:
        said = f"{header.records} records and {header.events} events"
        raise UsageError(f"the file has {len(lines)} lines, but should have {said}", "make the export again")
    records, events = {}, []
    for number, text in enumerate(lines[1:], 2):
        try:
            if number <= 1 + header.records:
                key, record = _record(text)
                records[key] = record
            else:
                events.append(codec.decode(text, Event, "an event"))
        except NewerRecordError:
            raise
        except (AgentSyncError, MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"line {number} cannot be read: {error}", "make the export again") from None
    revisions = [event.rev for event in events]
    if revisions != sorted(set(revisions)) or (revisions and revisions[-1] > header.revision):
        raise UsageError("the events are not in order", "make the export again")
    return Bundle(
        mark=f"{header.store}:{header.revision}",
        revision=header.revision,
        records=records,
        events=tuple(told(event) for event in events),
    )


def _record(text: bytes) -> tuple[str, Record]:
    change = json.decode(text, type=Change)
    key = change.put or ""
    record = codec.decode(bytes(change.record), FOLDERS.get(key.partition("/")[0], Record), key)
    _refuse_newer(record)
    if not belongs(key, record):
        raise UsageError(f"{key} is no place for this record")
    return key, record


def _refuse_newer(record: Record) -> None:
    if record.v > VERSION:
        raise NewerRecordError("a newer agent-sync wrote this, and some of it would be lost", "upgrade this one")


def bring_in(session: Session, what: Bundle) -> Imported | Collision:
    """Import, once: what was imported before is only completed.

    Args:
        session: Who asks.
        what: What to import.

    Raises:
        UsageError: It is too large.
    """
    store = session.store
    with session.store.transaction(session.me.id, session.timeout) as tx:
        head = tx.stamp.revision - 1
        done = _before(store, what.mark) if head else None
        if done is not None:
            history = lay_down(store, what.events) if done == what.revision + 1 else 0
            return Imported(revision=done, records=0, history=history, left_out={}, again=True)
        decision = tx.ask(lambda state, _: plan(what, state, head))
        if isinstance(decision, Collision):
            return decision
        writes, left_out = decision.writes, decision.left_out
        puts = [write.record for write in writes if isinstance(write, Put)]
        if sum(len(codec.compact(record)) for record in puts) > MAX_IMPORT:
            raise UsageError(f"the records are larger than {MAX_IMPORT} bytes together", "finish old tasks, then gc")
        is_fresh = head == 0
        if is_fresh:
            tx.go_on_from(what.revision)
        elif what.events:
            left_out = {**left_out, "events of its history: this board has its own": len(what.events)}
        event = tx.commit("import", f"imported {len(puts)} records ({what.mark})", writes, "D", entry=True)
        assert event is not None
        history = lay_down(store, what.events) if is_fresh else 0
        return Imported(revision=event.rev, records=len(puts), history=history, left_out=left_out, again=False)


def _before(store: Store, mark: str) -> int | None:
    """The revision at which something was imported; None when it was not."""
    events = log.backwards(store.files)
    return next((e.rev for e in events if e.verb == "import" and e.summary.endswith(f"({mark})")), None)
