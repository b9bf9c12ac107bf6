"""Claude Code: its settings file, its hook payloads, its answers.

Checked against the real client, version 2.1.328, by `tests/realclient/`. Facts that the code relies on:

- The exec form (`command` + `args`) starts no shell; `${CLAUDE_PROJECT_DIR}` is replaced in `command` too.
- Exit code 2 shows our command line to the model, so a denial is JSON with exit code 0.
- Unknown keys of a handler are ignored.
- Copilot CLI runs these hooks as well, ignores `args`, and hands `command` to a shell, or rather `bash` where there is
  one: the same command for a shell, so that a repository's path may have spaces. Whoever runs `command` alone gets the
  same too: the gate then finds the event in the payload. A command of `sh` would run the payload as a script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentsync.clients import call
from agentsync.clients.call import GATE, MAX_CONTEXT, PYTHON, Call

if TYPE_CHECKING:
    from agentsync.runtime import Platform

NAME = "claude"
TITLE = "Claude Code"
SETTINGS = ".claude/settings.json"
FOLDER = ".claude"
PROGRAM = "claude"
SHIPPED: str | None = None
FLAT = False
BASE: dict[str, Any] = {}
COMMAND = f"${{CLAUDE_PROJECT_DIR}}/{GATE}"
PLUGIN_COMMAND = "${CLAUDE_PLUGIN_ROOT}/hooks/gate"
"""The same in the plugin, whose root is this repository."""

WRITE_TOOLS = ("Edit", "Write", "MultiEdit", "NotebookEdit")
_WRITING = frozenset(name.lower() for name in WRITE_TOOLS) | {"create"}  # a guest's word for Write
_TOOLS = "|".join((*WRITE_TOOLS, "Bash"))

EVENTS: dict[str, tuple[str, str | None, int]] = {
    "SessionStart": ("session-start", None, 10),
    "UserPromptSubmit": ("user-prompt-submit", None, 10),
    "PreToolUse": ("pre-tool-use", _TOOLS, 10),
    "PostToolUse": ("post-tool-use", _TOOLS, 10),
    "PostToolBatch": ("post-tool-batch", None, 10),
    "Stop": ("stop", None, 10),
    "SessionEnd": ("session-end", None, 10),
}
"""The client's name of an event: ours, the matcher, and the time-out in seconds. SessionEnd has 1.5 s without one."""

_OURS = {theirs: ours for theirs, (ours, _, _) in EVENTS.items()}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}

TELLS = frozenset(_THEIRS) - {"session-end"}
LIMITS: tuple[str, ...] = ()


def parse(event: str | None, payload: dict[str, Any]) -> Call:
    """Read a payload; whatever has another shape than documented counts as absent."""
    return call.parse(_OURS, _WRITING, ("bash",), event, payload)


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
    return {"hookSpecificOutput": {"hookEventName": _THEIRS.get(event, event), "additionalContext": text[:MAX_CONTEXT]}}


def handlers(strict: bool, platform: Platform = "posix") -> dict[str, dict[str, Any]]:
    """What `install` puts into the settings: one matcher group per event.

    Args:
        strict: Whether an edit is blocked when the hook itself fails.
        platform: Where it will be run. Windows has no `sh` for the gate: there it is Python, found on the PATH.
    """
    return _groups(strict, *((PYTHON, ("hook",)) if platform == "windows" else (COMMAND, ())))


def plugin() -> dict[str, Any]:
    """What the plugin's `hooks/hooks.json` holds: the same for every repository that the plugin is enabled in."""
    return {
        "description": "Keeps the coding agents of one repository off each other's files.",
        "hooks": {event: [group] for event, group in _groups(False, PLUGIN_COMMAND, ()).items()},
    }


def _groups(strict: bool, command: str, first: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """One matcher group per event; `first` stands before the gate's arguments."""
    groups: dict[str, dict[str, Any]] = {}
    for theirs, (ours, matcher, timeout) in EVENTS.items():
        blocks = strict and theirs == "PreToolUse"
        words = [ours, "--strict"] if blocks else [ours]
        handler: dict[str, Any] = {
            "type": "command",
            "command": command,
            "args": [*first, *words],
            "bash": " ".join([f'"{command}"', *first, *words]),
            "timeout": timeout,
        }
        if blocks:
            handler["onFailure"] = "block"
        groups[theirs] = {"matcher": matcher, "hooks": [handler]} if matcher else {"hooks": [handler]}
    return groups


def is_ours(handler: Any) -> bool:
    """Whether a handler in the settings is one of `handlers`, of this or an earlier version."""
    if not isinstance(handler, dict):
        return False
    command, args = str(handler.get("command", "")).rstrip(), handler.get("args")
    return command.endswith(GATE) or (command == PYTHON and isinstance(args, list) and args[:1] == ["hook"])
