"""`doctor`: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError
from agentsync.ops import answering, care, commands, git_hooks
from agentsync.ops.findings import Finding
from agentsync.store import inspect
from agentsync.store.locate import lost_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.ops.session import Session

CLOCK_TOLERANCE = 5.0
"""Seconds between two clocks that nobody needs to know about."""


def examine(session: Session) -> list[Finding]:
    """Look at everything. Changes nothing but short-lived files in `tmp/`."""
    findings = list(_location(session))
    if findings[0].level == "problem" or not session.store.exists():
        return [*findings, *answering.hooks(session), *git_hooks.findings(session)]
    for check in (_records, _transactions, _disk, _clock, _failures, _extras, answering.hooks, git_hooks.findings):
        try:
            findings += check(session)
        except OSError as error:
            findings.append(
                Finding(
                    check=check.__name__.strip("_"),
                    level="problem",
                    message=f"{error.filename or session.place.state}: {error.strerror or error}",
                    fix="make the state directory readable and writable for you",
                )
            )
    return findings


def _location(session: Session) -> Iterator[Finding]:
    place, store = session.place, session.store
    try:
        exists = store.exists()
    except AgentSyncError as error:
        yield Finding(check="location", level="problem", message=error.message, fix=error.hint)
        return
    if not exists:
        yield Finding(check="location", level="note", message=f"no state yet; it will be in {place.state}")
        return
    try:
        care.refuse_tracked(session)
    except AgentSyncError as error:
        yield Finding(check="location", level="problem", message=error.message, fix=error.hint)
    where = f"{place.state}" + (f", seen from worktree {place.worktree}" if place.worktree else "")
    yield Finding(check="location", level="ok", message=where)
    if (git_dir := lost_tree(place.base)) is not None:
        message = f"{git_dir} does not say where its main working tree is: its worktrees have another board than that"
        fix = 'in the main working tree: git config core.worktree "$PWD"'
        yield Finding(check="location", level="problem", message=message, fix=fix)
    mode = os.stat(place.state).st_mode & 0o777
    if mode & 0o077:
        fix = f"chmod 700 {place.state}"
        yield Finding(check="permissions", level="problem", message=f"others may enter it (mode {mode:o})", fix=fix)
    elif not os.access(place.state, os.W_OK | os.X_OK):
        message = "it is read-only for you: reading works, nothing can be locked"
        yield Finding(check="permissions", level="problem", message=message, fix=f"chmod u+rwx {place.state}")
    else:
        yield Finding(check="permissions", level="ok", message=f"mode {mode:o}, yours")
    for warning in store.warnings:
        yield Finding(check="configuration", level="note", message=warning, fix="mend .claude/agent-sync.toml")


def _records(session: Session) -> Iterator[Finding]:
    found = inspect.damaged_records(session.store)
    kept = inspect.quarantined(session.store)
    for problem in found.values():
        fix = "agent-sync gc brings back what the log still has, and moves the rest to quarantine/"
        yield Finding(check="records", level="problem", message=problem, fix=fix)
    for name in kept:
        fix = "look at it, then remove it from quarantine/"
        yield Finding(check="records", level="problem", message=f"quarantine/{name} could not be read", fix=fix)
    if not found and not kept:
        yield Finding(check="records", level="ok", message="all can be read")


def _transactions(session: Session) -> Iterator[Finding]:
    store = session.store
    missing = inspect.gaps(store)
    if missing:
        count = f"{len(missing)}" if len(missing) < inspect.MAX_GAPS else f"{len(missing)} or more"
        message = f"{count} events are missing, the first is revision {missing[0]}"
        fix = "something removed files from log/ or archive/; nothing else needs to be done"
        yield Finding(check="log", level="problem", message=message, fix=fix)
    else:
        yield Finding(check="log", level="ok", message=f"complete, revision {store.revision()}")
    holder = inspect.guard_holder(store)
    if holder is not None:
        time.sleep(1.0)  # a transaction takes milliseconds
        if inspect.guard_holder(store) == holder:
            fix = f"see what it does (ps -fp {holder}); when it is stopped, kill -CONT {holder}"
            yield Finding(check="guard", level="problem", message=f"process {holder} does not let go of it", fix=fix)
    elif inspect.stuck_intent(store):
        message = "somebody died in the middle of a transaction; the next command that writes finishes it"
        yield Finding(check="intent", level="note", message=message, fix="agent-sync heartbeat")


def _disk(session: Session) -> Iterator[Finding]:
    kind = inspect.file_system(session.place.state)
    wrong = inspect.exclusion(session.store)
    if wrong:
        fix = "put the state on a local disk: AGENT_SYNC_DIR=/path"
        yield Finding(check="disk", level="problem", message=f"{kind or 'unknown'} file system: {wrong}", fix=fix)
    elif kind in inspect.NETWORK:
        message = f"{kind}: works between processes of this machine, is not meant for several"
        fix = "agents on other machines need a clone of their own"
        yield Finding(check="disk", level="note", message=message, fix=fix)
    else:
        message = f"{kind or 'unknown'} file system, flock and link keep a second process out"
        yield Finding(check="disk", level="ok", message=message)


def _clock(session: Session) -> Iterator[Finding]:
    ahead = inspect.future_event(session.store)
    skew = inspect.clock_skew(session.store)
    if ahead > CLOCK_TOLERANCE or abs(skew) > CLOCK_TOLERANCE:
        message = f"the newest event lies {max(ahead, 0):.0f} s ahead, the disk's clock is off by {skew:.0f} s"
        yield Finding(check="clock", level="problem", message=message, fix="set the clock; locks expire by it")
    else:
        yield Finding(check="clock", level="ok", message="agrees with the disk and the log")


def _extras(_session: Session) -> Iterator[Finding]:
    if not commands.can_read():
        message = "are looked at only after they have run: the grammar is not installed"
        yield Finding(check="shell commands", level="note", message=message, fix="pip install 'agentsync[shell]'")


def _failures(session: Session) -> Iterator[Finding]:
    found = inspect.failures(session.store, care.FAILURES, hours=24)
    if found:
        message = f"{len(found)} in the last day, the last: {found[-1]}"
        path = session.store.files.path(care.FAILURES)
        fix = f"see to the cause, then remove {path}"
        yield Finding(check="hook failures", level="note", message=message, fix=fix)
