"""GitHub Copilot CLI: its hooks file, its hook payloads, its answers.

Facts that the code relies on:

- Events with Claude Code's names get Claude Code's payload (snake case, `hook_event_name`), with the CLI's own tools:
  `edit` and `create` name their file `path`, `bash` has a `command`.
- It also runs the hooks in `.claude/settings.json`, with `COPILOT_CLI` set and without their `args`. Whoever is called
  that way answers in this client's words.
- A text counts at the top level of the answer only; a denial by exit code 2 does not show its reason to the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentsync.clients import call
from agentsync.clients.call import MAX_CONTEXT, Call

if TYPE_CHECKING:
    from agentsync.runtime import Platform

NAME = "copilot"
TITLE = "GitHub Copilot CLI"
SETTINGS = ".github/hooks/agent-sync.json"
FOLDER = ".github/hooks"
PROGRAM = "copilot"
SHIPPED: str | None = None
FLAT = True
BASE: dict[str, Any] = {"version": 1}

_OURS = {
    "SessionStart": "session-start",
    "UserPromptSubmit": "user-prompt-submit",
    "PreToolUse": "pre-tool-use",
    "PostToolUse": "post-tool-use",
    "Stop": "stop",
    "SessionEnd": "session-end",
}
_WRITING = frozenset({"edit", "create", "write", "multiedit", "notebookedit"})

TELLS = frozenset(_OURS.values()) - {"session-end"}
LIMITS = ("it runs these hooks in folders that it trusts only",)


def parse(event: str | None, payload: dict[str, Any]) -> Call:
    """Read a payload; whatever has another shape than documented counts as absent."""
    return call.parse(_OURS, _WRITING, ("bash",), event, payload)


def deny(reason: str) -> dict[str, Any]:
    """Refuse the tool call of a PreToolUse; the reason goes to the model."""
    return {"permissionDecision": "deny", "permissionDecisionReason": reason}


def context(event: str, text: str) -> dict[str, Any]:
    """Put a text before the model; on Stop as its next prompt."""
    if event == "stop":
        return {"decision": "block", "reason": text[:MAX_CONTEXT]}
    return {"additionalContext": text[:MAX_CONTEXT]}


def handlers(strict: bool, platform: Platform = "posix") -> dict[str, dict[str, Any]]:
    """What `install` puts into the hooks file: one handler per event. A failing hook blocks in any case."""
    shell = "powershell" if platform == "windows" else "bash"
    return {
        theirs: {"type": "command", shell: call.command(NAME, ours, strict, platform), "timeoutSec": 10}
        for theirs, ours in _OURS.items()
    }


def is_ours(handler: Any) -> bool:
    """Whether a handler in the hooks file is one of `handlers`, of this or an earlier version."""
    return isinstance(handler, dict) and call.starts_gate(handler.get("bash", handler.get("powershell")))
