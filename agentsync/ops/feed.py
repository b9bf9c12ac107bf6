"""The event feed: the log, read on and on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.core.records import Event
    from agentsync.ops.session import Session


def follow(session: Session, since: int, timeout: float | None) -> Iterator[Event]:
    """Events after revision `since`, in order, without gaps, until `timeout` seconds of silence (None = for ever)."""
    from agentsync.store.watch import Follower

    with Follower(session.store.files, since) as follower:
        yield from follower.events(timeout)
