"""What is kept of a refusal: somebody could not have something, because of somebody else or of a rule."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from agentsync.core.records import Time

By = Literal["edit", "command", "lock", "commit"]


class Refusal(Struct, frozen=True, kw_only=True, gc=False):
    """One line of `refusals.ndjson`."""

    at: Time
    agent: str
    """Who was refused."""
    path: str
    """What it wanted, as locks name it."""
    worktree: str | None = None
    holder: str | None = None
    """Who held it; null when the team's configuration requires a lock by hand, and there was none."""
    by: By
    """What it wanted it for: an edit, a shell command, a lock by hand, a commit."""
