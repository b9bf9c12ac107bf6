"""What a commit to the shared board changes: the difference between it and the state here."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys, lease, locks, turns
from agentsync.core.paths import is_valid_id
from agentsync.core.policy import MAX_MINUTES
from agentsync.core.records import Board, Lock, Machine, Present
from agentsync.core.shared import BOARD, Known, Shared, meets, outward, place

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from agentsync.core.records import Record

LAPSED = timedelta(days=1)
"""After this time any sync removes what is no longer live."""

FORGOTTEN = timedelta(days=30)
"""Silence after which a machine is taken off the board."""

SQUASH_EVERY = 1000
"""Commits of the board after which its history is folded."""


class Plan(Struct, frozen=True, kw_only=True, gc=False):
    """What a commit to the board changes."""

    board: Board
    """With its serial; part of every commit."""
    machine: Machine
    granted: tuple[Lock, ...] = ()
    """The locks asked for, as they are here once the commit is done."""
    puts: dict[str, Record] = {}
    drops: tuple[str, ...] = ()
    squash: bool = False
    """The commit begins a new history."""
    worth: bool = True
    """Whether it says anything new."""


def plan(
    shared: Shared,
    known: Known,
    store: str,
    host: str,
    *,
    wanted: Sequence[Lock] = (),
    drops: Collection[str] = (),
    more: Mapping[str, Record | None] = {},  # is not changed
) -> Plan | Lock:
    """The commit that brings the board in line with the state here.

    Args:
        shared: The board as it is.
        known: What is known here, `received` done.
        store: The id of a board that is made now.
        host: What this machine is called by its people.
        wanted: Own locks that are not on the board yet.
        drops: Keys of others' locks that are to go.
        more: Tasks and words that the board does not have as they are here; None = to be removed.

    Returns:
        A lock of a guest that is in the way, if there is one.
    """
    old = shared.board
    board = Board(
        store=old.store if old else store,
        serial=old.serial + 1 if old else 1,
        squashed=old.squashed if old else 0,
        turns=turns.following(old.turns if old else (), known.me),
        created_at=old.created_at if old else known.now,
    )
    squash = board.serial - board.squashed > SQUASH_EVERY
    if squash and old:
        board = replace(board, squashed=old.serial)
    token = f"{board.store}:{board.serial}"
    granted = tuple(replace(lock, machine=known.me, token=token) for lock in wanted)
    asked = {place(lock, known.me): outward(lock, known.me, token) for lock in granted}
    live = {keys.lock(held.lock) for held in known.held if held.live and lease.is_guest(held.lock)}
    kept: dict[str, Lock] = dict(asked)
    for held in known.held:
        key = place(held.lock, known.me)
        if held.lock.machine == known.me and not lease.is_guest(held.lock) and key not in asked:
            there = shared.locks.get(key)
            mine = outward(held.lock, known.me, there.token if there else token)
            kept[key] = mine if there is None or there.holder == mine.holder else replace(mine, token=token)
    gone = {key for key, lock in shared.locks.items() if lock.machine == known.me and key not in kept} | {*drops}
    for key, lock in shared.locks.items():
        if lock.machine == known.me or key in gone:
            continue
        rival = next((one for one in asked.values() if locks.conflicting(one, lock)), None)
        if rival is not None and key in live:
            return lock
        if rival is not None or (key not in live and _is_over(lock, known)):
            gone.add(key)
    if known.rewound:
        taken = [lock for key, lock in shared.locks.items() if key not in gone]
        lost = {keys.lock(h.lock): h.lock for h in known.held if lease.is_guest(h.lock) and h.live}
        kept |= {k: lock for k, lock in lost.items() if k not in shared.locks and not meets(lock, taken)}
    machine = _self(shared.machines.get(known.me), known, host)
    puts: dict[str, Record] = {key: lock for key, lock in kept.items() if shared.locks.get(key) != lock}
    puts |= _machines(machine, shared, known)
    puts |= {key: record for key, record in more.items() if record is not None}
    gone |= {key for key, record in more.items() if record is None}
    gone |= set() if known.partial else _forgotten(shared, known)
    going = tuple(sorted(gone - puts.keys()))
    worth = bool(puts or going or known.rewound)
    return Plan(
        board=board,
        machine=machine,
        granted=granted,
        puts={**puts, BOARD: board},
        drops=going,
        squash=squash,
        worth=worth,
    )


def _is_over(lock: Lock, known: Known) -> bool:
    """Whether a guest's lock, which is not live, has been so for long. Its machine would have told of any new sign."""
    machine = known.machines.get(lock.machine or "")
    signs = (
        [p.seen_at for p in machine.agents if p.seen_at and lock.holder == f"{p.agent}.{machine.id}"] if machine else []
    )
    sign = max([*signs, min(lock.acquired_at, known.now)])
    ended = known.now - LAPSED
    return sign < ended - timedelta(seconds=min(lock.ttl_s, MAX_MINUTES * 60)) and lock.expires_at < ended


def _self(before: Machine | None, known: Known, host: str) -> Machine:
    """This machine's record; the one before if there is nothing to tell."""
    holders = {held.lock.holder for held in known.held if held.lock.machine == known.me}
    holders |= {present.agent for present in before.agents} if before and known.partial else set()
    agents = tuple(
        Present(
            agent=p.agent.id,
            name=p.agent.name,
            role=p.agent.role,
            client=p.agent.client,
            branch=p.agent.branch,
            last_seen=p.agent.last_seen,
        )
        for p in known.presences
        if p.agent.machine is None
        and (not p.is_gone or p.agent.id in holders)
        and is_valid_id(f"{p.agent.id}.{known.me}")
    )
    if before is not None and (before.host, before.agents) == (host, agents):
        return before
    created = before.created_at if before else known.now
    return Machine(id=known.me, host=host, agents=agents, created_at=created, last_seen=known.now)


def _machines(mine: Machine, shared: Shared, known: Known) -> dict[str, Record]:
    """Machines' records to put: our own, and after a rewind those that are missing."""
    found: dict[str, Record] = {} if shared.machines.get(known.me) == mine else {_place(known.me): mine}
    if known.rewound:
        for name, machine in known.machines.items():
            if name not in shared.machines:
                plain = tuple(replace(present, seen_at=None) for present in machine.agents)
                found[_place(name)] = replace(machine, agents=plain)
    return found


def _forgotten(shared: Shared, known: Known) -> set[str]:
    holding = {lock.machine for lock in shared.locks.values()}
    return {
        _place(name)
        for name, machine in known.machines.items()
        if name in shared.machines and name not in holding and name != known.me
        if all((p.seen_at or known.now) < known.now - FORGOTTEN for p in machine.agents)
        if machine.last_seen < known.now - FORGOTTEN
    }


def _place(machine: str) -> str:
    return f"machines/{machine}.json"
