"""Compaction: keep the directories small, lose nothing that was acknowledged.

Events older than the newest `KEEP` move to the archive: one file, linked and synced, and only then are the log's files
unlinked, oldest first. A crash at any point leaves duplicates, never holes; the next run clears what is archived twice.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core import agents, decisions, delivery, keys, queue, tasks
from agentsync.core.changes import Drop
from agentsync.store import log, watched
from agentsync.store.files import FULL
from agentsync.store.setup import BALLAST, BALLAST_BYTES

if TYPE_CHECKING:
    from agentsync.store.files import Files
    from agentsync.store.store import Store
    from agentsync.store.transaction import Transaction

KEEP = 256
"""Events that stay in the log, one file each."""

KEEP_ON_FULL_DISK = 8
"""The same when the disk has no room: a small file still takes a block, and many of them fit into one archive."""

ROOM_FILES = 8
"""Files that must fit on a disk for it not to count as full; together they are twice the ballast."""

ORPHAN_S = 3600.0
"""Age in seconds after which a file in `tmp/` belongs to nobody."""

ARCHIVE_BYTES = 1 << 28
"""All archives together: beyond it the oldest go."""

ARCHIVE_DAYS = 365
"""Age of an archive at which it goes, but for the newest `ARCHIVE_KEPT_BYTES`, which no wrong clock can take away."""

ARCHIVE_KEPT_BYTES = 1 << 24

ACTIVITY_BYTES = 1 << 18
"""An activity file beyond this size is cut to its newer half."""


class Compacted(Struct, frozen=True, kw_only=True, gc=False):
    """What a run did."""

    archived: int
    """Events moved to the archive."""
    departed: int
    """Records of agents and locks dropped because nobody is behind them any more."""
    orphans: int
    """Files removed from `tmp/`."""
    forgotten: int
    """Archives removed because they are old, or the oldest of too many."""
    revision: int


def compact(store: Store, tx: Transaction) -> Compacted:
    """Fold, sweep and tidy. Call with the guard held."""
    files = store.files
    if files.status(BALLAST) is not None:
        files.unlink(BALLAST)
    archived = _fold(store, KEEP if _has_room(store) else KEEP_ON_FULL_DISK)
    departed = _sweep(store, tx)
    orphans = _clear_tmp(store)
    forgotten = _forget(store)
    _trim_activity(store)
    watched.tidy(files, set(tx.state.agent_ids()))
    try:
        files.replace(files.write_temp(bytes(BALLAST_BYTES), sync=False), BALLAST)
    except OSError:
        store.warnings.append("the disk is too full for the ballast file; compaction will have less room next time")
    return Compacted(
        archived=archived, departed=departed, orphans=orphans, forgotten=forgotten, revision=store.revision()
    )


def _sweep(store: Store, tx: Transaction) -> int:
    """Drop what is behind nobody any more, or long done; returns how many records of agents and locks that were."""
    state = tx.state
    gone = agents.sweep(state.presences(), state.locks(), tx.stamp, state.newer)
    everywhere = state.config.worktrees == "deny"
    writes = queue.answered(state.queue(), queue.dropped(gone, state.locks()), gone, tx.stamp, everywhere)
    line = [(key, waiter, state.is_there(key, waiter)) for key, waiter in state.queue()]
    forgotten = agents.outdated(state.past_agents())
    old = (
        *delivery.prune(state, {presence.agent.id for presence in state.everybody()}, state.now),
        *tasks.outdated(state.tasks()),
        *decisions.outdated(state.decisions()),
        *queue.lapsed(line, state.agent_ids(), state.now),
        *(Drop(keys.past_agent(agent.id)) for agent in forgotten),
    )
    mine = tuple(drop for drop in old if drop.key not in state.newer)  # a newer version's records are not ours to drop
    tx.commit("sweep", "tidied up after agents that are gone, and what is long done", (*writes, *mine))
    for agent in forgotten:
        store.files.unlink(keys.activity(agent.id))
    return len(gone)


def _has_room(store: Store) -> bool:
    """Whether there is room for some transactions, blocks and inodes, beside the ballast, which has just been freed."""
    files = store.files
    made = []
    try:
        for _ in range(ROOM_FILES):
            made.append(files.write_temp(bytes(2 * BALLAST_BYTES // ROOM_FILES), sync=False))
    except OSError as error:
        if error.errno not in FULL:
            raise
        return False
    finally:
        for temp in made:
            files.unlink(temp)
    return True


def _fold(store: Store, keep: int) -> int:
    files = store.files
    head = store.revision()
    newest_archived = _newest_archived(files, head)
    keep_from = head - keep + 1
    left_over = [revision for revision in log.revisions(files) if revision <= newest_archived]
    if left_over:  # a run died between link and unlink, perhaps before the archive's name was on the disk
        files.sync_directory("archive")
    for revision in left_over:
        files.unlink(keys.event(revision))
    todo, lines = [], []
    for revision in range(newest_archived + 1, keep_from):  # by name: one that a listing did not show would be lost
        content = files.read(keys.event(revision), cap=log.MAX_EVENT)
        if content is not None:
            todo.append(revision)
            lines.append(_one_line(content.data))
    if len(todo) < 2:
        return 0
    archive = keys.archive(todo[0], todo[-1])
    files.link(files.write_temp(b"".join(lines), sync=True), archive)
    files.sync_directory("archive")
    for revision in todo:
        files.unlink(keys.event(revision))
    return len(todo)


def _newest_archived(files: Files, head: int) -> int:
    """The last revision of the newest archive that holds what its name says: what it holds may leave the log."""
    for first, last in sorted(log.archives(files), key=lambda found: found[1], reverse=True):
        if last <= head and [event.rev for event in log.archived(files, first, last)][-1:] == [last]:
            return last
    return 0


def _one_line(data: bytes) -> bytes:
    import msgspec

    try:
        return msgspec.json.format(data, indent=-1) + b"\n"
    except msgspec.MsgspecError:
        return data.replace(b"\n", b" ") + b"\n"  # damaged: kept as it is for whoever looks


def _clear_tmp(store: Store) -> int:
    """Remove orphans."""
    files, now = store.files, store.files.disk_time()
    removed = 0
    for name in files.names("tmp"):
        found = files.status(f"tmp/{name}")
        if found is not None and now - found.st_mtime > ORPHAN_S:
            removed += files.unlink(f"tmp/{name}")
    return removed


def _forget(store: Store) -> int:
    """Remove the archives past their time, the oldest first. The newest stays: it may be what tells the head."""
    files, now = store.files, store.files.disk_time()
    together = 0
    gone: list[str] = []
    for number, (first, last) in enumerate(reversed(log.archives(files))):
        key = keys.archive(first, last)
        found = files.status(key)
        if found is None:
            continue
        together += found.st_size
        is_old = now - found.st_mtime > ARCHIVE_DAYS * 86400 and together > ARCHIVE_KEPT_BYTES
        if number > 0 and (gone or is_old or together > ARCHIVE_BYTES):
            gone.append(key)
    return sum(files.unlink(key) for key in reversed(gone))


def _trim_activity(store: Store) -> None:
    files = store.files
    for name in files.names("activity"):
        key = f"activity/{name}"
        found = files.status(key)
        if found is None or found.st_size <= ACTIVITY_BYTES:
            continue
        content = files.read(key, cap=1 << 30)
        if content is not None:
            half = content.data[len(content.data) // 2 :]
            temp = files.write_temp(half[half.find(b"\n") + 1 :], sync=False)
            os.utime(files.path(temp), (content.mtime, content.mtime))  # trimming is no sign of life
            files.replace(temp, key)
