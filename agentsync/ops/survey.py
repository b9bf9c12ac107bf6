"""Everything that is on the board, for somebody who watches: a look at which nothing is written and nobody asked."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys
from agentsync.ops import feed, tasks
from agentsync.store import activity, log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from agentsync.core.lease import Held, Presence
    from agentsync.core.paths import Target
    from agentsync.core.records import Decision, Event, Message, Waiter
    from agentsync.ops.session import Session
    from agentsync.ops.tasks import Seen
    from agentsync.store.watch import Follower

MAX_MESSAGES = 1000
"""Messages that are read; the newest."""

LOOKED_AT = 512
"""Events in which those about one thing are looked for."""


class Survey(Struct, frozen=True, kw_only=True, gc=False):
    """The board at one moment."""

    now: datetime
    board: bytes = b""
    """The format record: another one is another board, made where this was."""
    revision: int
    agents: tuple[Presence, ...] = ()
    edits: Mapping[str, activity.Line] = {}
    """By agent, the last edit that it reported."""
    locks: tuple[Held, ...] = ()
    """By path. Expired ones are not among them."""
    waiting: tuple[Waiter, ...] = ()
    """Who is in line, in its order."""
    tasks: tuple[Seen, ...] = ()
    """The best first, finished ones last."""
    messages: tuple[Message, ...] = ()
    """Oldest first, with all readers."""
    inbox: tuple[Message, ...] = ()
    """What waits for whoever looks."""
    decisions: tuple[Decision, ...] = ()
    """Oldest first, superseded ones too."""
    looked: datetime | None = None
    """When this clone last looked at the board that it shares with other machines; None = it shares none."""


def survey(session: Session, before: Survey | None = None) -> Survey:
    """Look at everything. Gives no sign of life and registers nobody.

    Args:
        session: Who looks.
        before: What was seen last: of an agent that has reported nothing since, the last edit is not read again.
    """
    store = session.store
    if not store.exists():
        return Survey(now=session.runtime.now(), revision=0)
    revision = store.revision()  # first: whatever comes meanwhile will be looked at again
    state = store.state()
    here = tuple(state.everybody())
    edits = {}
    for presence in here:
        agent_id = presence.agent.id
        latest = state.last_edit(agent_id)
        known = before.edits.get(agent_id) if before else None
        if latest is not None and (known is None or latest > known.at):
            known = activity.last_edit(store.files, agent_id)
        if known is not None:
            edits[agent_id] = known
    mail = (state.mail(key) for key in state.message_keys()[-MAX_MESSAGES:])
    made = store.files.read(keys.FORMAT)
    link = state.link()
    return Survey(
        now=state.now,
        board=made.data if made is not None else b"",
        revision=revision,
        agents=here,
        edits=edits,
        locks=tuple(held for held in state.locks() if state.now < held.until),
        waiting=tuple(state.line()),
        tasks=tuple(tasks.look(session, state)),
        messages=tuple(message for message in mail if message is not None),
        inbox=tuple(message for _, message in state.inbox(session.me.id)),
        decisions=tuple(state.decisions()),
        looked=link[1] if link is not None else None,
    )


def recent(session: Session, count: int, before: int | None = None) -> list[Event]:
    """The newest events without what they changed, oldest first.

    Args:
        session: Who looks.
        count: How many at most.
        before: Only those before this revision.
    """
    if not session.store.exists():
        return []
    found = log.backwards(session.store.files)
    wanted = islice((event for event in found if before is None or event.rev < before), count)
    return [replace(event, changes=()) for event in wanted][::-1]


def since(session: Session, revision: int) -> list[Event]:
    """The events after a revision without what they changed, oldest first."""
    return [replace(event, changes=()) for event in log.since(session.store.files, revision)]


def follower(session: Session, after: int) -> Follower:
    """Whoever waits for the board to move; close it in the end."""
    from agentsync.store.watch import Follower  # its watcher takes 40 ms to import

    return Follower(session.store.files, after)


def event(session: Session, revision: int) -> Event | None:
    """One event with what it changed; None when it is no longer, or not yet, in the log."""
    found = next(log.since(session.store.files, revision - 1), None)
    return found if found is not None and found.rev == revision else None


def about(session: Session, target: Target, count: int) -> list[Event]:
    """The newest events about a lock's target, oldest first, as far as the last few hundred tell."""
    latest = log.tail(session.store.files, LOOKED_AT) if session.store.exists() else []
    return [found for found in latest if feed.concerns(found, target)][:count][::-1]
