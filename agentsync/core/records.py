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
Progress = Literal["pending", "in_progress", "blocked", "done", "cancelled"]


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
    machine: Id | None = None
    """Of a guest, which works in another clone: where. Null = here."""
    pid: int | None = None
    """The long-lived client's process, never that of a hook or a command; null = unknown."""
    pid_start: int | None = None
    boot_id: str | None = None
    pid_ns: str | None = None
    created_at: Time
    last_seen: Time
    """The later of this and the file's mtime (and that of its activity file) is the heartbeat."""


class Owner(Struct, frozen=True, kw_only=True, gc=False):
    """The process that a lock lives and dies with."""

    pid: int
    pid_start: int | None = None
    boot_id: str | None = None
    pid_ns: str | None = None


class Lock(Record, tag="lock", frozen=True, kw_only=True, gc=False):
    """`locks/….json`: a lease on a path or named resource."""

    path: str
    """Relative to the root (absolute outside), `/` as separator, NFC; a directory ends in `/`; `@name` = resource."""
    scope: Scope
    mode: Mode
    process: Owner | None = None
    """Of `run` or of a console, which holds the lock as long as it lives: once it is dead, the lock binds nobody."""
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
    machine: Id | None = None
    """Binds on all machines: whose agent holds it. Null = binds on this one only."""
    acquired_at: Time
    expires_at: Time
    """As granted. The holder's signs of life move it on without rewriting the record: see `lease.expiry`."""
    ttl_s: Annotated[int, Meta(ge=1)]


class Task(Record, tag="task", frozen=True, kw_only=True, gc=False):
    """`tasks/<id>.json`: a piece of work on the board."""

    id: Id
    """`t-` and random characters: numbers would collide between machines."""
    title: str
    description: str | None = None
    status: Progress = "pending"
    priority: int = 0
    """The greater, the sooner."""
    files: tuple[str, ...] = ()
    """What it will touch, as lock paths: relative to the root, a directory ends in `/`, `@name` = resource."""
    depends_on: tuple[Id, ...] = ()
    """Ids of tasks that must be done or cancelled first."""
    owner: Id | None = None
    owner_name: str | None = None
    checkpoint: str | None = None
    """Where the work stands, for whoever takes it over."""
    note: str | None = None
    """The last note; the log has all of them."""
    blocked_reason: str | None = None
    created_by: Id
    created_at: Time
    updated_at: Time
    claimed_at: Time | None = None
    completed_at: Time | None = None
    """When it was done or cancelled."""
    asked_at: Time | None = None
    """When its silent owner was asked what became of it; null again with the owner's next update."""
    machine: Id | None = None
    """On a board of several machines: whose version this is. Null in the state."""


class Reader(Struct, frozen=True, kw_only=True, gc=False):
    """One addressee of a message, and how far it got with it."""

    agent: Id
    name: str
    delivered_at: Time | None = None
    """When a hook put it into the agent's context."""
    read_at: Time | None = None
    acked_at: Time | None = None


class Message(Record, tag="message", frozen=True, kw_only=True, gc=False):
    """`messages/<rev>.json`: mail; a copy in `inbox/<agent>/…` for each reader who has not been told yet.

    What the tool itself has to say is only ever in the inbox.
    """

    id: str
    """`m-<revision>`; `n-<revision>` for what the tool itself says."""
    sender: str = field(name="from")
    sender_name: str = field(name="from_name")
    to: str
    """As addressed: an agent's id, a role, or `all`. Who that was is in `readers`."""
    body: str
    reply_to: str | None = None
    urgent: bool = False
    """Told in the middle of a turn, even when it is for all."""
    directive: bool = False
    """A copy for each: counts as directed although it went to many."""
    request: str | None = None
    """The path that the reader is asked to let go of."""
    created_at: Time
    readers: tuple[Reader, ...] = ()
    """All addressees, in `messages/`; none in the inbox copies."""
    origin: str | None = None
    """Of what came from another machine: its id on the shared board, `m-<revision>.<machine>`."""


class Decision(Record, tag="decision", frozen=True, kw_only=True, gc=False):
    """`decisions/<rev>.json`: something settled for everybody. Never changed; a later one may supersede it."""

    id: str
    """`d-<revision>`."""
    by: Id
    by_name: str
    text: str
    supersedes: str | None = None
    """Id of the decision that this one replaces."""
    origin: str | None = None
    """Of what came from another machine: its id on the shared board, `d-<revision>.<machine>`."""
    created_at: Time


class Wanted(Struct, frozen=True, kw_only=True, gc=False):
    """One target of a waiting request."""

    scope: Scope
    path: str
    worktree: str | None = None
    everywhere: bool = False


class Waiter(Record, tag="waiter", frozen=True, kw_only=True, gc=False):
    """`queue/<rev>-<agent>.json`: somebody in line for locks or for a task, or who asked a holder to let go."""

    id: str
    """`w-<revision>`; a request has the id of its message."""
    wants: Literal["locks", "task", "release"]
    """`locks`, `task`: a process waits and takes them when it is its turn. `release`: a request; nobody waits."""
    agent: Id
    agent_name: str
    targets: tuple[Wanted, ...] = ()
    mode: Mode = "exclusive"
    reason: str | None = None
    priority: int = 0
    """Each point counts like having come a minute earlier, so nobody waits for ever."""
    created_at: Time
    until: Time | None = None
    """When it gives up; null = never."""
    pid: int | None = None
    """The waiting process itself, for proof of death; a live one touches the file."""
    pid_start: int | None = None
    boot_id: str | None = None
    pid_ns: str | None = None


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


class Link(Record, tag="link", frozen=True, kw_only=True, gc=False):
    """`remote/link.json`: this clone shares locks with others through a ref of a git remote."""

    remote: str
    """Its name in git's configuration, an address, or a path."""
    ref: str
    machine: Id
    """What this clone is called there: random, made with this record."""
    version: str | None = None
    """Of the board that was seen last: a commit. The file's mtime says when."""
    crowded_at: Time | None = None
    """When another clone was last found to commit at the same time as this one; so turns are taken for a while."""
    merged: str | None = None
    """The version whose tasks and words were taken over: what differs from it here happened here."""
    created_at: Time


class Board(Record, tag="board", frozen=True, kw_only=True, gc=False):
    """`board.json` of the shared board; as it was seen last, in `remote/board.json`."""

    store: str
    """Random, made with the board. Goes into the tokens of its locks."""
    serial: Annotated[int, Meta(ge=1)]
    """Grows with every commit, and over any that the writer has seen."""
    squashed: int = 0
    """Serial of the commit up to which the history was folded."""
    turns: tuple[Id, ...] = ()
    """The machines that made the last commits, newest first."""
    created_at: Time


class Present(Struct, frozen=True, kw_only=True, gc=False):
    """An agent as its machine tells the others."""

    agent: Id
    name: str
    role: str | None = None
    client: str = "shell"
    branch: str | None = None
    last_seen: Time
    """Its heartbeat, by its machine's clock."""
    seen_at: Time | None = None
    """When the reader first saw that heartbeat, by its own clock; on the board null."""


class Machine(Record, tag="machine", frozen=True, kw_only=True, gc=False):
    """`machines/<id>.json` of the shared board; of the other machines also in `remote/machines/`."""

    id: Id
    host: str = ""
    agents: tuple[Present, ...] = ()
    created_at: Time
    last_seen: Time
    """When it wrote this, by its own clock."""


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
    paths: tuple[str, ...] = ()
    """What it is about, where the changes do not say: the files of a log entry or a task."""
    changes: tuple[Change, ...]


KINDS: dict[str, type[Record]] = {
    "format": Format,
    "agent": Agent,
    "lock": Lock,
    "task": Task,
    "message": Message,
    "decision": Decision,
    "waiter": Waiter,
    "installation": Installation,
    "link": Link,
    "board": Board,
    "machine": Machine,
    "event": Event,
}
