"""The team's configuration, `.claude/agent-sync.toml`, as a value.

It is tracked by git, so it judges the same everywhere: never the environment of whoever happens to look.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

WORKTREES = ("warn", "deny", "ignore")
PRE_PUSH = ("off", "warn", "enforce")
REACH = ("local", "remote")
UNCONFIRMED = ("refuse", "warn")
_MINUTES = ("stale_minutes", "offline_minutes", "ttl_minutes", "auto_lock_minutes")
_PATHS = ("ignore", "shared", "required", "remote")
MAX_MINUTES = 60 * 24 * 30
"""A lease of more than thirty days is a mistake."""


class Config(Struct, frozen=True, kw_only=True, gc=False):
    """Every setting with its default; `from_table` is the only way another value gets in."""

    auto_lock: bool = True
    """Edits take a short lock on their file by themselves."""
    worktrees: Literal["warn", "deny", "ignore"] = "warn"
    """What an edit of a path meets that is locked in another worktree."""
    stale_minutes: int = 15
    """Silence after which an agent whose process cannot be seen no longer protects its locks."""
    offline_minutes: int = 120
    """Silence after which it counts as gone."""
    ttl_minutes: int = 60
    """How long a lock lasts after its holder's last sign of life."""
    pre_push: Literal["off", "warn", "enforce"] = "warn"
    """What a push of paths meets that others hold."""
    reach: Literal["local", "remote"] = "local"
    """Whether all locks by hand are for all machines, where a remote was added."""
    unconfirmed: Literal["refuse", "warn"] = "refuse"
    """What becomes of such a lock when the remote cannot be reached: nothing, or one for this machine."""
    auto_lock_minutes: int = 10
    """How long a lock taken by an edit lasts after the last edit of that file."""
    ignore: tuple[str, ...] = ()
    """Patterns of paths that edits neither lock nor are refused on."""
    shared: tuple[str, ...] = ()
    """Patterns of paths that several agents may edit at a time: edits take shared leases."""
    required: tuple[str, ...] = ()
    """Patterns of paths that may be edited only under a lock taken by hand."""

    remote: tuple[str, ...] = ()
    """Patterns of paths whose locks by hand are for all machines."""

    def class_of(self, path: str) -> Literal["ignore", "shared", "required", "plain"]:
        """What the `[paths]` table says about a path; the stricter word wins."""
        for name in ("required", "shared", "ignore"):
            patterns: tuple[str, ...] = getattr(self, name)
            if patterns:
                from agentsync.core import globs

                if any(globs.matches(pattern, path) for pattern in patterns):
                    return name
        return "plain"


DEFAULT = Config()


def from_table(table: dict[str, Any]) -> tuple[Config, list[str]]:
    """The configuration that a parsed TOML table describes, and a warning for each entry that is not understood.

    Unknown keys and bad values warn and leave the default: a typing error must not stop anybody's work.
    """
    settings: dict[str, Any] = {}
    warnings: list[str] = []
    for key, value in table.items():
        if (
            (key == "auto_lock" and isinstance(value, bool))
            or (key == "worktrees" and value in WORKTREES)
            or (key == "pre_push" and value in PRE_PUSH)
            or (key == "reach" and value in REACH)
            or (key == "unconfirmed" and value in UNCONFIRMED)
            or (key in _MINUTES and type(value) is int and 0 < value <= MAX_MINUTES)
        ):
            settings[key] = value
        elif key == "paths" and isinstance(value, dict):
            for name, patterns in value.items():
                if name in _PATHS and isinstance(patterns, list) and all(_is_pattern(p) for p in patterns):
                    settings[name] = tuple(p + "**" if p.endswith("/") else p for p in patterns)
                else:
                    warnings.append(f"paths.{name} = {patterns!r} is not understood and is ignored")
        else:
            warnings.append(f"{key} = {value!r} is not understood and is ignored")
    return Config(**settings), warnings


def _is_pattern(value: object) -> bool:
    from agentsync.core import globs
    from agentsync.errors import UsageError

    if not isinstance(value, str) or not value:
        return False
    try:
        globs.parse(value)
    except UsageError:
        return False
    return True
