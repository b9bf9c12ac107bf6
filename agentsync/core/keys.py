"""Keys: where in the state directory a record lives, as a relative path with `/`.

One function per kind; nobody else spells these names. The directory is made for `ls`: the name says what the record is
about, and a lock's file can be found without a search by whoever knows the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from agentsync.core.paths import encode, encode_target

if TYPE_CHECKING:
    from agentsync.core.paths import Target
    from agentsync.core.records import Lock, Mode

FORMAT = "format.json"
INTENT = "intent.json"
GUARD = "guard"

REVISION_DIGITS = 12

Drawer = Literal["", "globs/", "shared/"]
"""Locks live in three drawers of a worktree: exclusive ones by name, patterns, and shared leases."""


def agent(agent_id: str) -> str:
    """`agents/<id>.json`."""
    return f"agents/{agent_id}.json"


def past_agent(agent_id: str) -> str:
    """`agents/past/<id>.json`: gone, and holding nothing."""
    return f"agents/past/{agent_id}.json"


def activity(agent_id: str) -> str:
    """`activity/<id>.ndjson`: edits reported by the gate, best effort."""
    return f"activity/{agent_id}.ndjson"


def inbox(agent_id: str) -> str:
    """`inbox/<agent>`: the directory of what an agent has not been told yet."""
    return f"inbox/{agent_id}"


def notice(agent_id: str, revision: int) -> str:
    """`inbox/<agent>/<rev>.json`."""
    return f"{inbox(agent_id)}/{revision:0{REVISION_DIGITS}}.json"


def installation(client: str, worktree: str | None) -> str:
    """`installed/<client>.json`, or `installed/<client>~<worktree>.json` for a linked worktree's own settings."""
    return f"installed/{client}{'~' + encode(worktree) if worktree else ''}.json"


def event(revision: int) -> str:
    """`log/<rev>.json`."""
    return f"log/{revision:0{REVISION_DIGITS}}.json"


def archive(first: int, last: int) -> str:
    """`archive/<first>-<last>.ndjson`."""
    return f"archive/{first:0{REVISION_DIGITS}}-{last:0{REVISION_DIGITS}}.ndjson"


def lock_home(worktree: str | None, everywhere: bool) -> str:
    """The directory of a worktree's locks, with a trailing slash. What binds everywhere lives with the main one's."""
    return "locks/" if worktree is None or everywhere else f"locks/worktrees/{encode(worktree)}/"


def lock(record: Lock) -> str:
    """The key of a lock's record."""
    drawer = drawer_of(record.scope, record.mode)
    name = encode_target(record.scope, record.path)
    suffix = f"~{record.holder}" if record.mode == "shared" else ""
    return f"{lock_home(record.worktree, record.everywhere)}{drawer}{name}{suffix}.json"


def exclusive_lock(target: Target) -> str:
    """The key of an exclusive lock on `target`."""
    drawer = drawer_of(target.scope, "exclusive")
    return f"{lock_home(target.worktree, target.everywhere)}{drawer}{encode_target(target.scope, target.path)}.json"


def drawer_of(scope: str, mode: Mode) -> Drawer:
    """Which drawer holds a lock. Shared leases come first: a shared pattern is one file per holder too."""
    if mode == "shared":
        return "shared/"
    return "globs/" if scope == "glob" else ""
