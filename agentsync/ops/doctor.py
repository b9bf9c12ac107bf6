"""`doctor`: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from agentsync.clients import claude
from agentsync.errors import AgentSyncError
from agentsync.ops import care, install, settings_text, shipped
from agentsync.store import inspect
from agentsync.store.files import read_plain
from agentsync.store.locate import lost_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.ops.session import Session

PING_TIMEOUT = 15.0
"""Seconds that an installed hook may take to answer."""

CLOCK_TOLERANCE = 5.0
"""Seconds between two clocks that nobody needs to know about."""

SPEED_RUNS = 15


class Finding(Struct, frozen=True, kw_only=True, gc=False):
    """One thing that was looked at."""

    check: str
    level: Literal["ok", "note", "problem"]
    """A note needs no action; a problem makes the doctor's exit code 1."""
    message: str
    fix: str = ""


def examine(session: Session) -> list[Finding]:
    """Look at everything. Changes nothing but short-lived files in `tmp/`."""
    findings = list(_location(session))
    if findings[0].level == "problem" or not session.store.exists():
        return [*findings, *_hooks(session)]
    for check in (_records, _transactions, _disk, _clock, _failures, _hooks):
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
        message = f"{len(missing)} events are missing, the first is revision {missing[0]}"
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


def _failures(session: Session) -> Iterator[Finding]:
    found = inspect.failures(session.store, care.FAILURES, hours=24)
    if found:
        message = f"{len(found)} in the last day, the last: {found[-1]}"
        path = session.store.files.path(care.FAILURES)
        fix = f"see to the cause, then remove {path}"
        yield Finding(check="hook failures", level="note", message=message, fix=fix)


def _hooks(session: Session) -> Iterator[Finding]:
    base = session.place.base
    try:
        installed = install.is_installed(session)
    except AgentSyncError as error:
        yield Finding(check="hooks", level="problem", message=error.message, fix=error.hint)
        return
    if not installed:
        message = f"none in {base}/{claude.SETTINGS}: agents of Claude Code are not guarded here"
        yield Finding(check="hooks", level="note", message=message, fix="agent-sync install")
        return
    try:
        _refuse_foreign(session)
        seconds = _ping(session)
    except AgentSyncError as error:
        yield Finding(check="hooks", level="problem", message=error.message, fix=error.hint)
        return
    yield Finding(
        check="hooks", level="ok", message=f"installed for Claude Code, Python answers in {seconds * 1e3:.0f} ms"
    )
    yield _speed(session)


def _command(session: Session) -> list[str]:
    """The installed command of PreToolUse, as the client would start it."""
    path = f"{session.place.base}/{claude.SETTINGS}"
    with open(path, encoding="utf-8") as file:
        settings = settings_text.parse(file.read(), path)
    for group in settings["hooks"].get("PreToolUse", []):
        for handler in group["hooks"]:
            if claude.is_ours(handler):
                return [handler["command"].replace("${CLAUDE_PROJECT_DIR}", session.place.base)]
    raise AgentSyncError(f"{path} has no PreToolUse hook of ours", "agent-sync install")


def _refuse_foreign(session: Session) -> None:
    """Whoever examines a repository that somebody else packed must not start what was packed with it.

    Raises:
        AgentSyncError: The gate is not the one that we ship, or the state that tells it what to start is not ours.
    """
    gate = f"{session.place.base}/{claude.GATE}"
    installed = read_plain(gate, 1 << 20)
    if installed is None:
        raise AgentSyncError(f"the installed hook does not start: there is no file {gate}", "agent-sync install")
    if _command(session) != [gate] or installed != shipped.read("hooks/gate"):
        raise AgentSyncError(f"{gate} is not the gate of this agent-sync, and was not started", "agent-sync install")
    if inspect.is_foreign(session.store):
        raise AgentSyncError(
            f"{session.place.state} was made elsewhere: the hook was not started", "agent-sync init makes it yours"
        )


def _run(command: list[str], session: Session, payload: bytes, **variables: str) -> subprocess.CompletedProcess[bytes]:
    env = {k: v for k, v in session.runtime.env.items() if not k.startswith(("CLAUDE_CODE_SESSION", "AGENT_SYNC_ID"))}
    env.update(CLAUDE_PROJECT_DIR=session.place.base, **variables)
    try:
        return subprocess.run(
            command,
            input=payload,
            capture_output=True,
            env=env,
            cwd=session.place.base,
            timeout=PING_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise AgentSyncError(f"the installed hook does not start: {error}", "agent-sync install") from None


def _ping(session: Session) -> float:
    """Have the installed hook answer, all the way to Python.

    Returns:
        Seconds it took.

    Raises:
        AgentSyncError: It does not answer.
    """
    start = time.perf_counter()
    done = _run([*_command(session), "ping"], session, b"{}")
    seconds = time.perf_counter() - start
    try:
        if done.returncode == 0 and json.loads(done.stdout)["kind"] == "pong":
            return seconds
    except (ValueError, KeyError, TypeError):
        pass
    said = done.stderr.decode(errors="replace").strip().splitlines()
    raise AgentSyncError(
        f"the installed hook does not answer (exit {done.returncode}): {said[-1] if said else 'nothing said'}",
        "agent-sync install, with the agent-sync that should answer",
    )


def _speed(session: Session) -> Finding:
    """What an edit pays among others when the gate decides, against what any shell costs here.

    Measured in a scratch repository: in the real one it would be a sign of life of an agent that may be gone.
    """
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="agent-sync-") as scratch:
        top = os.path.realpath(scratch)
        state = f"{top}/.claude/coordination"
        for directory in (f"{top}/.git", f"{top}/.claude/hooks", f"{state}/agents", f"{state}/locks"):
            os.makedirs(directory)
        for name in (f"{top}/.git/HEAD", f"{state}/agents/me.json", f"{state}/agents/other.json"):
            with open(name, "wb"):
                pass
        with open(f"{state}/locks/a.py.json", "w", encoding="ascii") as file:
            file.write('{\n  "holder": "me",\n}\n')
        gate = shutil.copy(_command(session)[0], f"{top}/.claude/hooks/agent-sync")
        given = {"session_id": "", "tool_input": {"file_path": f"{top}/a.py"}}
        payload = json.dumps(given).encode()
        times: dict[str, list[float]] = {gate: [], "sh": []}
        for _ in range(SPEED_RUNS):
            for argv in ([gate, "pre-tool-use"], ["sh", "-c", ":"]):
                start = time.perf_counter()
                _run(argv, session, payload, AGENT_SYNC_ID="me")
                times[argv[0]].append(time.perf_counter() - start)
    mine, shell = (statistics.median(times[name]) * 1e3 for name in (gate, "sh"))
    message = f"an edit among others pays {mine:.1f} ms, an empty shell {shell:.1f} ms"
    return Finding(check="speed", level="ok", message=message)
