"""Life and death: which agents are there, and which locks therefore bind.

All of it is a function of what was recorded, the clock, and whether the agent's process is provably dead. The
thresholds come from the store's configuration, never from the viewer's environment.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from agentsync.core.policy import Config
    from agentsync.core.records import Agent, Lock

Status = Literal["active", "idle", "stale", "offline", "dead"]
"""As people see it; in records and JSON a dead agent is offline."""


Life = Literal["alive", "stopped", "dead", "unknown"]
"""What is known of a process: proof of life, proof of death, or neither. Only who waits is ever `stopped` (Ctrl-Z)."""


class Presence(Struct, frozen=True, gc=False):
    """An agent as it is now."""

    agent: Agent
    """With `last_seen` = the heartbeat: the latest of all signs of life."""
    status: Status
    ended: bool = False
    """The session said goodbye. Its locks by hand stay until they expire."""
    continues: bool = False
    """It said so because its client, which runs, was told `/clear`: a new session takes its place at once."""

    @property
    def is_gone(self) -> bool:
        """No longer able to protect anything, or to come back without registering."""
        return self.status in ("offline", "dead")


class Held(Struct, frozen=True, gc=False):
    """A lock as it is now."""

    lock: Lock
    until: datetime
    """When it expires if no further sign of life comes."""
    holder: Presence | None
    """None when the holder's record is lost; then the lock lives until `until`."""
    live: bool
    """Whether it binds. What is not live may be taken over by anybody."""


def presence(agent: Agent, now: datetime, life: Life, config: Config) -> Presence:
    """Judge an agent.

    Args:
        agent: Its record, with `last_seen` = the latest sign of life.
        now: The time, UTC.
        life: What can be said about its process (`Runtime.life_of`).
        config: The store's thresholds.
    """
    if agent.status == "offline":
        return Presence(agent, "offline", ended=True, continues=life == "alive")
    if life == "dead":
        return Presence(agent, "dead")
    silent = now - agent.last_seen
    if silent <= timedelta(minutes=config.stale_minutes):
        return Presence(agent, "active")
    if life == "alive":
        return Presence(agent, "idle")  # its process is there; a model may think for an hour
    if silent <= timedelta(minutes=config.offline_minutes):
        return Presence(agent, "stale")
    return Presence(agent, "offline")


def expiry(lock: Lock, renewed: datetime, holder: Presence | None, running: datetime | None = None) -> datetime:
    """When a lock ends if nothing more is heard.

    A lock by hand counts from its holder's last sign of life, an auto-lock from the last edit of its file.

    Args:
        lock: The record.
        renewed: For an auto-lock, the last edit: the later of its file's mtime and what the activity file tells.
        holder: The holder as it is now, if its record is there.
        running: Now, if the lock belongs to a process that is seen to live.
    """
    sign = renewed if lock.auto else holder.agent.last_seen if holder is not None else lock.acquired_at
    sign = running or sign
    try:
        return max(lock.expires_at, sign + timedelta(seconds=lock.ttl_s))
    except OverflowError:  # a record of nonsense, but a record: it must not keep anybody from all the others
        return datetime.max.replace(tzinfo=UTC)


def held(lock: Lock, renewed: datetime, holder: Presence | None, now: datetime, process: Life = "unknown") -> Held:
    """Judge a lock: live iff it has not expired and its holder is not gone.

    One that belongs to a process is live as long as that is alive, whatever became of the holder. Where the process
    cannot be seen it is judged like any other.

    Args:
        lock: The record.
        renewed: See `expiry`.
        holder: The holder as it is now.
        now: The time.
        process: What can be said of the process that it belongs to.
    """
    until = expiry(lock, renewed, holder, now if process == "alive" else None)
    if process != "unknown":
        return Held(lock, until, holder, live=process == "alive")
    # Other machines tell now and then, so of a guest's silence only the lease counts.
    silent = holder is not None and holder.agent.machine is None and holder.status in ("stale", "offline", "dead")
    gone = silent and holder is not None and not holder.ended
    return Held(lock, until, holder, live=now < until and not gone)


def is_guest(lock: Lock) -> bool:
    """Whether an agent of another machine holds it."""
    return lock.machine is not None and lock.holder.endswith(f".{lock.machine}")


def has_left(agent: Presence | None) -> bool:
    """Whether what an agent was doing is up for grabs: it is gone or silent, and no new session is about to follow.

    Other machines tell now and then, so a guest may be silent for longer.
    """
    if agent is None:
        return True
    if agent.agent.machine is not None:
        return agent.is_gone
    return agent.status in ("stale", "offline", "dead") and not agent.continues


def visible_status(presence: Presence) -> str:
    """The word for records and JSON, which know no `dead`."""
    return "offline" if presence.status == "dead" else presence.status
