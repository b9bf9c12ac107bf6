"""Putting hooks into a client's settings, and taking them out so that every byte is as it was.

What is specific to a client is its adapter's (`agentsync.clients`). All clients of a working tree start the same gate,
so the gate goes with the last of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync import clients
from agentsync.clients import settings_text
from agentsync.clients.call import GATE
from agentsync.core import keys
from agentsync.core.changes import Drop, Put, Write
from agentsync.core.records import Installation
from agentsync.errors import AgentSyncError
from agentsync.ops import care, shipped, user_files

if TYPE_CHECKING:
    from agentsync.clients import Adapter
    from agentsync.ops.session import Session
    from agentsync.runtime import Platform

PLUGIN = "agent-sync"
"""The name of our plugin; `@` and its marketplace's follow."""

GATE_MARK = b"# The agent-sync gate"


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """What an installation or its removal changed, or would change."""

    client: str
    changes: tuple[user_files.FileChange, ...]
    """Files that differ; none = everything was as it should be."""


def install(session: Session, client: Adapter, strict: bool = False, dry_run: bool = False) -> Outcome:
    """Install the hooks for a client in the working tree that the session is in. Idempotent.

    Args:
        session: Whose.
        client: Which.
        strict: Whether an edit is blocked when the hook itself fails.
        dry_run: Whether to only say what would change.

    Raises:
        AgentSyncError: The settings cannot be understood; they are left untouched.
    """
    base = session.place.base
    path, gate = f"{base}/{client.SETTINGS}", f"{base}/{GATE}"
    before = user_files.read(path)
    after = _with_ours(client, before, path, strict, session.runtime.platform)
    gate_now = user_files.read(gate)
    gate_wanted = shipped.read("hooks/gate") if session.runtime.platform == "posix" else gate_now
    if gate_now is not None and GATE_MARK not in gate_now:
        raise AgentSyncError(f"{gate} exists and is not ours; it was left untouched", "move it away")
    changes = [user_files.FileChange(path, before, after), user_files.FileChange(gate, gate_now, gate_wanted)]
    outcome = Outcome(client=client.NAME, changes=tuple(c for c in changes if c.before != c.after))
    if dry_run:
        return outcome
    care.init(session)
    if os.path.realpath(gate) != f"{os.path.realpath(base)}/{GATE}":
        raise AgentSyncError(f"{gate} leads elsewhere through a link; nothing was written", "remove the link")
    user_files.clear_left_overs(session.runtime, path, gate)
    if outcome.changes:
        _remember(session, client, before, after)
    for change in outcome.changes:
        user_files.write(change.path, change.after, mode=0o755 if change.path == gate else None)
    if gate_wanted is not None and not os.access(gate, os.X_OK):
        os.chmod(gate, 0o755)  # a copy or an unpacked archive may have lost the bit
    return outcome


def uninstall(session: Session, client: Adapter, dry_run: bool = False) -> Outcome:
    """Take a client's hooks out. Settings that nobody changed since get their old bytes back; else only ours go.

    Raises:
        AgentSyncError: The settings cannot be understood; they are left untouched.
    """
    base = session.place.base
    path, gate = f"{base}/{client.SETTINGS}", f"{base}/{GATE}"
    record = _remembered(session, client)
    before = user_files.read(path)
    after = _without_ours(client, before, path, record)
    gate_now = user_files.read(gate)
    stays = gate_now is None or GATE_MARK not in gate_now or bool(_others(session, client))
    changes = [
        user_files.FileChange(path, before, after),
        user_files.FileChange(gate, gate_now, gate_now if stays else None),
    ]
    outcome = Outcome(client=client.NAME, changes=tuple(c for c in changes if c.before != c.after))
    if dry_run:
        return outcome
    user_files.clear_left_overs(session.runtime, path, gate)
    for change in outcome.changes:
        user_files.write(change.path, change.after, mode=None)
    if record is not None:
        made = [name for name in reversed(record.made) if name in _directories()]  # the record may say anything
        _forget(session, client, tuple(name for name in made if not _remove_empty(f"{base}/{name}")))
    return outcome


def is_installed(session: Session, client: Adapter) -> bool:
    """Whether the settings of this working tree have our hooks.

    Raises:
        AgentSyncError: The settings cannot be understood.
    """
    path = f"{session.place.base}/{client.SETTINGS}"
    before = user_files.read(path)
    return before is not None and _without_ours(client, before, path, None) != before


def has_plugin(session: Session) -> bool:
    """Whether the settings of this working tree enable our plugin for Claude Code. A user's own may too: not read.

    Raises:
        AgentSyncError: The settings cannot be understood.
    """
    path = f"{session.place.base}/{clients.get('claude').SETTINGS}"
    enabled = settings_text.parse(user_files.decode(user_files.read(path), path), path).get("enabledPlugins")
    names = [name for name, value in enabled.items() if value is True] if isinstance(enabled, dict) else []
    return any(name.startswith(f"{PLUGIN}@") for name in names)


def installed(session: Session) -> tuple[Adapter, ...]:
    """The clients whose hooks are in this working tree. Settings that cannot be understood count as without."""
    return tuple(client for client in map(clients.get, clients.NAMES) if _is_surely_installed(session, client))


def detected(session: Session) -> tuple[Adapter, ...]:
    """The clients that this working tree or this machine has: their directory is there, or their program on the PATH.

    Claude Code where there is none at all.
    """
    base, path = session.place.base, session.runtime.env.get("PATH")
    found = [
        client
        for client in map(clients.get, clients.NAMES)
        if os.path.isdir(f"{base}/{client.FOLDER}") or shutil.which(client.PROGRAM, path=path)
    ]
    return tuple(found) or (clients.get("claude"),)


def _is_surely_installed(session: Session, client: Adapter) -> bool:
    try:
        return is_installed(session, client)
    except (AgentSyncError, OSError):
        return False  # whoever changes those settings will be told what is wrong with them


def _others(session: Session, client: Adapter) -> list[Adapter]:
    return [other for other in installed(session) if other.NAME != client.NAME]


# ---------------------------------------------------------------- the settings
def _with_ours(client: Adapter, before: bytes | None, path: str, strict: bool, platform: Platform) -> bytes:
    if client.SHIPPED is not None:
        if before is not None and not client.is_ours(before.decode("utf-8", "replace")):
            raise AgentSyncError(f"{path} exists and is not ours; it was left untouched", "move it away")
        ours = shipped.read(client.SHIPPED)
        return ours.replace(b"STRICT = false", b"STRICT = true", 1) if strict else ours
    text = user_files.decode(before, path)
    settings = settings_text.parse(text, path, client.FLAT)
    if not settings:
        settings = dict(client.BASE)
    wanted = settings_text.with_hooks(settings, client.handlers(strict, platform), client.is_ours)
    return before if before is not None and wanted == settings else settings_text.render(wanted, text).encode()


def _without_ours(client: Adapter, before: bytes | None, path: str, record: Installation | None) -> bytes | None:
    if before is None:
        return None
    if record is not None and _sha256(before) == record.written_sha256:
        return None if record.original is None else record.original.encode("utf-8", "surrogateescape")
    if client.SHIPPED is not None:
        return None if client.is_ours(before.decode("utf-8", "replace")) else before
    text = user_files.decode(before, path)
    settings = settings_text.parse(text, path, client.FLAT)
    left = settings_text.without_hooks(settings, client.is_ours)
    if left == settings:
        return before
    if record is not None and record.original is not None:
        if left == settings_text.parse(record.original, path, client.FLAT):
            return record.original.encode("utf-8", "surrogateescape")
    elif not left or left == settings_text.as_read(client.BASE):
        return None
    return settings_text.render(left, text).encode()


# ---------------------------------------------------------------- what is remembered
def _remember(session: Session, client: Adapter, before: bytes | None, after: bytes) -> None:
    """Keep what `uninstall` needs, before anything is written. A second installation keeps the first one's original."""
    path = f"{session.place.base}/{client.SETTINGS}"
    known = _remembered(session, client)
    original = _without_ours(client, before, path, known)
    record = Installation(
        client=client.NAME,
        settings=client.SETTINGS,
        original=None if original is None else original.decode("utf-8", "surrogateescape"),
        written_sha256=_sha256(after),
        made=known.made if known else _missing_directories(session.place.base, client.SETTINGS, GATE),
        created_at=session.runtime.now(),
    )
    with session.store.transaction(session.me.id, session.timeout) as tx:
        key = keys.installation(client.NAME, session.place.worktree)
        tx.commit("install", f"hooks for {client.NAME} go into {client.SETTINGS}", [Put(key, record)], "D")


def _remembered(session: Session, client: Adapter) -> Installation | None:
    if not session.store.exists():
        return None
    return session.store.state().installation(client.NAME, session.place.worktree)


def _forget(session: Session, client: Adapter, left: tuple[str, ...]) -> None:
    """Drop a client's record. Directories that it made and that others still use go with the last of those."""
    worktree = session.place.worktree
    with session.store.transaction(session.me.id, session.timeout) as tx:
        writes: list[Write] = [Drop(keys.installation(client.NAME, worktree))]
        heirs = [heir for other in clients.NAMES if (heir := tx.state.installation(other, worktree)) is not None]
        heir = next((heir for heir in heirs if heir.client != client.NAME), None)
        if left and heir is not None:
            made = tuple(sorted({*heir.made, *left}))  # outermost first: a directory sorts before what is in it
            writes.append(Put(keys.installation(heir.client, worktree), replace(heir, made=made)))
        tx.commit("uninstall", f"the hooks for {client.NAME} were taken out", writes)


def _missing_directories(base: str, *files: str) -> tuple[str, ...]:
    """The directories on the way to some files that are not there yet, outermost first."""
    return tuple(name for name in sorted(_on_the_way(*files)) if not os.path.isdir(f"{base}/{name}"))


def _directories() -> set[str]:
    """Those that an installation may make."""
    return _on_the_way(GATE, *(clients.get(name).SETTINGS for name in clients.NAMES))


def _on_the_way(*files: str) -> set[str]:
    return {file[:i] for file in files for i, char in enumerate(file) if char == "/"}


def _remove_empty(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # something else lives there now
    return True


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
