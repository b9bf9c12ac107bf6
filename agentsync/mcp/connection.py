"""Which agent a call comes from, and which repository it is about. Both are found out anew with every call.

The agent: see `ops.identity.of_connection`. The repository: the `repo` argument, else the first absolute path among the
arguments when it lies elsewhere, else the client's first root (the one around the working directory, if there is one),
else the working directory. Relative paths are relative to it.

A connection that is no host's session is an agent that lives as long as this process: `goodbye` takes it off the board
and lets go of all it holds; if there is no time for that, the dead process is the proof that frees it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from agentsync.errors import AgentSyncError, UsageError
from agentsync.ops.identity import Caller, known_client
from agentsync.ops.session import HOOK_TIMEOUT, Session, open_connection, resolve_targets
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CODEX_META = "x-codex-turn-metadata"
"""Where Codex tells, with each call, which session it comes from."""

_SHORT = 20
"""Characters of a client's name that become part of an id."""


class Origin(Struct, frozen=True, kw_only=True, gc=False):
    """What the protocol tells about where a call comes from."""

    client_name: str = ""
    meta: dict[str, Any] = {}
    roots: tuple[str, ...] = ()
    """URIs."""


class Connection:
    """One client, from its first word to its last. Calls may be made from several threads."""

    def __init__(self, runtime: Runtime, timeout: float) -> None:
        self.runtime = runtime
        self.timeout = timeout
        """Seconds that a call waits for the guard."""
        self._number = runtime.random_id(8)
        self._told: str | None = None
        self._visited: dict[str, Session] = {}
        self._mutex = threading.Lock()

    def open(self, origin: Origin, repo: str | None = None, paths: Sequence[str] = ()) -> Session:
        """The session that a call is made in.

        Args:
            origin: Where it comes from.
            repo: The repository, if the call names one.
            paths: The paths that it is about, as given.

        Raises:
            UsageError: They lie in different repositories, or cannot be paths.
        """
        base = _base(origin.roots, self.runtime.cwd)
        cwd = _named(repo, base) if repo else _elsewhere(paths, base) or base
        session = open_connection(Runtime(self.runtime.env, cwd), self._caller(origin), self.timeout)
        if paths:
            session, _ = resolve_targets(session, paths)
        with self._mutex:
            self._visited[f"{session.me.id} {session.place.state}"] = session
        return session

    def _caller(self, origin: Origin) -> Caller:
        told = _codex_session(origin.meta)
        with self._mutex:
            self._told = told or self._told  # not every request carries it
            told = self._told
        own_id = f"{known_client(origin.client_name) or _slug(origin.client_name)}-{self._number}"
        client = "codex" if told else None
        return Caller(own_id=own_id, name=origin.client_name, client=client, session=told)

    def goodbye(self) -> list[str]:
        """End the agents that this process was; what was a host's session goes on without us.

        Returns:
            What went wrong: another process may find them dead instead.
        """
        from agentsync.ops import agents

        with self._mutex:
            visited = list(self._visited.values())
        problems = []
        for session in visited:
            try:
                session.timeout = HOOK_TIMEOUT
                if session.store.exists() and agents.is_own(session):
                    agents.end(session, release_all=True)
            except (AgentSyncError, OSError) as error:
                problems.append(str(error))
        return problems


def _codex_session(meta: Mapping[str, Any]) -> str | None:
    turn = meta.get(CODEX_META)
    found = turn.get("session_id") if isinstance(turn, dict) else None
    return found if isinstance(found, str) and found else None


def _slug(name: str) -> str:
    words = "".join(char if char.isascii() and char.isalnum() else " " for char in name.lower()).split()
    return "-".join(words)[:_SHORT].strip("-") or "mcp"


def _base(roots: Iterable[str], cwd: str) -> str:
    """The directory that the client works in."""
    found = [path for path in map(_path, roots) if path and os.path.isdir(path)]
    real = os.path.realpath(cwd)
    around = (path for path in found if f"{real}/".startswith(f"{os.path.realpath(path).rstrip('/')}/"))
    return next(around, found[0] if found else cwd)


def _path(uri: str) -> str | None:
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" and "%00" not in parts.path else None


def _named(repo: str, base: str) -> str:
    path = os.path.join(base, os.path.expanduser(repo))
    if "\0" in path or not os.path.isdir(path):
        raise UsageError(f"{repo[:200]!r} is not a directory here", "give the absolute path of the repository")
    return path


def _elsewhere(paths: Iterable[str], base: str) -> str | None:
    """Where the first absolute path leads, when that is outside of `base`."""
    first = next((path for path in paths if os.path.isabs(path) and "\0" not in path), None)
    if first is None or f"{os.path.realpath(first)}/".startswith(f"{os.path.realpath(base).rstrip('/')}/"):
        return None
    folder = first
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder
