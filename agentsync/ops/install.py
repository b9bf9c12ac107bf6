"""Putting hooks into a client's settings, and taking them out so that every byte is as it was."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.clients import claude
from agentsync.core import keys
from agentsync.core.changes import Drop, Put
from agentsync.core.records import Installation
from agentsync.errors import AgentSyncError
from agentsync.ops import care, settings_text, shipped

if TYPE_CHECKING:
    from agentsync.ops.session import Session

CLIENTS = (claude.NAME,)
"""Clients whose hooks can be installed."""

GATE_MARK = b"# The agent-sync gate"


_DIRECTORIES = (".claude", ".claude/hooks")
"""What may have to be made, outermost first."""


class FileChange(Struct, frozen=True, gc=False):
    """One file before and after; None = not there."""

    path: str
    before: bytes | None
    after: bytes | None


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """What an installation or its removal changed, or would change."""

    client: str
    changes: tuple[FileChange, ...]
    """Files that differ; none = everything was as it should be."""


def install(session: Session, strict: bool = False, dry_run: bool = False) -> Outcome:
    """Install the hooks for Claude Code in the working tree that the session is in. Idempotent.

    Args:
        session: Whose.
        strict: Whether an edit is blocked when the hook itself fails.
        dry_run: Whether to only say what would change.

    Raises:
        AgentSyncError: The settings cannot be understood; they are left untouched.
    """
    path = f"{session.place.base}/{claude.SETTINGS}"
    gate = f"{session.place.base}/{claude.GATE}"
    before = _read(path)
    text = _decode(before, path)
    settings = settings_text.parse(text, path)
    wanted = settings_text.with_hooks(settings, claude.handlers(strict), claude.is_ours)
    after = before if wanted == settings else settings_text.render(wanted, text).encode()
    gate_now, gate_wanted = _read(gate), shipped.read("hooks/gate")
    if gate_now is not None and GATE_MARK not in gate_now:
        raise AgentSyncError(f"{gate} exists and is not ours; it was left untouched", "move it away")
    changes = [FileChange(path, before, after), FileChange(gate, gate_now, gate_wanted)]
    outcome = Outcome(client=claude.NAME, changes=tuple(c for c in changes if c.before != c.after))
    if dry_run:
        return outcome
    care.init(session)
    if os.path.realpath(gate) != f"{os.path.realpath(session.place.base)}/{claude.GATE}":
        raise AgentSyncError(f"{gate} leads elsewhere through a link; nothing was written", "remove the link")
    if outcome.changes:
        assert after is not None
        _remember(session, path, before, after, made=_missing_directories(session.place.base))
    for change in outcome.changes:
        _write(change.path, change.after, mode=0o755 if change.path == gate else None)
    if not os.access(gate, os.X_OK):
        os.chmod(gate, 0o755)  # a copy or an unpacked archive may have lost the bit
    return outcome


def uninstall(session: Session, dry_run: bool = False) -> Outcome:
    """Take the hooks out. If nobody changed the settings since, they get their old bytes back; else only ours go.

    Raises:
        AgentSyncError: The settings cannot be understood; they are left untouched.
    """
    path = f"{session.place.base}/{claude.SETTINGS}"
    gate = f"{session.place.base}/{claude.GATE}"
    record = _remembered(session)
    before = _read(path)
    after = _without_ours(before, path, record)
    gate_now = _read(gate)
    gate_after = None if gate_now is not None and GATE_MARK in gate_now else gate_now
    changes = [FileChange(path, before, after), FileChange(gate, gate_now, gate_after)]
    outcome = Outcome(client=claude.NAME, changes=tuple(c for c in changes if c.before != c.after))
    if dry_run:
        return outcome
    for change in outcome.changes:
        _write(change.path, change.after, mode=None)
    for directory in [name for name in reversed(_DIRECTORIES) if record is not None and name in record.made]:
        try:
            os.rmdir(f"{session.place.base}/{directory}")
        except OSError:
            pass  # something else lives there now
    if record is not None:
        with session.store.transaction(session.me.id, session.timeout) as tx:
            key = keys.installation(claude.NAME, session.place.worktree)
            tx.commit("uninstall", f"the hooks for {claude.NAME} were taken out", [Drop(key)])
    return outcome


def is_installed(session: Session) -> bool:
    """Whether the settings of this working tree have our hooks.

    Raises:
        AgentSyncError: The settings cannot be understood.
    """
    path = f"{session.place.base}/{claude.SETTINGS}"
    settings = settings_text.parse(_decode(_read(path), path), path)
    return settings_text.without_hooks(settings, claude.is_ours) != settings


def _without_ours(before: bytes | None, path: str, record: Installation | None) -> bytes | None:
    if before is None:
        return None
    if record is not None and _sha256(before) == record.written_sha256:
        return None if record.original is None else record.original.encode("utf-8", "surrogateescape")
    text = _decode(before, path)
    settings = settings_text.parse(text, path)
    left = settings_text.without_hooks(settings, claude.is_ours)
    if left == settings:
        return before
    if record is not None and record.original is not None and left == settings_text.parse(record.original, path):
        return record.original.encode("utf-8", "surrogateescape")
    if not left and (record is None or record.original is None):
        return None
    return settings_text.render(left, text).encode()


def _remember(session: Session, path: str, before: bytes | None, after: bytes, made: tuple[str, ...]) -> None:
    """Keep what `uninstall` needs, before anything is written. A second installation keeps the first one's original."""
    known = _remembered(session)
    original = _without_ours(before, path, known)
    record = Installation(
        client=claude.NAME,
        settings=claude.SETTINGS,
        original=None if original is None else original.decode("utf-8", "surrogateescape"),
        written_sha256=_sha256(after),
        made=known.made if known else made,
        created_at=session.runtime.now(),
    )
    with session.store.transaction(session.me.id, session.timeout) as tx:
        key = keys.installation(claude.NAME, session.place.worktree)
        tx.commit("install", f"hooks for {claude.NAME} go into {claude.SETTINGS}", [Put(key, record)], "D")


def _remembered(session: Session) -> Installation | None:
    if not session.store.exists():
        return None
    return session.store.state().installation(claude.NAME, session.place.worktree)


def _missing_directories(base: str) -> tuple[str, ...]:
    return tuple(name for name in _DIRECTORIES if not os.path.isdir(f"{base}/{name}"))


def _read(path: str) -> bytes | None:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would keep us waiting
            raise AgentSyncError(f"{path} is no regular file; it was left untouched", "see what it is and move it away")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _decode(data: bytes | None, path: str) -> str | None:
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise AgentSyncError(f"{path} was left untouched: it is not UTF-8", "mend the file, then try again") from None


def _write(path: str, data: bytes | None, mode: int | None) -> None:
    """Replace a file in one step, through symlinks to it, keeping its mode unless one is given; None removes it."""
    real = os.path.realpath(path)
    if data is None:
        os.unlink(real)
        return
    os.makedirs(os.path.dirname(real), exist_ok=True)
    try:
        mode = os.stat(real).st_mode & 0o777 if mode is None else mode
    except FileNotFoundError:
        mode = 0o644
    temp = f"{real}.agent-sync-{os.getpid()}"
    try:
        with open(temp, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temp, mode)
        os.replace(temp, real)
    except BaseException:
        if os.path.exists(temp):
            os.unlink(temp)
        raise


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
