"""Who is calling, when clients are started in each other's shells. Processes and their parents are made up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import ManualRuntime, Player, World

from agentsync.ops import agents
from agentsync.ops.session import open_session
from agentsync.runtime import Runtime
from agentsync.store.locate import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTER = "11111111-1111-4111-8111-000000000001"
INNER = "22222222-2222-4222-8222-000000000002"
CLEARED = "33333333-3333-4333-8333-000000000003"

CLAUDE, CODEX, GEMINI = 100, 200, 300
"""Pids of clients."""


class Below(ManualRuntime):
    """A process whose ancestors are the given ones, the nearest first."""

    ancestry: tuple[tuple[int, str], ...] = ()

    def ancestors(self) -> Iterator[tuple[int, str]]:
        return iter(self.ancestry)

    def runs(self, pid: int, program: str) -> bool:
        return (pid, program) in self.ancestry


class Tree:
    """A repository, clients that run in it, and who was started by whom."""

    def __init__(self, world: World) -> None:
        self.world = world

    def below(self, *ancestry: tuple[int, str], **env: str) -> Player:
        """A command or hook that was started below some processes."""
        for pid, _ in ancestry:
            self.world.machine.start(pid)
        runtime = Below(self.world.clock, self.world.machine, env, str(self.world.root))
        runtime.ancestry = ancestry
        return Player(runtime, None)

    def starts(self, client: str, session: str, *ancestry: tuple[int, str], **env: str) -> str:
        """A client's session begins: its hook registers it."""
        runtime = self.below(*ancestry, **env).runtime
        return agents.register(open_session(runtime, client=client, session=session)).id


@pytest.fixture
def tree(world: World) -> Tree:
    return Tree(world)


CLAUDE_SAYS = {"CLAUDE_CODE_SESSION_ID": OUTER, "CLAUDE_PID": str(CLAUDE)}


def test_a_shell_without_a_variable_is_the_client_above_it(tree: Tree) -> None:
    gemini = tree.starts("gemini", INNER, (GEMINI, "gemini"))
    shell = tree.below((900, "bash"), (GEMINI, "gemini"))
    assert shell.id == gemini
    assert shell.session.me.source == f"the gemini process {GEMINI} that runs this"
    assert tree.below((900, "bash"), (901, "gemini")).id != gemini, "another process of that name is not on the board"


def test_a_client_inside_anothers_shell_wins_over_the_variable_it_inherited(tree: Tree) -> None:
    claude = tree.starts("claude", OUTER, (CLAUDE, "claude"), **CLAUDE_SAYS)
    gemini = tree.starts("gemini", INNER, (GEMINI, "gemini"), (901, "bash"), (CLAUDE, "claude"), **CLAUDE_SAYS)
    above = ((901, "bash"), (CLAUDE, "claude"))
    assert tree.below((900, "bash"), (GEMINI, "gemini"), *above, **CLAUDE_SAYS).id == gemini
    assert tree.below((902, "bash"), (CLAUDE, "claude"), **CLAUDE_SAYS).id == claude
    chosen = tree.below((900, "bash"), (GEMINI, "gemini"), *above, AGENT_SYNC_ID="bob", **CLAUDE_SAYS)
    assert chosen.id == "bob"


def test_once_the_inner_client_is_gone_the_variable_decides_again(tree: Tree) -> None:
    tree.starts("gemini", INNER, (GEMINI, "gemini"), (CLAUDE, "claude"), **CLAUDE_SAYS)
    claude = tree.starts("claude", OUTER, (CLAUDE, "claude"), **CLAUDE_SAYS)
    left_behind = tree.below((900, "bash"), (GEMINI, "gemini"), (CLAUDE, "claude"), **CLAUDE_SAYS)
    tree.world.machine.kill(GEMINI)
    assert left_behind.id == claude


@pytest.mark.parametrize("registered", [True, False])
def test_of_two_variables_the_nearer_clients_counts(tree: Tree, registered: bool) -> None:
    both = {**CLAUDE_SAYS, "CODEX_SESSION_ID": INNER}
    if registered:
        tree.starts("claude", OUTER, (CLAUDE, "claude"), **CLAUDE_SAYS)
        tree.starts("codex", INNER, (CODEX, "codex"), (CLAUDE, "claude"), **CLAUDE_SAYS)
    inside = tree.below((900, "sh"), (CODEX, "codex"), (901, "sh"), (CLAUDE, "claude"), **both)
    assert inside.id == f"codex-{INNER[-8:]}"
    outside = tree.below((900, "sh"), (CLAUDE, "claude"), (901, "sh"), (CODEX, "codex"), **both)
    assert outside.id == f"claude-{OUTER[-8:]}"


def test_after_clear_the_variable_names_the_new_session_of_the_same_process(tree: Tree) -> None:
    tree.starts("claude", OUTER, (CLAUDE, "claude"), **CLAUDE_SAYS)
    tree.starts("codex", INNER, (CODEX, "codex"))
    says = {"CLAUDE_CODE_SESSION_ID": CLEARED, "CLAUDE_PID": str(CLAUDE)}
    assert tree.below((900, "bash"), (CLAUDE, "claude"), **says).id == f"claude-{CLEARED[-8:]}"


def test_a_hook_without_a_session_takes_no_other_clients_name(tree: Tree) -> None:
    tree.starts("claude", OUTER, (CLAUDE, "claude"), **CLAUDE_SAYS)
    runtime = tree.below((CODEX, "codex"), (CLAUDE, "claude"), **CLAUDE_SAYS).runtime
    me = open_session(runtime, client="codex").me
    assert me.id.startswith("codex-")
    assert me.session is None


def test_the_process_of_a_session_is_its_client_and_no_shell_or_wrapper(tree: Tree, world: World) -> None:
    wrapper = (299, "node")
    tree.starts("gemini", INNER, (900, "sh"), (GEMINI, "gemini"), wrapper, (CLAUDE, "claude"))
    (agent,) = [p.agent for p in world.agent("x").session.store.state().presences()]
    assert agent.pid == GEMINI


# ---------------------------------------------------------------- programs
@pytest.mark.parametrize(
    ("start", "runs"),
    [
        (["codex", "exec"], "codex"),
        (["node", "{dir}/gemini.js", "-p", "x"], "gemini"),
        (["node", "--max-old-space-size=100", "{dir}/gemini"], "gemini"),
        (["bun", "{dir}/gemini.mjs"], "gemini"),
        (["codex-linux-sandbox", "codex"], None),
        (["cat", "{dir}/gemini.js"], None),
        (["node", "{dir}/other.js", "{dir}/gemini.js"], None),
    ],
)
def test_a_program_is_known_by_its_name_or_by_the_script_that_an_interpreter_runs(
    tmp_path: Path, start: list[str], runs: str | None
) -> None:
    (tmp_path / "stub").write_text("import sys; print(flush=True); sys.stdin.read()")
    program = tmp_path / start[0]
    program.symlink_to(sys.executable)
    words = [word.replace("{dir}", str(tmp_path)) for word in start[1:]]
    for word in words:
        if word.startswith(str(tmp_path)):
            Path(word).write_text((tmp_path / "stub").read_text())
    if start[0].startswith("codex") or start[0] == "cat":
        words = ["-c", (tmp_path / "stub").read_text(), *words]
    elif words[0].startswith("--"):
        words[0] = "-B"
    process = subprocess.Popen([program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ))
    try:
        assert process.stdout is not None
        process.stdout.readline()
        known = [name for name in ("codex", "gemini", "claude") if Runtime().runs(process.pid, name)]
        assert known == ([runs] if runs else [])
    finally:
        process.communicate()


def test_nobody_runs_in_a_process_that_is_gone() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert not Runtime().runs(process.pid, "true")


def test_the_place_of_a_command_elsewhere_is_not_the_sessions(tmp_path: Path) -> None:
    """Codex tells where a command will run; the session stays where it is."""
    from agentsync.clients import codex

    call = codex.parse(
        "pre-tool-use",
        {"session_id": INNER, "cwd": str(tmp_path), "tool_name": "Bash", "tool_input": {"command": "ls"}},
    )
    assert (call.cwd, call.workdir) == (None, str(tmp_path))
    assert locate(os.getcwd(), {}).root != str(tmp_path)


def test_of_several_conversations_in_one_process_the_one_heard_of_last_is_meant(tree: Tree) -> None:
    first = tree.starts("cursor", OUTER, (CLAUDE, "cursor"))
    tree.world.clock.advance(seconds=60)
    second = tree.starts("cursor", INNER, (CLAUDE, "cursor"))
    assert tree.below((900, "bash"), (CLAUDE, "cursor")).id == second
    tree.world.clock.advance(seconds=60)
    tree.world.agent(first).session.store.touch(first)
    assert tree.below((900, "bash"), (CLAUDE, "cursor")).id == first
