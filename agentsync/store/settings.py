"""Reading the team's configuration, `.claude/agent-sync.toml` of the main worktree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agentsync.core import policy

if TYPE_CHECKING:
    from agentsync.core.policy import Config

NAME = ".claude/agent-sync.toml"
MAX_BYTES = 1 << 16


def modified(base: str, root: str) -> float | None:
    """When the configuration was last changed, in seconds since the epoch; None when there is none."""
    for top in dict.fromkeys((root, base)):
        try:
            return os.stat(f"{top}/{NAME}").st_mtime
        except OSError:
            continue
    return None


def load(base: str, root: str) -> tuple[Config, list[str]]:
    """The configuration of a working tree, and what in it was not understood.

    It is tracked, so a linked worktree has its own copy; the main worktree's decides for all, and only where that has
    none (a bare repository has no tree) the worktree's own.
    """
    for top in dict.fromkeys((root, base)):
        path = f"{top}/{NAME}"
        try:
            if os.stat(path).st_size > MAX_BYTES:
                return policy.DEFAULT, [f"{path} is larger than {MAX_BYTES} bytes and is ignored"]
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue
        import tomllib  # 4 ms, and most repositories have no such file

        try:
            config, warnings = policy.from_table(tomllib.loads(data.decode("utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            return policy.DEFAULT, [f"{path} cannot be read ({error}): defaults apply"]
        return config, [f"{path}: {warning}" for warning in warnings]
    return policy.DEFAULT, []
