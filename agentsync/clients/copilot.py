"""GitHub Copilot CLI: its hooks file, its hook payloads, its answers.

Checked against the real client, version 1.0.102, by `tests/realclient/test_copilot.py`. Facts that the code relies on:

- Events with Claude Code's names get Claude Code's payload (snake case, `hook_event_name` first), and matchers match
  Claude Code's names of tools. `Edit` and `Write` name their file `path`, `Bash` has a `command`.
  With a GPT model an `Edit` may be a patch: then `tool_input` is its text.
- It also runs the hooks in `.claude/settings.json`, with `COPILOT_CLI` set, without their `args`, and by their `bash`
  where they have one. Whoever is called that way answers in this client's words.
- A text counts at the top level of the answer only; a denial by exit code 2 does not show its reason to the model, and
  any other exit code but 0 denies too.
- What `stop` answers becomes the next prompt, at most eight times; `stop_hook_active` says that it has.
- Its shell has `COPILOT_AGENT_SESSION_ID`, its hooks have not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agentsync.clients import call
from agentsync.clients.call import MAX_CONTEXT, Call
from agentsync.shell import patch

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

EVENTS: dict[str, tuple[str, str | None]] = {
    "SessionStart": ("session-start", None),
    "UserPromptSubmit": ("user-prompt-submit", None),
    "PreToolUse": ("pre-tool-use", "Edit|Write|Bash"),
    "PostToolUse": ("post-tool-use", None),
    "Stop": ("stop", None),
    "SessionEnd": ("session-end", None),
}
"""The client's name of an event: ours, and the matcher. After any tool, because that is when mail can be told."""

_OURS = {theirs: ours for theirs, (ours, _) in EVENTS.items()}
_WRITING = frozenset({"edit", "create", "write", "multiedit", "notebookedit"})

TELLS = frozenset(_OURS.values()) - {"session-end"}
LIMITS = (
    "it runs these hooks in folders that it trusts only",
    "a hook that takes too long lets the edit through, also with --strict",
)


def parse(event: str | None, payload: dict[str, Any]) -> Call:
    """Read a payload; whatever has another shape than documented counts as absent."""
    found = call.parse(_OURS, _WRITING, ("bash",), event, payload)
    given = payload.get("tool_input")
    if payload.get("tool_name") != "Edit" or not isinstance(given, str):
        return found
    return replace(found, writes=patch.paths(given) or ())


def deny(reason: str) -> dict[str, Any]:
    """Refuse the tool call of a PreToolUse; the reason goes to the model."""
    return {"permissionDecision": "deny", "permissionDecisionReason": reason}


def context(event: str, text: str) -> dict[str, Any]:
    """Put a text before the model; on Stop as its next prompt."""
    if event == "stop":
        return {"decision": "block", "reason": text[:MAX_CONTEXT]}
    return {"additionalContext": text[:MAX_CONTEXT]}


def handlers(strict: bool, platform: Platform = "posix") -> dict[str, dict[str, Any]]:
    """What `install` puts into the hooks file: one handler per event."""
    shell = "powershell" if platform == "windows" else "bash"
    made: dict[str, dict[str, Any]] = {}
    for theirs, (ours, matcher) in EVENTS.items():
        blocks = strict and ours == "pre-tool-use"
        made[theirs] = {"type": "command", shell: call.command(NAME, ours, blocks, platform), "timeoutSec": 10}
        if matcher:
            made[theirs]["matcher"] = matcher
    return made


def is_ours(handler: Any) -> bool:
    """Whether a handler in the hooks file is one of `handlers`, of this or an earlier version."""
    return isinstance(handler, dict) and call.starts_gate(handler.get("bash", handler.get("powershell")))
