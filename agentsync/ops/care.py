"""Looking after the store: `init`, `gc`, and what hooks do on the side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError, GuardTimeoutError
from agentsync.store import setup
from agentsync.store.compact import Compacted, compact

if TYPE_CHECKING:
    from agentsync.ops.session import Session

FAILURES = "failures.ndjson"
"""Lines about hooks that failed open, for `doctor`. Best effort."""

MAX_FAILURES = 1 << 16

FREE_EDITS = "edits-take-no-locks"
"""A file that tells the gate: auto_lock is off and no path requires a lock, so what nobody holds is free. The gate
trusts it only while it is newer than the configuration."""


def init(session: Session) -> str:
    """Make the state directory if it is not there, and check it if it is.

    Returns:
        Its path.

    Raises:
        UnusableError: It cannot be used; the message says why.
    """
    setup.refuse_tracked(session.store)
    with session.store.transaction(session.me.id, session.timeout):
        pass
    refresh(session)
    return session.store.place.state


def refresh(session: Session) -> None:
    """Bring up to date what the gate reads: the interpreter, and whether edits take locks."""
    store = session.store
    setup.write_python(store)
    if not store.config.auto_lock and not store.config.required:
        if not store.files.touch(FREE_EDITS):
            store.files.replace(store.files.write_temp(b"", sync=False), FREE_EDITS)
    else:
        store.files.unlink(FREE_EDITS)


def gc(session: Session) -> Compacted:
    """Compact the log, let go of who is gone, clear what was left over."""
    with session.store.transaction(session.me.id, session.timeout) as tx:
        found = tx.ask(lambda state, _: (state.presences(), state.locks()))
        assert found is not None
        return compact(session.store, tx)


def compact_if_free(session: Session) -> None:
    """Compact on the side, after answering; somebody busy means that it can wait."""
    session.store.due_for_compaction = False
    try:
        with session.store.transaction(session.me.id, timeout=0.05) as tx:
            compact(session.store, tx)
    except GuardTimeoutError:
        pass  # the next committer on a round revision will do it


def note_failure(session: Session, line: str) -> None:
    """Remember that a hook failed open."""
    import msgspec

    files = session.store.files
    try:
        status = files.status(FAILURES)
        if session.store.exists() and (status is None or status.st_size < MAX_FAILURES):
            entry = {"at": session.runtime.now(), "agent": session.me.id, "what": line}
            files.append(FAILURES, msgspec.json.encode(entry) + b"\n")
    except (OSError, AgentSyncError):
        pass  # the disk may be why it failed; stderr has it
