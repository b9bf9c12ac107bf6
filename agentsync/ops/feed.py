"""The event feed: recording in it, reading it, following it, and the history of a path."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core.paths import Target, encode_target, overlap, target_of
from agentsync.core.records import Lock
from agentsync.errors import DamagedRecordError, UsageError
from agentsync.ops import agents
from agentsync.ops.session import resolve_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from agentsync.core.records import Event
    from agentsync.ops.session import Session

MAX_ENTRY = 4000
"""Characters of an entry."""


# ---------------------------------------------------------------- recording
def record(session: Session, message: str, kind: str | None = None, files: Sequence[str] = ()) -> Event:
    """Write an entry into the feed.

    Args:
        session: Whose.
        message: What happened.
        kind: One word for what sort of thing it is; becomes the verb of the event. None = `log`.
        files: What it is about, as typed.

    Raises:
        UsageError: The message or the kind cannot be used.
    """
    if not 0 < len(message.strip()) <= MAX_ENTRY:
        raise UsageError(f"an entry has 1 to {MAX_ENTRY} characters, not {len(message)}", "put more into a file")
    if kind is not None and not (kind.isidentifier() and kind.isascii() and len(kind) <= 32):
        raise UsageError(f"{kind[:80]!r} is no type", "one word, for example --type build")
    paths: tuple[str, ...] = ()
    if files:
        session, targets = resolve_targets(session, files)
        paths = tuple(target.path for target in targets)
    with session.store.transaction(session.me.id, session.timeout) as tx:
        agents.ensure(session, tx)
        event = tx.commit(kind or "log", message.strip(), (), "D", paths=paths, entry=True)
        assert event is not None
        return event


# ---------------------------------------------------------------- reading
def events(session: Session, since: int | datetime | None, wanted: Callable[[Event], bool], last: int) -> list[Event]:
    """Events, oldest first.

    Args:
        session: Who asks.
        since: A revision or a time after which to begin; None = with the newest.
        wanted: Which of them.
        last: How many of the newest ones at most, when there is no `since`; 0 = all.
    """
    from agentsync.store import log

    if not session.store.exists():
        return []
    files = session.store.files
    if since is None and last:
        found = []
        for event in log.backwards(files):
            if wanted(event):
                found.append(event)
            if len(found) == last:
                break
        return found[::-1]
    if isinstance(since, int) or since is None:
        return [event for event in log.since(files, since or 0) if wanted(event)]
    later = []
    for event in log.backwards(files):
        if event.at <= since:
            break
        if wanted(event):
            later.append(event)
    return later[::-1]


def follow(session: Session, since: int, timeout: float | None) -> Iterator[Event]:
    """Events after revision `since`, in order, without gaps, until `timeout` seconds of silence (None = for ever)."""
    from agentsync.store.watch import Follower

    with Follower(session.store.files, since) as follower:
        yield from follower.events(timeout)


def concerning(session: Session, path: str) -> tuple[Session, Target, Callable[[Event], bool]]:
    """What a typed path means, and whether an event is about it."""
    there, (target,) = resolve_targets(session, [path])
    return there, target, lambda event: concerns(event, target)


def concerns(event: Event, target: Target) -> bool:
    """Whether an event changed a lock on a path, or says that it is about it."""
    from agentsync.core.tasks import target_at

    return (
        bool(_locks_dropped(event, target))
        or any(overlap(target_of(lock), target) for lock in _locks_put(event))
        or any(overlap(target_at(path, None), target) for path in event.paths)
    )


def _locks_dropped(event: Event, target: Target) -> list[str]:
    name = encode_target(target.scope, target.path)
    dropped = (change.drop for change in event.changes if change.drop and change.drop.startswith("locks/"))
    stems = (key.rpartition("/")[2].removesuffix(".json") for key in dropped)
    return [stem for stem in stems if name in (stem, stem.rpartition("~")[0])]


def _locks_put(event: Event) -> Iterator[Lock]:
    from agentsync.store import codec

    for change in event.changes:
        if change.put is not None and change.put.startswith("locks/"):
            try:
                yield codec.decode(bytes(change.record), Lock, change.put)
            except DamagedRecordError:
                continue


# ---------------------------------------------------------------- the history of a path
class Happened(Struct, frozen=True, kw_only=True, gc=False):
    """One thing that happened to a path."""

    at: datetime
    agent: str
    verb: str
    """The event's, or `edit`."""
    summary: str
    task: str | None = None
    rev: int | None = None
    """None for an edit: edits are no events."""


def history(session: Session, path: str) -> tuple[Target, list[Happened]]:
    """Who locked and edited a path, when, for which task: all that log, archive and activity still know, oldest first.

    Raises:
        UsageError: It cannot be a path.
    """
    from agentsync.store import activity, log

    there, target, is_about = concerning(session, path)
    if not there.store.exists():
        return target, []
    files = there.store.files
    found = [_happened(event) for event in log.since(files, 0) if is_about(event)]
    for name in files.names("activity"):
        agent_id = name.removesuffix(".ndjson")
        for line in activity.read(files, agent_id):
            if line.verb == "edit" and overlap(Target(scope="file", path=line.path), target):
                where = f" in worktree {line.worktree}" if line.worktree else ""
                said = f"{agent_id} edited {line.path}{where}"
                found.append(Happened(at=line.at, agent=agent_id, verb="edit", summary=said))
    return target, sorted(found, key=lambda happened: (happened.at, happened.rev or 0))


def _happened(event: Event) -> Happened:
    tasks: Iterable[str] = (lock.task for lock in _locks_put(event) if lock.task)
    named = next(iter(tasks), None)
    return Happened(at=event.at, agent=event.actor, verb=event.verb, summary=event.summary, task=named, rev=event.rev)
