"""Claude Code: its settings file, its hook payloads, its answers.

Checked against the real client, version 2.1.328, by `tests/realclient/`. Facts that the code relies on:

- The exec form (`command` + `args`) starts no shell; `${CLAUDE_PROJECT_DIR}` is replaced in `command` too.
- Exit code 2 shows our command line to the model, so a denial is JSON with exit code 0.
- Copilot CLI runs these hooks as well, ignores `args`, and hands `command` to a shell. So the command means the same
  without arguments: the gate then finds the event in the payload. A command of `sh` would run the payload as a script.
- Copilot names the path `path`, others may say `filePath`; a notebook's is `notebook_path`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

NAME = "claude"
SETTINGS = ".claude/settings.json"
GATE = ".claude/hooks/agent-sync"
COMMAND = "${CLAUDE_PROJECT_DIR}/.claude/hooks/agent-sync"

WRITE_TOOLS = ("Edit", "Write", "MultiEdit", "NotebookEdit")
_WRITING = frozenset(name.lower() for name in WRITE_TOOLS) | {"create"}  # Copilot's word for Write
_PATHS = ("file_path", "path", "filePath", "notebook_path")

EVENTS: dict[str, tuple[str, str | None, int]] = {
    "SessionStart": ("session-start", None, 10),
    "UserPromptSubmit": ("user-prompt-submit", None, 10),
    "PreToolUse": ("pre-tool-use", "|".join(WRITE_TOOLS), 10),
    "PostToolUse": ("post-tool-use", "|".join(WRITE_TOOLS), 10),
    "PostToolBatch": ("post-tool-batch", None, 10),
    "Stop": ("stop", None, 10),
    "SessionEnd": ("session-end", None, 10),
}
"""The client's name of an event: ours, the matcher, and the time-out in seconds. SessionEnd has 1.5 s without one."""

MAX_CONTEXT = 8000
"""Characters of injected text; above 10,000 the client shows a file path instead."""


class Call(Struct, frozen=True, kw_only=True, gc=False):
    """What we need of a hook's payload."""

    event: str
    session: str | None = None
    cwd: str | None = None
    writes: str | None = None
    """The path that a writing tool is about to write, or wrote."""
    stop_hook_active: bool = False
    is_subagent: bool = False
    """Called on behalf of a subagent. It has its parent's session, but what is told there the parent never sees."""
    reason: str | None = None
    """Why a session ends."""


def parse(event: str | None, payload: dict[str, Any]) -> Call:
    """Read a payload; whatever has another shape than documented counts as absent."""
    name = payload.get("hook_event_name")
    if event is None and isinstance(name, str) and name in EVENTS:
        event = EVENTS[name][0]
    session = _text(payload.get("session_id")) or _text(payload.get("sessionId"))
    cwd = _text(payload.get("cwd"))
    return Call(
        event=event or _text(name) or "",
        session=session,
        cwd=cwd if cwd and cwd.startswith("/") else None,
        writes=_written_path(payload),
        stop_hook_active=payload.get("stop_hook_active") is True,
        is_subagent="agent_id" in payload,
        reason=_text(payload.get("reason")),
    )


def _written_path(payload: dict[str, Any]) -> str | None:
    tool, given = payload.get("tool_name"), payload.get("tool_input")
    if not isinstance(tool, str) or tool.lower() not in _WRITING or not isinstance(given, dict):
        return None
    return next((path for key in _PATHS if (path := _text(given.get(key)))), None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def deny(reason: str) -> dict[str, Any]:
    """Refuse the tool call of a PreToolUse; the reason goes to the model."""
    return {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }
    }


def context(event: str, text: str) -> dict[str, Any]:
    """Add a text to the model's context. On Stop this also lets the turn go on, once and clean."""
    name = next((theirs for theirs, (ours, _, _) in EVENTS.items() if ours == event), event)
    return {"hookSpecificOutput": {"hookEventName": name, "additionalContext": text[:MAX_CONTEXT]}}


def handlers(strict: bool) -> dict[str, dict[str, Any]]:
    """What `install` puts into the settings: one matcher group per event.

    Args:
        strict: Whether an edit is blocked when the hook itself fails.
    """
    groups: dict[str, dict[str, Any]] = {}
    for theirs, (ours, matcher, timeout) in EVENTS.items():
        blocks = strict and theirs == "PreToolUse"
        handler: dict[str, Any] = {
            "type": "command",
            "command": COMMAND,
            "args": [ours, "--strict"] if blocks else [ours],
            "timeout": timeout,
        }
        if blocks:
            handler["onFailure"] = "block"
        groups[theirs] = {"matcher": matcher, "hooks": [handler]} if matcher else {"hooks": [handler]}
    return groups


def is_ours(handler: Any) -> bool:
    """Whether a handler in the settings is one of `handlers`, of this or an earlier version."""
    return isinstance(handler, dict) and str(handler.get("command", "")).rstrip().endswith(GATE)
