"""What changes here after a look at the shared board."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys, lease, locks
from agentsync.core.changes import Drop, Put, Stamp, Write, notices
from agentsync.core.paths import target_of
from agentsync.core.records import Agent, Lock, Machine
from agentsync.core.shared import Known, Shared, guests_of, inward, meets, place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from agentsync.core.lease import Held
    from agentsync.core.policy import Config


class Came(Struct, frozen=True, kw_only=True, gc=False):
    """What a look at the board changes here."""

    guests: tuple[Lock, ...] = ()
    """Locks of other machines that are new here."""
    gone: tuple[Lock, ...] = ()
    """Those that went."""
    lost: tuple[Lock, ...] = ()
    """Own locks that gave way, or are on the board no more."""
    machines: tuple[Machine, ...] = ()
    """The others, as they are to be remembered."""
    writes: tuple[Write, ...] = ()


def seen(machine: Machine, before: Machine | None, now: datetime) -> Machine:
    """Another machine's record with the times when its agents' heartbeats were first seen, by our clock.

    What is seen for the first time counts as new, whatever its own clock says: clocks may be hours apart.
    """
    known = {present.agent: present for present in before.agents} if before else {}
    agents = []
    for present in machine.agents:
        old = known.get(present.agent)
        if old is not None and old.last_seen == present.last_seen and old.seen_at is not None:
            at = min(old.seen_at, now)
        else:
            at = now
        agents.append(replace(present, seen_at=at))
    return replace(machine, agents=tuple(agents))


def received(
    board: locks.Board, shared: Shared, known: Known, config: Config, *, stamp: Stamp, quiet: Collection[str] = ()
) -> Came:
    """What changes here after a look at the board.

    Args:
        board: The state here.
        shared: What was read.
        known: What is known here.
        config: For the status of guests.
        stamp: When.
        quiet: Keys of own locks whose loss the caller tells itself.
    """
    others = tuple(
        seen(machine, known.machines.get(name), known.now)
        for name, machine in sorted(shared.machines.items())
        if name != known.me
    )
    guests = {name: agent for machine in others for name, agent in guests_of(machine)}
    here = {keys.lock(held.lock): held for held in known.held}
    wanted: dict[str, Lock] = {}
    for key, lock in shared.locks.items():
        if lock.machine == known.me:
            continue
        agent = guests.setdefault(lock.holder, _unknown(lock, known.now))
        if lease.held(
            lock := inward(lock, known.now), known.now, lease.presence(agent, known.now, "unknown", config), known.now
        ).live:
            wanted[key] = lock
    if known.rewound:  # what the board has lost was not released
        kept = {key: h.lock for key, h in here.items() if lease.is_guest(h.lock) and h.live and key not in wanted}
        wanted |= {key: lock for key, lock in kept.items() if not meets(lock, wanted.values())}
    new = {k: lock for k, lock in wanted.items() if k not in here or not _same(lock, here[k].lock)}
    lost = _displaced(board, new.values())
    lost |= {} if known.rewound else _missing(here, shared, known.me)
    gone = {
        k: h.lock
        for k, h in here.items()
        if lease.is_guest(h.lock) and (k not in wanted or wanted[k].holder != h.lock.holder)
    }
    writes: list[Write] = []
    holders = {lock.holder: lock for lock in wanted.values()}
    present = {p.agent.id: p.agent for p in known.presences if p.agent.machine is not None}
    for name, lock in sorted(holders.items()):
        agent = guests.get(name) or present.get(name) or _unknown(lock, known.now)
        if present.get(name) != agent:
            writes += [Put(keys.agent(name), agent), Drop(keys.past_agent(name))]
    writes += [Drop(key) for key in (*lost, *gone) if key not in new]
    writes += [Put(key, lock) for key, lock in new.items()]
    writes += [Put(keys.lock(lock), lock) for lock in _retokened(here, shared, known.me) if keys.lock(lock) not in lost]
    writes += [Drop(keys.agent(name)) for name in present if name not in holders]
    writes += [Put(keys.machine(m.id), m) for m in others if known.machines.get(m.id) != m]
    if not known.rewound:
        writes += [Drop(keys.machine(name)) for name in known.machines if name not in shared.machines]
    told: dict[str, list[str]] = {}
    for key, lock in lost.items():
        if key not in quiet:
            told.setdefault(lock.holder, []).append(_why(lock, wanted.values()))
    return Came(
        guests=tuple(lock for k, lock in new.items() if k not in here or here[k].lock.holder != lock.holder),
        gone=tuple(lock for k, lock in gone.items() if k not in new),
        lost=tuple(lost.values()),
        machines=others,
        writes=(*writes, *notices(told, stamp)),
    )


def _unknown(lock: Lock, now: datetime) -> Agent:
    """A holder that its machine does not tell of."""
    at = min(lock.acquired_at, now)
    return Agent(id=lock.holder, name=lock.holder_name, machine=lock.machine, created_at=at, last_seen=at)


def _displaced(board: locks.Board, new: Iterable[Lock]) -> dict[str, Lock]:
    """Locks of this machine that a guest's excludes: the board knows of none of them, or no more."""
    return {
        keys.lock(held.lock): held.lock
        for lock in new
        for held in board.touching(target_of(lock))
        if not lease.is_guest(held.lock) and locks.conflicting(lock, held.lock)
    }


def _missing(here: Mapping[str, Held], shared: Shared, me: str) -> dict[str, Lock]:
    """Own locks that were on the board and are there no more."""
    mine = {key: held.lock for key, held in here.items() if held.lock.machine == me}
    return {key: lock for key, lock in mine.items() if not _is_mine(shared.locks.get(place(lock, me)), me)}


def _is_mine(there: Lock | None, me: str) -> bool:
    return there is not None and there.machine == me


def _retokened(here: Mapping[str, Held], shared: Shared, me: str) -> Iterable[Lock]:
    """Own locks whose token the board has decided meanwhile: they have gone from one own agent to another."""
    for held in here.values():
        there = shared.locks.get(place(held.lock, me))
        if held.lock.machine != me or there is None or there.holder != f"{held.lock.holder}.{me}":
            continue
        if there.token != held.lock.token:
            yield replace(held.lock, token=there.token)


def _why(lost: Lock, guests: Iterable[Lock]) -> str:
    rival = next((lock for lock in guests if locks.conflicting(lock, lost)), None)
    if rival is None:
        return f"your lock on {lost.path} is no longer on the shared board: somebody released it"
    return (
        f"your lock on {lost.path} gave way to a lock for all machines of {rival.holder_name} ({rival.holder}): "
        "do not go on with it before you have seen what they do"
    )


def _same(a: Lock, b: Lock) -> bool:
    """Whether two records of one lock differ in nothing but times, which heartbeats move."""
    return replace(a, acquired_at=b.acquired_at, expires_at=b.expires_at) == b
