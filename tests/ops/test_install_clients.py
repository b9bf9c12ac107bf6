"""The hooks of all clients in one repository: each in its own place, in any order, out again byte for byte."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import World

from agentsync import clients
from agentsync.cli.main import main
from agentsync.clients.call import GATE
from agentsync.errors import AgentSyncError
from agentsync.ops import install

if TYPE_CHECKING:
    from agentsync.clients import Adapter

NAMES = sorted(clients.NAMES)
ALL = [clients.get(name) for name in NAMES]

FOREIGN = {
    "claude": '{\n    "model": "opus",\n    "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]}\n}',
    "codex": '{"hooks":{"PreToolUse":[{"matcher":"Bash","hooks":[{"type":"command","command":"x","timeout":1.0}]}]}}\n',
    "copilot": '{"version": 1, "hooks": {"PreToolUse": [{"type": "command", "bash": "true"}]}}',
    "cursor": '{\r\n\t"version": 1,\r\n\t"hooks": {"stop": [{"command": "./done.sh", "loop_limit": 2}]}\r\n}\r\n',
    "gemini": '{\n  "theme": "Default",\n  "hooks": {}\n}\n',
}
"""Somebody's own settings, each in another manner. (The plugin of OpenCode is a file of our own.)"""


def snapshot(top: Path) -> dict[str, tuple[int, bytes | None]]:
    """Mode and content of everything but git's and our state; directories that only hold the latter left out."""
    found: dict[str, tuple[int, bytes | None]] = {}
    for path in sorted(top.rglob("*")):
        name = path.relative_to(top).as_posix()
        if not name.startswith((".git/", ".claude/coordination")) and name not in {".git", ".claude"}:
            found[name] = (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
    return found


def run(world: World, capsys: pytest.CaptureFixture[str], *words: str, path: str = "/nowhere") -> str:
    env = {"AGENT_SYNC_ID": "alice", "HOME": str(world.root), "PATH": path}
    old = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        code = main(["-C", str(world.root), *words])
    finally:
        os.environ.clear()
        os.environ.update(old)
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    there=st.sets(st.sampled_from(sorted(FOREIGN))),
    steps=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["install", "strict", "uninstall"])), max_size=12),
    last=st.permutations(NAMES),
)
def test_in_whatever_order_they_come_and_go_every_byte_is_back_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, there: set[str], steps: list[tuple[str, str]], last: list[str]
) -> None:
    world = World(tmp_path_factory.mktemp("order"), git_repo=False)
    for name in there:
        path = world.root / clients.get(name).SETTINGS
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FOREIGN[name].encode())
    before = snapshot(world.root)
    session, installed = world.agent("alice").session, set()
    for name, step in steps:
        if step == "uninstall":
            install.uninstall(session, clients.get(name))
            installed.discard(name)
        else:
            install.install(session, clients.get(name), strict=step == "strict")
            installed.add(name)
        assert {client.NAME for client in install.installed(session)} == installed
        assert (world.root / GATE).exists() == bool(installed), "the gate goes with the last of them"
    for name in last:
        install.uninstall(session, clients.get(name))
    assert snapshot(world.root) == before


@pytest.mark.parametrize("client", ALL, ids=NAMES)
def test_installing_twice_is_installing_once(world: World, client: Adapter) -> None:
    session = world.agent("alice").session
    assert install.install(session, client).changes
    after = snapshot(world.root)
    assert not install.install(session, client).changes
    assert snapshot(world.root) == after
    assert install.is_installed(session, client)


@pytest.mark.parametrize("client", ALL, ids=NAMES)
def test_what_others_add_afterwards_stays(world: World, client: Adapter) -> None:
    if client.SHIPPED is not None:
        pytest.skip(f"{client.SETTINGS} is all ours")
    session = world.agent("alice").session
    install.install(session, client)
    path = world.root / client.SETTINGS
    table = json.loads(path.read_text())
    table["theirs"] = 1
    path.write_text(json.dumps(table))
    install.uninstall(session, client)
    assert json.loads(path.read_text()) == {**client.BASE, "theirs": 1}


@pytest.mark.parametrize("client", ALL, ids=NAMES)
def test_strict_is_seen_in_the_settings_and_can_be_taken_back(world: World, client: Adapter) -> None:
    session = world.agent("alice").session
    install.install(session, client)
    path = world.root / client.SETTINGS
    lenient = path.read_bytes()
    install.install(session, client, strict=True)
    strict = path.read_bytes()
    assert strict != lenient
    assert b"strict" in strict.lower()
    install.install(session, client)
    assert path.read_bytes() == lenient


@pytest.mark.parametrize("client", [client for client in ALL if client.SHIPPED], ids=lambda client: client.NAME)
def test_a_foreign_file_in_the_place_of_a_plugin_is_not_touched(world: World, client: Adapter) -> None:
    session = world.agent("alice").session
    path = world.root / client.SETTINGS
    path.parent.mkdir(parents=True)
    path.write_text("export const Mine = async () => ({})\n")
    with pytest.raises(AgentSyncError, match="not ours"):
        install.install(session, client)
    install.uninstall(session, client)
    assert path.read_text().startswith("export const Mine")
    assert not (world.root / GATE).exists()


def test_all_installs_all_says_what_each_cannot_do_and_uninstalls_all(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(world.root)
    said = run(world, capsys, "install", "--client", "all")
    for client in ALL:
        assert f"made {world.root}/{client.SETTINGS}" in said
        for limit in client.LIMITS:
            assert f"{client.TITLE}: {limit}" in said
    said = run(world, capsys, "install", "--client", "all")
    for client in ALL:
        assert f"the hooks for {client.TITLE} are in place already" in said
    run(world, capsys, "uninstall", "--client", "all")
    assert snapshot(world.root) == before


def test_a_dry_run_for_all_shows_every_file_and_makes_none(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(world.root)
    said = run(world, capsys, "install", "--client", "all", "--dry-run")
    for client in ALL:
        assert f"+++ {world.root}/{client.SETTINGS}" in said
    assert snapshot(world.root) == before
    run(world, capsys, "install", "--client", "all")
    after = snapshot(world.root)
    said = run(world, capsys, "uninstall", "--client", "all", "--dry-run")
    for client in ALL:
        assert f"--- {world.root}/{client.SETTINGS}" in said
    assert snapshot(world.root) == after


@pytest.mark.parametrize("client", ALL, ids=NAMES)
@pytest.mark.parametrize("sign", ["folder", "program"])
def test_a_client_is_found_by_its_folder_or_its_program(
    world: World, tmp_path: Path, client: Adapter, sign: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if sign == "folder":
        (world.root / client.FOLDER).mkdir(parents=True, exist_ok=True)
    else:
        program = tmp_path / "programs" / client.PROGRAM
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    run(world, capsys, "install", path=str(tmp_path / "programs"))
    made = {other.NAME for other in ALL if (world.root / other.SETTINGS).exists()}
    assert made == {client.NAME}
    run(world, capsys, "uninstall")
    assert not (world.root / client.SETTINGS).exists()


def test_where_no_client_is_found_claude_code_is_meant(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    run(world, capsys, "install")
    assert [client.NAME for client in ALL if (world.root / client.SETTINGS).exists()] == ["claude"]


def test_with_json_each_client_says_its_limits(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(run(world, capsys, "install", "--client", "all", "--json"))
    assert {one["client"]: one["limits"] for one in told} == {client.NAME: list(client.LIMITS) for client in ALL}
