"""Bringing what is shown up to date: a thread that looks when the log has moved, and now and then for the ages.

It waits for the watcher of `store.watch`, and never polls by itself. What a look costs decides how often there is one:
on a busy board at most a fifth of the time goes into looking, on a quiet one half a percent, whatever its size.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from agentsync.errors import AgentSyncError, explained
from agentsync.ops import survey

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.core.records import Event
    from agentsync.ops.session import Session
    from agentsync.ops.survey import Survey
    from agentsync.store.watch import Follower

TICK_S = 5.0
"""Seconds between two looks at a board where nothing happens: ages grow, processes die."""

GAP_S = 0.05
"""Seconds between two looks at least."""

BUSY, QUIET = 4, 200
"""How many times longer than a look the pause after it is, at least: while things happen, and while nothing does."""

FIRST, KEPT = 200, 10_000
"""Events that are shown at once, and those that are kept."""


class News(NamedTuple):
    """What one look has found."""

    seen: Survey
    events: list[Event]
    """Those since the last look, oldest first."""
    older: list[Event]
    """Those before all that were told, oldest first."""
    anew: bool
    """Whether this is another board than before: what was told of that one does not count."""


class Live(threading.Thread):
    """Looks, until it is closed. `show` and `fail` are called in this thread."""

    def __init__(self, session: Session, show: Callable[[News], None], fail: Callable[[AgentSyncError], None]) -> None:
        super().__init__(name="agent-sync live", daemon=True)
        self.session = session
        self._show = show
        self._fail = fail
        self._closed = threading.Event()
        self._follower: Follower | None = None
        self._seen: Survey | None = None
        self._oldest = 0
        """The first event that was told."""
        self._cost = 0.0
        """Seconds that the last look took."""

    def close(self) -> None:
        """Stop looking; does not wait for the thread."""
        self._closed.set()
        if self._follower is not None:
            self._follower.close()

    def run(self) -> None:
        """Look, show, wait. The first look is the caller's: nobody wants to see an empty screen."""
        self._follower = follower = survey.follower(self.session, self._seen.revision if self._seen else 0)
        self._back_to(KEPT)
        while not self._closed.is_set():
            follower.moved(max(TICK_S, self._cost * QUIET))
            if self._closed.is_set():
                return
            self.look()
            self._closed.wait(max(GAP_S, self._cost * BUSY))

    def look(self) -> None:
        """One look."""
        started = time.monotonic()
        try:
            before = self._seen
            seen = survey.survey(self.session, before)
            anew = before is None or seen.board != before.board or seen.revision < before.revision
            if before is None or anew:
                events = survey.recent(self.session, FIRST)
                self._oldest = events[0].rev if events else 0
            elif seen.revision > before.revision:
                events = survey.since(self.session, before.revision)
            else:
                events = []
            newest = max(seen.revision, events[-1].rev if events else 0)
            self._seen = replace(seen, revision=newest)
            self._show(News(seen, events, [], anew))
        except (AgentSyncError, OSError) as error:
            self._fail(error if isinstance(error, AgentSyncError) else explained(error))
        except Exception as error:  # said in a line, and the next look may be better: nobody sees this thread end
            self._fail(AgentSyncError(f"internal error: {type(error).__name__}: {error}"))
        self._cost = time.monotonic() - started

    def _back_to(self, count: int) -> None:
        """Tell of what happened before, once the first is on the screen."""
        seen = self._seen
        if seen is None or self._closed.is_set():
            return
        try:
            older = survey.recent(self.session, count - FIRST, before=self._oldest)
        except (AgentSyncError, OSError):
            return  # what is there now counts more, and the next look tells of the error
        if older:
            self._show(News(seen, [], older, False))
