"""What can be read: the board, the agents, the log, the story of a path. Reading changes nothing and registers nobody.

All of it is other agents' words, so all of it is framed text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from agentsync.render.frame import framed

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.ops.session import Session

SCHEME = "agentsync://"

RESOURCES = {
    "board": "Agents, locks, open tasks, decisions: everything at a glance",
    "agents": "Who is on the board",
    "log": "The last 50 events, oldest first",
}

TEMPLATES = {"path/{+path}": "Who holds a path, and what happened to it lately"}

EVENTS = 50


def paths_of(uri: str) -> list[str]:
    """The path that a resource is about, if it is about one."""
    name = uri.removeprefix(SCHEME)
    return [unquote(name.removeprefix("path/"))] if name.startswith("path/") else []


def is_known(uri: str) -> bool:
    """Whether there is such a resource."""
    name = uri.removeprefix(SCHEME)
    return uri.startswith(SCHEME) and (name in RESOURCES or bool(paths_of(uri) and paths_of(uri)[0]))


def read(session: Session, uri: str) -> str:
    """The text of a resource that is known.

    Raises:
        AgentSyncError: The state cannot be used.
    """
    about = paths_of(uri)
    lines = _story(session, about[0]) if about else _READ[uri.removeprefix(SCHEME)](session)
    return framed(lines, width=400)


def _board(session: Session) -> list[str]:
    from agentsync.ops.status import overview
    from agentsync.render.status import table

    return table(overview(session), session.runtime.now(), colour=False)


def _agents(session: Session) -> list[str]:
    from agentsync.ops.status import overview
    from agentsync.render.status import agents

    return agents(overview(session), session.runtime.now()) or ["nobody is here"]


def _log(session: Session) -> list[str]:
    from agentsync.ops import feed
    from agentsync.render.feed import events

    found = feed.events(session, None, lambda _event: True, EVENTS)
    return events(found, session.runtime.now()) or ["nothing has happened yet"]


def _story(session: Session, path: str) -> list[str]:
    from agentsync.ops import locks
    from agentsync.render.locks import story

    return story(locks.explain(session, path), session.runtime.now())


_READ: dict[str, Callable[[Session], list[str]]] = {"board": _board, "agents": _agents, "log": _log}
