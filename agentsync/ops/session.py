"""A session: one agent at one store. Every operation takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core import keys
from agentsync.errors import UnusableError, UsageError
from agentsync.ops.identity import Caller, Identity, identify, of_connection
from agentsync.store import settings
from agentsync.store.guard import CLI_TIMEOUT, HOOK_TIMEOUT
from agentsync.store.locate import Place, locate
from agentsync.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.paths import Target
    from agentsync.runtime import Runtime
    from agentsync.store.files import Files


__all__ = [
    "CLI_TIMEOUT",
    "HOOK_TIMEOUT",
    "Session",
    "open_connection",
    "open_place",
    "open_session",
    "resolve_targets",
    "resource",
]


class Session:
    """An agent (`me`), the machine (`runtime`), and the store of the place it works in."""

    def __init__(
        self, runtime: Runtime, place: Place, me: Identity, store: Store, timeout: float = CLI_TIMEOUT
    ) -> None:
        self.runtime = runtime
        self.place = place
        self.me = me
        self.store = store
        self.timeout = timeout
        """Seconds to wait for the guard."""

    def at(self, place: Place) -> Session:
        """The same agent at another place: a linked worktree of this repository, or another repository."""
        if place == self.place:
            return self
        if place.state == self.place.state:
            return Session(self.runtime, place, self.me, self.store, self.timeout)
        store = _store(self.runtime, place, None, self.store.owns_signals)
        return Session(self.runtime, place, self.me, store, self.timeout)

    def is_alone(self) -> bool:
        """Whether nobody else is on the board, so that nobody else can hold anything."""
        return [n for n in self.store.files.names("agents") if n.endswith(".json")] == [f"{self.me.id}.json"]

    def is_registered(self) -> bool:
        """Whether this agent is on the board."""
        return self.store.files.status(keys.agent(self.me.id)) is not None


def open_session(
    runtime: Runtime,
    *,
    client: str | None = None,
    session: str | None = None,
    files: Files | None = None,
    owns_signals: bool = False,
    timeout: float = CLI_TIMEOUT,
) -> Session:
    """The session of whoever runs this, at the store of the runtime's working directory. Creates nothing.

    Args:
        runtime: The machine.
        client: The hook's client, when a hook calls.
        session: The hook's session id.
        files: File primitives, for tests.
        owns_signals: Whether this process is ours alone.
        timeout: Seconds to wait for the guard.

    Raises:
        UsageError: `AGENT_SYNC_ID` cannot be an agent's id.
    """
    place = locate(runtime.cwd, runtime.env)
    store = _store(runtime, place, files, owns_signals)
    named = bool(runtime.env.get("AGENT_SYNC_ID")) or bool(session)
    try:
        presences = None if named or not store.exists() else store.state().presences()
    except UnusableError:
        presences = None  # whoever needs the store will meet the error; `doctor` explains it
    me = identify(runtime, presences, client, session)
    return Session(runtime, place, me, store, timeout)


def open_connection(runtime: Runtime, caller: Caller, timeout: float = CLI_TIMEOUT) -> Session:
    """The session of a connection to the MCP server, at the store of the runtime's working directory.

    Raises:
        UsageError: `AGENT_SYNC_ID` cannot be an agent's id.
    """
    place = locate(runtime.cwd, runtime.env)
    store = _store(runtime, place, None, owns_signals=False)
    try:
        presences = store.state().presences() if store.exists() else []
    except UnusableError:
        presences = []  # whoever needs the store will meet the error
    return Session(runtime, place, of_connection(runtime, presences, caller), store, timeout)


def open_place(runtime: Runtime, me: Identity, owns_signals: bool = False) -> Session:
    """The session of somebody whose identity is known, at the store of the runtime's working directory."""
    place = locate(runtime.cwd, runtime.env)
    return Session(runtime, place, me, _store(runtime, place, None, owns_signals))


def _store(runtime: Runtime, place: Place, files: Files | None, owns_signals: bool) -> Store:
    config, warnings = settings.load(place.base, place.root)
    store = Store(place, runtime, config, files=files, owns_signals=owns_signals)
    store.warnings += warnings
    return store


def resolve_targets(
    session: Session, paths: Sequence[str], resources: Sequence[str] = (), everywhere: bool = False
) -> tuple[Session, tuple[Target, ...]]:
    """What typed paths mean, and the session at the store that judges them.

    Raises:
        UsageError: A path cannot be one, or the paths belong to different repositories.
    """
    from agentsync.store.locate import resolve

    targets: list[Target] = []
    places: dict[str, Place] = {}
    for typed in paths:
        if typed.startswith("@") and "/" not in typed:
            targets.append(resource(typed[1:]))
            continue
        place, target = resolve(typed, session.runtime.cwd, session.place, session.runtime.env, everywhere)
        places[place.state] = place
        targets.append(target)
    targets += [resource(name) for name in resources]
    if len(places) > 1:
        roots = " and ".join(sorted(place.root for place in places.values()))
        raise UsageError(f"these paths belong to different repositories: {roots}", "name them in separate commands")
    if not targets:
        raise UsageError("nothing to lock was named", "name a file, a directory, a pattern or @resource")
    return session.at(next(iter(places.values()), session.place)), tuple(dict.fromkeys(targets))


def resource(name: str) -> Target:
    """The target of a named resource.

    Raises:
        UsageError: The name is empty, too long, or has characters that do not print.
    """
    from agentsync.core.paths import Target

    name = name.removeprefix("@")
    if not 0 < len(name) <= 64 or not name.isprintable() or " " in name:
        raise UsageError(f"{name[:80]!r} cannot name a resource", "1 to 64 printable characters without spaces")
    return Target(scope="resource", path="@" + name)
