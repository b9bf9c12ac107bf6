"""OpenCode: a plugin file, `hooks/opencode.js`, that gives the gate payloads of our own making.

Checked against the real client, version 1.18.33, by `tests/realclient/test_opencode.py`. Facts that the code relies on:

- There are no shell hooks. A plugin that throws before a tool runs refuses it, and the model reads what was thrown.
- A session id (`ses_…`) is no UUID; the plugin hashes it as `id_of_session` does, for the gate, which cannot.
- A subagent is a session of its own with a parent; the plugin names the parent and adds `agent_id`.
- Nothing can hold a turn that ends, so mail comes with the next tool or prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agentsync.clients import call
from agentsync.clients.call import MAX_CONTEXT, Call
from agentsync.shell import patch

if TYPE_CHECKING:
    from agentsync.runtime import Platform

NAME = "opencode"
TITLE = "OpenCode"
SETTINGS = ".opencode/plugins/agent-sync.js"
FOLDER = ".opencode"
PROGRAM = "opencode"
SHIPPED: str | None = "hooks/opencode.js"
FLAT = False
BASE: dict[str, Any] = {}
MARK = "// The agent-sync plugin for OpenCode"

_PATCHING = frozenset({"apply_patch", "patch"})
_WRITING = frozenset({"edit", "write", "multiedit"})
_SHELLS = frozenset({"bash", "shell"})

TELLS = frozenset({"session-start", "user-prompt-submit", "pre-tool-use", "post-tool-use", "post-tool-batch"})
LIMITS = (
    "it has no hook at the end of a turn; mail comes with the next tool or prompt",
    "where .opencode/ exists it fetches its plugin package from npm as it starts, which takes a minute offline "
    "(npm_config_fetch_retries=0 shortens that)",
)


def parse(event: str | None, payload: dict[str, Any]) -> Call:
    """Read a payload; whatever has another shape than documented counts as absent."""
    found = call.parse({}, _WRITING, _SHELLS, event, payload)
    if call.text(payload.get("tool_name")) not in _PATCHING:
        return found
    given = payload.get("tool_input")
    text = call.text(given.get("command")) if isinstance(given, dict) else None
    return replace(found, writes=patch.paths(text or "") or ())


def deny(reason: str) -> dict[str, Any]:
    """Refuse the tool call: the plugin throws the reason."""
    return {"deny": reason}


def context(event: str, text: str) -> dict[str, Any]:
    """Put a text before the model: the plugin adds it to the prompt or to the tool's output."""
    return {"context": text[:MAX_CONTEXT]}


def handlers(strict: bool, platform: Platform = "posix") -> dict[str, dict[str, Any]]:
    """Nothing: the plugin file is all there is."""
    return {}


def is_ours(handler: Any) -> bool:
    """Whether the text in the plugin's place is the plugin, of this or an earlier version."""
    return isinstance(handler, str) and handler.startswith(MARK)
