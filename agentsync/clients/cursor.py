"""Cursor, the editor and its `agent` command: its hooks file, its hook payloads, its answers.

Written from its documentation (cursor.com/docs/hooks); it has never been run here. Facts that the code relies on:

- Every payload has `conversation_id`, `hook_event_name`, `cursor_version`, `workspace_roots`; only some have a `cwd`.
- `beforeShellExecution` and its like have the `command` and `afterFileEdit` its `file_path` at the top level.
- Exit code 2 blocks without telling the model why, so a denial is JSON with exit code 0; others fail open.
- It can be told to run the hooks in `.claude/settings.json` too. It then sends Claude Code's names of events, and its
  own fields: `conversation_id` gives it away.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agentsync.clients import call
from agentsync.clients.call import MAX_CONTEXT, Call

if TYPE_CHECKING:
    from agentsync.runtime import Platform

NAME = "cursor"
TITLE = "Cursor"
SETTINGS = ".cursor/hooks.json"
FOLDER = ".cursor"
PROGRAM = "cursor"
SHIPPED: str | None = None
FLAT = True
BASE: dict[str, Any] = {"version": 1}

_WRITE_TOOLS = ("Write", "Edit", "MultiEdit", "StrReplace", "EditNotebook", "NotebookEdit", "Delete")
_WRITING = frozenset(name.lower() for name in _WRITE_TOOLS)
_SHELLS = frozenset({"shell", "bash"})

EVENTS: dict[str, tuple[str, str | None]] = {
    "sessionStart": ("session-start", None),
    "beforeSubmitPrompt": ("user-prompt-submit", None),
    "preToolUse": ("pre-tool-use", f"^({'|'.join(_WRITE_TOOLS)})$"),
    "beforeShellExecution": ("pre-tool-use", None),
    "afterFileEdit": ("post-tool-use", None),
    "afterShellExecution": ("post-tool-use", None),
    "postToolUse": ("post-tool-batch", None),
    "stop": ("stop", None),
    "sessionEnd": ("session-end", None),
}
"""The client's name of an event: ours, and the matcher. What happened is in one event, what is told goes to another."""

_OURS = {
    **{theirs: ours for theirs, (ours, _) in EVENTS.items()},
    "SessionStart": "session-start",
    "UserPromptSubmit": "user-prompt-submit",
    "PreToolUse": "pre-tool-use",
    "PostToolUse": "post-tool-use",
    "Stop": "stop",
    "SessionEnd": "session-end",
}

_SHELL_EVENTS = ("beforeShellExecution", "afterShellExecution")

TELLS = frozenset({"session-start", "post-tool-batch", "stop"})
LIMITS = (
    "written from its documentation and never run with it",
    "it takes no text at a prompt; mail comes with the next tool's result, or at the end of the turn",
    "if a lock is broken all the same, only its holder is told",
    "its shell does not know which conversation it belongs to: `agent-sync` typed there is the one heard of last",
    "a hook that fails or takes too long lets the edit through, unless installed with --strict",
)


def parse(event: str | None, payload: dict[str, Any]) -> Call:
    """Read a payload; whatever has another shape than documented counts as absent."""
    found = call.parse(_OURS, _WRITING, _SHELLS, event, payload)
    path, theirs = call.text(payload.get("file_path")), payload.get("hook_event_name")
    rounds = payload.get("loop_count")
    return replace(
        found,
        session=call.text(payload.get("conversation_id")) or found.session,
        cwd=found.cwd or _first_root(payload.get("workspace_roots")),
        writes=(path,) if path and theirs == "afterFileEdit" else found.writes,
        command=call.text(payload.get("command")) if theirs in _SHELL_EVENTS else found.command,
        stop_hook_active=found.stop_hook_active or (type(rounds) is int and rounds > 0),
    )


def _first_root(roots: Any) -> str | None:
    first = call.text(roots[0]) if isinstance(roots, list) and roots else None
    return first if first and os.path.isabs(first) else None


def deny(reason: str) -> dict[str, Any]:
    """Refuse the tool call; the reason goes to the model, and to the person who looks on."""
    return {"permission": "deny", "user_message": reason, "agent_message": reason}


def context(event: str, text: str) -> dict[str, Any]:
    """Put a text before the model; on `stop` as its next prompt."""
    return {"followup_message" if event == "stop" else "additional_context": text[:MAX_CONTEXT]}


def handlers(strict: bool, platform: Platform = "posix") -> dict[str, dict[str, Any]]:
    """What `install` puts into the hooks file: one handler per event."""
    made: dict[str, dict[str, Any]] = {}
    for theirs, (ours, matcher) in EVENTS.items():
        blocks = strict and ours == "pre-tool-use"
        made[theirs] = {"command": call.command(NAME, ours, blocks, platform), "timeout": 10}
        if matcher:
            made[theirs]["matcher"] = matcher
        if blocks:
            made[theirs]["failClosed"] = True
    return made


def is_ours(handler: Any) -> bool:
    """Whether a handler in the hooks file is one of `handlers`, of this or an earlier version."""
    return isinstance(handler, dict) and call.starts_gate(handler.get("command"))
