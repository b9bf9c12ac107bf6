"""What a hook's payload says, in the shape that most clients share, and the command that starts the gate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agentsync.runtime import Platform

GATE = ".claude/hooks/agent-sync"
"""The one gate of a working tree; every client's hooks start it."""

MAX_CONTEXT = 8000
"""Characters of injected text. Claude Code shows a file path instead of more than 10,000."""

PYTHON = "agent-sync"
"""What hooks start where there is no shell for the gate; `hook` and the gate's arguments follow."""

PATHS = ("file_path", "path", "filePath", "notebook_path")
"""What clients call the file that a tool writes: Claude, Copilot, OpenCode, Claude for notebooks."""


class Call(Struct, frozen=True, kw_only=True, gc=False):
    """What we need of a hook's payload."""

    event: str
    session: str | None = None
    cwd: str | None = None
    writes: tuple[str, ...] = ()
    """The paths that a writing tool is about to write, or wrote."""
    command: str | None = None
    """The command that a shell tool is about to run, or ran."""
    workdir: str | None = None
    """Where that command runs, if not in `cwd`."""
    stop_hook_active: bool = False
    is_subagent: bool = False
    """Called on behalf of a subagent. It has its parent's session, but what is told there the parent never sees."""
    reason: str | None = None
    """Why a session ends."""


def parse(
    events: Mapping[str, str],
    writing: Collection[str],
    shells: Collection[str],
    event: str | None,
    payload: dict[str, Any],
) -> Call:
    """Read a payload with `session_id`, `cwd`, `hook_event_name`, `tool_name`, `tool_input`.

    Args:
        events: The client's names of events, and ours.
        writing: Tools that write the file they name, in lower case.
        shells: Tools that run their `command`, in lower case.
        event: In our words, if the hook's command line said it.
        payload: What came on standard input.
    """
    name = payload.get("hook_event_name")
    if event is None and isinstance(name, str):
        event = events.get(name, name)
    cwd = text(payload.get("cwd"))
    tool, given = (text(payload.get("tool_name")) or "").lower(), payload.get("tool_input")
    if not isinstance(given, dict):
        given = {}
    path = next((found for key in PATHS if (found := text(given.get(key)))), None) if tool in writing else None
    return Call(
        event=event or "",
        session=text(payload.get("session_id")) or text(payload.get("sessionId")),
        cwd=cwd if cwd and os.path.isabs(cwd) else None,
        writes=(path,) if path else (),
        command=text(given.get("command")) if tool in shells else None,
        stop_hook_active=payload.get("stop_hook_active") is True,
        is_subagent="agent_id" in payload,
        reason=text(payload.get("reason")),
    )


def text(value: Any) -> str | None:
    """A value that should be a text and not empty."""
    return value if isinstance(value, str) and value else None


def command(client: str, event: str, strict: bool, platform: Platform = "posix") -> str:
    """A shell command that starts the gate of the nearest working tree above, wherever the client was started.

    The same on every machine and in every version: it can be committed, and a client that trusts it by its text goes on
    trusting it. The same in every shell, too, because all it takes of the client's is a word in single quotes without
    a quote or a backslash in it.

    Args:
        client: Whose hook it is.
        event: In our words.
        strict: Whether a call is blocked when the hook itself fails. For clients that are blocked by exit code 2.
        platform: Where it will be run. Windows has no `sh`: there it is Python, found on the PATH.
    """
    if platform == "windows":
        return f"{PYTHON} hook {event} {client}{' --strict' if strict else ''}"
    find = f'd=$PWD; until [ -z "$d" ] || [ -x "$d/{GATE}" ]; do d=${{d%/*}}; done'
    start = f'"$d/{GATE}" {event} {client}'
    if strict:
        said = f"agent-sync: {GATE} failed or is gone, and the hooks are strict, so this is blocked"
        return f'sh -c \'{find}; [ -n "$d" ] && {start} --strict || {{ echo "{said}" >&2; exit 2; }}\''
    return f"sh -c '{find}; [ -z \"$d\" ] || exec {start}'"


def starts_gate(command: Any) -> bool:
    """Whether a command in the settings starts the gate, or on Windows what stands in for it."""
    return isinstance(command, str) and (GATE in command or command.startswith(f"{PYTHON} hook "))
