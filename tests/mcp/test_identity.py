"""Which agent a connection is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from world import Clock, Machine, ManualRuntime

from agentsync.core.lease import Presence
from agentsync.core.records import Agent
from agentsync.ops.identity import Caller, Identity, known_client, of_connection
from agentsync.runtime import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSION = "0f0e0d0c-1111-4222-8333-0123456789ab"
CLAUDE = "claude-456789ab"


class Tree(ManualRuntime):
    """A machine on which this process, number 1000, has ancestors."""

    def __init__(self, *ancestors: tuple[int, str], **env: str) -> None:
        machine = Machine()
        for pid in (1000, *(pid for pid, _ in ancestors)):
            machine.start(pid, pid)
        super().__init__(Clock(), machine, env, "/")
        self._ancestors = ancestors

    @property
    def pid(self) -> int:
        return 1000

    def ancestors(self) -> Iterator[tuple[int, str]]:
        return iter(self._ancestors)


def on_board(agent_id: str, pid: int, client: str, runtime: Tree, ended: bool = False) -> Presence:
    agent = Agent(
        id=agent_id,
        name=agent_id,
        client=client,
        session=f"session of {agent_id}",
        pid=pid,
        pid_start=pid,
        boot_id=runtime.boot_id,
        pid_ns=runtime.pid_ns,
        created_at=runtime.now(),
        last_seen=runtime.now(),
    )
    return Presence(agent, "offline" if ended else "active", ended=ended)


def found(runtime: Tree, *there: Presence, name: str = "", session: str | None = None) -> Identity:
    client = "codex" if session else None
    return of_connection(
        runtime, list(there), Caller(own_id="word-abcd2345", name=name, client=client, session=session)
    )


def test_a_connection_of_nobody_is_an_agent_that_lives_as_long_as_this_process() -> None:
    me = found(Tree((900, "python")), name="word")
    assert (me.id, me.client, me.session, me.process) == ("word-abcd2345", "word", None, Process(1000, 1000))


def test_a_client_that_we_know_is_named_so() -> None:
    assert found(Tree(), name="opencode").client == "opencode"
    names = ["claude-code", "codex-mcp-client", "gemini-cli-mcp-client", "github-copilot-developer", "Cursor", "vscode"]
    assert [known_client(name) for name in names] == ["claude", "codex", "gemini", "copilot", "cursor", None]


def test_in_a_session_of_claude_it_is_that_session_with_the_clients_process() -> None:
    me = found(Tree((900, "claude"), CLAUDE_CODE_SESSION_ID=SESSION), name="claude-code")
    assert (me.id, me.session, me.process) == (CLAUDE, SESSION, Process(900, 900))
    assert found(Tree(CLAUDE_CODE_SESSION_ID=SESSION), name="mcp").id == CLAUDE, (
        "who does not say is believed the variable"
    )


def test_the_clients_own_pid_is_believed_before_its_ancestors() -> None:
    me = found(Tree((900, "claude"), (800, "node"), CLAUDE_CODE_SESSION_ID=SESSION, CLAUDE_PID="800"))
    assert me.process == Process(800, 800)


@pytest.mark.parametrize("wrapper", ["uvx", "sh", "timeout"])
def test_what_only_starts_the_server_is_not_the_client(wrapper: str) -> None:
    me = found(Tree((950, wrapper), (900, "node"), GEMINI_SESSION_ID="s1"), name="gemini-cli-mcp-client")
    assert (me.client, me.process) == ("gemini", Process(900, 900))


def test_after_clear_it_is_the_session_that_the_client_is_in_now() -> None:
    runtime = Tree((900, "claude"), CLAUDE_CODE_SESSION_ID=SESSION)
    old, new = on_board(CLAUDE, 900, "claude", runtime, ended=True), on_board("claude-2", 900, "claude", runtime)
    assert found(runtime, old, new).id == "claude-2"
    assert found(runtime, old).id == CLAUDE
    assert found(runtime, on_board("claude-3", 901, "claude", runtime)).id == CLAUDE, "another client's process"


def test_another_client_that_was_started_from_claudes_shell_is_not_claude() -> None:
    runtime = Tree((950, "opencode"), (900, "claude"), CLAUDE_CODE_SESSION_ID=SESSION)
    there = on_board(CLAUDE, 900, "claude", runtime)
    assert found(runtime, there, name="opencode").id == "word-abcd2345"


def test_a_registered_client_among_the_ancestors_is_it() -> None:
    runtime = Tree((950, "node"), (900, "opencode"))
    assert found(runtime, on_board("opencode-1", 900, "opencode", runtime), name="opencode").id == "opencode-1"


def test_a_session_that_comes_with_the_call_is_believed_first() -> None:
    runtime = Tree((900, "codex"), CLAUDE_CODE_SESSION_ID="another")
    me = found(runtime, name="codex-mcp-client", session=SESSION)
    assert (me.id, me.client, me.process) == ("codex-456789ab", "codex", Process(900, 900))


def test_a_chosen_id_is_kept_and_lives_with_this_process() -> None:
    me = found(Tree(AGENT_SYNC_ID="alice"), name="word", session=SESSION)
    assert (me.id, me.process) == ("alice", Process(1000, 1000))
