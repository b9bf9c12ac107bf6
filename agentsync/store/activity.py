"""Edits as the gate reports them: one line each in `activity/<agent>.ndjson`, also the agent's heartbeat.

Best effort: a crash may tear a line, and readers skip what they cannot read. No lock is granted or refused by these
files alone: they only say how long an automatic lock goes on, and what a lonely agent did lately.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agentsync.core import keys
from agentsync.core.records import Time
from agentsync.errors import StrangeFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.store.files import Files

MAX_BYTES = 1 << 24
"""Bytes of the largest activity file that is read; compaction keeps them far smaller."""


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing an agent did.

    `verb` is edit; append: it added to the file under a lock that it gave back at once; or warned: it was told of
    `holder`'s lock in another worktree.
    """

    at: Time
    verb: str
    path: str
    worktree: str | None = None
    holder: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


def append(files: Files, agent_id: str, line: Line) -> None:
    """Report something. Durability E."""
    files.append(keys.activity(agent_id), _encoder.encode(line) + b"\n")


def last_edit(files: Files, agent_id: str) -> Line | None:
    """The newest edit of an agent; None when it reported none."""
    try:
        content = files.read(keys.activity(agent_id), cap=MAX_BYTES)
    except StrangeFileError:
        return None
    for text in reversed(content.data.splitlines()) if content else ():
        try:
            line = _decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if line.verb == "edit":
            return line
    return None


def read(files: Files, agent_id: str) -> Iterator[Line]:
    """What an agent reported, oldest first."""
    try:
        content = files.read(keys.activity(agent_id), cap=MAX_BYTES)
    except StrangeFileError:
        return  # best effort: nobody's edits
    for line in content.data.splitlines() if content else ():
        try:
            yield _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
