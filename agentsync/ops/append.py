"""`append`: whole lines at the end of a file that several agents write, each under the file's lock.

The text goes out in one write. Either all of it is in the file or nothing. A lock that the caller held before stays
exactly as it was; one that was taken for this goes again.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core import locks
from agentsync.core.locks import Conflict, Request
from agentsync.errors import UnusableError, UsageError
from agentsync.ops import edits
from agentsync.ops.locks import give_back, take, take_in_turn
from agentsync.store import activity
from agentsync.store.locate import real_path

if TYPE_CHECKING:
    from agentsync.ops.session import Session

TTL_S = 60
"""Seconds until the lock of an append that died is free, should nobody be able to prove its death."""

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FLAGS |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # what stood there may have been swapped


class Appended(Struct, frozen=True, kw_only=True, gc=False, tag_field="kind", tag="appended"):
    """It is in the file."""

    path: str
    """As on the board."""
    size: int
    """Bytes that were added."""


def append(
    session: Session, path: str, text: bytes, *, newline: bool = True, wait: float | None = None, priority: int = 0
) -> Appended | Conflict:
    """Add text to the end of a file, which is made if it is not there, with its directories.

    Args:
        session: Whose.
        path: As typed, relative to the working directory.
        text: What to add.
        newline: Whether it begins on a line of its own and ends with a line end.
        wait: Seconds to stand in line for the file; None = be refused at once.
        priority: Points in line.

    Raises:
        UsageError: It is no path of a regular file.
        UnusableError: The disk is full; nothing was added.
    """
    file = real_path(path, session.runtime.cwd)
    if path.endswith("/") or not _may_be_a_file(file):
        raise UsageError(f"{file} is no file and cannot be one", "name a regular file")
    session, target = edits.located(session, path)
    _refuse_inner(session, file)
    config = session.store.config
    everywhere = config.worktrees == "deny"
    kind = config.class_of(target.path)
    verdict = locks.judge_edit(session.store.state(), session.me.id, target, everywhere)
    if kind == "ignore" or (verdict.covered and not verdict.blocked):
        return _write(session, file, target.path, text, newline)
    request = Request(
        targets=(target,),
        mode="shared" if kind == "shared" else "exclusive",
        ttl_s=TTL_S,
        reason="append",
        auto=True,
        all_worktrees=everywhere,
    )
    decision = take(session, request) if wait is None else take_in_turn(session, request, wait, priority)
    if isinstance(decision, Conflict):
        return decision
    try:
        if real_path(path, session.runtime.cwd) != file:
            raise UsageError(f"{path} led to {file} and leads elsewhere by now", "run the command again")
        return _write(session, file, target.path, text, newline)
    finally:
        give_back(session, decision.locks)


def _refuse_inner(session: Session, file: str) -> None:
    """Git's files, the state and what clients start are not for lines of text; one of them runs what stands in it.

    Raises:
        UsageError: It is one of those.
    """
    parts = file.casefold().split("/")
    state = os.path.realpath(session.place.state)
    if ".git" in parts or ".claude" in parts or f"{file}/".startswith(f"{state}/"):
        raise UsageError(f"{file} belongs to git, to a client or to agent-sync", "append to a file of the project")


def _may_be_a_file(file: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(file).st_mode)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False


def _write(session: Session, file: str, name: str, text: bytes, newline: bool) -> Appended:
    os.makedirs(os.path.dirname(file), exist_ok=True)
    fd = os.open(file, _FLAGS, 0o666)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{file} is no regular file", "name a regular file")
        size = status.st_size
        if newline:
            unfinished = size > 0 and os.lseek(fd, size - 1, os.SEEK_SET) >= 0 and os.read(fd, 1) != b"\n"
            text = (b"\n" if unfinished else b"") + text + (b"" if text.endswith(b"\n") else b"\n")
        _add(fd, file, text, size)
    finally:
        os.close(fd)
    if session.is_registered():
        # Not as an edit: a newcomer locks those for whoever made them alone, and this needs no lock any more.
        line = activity.Line(at=session.runtime.now(), verb="append", path=name, worktree=session.place.worktree)
        activity.append(session.store.files, session.me.id, line)
    return Appended(path=name, size=len(text))


def _add(fd: int, file: str, text: bytes, size: int) -> None:
    """Write all of it or nothing."""
    try:
        written = os.write(fd, text)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            written = 0
        else:
            raise
    if written < len(text):
        if written and os.fstat(fd).st_size == size + written:  # else somebody added behind it without a lock
            os.ftruncate(fd, size)
        raise UnusableError(f"{file} has no room for {len(text)} bytes, and nothing was added", "make room on the disk")
