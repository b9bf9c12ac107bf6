"""What happened in a span of time, and what to do about it: `report` and `hotspots` read, `apply` changes a setting."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core import contention
from agentsync.core.account import Account, Edit
from agentsync.core.contention import Ledger
from agentsync.core.hotspots import Hotspot, hotspots
from agentsync.errors import AgentSyncError, DamagedRecordError, NewerRecordError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.core.records import Event, Record
    from agentsync.ops.session import Session


class Report(Struct, frozen=True, kw_only=True, gc=False):
    """A span of time and the numbers of it."""

    project: str
    """Name of the repository's directory."""
    made_at: datetime
    known_since: datetime | None
    """When the oldest event happened that is still there; None when there is none."""
    account: Account
    hotspots: tuple[Hotspot, ...]


def report(session: Session, since: int | datetime, until: int | datetime | None) -> Report:
    """All that the log, the edits and the refusals tell of a span of time.

    Args:
        session: Who asks.
        since: A revision after which to begin, or a time.
        until: The last revision, or a time; None = now.

    Raises:
        UsageError: The end comes before the beginning.
    """
    from agentsync.store import activity, log, refusals

    now, files = session.runtime.now(), session.store.files
    found: list[Edit] = []
    exists = session.store.exists()
    known = _time_of(session, 0) if exists else None
    begin = (_time_of(session, since) if isinstance(since, int) else since) or now
    end = min((_time_of(session, until - 1) if isinstance(until, int) else until) or now, now)
    if end < begin:
        raise UsageError("the span ends before it begins", "give --since the earlier of the two")
    if known is not None:
        begin = min(max(begin, known), end)
        for name in files.names("activity"):
            agent = name.removesuffix(".ndjson")
            lines = (line for line in activity.read(files, agent) if line.verb in ("edit", "append"))
            found += [Edit(at=one.at, agent=agent, path=one.path, added=one.verb == "append") for one in lines]
    ledger = Ledger(begin, end, found)
    for event in log.since(files, 0) if exists else ():
        ledger.follow(event, dict(_records(event)))
    account = ledger.account(refusals.read(files) if exists else (), _bound(session) if exists else {})
    return Report(
        project=os.path.basename(session.place.root),
        made_at=now,
        known_since=known,
        account=account,
        hotspots=tuple(hotspots(account, session.store.config)),
    )


def _time_of(session: Session, revision: int) -> datetime | None:
    """When the first event after a revision happened."""
    from agentsync.store import log

    event = next(log.since(session.store.files, max(revision, 0)), None)
    return event.at if event else None


def _records(event: Event) -> Iterator[tuple[str, Record]]:
    """The records that an event put, as far as a ledger wants to see them and they can be read."""
    from agentsync.store import codec

    for change in event.changes:
        kind = contention.KINDS.get(change.put.partition("/")[0]) if change.put is not None else None
        if change.put is not None and kind is not None:
            try:
                yield change.put, codec.decode(bytes(change.record), kind, change.put)
            except (DamagedRecordError, NewerRecordError):
                continue


def _bound(session: Session) -> dict[str, datetime]:
    """The locks on disk, by key, and until when each lasts; one whose holder is gone, until that was last heard of."""
    from agentsync.core import keys

    found = {}
    for held in session.store.state().locks():
        last_seen = held.until if held.live or held.holder is None else held.holder.agent.last_seen
        found[keys.lock(held.lock)] = min(held.until, last_seen)
    return found


# ---------------------------------------------------------------- the page
def template() -> str:
    """The page of a report without its data; it ships with the package."""
    import agentsync

    path = os.path.join(os.path.dirname(os.path.abspath(agentsync.__file__)), "render", "report.html")
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(session: Session, path: str, page: str) -> str:
    """Write a page, over what is there.

    Args:
        session: Whose; the path is relative to its working directory.
        path: As typed.
        page: Its text.

    Returns:
        The absolute path.

    Raises:
        AgentSyncError: There is something that is no regular file.
        UsageError: It is a directory, or cannot be a path.
    """
    from agentsync.ops import user_files

    full = os.path.abspath(os.path.join(session.runtime.cwd, path))
    if not path or "\0" in path or os.path.isdir(full):
        raise UsageError(f"{path!r} is no file to write to", "for example: --output report.html")
    if os.path.lexists(full) and not os.path.isfile(full):
        raise AgentSyncError(f"{full} is no regular file; it was left untouched", "give --output another name")
    user_files.write(full, page.encode(), mode=None)
    return full


def show(path: str) -> bool:
    """Show a file in the user's browser; False when none could be started."""
    import webbrowser
    from pathlib import Path

    return webbrowser.open(Path(path).as_uri())


# ---------------------------------------------------------------- changing a setting
class Applied(Struct, frozen=True, kw_only=True, gc=False):
    """A path is in a list of the configuration."""

    kind: str = "setting"
    file: str
    setting: str
    path: str
    changed: bool
    """False: it was there already."""


def apply(session: Session, path: str, spots: tuple[Hotspot, ...]) -> Applied:
    """Do what was suggested for a file, in the team's configuration. Comments stay where they are.

    Args:
        session: Whose.
        path: As `hotspots` prints it.
        spots: What was found.

    Raises:
        NotFoundError: Nothing was suggested for it, or no setting does what was.
        UsageError: The configuration cannot be added to.
        AgentSyncError: The file cannot be read or written.
    """
    from agentsync.core.listing import with_path
    from agentsync.ops import care, user_files
    from agentsync.store import settings

    root, base = session.place.root, session.place.base
    top = root if os.path.exists(f"{root}/{settings.NAME}") or os.path.exists(f"{root}/.git") else base
    file = f"{top}/{settings.NAME}"
    path = path.removeprefix("./")
    said = session.store.config.class_of(path)
    if said != "plain":
        return Applied(file=file, setting=said, path=path, changed=False)
    suggestion = {spot.path: spot.suggestion for spot in spots}.get(path)
    if suggestion is None:
        raise NotFoundError(f"nothing is suggested for {path[:200]}", "agent-sync hotspots lists what is")
    if suggestion.setting is None:
        raise NotFoundError(f"no setting does that for {path[:200]}: {suggestion.why}", "it is for people to do")
    user_files.clear_left_overs(session.runtime, file)
    text = user_files.decode(user_files.read(file), file) or ""
    after = with_path(text, suggestion.setting, path).encode()
    if len(after) > settings.MAX_BYTES:
        raise AgentSyncError(f"{file} would be larger than {settings.MAX_BYTES} bytes", "use a pattern for several")
    user_files.write(file, after, mode=None)
    session.store.config, _ = settings.load(base, root)
    care.refresh_if_stale(session)
    return Applied(file=file, setting=suggestion.setting, path=path, changed=True)
