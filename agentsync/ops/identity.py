"""Who is calling.

In this order: `AGENT_SYNC_ID`; the session id of the hook's payload; the nearest client among the caller's ancestor
processes, if it is on the board and not of a kind that names its session by a variable; the variable by which a client
tells the commands it runs; an id of the terminal session. Hooks and commands of one session thus resolve to one agent,
and two sessions, two terminals included, never share one.

A variable is inherited: a client that was started in another one's shell sees that one's, and so do the commands it
runs. Hence the ancestors come first, and only among clients of one kind does the variable decide: after `/clear` it is
true, and the record of the process is not yet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core.agents import RESERVED, Facts
from agentsync.core.paths import is_valid_id
from agentsync.errors import UsageError
from agentsync.store.locate import branch_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentsync.core.lease import Presence
    from agentsync.runtime import Process, Runtime
    from agentsync.store.locate import Place

SESSION_VARIABLES = (
    ("CLAUDE_CODE_SESSION_ID", "claude"),
    ("CODEX_SESSION_ID", "codex"),
    ("COPILOT_AGENT_SESSION_ID", "copilot"),
    ("GEMINI_SESSION_ID", "gemini"),
    ("OPENCODE_SESSION_ID", "opencode"),
)
"""Variables by which a client tells the commands it runs which session they belong to. Gemini tells its hooks only;
OpenCode's is set by our plugin."""

PID_VARIABLES = {"claude": "CLAUDE_PID", "opencode": "OPENCODE_PID"}
"""Variables that hold the client's own pid."""

CLIENTS = ("claude", "codex", "gemini", "opencode", "copilot", "cursor")
"""Clients by the word that is in the name by which each of them introduces itself to a server."""

_WRAPPERS = frozenset({"sh", "bash", "dash", "zsh", "fish", "env", "timeout", "uv", "uvx", "pipx"})
"""Programs that start a server for somebody else, and end when it does."""

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Identity(Struct, frozen=True, kw_only=True, gc=False):
    """An agent's id and how it was found."""

    id: str
    source: str
    """What named it, for people: a variable, the hook's payload, an ancestor process, the terminal."""
    client: str = "shell"
    session: str | None = None
    process: Process | None = None
    """The process whose life is the agent's, where that is known already; else it is looked for."""


class Caller(Struct, frozen=True, kw_only=True, gc=False):
    """What the other side of a connection says about itself."""

    own_id: str
    """The agent's id if it belongs to no session that we can name."""
    name: str = ""
    """The client's, in its own words."""
    client: str | None = None
    """The client of the session that was told."""
    session: str | None = None
    """The session that a call belongs to, where the client tells it with each call."""


def id_of_session(client: str, session: str) -> str:
    """`<client>-<last 8>` of a UUID; of anything else, 8 hex digits of its SHA-256: it must be a safe file name."""
    if _UUID.fullmatch(session):
        return f"{client}-{session[-8:].lower()}"
    import hashlib

    return f"{client}-{hashlib.sha256(session.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def identify(
    runtime: Runtime, presences: list[Presence] | None = None, client: str | None = None, session: str | None = None
) -> Identity:
    """Find out who is calling.

    Args:
        runtime: The machine.
        presences: Agents on the board, to look for among the caller's ancestors; None = do not look.
        client: The hook's client, when a hook calls.
        session: The session id of the hook's payload.

    Raises:
        UsageError: `AGENT_SYNC_ID` cannot be an agent's id.
    """
    source = "the hook's session_id"
    chosen = runtime.env.get("AGENT_SYNC_ID")
    if not session:
        stated = {n: v for v, n in SESSION_VARIABLES if runtime.env.get(v) and client in (None, n)}
        mates = [p for p in presences or [] if client in (None, p.agent.client)]
        nearest = None if chosen else _nearest(runtime, mates, stated)
        if isinstance(nearest, Identity):
            return nearest
        kind = nearest or next(iter(stated), None)
        if kind is not None:
            source = stated[kind]
            client, session = client or kind, runtime.env[source]
    if chosen:
        if chosen in RESERVED:
            raise UsageError(f"AGENT_SYNC_ID={chosen!r} cannot be an agent's id: it is reserved", "choose another")
        if not is_valid_id(chosen):
            raise UsageError(
                f"AGENT_SYNC_ID={chosen[:80]!r} cannot be an agent's id",
                "use 1 to 64 of a-z 0-9 . _ - , beginning and ending with a letter or digit",
            )
        return Identity(id=chosen, source="AGENT_SYNC_ID", client=client or "shell", session=session or None)
    if session:
        client = client or "shell"
        return Identity(id=id_of_session(client, session), source=source, client=client, session=session)
    return _terminal(runtime, client)


def of_connection(runtime: Runtime, presences: list[Presence], caller: Caller) -> Identity:
    """Find out which agent a connection is.

    A client that names itself is believed over variables and ancestors of another client: it may have been started from
    that one's shell.

    Raises:
        UsageError: `AGENT_SYNC_ID` cannot be an agent's id.
    """
    own = runtime.process(runtime.pid)
    if runtime.env.get("AGENT_SYNC_ID"):
        return replace(identify(runtime), process=own)
    says = known_client(caller.name)
    if caller.session:
        me = identify(runtime, client=caller.client, session=caller.session)
        return replace(me, source="the session id that came with the call", process=_host_process(me, runtime))
    for variable, client in SESSION_VARIABLES:
        session = runtime.env.get(variable)
        if session and says in (None, client):
            me = Identity(id=id_of_session(client, session), source=variable, client=client, session=session)
            me = replace(me, process=_host_process(me, runtime))
            return _present_session(me, runtime, presences) or me
    found = _nearest(runtime, [p for p in presences if says in (None, p.agent.client)], {})
    if isinstance(found, Identity):
        return found
    client = says or caller.own_id.rpartition("-")[0]
    return Identity(id=caller.own_id, source="this connection", client=client, process=own)


def known_client(name: str) -> str | None:
    """The client that calls itself by some name, if we know it."""
    return next((client for client in CLIENTS if client in name.lower()), None)


def _present_session(me: Identity, runtime: Runtime, presences: list[Presence]) -> Identity | None:
    """The session that the client is in now: after `/clear` it is another one than when it started the server."""
    for presence in presences:
        agent = presence.agent
        mine = me.process is not None and (agent.pid, agent.pid_start) == (me.process.pid, me.process.start)
        if mine and agent.boot_id == runtime.boot_id and agent.client == me.client and not presence.ended:
            return replace(me, id=agent.id, session=agent.session)
    return None


def _host_process(me: Identity, runtime: Runtime) -> Process | None:
    """The client that runs the server: as for its hooks, else the nearest ancestor that does more than pass it on."""
    process = _client_process(me, runtime)
    if process is not None:
        return process
    for pid, program in runtime.ancestors():
        if program not in _WRAPPERS:
            return runtime.process(pid)
    return None


def _nearest(runtime: Runtime, presences: list[Presence], stated: Mapping[str, str]) -> Identity | str | None:
    """The nearest client among the caller's ancestors: one on the board, or the kind of one that set a variable.

    Nobody is looked for where the answer is clear: the board has no processes but those of the one kind stated.
    """
    in_order = sorted(presences, key=lambda p: (not p.ended, p.agent.last_seen))
    here = [p.agent for p in in_order if p.agent.pid is not None and p.agent.boot_id == runtime.boot_id]
    by_pid = {agent.pid: agent for agent in here}  # of one process: who has not ended, and was heard of last
    if len(stated) < 2 and all(agent.client in stated for agent in here):
        return None
    for pid, _ in runtime.ancestors():
        agent = by_pid.get(pid)
        if agent is not None and runtime.life_of(pid, agent.pid_start, agent.boot_id, agent.pid_ns) == "alive":
            if agent.client is not None and agent.client in stated:
                return agent.client
            source = f"the {agent.client} process {pid} that runs this"
            return Identity(id=agent.id, source=source, client=agent.client or "shell", session=agent.session)
        if len(stated) > 1 and (kind := next((kind for kind in stated if runtime.runs(pid, kind)), None)):
            return kind
    return None


def _terminal(runtime: Runtime, client: str | None) -> Identity:
    import hashlib

    digest = hashlib.sha256(runtime.terminal_key().encode()).hexdigest()[:8]
    client = client or "shell"
    return Identity(id=f"{client}-{digest}", source="this terminal session", client=client)


def facts(me: Identity, runtime: Runtime, place: Place, name: str | None = None, role: str | None = None) -> Facts:
    """What there is to know of the caller for its record."""
    process = _client_process(me, runtime)
    return Facts(
        id=me.id,
        name=name,
        role=role,
        client=me.client if me.session or me.client != "shell" else None,
        session=me.session,
        cwd=text(runtime.cwd),
        worktree=place.worktree,
        branch=text(branch_of(place.base)),
        host=runtime.host,
        pid=process.pid if process else None,
        pid_start=process.start if process else None,
        boot_id=runtime.boot_id if process else None,
        pid_ns=runtime.pid_ns if process else None,
    )


def text(name: str | None) -> str | None:
    """A name from the disk as Unicode; bytes that are none become question marks."""
    return None if name is None else name.encode("utf-8", "replace").decode("utf-8")


def _client_process(me: Identity, runtime: Runtime) -> Process | None:
    """The long-lived client: by its own variable, else the nearest ancestor that runs it. Never a shell in between."""
    if me.process is not None or not me.session:
        return me.process
    stated = runtime.env.get(PID_VARIABLES.get(me.client, ""), "")
    if stated.isascii() and stated.isdigit() and (process := runtime.process(int(stated))) is not None:
        return process
    for pid, _ in runtime.ancestors():
        if runtime.runs(pid, me.client):
            return runtime.process(pid)
    return None
