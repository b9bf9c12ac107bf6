"""Asking a holder to let go, its answer, and who waits for whom: `request`, `refuse`, `queue`.

A request is mail to the holders plus a record in `queue/`, which goes when one of them lets go (the asker is told),
when one refuses, or by compaction. It promises nothing: the path is for whoever locks it next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys, queue
from agentsync.core.changes import Drop, Put, Write
from agentsync.core.lease import is_guest
from agentsync.core.paths import reach_overlap, target_of
from agentsync.core.records import Message, Reader, Waiter
from agentsync.errors import NotFoundError, UsageError
from agentsync.ops import agents
from agentsync.ops.session import resolve_targets

if TYPE_CHECKING:
    from agentsync.core.paths import Target
    from agentsync.core.queue import Link
    from agentsync.core.records import Agent, Lock
    from agentsync.ops.session import Session
    from agentsync.store.state import State

MAX_WORDS = 500
"""Characters of a message or a reason."""

PLEASE = "please let go of it when you can"


class Asked(Struct, frozen=True, kw_only=True, gc=False):
    """A request stands."""

    request: Waiter
    holders: tuple[Lock, ...]
    """Whom it asks, by their locks."""
    again: bool
    """It stood before; nobody was told twice."""


class Yours(Struct, frozen=True, gc=False):
    """Nobody needs to be asked: the caller holds it."""

    path: str


class Standing(Struct, frozen=True, kw_only=True, gc=False):
    """One record of the queue."""

    waiter: Waiter
    live: bool
    """Whether somebody is in line with it; never true of a request."""
    stopped: bool = False
    """Whether it is skipped because its process was stopped (Ctrl-Z), and keeps its place."""
    behind: tuple[Link, ...]
    """Whom it waits for."""


def request(session: Session, path: str, message: str | None = None) -> Asked | Yours:
    """Ask those who hold a path to let go of it.

    Args:
        session: Who asks.
        path: As typed.
        message: What to tell them.

    Raises:
        NotFoundError: Nobody holds it.
        UsageError: The path or the message cannot be used.
    """
    _check_words(message or PLEASE)
    session, (target,) = resolve_targets(session, [path])
    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        mine, others = tx.ask(lambda state, _: _holders(state, me, target))
        if not others:
            if mine:
                return Yours(target.path)
            raise NotFoundError(f"nobody holds {target.path}", f"agent-sync lock {path}")
        wanted = (queue.wanted(target),)
        for _, waiter in tx.state.queue():
            if (waiter.wants, waiter.agent, waiter.targets) == ("release", me.id, wanted):
                return Asked(request=waiter, holders=others, again=True)
        stamp = tx.stamp
        made = Waiter(
            id=f"m-{stamp.revision}",
            wants="release",
            agent=me.id,
            agent_name=me.name,
            targets=wanted,
            reason=message,
            created_at=stamp.now,
        )
        readers = {lock.holder: Reader(agent=lock.holder, name=lock.holder_name) for lock in others}
        asking = Message(
            id=made.id,
            sender=me.id,
            sender_name=me.name,
            to=", ".join(readers),
            body=message or PLEASE,
            directive=True,
            request=others[0].path,
            created_at=stamp.now,
        )
        writes: list[Write] = [Put(keys.waiter(stamp.revision, me.id), made)]
        writes.append(Put(keys.message(stamp.revision), replace(asking, readers=tuple(readers.values()))))
        for lock in reversed(others):  # each is told of a lock of its own: that is what it can unlock
            if is_guest(lock):
                continue  # the next sync brings it
            writes.append(Put(keys.notice(lock.holder, stamp.revision), replace(asking, request=lock.path)))
        whom = ", ".join(f"{reader.name} ({reader.agent})" for reader in readers.values())
        tx.commit("request", f"{me.name} ({me.id}) asks {whom} to let go of {target.path}", writes, "D")
        return Asked(request=made, holders=others, again=False)


def refuse(session: Session, request_id: str, reason: str) -> Waiter:
    """Answer a request for something the caller holds: no. The asker is told why.

    Raises:
        NotFoundError: There is no such request any more, or it asks somebody else.
        UsageError: The reason cannot be used.
    """
    _check_words(reason)
    unknown = NotFoundError(f"no open request {request_id!r} to you", "agent-sync queue lists what is open")
    if not session.store.exists():
        raise unknown
    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        open_ones = tx.ask(lambda state, _: state.queue())
        found = next(((key, w) for key, w in open_ones if w.wants == "release" and w.id == request_id), None)
        if found is None:
            raise unknown
        key, asked = found
        target = queue.target_from(asked.targets[0])
        mine, _ = tx.ask(lambda state, _: _holders(state, me, target))
        if not mine or asked.agent == me.id:
            raise unknown
        stamp = tx.stamp
        answer = Message(
            id=f"m-{stamp.revision}",
            sender=me.id,
            sender_name=me.name,
            to=asked.agent,
            body=f"I keep {target.path}: {reason}",
            reply_to=asked.id,
            directive=True,
            created_at=stamp.now,
        )
        asker = Reader(agent=asked.agent, name=asked.agent_name)
        writes: list[Write] = [
            Drop(key),
            Put(keys.message(stamp.revision), replace(answer, readers=(asker,))),
            Put(keys.notice(asked.agent, stamp.revision), answer),
        ]
        tx.commit("refuse", f"{me.name} ({me.id}) keeps {target.path}: {reason}", writes, "D")
        return asked


def listing(session: Session) -> list[Standing]:
    """Who is in line, first come first, then the requests; each with those it waits for."""
    state = session.store.state()
    everywhere = session.store.config.worktrees == "deny"
    found = sorted(state.queue(), key=lambda pair: (pair[1].wants == "release", queue.order(pair[1])))
    line = state.line()
    return [
        Standing(
            waiter=waiter,
            live=waiter in line,
            stopped=waiter not in line and state.is_there(key, waiter),
            behind=tuple(queue.links(state, line, waiter, everywhere)),
        )
        for key, waiter in found
    ]


def _check_words(words: str) -> None:
    if not words.strip():
        raise UsageError("nothing was said", 'for example: "until the tests are green"')
    if len(words) > MAX_WORDS:
        raise UsageError(f"{len(words)} characters are too many", f"say it in {MAX_WORDS}")


def _holders(state: State, me: Agent, target: Target) -> tuple[list[Lock], tuple[Lock, ...]]:
    """The live locks that touch a target: one's own, and those of others."""
    everywhere = state.config.worktrees == "deny"
    live = [
        held.lock
        for held in state.touching(target)
        if held.live and (everywhere or reach_overlap(target, target_of(held.lock)))
    ]
    others = sorted((lock for lock in live if lock.holder != me.id), key=lambda lock: lock.holder)
    return [lock for lock in live if lock.holder == me.id], tuple(others)
