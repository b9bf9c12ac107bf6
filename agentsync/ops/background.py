"""A sync that nobody waits for: a process of its own, started by what happens anyway, at most once in a while.

`remote/due` says when the next is to begin: its mtime, so that the gate can tell without Python whether an agent's
heartbeat is newer. Nobody works, nothing runs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agentsync.core import keys
from agentsync.core.agents import RESERVED
from agentsync.errors import AgentSyncError, GuardTimeoutError

if TYPE_CHECKING:
    import subprocess

    from agentsync.ops.session import Session

EVERY_S = 30.0
"""Seconds between two syncs in the background."""

TROUBLE = "remote/trouble"
"""Why the last of them failed; absent when it did not."""

MAX_WORDS = 1000

_children: list[subprocess.Popen[bytes]] = []
"""Those started by this process, if it lives that long: nobody waits for them, but somebody must ask how they ended."""


def sync_if_due(session: Session) -> bool:
    """Start a sync, unless one began lately, or this clone shares nothing. Returns at once.

    Args:
        session: Whose.
    """
    files, now = session.store.files, session.runtime.now().timestamp()
    if files.status(keys.LINK) is None:
        return False
    due = files.status(keys.DUE)
    if due is not None and now < due.st_mtime <= now + EVERY_S:  # later than that: a clock was wrong
        return False
    try:
        put_off(session)
    except OSError:
        return False  # a board that is only to be read; and what is not put off would begin with every command
    _start(session)
    return True


def put_off(session: Session) -> None:
    """The next sync in the background is to begin a while from now."""
    session.store.files.mark(keys.DUE, session.runtime.now().timestamp() + EVERY_S)


def _start(session: Session) -> None:
    import subprocess

    words = [sys.executable, "-E", "-P", "-m", "agentsync", "sync", "--background"]
    place, env = session.place, session.runtime.env
    places = {"AGENT_SYNC_ROOT": place.root, "AGENT_SYNC_DIR": place.state}  # may be relative to where we are
    named = {name: path for name, path in places.items() if env.get(name)}
    if session.me.id not in RESERVED:  # the operator is one only in the console
        named["AGENT_SYNC_ID"] = session.me.id
    try:
        child = subprocess.Popen(
            words,
            cwd=place.base,
            env={**env, **named},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        note(session, f"it could not be started: {error.strerror}")
        return
    _children[:] = [child, *(earlier for earlier in _children if earlier.poll() is None)]


def run(session: Session) -> None:
    """What the process does: sync, and say in a file what went wrong. Whoever else is at it does the same."""
    from agentsync.ops import sync

    try:
        sync.sync(session, patience_s=0)
    except GuardTimeoutError:
        return
    except (AgentSyncError, OSError) as error:
        note(session, error.message if isinstance(error, AgentSyncError) else str(error))
        return
    session.store.files.unlink(TROUBLE)


def note(session: Session, words: str) -> None:
    """Remember for those who look what went wrong."""
    files = session.store.files
    try:
        files.replace(files.write_temp(" ".join(words.split())[:MAX_WORDS].encode(), sync=False), TROUBLE)
    except OSError:
        pass  # the disk may be why


def trouble(session: Session) -> str | None:
    """Why the last sync in the background failed; None when it did not."""
    found = session.store.files.read(TROUBLE)
    return found.data.decode("utf-8", "replace") if found is not None else None
