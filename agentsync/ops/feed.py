"""The event feed: recording in it, reading it, following it, and the history of a path."""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from agentsync.core import keys
from agentsync.core.paths import Target, overlap, target_at, target_of
from agentsync.core.records import Lock, Record, Task
from agentsync.core.selection import fits
from agentsync.errors import DamagedRecordError, NewerRecordError, UsageError
from agentsync.ops import agents
from agentsync.ops.session import resolve_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agentsync.core.records import Event
    from agentsync.core.selection import Selection
    from agentsync.ops.session import Session

R = TypeVar("R", bound=Record)

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


def follow(
    session: Session,
    since: int,
    timeout: float | None = None,
    *,
    total: float | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Event]:
    """Events after a revision, in order, without gaps, then as they come.

    Args:
        session: Who asks.
        since: The last revision that is known already.
        timeout: Seconds of silence after which to stop; None = never.
        total: Seconds after which to stop in any case, once what was there has been delivered; None = never.
        tell: Takes a sentence about what is unusual: no notifications here, a state that was made anew.
    """
    from agentsync.store.watch import Follower

    with Follower(session.store.files, since, tell) as follower:
        yield from follower.events(timeout, total)


def beginning(session: Session, since: int | datetime | None) -> int:
    """The revision after which to follow.

    Args:
        session: Who asks.
        since: A revision, a time, or None for what comes from now on. A revision that there is not yet was one of a
            state that has been deleted since, so it stands for the beginning.
    """
    from agentsync.store import log

    if not session.store.exists():
        return 0
    head = session.store.revision()
    if since is None:
        return head
    if isinstance(since, int):
        return since if since <= head else 0
    return next((event.rev for event in log.backwards(session.store.files) if event.at <= since), 0)


# ---------------------------------------------------------------- choosing
def selected(session: Session, selections: Sequence[Selection]) -> tuple[Session, tuple[Callable[[Event], bool], ...]]:
    """Each selection as a question to an event, and the session at the store that the paths belong to.

    Raises:
        UsageError: A path cannot be one, or they belong to different repositories.
    """
    paths = [path for selection in selections for path in selection.path]
    there = resolve_targets(session, paths)[0] if paths else session
    return there, tuple(_question(session, selection) for selection in selections)


def _question(session: Session, selection: Selection) -> Callable[[Event], bool]:
    targets = resolve_targets(session, selection.path)[1] if selection.path else ()

    def is_wanted(event: Event) -> bool:
        return fits(selection, event) and (not targets or any(concerns(event, target) for target in targets))

    return is_wanted


def concerning(session: Session, path: str) -> tuple[Session, Target, Callable[[Event], bool]]:
    """What a typed path means, and whether an event is about it."""
    there, (target,) = resolve_targets(session, [path])
    return there, target, lambda event: concerns(event, target)


def concerns(event: Event, target: Target) -> bool:
    """Whether an event changed a lock on a path, or says that it is about it."""
    return (
        any(keys.overlaps(change.drop, target) for change in event.changes if change.drop is not None)
        or any(overlap(target_of(lock), target) for lock in _locks_put(event))
        or any(path == target.path or overlap(target_at(path, None), target) for path in event.paths)
    )


def _locks_put(event: Event) -> Iterator[Lock]:
    return _put(event, "locks/", Lock)


def _put(event: Event, folder: str, kind: type[R]) -> Iterator[R]:
    """The records that an event wrote into a folder."""
    from agentsync.store import codec

    for change in event.changes:
        if change.put is not None and change.put.startswith(folder):
            try:
                yield codec.decode(bytes(change.record), kind, change.put)
            except (DamagedRecordError, NewerRecordError):
                continue


# ---------------------------------------------------------------- the history of a path
class Happened(Struct, frozen=True, kw_only=True, gc=False):
    """One thing that happened to a path."""

    at: datetime
    agent: str
    verb: str
    """The event's, or `edit`, `append`."""
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
    found, work = [], _Work()
    for event in log.since(files, 0):
        work.follow(event)
        if is_about(event):
            found.append(_happened(event))
    for name in files.names("activity"):
        agent_id = name.removesuffix(".ndjson")
        for line in activity.read(files, agent_id):
            if line.verb != "warned" and overlap(Target(scope="file", path=line.path), target):
                where = f" in worktree {line.worktree}" if line.worktree else ""
                said = f"{agent_id} {'edited' if line.verb == 'edit' else 'added lines to'} {line.path}{where}"
                task = work.of(agent_id, line.at)
                found.append(Happened(at=line.at, agent=agent_id, verb=line.verb, summary=said, task=task))
    return target, sorted(found, key=lambda happened: (happened.at, happened.rev or 0))


def _happened(event: Event) -> Happened:
    locked_for = (lock.task for lock in _locks_put(event) if lock.task)
    about = (task.id for task in _put(event, "tasks/", Task))
    task = next(chain(locked_for, about), None)
    return Happened(at=event.at, agent=event.actor, verb=event.verb, summary=event.summary, task=task, rev=event.rev)


class _Work:
    """Who worked on which task when, as far as the events tell; edits do not say what they are for."""

    def __init__(self) -> None:
        self._owner: dict[str, str] = {}
        self._turns: dict[str, list[tuple[datetime, str | None]]] = {}

    def follow(self, event: Event) -> None:
        """Take the next event into account."""
        for task in _put(event, "tasks/", Task):
            owner = task.owner if task.status == "in_progress" else None
            before = self._owner.pop(task.id, None)
            if before is not None and before != owner and self._turns[before][-1][1] == task.id:
                self._turns[before].append((event.at, None))
            if owner is not None:
                self._owner[task.id] = owner
                self._turns.setdefault(owner, []).append((event.at, task.id))

    def of(self, agent_id: str, at: datetime) -> str | None:
        """The task that an agent worked on at a time."""
        turns = self._turns.get(agent_id, [])
        return next((task for since, task in reversed(turns) if since <= at), None)
