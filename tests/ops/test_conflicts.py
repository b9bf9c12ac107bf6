"""Looking ahead to merges: real worktrees, real merges, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from repos import Committer, Shop, picture
from world import World, git

from agentsync.ops import status


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"), cwd=made.root)
    return made


@pytest.fixture
def alice(shop: Shop) -> Committer:
    return shop.agent("alice")


@pytest.fixture
def bob(shop: Shop, tmp_path: Path) -> Committer:
    made = shop.agent("bob", tmp_path / "side")
    made.does("register", "--name", "Bob")
    return made


def ahead(player: Committer, *branches: str) -> dict[str, dict[str, object]]:
    return {one["branch"]: one for one in player.answers("conflicts", *branches)}


def test_nobody_elsewhere_is_nothing_to_look_at(alice: Committer) -> None:
    said = alice.does("conflicts")
    assert (said.code, said.out.partition(":")[0]) == (0, "nobody else works on another branch")
    assert alice.answers("conflicts") == []


@pytest.mark.parametrize("committed", ["both", "mine", "theirs", "none"])
def test_a_conflict_is_known_before_the_merge_committed_or_not(
    committed: str, alice: Committer, bob: Committer
) -> None:
    for who, name in ((alice, "mine"), (bob, "theirs")):
        who.writes("other.py", f"{name}\n")
        if committed in (name, "both"):
            who.must("commit", "-qam", "x")
    said = alice.does("conflicts")
    assert said.code == 3
    assert "side [side], Bob (bob): 1 path in conflict" in said.out
    assert "conflict: other.py" in said.out
    found = ahead(alice)["side"]
    assert found["conflicts"] == ["other.py"]
    assert found["uncommitted"] is (committed in ("mine", "none"))
    assert [agent["id"] for agent in found["agents"]] == ["bob"]  # type: ignore[attr-defined]


def test_changes_that_git_can_merge_are_no_conflict(alice: Committer, bob: Committer) -> None:
    alice.writes("other.py")
    bob.writes("README")
    said = alice.does("conflicts")
    assert said.code == 0
    assert "side [side], Bob (bob): merges cleanly (with uncommitted changes)" in said.out


def test_new_files_count_ignored_ones_do_not(alice: Committer, bob: Committer) -> None:
    for who in (alice, bob):
        who.writes("new.py", f"{who.name}\n")
        who.writes(".gitignore", "*.log\n")
        who.writes("x.log", f"{who.name}\n")
    assert ahead(alice)["side"]["conflicts"] == ["new.py"]


def test_staged_renamed_and_deleted(alice: Committer, bob: Committer) -> None:
    alice.must("mv", "other.py", "elsewhere.py")
    bob.must("rm", "-q", "other.py")
    assert "elsewhere.py" in ahead(alice)["side"]["conflicts"]  # type: ignore[operator]


def test_locks_there_on_what_changed_here_are_told(alice: Committer, bob: Committer) -> None:
    alice.writes("src/app.py")
    alice.must("commit", "-qam", "x")
    alice.writes("other.py")
    bob.does("lock", "src/", "README", "@db", "other.*", "--reason", "all of it")
    found = ahead(alice)["side"]
    assert found["conflicts"] == []
    locked = [(one["path"], one["lock"]["path"]) for one in found["locked"]]  # type: ignore[attr-defined]
    assert sorted(locked) == [("other.py", "other.*"), ("src/app.py", "src/")]
    assert "src/app.py, changed here, is locked there by Bob (bob)" in alice.does("conflicts").out


def test_nothing_is_left_behind(shop: Shop, alice: Committer, bob: Committer, tmp_path: Path) -> None:
    for who in (alice, bob):
        who.writes("other.py", f"{who.name}\n")
        who.writes("new.py", f"{who.name}\n")
        who.must("add", "other.py")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    alice.env["TMPDIR"] = str(scratch)
    before = picture(shop.root) | picture(tmp_path / "side")
    assert alice.does("conflicts").code == 3
    assert picture(shop.root) | picture(tmp_path / "side") == before
    assert os.listdir(scratch) == []


def test_a_branch_by_name_by_worktree_or_as_a_commit(shop: Shop, alice: Committer, bob: Committer) -> None:
    git("branch", "old", cwd=shop.root)
    bob.writes("other.py", "theirs\n")
    alice.writes("other.py", "mine\n")
    assert ahead(alice, "side")["side"]["conflicts"] == ["other.py"]
    assert ahead(alice, "refs/heads/side")["side"]["uncommitted"] is True
    assert ahead(alice, "old")["old"]["conflicts"] == []
    assert set(ahead(alice, "old", "side")) == {"old", "side"}
    said = alice.does("conflicts", "nonsense")
    assert said.code == 4
    assert "nonsense" in said.err


def test_looking_from_a_linked_worktree(shop: Shop, alice: Committer, bob: Committer) -> None:
    alice.does("lock", "other.py")
    alice.writes("other.py", "mine\n")
    bob.writes("other.py", "theirs\n")
    found = ahead(bob)["main"]
    assert found["conflicts"] == ["other.py"]
    assert found["worktree"] is None


def test_variables_of_a_hook_do_not_confuse_it(shop: Shop, bob: Committer) -> None:
    bob.writes("other.py", "theirs\n")
    alice = shop.agent("alice", GIT_DIR=str(shop.root / ".git"), GIT_INDEX_FILE="/nonexistent")
    alice.writes("other.py", "mine\n")
    assert ahead(alice)["side"]["conflicts"] == ["other.py"]


def test_a_detached_worktree_and_a_nested_repository(shop: Shop, alice: Committer, bob: Committer) -> None:
    bob.must("checkout", "-q", "--detach")
    bob.must("init", "-q", "inner")
    bob.writes("other.py", "theirs\n")
    alice.writes("other.py", "mine\n")
    (found,) = alice.answers("conflicts")
    assert found["conflicts"] == ["other.py"]
    assert found["worktree"] == "side"


def test_what_cannot_be_tried_is_said(shop: Shop, alice: Committer, bob: Committer) -> None:
    bob.must("checkout", "-q", "--orphan", "fresh")
    bob.must("commit", "-qm", "no common ancestor")
    said = alice.does("conflicts")
    assert "fresh [side], Bob (bob): cannot be tried" in said.out
    assert said.code == 0


def test_outside_of_a_repository_it_says_so(tmp_path: Path, shop: Shop) -> None:
    (tmp_path / "plain").mkdir()
    said = shop.agent("a", tmp_path / "plain").does("conflicts")
    assert said.code == 1
    assert "is no git repository" in said.err


def test_odd_names(alice: Committer, bob: Committer) -> None:
    for who in (alice, bob):
        for name in ("new\nline.py", os.fsdecode(b"latin-\xe9.py"), "two words.py"):
            (who.cwd / name).write_text(who.name)
    said = alice.does("conflicts")
    assert "conflict: new\\nline.py" in said.out
    assert "conflict: latin-\\udce9.py" in said.out
    assert len(alice.answers("conflicts")[0]["conflicts"]) == 3


# ---------------------------------------------------------------- the count in `status`
def test_status_counts_declared_overlaps_without_git(world: World) -> None:
    git("worktree", "add", "-q", "../linked", cwd=world.root)
    alice = world.agent("alice")
    bob = world.agent("bob", cwd=world.root.parent / "linked", PATH="/nonexistent")
    alice.locks("src/app.py", "free.py")
    alice.edits("edited.py")
    alice.has_edited("edited.py")
    assert status.overview(alice.session).overlaps == 0
    bob.locks("src/", "edited.py", "@db")
    assert status.overview(alice.session).overlaps == 2
    assert status.overview(bob.session).overlaps == 2
    from agentsync.render.status import compact, table

    board = status.overview(alice.session)
    assert "2 paths of yours locked in other worktrees too" in table(board, world.clock.now, colour=False)[0]
    assert "- 2 paths of yours locked in other worktrees: agent-sync conflicts" in compact(board, world.clock.now)


def test_status_counts_nothing_where_the_team_ignores_worktrees(tmp_path: Path) -> None:
    world = World(tmp_path, config='worktrees = "ignore"\n')
    git("worktree", "add", "-q", "../linked", cwd=world.root)
    world.agent("bob", cwd=world.root.parent / "linked").locks("src/app.py")
    alice = world.agent("alice")
    alice.locks("src/app.py")
    assert status.overview(alice.session).overlaps == 0
