"""What touched a span of time, as values: who was there, who held what when, who was in whose way, what was said.

`core.contention` makes an `Account` of the log; `core.hotspots`, the pages and tables read it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from agentsync.core.records import Decision, Message, Task, Time
from agentsync.core.refusals import Refusal


class Edit(Struct, frozen=True, kw_only=True, gc=False):
    """An agent wrote to a file."""

    at: Time
    agent: str
    path: str
    added: bool = False
    """It only added lines, with `append`."""


class Stay(Struct, frozen=True, kw_only=True, gc=False):
    """An agent on the board."""

    agent: str
    name: str
    role: str | None
    client: str
    since: Time
    until: Time | None = None
    """None = still there."""


class Hold(Struct, frozen=True, kw_only=True, gc=False):
    """A lock, from its grant to its end."""

    path: str
    worktree: str | None
    scope: str
    mode: str
    auto: bool
    holder: str
    reason: str | None
    task: str | None
    since: Time
    until: Time | None = None
    """None = still held."""
    ended: str | None = None
    """The verb of the event that ended it; `lapsed` when it had ended before that."""


class Wait(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody stood in line."""

    agent: str
    wants: Literal["locks", "task"]
    paths: tuple[str, ...]
    since: Time
    until: Time | None = None
    outcome: Literal["waiting", "granted", "gave up"] = "waiting"


class Breach(Struct, frozen=True, kw_only=True, gc=False):
    """A file changed under the lock of somebody else."""

    at: Time
    agent: str
    paths: tuple[str, ...]
    holders: tuple[str, ...]
    summary: str


class Step(Struct, frozen=True, gc=False):
    """A task got another status or owner."""

    at: Time
    status: str
    owner: str | None


class Flow(Struct, frozen=True, kw_only=True, gc=False):
    """A task and its way over the board."""

    task: Task
    steps: tuple[Step, ...]


class Account(Struct, frozen=True, kw_only=True, gc=False):
    """All that touched a span of time. What began before it, or goes on after it, is there with its own times."""

    since: Time
    until: Time
    events: int
    agents: tuple[Stay, ...]
    holds: tuple[Hold, ...]
    waits: tuple[Wait, ...]
    refusals: tuple[Refusal, ...]
    breaches: tuple[Breach, ...]
    edits: tuple[Edit, ...]
    tasks: tuple[Flow, ...]
    messages: tuple[Message, ...]
    decisions: tuple[Decision, ...]
