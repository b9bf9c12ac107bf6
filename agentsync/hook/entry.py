"""A hook call: payload in, the host's JSON out, exit 0.

Whatever goes wrong, the hook fails open: one line on stderr, exit code 0, and a record that `doctor` shows. Only
`--strict` turns a failure into exit code 1, which the client then takes as a block. There is no way to exit 2.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.clients import Adapter
    from agentsync.clients.call import Call
    from agentsync.ops.mail import When
    from agentsync.ops.session import Session

    Answer = dict[str, Any] | None


def main(arguments: Sequence[str]) -> int:
    """Answer one hook call.

    Args:
        arguments: The event (`pre-tool-use`, …; without one the payload names it), the client (without one Claude
            Code), and perhaps `--strict`.
    """
    strict = "--strict" in arguments
    words = [word for word in arguments if not word.startswith("-")]
    event = words[0] if words else None
    session: Session | None = None
    try:
        payload = _read()
        client = _client(words[1:], payload)
        call = client.parse(event, payload)
        session = _open(client, call)
        if _is_second(client, words, session):
            return 0
        handler = HANDLERS.get(call.event)
        if handler is None:
            raise ValueError(f"no such hook event: {call.event[:80]!r}")
        handler(Asked(client, session, call))
        _upkeep(session, call)
    except Exception as error:  # an agent must never be stopped by a defect of ours
        _report(event, error, session)
        return 1 if strict else 0
    if session.store.warnings:
        from agentsync.render.frame import escape

        for warning in session.store.warnings:
            _say(escape(warning, 300))
    return 0


class Asked:
    """One hook call: who asks, for which session, about what."""

    def __init__(self, client: Adapter, session: Session, call: Call) -> None:
        self.client = client
        self.session = session
        self.call = call

    def tell(self, text: str) -> None:
        """Put a text before the model."""
        if text:
            _print(self.client.context(self.call.event, text))

    @property
    def can_tell(self) -> bool:
        """Whether the client takes a text at this event, and shows it to the agent itself."""
        return self.call.event in self.client.TELLS and not self.call.is_subagent


def _client(words: Sequence[str], payload: dict[str, Any]) -> Adapter:
    """Whose hook this is. Copilot CLI and Cursor run Claude Code's hooks too, each under its own name."""
    from agentsync import clients

    named = words[0] if words else "claude"
    if named not in clients.NAMES:
        raise ValueError(f"no such client: {named[:80]!r}")
    return clients.get(_guest(payload) or named if named == "claude" else named)


def _guest(payload: dict[str, Any]) -> str | None:
    """The other client that runs a hook in Claude Code's settings.

    By what it sends. A variable alone proves nothing: Claude Code, which always names a transcript and never a time,
    may have been started from its shell.
    """
    if "conversation_id" in payload:
        return "cursor"
    if os.environ.get("COPILOT_CLI") and ("timestamp" in payload or "transcript_path" not in payload):
        return "copilot"
    return None


def _is_second(client: Adapter, words: Sequence[str], session: Session) -> bool:
    """Whether a guest of Claude Code's settings has hooks of its own, which tell us the same."""
    if client.NAME == "claude" or words[1:]:
        return False
    from agentsync.ops.install import is_installed

    return is_installed(session, client)


def _read() -> dict[str, Any]:
    import msgspec

    data = sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")  # Cursor on Windows begins with this mark
    payload = msgspec.json.decode(data) if data.strip() else {}
    if not isinstance(payload, dict):
        raise TypeError("the payload is not an object")
    return payload


def _open(client: Adapter, call: Call) -> Session:
    from agentsync.ops.session import HOOK_TIMEOUT, open_session
    from agentsync.runtime import Runtime

    runtime = Runtime(cwd=call.cwd)
    return open_session(runtime, client=client.NAME, session=call.session, owns_signals=True, timeout=HOOK_TIMEOUT)


def _print(answer: Answer) -> None:
    """Hand the answer over; whoever calls knows that it has left when this returns.

    Past Python's own buffers: what is left in them when the client has hung up makes the interpreter exit with 120.
    """
    if answer is not None:
        if sys.stdout is None:
            raise BrokenPipeError("standard output is closed")  # by now its number is that of another file, of ours
        import msgspec

        left = memoryview(msgspec.json.encode(answer) + b"\n")
        while left:
            left = left[os.write(1, left) :]


# ---------------------------------------------------------------- events
def _session_start(asked: Asked) -> None:
    from agentsync.ops import agents, care, status
    from agentsync.render.status import greeting

    session = asked.session
    agents.register(session)
    care.refresh(session)
    _export_session(asked)
    if session.runtime.env.get("AGENT_SYNC_AUTO_CLAIM") == "1":
        from agentsync.ops import tasks

        if tasks.mine(session) is None:
            tasks.claim_next(session, confirm=False)
    board = status.overview(session)
    asked.tell(greeting(board, session.runtime.now()))


def _export_session(asked: Asked) -> None:
    """Let the shell of the session know which one it is, in the words of the client itself.

    Not as AGENT_SYNC_ID: another client started from that shell would inherit it and pass for this agent.
    """
    session, name = asked.session, asked.call.session
    path = session.runtime.env.get("CLAUDE_ENV_FILE")
    if path and name and asked.client.NAME == "claude" and "'" not in name and "\n" not in name:
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"export CLAUDE_CODE_SESSION_ID='{name}'\n")
        except OSError as error:
            session.store.warnings.append(f"the shell will not know its session: {path}: {error.strerror}")


def _user_prompt_submit(asked: Asked) -> None:
    session = asked.session
    if not session.store.touch(session.me.id) and session.store.exists():
        from agentsync.ops import agents

        agents.heartbeat(session)  # Copilot calls this while its hook of the start runs, and sometimes before
    _deliver(asked, "prompt")


def _pre_tool_use(asked: Asked) -> None:
    from agentsync.errors import UsageError
    from agentsync.ops import edits

    session, writes, command = asked.session, asked.call.writes, asked.call.command
    warns = "pre-tool-use" in asked.client.TELLS
    try:
        if command:
            from agentsync.ops import commands

            verdict = commands.before(session, command, asked.call.workdir, warns)
        elif writes:
            verdict = edits.before(session, *writes, warns=warns)
        else:
            return
    except UsageError:
        return  # not a path; the tool will say so itself
    if isinstance(verdict, edits.Refused):
        from agentsync.render import locks

        path, now = _as_typed(session, verdict.path), session.runtime.now()
        _print(asked.client.deny(locks.denial(path, verdict.blocked, now, verdict.how)))
        edits.note_refusal(session, verdict)
        return
    if warns:
        said = commands.sweeping(session, command) if command else ""
        if verdict.warn:
            from agentsync.render import locks

            said = "\n".join([locks.elsewhere(verdict.warn, session.runtime.now()), *([said] if said else [])])
        asked.tell(said)


def _as_typed(session: Session, path: str) -> str:
    """A path as the agent would type it where it is."""
    relative = os.path.relpath(os.path.join(session.runtime.cwd, path), session.runtime.cwd)
    return path if relative.startswith("..") else relative


def _post_tool_use(asked: Asked) -> None:
    from agentsync.errors import UsageError
    from agentsync.ops import edits
    from agentsync.render import locks

    session, said = asked.session, ""
    if asked.call.command:
        from agentsync.ops import commands

        session.store.touch(session.me.id)
        damage = commands.after(session, asked.call.command, asked.call.workdir)
        said = locks.damage(damage, session.runtime.now()) if damage else ""
    elif asked.call.writes:
        try:
            breach = edits.after(session, *asked.call.writes)
            warn = () if "pre-tool-use" in asked.client.TELLS else edits.warnings(session, *asked.call.writes)
        except UsageError:
            breach, warn = None, ()
        if breach is not None:
            said = locks.breach(breach.blocked, session.runtime.now())
        elif warn:
            said = locks.elsewhere(warn, session.runtime.now())
    _deliver(asked, "turn", said)


def _post_tool_batch(asked: Asked) -> None:
    asked.session.store.touch(asked.session.me.id)
    _deliver(asked, "turn")


def _stop(asked: Asked) -> None:
    asked.session.store.touch(asked.session.me.id)
    if not asked.call.stop_hook_active:
        _deliver(asked, "stop")


def _session_end(asked: Asked) -> None:
    from agentsync.ops import agents

    release_all = asked.session.runtime.env.get("AGENT_SYNC_AUTO_RELEASE_LOCKS") == "1"
    agents.end(asked.session, release_all, continues=asked.call.reason in ("clear", "resume"))


def _ping(_asked: Asked) -> None:
    """Prove to `doctor` that the installed hook reaches this far."""
    from agentsync import __version__

    _print({"kind": "pong", "version": __version__})


HANDLERS: dict[str, Callable[[Asked], None]] = {
    "session-start": _session_start,
    "user-prompt-submit": _user_prompt_submit,
    "pre-tool-use": _pre_tool_use,
    "post-tool-use": _post_tool_use,
    "post-tool-batch": _post_tool_batch,
    "stop": _stop,
    "session-end": _session_end,
    "ping": _ping,
}


def _deliver(asked: Asked, when: When, said: str = "") -> None:
    """Tell what waits for the agent, after what this event has to say itself."""
    if not asked.can_tell:
        asked.tell(said)
        return  # mail waits: for the parent of a subagent, or for an event at which the client listens
    from agentsync.clients.call import MAX_CONTEXT
    from agentsync.ops import mail
    from agentsync.render.messages import room, size, told

    session = asked.session
    me, now = session.me.id, session.runtime.now()
    free = room(MAX_CONTEXT - len(said))
    with mail.delivery(session, when, lambda message: size(message, me, now), free) as delivery:
        parts = [said, told(delivery, me, now)]
        asked.tell("\n".join(part for part in parts if part))


# ---------------------------------------------------------------- around it
def _upkeep(session: Session, call: Call) -> None:
    if call.writes and session.store.has_settings:
        from agentsync.ops import care

        care.refresh_if_stale(session)
    if session.store.due_for_compaction or (call.event != "pre-tool-use" and session.store.needs_care):
        from agentsync.ops import care

        care.after_answering(session)


def _report(event: str | None, error: Exception, session: Session | None) -> None:
    """One line on stderr, and one for `doctor`."""
    try:
        from agentsync.errors import AgentSyncError
        from agentsync.ops import care
        from agentsync.render.frame import escape

        what = error.message if isinstance(error, AgentSyncError) else f"{type(error).__name__}: {error}"
        line = f"hook {escape(event or '?', 40)} failed open: {escape(what, 300)}"
        _say(line)
        care.note_failure(session or _open_here(), line)
    except Exception:  # the report must not be what blocks an agent
        _say("a hook failed open, and so did its report")


def _open_here() -> Session:
    """Where we are, when the payload did not tell."""
    from agentsync.ops.session import open_session
    from agentsync.runtime import Runtime

    return open_session(Runtime(), client="claude", owns_signals=True)


def _say(line: str) -> None:
    if sys.stderr is None:
        return  # closed when we began: its number may be that of a file of ours
    try:
        os.write(2, f"agent-sync: {line}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody listens
