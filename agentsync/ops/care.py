"""Looking after the store: `init`, `gc`, and what hooks do on the side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core import keys
from agentsync.errors import AgentSyncError, GuardTimeoutError
from agentsync.store import settings, setup
from agentsync.store.compact import Compacted, compact

if TYPE_CHECKING:
    from agentsync.ops.session import Session

FAILURES = "failures.ndjson"
"""Lines about hooks that failed open, for `doctor`. Best effort."""

MAX_FAILURES = 1 << 16

POLICY = "policy"
"""A file that tells the gate what the configuration means for it. Its first line is one word: `locks` (edits take
locks), `free` (what nobody holds may be edited without one) or `required` (ask Python about everything). The rest is a
copy of the configuration, so that the gate sees when it has changed. Not there without a configuration."""


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


def refuse_tracked(session: Session) -> None:
    """Refuse a state directory that git tracks.

    Raises:
        UnusableError: It does.
    """
    setup.refuse_tracked(session.store)


def refresh(session: Session) -> None:
    """Bring up to date what the gate reads: the interpreter, and what the configuration means for it."""
    setup.write_python(session.store)
    _write_policy(session)


def refresh_if_stale(session: Session) -> None:
    """The same for the configuration alone, only when it has changed."""
    if session.store.exists():
        _write_policy(session)


def _write_policy(session: Session) -> None:
    files, config = session.store.files, session.store.config
    try:
        text = settings.text(session.place.base, session.place.root)
    except OSError:
        return  # opening the session has said so; what the gate knows is better than nothing
    if text is None:
        files.unlink(POLICY)
        return
    word = b"required" if config.required else b"locks" if config.auto_lock else b"free"
    wanted = word + b"\n" + text
    found = files.read(POLICY)
    if found is None or found.data != wanted:
        files.replace(files.write_temp(wanted, sync=False), POLICY)


def gc(session: Session) -> Compacted:
    """Mend what can be mended, compact the log, let go of who is gone, clear what was left over."""
    with session.store.transaction(session.me.id, session.timeout) as tx:
        from agentsync.store import inspect  # starts processes; hooks do not want what that loads

        damaged = inspect.damaged_records(session.store)
        # Events stay where they are, readable or not: the log has no gaps.
        tx.state.damaged.update({k: why for k, why in damaged.items() if "/" in k and not k.startswith("log/")})
        tx.repair()
        return compact(session.store, tx)


def after_answering(session: Session) -> None:
    """What is done once the answer is out, by whoever happens to be there: compaction, and telling other machines."""
    if session.store.due_for_compaction:
        compact_if_free(session)
    if session.store.files.status(keys.LINK) is not None:
        from agentsync.ops import background

        background.sync_if_due(session)


def compact_if_free(session: Session) -> None:
    """Compact on the side, after answering; somebody busy means that it can wait."""
    session.store.due_for_compaction = False
    try:
        with session.store.transaction(session.me.id, timeout=0.05) as tx:
            compact(session.store, tx)
    except GuardTimeoutError:
        pass  # the next committer on a round revision will do it
    except (OSError, AgentSyncError) as error:  # what was asked for is done; this is only upkeep
        session.store.warnings.append(f"compaction failed: {error}; agent-sync gc tries again")


def note_failure(session: Session, line: str) -> None:
    """Remember that a hook failed open."""
    import msgspec

    files = session.store.files
    try:
        if session.store.exists():
            entry = {"at": session.runtime.now(), "agent": session.me.id, "what": line}
            files.append_bounded(FAILURES, msgspec.json.encode(entry) + b"\n", MAX_FAILURES)
    except (OSError, AgentSyncError):
        pass  # the disk may be why it failed; stderr has it
