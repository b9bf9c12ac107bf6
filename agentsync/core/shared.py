"""Decisions about the board that several machines share: what comes from it, and what goes to it.

`received` turns what was read from the board into writes to the state here; `plan` turns the state here into changes of
the board. Neither remembers anything: what is to be done is the difference between the two. FORMAT.md, *Several
machines*, is the contract.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import globs, keys, lease, locks
from agentsync.core.changes import Drop, Put, Stamp, Write, notices
from agentsync.core.paths import encode, encode_target, is_valid_id, parents, target_of
from agentsync.core.policy import MAX_MINUTES
from agentsync.core.records import Agent, Board, Lock, Machine, Present
from agentsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from agentsync.core.lease import Held, Presence
    from agentsync.core.paths import Target
    from agentsync.core.policy import Config
    from agentsync.core.records import Record

SKEW = timedelta(minutes=5)
"""How far a clock may be off, of a machine that was never seen before. Of others only intervals count."""

LAPSED = timedelta(days=1)
"""After this time any sync removes what is no longer live."""

FORGOTTEN = timedelta(days=30)
"""Silence after which a machine is taken off the board."""

SQUASH_EVERY = 1000
"""Commits of the board after which its history is folded."""

BOARD = "board.json"


class Shared(Struct, frozen=True, kw_only=True, gc=False):
    """The board, decoded."""

    board: Board | None = None
    """None when there is nothing yet."""
    machines: dict[str, Machine] = {}
    locks: dict[str, Lock] = {}
    """By key. Each holder is `<id>.<machine>`."""
    closed: frozenset[str] = frozenset()
    """Keys of records that a newer version wrote; nobody may overwrite them."""


class Known(Struct, frozen=True, kw_only=True, gc=False):
    """What is known here."""

    me: str
    """This machine."""
    now: datetime
    held: Sequence[Held]
    """All locks in the state, own and guests', live or not."""
    presences: Sequence[Presence]
    machines: Mapping[str, Machine]
    """The others, as they were seen last, with `seen_at`."""
    rewound: bool = False
    """The board has lost history: what is missing was not released."""
    partial: bool = False
    """`held`, and the locks of the board, are only those that touch what is wanted."""


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


# ---------------------------------------------------------------- one lock, here and there
def global_id(agent_id: str, machine: str) -> str:
    """What an agent is called on the other machines.

    Raises:
        UsageError: The id is too long for that.
    """
    name = f"{agent_id}.{machine}"
    if not is_valid_id(name):
        raise UsageError(f"{agent_id} is too long a name for all machines", "register with an AGENT_SYNC_ID under 50")
    return name


def outward(lock: Lock, machine: str, token: str) -> Lock:
    """An own lock as it stands on the board."""
    return replace(
        lock,
        holder=global_id(lock.holder, machine),
        machine=machine,
        token=token,
        session=None,
        process=None,
        worktree=None,
        everywhere=lock.scope != "resource",
    )


def place(lock: Lock, me: str) -> str:
    """The key on the board of a lock here."""
    return keys.lock(lock if lease.is_guest(lock) else replace(lock, holder=f"{lock.holder}.{me}"))


def inward(lock: Lock, now: datetime) -> Lock:
    """A guest's lock as it stands here: nothing in it is later than our own clock allows."""
    ttl_s = min(lock.ttl_s, MAX_MINUTES * 60)
    latest = now + timedelta(seconds=ttl_s)
    return replace(lock, ttl_s=ttl_s, acquired_at=min(lock.acquired_at, now), expires_at=min(lock.expires_at, latest))


def is_sound(key: str, lock: Lock) -> bool:
    """Whether a record may be a lock on the board: at its place, of a guest, and saying nothing that we would not say.

    Whoever can push there can write anything, and what comes from there is judged by every hook.
    """
    plain = (lock.process, lock.session, lock.worktree) == (None, None, None)
    if not plain or lock.everywhere == (lock.scope == "resource") or not lease.is_guest(lock) or keys.lock(lock) != key:
        return False
    if lock.scope == "resource":
        return lock.path.startswith("@") and lock.path != "@"
    if lock.path.startswith("/") or not {"", ".."}.isdisjoint(lock.path.removesuffix("/").split("/")):
        return False
    if lock.scope != "glob":
        return lock.path.endswith("/") == (lock.scope == "dir")
    try:
        globs.parse(lock.path)
    except UsageError:
        return False
    return True


def _same(a: Lock, b: Lock) -> bool:
    """Whether two records of one lock differ in nothing but times, which heartbeats move."""
    return replace(a, acquired_at=b.acquired_at, expires_at=b.expires_at) == b


def near(targets: Sequence[Target]) -> Callable[[str], bool]:
    """Which keys of the board matter for locks on some targets: told by their names, for there may be many."""
    exact: set[str] = set()
    wide = []
    for target in targets:
        if target.scope in ("dir", "glob"):
            wide.append(target)
            continue
        names = [encode_target(target.scope, target.path)]
        names += [encode(name) for name in (*parents(target.path), f"{target.path}/") if target.scope == "file"]
        exact |= {f"locks/{name}.json" for name in names}

    def matters(key: str) -> bool:
        if not key.startswith("locks/"):
            return True
        if key.rpartition("/")[2].startswith(("~", "@~")):
            return True  # a hash: only the record tells
        in_drawer = key.startswith(("locks/globs/", "locks/shared/"))
        return key in exact or any(keys.overlaps(key, target) for target in (targets if in_drawer else wide))

    return matters


# ---------------------------------------------------------------- what comes
def seen(machine: Machine, before: Machine | None, now: datetime) -> Machine:
    """Another machine's record with the times when its agents' heartbeats were first seen, by our clock."""
    known = {present.agent: present for present in before.agents} if before else {}
    agents = []
    for present in machine.agents:
        old = known.get(present.agent)
        if old is not None and old.last_seen == present.last_seen and old.seen_at is not None:
            at = min(old.seen_at, now)
        else:
            first = now if present.last_seen >= now - SKEW else present.last_seen + SKEW
            at = now if before is not None else first
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
    guests = {name: agent for machine in others for name, agent in _guests(machine)}
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
        wanted |= {key: lock for key, lock in kept.items() if not _meets(lock, wanted.values())}
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


def _guests(machine: Machine) -> Iterable[tuple[str, Agent]]:
    for present in machine.agents:
        name = f"{present.agent}.{machine.id}"
        if not is_valid_id(name):
            continue
        sign = present.seen_at or machine.created_at
        yield (
            name,
            Agent(
                id=name,
                name=present.name,
                client=present.client,
                branch=present.branch,
                host=machine.host,
                machine=machine.id,
                created_at=machine.created_at,
                last_seen=sign,
            ),
        )


def _unknown(lock: Lock, now: datetime) -> Agent:
    """A holder that its machine does not tell of."""
    at = min(lock.acquired_at, now)
    return Agent(id=lock.holder, name=lock.holder_name, machine=lock.machine, created_at=at, last_seen=at)


def _meets(lock: Lock, others: Iterable[Lock]) -> bool:
    return any(locks.conflicting(lock, other) for other in others)


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


# ---------------------------------------------------------------- what goes
def plan(
    shared: Shared, known: Known, store: str, host: str, *, wanted: Sequence[Lock] = (), drops: Collection[str] = ()
) -> Plan | Lock:
    """The commit that brings the board in line with the state here.

    Args:
        shared: The board as it is.
        known: What is known here, `received` done.
        store: The id of a board that is made now.
        host: What this machine is called by its people.
        wanted: Own locks that are not on the board yet.
        drops: Keys of others' locks that are to go.

    Returns:
        A lock of a guest that is in the way, if there is one.
    """
    old = shared.board
    board = Board(
        store=old.store if old else store,
        serial=old.serial + 1 if old else 1,
        squashed=old.squashed if old else 0,
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
        kept |= {k: lock for k, lock in lost.items() if k not in shared.locks and not _meets(lock, taken)}
    machine = _self(shared.machines.get(known.me), known, host)
    puts: dict[str, Record] = {key: lock for key, lock in kept.items() if shared.locks.get(key) != lock}
    puts |= _machines(machine, shared, known)
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
