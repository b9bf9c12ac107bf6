"""Decisions about agents: coming, going, and being gone.

The invariant that lets a lonely agent work without a single lock: *an agent leaves `agents/` for `agents/past/` only
when it is gone and holds nothing.* So whoever finds only its own record there knows that nobody holds anything.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.changes import SYSTEM, Drop, Put, Stamp, Write, notices
from agentsync.core.records import Agent, Lock
from agentsync.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from agentsync.core.lease import Held, Presence
    from agentsync.core.paths import Target

OPERATOR = "operator"
"""The id of the person at the console, and the name of nobody else: what they say must be theirs."""

CONSOLE = "console"
"""The client that the operator works with, and nobody else."""

RESERVED = frozenset({SYSTEM, "all", "past", OPERATOR})
"""Ids that mean something else, or somebody in particular."""

MAX_NAME = 64

_NAMED = 10
"""Agents that an error names."""

KEPT = 200
"""Agents that have left and are still remembered, with their edits."""


class Facts(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a session when it registers. None = not said: what the record says stays."""

    id: str
    name: str | None = None
    role: str | None = None
    client: str | None = None
    session: str | None = None
    cwd: str | None = None
    worktree: str | None = None
    branch: str | None = None
    host: str = ""
    pid: int | None = None
    pid_start: int | None = None
    boot_id: str | None = None
    pid_ns: str | None = None


def enrol(known: Agent | None, facts: Facts, stamp: Stamp) -> Agent:
    """The record of an agent that shows up, for the first time or again.

    Raises:
        UsageError: The name, the role or the id cannot be used.
    """
    is_operator = facts.id == OPERATOR and facts.client == CONSOLE
    if facts.id in RESERVED and not is_operator:
        raise UsageError(f"{facts.id!r} is a reserved word and cannot be an agent's id", "choose another AGENT_SYNC_ID")
    if facts.name is not None and not 0 < len(facts.name.strip()) <= MAX_NAME:
        raise UsageError(f"a name has 1 to {MAX_NAME} characters", 'for example: agent-sync register --name "backend"')
    for word in (facts.name, facts.role):
        if word is not None and word.strip().casefold() == OPERATOR and not is_operator:
            raise UsageError(f"{OPERATOR!r} is the person at the console", "choose another name or role")
    if known is None:
        known = Agent(id=facts.id, name=facts.id, created_at=stamp.now, last_seen=stamp.now)
    same_process = facts.pid is None
    return replace(
        known,
        name=facts.name.strip() if facts.name is not None else known.name,
        role=facts.role if facts.role is not None else known.role,
        client=facts.client if facts.client is not None else known.client,
        session=facts.session if facts.session is not None else known.session,
        status="active",
        cwd=facts.cwd,
        worktree=facts.worktree,
        branch=facts.branch,
        host=facts.host,
        pid=known.pid if same_process else facts.pid,
        pid_start=known.pid_start if same_process else facts.pid_start,
        boot_id=known.boot_id if same_process else facts.boot_id,
        pid_ns=known.pid_ns if same_process else facts.pid_ns,
        last_seen=stamp.now,
    )


def named(words: str, presences: Iterable[Presence], former: Agent | None = None) -> Presence | None:
    """Whom an id, else a name, means; None = nobody.

    Of several with one name, those who are gone do not count while another is there.

    Args:
        words: As typed.
        presences: Who is on the board.
        former: Who left it under this id, if somebody did; then who goes on in the same client is meant.

    Raises:
        NotFoundError: Several agents have this name.
    """
    there = list(presences)
    same = [p for p in there if p.agent.id == words] or [p for p in there if p.agent.name == words]
    if not same and former is not None:
        same = [p for p in there if same_client(former, p.agent)]
    same = [p for p in same if not p.is_gone] or same
    same = [p for p in same if p.agent.machine is None] or same  # who is here goes before who is elsewhere
    if len(same) > 1:
        ids = _listed(p.agent.id for p in same)
        raise NotFoundError(f"{len(same)} agents are called {words[:80]!r}", "name one of them by id", ids)
    return same[0] if same else None


def nobody(words: str, others: Iterable[Agent], what: str = "id or name") -> NotFoundError:
    """The error for a word that means nobody: it says who is there."""
    there = _listed(f"{agent.name} ({agent.id})" for agent in others) or "nobody else"
    return NotFoundError(f"no agent here has the {what} {words[:80]!r}", "name who is there", f"here are {there}")


def _listed(words: Iterable[str]) -> str:
    found = list(words)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def same_client(a: Agent, b: Agent) -> bool:
    """Whether two agents are sessions of one running client: `/clear` starts a new session in the old process."""
    return a.pid is not None and (a.pid, a.pid_start, a.boot_id, a.pid_ns) == (b.pid, b.pid_start, b.boot_id, b.pid_ns)


def succeed(old: Agent, new: Agent, held: Iterable[Held], stamp: Stamp) -> tuple[Agent, tuple[Write, ...]]:
    """A new session of the same client takes the place of the old one: name, role, task and locks, with new tokens."""
    heir = replace(new, name=old.name if old.name != old.id else new.name, role=old.role, task=old.task)
    writes: list[Write] = []
    for lock in (h.lock for h in held if h.lock.holder == old.id):
        moved = replace(lock, holder=heir.id, holder_name=heir.name, session=heir.session, token=stamp.token)
        writes.append(Put(keys.lock(moved), moved))  # first: readers take no guard and must not see it free
        if keys.lock(moved) != keys.lock(lock):
            writes.append(Drop(keys.lock(lock)))
    writes += _depart(old)
    return heir, tuple(writes)


def farewell(
    agent: Agent, held: Iterable[Held], release_all: bool, continues: bool
) -> tuple[tuple[Lock, ...], tuple[Write, ...]]:
    """The session ends: its auto-locks go, its locks by hand stay until they expire unless all are to be released.

    Args:
        agent: Who ends.
        held: All locks.
        release_all: Whether locks by hand go too.
        continues: Whether the same client goes on with a new session (`/clear`), which will find its predecessor here.

    Returns:
        The locks released, and the writes.
    """
    own = [h.lock for h in held if h.lock.holder == agent.id]
    released = tuple(lock for lock in own if lock.auto or release_all)
    writes: list[Write] = [Drop(keys.lock(lock)) for lock in released]
    if continues:
        writes.append(Put(keys.agent(agent.id), replace(agent, status="offline")))
        return released, tuple(writes)
    ended = replace(agent, status="offline", pid=None, pid_start=None, boot_id=None, pid_ns=None)
    writes += _depart(ended) if len(released) == len(own) else [Put(keys.agent(agent.id), ended)]
    return released, tuple(writes)


def _depart(agent: Agent) -> list[Write]:
    gone = replace(agent, status="offline")
    return [Put(keys.past_agent(agent.id), gone), Drop(keys.agent(agent.id))]


def sweep(
    presences: Iterable[Presence], held: Sequence[Held], stamp: Stamp, newer: Collection[str] = ()
) -> tuple[Write, ...]:
    """Tidy up after those who are gone: their locks that bind no longer, and then themselves.

    Should one of them come back, it is told which of its locks lapsed. Who is followed by a new session
    of the same client stays, for that to find.

    Args:
        presences: Who is on the board.
        held: All locks.
        stamp: When.
        newer: Keys of records that a newer version wrote, which are not ours to drop; their owners stay.
    """
    writes: list[Write] = []
    told: dict[str, list[str]] = {}
    for presence in presences:
        agent = presence.agent
        if not presence.is_gone or presence.continues or agent.machine is not None:
            continue  # guests come and go with their locks, by `sync`
        own = [h for h in held if h.lock.holder == agent.id]
        if not {keys.agent(agent.id), *(keys.lock(h.lock) for h in own)}.isdisjoint(newer):
            continue
        dead_locks = [h for h in own if not h.live]
        writes += [Drop(keys.lock(h.lock)) for h in dead_locks]
        if dead_locks:
            told[agent.id] = [f"your lock on {h.lock.path} had lapsed and was dropped" for h in dead_locks]
        if len(dead_locks) == len(own):
            writes += _depart(agent)
    return (*writes, *notices(told, stamp))


def outdated(past: Iterable[Agent]) -> list[Agent]:
    """Those who left longest ago, to be forgotten. The archive keeps them."""
    return sorted(past, key=lambda agent: (agent.last_seen, agent.id), reverse=True)[KEPT:]


def lock_for_edit(agent: Agent, target: Target, at: datetime, ttl_s: int, stamp: Stamp) -> Lock:
    """The auto-lock that an agent would have taken for an edit at a past time, had it not been alone."""
    return Lock(
        path=target.path,
        scope="file",
        mode="exclusive",
        holder=agent.id,
        holder_name=agent.name,
        session=agent.session,
        token=stamp.token,
        task=agent.task,
        auto=True,
        worktree=target.worktree,
        branch=agent.branch,
        acquired_at=at,
        expires_at=at + timedelta(seconds=ttl_s),
        ttl_s=ttl_s,
    )
