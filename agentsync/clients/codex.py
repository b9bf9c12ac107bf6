"""Codex CLI: its hooks file, its hook payloads, its answers.

Checked against the real client, version 0.169.0, by `tests/realclient/`. Facts that the code relies on:

- `apply_patch` names its files in the patch only, relative to `cwd`; calls made in code mode arrive the same way. Its
  shell tool is `Bash`, whose `cwd` is where the command will run: the hook itself runs where the session is.
- It takes a denial, and never an `allow`: that is an invalid answer, and the edit goes on.
- It lets a turn go on as often as Stop says so. Who asks must honour `stop_hook_active`.
- It runs a command by `sh` or the user's login shell with `-c`, in the directory of the session, and trusts it by its
  text: a hook whose command changes must be approved anew.
- A hook that exits 2 blocks; one that fails in any other way or takes too long does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agentsync.clients import call
from agentsync.clients.call import MAX_CONTEXT, Call
from agentsync.shell import patch

if TYPE_CHECKING:
    from agentsync.runtime import Platform

NAME = "codex"
TITLE = "Codex CLI"
SETTINGS = ".codex/hooks.json"
FOLDER = ".codex"
PROGRAM = "codex"
SHIPPED: str | None = None
FLAT = False
BASE: dict[str, Any] = {}

EVENTS: dict[str, tuple[str, str | None]] = {
    "SessionStart": ("session-start", None),
    "UserPromptSubmit": ("user-prompt-submit", None),
    "PreToolUse": ("pre-tool-use", "apply_patch|Bash"),
    "PostToolUse": ("post-tool-use", None),
    "Stop": ("stop", None),
    "SessionEnd": ("session-end", None),
}
"""The client's name of an event: ours, and the matcher."""

TIMEOUT = 10
"""Seconds."""

_OURS = {theirs: ours for theirs, (ours, _) in EVENTS.items()}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}

TELLS = frozenset(_THEIRS) - {"session-end"}
LIMITS = (
    "it skips these hooks, without a word, until you trust the project and approve each of them: "
    "start codex here and type /hooks, once, also after an installation that changed them",
    "a hook that takes more than ten seconds lets the edit through, with --strict too",
)


def parse(event: str | None, payload: dict[str, Any]) -> Call:
    """Read a payload; whatever has another shape than documented counts as absent."""
    found = call.parse(_OURS, (), ("bash",), event, payload)
    if found.command is not None:
        return replace(found, cwd=None, workdir=found.cwd)
    given = payload.get("tool_input")
    if payload.get("tool_name") == "apply_patch" and isinstance(given, dict):
        return replace(found, writes=patch.paths(call.text(given.get("command")) or "") or ())
    return found


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
    """Put a text before the model; on Stop as its next prompt."""
    if event == "stop":
        return {"decision": "block", "reason": text[:MAX_CONTEXT]}
    return {"hookSpecificOutput": {"hookEventName": _THEIRS.get(event, event), "additionalContext": text[:MAX_CONTEXT]}}


def handlers(strict: bool, platform: Platform = "posix") -> dict[str, dict[str, Any]]:
    """What `install` puts into the hooks file: one matcher group per event.

    Args:
        strict: Whether a call is blocked when the hook itself fails.
        platform: Where it will be run.
    """
    groups: dict[str, dict[str, Any]] = {}
    for theirs, (ours, matcher) in EVENTS.items():
        line = call.command(NAME, ours, strict and ours == "pre-tool-use", platform)
        group = {"hooks": [{"type": "command", "command": line, "timeout": TIMEOUT}]}
        groups[theirs] = {"matcher": matcher, **group} if matcher else group
    return groups


def is_ours(handler: Any) -> bool:
    """Whether a handler in the hooks file is one of `handlers`, of this or an earlier version."""
    return isinstance(handler, dict) and call.starts_gate(handler.get("command"))
