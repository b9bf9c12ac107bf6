"""The board that several machines share, as a value, and what a lock on it looks like there and here.

What comes from a board is decided in `core.incoming`, what goes to it in `core.outgoing`. Neither remembers anything:
what is to be done is the difference between the board and the state. FORMAT.md, *Several machines*, is the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import globs, keys, lease, locks
from agentsync.core.paths import encode, encode_target, is_valid_id, parents
from agentsync.core.policy import MAX_MINUTES
from agentsync.core.records import Agent, Board, Lock, Machine
from agentsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from agentsync.core.lease import Held, Presence
    from agentsync.core.paths import Target
    from agentsync.core.records import Scope

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


# ---------------------------------------------------------------- agents, here and there
def guests_of(machine: Machine) -> Iterable[tuple[str, Agent]]:
    """The agents of another machine as they stand here, by id, with the last sign of life by our clock."""
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
                role=present.role,
                client=present.client,
                branch=present.branch,
                host=machine.host,
                machine=machine.id,
                created_at=machine.created_at,
                last_seen=sign,
            ),
        )


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
    return is_sound_path(lock.path, lock.scope)


def is_sound_path(path: str, scope: Scope) -> bool:
    """Whether a path means something on every machine, and is spelled as a writer of ours would."""
    if scope == "resource":
        return path.startswith("@") and path != "@"
    if path.startswith("/") or not {"", ".."}.isdisjoint(path.removesuffix("/").split("/")):
        return False
    if scope != "glob":
        return path.endswith("/") == (scope == "dir")
    try:
        globs.parse(path)
    except UsageError:
        return False
    return True


class Wanted(Struct, frozen=True, gc=False):
    """Which keys of a board are of interest."""

    matters: Callable[[str], bool]
    files: frozenset[str] = frozenset()
    folders: tuple[str, ...] | None = None
    """What matters is one of `files`, or in one of these, each with its slash; None = it may be anywhere."""


LOCKS = Wanted(
    lambda key: key == BOARD or key.startswith(("machines/", "locks/")),
    frozenset({BOARD}),
    ("machines/", "locks/", "locks/globs/", "locks/shared/"),
)
"""All locks, and nothing else that a board may have."""


def near(targets: Sequence[Target]) -> Wanted:
    """Which keys of the board matter for locks on some targets: told by their names, for there may be many."""
    exact = {BOARD}
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
            return key == BOARD or key.startswith("machines/")
        asked = targets if key.startswith(("locks/globs/", "locks/shared/")) else wide
        is_hash = key.rpartition("/")[2].startswith(("~", "@~"))  # only the record tells
        return key in exact or (bool(asked) and (is_hash or any(keys.overlaps(key, target) for target in asked)))

    return Wanted(matters, frozenset(exact), None if wide else ("machines/", "locks/globs/", "locks/shared/"))


def meets(lock: Lock, others: Iterable[Lock]) -> bool:
    """Whether a lock excludes any of others."""
    return any(locks.conflicting(lock, other) for other in others)
