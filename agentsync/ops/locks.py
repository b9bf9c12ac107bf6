"""Taking, giving up, listing and asking about locks: `lock`, `unlock`, `locks`, `check`, `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys, locks
from agentsync.core.changes import Drop, Stamp
from agentsync.core.locks import Conflict, Granted, Released, Request, Verdict
from agentsync.core.paths import target_of
from agentsync.core.policy import MAX_MINUTES
from agentsync.errors import UsageError
from agentsync.ops import agents
from agentsync.ops.session import resolve_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agentsync.core.changes import Write
    from agentsync.core.lease import Held
    from agentsync.core.paths import Target
    from agentsync.core.records import Agent, Event, Lock, Waiter
    from agentsync.ops.session import Session
    from agentsync.ops.waiting import Want
    from agentsync.store.state import State
    from agentsync.store.transaction import Transaction

MAX_TARGETS = 1000
"""Targets of one request: all of them are one event."""

MAX_REASON = 500
"""Characters of a reason: it is shown to every agent that is refused."""


def lock(
    session: Session,
    paths: Sequence[str],
    *,
    resources: Sequence[str] = (),
    shared: bool = False,
    ttl_minutes: int | None = None,
    reason: str | None = None,
    task: str | None = None,
    everywhere: bool = False,
    remote: bool = False,
    wait: float | None = None,
    priority: int = 0,
) -> Granted | Conflict:
    """Lock all of some files, directories, patterns and resources, or none.

    Args:
        session: Whose.
        paths: As typed, relative to the working directory; `@name` is a resource.
        resources: Names of resources.
        shared: Whether others may hold shared leases beside.
        ttl_minutes: Minutes that the lock lasts after the holder's last sign of life; None = the team's setting,
            or what the lock has, if that is more.
        reason: Why, for those who are refused.
        task: The task it is for.
        everywhere: Whether it binds in all worktrees.
        remote: Whether it binds on all machines that share a board (`remote add`); the answer then waits for the
            network. The team's configuration may want that without being asked.
        wait: Seconds to stand in line for it; `waiting.FOREVER`; None = be refused at once. On other machines there is
            no line: they are asked now and then whether it is free.
        priority: Points in line; each counts like having come a minute earlier.

    Returns:
        After waiting, a conflict without a `cycle` means that the time was over.

    Raises:
        GaveUpError: The place in line was lost: the session has ended, or the state was deleted.
        UsageError: A path, the reason or the time cannot be used, or no remote was added.
        AgentSyncError: The remote refuses, or cannot be reached.
    """
    if reason is not None and len(reason) > MAX_REASON:
        raise UsageError(f"the reason has {len(reason)} characters", f"say it in {MAX_REASON}")
    if ttl_minutes is not None and not 0 < ttl_minutes <= MAX_MINUTES:
        raise UsageError(f"{ttl_minutes} minutes cannot be a lease", f"give 1 to {MAX_MINUTES} minutes")
    if (count := len(paths) + len(resources)) > MAX_TARGETS:
        raise UsageError(f"{count} targets are too many", f"lock at most {MAX_TARGETS}, or a directory")
    session, targets = resolve_targets(session, paths, resources, everywhere)
    config = session.store.config
    if remote or session.store.files.status(keys.LINK) is not None:
        from agentsync.ops import reach

        remote = remote or reach.is_wanted(session, targets)
        targets = reach.everywhere(targets) if remote else targets
    request = Request(
        targets=targets,
        mode="shared" if shared else "exclusive",
        ttl_s=(ttl_minutes or config.ttl_minutes) * 60,
        may_shorten=ttl_minutes is not None,
        reason=reason,
        task=task,
        all_worktrees=config.worktrees == "deny",
    )
    if remote and wait is not None:
        return reach.take_in_turn(session, request, wait, priority)
    if wait is not None:
        return take_in_turn(session, request, wait, priority)
    decision = reach.take(session, request) if remote else take(session, request)
    if isinstance(decision, Conflict):
        from agentsync.store import refusals

        files, now = session.store.files, session.runtime.now()
        refusals.append_blocked(files, now, session.me.id, "lock", decision.blocked)
    return decision


def take(session: Session, request: Request) -> Granted | Conflict:
    """Decide and commit a request for locks. Those by hand do not pass anybody who is in line; edits do."""
    with session.store.transaction(session.me.id, session.timeout) as tx:
        return take_in(session, tx, request)


def take_in(session: Session, tx: Transaction, request: Request) -> Granted | Conflict:
    """The same within a transaction."""
    me = agents.ensure(session, tx)
    left: tuple[Write, ...] = ()
    if request.auto or not tx.ask(lambda state, _: state.queue()):
        decision = tx.ask(lambda state, stamp: locks.decide(state, me, request, stamp))
    else:
        from agentsync.core import queue
        from agentsync.ops.waiting import gone

        decision = tx.ask(lambda state, stamp: queue.decide(state, state.line(), me, request, stamp))
        left = gone(tx.state)
    if isinstance(decision, Granted):
        commit_grant(tx, me, decision, left)
    return decision


def take_in_turn(
    session: Session,
    request: Request,
    seconds: float,
    priority: int = 0,
    meanwhile: Callable[[], object] | None = None,
) -> Granted | Conflict:
    """The same, standing in line for it: see `waiting.wait`."""
    from agentsync.core import queue
    from agentsync.ops import waiting

    outcome = waiting.wait(session, in_turn(request, priority), seconds, meanwhile)
    if isinstance(outcome, Granted):
        return outcome
    state = session.store.state()
    known = state.presence(session.me.id)
    in_the_way = known and queue.decide(state, state.line(), known.agent, request, Stamp(state.now, 0, ""))
    found = in_the_way if isinstance(in_the_way, Conflict) else Conflict(blocked=())  # just now it has become free
    return replace(found, cycle=outcome.cycle)


def in_turn(request: Request, priority: int = 0) -> Want[Granted]:
    """A request as something to stand in line for."""
    from agentsync.ops import waiting

    def decide(state: State, stamp: Stamp, me: Agent) -> Granted | None:
        decision = locks.decide(state, me, request, stamp)
        return decision if isinstance(decision, Granted) else None

    return waiting.Want(request=request, priority=priority, decide=decide, commit=commit_grant)


def commit_grant(tx: Transaction, me: Agent, granted: Granted, left: tuple[Write, ...]) -> None:
    """Make a grant happen, together with what else is to be written."""
    verb = "takeover" if granted.taken_over else "auto-lock" if all(lock.auto for lock in granted.locks) else "lock"
    what = ", ".join(lock.path for lock in granted.locks)
    whose = ", ".join(sorted({f"{old.holder_name} ({old.holder})" for old in granted.taken_over}))
    from_whom = f" from {whose}" if whose else ""
    writes = agents.answered(tx, granted.taken_over, (*granted.writes, *left))
    tx.commit(verb, f"{me.name} ({me.id}) locked {what}{from_whom}", writes)


def unlock(
    session: Session,
    paths: Sequence[str],
    *,
    resources: Sequence[str] = (),
    everything: bool = False,
    force: bool = False,
) -> Released | Conflict:
    """Give up locks, all or none. What is not locked is no error.

    Args:
        session: Whose.
        paths: As typed.
        resources: Names of resources.
        everything: All of the caller's own locks instead.
        force: Whether a live lock of somebody else goes too; recorded, and its holder is told.

    Raises:
        UsageError: A path cannot be one, or nothing was named.
    """
    targets = None
    if not everything:
        session, targets = resolve_targets(session, paths, resources)
    return _release(session, targets, force) if session.store.exists() else Released(locks=())


def _release(session: Session, targets: Iterable[Target] | None, force: bool) -> Released | Conflict:
    """Release some targets; None = whatever is the caller's own when the guard is held."""

    def question(state: State, stamp: Stamp) -> Released | Conflict:
        mine = (target_of(held.lock) for held in state.locks() if held.lock.holder == me.id)
        return locks.release(state, me, mine if targets is None else targets, force, stamp)

    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        decision = tx.ask(question)
        if isinstance(decision, Released):
            what = ", ".join(dropped.path for dropped in decision.locks)
            foreign = any(dropped.holder != me.id for dropped in decision.locks)
            verb = "force-unlock" if force and foreign else "unlock"
            writes = agents.answered(tx, decision.locks, decision.writes)
            tx.commit(verb, f"{me.name} ({me.id}) released {what}", writes)
    if isinstance(decision, Released) and any(dropped.machine is not None for dropped in decision.locks):
        from agentsync.ops import reach

        reach.announce(session, decision.locks)
    return decision


def release_exactly(session: Session, granted: Iterable[Lock], force: bool = False) -> Released | Conflict:
    """Give up locks by what they are, not by how they were typed. What is gone already is no error."""
    return _release(session, [target_of(lock) for lock in granted], force)


def give_back(session: Session, granted: Iterable[Lock]) -> None:
    """Give up those of some locks that are still what was granted. What was made of one since then stays held."""
    with session.store.transaction(session.me.id, session.timeout) as tx:
        kept = [lock for lock in granted if any(held.lock == lock for held in tx.state.at(target_of(lock)))]
        drops = [Drop(keys.lock(lock)) for lock in kept]
        what = ", ".join(lock.path for lock in kept)
        writes = agents.answered(tx, kept, drops)
        tx.commit("unlock", f"{session.me.id} released {what}", writes)


def held(session: Session) -> list[Held]:
    """All locks that have not expired, by path. A lock whose holder is gone is among them: it is on disk."""
    state = session.store.state()
    session.store.touch(session.me.id)
    return [lock for lock in state.locks() if state.now < lock.until]


class Checked(Struct, frozen=True, kw_only=True, gc=False):
    """What an edit of one path by the caller would meet."""

    target: Target
    verdict: Verdict


def check(session: Session, paths: Sequence[str]) -> list[Checked]:
    """Who would be refused: judge an edit of each path as the hook would, and change nothing.

    Raises:
        UsageError: A path cannot be one, or none was named.
    """
    found = []
    for typed in paths:
        there, targets = resolve_targets(session, [typed])
        everywhere = there.store.config.worktrees == "deny"

        def judge(state: State, targets: Sequence[Target] = targets, everywhere: bool = everywhere) -> list[Checked]:
            return [Checked(target=t, verdict=locks.judge_edit(state, session.me.id, t, everywhere)) for t in targets]

        found += there.store.at_one_moment(judge)
    if not found:
        raise UsageError("nothing to check was named", "for example: agent-sync check src/app.py")
    return found


class Story(Struct, frozen=True, kw_only=True, gc=False):
    """What there is to tell about a path."""

    target: Target
    held: tuple[Held, ...]
    """Locks that touch the path, live or not, in whatever worktree."""
    verdict: Verdict
    events: tuple[Event, ...]
    """The last events that changed a lock on it, newest first."""
    waiting: tuple[Waiter, ...] = ()
    """Who is in line for it."""


def explain(session: Session, path: str, count: int = 5) -> Story:
    """The story of a path: who holds it, what happened to it last.

    Args:
        session: Who asks.
        path: As typed.
        count: How many events to tell at most.
    """
    from agentsync.core.paths import overlap
    from agentsync.core.queue import target_from
    from agentsync.ops import feed
    from agentsync.store import log

    there, target, is_about = feed.concerning(session, path)
    state = there.store.state()
    events = [event for event in log.tail(there.store.files, 512) if is_about(event)]
    everywhere = there.store.config.worktrees == "deny"
    return Story(
        target=target,
        held=tuple(state.touching(target)),
        verdict=locks.judge_edit(state, session.me.id, target, everywhere),
        waiting=tuple(w for w in state.line() if any(overlap(target_from(wanted), target) for wanted in w.targets)),
        events=tuple(events[:count]),
    )
