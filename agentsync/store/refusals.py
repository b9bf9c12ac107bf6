"""Refusals, one line each in `refusals.ndjson`: what people need to see where agents get in each other's way.

A refusal is no transaction, so the log does not have it. The line is written by whoever was refused, once the answer
has left; a holder and the gate pay nothing for it. Best effort, durability E: nothing is decided by this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agentsync.core.refusals import Refusal
from agentsync.errors import AgentSyncError, StrangeFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from agentsync.core.locks import Blocked
    from agentsync.core.refusals import By
    from agentsync.store.files import Files

KEY = "refusals.ndjson"
MAX_BYTES = 1 << 21
"""Beyond this size the file is cut to its newer half: some eight thousand refusals."""

MAX_LINES = 16
"""Lines that one refusal of many targets makes."""


def append(files: Files, refusal: Refusal) -> None:
    """Keep a refusal. It stands whether it can be kept or not."""
    try:
        files.append_bounded(KEY, msgspec.json.encode(refusal) + b"\n", MAX_BYTES)
    except (OSError, UnicodeEncodeError, AgentSyncError):
        pass  # a disk that is full or read-only, a path that is no text: the numbers have one less


def append_blocked(files: Files, now: datetime, agent: str, by: By, blocked: Sequence[Blocked]) -> None:
    """Keep the refusal of some targets, each of which counts once."""
    holders = {(one.target.path, one.target.worktree): one.held.lock.holder for one in reversed(blocked)}
    for (path, worktree), holder in list(holders.items())[:MAX_LINES]:
        append(files, Refusal(at=now, agent=agent, path=path, worktree=worktree, holder=holder, by=by))


def read(files: Files) -> Iterator[Refusal]:
    """What was kept, oldest first; lines that cannot be read are left out."""
    try:
        content = files.read(KEY, cap=2 * MAX_BYTES)
    except StrangeFileError:
        return
    decoder = msgspec.json.Decoder(Refusal)
    for line in content.data.splitlines() if content else ():
        try:
            yield decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
