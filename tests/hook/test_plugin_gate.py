"""The gate as part of Claude Code's plugin: the working tree comes from the client, and nothing is done twice."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hook.test_gate import EVENTS, GATE, MARK, SESSION, SHELLS, STUB, Answer, Board, payload, shells

from agentsync.clients import claude


class Plugin:
    """An installed copy of the plugin, used in a repository."""

    def __init__(self, root: Path, project: Path, shell: str) -> None:
        self.root, self.project, self.shell = root, project, shell
        (root / "hooks").mkdir(parents=True)
        shutil.copy(GATE, root / "hooks/gate")

    def run(self, *arguments: str, payload: bytes = b"", **env: str) -> Answer:
        variables = {"CLAUDE_PLUGIN_ROOT": str(self.root), "CLAUDE_PROJECT_DIR": str(self.project)}
        done = subprocess.run(
            [*SHELLS[self.shell], f"{self.root}/hooks/gate", *arguments],
            input=payload,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.root), **variables, **env},
            cwd=self.project,
            capture_output=True,
            timeout=20,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(params=shells())
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def board(tmp_path: Path, shell: str) -> Board:
    """I and bob are here; nothing is installed in the repository itself."""
    made = Board(tmp_path, shell)
    made.me.registers()
    made.bob.registers()
    made.ready()
    made.gate.path.unlink()
    return made


@pytest.fixture
def plugin(board: Board, tmp_path: Path, shell: str) -> Plugin:
    return Plugin(tmp_path / "plugins/cache/agent sync/0.1.0", board.top, shell)


def call(board: Board, event: str, name: str = "src/app.py") -> bytes:
    return payload(board.top / name, event)


def test_it_decides_by_itself_what_the_installed_gate_decides(board: Board, plugin: Plugin) -> None:
    board.me.locks("src/app.py")
    board.bob.locks("src/held.py")
    assert plugin.run("pre-tool-use", payload=call(board, "PreToolUse")).is_silent_yes
    assert plugin.run("post-tool-use", payload=call(board, "PostToolUse")).is_silent_yes
    (report,) = (board.state / "activity").iterdir()
    assert len(report.read_text().splitlines()) == 1
    held = plugin.run("pre-tool-use", payload=call(board, "PreToolUse", "src/held.py"))
    assert held.asked == "-E -P -m agentsync.hook pre-tool-use"
    for event in ("user-prompt-submit", "post-tool-batch", "stop"):
        assert plugin.run(event, payload=payload(event="Stop"), CLAUDE_CODE_SESSION_ID=SESSION).is_silent_yes
    assert plugin.run("session-start", payload=b"{}").asked == "-E -P -m agentsync.hook session-start"


@pytest.mark.parametrize("event", EVENTS)
def test_where_the_repository_has_hooks_of_its_own_it_does_nothing(board: Board, plugin: Plugin, event: str) -> None:
    board.bob.locks("src/app.py")
    sent = call(board, "PreToolUse")
    assert plugin.run(event, payload=sent).asked is not None or event != "pre-tool-use"
    shutil.copy(GATE, board.gate.path)
    board.gate.path.chmod(0o755)
    settings = board.top / claude.SETTINGS
    settings.write_text(json.dumps({"hooks": {"PreToolUse": [claude.handlers(strict=False)["PreToolUse"]]}}, indent=2))
    before = sorted(path.name for path in board.state.rglob("*"))
    assert plugin.run(event, payload=sent).is_silent_yes
    assert sorted(path.name for path in board.state.rglob("*")) == before
    assert board.gate.run("pre-tool-use", payload=sent).asked is not None, "which do their work"


@pytest.mark.parametrize("settings", [None, "{}", '{"enabledPlugins": {"agent-sync@agentsync": true}}'])
def test_a_gate_that_only_other_clients_use_does_not_silence_it(
    board: Board, plugin: Plugin, settings: str | None
) -> None:
    board.bob.locks("src/app.py")
    shutil.copy(GATE, board.gate.path)
    if settings is not None:
        (board.top / claude.SETTINGS).write_text(settings)
    assert plugin.run("pre-tool-use", payload=call(board, "PreToolUse")).asked is not None


def test_a_session_that_was_started_in_a_folder_of_the_repository_asks_python(board: Board, plugin: Plugin) -> None:
    board.me.locks("src/app.py")
    done = plugin.run("pre-tool-use", payload=call(board, "PreToolUse"), CLAUDE_PROJECT_DIR=f"{board.top}/src")
    assert (done.code, done.out) == (0, ""), "which is not found from there by its file"
    assert "not guarded" in done.err


def test_without_a_python_a_session_is_told_once_and_edits_go_through(board: Board, plugin: Plugin) -> None:
    (board.state / "python").unlink()
    started = plugin.run("session-start", payload=b"{}")
    assert (started.code, started.err) == (0, "")
    assert "not guarded" in json.loads(started.out)["systemMessage"]
    assert len(started.out.splitlines()) == 1
    board.bob.locks("src/app.py")
    edit = plugin.run("pre-tool-use", payload=call(board, "PreToolUse"))
    assert (edit.code, edit.out) == (0, "")
    assert edit.err.startswith("agent-sync: ")
    assert len(edit.err.splitlines()) == 1


def stub_on_the_path(tmp_path: Path) -> str:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "agent-sync").write_text(STUB)
    (folder / "agent-sync").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_outside_of_repositories_it_waits_for_an_init(tmp_path: Path, shell: str) -> None:
    project = tmp_path / "home/somewhere"
    project.mkdir(parents=True)
    plugin = Plugin(tmp_path / "plugin", project, shell)
    path = stub_on_the_path(tmp_path)
    assert plugin.run("session-start", payload=b"{}", PATH=path).is_silent_yes
    assert plugin.run("pre-tool-use", payload=payload(project / "a.py"), PATH=path).is_silent_yes
    assert plugin.run("session-start", payload=b"{}", PATH=path, AGENT_SYNC_ROOT=str(project)).asked
    (tmp_path / "home/.claude/coordination").mkdir(parents=True)
    assert plugin.run("session-start", payload=b"{}", PATH=path).asked == "hook session-start", "a board above"
    shutil.rmtree(tmp_path / "home/.claude")
    (project / ".claude/coordination").mkdir(parents=True)
    assert plugin.run("session-start", payload=b"{}", PATH=path).asked == "hook session-start"


@pytest.mark.parametrize("project", ["", "relative/path"])
def test_a_client_that_does_not_say_where_it_is_goes_to_python(tmp_path: Path, shell: str, project: str) -> None:
    plugin = Plugin(tmp_path / "plugin", tmp_path, shell)
    done = plugin.run("pre-tool-use", payload=b"{}", PATH=stub_on_the_path(tmp_path), CLAUDE_PROJECT_DIR=project)
    assert done.asked == "hook pre-tool-use"


def test_a_gate_elsewhere_is_no_plugins(board: Board, plugin: Plugin, tmp_path: Path) -> None:
    """Only the root that the client names makes it one: its word for the working tree is not believed otherwise."""
    board.me.locks("src/app.py")
    sent = call(board, "PreToolUse")
    done = plugin.run("pre-tool-use", payload=sent, CLAUDE_PLUGIN_ROOT="/other", PATH=stub_on_the_path(tmp_path))
    assert done.asked == "hook pre-tool-use"
    assert MARK in done.out
