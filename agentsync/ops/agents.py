"""Coming, staying, going: `register`, `heartbeat`, `whoami`, and the start and end of a client's session."""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import agents, keys, locks
from agentsync.core.changes import Drop, Put, Stamp, Write
from agentsync.core.paths import Target, reach_overlap, target_of
from agentsync.core.records import Agent, Lock
from agentsync.ops import identity
from agentsync.store import activity, log
from agentsync.store.locate import branch_of, find_repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentsync.core.lease import Presence
    from agentsync.core.records import Event
    from agentsync.ops.session import Session
    from agentsync.store.state import State
    from agentsync.store.transaction import Transaction


class Whoami(Struct, frozen=True, kw_only=True, gc=False):
    """Who the caller is."""

    presence: Presence
    """As on the board; for somebody who is not registered, as it would be."""
    registered: bool
    source: str


def whoami(session: Session) -> Whoami:
    """Who the caller is, without registering anybody."""
    from agentsync.core.lease import Presence

    found = session.store.state().presence(session.me.id) if session.store.exists() else None
    if found is not None:
        session.store.touch(session.me.id)
        return Whoami(presence=found, registered=True, source=session.me.source)
    now = session.runtime.now()
    known = agents.enrol(None, identity.facts(session.me, session.runtime, session.place), Stamp(now, 0, ""))
    return Whoami(presence=Presence(known, "active"), registered=False, source=session.me.source)


def register(session: Session, name: str | None = None, role: str | None = None) -> Agent:
    """Come on the board, or change one's name or role there.

    Raises:
        UsageError: The name cannot be used.
    """
    with session.store.transaction(session.me.id, session.timeout) as tx:
        return enlist(session, tx, name, role)


def heartbeat(session: Session) -> Agent:
    """Give a sign of life; registers who is not on the board yet."""
    with session.store.transaction(session.me.id, session.timeout) as tx:
        return ensure(session, tx)


def ensure(session: Session, tx: Transaction) -> Agent:
    """The caller's record, with a sign of life; whoever is not on the board, or was thought dead, registers."""
    found = tx.state.presence(session.me.id)
    if found is None or found.ended or found.status == "dead":
        return enlist(session, tx)
    session.store.touch(session.me.id)
    return found.agent


def as_checked_out(session: Session, presences: Iterable[Presence]) -> list[Presence]:
    """The same, each agent of this machine with the branch that is checked out now where it works.

    Its record says which one that was when it registered, and others will look at that branch.
    """
    return [replace(one, agent=_as_checked_out(session, one.agent)) for one in presences]


def _as_checked_out(session: Session, agent: Agent) -> Agent:
    if agent.machine is not None or agent.cwd is None:
        return agent
    repository = find_repository(agent.cwd)
    if repository is None or (repository.main, repository.worktree) != (session.place.root, agent.worktree):
        return agent
    branch = identity.text(branch_of(repository.top))
    return agent if branch == agent.branch else replace(agent, branch=branch)


def enlist(session: Session, tx: Transaction, name: str | None = None, role: str | None = None) -> Agent:
    """Register within a transaction: the record, what is inherited, and what the others must have locked by now."""
    state, stamp = tx.state, tx.stamp
    present = state.presence(session.me.id)
    known = present.agent if present else state.past_agent(session.me.id)
    if present is not None and present.status == "dead" and known is not None:
        known = replace(known, pid=None, pid_start=None, boot_id=None, pid_ns=None)
    agent = agents.enrol(known, identity.facts(session.me, session.runtime, session.place, name, role), stamp)
    writes: list[Write] = []
    others = [p for p in state.presences() if p.agent.id != agent.id]
    predecessor = next((p.agent for p in others if p.ended and agents.same_client(p.agent, agent)), None)
    if predecessor is not None:
        from agentsync.core import claims

        agent, moved = agents.succeed(predecessor, agent, state.locks(), stamp)
        writes += (*moved, *claims.inherit(state.tasks(), predecessor.id, agent))
        others = [p for p in others if p.agent.id != predecessor.id]
    # First of all, so that at no instant somebody else finds himself alone on the board.
    writes.insert(0, Put(keys.agent(agent.id), agent))
    if present is None:
        swept = agents.sweep(others, state.locks(), stamp, state.newer)
        if swept:
            from agentsync.core.queue import dropped

            swept = answered(tx, dropped(swept, state.locks()), swept)
        writes += swept
        writes += _catch_up(session, tx, others)  # after the sweep: it may lock what a dead agent held
    if known is not None and present is None:
        writes.append(Drop(keys.past_agent(agent.id)))
    mail = _mail(state, stamp, agent, predecessor) if present is None or predecessor else ()
    verb = "register" if present is None else "update"
    tx.commit(verb, f"{agent.name} ({agent.id}) is on the board", [*writes, *mail], "D" if mail else "S")
    if present is None:
        # Once more, now that everybody can see the newcomer: who edits alone reports first and looks around second,
        # so either we find the report, or the editor finds us.
        caught = _catch_up(session, tx, [p for p in others if tx.state.presence(p.agent.id) is not None])
        tx.commit("auto-lock", f"what others edited before {agent.name} ({agent.id}) came is locked for them", caught)
    return agent


def _mail(state: State, stamp: Stamp, agent: Agent, predecessor: Agent | None) -> tuple[Write, ...]:
    """What somebody who comes finds in its inbox: what its predecessor was not told, or what was said to all lately."""
    from agentsync.core import delivery

    if predecessor is not None:
        waiting = [(key, copy) for key, copy in state.inbox(predecessor.id) if key not in state.newer]
        writes = delivery.inherit(waiting, state, predecessor, agent)
    else:
        writes = delivery.catch_up(state, agent, stamp)
    # What a newer version wrote is left as it is, and must not keep anybody from the board.
    return tuple(write for write in writes if write.key not in state.newer)


def _catch_up(session: Session, tx: Transaction, others: list[Presence]) -> list[Write]:
    """Lock what the others edited in the last minutes, while they were alone and took no locks."""
    config = session.store.config
    if not config.auto_lock:
        return []
    state, stamp = tx.state, tx.stamp
    ttl = config.auto_lock_minutes * 60
    taken: dict[str, Lock] = {}
    for presence in others:
        if presence.status not in ("active", "idle"):
            continue
        for edit in activity.read(session.store.files, presence.agent.id):
            if edit.verb != "edit" or (stamp.now - edit.at).total_seconds() >= ttl:
                continue
            if config.class_of(edit.path) != "plain":
                continue
            target = Target(scope="file", path=edit.path, worktree=edit.worktree)
            # Another's lock was granted since, and may revive if it has lapsed.
            touching = [h for h in state.touching(target) if h.live or h.lock.holder != presence.agent.id]
            if any(config.worktrees == "deny" or reach_overlap(target, target_of(h.lock)) for h in touching):
                continue
            lock = agents.lock_for_edit(presence.agent, target, min(edit.at, stamp.now), ttl, stamp)
            if not any(locks.conflicting(lock, other) for other in taken.values()):
                taken[keys.lock(lock)] = lock
    if taken:
        oldest = min(lock.acquired_at for lock in taken.values())
        since = list(takewhile(lambda event: event.at >= oldest, log.backwards(session.store.files)))
        taken = {key: lock for key, lock in taken.items() if not _was_let_go(lock, since)}
    return [Put(key, lock) for key, lock in taken.items()]


def is_own(session: Session) -> bool:
    """Whether the caller's own process is its life on the board: it ends with it."""
    found = session.store.state().presence(session.me.id)
    own = session.runtime.process(session.runtime.pid)
    if found is None or own is None or found.agent.boot_id != session.runtime.boot_id:
        return False
    return (found.agent.pid, found.agent.pid_start) == (own.pid, own.start)


def _was_let_go(edit: Lock, events: Iterable[Event]) -> bool:
    """Whether the editor let go of the file after it had edited it, or was made to."""
    target, home = target_of(edit), keys.home_of(keys.lock(edit))
    return any(
        change.drop is not None and keys.overlaps(change.drop, target) and keys.home_of(change.drop) == home
        for event in events
        if event.actor == edit.holder or event.verb == "force-unlock"
        if event.at >= edit.acquired_at + timedelta(seconds=1)  # the gate reports in whole seconds
        for change in event.changes
    )


def end(session: Session, release_all: bool, continues: bool = False) -> tuple[Lock, ...]:
    """The session says goodbye.

    Args:
        session: Whose.
        release_all: Whether locks by hand go too; auto-locks always do.
        continues: Whether the client goes on with a new session, as after `/clear`.

    Returns:
        The locks that were released.
    """
    if not session.store.exists() or not session.is_registered():
        return ()
    with session.store.transaction(session.me.id, session.timeout) as tx:
        found = tx.state.presence(session.me.id)
        if found is None:
            return ()
        released, writes = agents.farewell(found.agent, tx.state.locks(), release_all, continues)
        left = [Drop(key) for key, waiter in tx.state.queue() if waiter.agent == found.agent.id]
        tx.commit("end", f"{found.agent.name} ({found.agent.id}) has ended", answered(tx, released, (*writes, *left)))
        return released


def answered(tx: Transaction, gone: Sequence[Lock], writes: Sequence[Write]) -> tuple[Write, ...]:
    """The writes of a transaction in which locks go, with word to those who had asked their holders for them."""
    asked = tx.state.queue() if gone else []
    if not asked:
        return tuple(writes)
    from agentsync.core import queue

    return queue.answered(asked, gone, writes, tx.stamp, tx.state.config.worktrees == "deny")
