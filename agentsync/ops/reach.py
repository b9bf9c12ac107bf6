"""Locks for all machines: granted when the shared board has them, not before.

In this order: the lock is taken here as any other, so that nobody here comes between; the board is asked; only when it
has agreed, the record says so (`machine`), and the caller is answered. What the board refuses is taken back here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.changes import Drop, Put, Write
from agentsync.core.lease import is_guest
from agentsync.core.locks import Conflict, Granted, Request
from agentsync.core.paths import Target, looks_like_glob, overlap, target_of
from agentsync.core.records import Lock
from agentsync.errors import AgentSyncError, GaveUpError, GuardTimeoutError, UsageError
from agentsync.ops import agents, engines, exchange, locks, sync
from agentsync.remote.backend import Done, Lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.policy import Config
    from agentsync.ops.exchange import Exchange
    from agentsync.ops.session import Session
    from agentsync.remote.backend import Backend
    from agentsync.store.state import State


LOOK_S = 1.0
"""Seconds between the first looks at the board of somebody who waits; each time twice as many."""

MAX_LOOK_S = 15.0


class Claim(Struct, frozen=True, gc=False):
    """The first step: what the caller holds here, and held before."""

    granted: Granted
    before: tuple[Lock, ...]


def is_wanted(session: Session, targets: Sequence[Target]) -> bool:
    """Whether locks on these are for all machines although nobody said so.

    The team's configuration may want it, or the caller has such a lock on one of them already.
    """
    if any(target.path.startswith("/") for target in targets):
        return False
    config = session.store.config
    if config.reach == "remote" or any(_is_marked(target, config) for target in targets):
        return True
    state = session.store.state()
    held = (held.lock for target in targets for held in state.at(target))
    return any(lock.machine is not None and lock.holder == session.me.id for lock in held)


def _is_marked(target: Target, config: Config) -> bool:
    patterns = (Target(scope="glob" if looks_like_glob(pattern) else "file", path=pattern) for pattern in config.remote)
    return target.scope != "resource" and any(overlap(pattern, target) for pattern in patterns)


def everywhere(targets: Sequence[Target]) -> tuple[Target, ...]:
    """The same targets for all machines: in every worktree.

    Raises:
        UsageError: One of them is outside of the repository, and means nothing elsewhere.
    """
    outside = next((target.path for target in targets if target.path.startswith("/")), None)
    if outside is not None:
        raise UsageError(
            f"{outside} is outside of the repository, so other machines do not have it", "leave out --remote"
        )
    return tuple(target if target.scope == "resource" else replace(target, everywhere=True) for target in targets)


def take(
    session: Session, request: Request, backend: Backend | None = None, claim: Claim | None = None
) -> Granted | Conflict:
    """Lock for all machines: all targets, or none.

    Args:
        session: Whose.
        request: Its targets bind in all worktrees.
        backend: The engine; None = the remote that was added.
        claim: The first step, if it is done; it is undone when the board refuses.

    Raises:
        UnreachableError: The remote did not answer, and the team's configuration wants no lock then.
        RejectedError: The remote refuses us.
        GaveUpError: Others were faster for a minute, or somebody here released the lock meanwhile.
    """
    with exchange.opened(session, backend) as there:
        try:
            there.recall(request.targets)
            while True:
                claim, conflict = _claim(session, request, claim)
                if conflict is not None:
                    guests = any(is_guest(blocked.held.lock) for blocked in conflict.blocked)
                    if there.is_fresh or not guests:
                        _give_back(session, claim)
                        return conflict
                    there.look()  # nobody is refused by an old view
                    continue
                assert claim is not None
                granted = _ask(session, there, claim)
                if granted is not None:
                    return granted
        except engines.UnreachableError as error:
            if session.store.config.unconfirmed == "warn":
                return _only_here(session, request, claim, error)
            _give_back(session, claim)
            raise
        except AgentSyncError:
            _give_back(session, claim)
            raise


def take_in_turn(
    session: Session, request: Request, seconds: float, priority: int = 0, backend: Backend | None = None
) -> Granted | Conflict:
    """The same, standing in line here, and looking at the board while a guest is in the way.

    Nobody stands in line on other machines: who asks first when it is free gets it.

    Args:
        session: Whose.
        request: As for `take`.
        seconds: How long to wait, but for a question to the remote that is under way then.
        priority: Points in the line here.
        backend: The engine; None = the remote that was added.

    Raises:
        AgentSyncError: As `take`; but while it waits, a remote that cannot be reached is asked again later.
    """
    end = time.monotonic() + seconds
    claim: Claim | None = None
    while True:
        decision = take(session, request, backend, claim)
        left = end - time.monotonic()
        if isinstance(decision, Granted) or left <= 0:
            return decision
        before = _held(session.store.state(), session.me.id, request)
        looks = _Looks(session, request, backend)
        decision = locks.take_in_turn(session, request, left, priority, looks)
        if isinstance(decision, Conflict):
            return decision
        claim = Claim(decision, before)


class _Looks:
    """Looks at the board, ever more seldom, while a guest is in the way."""

    def __init__(self, session: Session, request: Request, backend: Backend | None) -> None:
        self._session = session
        self._request = request
        self._backend = backend
        self._pause_s = LOOK_S
        self._due = time.monotonic() + LOOK_S

    def __call__(self) -> None:
        if time.monotonic() < self._due or not self._is_guest_there():
            return
        try:
            with exchange.opened(self._session, self._backend) as there:
                there.look()
        except (engines.UnreachableError, GuardTimeoutError):
            pass  # what is known of it may lapse meanwhile; the next look comes
        self._pause_s = min(2 * self._pause_s, MAX_LOOK_S)
        self._due = time.monotonic() + self._pause_s

    def _is_guest_there(self) -> bool:
        state = self._session.store.state()
        return any(is_guest(held.lock) for target in self._request.targets for held in state.touching(target))


def _held(state: State, agent_id: str, request: Request) -> tuple[Lock, ...]:
    """What somebody holds of what is wanted."""
    found = [held.lock for target in request.targets for held in state.at(target)]
    return tuple(lock for lock in found if lock.holder == agent_id)


def _claim(session: Session, request: Request, earlier: Claim | None) -> tuple[Claim | None, Conflict | None]:
    """Take the locks here."""
    with session.store.transaction(session.me.id, session.timeout) as tx:
        before = tx.ask(lambda state, _: _held(state, session.me.id, request))
        decision = locks.take_in(session, tx, request)
    if isinstance(decision, Conflict):
        return earlier, decision
    if earlier is not None:
        before = earlier.before
        decision = replace(decision, taken_over=(*earlier.granted.taken_over, *decision.taken_over))
    return Claim(decision, before), None


def _ask(session: Session, there: Exchange, claim: Claim) -> Granted | None:
    """Put a claim on the board, until it is there; None when it has to be decided again."""
    mine = claim.granted.locks
    wanted = [lock for lock in mine if lock.machine is None]
    while True:
        plan = there.plan(wanted=wanted)
        if isinstance(plan, Lock):
            there.look()
            return None
        if not plan.worth:
            return claim.granted  # renewed, and the board has nothing to learn from it
        what = ", ".join(lock.path for lock in mine)
        match outcome := there.commit(plan, f"lock {what} ({session.me.id} on {there.link.machine})"):
            case Done():
                return _confirm(session, there, claim, wanted, plan.granted)
            case Lost():
                came = there.look(quiet=frozenset(keys.lock(lock) for lock in mine))
            case _:
                raise engines.failure(outcome, there.link)
        if not {keys.lock(lock) for lock in came.lost}.isdisjoint(keys.lock(lock) for lock in mine):
            return None


def _confirm(
    session: Session, there: Exchange, claim: Claim, wanted: Sequence[Lock], granted: Sequence[Lock]
) -> Granted:
    """Write down that the board has agreed; from here on the lock may be relied on."""
    with session.store.transaction(session.me.id, session.timeout) as tx:
        released = [lock.path for lock in wanted if not stands(tx.state, lock)]
        writes: list[Write] = [
            Put(keys.lock(new), new) for old, new in zip(wanted, granted, strict=True) if stands(tx.state, old)
        ]
        what = ", ".join(lock.path for lock in claim.granted.locks)
        tx.commit("lock", f"{session.me.id} holds {what} on all machines", [*writes, *there.remember(tx.state)])
        session.store.files.touch(keys.LINK)
    if released:
        raise GaveUpError(f"{', '.join(released)} was released here while the remote was asked", "lock it again")
    confirmed = {keys.lock(lock): lock for lock in granted}
    return replace(claim.granted, locks=tuple(confirmed.get(keys.lock(lock), lock) for lock in claim.granted.locks))


def stands(state: State, lock: Lock) -> bool:
    """Whether a lock is still there, unchanged."""
    return any(held.lock == lock for held in state.at(target_of(lock)))


def _give_back(session: Session, claim: Claim | None) -> None:
    """Take the first step back: what still stands of it goes, and what the caller held before comes again."""
    if claim is None:
        return
    with session.store.transaction(session.me.id, session.timeout) as tx:
        mine = [lock for lock in claim.granted.locks if lock.machine is None and stands(tx.state, lock)]
        again = [old for old in claim.before if any(_covers(lock, old) for lock in mine)]
        places = {keys.lock(old) for old in again}
        writes: list[Write] = [Drop(keys.lock(lock)) for lock in mine if keys.lock(lock) not in places]
        writes += [Put(keys.lock(old), old) for old in again]
        what = ", ".join(lock.path for lock in mine)
        gone = [lock for lock in mine if keys.lock(lock) not in places]
        tx.commit("unlock", f"{session.me.id} does not get {what} on all machines", agents.answered(tx, gone, writes))


def _covers(new: Lock, old: Lock) -> bool:
    return (new.scope, new.path, new.holder) == (old.scope, old.path, old.holder)


def _only_here(session: Session, request: Request, claim: Claim | None, error: AgentSyncError) -> Granted | Conflict:
    """The team's configuration prefers a lock for this machine to none."""
    session.store.warnings.append(f"not confirmed, binds on this machine only: {error.message}")
    if claim is not None:
        return claim.granted
    return locks.take(session, request)


def announce(session: Session, released: Sequence[Lock]) -> None:
    """Tell the other machines what was released here. When that fails it is said, and the next sync does it."""
    forced = any(is_guest(lock) for lock in released)
    try:
        sync.tell(session, released)
    except AgentSyncError as error:
        then = "and it comes back with the next sync" if forced else "they are told with the next sync"
        session.store.warnings.append(f"released here, but not for other machines ({error.message}); {then}")
