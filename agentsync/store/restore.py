"""Giving a store the history of another one, which it goes on from: an archive, as compaction would have made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agentsync.core import keys
from agentsync.store import codec, log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.records import Event
    from agentsync.store.store import Store


def lay_down(store: Store, events: Sequence[Event]) -> int:
    """Archive events that came from elsewhere, all or none. Call with the guard held.

    Args:
        store: One whose own events begin after these.
        events: In order. Of more than an archive may hold, the oldest stay away.

    Returns:
        How many; 0 when they are there already.
    """
    lines, size = [], 0
    for event in reversed(events):
        line = msgspec.json.format(codec.compact(event), indent=-1) + b"\n"
        size += len(line)
        if size > log.MAX_ARCHIVE:
            break
        lines.append(line)
    if not lines:
        return 0
    kept = events[-len(lines) :]
    files = store.files
    is_new = files.link(files.write_temp(b"".join(reversed(lines)), sync=True), keys.archive(kept[0].rev, kept[-1].rev))
    files.sync_directory("archive")
    return len(kept) if is_new else 0
