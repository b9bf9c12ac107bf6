"""Shell commands of agents: what they would write is judged before, what others hold is looked at after."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import World, git

from agentsync.core.locks import Conflict
from agentsync.ops import care, commands, edits
from agentsync.store import activity, index
from agentsync.store.watched import KEPT_S, MAX_COPY

if TYPE_CHECKING:
    from world import Player


class Shell:
    """An agent's shell: the hook before, the command itself, the hook after."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def asks(self, command: str) -> edits.Allowed | edits.Refused:
        return commands.before(self.player.session, command)

    def may(self, command: str) -> bool:
        return isinstance(self.asks(command), edits.Allowed)

    def runs(self, command: str) -> tuple[commands.Damage, ...]:
        """Let it run, as a client does whatever we think of it afterwards."""
        self.asks(command)
        subprocess.run(["sh", "-c", command], cwd=self.player.runtime.cwd, check=True, capture_output=True)
        return commands.after(self.player.session, command)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for name in ("src/other.py", "docs/guide.md", "tools/gen.sh"):
        path = world.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f": {name}\n")
    git("add", "-A", cwd=world.root)
    git("commit", "-q", "-m", "more", cwd=world.root)
    return world


@pytest.fixture
def alice(world: World) -> Player:
    alice = world.agent("alice")
    alice.registers()
    return alice


@pytest.fixture
def bob(world: World, alice: Player) -> Shell:
    player = world.agent("bob")
    player.registers()
    return Shell(player)


# ---------------------------------------------------------------- before
@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("echo x > src/app.py", "a redirection"),
        ("sed -i s/a/b/ src/app.py", "sed -i"),
        ("cd src && rm app.py", "rm"),
        ("cat docs/guide.md | tee -a src/app.py", "tee"),
        ("git checkout -- src/app.py", "git checkout"),
        ("git stash", "git stash"),
        ("git reset --hard", "git reset --hard"),
        ("rm -rf src", "rm"),
        ("bash -c 'mv docs/guide.md src/app.py'", "mv"),
    ],
)
def test_a_command_that_would_write_what_another_holds_is_refused(
    command: str, how: str, alice: Player, bob: Shell
) -> None:
    alice.locks("src/app.py")
    verdict = bob.asks(command)
    assert isinstance(verdict, edits.Refused)
    assert verdict.how is not None
    assert verdict.how.startswith(how.split(maxsplit=1)[0])
    assert [blocked.held.lock.holder for blocked in verdict.blocked] == ["alice"]


@pytest.mark.parametrize(
    "command",
    [
        "cat src/app.py",
        "grep -n x src/app.py > /tmp/found",
        "cp src/app.py copy.py",
        "python -m pytest src",
        "make",
        "echo x > src/other.py",
        "rm -rf docs",
        "diff src/app.py src/other.py || true",
        "echo $HOME > $OUT",
        "if then fi ((",
        "\0 \ud800",
    ],
)
def test_a_command_that_leaves_it_alone_runs(command: str, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    assert bob.may(command)


def test_ones_own_locks_refuse_nothing(alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    assert Shell(alice).may("sed -i s/a/b/ src/app.py")
    assert not bob.may("sed -i s/a/b/ src/app.py")


def test_who_is_alone_is_asked_nothing(world: World, alice: Player) -> None:
    assert Shell(alice).may("rm -rf src")
    assert alice.holds() == []
    assert not (world.state / "watched").exists()


def test_a_relative_path_is_that_of_the_working_directory(world: World, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    inside = Shell(world.agent("bob", cwd=world.root / "src"))
    assert not inside.may("echo x > app.py")
    assert inside.may("echo x > src/app.py")


def test_a_folder_or_a_pattern_of_others_is_respected(alice: Player, bob: Shell) -> None:
    alice.locks("docs/", "src/*.py")
    assert not bob.may("touch docs/new.md")
    assert not bob.may("touch src/new.py")
    assert not bob.may("rm -r src")
    assert bob.may("touch src/new.js")


def test_a_formatter_of_a_folder_writes_the_files_of_its_language(alice: Player, bob: Shell) -> None:
    alice.locks("docs/guide.md")
    assert bob.may("black . && ruff format docs")
    alice.locks("docs/conf.py")
    assert not bob.may("black .")


def test_a_lock_in_another_worktree_refuses_no_command_here(world: World, alice: Player, bob: Shell) -> None:
    git("worktree", "add", "-q", "../linked", cwd=world.root)
    alice.locks("src/app.py")
    there = Shell(world.agent("bob", cwd=world.root.parent / "linked"))
    assert there.may("rm -rf src")
    assert not there.may(f"rm -rf {world.root}/src")


def test_what_a_command_writes_and_git_tracks_is_locked_like_an_edit(alice: Player, bob: Shell) -> None:
    assert bob.may("sed -i s/a/b/ src/app.py && echo done > build.log")
    assert bob.player.holds() == ["src/app.py"]
    assert isinstance(alice.edits("src/app.py"), edits.Refused)
    assert alice.may_edit("build.log")


def test_without_automatic_locks_a_command_takes_none(tmp_path: Path) -> None:
    world = World(tmp_path, config="auto_lock = false\n")
    world.agent("alice").registers()
    bob = Shell(world.agent("bob"))
    assert bob.may("echo x > src/app.py")
    assert bob.player.holds() == []


def test_a_path_that_needs_a_lock_by_hand_needs_one_in_the_shell_too(tmp_path: Path) -> None:
    world = World(tmp_path, config='[paths]\nrequired = ["src/**"]\n')
    alice = Shell(world.agent("alice"))
    alice.player.registers()
    verdict = alice.asks("echo x > src/app.py")
    assert isinstance(verdict, edits.Refused)
    assert verdict.blocked == ()
    alice.player.locks("src/app.py")
    assert alice.may("echo x > src/app.py")


def test_a_refused_command_takes_no_lock_for_what_it_would_have_written_too(alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    assert not bob.may("echo x > src/other.py; echo x > src/app.py")
    assert bob.player.holds() == []


# ---------------------------------------------------------------- after
def test_what_no_reading_finds_is_found_afterwards_and_told_to_both(world: World, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py", reason="login")
    (damage,) = bob.runs("sh tools/gen.sh; printf broken > $(echo src/app.py)")
    assert (damage.path, damage.held.lock.holder, damage.gone) == ("src/app.py", "alice", False)
    assert damage.copy is not None
    assert Path(damage.copy).read_text() == "x\n", "the way back"
    (told,) = alice.was_told()
    assert "src/app.py" in told
    assert "bob" in told
    assert damage.copy in told


def test_a_file_that_is_gone_is_said_to_be(world: World, alice: Player, bob: Shell) -> None:
    alice.locks("src/")
    (damage,) = bob.runs("x=src/app.py; rm $(echo $x)")
    assert (damage.path, damage.gone) == ("src/app.py", True)
    assert damage.copy is not None
    assert Path(damage.copy).read_text() == "x\n"


@pytest.mark.parametrize(
    "command", ["sh tools/gen.sh", "touch $(echo src/app.py)", "printf 'x\\n' > $(echo src/app.py)"]
)
def test_what_is_the_same_afterwards_is_no_breach(command: str, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    assert bob.runs(command) == ()
    assert alice.was_told() == []


def test_what_the_holder_did_meanwhile_is_no_breach(world: World, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    bob.asks("make")
    (world.root / "src/app.py").write_text("alice's\n")
    alice.has_edited("src/app.py")
    assert commands.after(bob.player.session, "make") == ()


def test_what_was_let_go_meanwhile_is_no_breach(world: World, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    bob.asks("make")
    alice.unlocks("src/app.py")
    (world.root / "src/app.py").write_text("free for all\n")
    assert commands.after(bob.player.session, "make") == ()


def test_a_large_file_is_watched_without_a_copy(world: World, alice: Player, bob: Shell) -> None:
    (world.root / "data.bin").write_bytes(bytes(MAX_COPY + 1))
    alice.locks("data.bin")
    (damage,) = bob.runs("printf x >> $(echo data.bin)")
    assert damage.copy is None
    assert "git diff" in alice.was_told()[0]


def test_nothing_is_copied_twice_for_the_next_command(world: World, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    bob.runs("sh tools/gen.sh")
    copy = world.state / "watched/bob/src%2Fapp.py"
    first = copy.stat().st_ino
    bob.runs("sh tools/gen.sh")
    assert copy.stat().st_ino == first
    (world.root / "src/app.py").write_text("newer\n")
    bob.asks("make")
    assert copy.read_text() == "newer\n"


def test_a_kept_copy_survives_the_next_command(world: World, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    (damage,) = bob.runs("printf 1 > $(echo src/app.py)")
    bob.runs("printf 2 > $(echo src/app.py)")
    assert damage.copy is not None
    assert Path(damage.copy).read_text() == "x\n"


def test_what_it_wrote_and_git_tracks_counts_as_an_edit(alice: Player, bob: Shell) -> None:
    alice.locks("docs/guide.md")
    bob.runs("echo y > src/app.py")
    lines = list(activity.read(bob.player.session.store.files, "bob"))
    assert [(line.verb, line.path) for line in lines] == [("edit", "src/app.py")]


def test_links_and_pipes_of_others_keep_nobody_waiting(world: World, alice: Player, bob: Shell) -> None:
    os.mkfifo(world.root / "pipe")
    (world.root / "link").symlink_to("src/app.py")
    alice.locks("pipe", "link", "no/such/file")
    assert bob.runs("sh tools/gen.sh") == ()


def test_compaction_forgets_who_is_gone_and_what_is_a_week_old(world: World, alice: Player, bob: Shell) -> None:
    alice.locks("src/app.py")
    (damage,) = bob.runs("printf 1 > $(echo src/app.py)")
    care.gc(alice.session)
    assert damage.copy is not None
    assert Path(damage.copy).exists()
    bob.player.ends()
    world.clock.advance(minutes=60 * 24)
    alice.beats()
    care.gc(alice.session)
    assert not (world.state / "watched/bob/last.ndjson").exists()
    assert KEPT_S == 7 * 86400


# ---------------------------------------------------------------- git's index
@pytest.mark.parametrize(
    ("name", "there"),
    [("src/app.py", True), ("app.py", False), ("src/new.py", False), ("src", False), ("docs/guide.md", True)],
)
def test_the_index_knows_what_is_tracked(name: str, there: bool, world: World) -> None:
    (world.root / "src/new.py").write_text("new\n")
    assert index.tracks(f"{world.root}/{name}") is there


def test_an_index_that_shortens_names_or_is_none_says_no(world: World) -> None:
    git("update-index", "--index-version", "4", cwd=world.root)
    assert not index.tracks(f"{world.root}/src/app.py")
    (world.root / ".git/index").write_bytes(b"")
    assert not index.tracks(f"{world.root}/src/app.py")
    assert not index.tracks("/etc/passwd")


def test_a_name_longer_than_the_index_can_say_is_found(world: World) -> None:
    name = "/".join(["d" * 200] * 3) + "/" + "n" * 200
    (world.root / name).parent.mkdir(parents=True)
    (world.root / name).write_text("x\n")
    git("add", "-A", cwd=world.root)
    git("update-index", "--skip-worktree", "src/app.py", cwd=world.root)
    assert index.tracks(f"{world.root}/{name}")
    assert index.tracks(f"{world.root}/src/app.py"), "version 3 has 16 bits more"


def test_two_who_run_the_same_command_are_judged_like_two_who_edit(alice: Player, bob: Shell) -> None:
    assert Shell(alice).may("echo a > src/app.py")
    assert not bob.may("echo b > src/app.py")
    assert isinstance(bob.player.locks("src/app.py"), Conflict)


# ---------------------------------------------------------------- what sweeps up others' work
@pytest.mark.parametrize("command", ["git add -A", "cd src && git commit -am done", "make; git add . | cat"])
def test_a_git_command_that_sweeps_up_what_peers_do_is_warned_of(command: str, alice: Player, bob: Shell) -> None:
    warning = commands.sweeping(bob.player.session, command)
    assert "alice" in warning
    assert "Better: " in warning


@pytest.mark.parametrize("command", ["git add src/app.py", "git commit -m 'all -a'", "echo git; make", "make"])
def test_a_git_command_that_names_its_own_is_not(command: str, alice: Player, bob: Shell) -> None:
    assert commands.sweeping(bob.player.session, command) == ""


def test_alone_nobody_is_warned(alice: Player) -> None:
    assert commands.sweeping(alice.session, "git add -A") == ""
