"""Looking ahead to merges with what partners have pushed: real clones at a bare remote, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from repos import Shop, picture
from world import git

from agentsync.ops import partners
from agentsync.remote.branches import MAX_FETCHED, Branches
from agentsync.remote.command import EndedError


class Team:
    """Alice in one clone, Bob in another, and the remote between them."""

    def __init__(self, tmp_path: Path) -> None:
        self.shop = Shop(tmp_path)
        self.hub = tmp_path / "hub.git"
        git("init", "-q", "--bare", "-b", "main", str(self.hub), cwd=tmp_path)
        git("remote", "add", "origin", str(self.hub), cwd=self.shop.root)
        git("push", "-q", "origin", "main", cwd=self.shop.root)
        git("clone", "-q", str(self.hub), str(tmp_path / "far"), cwd=tmp_path)
        self.alice = self.shop.agent("alice")
        self.bob = self.shop.agent("bob", tmp_path / "far")

    def pushes(self, branch: str, path: str = "other.py", text: str = "theirs\n") -> None:
        """Bob puts a change on a branch of its own, which begins where main is."""
        self.bob.must("checkout", "-q", "--no-track", "-B", branch, "origin/main")
        self.bob.writes(path, text)
        self.bob.must("add", "-A")
        self.bob.must("commit", "-qm", branch)
        self.bob.must("push", "-q", "origin", f"HEAD:refs/heads/{branch}")

    def ahead(self, *words: str) -> dict[str, Any]:
        """What Alice is told, by branch."""
        return {one["branch"]: one for one in self.alice.answers("conflicts", "--fetch", *words)["ahead"]}


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


# ---------------------------------------------------------------- without a board
def test_a_conflict_with_what_a_partner_pushed_is_known_before_the_merge(team: Team) -> None:
    team.pushes("feature")
    team.alice.writes("other.py", "mine\n")
    said = team.alice.does("conflicts", "--fetch")
    assert (said.code, said.err) == (3, "")
    assert "origin/feature: 1 path in conflict\n  conflict: other.py" in said.out
    assert not team.shop.state.exists()


def test_what_git_can_merge_is_no_conflict_and_what_is_merged_is_not_told(team: Team) -> None:
    team.pushes("feature")
    team.alice.must("branch", "old")
    team.alice.must("push", "-q", "origin", "old")
    team.alice.writes("README", "mine\n")
    said = team.alice.does("conflicts", "--fetch")
    assert (said.code, said.err) == (0, "")
    assert "origin/feature: merges cleanly" in said.out
    assert "old" not in said.out


def test_nothing_new_is_said_so(team: Team) -> None:
    said = team.alice.does("conflicts", "--fetch")
    assert (said.code, said.err) == (0, "")
    assert "no branch of origin has anything that is not merged here" in said.out
    assert team.ahead() == {}


def test_a_rename_there_and_an_edit_here(team: Team) -> None:
    lines = "".join(f"line {n}\n" for n in range(30))
    team.alice.writes("long.py", lines)
    team.alice.must("add", "-A")
    team.alice.must("commit", "-qm", "long")
    team.alice.must("push", "-q", "origin", "main")
    team.bob.must("fetch", "-q")
    team.bob.must("checkout", "-q", "-b", "moved", "origin/main")
    team.bob.must("mv", "long.py", "short.py")
    team.bob.must("commit", "-qm", "moved")
    team.bob.must("push", "-q", "origin", "moved")
    team.alice.writes("long.py", lines.replace("line 7\n", "mine\n"))
    assert team.ahead()["moved"]["conflicts"] == []
    team.alice.must("mv", "long.py", "elsewhere.py")
    assert set(team.ahead()["moved"]["conflicts"]) == {"long.py", "short.py", "elsewhere.py"}


def test_an_unrelated_history_cannot_be_tried_and_the_others_are(team: Team) -> None:
    team.pushes("feature")
    team.bob.must("checkout", "-q", "--orphan", "fresh")
    team.bob.must("commit", "-qm", "no common ancestor")
    team.bob.must("push", "-q", "origin", "fresh")
    said = team.alice.does("conflicts", "--fetch")
    assert said.code == 0
    assert "origin/fresh: cannot be tried: git merge-tree failed" in said.out
    assert "origin/feature: merges cleanly" in said.out


def test_nothing_of_the_users_repository_changes_and_nothing_is_left_behind(team: Team, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    team.alice.env["TMPDIR"] = str(scratch)
    team.pushes("feature")
    team.alice.writes("other.py", "mine\n")
    team.alice.writes("new.py", "mine\n")
    team.alice.must("config", "fetch.writeCommitGraph", "true")
    for name in ("reference-transaction", "post-checkout"):
        hook = team.shop.root / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\ntouch ran\n")
        hook.chmod(0o755)
    before = picture(team.shop.root) | picture(team.hub)
    assert team.alice.does("conflicts", "--fetch").code == 3
    assert picture(team.shop.root) | picture(team.hub) == before
    assert os.listdir(scratch) == []


def test_branches_by_name_and_nothing_else(team: Team) -> None:
    for name in ("one", "two"):
        team.pushes(name)
    team.alice.writes("other.py", "mine\n")
    assert set(team.ahead("two")) == {"two"}
    assert set(team.ahead("refs/heads/one", "main")) == {"one", "main"}
    said = team.alice.does("conflicts", "--fetch", "three")
    assert said.code == 4
    assert "origin has no branch 'three'" in said.err
    assert "main, one, two" in said.err


@pytest.mark.parametrize("name", ["fix/wörter", "-dash", "a;b'c\"d$(touch${IFS}ran)", "x.y@z", "refs/heads/again"])
def test_odd_names_of_branches(team: Team, name: str) -> None:
    team.pushes("feature")
    commit = team.bob.must("rev-parse", "HEAD").strip()
    git("update-ref", f"refs/heads/{name}", commit, cwd=team.hub)
    team.alice.writes("other.py", "mine\n")
    assert team.ahead()[name]["conflicts"] == ["other.py"]
    assert name in team.alice.does("conflicts", "--fetch").out
    assert not (team.shop.root / "ran").exists()


def test_a_name_that_would_steer_a_terminal_is_escaped(team: Team) -> None:
    team.pushes("x\u202eevil")
    out = team.alice.does("conflicts", "--fetch").out
    assert "origin/x\\u202eevil: merges cleanly" in out


def test_of_very_many_branches_the_newest_are_tried_and_the_rest_is_counted(team: Team) -> None:
    count = MAX_FETCHED + 100
    base = team.bob.must("rev-parse", "origin/main").strip()
    stream = "".join(
        f"commit refs/heads/b{n:04}\ncommitter x <x@y> {1700000000 + n * 7 % 900} +0000\ndata 1\nx\nfrom {base}\n"
        f"M 100644 inline other.py\ndata 5\n{n:05}\n\n"
        for n in range(count)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=team.hub, input=stream.encode(), check=True)
    found = team.alice.answers("conflicts", "--fetch")
    assert len(found["ahead"]) == partners.MAX_TRIED
    assert found["left"] == count - partners.MAX_TRIED
    assert found["ahead"][0]["branch"] == f"b{max(range(MAX_FETCHED), key=lambda n: (n * 7 % 900, -n)):04}"
    said = team.alice.does("conflicts", "--fetch").out
    assert f"left out: {found['left']} more of origin, older or too many" in said
    assert set(team.ahead(f"b{count - 1:04}")) == {f"b{count - 1:04}"}


def test_what_is_here_already_is_not_fetched_again(team: Team, tmp_path: Path) -> None:
    team.pushes("feature")
    team.alice.must("fetch", "-q")
    there = Branches(str(tmp_path / "scratch.git"), str(team.shop.root), "origin", env=team.alice.env)
    listed = there.listed()
    (team.hub / "HEAD").unlink()  # no remote any more
    tips, left = there.bring(listed)
    assert ({tip.name for tip in tips}, left) == ({"feature", "main"}, 0)


def test_a_shallow_clone_can_look_too(team: Team, tmp_path: Path) -> None:
    team.alice.writes("README", "more\n")
    team.alice.must("commit", "-qam", "more")
    team.alice.must("push", "-q", "origin", "main")
    team.bob.must("fetch", "-q")
    git("clone", "-q", "--depth", "1", f"file://{team.hub}", str(tmp_path / "shallow"), cwd=tmp_path)
    team.pushes("feature")
    shallow = team.shop.agent("carol", tmp_path / "shallow")
    shallow.writes("other.py", "mine\n")
    (found,) = shallow.answers("conflicts", "--fetch")["ahead"]
    assert (found["branch"], found["conflicts"]) == ("feature", ["other.py"])


def test_others_in_worktrees_of_this_repository_are_tried_too(team: Team, tmp_path: Path) -> None:
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"), cwd=team.shop.root)
    carol = team.shop.agent("carol", tmp_path / "side")
    carol.does("register", "--name", "Carol")
    carol.writes("other.py", "hers\n")
    team.alice.writes("other.py", "mine\n")
    said = team.alice.does("conflicts", "--fetch")
    assert said.code == 3
    assert "side [side], Carol (carol): 1 path in conflict" in said.out
    assert "no branch of origin" in said.out
    team.pushes("feature")
    assert set(team.ahead()) == {"side", "feature"}


# ---------------------------------------------------------------- with a board
def test_branches_are_those_of_agents_on_other_machines(team: Team, tmp_path: Path) -> None:
    team.pushes("noise")
    team.pushes("feature")
    team.alice.does("remote", "add", "origin")
    team.bob.does("remote", "add", "origin")
    assert team.bob.does("register", "--name", "bob").code == 0
    team.bob.must("worktree", "add", "-q", "-b", "secret", str(tmp_path / "side"))
    dave = team.shop.agent("dave", tmp_path / "side")
    assert dave.does("lock", "--remote", "README").code == 0
    team.alice.does("sync")
    team.alice.writes("other.py", "mine\n")
    found = team.alice.answers("conflicts", "--fetch")
    assert [one["branch"] for one in found["ahead"]] == ["feature"]
    assert found["absent"] == ["secret"]
    (agent,) = found["ahead"][0]["agents"]
    assert agent["id"] == f"bob.{agent['machine']}"
    said = team.alice.does("conflicts", "--fetch").out
    assert f"origin/feature, bob ({agent['id']}) on {agent['host']}: 1 path in conflict" in said
    assert "agents on other machines work on these, not pushed to origin: secret" in said


def test_the_remote_is_that_of_the_board_unless_one_is_named(team: Team, tmp_path: Path) -> None:
    team.pushes("feature")
    git("remote", "rename", "origin", "shared", cwd=team.shop.root)
    assert team.alice.does("conflicts", "--fetch").code == 5
    assert set(team.ahead("--fetch=shared")) == {"feature"}
    assert team.alice.does("remote", "add", "shared").code == 0
    assert set(team.ahead()) == {"feature"}
    git("clone", "-q", "--bare", str(team.hub), "other.git", cwd=tmp_path)
    git("update-ref", "-d", "refs/heads/feature", cwd=tmp_path / "other.git")
    assert team.ahead(f"--fetch={tmp_path / 'other.git'}") == {}


# ---------------------------------------------------------------- what goes wrong
@pytest.mark.parametrize("address", ["/nowhere.git", "http://127.0.0.1:9/x.git", "ext::false", "gone"])
def test_who_cannot_be_reached_is_said_in_a_line(team: Team, address: str) -> None:
    said = team.alice.does("conflicts", f"--fetch={address}")
    assert (said.code, said.out) == (5, "")
    assert f"the branches of {address} could not be fetched: " in said.err
    assert said.err.count("\n") == 2
    assert team.alice.answers("conflicts", f"--fetch={address}")["code"] == 5


def test_who_is_denied_is_told_so(team: Team, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'git@host: Permission denied (publickey).' >&2; exit 255\n")
    ssh.chmod(0o755)
    team.alice.env["GIT_SSH"] = str(ssh)
    said = team.alice.does("conflicts", "--fetch=ssh://host/x.git")
    assert said.code == 6
    assert "ssh://host/x.git does not let us look at its branches" in said.err


@pytest.mark.parametrize("word", ["-x", "--upload-pack=touch ran"])
def test_an_option_is_no_remote(team: Team, word: str) -> None:
    assert team.alice.does("conflicts", f"--fetch={word}").code == 2
    assert not (team.shop.root / "ran").exists()


def test_who_answers_nothing_is_given_up(team: Team, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nsleep 1000\n")
    ssh.chmod(0o755)
    env = {**team.alice.env, "GIT_SSH": str(ssh)}
    there = Branches(str(tmp_path / "x.git"), str(team.shop.root), "ssh://host/x.git", env=env, limit_s=0.5)
    started = time.monotonic()
    with pytest.raises(EndedError, match="no answer in"):
        there.listed()
    assert time.monotonic() - started < 30


def test_a_remote_that_lies_about_names_writes_nowhere(team: Team, tmp_path: Path) -> None:
    """The names of a listing become refspecs, so one that is more than a name must not be taken."""
    commit = team.alice.must("rev-parse", "HEAD").strip()
    bad = ["a:refs/heads/0", "a*", "../../x", "a b", "a\tb", "-x", "fine"]
    lines = "".join(f"{commit}\trefs/heads/{name}\n" for name in bad)
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    real = shutil.which("git")
    program.write_text(f'#!/bin/sh\ncase "$*" in *ls-remote*) cat {tmp_path}/lines;; *) exec {real} "$@";; esac\n')
    program.chmod(0o755)
    (tmp_path / "lines").write_text(lines)
    env = {**team.alice.env, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    there = Branches(str(tmp_path / "x.git"), str(team.shop.root), "origin", env=env)
    assert set(there.listed()) == {"-x", "fine"}
