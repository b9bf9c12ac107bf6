"""Local, daemonless coordination for coding agents that share one repository.

    import agentsync

    board = agentsync.open(".", agent="backend")
    with board.locked("src/api.py", reason="new endpoint"):
        ...

Nothing heavy is loaded before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from agentsync.board import Board, open
    from agentsync.core.lease import Held, Presence
    from agentsync.core.locks import Blocked, Conflict, Granted, Released
    from agentsync.core.records import Agent, Decision, Event, Lock, Message, Task
    from agentsync.core.tasks import Changed, Refused
    from agentsync.errors import AgentSyncError, HeldError

_HOMES = {
    "Board": "agentsync.board",
    "open": "agentsync.board",
    "Held": "agentsync.core.lease",
    "Presence": "agentsync.core.lease",
    "Blocked": "agentsync.core.locks",
    "Conflict": "agentsync.core.locks",
    "Granted": "agentsync.core.locks",
    "Released": "agentsync.core.locks",
    "Agent": "agentsync.core.records",
    "Decision": "agentsync.core.records",
    "Event": "agentsync.core.records",
    "Lock": "agentsync.core.records",
    "Task": "agentsync.core.records",
    "Changed": "agentsync.core.tasks",
    "Refused": "agentsync.core.tasks",
    "Message": "agentsync.core.records",
    "AgentSyncError": "agentsync.errors",
    "HeldError": "agentsync.errors",
}

__all__ = [
    "Agent",
    "AgentSyncError",
    "Blocked",
    "Board",
    "Changed",
    "Conflict",
    "Decision",
    "Event",
    "Granted",
    "Held",
    "HeldError",
    "Lock",
    "Message",
    "Presence",
    "Refused",
    "Released",
    "Task",
    "__version__",
    "open",
]


if not TYPE_CHECKING:  # a checker knows the names above, and should complain about others

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'agentsync' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
