"""Following the log: events of the file system are hints, revisions are the truth.

What is delivered is always a prefix of the sequence of revisions, whatever the watcher missed: one that overflows, was
suspended, or whose directory was replaced only costs time. Where watching does not work, polling does.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import TYPE_CHECKING

from agentsync.core import keys
from agentsync.errors import DamagedRecordError
from agentsync.store import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentsync.core.records import Event
    from agentsync.store.files import Files

RECHECK_S = 1.0
"""Seconds between looks when the watcher is quiet: what a lost notification costs at most."""

POLL_S = 0.1
"""Seconds between looks where watching does not work."""

REARM_S = 5.0
"""Seconds between attempts to watch again."""


class Follower:
    """Follows one store's log. Iterate; `close` (or leaving the `with` block) ends it."""

    def __init__(self, files: Files, after: int, tell: Callable[[str], None] | None = None) -> None:
        """Begin after a revision.

        Args:
            files: The store's files.
            after: The last revision that is known already.
            tell: Takes a sentence when watching does not work here (once), and when the state was made anew.
        """
        self._files = files
        self._cursor = after
        self._tell = tell or (lambda _sentence: None)
        self._has_complained = False
        self._wake = threading.Event()
        self._closed = False
        self._last: Event | None = None
        self._seen: bytes | None = None
        """The format record at the last look; None when there was no state."""
        self._format: bytes | None = None
        """The newest one that there was."""
        self._observer: object | None = None
        self._inode: int | None = None
        self._armed_at = -math.inf

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop following; a waiting `events` returns."""
        self._closed = True
        self._wake.set()
        self._disarm()

    def events(self, timeout: float | None = None, total: float | None = None) -> Iterator[Event]:
        """Events after the cursor, in order, as they come. What is there already needs no watch, and comes first.

        Args:
            timeout: Seconds of silence after which to stop; None = never.
            total: Seconds after which to stop, silence or not, but never before what was there; None = never.
        """
        last = time.monotonic()
        end = math.inf if total is None else last + total
        known = 0 if total is None else log.head(self._files, self._cursor)
        while not self._closed:
            self._wake.clear()  # before the look: what comes during it wakes us again
            self._is_same_state()
            lost = False
            for event in log.since(self._files, self._cursor):
                lost = not self._is_same_state()
                if lost:
                    break  # whose event this is, nobody can tell
                self._cursor, self._last = event.rev, event
                last = time.monotonic()
                yield event
                if self._closed or (event.rev >= known and time.monotonic() >= end):
                    return
            if lost and self._seen is not None:
                continue
            known = 0
            until = end if timeout is None else min(end, last + timeout)
            if time.monotonic() >= until:
                return
            if self._must_rearm():
                self._arm()
                continue  # look again: something may have come before the watch was there
            wait = RECHECK_S if self._observer is not None else POLL_S
            self._wake.wait(min(wait, max(until - time.monotonic(), 0.001)))

    def moved(self, timeout: float) -> bool:
        """Wait until the newest revision is another than the cursor, which then follows. No event is read.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it is another one.
        """
        end = time.monotonic() + timeout
        while not self._closed:
            self._wake.clear()
            head = log.head(self._files, self._cursor)
            if head != self._cursor:  # also when it is smaller: the state was deleted
                self._cursor = head
                return True
            if self._must_rearm():
                self._arm()
                continue
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._wake.wait(min(left, RECHECK_S if self._observer is not None else POLL_S))
        return False

    # ------------------------------------------------------------ the watch
    def _arm(self) -> None:
        self._disarm()
        self._armed_at = time.monotonic()
        directory = self._files.path("log")
        try:
            self._inode = os.stat(directory).st_ino
        except OSError:
            return  # there is no such directory yet
        try:
            self._observer = _observe(directory, self._wake)
        except (OSError, ImportError, RuntimeError) as error:  # no watches, descriptors or threads left
            if not self._has_complained:
                self._has_complained = True
                self._tell(f"watching files does not work here ({error}): looking every {POLL_S:g} s instead")
        if self._closed:  # by another thread, meanwhile
            self._disarm()

    def _disarm(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()  # type: ignore[attr-defined]
            observer.join()  # type: ignore[attr-defined]

    def _is_same_state(self) -> bool:
        """Whether there is a state, and the one of the last look. Only then what was read in between is of it.

        When it was deleted and made anew, revisions begin again, and the cursor with them: its id is another one,
        written before its first event, and what was delivered last is not in it.
        """
        content = self._files.read(keys.FORMAT)
        before, self._seen = self._seen, content.data if content is not None else None
        if self._seen is None or self._seen == before:
            return self._seen is not None
        known, self._format = self._format, self._seen
        if known not in (None, self._seen) and (self._last is None or not self._still_holds(self._last)):
            self._cursor, self._last = 0, None
            self._tell("the state was deleted and made anew: what follows is its history from the beginning")
        return False

    def _still_holds(self, event: Event) -> bool:
        try:
            now = log.read(self._files, event.rev)
        except DamagedRecordError:
            return False
        return now is not None and (now.at, now.actor, now.summary) == (event.at, event.actor, event.summary)

    def _must_rearm(self) -> bool:
        observer = self._observer  # another thread may close us at any time
        if observer is None:
            return time.monotonic() - self._armed_at >= REARM_S
        try:
            replaced = os.stat(self._files.path("log")).st_ino != self._inode
        except OSError:
            replaced = True
        alive = any(emitter.is_alive() for emitter in observer.emitters)  # type: ignore[attr-defined]
        return replaced or not alive


def _observe(directory: str, wake: threading.Event) -> object:
    """A running watchdog observer that sets `wake` on every change of names in `directory`."""
    import logging

    from watchdog.events import FileCreatedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Waker(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            wake.set()

    # It would complain on stderr about every observer that is stopped in the wrong moment.
    logger = logging.getLogger("watchdog")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    observer = Observer()
    observer.schedule(Waker(), directory, recursive=False, event_filter=[FileCreatedEvent, FileMovedEvent])
    observer.start()
    return observer
