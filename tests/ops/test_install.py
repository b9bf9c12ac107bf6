"""`install` and `uninstall` on real files: what is made, what is kept, what is left alone, what is put back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import World, git

from agentsync.cli.main import main
from agentsync.clients import claude
from agentsync.clients.call import GATE
from agentsync.errors import AgentSyncError
from agentsync.ops import install

if TYPE_CHECKING:
    from world import Player

SHIPPED = Path(__file__).parents[2] / "hooks/gate"

MINE = '{\n    "model": "opus",\n    "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]}\n}'
"""Somebody's own settings, in a manner that we would never write."""


def snapshot(top: Path, *but: str) -> dict[str, tuple[int, str | bytes | None]]:
    """Mode and content of everything below a directory, the named parts left out."""
    found: dict[str, tuple[int, str | bytes | None]] = {}
    for path in sorted(top.rglob("*")):
        name = path.relative_to(top).as_posix()
        if name.startswith((".git/", *but)):
            continue
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[name] = (path.lstat().st_mode, content)
    return found


def installs(player: Player, **options: bool) -> install.Outcome:
    return install.install(player.session, claude, **options)


def uninstalls(player: Player, **options: bool) -> install.Outcome:
    return install.uninstall(player.session, claude, **options)


def changed(outcome: install.Outcome, top: Path) -> list[str]:
    return [Path(change.path).relative_to(top).as_posix() for change in outcome.changes]


def settings_in(top: Path, content: str | None = MINE) -> Path:
    path = top / claude.SETTINGS
    path.parent.mkdir(exist_ok=True)
    if content is not None:
        path.write_text(content)
    return path


def handlers(top: Path) -> dict[str, list[dict[str, Any]]]:
    table = json.loads((top / claude.SETTINGS).read_text())
    return {
        event: [handler for group in groups for handler in group["hooks"] if claude.is_ours(handler)]
        for event, groups in table.get("hooks", {}).items()
    }


# ---------------------------------------------------------------- what is made
def test_a_repository_without_settings_gets_both_files_and_loses_them_again(world: World) -> None:
    alice = world.agent("alice")
    before = snapshot(world.root)
    assert changed(installs(alice), world.root) == [claude.SETTINGS, GATE]
    assert changed(uninstalls(alice), world.root) == [claude.SETTINGS, GATE]
    assert [path.name for path in (world.root / ".claude").iterdir()] == ["coordination"]
    assert snapshot(world.root, ".claude") == before


def test_the_gate_is_the_shipped_one_and_executable_whatever_the_umask(world: World) -> None:
    old = os.umask(0o077)
    try:
        installs(world.agent("alice"))
    finally:
        os.umask(old)
    gate = world.root / GATE
    assert gate.read_bytes() == SHIPPED.read_bytes()
    assert stat.S_IMODE(gate.stat().st_mode) == 0o755


def test_every_handler_has_a_timeout_and_is_in_the_exec_form(world: World) -> None:
    installs(world.agent("alice"))
    found = handlers(world.root)
    assert set(found) == set(claude.EVENTS)
    for event, (handler,) in found.items():
        assert handler["command"] == "${CLAUDE_PROJECT_DIR}/.claude/hooks/agent-sync"
        assert handler["args"] == [claude.EVENTS[event][0]]
        assert 0 < handler["timeout"] <= 60
        assert "onFailure" not in handler


def test_strict_blocks_on_failure_before_an_edit_and_nowhere_else(world: World) -> None:
    installs(world.agent("alice"), strict=True)
    for event, (handler,) in handlers(world.root).items():
        strict = event == "PreToolUse"
        assert handler.get("onFailure") == ("block" if strict else None)
        assert ("--strict" in handler["args"]) is strict


def test_installing_again_repairs_what_is_missing(world: World) -> None:
    alice = world.agent("alice")
    installs(alice)
    gate = world.root / GATE
    gate.unlink()
    assert changed(installs(alice), world.root) == [GATE]
    gate.write_bytes(gate.read_bytes() + b"# older\n")
    assert changed(installs(alice), world.root) == [GATE]
    settings_in(world.root, "{}\n")
    assert changed(installs(alice), world.root) == [claude.SETTINGS]
    assert installs(alice).changes == ()


def test_installing_again_makes_the_gate_executable(world: World) -> None:
    """A copy over a file system without modes, or `core.fileMode=false`, loses the bit; doctor's advice is to install."""
    alice = world.agent("alice")
    installs(alice)
    gate = world.root / GATE
    gate.chmod(0o644)
    installs(alice)
    assert os.access(gate, os.X_OK)


# ---------------------------------------------------------------- what is kept
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o640])
def test_the_settings_keep_their_mode(mode: int, world: World) -> None:
    alice, path = world.agent("alice"), settings_in(world.root)
    path.chmod(mode)
    installs(alice)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    uninstalls(alice)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == MINE


@pytest.mark.parametrize("is_relative", [True, False])
def test_linked_settings_are_written_through_and_stay_a_link(is_relative: bool, world: World, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles/claude.json"
    real.parent.mkdir()
    real.write_text(MINE)
    real.chmod(0o600)
    link = settings_in(world.root, None)
    link.symlink_to(os.path.relpath(real, link.parent) if is_relative else real)
    alice, before = world.agent("alice"), os.readlink(link)
    installs(alice)
    assert os.readlink(link) == before
    assert handlers(world.root)["PreToolUse"]
    assert real.read_bytes() == link.read_bytes()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    uninstalls(alice)
    assert os.readlink(link) == before
    assert real.read_text() == MINE


def test_a_link_to_nothing_is_a_link_to_nothing_again(world: World, tmp_path: Path) -> None:
    link = settings_in(world.root, None)
    link.symlink_to(tmp_path / "not-there.json")
    alice = world.agent("alice")
    installs(alice)
    assert (tmp_path / "not-there.json").exists()
    uninstalls(alice)
    assert link.is_symlink()
    assert not (tmp_path / "not-there.json").exists()


def test_nothing_of_ours_is_left_lying_about(world: World) -> None:
    alice = world.agent("alice")
    settings_in(world.root)
    installs(alice)
    uninstalls(alice)
    assert git("status", "--porcelain", "-uall", cwd=world.root) == "?? .claude/settings.json\n"
    assert git("status", "--porcelain", "--ignored", cwd=world.root).splitlines()[1:] == ["!! .claude/coordination/"]


def test_hooks_committed_by_somebody_else_are_in_place_already(world: World) -> None:
    """Two people share the files; the second one's own state knows nothing of the first one's installation."""
    installs(world.agent("alice"))
    shutil.rmtree(world.state)
    assert installs(world.agent("bob")).changes == ()


# ---------------------------------------------------------------- what is removed
def test_uninstalling_without_an_installation_changes_nothing(world: World) -> None:
    settings_in(world.root)
    before = snapshot(world.root)
    assert uninstalls(world.agent("alice")).changes == ()
    assert snapshot(world.root) == before


def test_uninstalling_twice_is_uninstalling_once(world: World) -> None:
    alice, path = world.agent("alice"), settings_in(world.root)
    installs(alice)
    uninstalls(alice)
    assert uninstalls(alice).changes == ()
    assert path.read_text() == MINE


def test_the_directory_of_hooks_goes_if_we_made_it(world: World) -> None:
    alice = world.agent("alice")
    installs(alice)
    installs(alice, strict=True)
    uninstalls(alice)
    assert not (world.root / ".claude/hooks").exists()


def test_the_directory_of_hooks_stays_if_it_was_there(world: World) -> None:
    alice, hooks = world.agent("alice"), world.root / ".claude/hooks"
    hooks.mkdir(parents=True)
    installs(alice)
    uninstalls(alice)
    assert list(hooks.iterdir()) == []


def test_the_directory_of_hooks_stays_if_something_moved_in(world: World) -> None:
    alice, other = world.agent("alice"), world.root / ".claude/hooks/lint.sh"
    installs(alice)
    other.write_text("#!/bin/sh\n")
    uninstalls(alice)
    assert [path.name for path in other.parent.iterdir()] == ["lint.sh"]


def test_a_foreign_file_in_the_place_of_the_gate_is_not_touched(world: World) -> None:
    alice, path = world.agent("alice"), settings_in(world.root)
    gate = world.root / GATE
    gate.parent.mkdir()
    gate.write_text("#!/bin/sh\necho mine\n")
    before = snapshot(world.root)
    with pytest.raises(AgentSyncError, match="not ours") as refused:
        installs(alice)
    assert refused.value.hint
    assert snapshot(world.root) == before, "not even the settings"
    assert path.read_text() == MINE


def test_a_gate_that_became_somebody_elses_survives_the_removal(world: World) -> None:
    alice, gate = world.agent("alice"), world.root / GATE
    installs(alice)
    gate.write_text("#!/bin/sh\necho mine now\n")
    assert changed(uninstalls(alice), world.root) == [claude.SETTINGS]
    assert gate.read_text() == "#!/bin/sh\necho mine now\n"


def test_without_the_state_uninstalling_still_takes_ours_out_and_nothing_else(world: World) -> None:
    alice, path = world.agent("alice"), settings_in(world.root)
    installs(alice)
    shutil.rmtree(world.state)
    uninstalls(alice)
    assert json.loads(path.read_text()) == json.loads(MINE)
    assert not (world.root / GATE).exists()
    assert not world.state.exists(), "a removal makes no state"


def test_without_the_state_settings_of_ours_alone_go(world: World) -> None:
    alice = world.agent("alice")
    installs(alice)
    shutil.rmtree(world.state)
    uninstalls(alice)
    assert not (world.root / claude.SETTINGS).exists()


def test_settings_that_somebody_deleted_do_not_come_back(world: World) -> None:
    alice, path = world.agent("alice"), settings_in(world.root)
    installs(alice)
    path.unlink()
    uninstalls(alice)
    assert not path.exists()


def test_an_installation_after_a_removal_remembers_the_settings_of_now(world: World) -> None:
    alice, path = world.agent("alice"), settings_in(world.root)
    installs(alice)
    uninstalls(alice)
    path.write_text('{"other":  1}')
    installs(alice)
    uninstalls(alice)
    assert path.read_text() == '{"other":  1}'


def test_the_old_bytes_survive_compaction_and_a_damaged_log(world: World) -> None:
    """What is needed to put them back is a record of its own."""
    alice, path = world.agent("alice"), settings_in(world.root)
    installs(alice)
    for entry in (world.state / "log").iterdir():
        entry.unlink()
    uninstalls(alice)
    assert path.read_text() == MINE


# ---------------------------------------------------------------- a look before the leap
def dry_run(world: World, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    before = snapshot(world.root)
    with contextlib.chdir(world.root):
        assert main([*words, "--dry-run"]) == 0
    assert snapshot(world.root) == before, "nothing was changed, nothing was made"
    return capsys.readouterr().out


def test_a_dry_run_shows_the_difference_and_changes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings_in(world.root)
    said = dry_run(world, capsys, "install")
    assert f"--- {path}\n+++ {path}\n" in said
    assert f"--- /dev/null\n+++ {world.root / GATE}\n" in said
    assert sum(line.startswith("+") and '"command": "${CLAUDE_' in line for line in said.splitlines()) == 7
    installs(world.agent("alice"))
    said = dry_run(world, capsys, "uninstall")
    assert sum(line.startswith("-") and '"command": "${CLAUDE_' in line for line in said.splitlines()) == 7
    assert f"--- {world.root / GATE}\n+++ /dev/null\n" in said


def test_a_dry_run_is_what_then_happens(world: World) -> None:
    alice = world.agent("alice")
    settings_in(world.root)
    for verb in (installs, uninstalls):
        planned = verb(alice, dry_run=True)
        assert verb(alice) == planned
        assert verb(alice, dry_run=True).changes == ()


def test_a_dry_run_refuses_what_the_real_one_refuses(world: World) -> None:
    settings_in(world.root, "[]")
    for verb in (installs, uninstalls):
        with pytest.raises(AgentSyncError, match="left untouched"):
            verb(world.agent("alice"), dry_run=True)


# ---------------------------------------------------------------- worktrees
@pytest.fixture
def linked(world: World) -> Path:
    git("worktree", "add", "-q", "../linked", cwd=world.root)
    return world.root.parent / "linked"


def test_a_linked_worktree_gets_hooks_of_its_own(world: World, linked: Path) -> None:
    here, there = world.agent("alice"), world.agent("alice", cwd=linked)
    main_before = snapshot(world.root, ".claude")
    assert changed(installs(there), linked) == [claude.SETTINGS, GATE]
    assert snapshot(world.root, ".claude") == main_before
    assert not (world.root / claude.SETTINGS).exists()
    assert not (linked / ".claude/coordination").exists(), "the state is the main worktree's"
    settings_in(world.root)
    installs(here)
    uninstalls(there)
    assert not (linked / ".claude").exists(), "we made it, and it is empty"
    assert handlers(world.root)["PreToolUse"], "the main worktree's are still in"
    uninstalls(here)
    assert (world.root / claude.SETTINGS).read_text() == MINE


def test_each_worktree_gets_back_its_own_bytes(world: World, linked: Path) -> None:
    players = {world.root: world.agent("alice"), linked: world.agent("alice", cwd=linked)}
    for number, top in enumerate(players):
        settings_in(top, f'{{"n":{number}}}')
    for player in players.values():
        installs(player)
    for number, (top, player) in enumerate(players.items()):
        uninstalls(player)
        assert (top / claude.SETTINGS).read_text() == f'{{"n":{number}}}'


def test_from_a_subdirectory_the_hooks_go_to_the_top(world: World) -> None:
    installs(world.agent("alice", cwd=world.root / "src"))
    assert handlers(world.root)["PreToolUse"]
    assert not (world.root / "src/.claude").exists()
