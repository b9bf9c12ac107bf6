"""Gemini CLI: its settings file, its hook payloads, its answers.

Checked against the real client, version 0.61.0, by `tests/realclient/`. Facts that the code relies on:

- Times are in milliseconds. Standard output must be JSON, or nothing.
- A denial is `decision` and `reason`; a text beside a BeforeTool is dropped, so nothing can be told there.
- It lets a turn go on as often as AfterAgent says so. Who asks must honour `stop_hook_active`.
- It runs a command by `bash -c`, in the directory of the session, and reads the settings of that directory only, not
  of those above it. Paths are as the model typed them, relative ones to `cwd`.
- A hook that exits 2 blocks; one that fails in any other way or takes too long does not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agentsync.clients import call
from agentsync.clients.call import MAX_CONTEXT, Call

if TYPE_CHECKING:
    from agentsync.runtime import Platform

NAME = "gemini"
TITLE = "Gemini CLI"
SETTINGS = ".gemini/settings.json"
FOLDER = ".gemini"
PROGRAM = "gemini"
SHIPPED: str | None = None
FLAT = False
BASE: dict[str, Any] = {}

WRITE_TOOLS = ("write_file", "replace")
SHELL = "run_shell_command"

EVENTS: dict[str, tuple[str, str | None]] = {
    "SessionStart": ("session-start", None),
    "BeforeAgent": ("user-prompt-submit", None),
    "BeforeTool": ("pre-tool-use", "|".join((*WRITE_TOOLS, SHELL))),
    "AfterTool": ("post-tool-use", None),
    "AfterAgent": ("stop", None),
    "SessionEnd": ("session-end", None),
}
"""The client's name of an event: ours, and the matcher."""

TIMEOUT = 10_000
"""Milliseconds."""

_OURS = {theirs: ours for theirs, (ours, _) in EVENTS.items()}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}

TELLS = frozenset(_THEIRS) - {"pre-tool-use", "session-end"}
LIMITS = (
    "it runs these hooks in folders that it trusts only, and only when it is started in the root of the repository, "
    "not in a folder below",
    "a hook that takes more than ten seconds lets the edit through, with --strict too",
)


def parse(event: str | None, payload: dict[str, Any]) -> Call:
    """Read a payload; whatever has another shape than documented counts as absent."""
    found = call.parse(_OURS, WRITE_TOOLS, (SHELL,), event, payload)
    if found.command is None or found.cwd is None:
        return found
    given = payload["tool_input"]
    directory = call.text(given.get("dir_path")) or call.text(given.get("directory"))
    return replace(found, workdir=os.path.join(found.cwd, directory)) if directory else found


def deny(reason: str) -> dict[str, Any]:
    """Refuse the tool call of a BeforeTool; the reason goes to the model."""
    return {"decision": "deny", "reason": reason}


def context(event: str, text: str) -> dict[str, Any]:
    """Put a text before the model; on AfterAgent as its next prompt."""
    if event == "stop":
        return {"decision": "block", "reason": text[:MAX_CONTEXT]}
    return {"hookSpecificOutput": {"hookEventName": _THEIRS.get(event, event), "additionalContext": text[:MAX_CONTEXT]}}


def handlers(strict: bool, platform: Platform = "posix") -> dict[str, dict[str, Any]]:
    """What `install` puts into the settings: one matcher group per event.

    Args:
        strict: Whether a call is blocked when the hook itself fails.
        platform: Where it will be run.
    """
    groups: dict[str, dict[str, Any]] = {}
    for theirs, (ours, matcher) in EVENTS.items():
        line = call.command(NAME, ours, strict and ours == "pre-tool-use", platform)
        group = {"hooks": [{"type": "command", "name": "agent-sync", "command": line, "timeout": TIMEOUT}]}
        groups[theirs] = {"matcher": matcher, **group} if matcher else group
    return groups


def is_ours(handler: Any) -> bool:
    """Whether a handler in the settings is one of `handlers`, of this or an earlier version."""
    return isinstance(handler, dict) and call.starts_gate(handler.get("command"))
