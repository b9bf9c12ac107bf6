"""The log: one file per committed transaction, dense revisions, `ls log | tail` is the feed.

Older events are folded into `archive/<first>-<last>.ndjson` by compaction. A revision is looked up by its exact name,
first in the log, then in the archive; a listing only says where to begin, because a listing is no snapshot and absence
in one proves nothing.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from agentsync.core import keys
from agentsync.core.records import Event
from agentsync.errors import DamagedRecordError, StrangeFileError
from agentsync.store import codec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.store.files import Files

MAX_EVENT = 1 << 26
"""Bytes of the largest event that is read: one transaction may write many records."""

MAX_ARCHIVE = 1 << 28
"""Bytes of the largest archive that is read."""

_EVENT = re.compile(r"([0-9]{12})\.json")
_ARCHIVE = re.compile(r"([0-9]{12})-([0-9]{12})\.ndjson")


def revisions(files: Files) -> list[int]:
    """Revisions that a listing of the log shows, ascending."""
    return sorted(int(match[1]) for name in files.names("log") if (match := _EVENT.fullmatch(name)))


def archives(files: Files) -> list[tuple[int, int]]:
    """Ranges that a listing of the archive shows, ascending."""
    found = (_ARCHIVE.fullmatch(name) for name in files.names("archive"))
    return sorted((int(match[1]), int(match[2])) for match in found if match)


def head(files: Files, hint: int = 0) -> int:
    """The newest revision; 0 for a new store.

    Args:
        files: The store's files.
        hint: A revision that once was the head; saves the listing when it is still there.
    """
    newest = hint
    if not hint or files.status(keys.event(hint)) is None:
        seen = revisions(files)
        newest = seen[-1] if seen else max((last for _, last in archives(files)), default=0)
    while files.status(keys.event(newest + 1)) is not None:
        newest += 1
    return newest


def read(files: Files, revision: int) -> Event | None:
    """The event with this revision from the log; None when it is not there (archived, or not yet written).

    Raises:
        DamagedRecordError: The file cannot be read as an event.
    """
    try:
        content = files.read(keys.event(revision), cap=MAX_EVENT)
    except StrangeFileError as error:  # costs the event that it stands for, and no other
        raise DamagedRecordError(error.message, error.hint) from None
    return None if content is None else codec.decode(content.data, Event, keys.event(revision))


def since(files: Files, revision: int) -> Iterator[Event]:
    """All events after `revision`, in order, from the archive and the log; a damaged one is left out."""
    wanted = revision + 1
    while True:
        try:
            event = read(files, wanted)
        except DamagedRecordError:
            wanted += 1
            continue
        if event is not None:
            yield event
            wanted += 1
            continue
        # Compaction publishes the archive before it unlinks, so what left the log is in the archive by now.
        where = _archives_of(files, wanted)
        if not where:
            later = min((r for r in _known(files) if r > wanted), default=None)
            if later is None:
                return
            # There are newer ones, so this one was written: it is in the log, or else, by now, in the archive. Asked in
            # the other order it could be in neither answer.
            if files.status(keys.event(wanted)) is None and not _archives_of(files, wanted):
                wanted = later  # older archives are not kept, or something removed files by hand; then `doctor` says so
            continue
        found = [event for event in _merged(files, where) if event.rev >= wanted]
        for event in found:
            yield event
            wanted = event.rev + 1
        if not found:  # an archive holds less than its name says; the rest may be in the log
            end = where[-1][1]
            wanted = min((r for r in revisions(files) if wanted < r <= end), default=end + 1)


def _known(files: Files) -> list[int]:
    """Revisions of which a listing shows that they are there: those in the log, and the first of each archive."""
    return [*revisions(files), *(first for first, _ in archives(files))]


def _archives_of(files: Files, revision: int) -> list[tuple[int, int]]:
    """The archives that have a revision by their names; none but one, unless some hold less than they say."""
    found = [(first, last) for first, last in archives(files) if first <= revision <= last]
    return sorted(found, key=lambda one: one[1])


def _merged(files: Files, ranges: list[tuple[int, int]]) -> list[Event]:
    """The events of some archives, in order, each once."""
    found = {event.rev: event for first, last in ranges for event in archived(files, first, last)}
    return [found[revision] for revision in sorted(found)]


def _overlapping(ranges: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Ranges, ascending, those together that share revisions."""
    groups: list[list[tuple[int, int]]] = []
    for first, last in sorted(ranges):
        if groups and first <= max(end for _, end in groups[-1]):
            groups[-1].append((first, last))
        else:
            groups.append([(first, last)])
    return groups


def backwards(files: Files) -> Iterator[Event]:
    """All events, the newest first, from the log and the archive; damaged ones are left out."""
    newest = head(files)
    first_there = min(revisions(files), default=newest + 1)
    oldest = newest + 1
    for revision in range(newest, first_there - 1, -1):
        try:
            event = read(files, revision)
        except DamagedRecordError:
            continue
        if event is not None:
            oldest = revision
            yield event
    for group in reversed(_overlapping(archives(files))):
        for event in reversed(_merged(files, group)):
            if event.rev < oldest:  # what was read above may have been archived meanwhile
                oldest = event.rev
                yield event


def tail(files: Files, count: int) -> list[Event]:
    """The newest `count` events, newest first."""
    return list(islice(backwards(files), count))


def archived(files: Files, first: int, last: int) -> Iterator[Event]:
    """The events in one archive, in order; lines that cannot be read are left out."""
    try:
        content = files.read(keys.archive(first, last), cap=MAX_ARCHIVE)
    except StrangeFileError:
        return  # `doctor` tells of the gap
    for line in content.data.splitlines() if content else ():
        try:
            yield codec.decode(line, Event, keys.archive(first, last))
        except DamagedRecordError:
            continue
