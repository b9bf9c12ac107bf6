"""Where a path's state lives, and what the path is called there: with real git, whatever it has been asked to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from world import git, make_repo

from agentsync.core.paths import MAX_PATH, ROOT, Target, overlap
from agentsync.errors import UsageError
from agentsync.store.locate import (
    STATE,
    Place,
    branch_of,
    find_repository,
    locate,
    locate_path,
    name_in,
    real_path,
    resolve,
)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"src/a.py": "x\n", "README.md": "x\n"})


def at(path: Path, **env: str) -> Place:
    return locate(str(path), env)


def main_of(root: Path) -> Place:
    return Place(str(root), f"{root}/{STATE}", str(root), None)


def linked_to(root: Path, tree: Path) -> Place:
    return Place(str(root), f"{root}/{STATE}", str(tree), tree.name)


def add_worktree(repository: Path, tree: Path) -> Path:
    git("worktree", "add", "-q", "-b", tree.name, str(tree), cwd=repository)
    return tree


def subdirectories(tree: Path) -> list[Path]:
    """The top of a working tree, a directory in it, and one that does not exist."""
    deep = tree / "some/where"
    deep.mkdir(parents=True)
    return [tree, deep, deep / "not/there"]


# ---------------------------------------------------------------- git
def test_a_repository_is_found_from_any_subdirectory(repo: Path) -> None:
    assert [at(path) for path in subdirectories(repo)] == [main_of(repo)] * 3


def test_a_linked_worktree_shares_the_state_of_the_main_one(repo: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    assert [at(path) for path in subdirectories(tree)] == [linked_to(repo, tree)] * 3


def test_a_linked_worktree_may_be_inside_the_main_one(repo: Path) -> None:
    tree = add_worktree(repo, repo / ".claude/worktrees/feature")
    assert [at(path) for path in subdirectories(tree)] == [linked_to(repo, tree)] * 3
    assert at(tree.parent) == main_of(repo)


def test_a_linked_worktree_that_was_moved_has_its_name_still(repo: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    git("worktree", "move", str(tree), str(tmp_path / "elsewhere"), cwd=repo)
    assert at(tmp_path / "elsewhere") == Place(str(repo), f"{repo}/{STATE}", str(tmp_path / "elsewhere"), "feature")


def test_a_worktree_may_be_linked_by_relative_paths(repo: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    (tree / ".git").write_text("gitdir: ../repo/.git/worktrees/feature\n")  # as git 2.48 does when asked to
    assert at(tree) == linked_to(repo, tree)


@pytest.fixture
def submodule(repo: Path, tmp_path: Path) -> Path:
    library = make_repo(tmp_path / "library", {"lib.py": "x\n"})
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "libs/one#1", cwd=repo)
    git("commit", "-q", "-m", "submodule", cwd=repo)
    return repo / "libs/one#1"


def test_a_submodule_is_its_own_root(repo: Path, submodule: Path) -> None:
    assert [at(path) for path in subdirectories(submodule)] == [main_of(submodule)] * 3
    assert at(submodule.parent) == main_of(repo)


def test_a_worktree_of_a_submodule_shares_the_submodules_state(submodule: Path, tmp_path: Path) -> None:
    tree = add_worktree(submodule, tmp_path / "feature")
    assert [at(path) for path in subdirectories(tree)] == [linked_to(submodule, tree)] * 3


def test_a_worktree_of_a_submodule_that_is_checked_out_in_part(submodule: Path, tmp_path: Path) -> None:
    tree = add_worktree(submodule, tmp_path / "feature")
    git("sparse-checkout", "set", "--no-cone", "/lib.py", cwd=submodule)  # moves core.worktree to config.worktree
    assert at(submodule) == main_of(submodule)
    assert at(tree) == linked_to(submodule, tree)


def test_a_submodule_of_a_linked_worktree_is_its_own_root_too(repo: Path, submodule: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    git("-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init", cwd=tree)
    inner = tree / submodule.relative_to(repo)
    assert (inner / "lib.py").exists()
    assert at(inner) == main_of(inner)


def test_worktrees_of_a_bare_repository_share_the_state_in_it(repo: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git("clone", "-q", "--bare", str(repo), str(bare), cwd=tmp_path)
    one, two = add_worktree(bare, tmp_path / "one"), add_worktree(bare, tmp_path / "two")
    assert [at(path) for path in subdirectories(one)] == [linked_to(bare, one)] * 3
    assert at(two) == linked_to(bare, two)


@pytest.mark.parametrize("name", [".git", ".bare"])
def test_a_folder_around_a_bare_repository_shares_the_state_with_the_worktrees_in_it(
    name: str, repo: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    git("clone", "-q", "--bare", str(repo), str(project / name), cwd=tmp_path)
    if name != ".git":
        (project / ".git").write_text(f"gitdir: ./{name}\n")
    tree = add_worktree(project, project / "feature")
    assert at(project).state == at(tree).state
    assert (at(project).base, at(tree).base) == (str(project), str(tree))


def test_a_repository_kept_apart_from_its_tree(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    git("init", "-q", f"--separate-git-dir={tmp_path / 'kept.git'}", ".", cwd=tree)
    assert [at(path) for path in subdirectories(tree)] == [main_of(tree)] * 3


def test_a_repository_in_a_repository_is_its_own_root(repo: Path) -> None:
    inner = make_repo(repo / "vendor/inner")
    assert at(inner / "src") == main_of(inner)
    assert at(repo / "vendor") == main_of(repo)


def test_a_symlink_leads_to_what_it_points_to(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo / "src")
    assert at(tmp_path / "link") == main_of(repo)


def test_a_directory_that_is_gone_still_belongs_to_its_repository(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = repo / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    home = at(gone)
    assert home == main_of(repo)
    assert resolve(f"{repo}/src/a.py", str(gone), home, {}) == (home, Target(scope="file", path="src/a.py"))
    assert resolve(f"{repo}/src/*.py", str(gone), home, {}) == (home, Target(scope="glob", path="src/*.py"))


@pytest.mark.parametrize("text", ["", "nonsense", "gitdir:", "gitdir: /nowhere/at/all\n", "gitdir: .\n", "\0\xff"])
def test_a_broken_pointer_is_passed_over(text: str, repo: Path) -> None:
    (repo / "src/.git").write_text(text)
    assert at(repo / "src") == main_of(repo)


def test_an_empty_git_directory_is_passed_over(repo: Path) -> None:
    (repo / "src/.git").mkdir()
    assert at(repo / "src") == main_of(repo)


def test_a_pipe_in_place_of_git_does_not_stop_anybody(repo: Path) -> None:
    os.mkfifo(repo / "src/.git")
    assert at(repo / "src") == main_of(repo)


def test_branches(repo: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    git("checkout", "-q", "-b", "fix/one", cwd=tree)
    assert (branch_of(str(repo)), branch_of(str(tree)), branch_of(str(tmp_path))) == ("main", "fix/one", None)
    git("checkout", "-q", "--detach", cwd=tree)
    assert branch_of(str(tree)) is None


# ---------------------------------------------------------------- no git
def test_without_git_the_directory_itself_is_the_root(tmp_path: Path) -> None:
    assert find_repository(str(tmp_path)) is None
    assert at(tmp_path / "plain/sub") == main_of(tmp_path / "plain/sub")


def test_without_git_an_ancestor_that_has_state_is_the_root(tmp_path: Path) -> None:
    (tmp_path / "plain" / STATE).mkdir(parents=True)
    assert [at(path) for path in subdirectories(tmp_path / "plain")] == [main_of(tmp_path / "plain")] * 3


def test_without_git_the_nearest_state_counts(tmp_path: Path) -> None:
    (tmp_path / "outer" / STATE).mkdir(parents=True)
    (tmp_path / "outer/inner" / STATE).mkdir(parents=True)
    assert at(tmp_path / "outer/inner/sub") == main_of(tmp_path / "outer/inner")
    assert at(tmp_path / "outer/other") == main_of(tmp_path / "outer")


def test_a_bare_claude_directory_never_counts(tmp_path: Path) -> None:
    (tmp_path / "home/.claude").mkdir(parents=True)
    (tmp_path / "home/project/.claude").mkdir(parents=True)
    assert at(tmp_path / "home/project/sub") == main_of(tmp_path / "home/project/sub")
    assert at(tmp_path / "home/other") == main_of(tmp_path / "home/other")


def test_git_counts_for_more_than_state_further_up_or_down(repo: Path) -> None:
    (repo.parent / STATE).mkdir(parents=True)
    (repo / "src" / STATE).mkdir(parents=True)
    assert at(repo / "src") == main_of(repo)


# ---------------------------------------------------------------- by order
def test_a_root_by_order_counts_for_more_than_git(repo: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert at(repo / "src", AGENT_SYNC_ROOT=str(other)) == main_of(other)


def test_a_root_by_order_knows_its_linked_worktrees(repo: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    assert at(tree / "src", AGENT_SYNC_ROOT=str(repo)) == linked_to(repo, tree)


def test_a_root_by_order_is_real(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    assert at(tmp_path, AGENT_SYNC_ROOT=str(tmp_path / "link")) == main_of(repo)


def test_a_state_directory_by_order_moves_nothing_else(repo: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    state = str(tmp_path / "state")
    assert at(repo / "src", AGENT_SYNC_DIR=state) == Place(str(repo), state, str(repo), None)
    assert at(tree, AGENT_SYNC_DIR=state) == Place(str(repo), state, str(tree), "feature")


def test_both_orders_go_together(repo: Path, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    found = at(tmp_path, AGENT_SYNC_DIR=state, AGENT_SYNC_ROOT=str(repo))
    assert found == Place(str(repo), state, str(repo), None)


def test_an_empty_order_is_none(repo: Path) -> None:
    assert at(repo, AGENT_SYNC_DIR="", AGENT_SYNC_ROOT="") == main_of(repo)


# ---------------------------------------------------------------- which place judges a file
def judge_of(path: Path, home: Path) -> Place:
    return locate_path(str(path), at(home), {})


def test_a_file_is_judged_by_its_own_repository(repo: Path, tmp_path: Path) -> None:
    other = make_repo(tmp_path / "other")
    assert judge_of(other / "src/app.py", repo) == main_of(other)
    assert judge_of(other / "new/file.py", repo) == main_of(other)
    assert judge_of(other / "top.py", repo) == main_of(other)
    assert resolve("../other/src/app.py", str(repo), at(repo), {}) == (
        main_of(other),
        Target(scope="file", path="src/app.py"),
    )
    assert resolve("../other/src/*.py", str(repo), at(repo), {}) == (
        main_of(other),
        Target(scope="glob", path="src/*.py"),
    )


def test_a_file_in_another_worktree_is_judged_as_of_that_one(repo: Path) -> None:
    tree = add_worktree(repo, repo / "trees/feature")
    assert judge_of(tree / "src/a.py", repo) == linked_to(repo, tree)
    assert judge_of(repo / "src/a.py", tree) == main_of(repo)
    _, there = resolve("trees/feature/src/a.py", str(repo), at(repo), {})
    assert there == Target(scope="file", path="src/a.py", worktree="feature")


def test_a_file_in_a_submodule_is_judged_there(repo: Path, submodule: Path) -> None:
    assert judge_of(submodule / "lib.py", repo) == main_of(submodule)
    assert judge_of(submodule, repo) == main_of(submodule)
    assert judge_of(repo / "src/a.py", submodule) == main_of(repo)


def test_a_file_in_no_repository_is_judged_at_home(repo: Path, tmp_path: Path) -> None:
    assert judge_of(tmp_path / "notes.txt", repo) == main_of(repo)
    place, target = resolve("../notes.txt", str(repo), at(repo), {})
    assert (place, target) == (main_of(repo), Target(scope="file", path=f"{tmp_path}/notes.txt"))


def test_a_path_outside_belongs_to_no_worktree(repo: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    for typed in ("../notes.txt", "../notes/*.txt"):
        _, target = resolve(typed, str(tree), at(tree), {}, everywhere=True)
        assert target.path.startswith(f"{tmp_path}/notes")
        assert (target.worktree, target.everywhere) == (None, False)


def test_a_path_inside_belongs_to_its_worktree(repo: Path, tmp_path: Path) -> None:
    tree = add_worktree(repo, tmp_path / "feature")
    for typed in ("src/a.py", "src/*.py", "src/"):
        _, target = resolve(typed, str(tree), at(tree), {}, everywhere=True)
        assert (target.path, target.worktree, target.everywhere) == (typed, "feature", True)


# ---------------------------------------------------------------- what a typed path means
@pytest.mark.parametrize(
    ("typed", "scope", "path"),
    [
        ("src/a.py", "file", "src/a.py"),
        ("./src/../src//a.py", "file", "src/a.py"),
        ("{repo}/src/a.py", "file", "src/a.py"),
        ("{repo}", "dir", ROOT),
        (".", "dir", ROOT),
        ("src", "dir", "src/"),
        ("src/", "dir", "src/"),
        ("src/new", "file", "src/new"),
        ("src/new/", "dir", "src/new/"),
        ("new/deep/x.py", "file", "new/deep/x.py"),
        ("link", "dir", "src/"),
        ("link/a.py", "file", "src/a.py"),
        ("link.py", "file", "src/a.py"),
        ("dangling.py", "file", "src/not-yet.py"),
        ("out", "file", "{tmp}/elsewhere.txt"),
        ("/etc/hosts", "file", "/etc/hosts"),
        ("cafe\u0301.py", "file", "caf\u00e9.py"),
        ("with space ", "file", "with space "),
        ("~/x", "file", "~/x"),
        ("-x", "file", "-x"),
    ],
)
def test_what_a_typed_path_means(typed: str, scope: str, path: str, repo: Path, tmp_path: Path) -> None:
    (repo / "link").symlink_to("src")
    (repo / "link.py").symlink_to(repo / "src/a.py")
    (repo / "dangling.py").symlink_to("src/not-yet.py")
    (repo / "out").symlink_to(tmp_path / "elsewhere.txt")
    place, target = resolve(typed.format(repo=repo), str(repo), at(repo), {})
    assert place == main_of(repo)
    assert (target.scope, target.path) == (scope, path.format(tmp=tmp_path))


def test_paths_are_relative_to_where_they_are_typed(repo: Path) -> None:
    home = at(repo / "src")
    assert resolve("a.py", str(repo / "src"), home, {})[1].path == "src/a.py"
    assert resolve("../README.md", str(repo / "src"), home, {})[1].path == "README.md"
    assert resolve(".", str(repo / "src"), home, {})[1].path == "src/"


@pytest.mark.parametrize("typed", ["", "   ", "a\0b", "x" * (MAX_PATH + 1), "\ud800"])
def test_what_cannot_be_a_path_is_a_usage_error(typed: str, repo: Path) -> None:
    with pytest.raises(UsageError):
        real_path(typed, str(repo))
    with pytest.raises(UsageError):
        resolve(typed, str(repo), at(repo), {})


def test_bytes_that_are_no_text_cannot_be_locked(repo: Path) -> None:
    """Records are JSON, and JSON is Unicode."""
    with pytest.raises(UsageError, match="not a path"):
        resolve(os.fsdecode(b"caf\xe9.py"), str(repo), at(repo), {})


def test_a_neighbour_with_a_longer_name_is_outside(repo: Path) -> None:
    assert name_in(f"{repo}-old/a.py", main_of(repo)) == f"{repo}-old/a.py"
    assert name_in(f"{repo}/a.py", main_of(repo)) == "a.py"
    assert name_in(str(repo), main_of(repo)) == "."


def test_the_top_of_the_file_system_may_be_the_root() -> None:
    top = Place("/", f"/{STATE}", "/")
    assert name_in("/etc/hosts", top) == "etc/hosts"
    assert name_in("/", top) == "."


@pytest.mark.parametrize("typed", ["/", "..", "{tmp}", "../**", "/**/*.py"])
def test_what_reaches_in_from_outside_covers_what_is_inside_or_is_refused(
    typed: str, repo: Path, tmp_path: Path
) -> None:
    home = at(repo)
    _, inside = resolve("src/a.py", str(repo), home, {})
    try:
        _, outside = resolve(typed.format(tmp=tmp_path), str(repo), home, {})
    except UsageError:
        return
    assert overlap(outside, inside)


def test_everything_outside_can_be_named(repo: Path) -> None:
    try:
        _, top = resolve("/", str(repo), at(repo), {})
    except UsageError:
        return
    assert overlap(top, Target(scope="file", path="/etc/hosts"))
