"""Do the installed hooks answer? For each client whose settings have them.

Whoever examines a repository that somebody else packed must not start what was packed with it: the gate is started
when it is the one that we ship, by our own words for it, and only if the state that tells it what to run is ours.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, Any

from agentsync import clients
from agentsync.clients import settings_text
from agentsync.clients.call import GATE, PYTHON
from agentsync.errors import AgentSyncError
from agentsync.ops import install, shipped
from agentsync.ops.findings import Finding
from agentsync.store import inspect
from agentsync.store.files import read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.clients import Adapter
    from agentsync.ops.session import Session

PING_TIMEOUT = 15.0
"""Seconds that an installed hook may take to answer."""

SPEED_RUNS = 15

MAX_SETTINGS = 4 << 20
"""Bytes of settings that are looked at."""


def hooks(session: Session) -> Iterator[Finding]:
    """Look at the hooks of every client, and have them answer."""
    guarded = wrong = 0
    for client in map(clients.get, clients.NAMES):
        try:
            if not install.is_installed(session, client):
                continue
            guarded += 1
            _refuse_strange(session, client)
            seconds = _ping(session, client)
        except AgentSyncError as error:
            if client.NAME == "claude" or _mentions_gate(session, client):
                wrong += 1
                yield Finding(check="hooks", level="problem", message=error.message, fix=error.hint)
            continue  # settings of a client that has nothing of ours: its user's business
        message = f"installed for {client.TITLE}, Python answers in {seconds * 1e3:.0f} ms"
        yield Finding(check="hooks", level="ok", message=message)
    if guarded > wrong and session.runtime.platform == "posix":
        yield _speed(session)
    elif not guarded and not wrong:
        if install.has_plugin(session):
            yield Finding(check="hooks", level="ok", message="the plugin's, which is enabled in this repository")
            return
        message = f"none in {session.place.base}: agents are not guarded here"
        yield Finding(check="hooks", level="note", message=message, fix="agent-sync install")


def _gate(session: Session) -> str:
    return f"{session.place.base}/{GATE}"


def _mentions_gate(session: Session, client: Adapter) -> bool:
    try:
        found = read_plain(f"{session.place.base}/{client.SETTINGS}", MAX_SETTINGS)
    except OSError:
        return False
    return found is not None and (GATE.encode() in found or client.SHIPPED is not None)


def _refuse_strange(session: Session, client: Adapter) -> None:
    """See to it that what will be started is what we installed.

    Raises:
        AgentSyncError: The settings, the gate, or the state that tells it what to start, are not as we make them.
    """
    again = f"agent-sync install --client {client.NAME}"
    path, gate = f"{session.place.base}/{client.SETTINGS}", _gate(session)
    there = read_plain(path, MAX_SETTINGS) or b""
    if client.SHIPPED is not None:
        if there != shipped.read(client.SHIPPED):
            raise AgentSyncError(f"{path} is not that of this agent-sync", again)
    else:
        settings = settings_text.parse(there.decode("utf-8", "replace"), path, client.FLAT)
        wanted = [client.handlers(strict, session.runtime.platform) for strict in (False, True)]
        for event in wanted[0]:
            found = [
                _words(handler) for handler in _handlers(settings["hooks"].get(event, [])) if client.is_ours(handler)
            ]
            if not found:
                raise AgentSyncError(f"{path} has no {event} hook of ours", again)
            ours = [_words(handler) for made in wanted for handler in _handlers([made[event]])]
            if any(words not in ours for words in found):
                raise AgentSyncError(f"the {event} hook in {path} is not that of this agent-sync", again)
    if session.runtime.platform == "windows":
        return  # no gate: what the PATH has is the user's own
    installed = read_plain(gate, 1 << 20)
    if installed is None:
        raise AgentSyncError(f"the installed hook does not start: there is no file {gate}", again)
    if installed != shipped.read("hooks/gate"):
        raise AgentSyncError(f"{gate} is not the gate of this agent-sync, and was not started", again)
    if inspect.is_foreign(session.store):
        raise AgentSyncError(
            f"{session.place.state} was made elsewhere: the hook was not started", "agent-sync init makes it yours"
        )


def _handlers(groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for group in groups:
        yield from group.get("hooks", [group])


def _words(handler: dict[str, Any]) -> tuple[Any, ...]:
    """What a handler starts; its time-out and the like are its user's business."""
    lines = (value for value in handler.values() if isinstance(value, str))
    return (*(line for line in lines if GATE in line or line.startswith(PYTHON)), handler.get("args"))


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


def _ping(session: Session, client: Adapter) -> float:
    """Have the installed hook answer, all the way to Python.

    Returns:
        Seconds it took.

    Raises:
        AgentSyncError: It does not answer.
    """
    start = time.perf_counter()
    start_with = [_gate(session)] if session.runtime.platform == "posix" else [PYTHON, "hook"]
    done = _run([*start_with, "ping", client.NAME], session, b"{}")
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
        gate = shutil.copy(_gate(session), f"{top}/.claude/hooks/agent-sync")
        given = {"session_id": "", "tool_name": "Edit", "tool_input": {"file_path": f"{top}/a.py"}}
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
