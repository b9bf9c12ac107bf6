"""Hooks on Windows, which has no `sh`: Python itself is what is installed. Tried on the files; never run there."""

from __future__ import annotations

import json
import ntpath
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import ManualRuntime, Player, World

from agentsync import clients
from agentsync.clients import claude
from agentsync.clients.call import GATE
from agentsync.ops import doctor, install

if TYPE_CHECKING:
    from agentsync.clients import Adapter

MERGED = [client for client in map(clients.get, clients.NAMES) if client.SHIPPED is None]


class WindowsRuntime(ManualRuntime):
    """This machine, said to be another."""

    platform = "windows"  # type: ignore[assignment]


@pytest.fixture
def alice(world: World) -> Player:
    env = {"AGENT_SYNC_ID": "alice", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return Player(WindowsRuntime(world.clock, world.machine, env, str(world.root)), None)


def handlers_in(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [handler for item in value for handler in handlers_in(item)]
    if isinstance(value, dict):
        return [value] if "type" in value else [handler for item in value.values() for handler in handlers_in(item)]
    return []


def words_of(handler: dict[str, Any]) -> list[str]:
    command = handler.get("command") or handler.get("powershell") or handler.get("bash")
    return [*([command] if "args" in handler else shlex.split(command)), *handler.get("args", [])]


@pytest.mark.parametrize("client", MERGED, ids=lambda client: client.NAME)
@pytest.mark.parametrize("strict", [False, True])
def test_every_client_starts_python_with_the_gates_arguments(client: Adapter, strict: bool) -> None:
    for entry in client.handlers(strict, "windows").values():
        for handler in handlers_in(entry):
            words = words_of(handler)
            assert words[:2] == ["agent-sync", "hook"]
            assert words[2] in ("session-start", "session-end", "stop") or words[2].count("-") >= 1
            assert "sh" not in words
            assert GATE not in json.dumps(handler)
            assert client.is_ours(handler)
    assert client.handlers(strict, "posix") == client.handlers(strict)
    assert GATE in json.dumps(client.handlers(strict))


def test_installed_there_is_no_gate_and_uninstall_gives_the_old_bytes_back(world: World, alice: Player) -> None:
    settings = world.root / claude.SETTINGS
    settings.parent.mkdir()
    settings.write_bytes(b'{"model": "opus"}')
    install.install(alice.session, claude)
    assert not (world.root / GATE).exists()
    assert install.install(alice.session, claude).changes == ()
    assert install.is_installed(alice.session, claude)
    (handler,) = json.loads(settings.read_text())["hooks"]["PreToolUse"][0]["hooks"]
    assert (handler["command"], handler["args"]) == ("agent-sync", ["hook", "pre-tool-use"])
    install.uninstall(alice.session, claude)
    assert settings.read_bytes() == b'{"model": "opus"}'


def test_moving_to_another_system_replaces_the_command_and_keeps_one(world: World, alice: Player) -> None:
    install.install(alice.session, claude)
    install.install(world.agent("bob").session, claude)
    settings = json.loads((world.root / claude.SETTINGS).read_text())
    for groups in settings["hooks"].values():
        (group,) = groups
        (handler,) = group["hooks"]
        assert handler["command"].endswith(GATE)
    assert (world.root / GATE).exists()


def test_that_command_refuses_an_edit_of_a_held_file(world: World, alice: Player) -> None:
    """The only part that can be run here: the same words, with the program that the PATH has."""
    install.install(alice.session, claude)
    world.agent("bob").locks("src/app.py", reason="mine")
    handler = json.loads((world.root / claude.SETTINGS).read_text())["hooks"]["PreToolUse"][0]["hooks"][0]
    payload = {"cwd": str(world.root), "tool_name": "Edit", "tool_input": {"file_path": str(world.root / "src/app.py")}}
    program = shutil.which(handler["command"], path=alice.runtime.env["PATH"])
    assert program is not None
    done = subprocess.run(
        [program, *handler["args"]],
        input=json.dumps(payload).encode(),
        env=dict(alice.runtime.env),
        cwd=world.root,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["hookSpecificOutput"]["permissionDecision"] == "deny"


def test_doctor_has_it_answer(world: World, alice: Player) -> None:
    install.install(alice.session, claude)
    found = {finding.check: finding for finding in doctor.examine(alice.session)}
    assert found["hooks"].level == "ok", found["hooks"]
    assert "speed" not in found, "there is no gate to measure"


def test_a_drive_is_a_place_where_there_are_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = {"hook_event_name": "PreToolUse", "session_id": "s", "cwd": "C:\\repo"}
    assert claude.parse(None, payload).cwd is None
    monkeypatch.setattr(os, "path", ntpath)
    assert claude.parse(None, payload).cwd == "C:\\repo"
    assert claude.parse(None, {**payload, "cwd": "repo"}).cwd is None
