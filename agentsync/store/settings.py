"""Reading the team's configuration, `.claude/agent-sync.toml` of the main worktree."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from agentsync.core import policy
from agentsync.store.files import read_plain

if TYPE_CHECKING:
    from agentsync.core.policy import Config

NAME = ".claude/agent-sync.toml"
MAX_BYTES = 1 << 14
"""Bytes of a configuration. Of four times as many, the parser can be kept busy for longer than clients wait for us."""

MAX_WARNINGS = 8
"""Entries that were not understood and are named; it may be any file at all."""


def text(base: str, root: str) -> bytes | None:
    """The configuration that counts in a working tree, as it stands; None when there is none.

    It is tracked, so a linked worktree has its own copy; the main worktree's decides for all, and only where that has
    none (a bare repository has no tree) the worktree's own.

    Raises:
        OSError: There is one, and it cannot be read.
    """
    for top in dict.fromkeys((root, base)):
        path = f"{top}/{NAME}"
        found = read_plain(path, MAX_BYTES + 1)
        if found is not None:
            return found
        if os.path.exists(path):
            raise OSError(errno.EINVAL, "not a regular file", path)
    return None


def load(base: str, root: str) -> tuple[Config, list[str]]:
    """The configuration of a working tree, and what in it was not understood."""
    try:
        data = text(base, root)
    except OSError as error:
        return policy.DEFAULT, [f"{NAME} cannot be read ({error.strerror}): defaults apply"]
    if data is None:
        return policy.DEFAULT, []
    if len(data) > MAX_BYTES:
        return policy.DEFAULT, [f"{NAME} is larger than {MAX_BYTES} bytes and is ignored"]
    import tomllib  # 4 ms, and most repositories have no such file

    try:
        config, warnings = policy.from_table(tomllib.loads(data.decode("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        return policy.DEFAULT, [f"{NAME} cannot be read ({error}): defaults apply"]
    more = [f"and {len(warnings) - MAX_WARNINGS} more"] if len(warnings) > MAX_WARNINGS else []
    return config, [f"{NAME}: {warning[:200]}" for warning in (*warnings[:MAX_WARNINGS], *more)]
