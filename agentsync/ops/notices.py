"""What an agent must be told, handed over exactly once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from agentsync.core.changes import Drop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.core.records import Message
    from agentsync.ops.session import Session


@contextmanager
def delivery(session: Session) -> Iterator[list[Message]]:
    """What has not been told yet; it counts as told when the block ends without an exception.

    The guard is held meanwhile, so that two hooks of one agent do not tell the same thing: write it out in the block
    and flush. A crash in between tells it again. At most 8,000 characters go into a pipe that takes 64 kB, so the guard
    does not wait for the reader.
    """
    if not session.store.files.names(f"inbox/{session.me.id}"):
        yield []
        return
    with session.store.transaction(session.me.id, session.timeout) as tx:
        waiting = tx.ask(lambda state, _: state.inbox(session.me.id))
        yield [message for _, message in waiting]
        tx.commit("deliver", f"{session.me.id} was told", [Drop(key) for key, _ in waiting])
