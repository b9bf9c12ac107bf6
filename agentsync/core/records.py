"""The records that the state directory is made of.

A record is a frozen struct, tagged with its `kind`, with the version `v` of its layout as the first field. Every field
is always written, so that a person who reads the file sees all there is. Readers ignore fields that they do not know
and never rewrite a record whose `v` is newer than theirs. `schema/FORMAT.md` is the contract, `schema/*.json` is
generated from these classes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct, field

VERSION = 1
"""The newest record version that this code writes and understands."""

Id = Annotated[str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$(?!\n)")]
Time = Annotated[datetime, Meta(tz=True)]
Scope = Literal["file", "dir", "glob", "resource"]
Mode = Literal["exclusive", "shared"]


class Record(Struct, frozen=True, kw_only=True, gc=False, tag_field="kind"):
    """What all records have: `kind` (the tag) and `v`."""

    v: Annotated[int, Meta(ge=1)] = VERSION


class Format(Record, tag="format", frozen=True, kw_only=True, gc=False):
    """`format.json`: says what the directory is."""

    store: str
    """Random, made with the directory. Goes into every fencing token, so that tokens of a store that was deleted and
    made anew, or copied, are never mistaken for those of the old one."""
    inode: int
    """Inode of the state directory itself. Differs when the directory was copied or came with a clone."""
    created_at: Time


class Agent(Record, tag="agent", frozen=True, kw_only=True, gc=False):
    """`agents/<id>.json`: one session on the board."""

    id: Id
    name: str
    role: str | None = None
    client: str = "shell"
    """One of claude, codex, gemini, opencode, copilot, cursor, shell; more may come."""
    session: str | None = None
    """The host's own session id."""
    status: str = "active"
    """active, idle, stale or offline. On disk only what cannot be derived: offline = the session has ended."""
    task: str | None = None
    cwd: str | None = None
    worktree: str | None = None
    """Name of the linked worktree the session works in; null = the main one."""
    branch: str | None = None
    host: str = ""
    pid: int | None = None
    """The long-lived client's process, never that of a hook or a command; null = unknown."""
    pid_start: int | None = None
    boot_id: str | None = None
    pid_ns: str | None = None
    created_at: Time
    last_seen: Time
    """The later of this and the file's mtime (and that of its activity file) is the heartbeat."""


class Lock(Record, tag="lock", frozen=True, kw_only=True, gc=False):
    """`locks/….json`: a lease on a path or named resource."""

    path: str
    """Relative to the root (absolute outside), `/` as separator, NFC; a directory ends in `/`; `@name` = resource."""
    scope: Scope
    mode: Mode
    holder: Id
    holder_name: str
    session: str | None = None
    token: str
    """Fencing token `<store>:<revision>`: a later grant of an overlapping lock has a greater revision."""
    reason: str | None = None
    task: str | None = None
    auto: bool = False
    """Taken by an edit, not by hand."""
    everywhere: bool = False
    """Binds in all worktrees, not only in the one it was taken in."""
    worktree: str | None = None
    branch: str | None = None
    acquired_at: Time
    expires_at: Time
    """As granted. The holder's signs of life move it on without rewriting the record: see `lease.expiry`."""
    ttl_s: Annotated[int, Meta(ge=1)]


class Message(Record, tag="message", frozen=True, kw_only=True, gc=False):
    """`inbox/<agent>/<rev>.json`: something that an agent must be told."""

    id: str
    sender: str = field(name="from")
    sender_name: str = field(name="from_name")
    to: str
    body: str
    created_at: Time


class Installation(Record, tag="installation", frozen=True, kw_only=True, gc=False):
    """`installed/<client>.json`: what a client's settings were before our hooks went in."""

    client: str
    settings: str
    """Path of the settings file, relative to the working tree."""
    original: str | None
    """Its text before; null = there was none."""
    written_sha256: str
    """Hash of what was written. While the file still has it, `uninstall` gives back `original` byte for byte."""
    made: tuple[str, ...] = ()
    """Directories that did not exist before, likewise, outermost first."""
    created_at: Time


class Change(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One write of a transaction: `put` a record at a place in the state directory, or `drop` what is there."""

    put: str | None = None
    record: Raw = Raw()
    drop: str | None = None


class Event(Record, tag="event", frozen=True, kw_only=True, gc=False):
    """`log/<rev>.json`: one committed transaction; as `intent.json`, one on its way."""

    rev: Annotated[int, Meta(ge=1)]
    """Dense: the newest is the revision of the store."""
    at: Time
    actor: str
    verb: str
    summary: str
    changes: tuple[Change, ...]


KINDS: dict[str, type[Record]] = {
    "format": Format,
    "agent": Agent,
    "lock": Lock,
    "message": Message,
    "installation": Installation,
    "event": Event,
}
