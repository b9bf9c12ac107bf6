"""Installing git's hooks: where git looks for them, beside what is there, and out again without a trace."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from repos import Shop
from world import git

EVENTS = {"pre-commit", "pre-merge-commit", "post-commit", "post-merge", "pre-push"}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def picture(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a folder: kinds, modes, content, links."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (stat.S_IFMT(mode), mode & 0o7777, content)
    return found


def put(path: Path, text: str = '#!/bin/sh\necho "old $0 $*" >>"$HOME/ran"\n', mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def ran(shop: Shop) -> list[str]:
    log = shop.home / "ran"
    return log.read_text().splitlines() if log.exists() else []


def test_hooks_go_where_git_looks_and_out_again_without_a_trace(shop: Shop) -> None:
    before = picture(shop.root / ".git/hooks")
    assert shop.hooked().code == 0
    hooks = {name for name in os.listdir(shop.root / ".git/hooks") if not name.endswith(".sample")}
    assert hooks == EVENTS
    assert shop.agent("a").does("uninstall", "--git").code == 0
    assert picture(shop.root / ".git/hooks") == before


def test_installing_twice_changes_nothing(shop: Shop) -> None:
    shop.hooked()
    before = picture(shop.root / ".git/hooks")
    assert "in place already" in shop.hooked().out
    assert picture(shop.root / ".git/hooks") == before
    shop.agent("a").does("uninstall", "--git")
    assert "no hooks of ours" in shop.agent("a").does("uninstall", "--git").out


def test_a_dry_run_says_what_would_happen_and_does_nothing(shop: Shop) -> None:
    put(shop.root / ".git/hooks/pre-push")
    before = picture(shop.root)
    said = shop.agent("a").does("install", "--git", "--dry-run")
    assert "would have kept" in said.out
    assert said.out.count("would have made") == 5
    assert picture(shop.root) == before
    shop.hooked()
    before = picture(shop.root)
    assert "would have restored" in shop.agent("a").does("uninstall", "--git", "--dry-run").out
    assert picture(shop.root) == before


def test_json_names_the_files(shop: Shop) -> None:
    put(shop.root / ".git/hooks/pre-push")
    answer = shop.agent("a").answers("install", "--git")
    assert (answer["kind"], answer["client"], answer["dry_run"]) == ("installation", "git", False)
    assert {Path(path).name for path in answer["changed"]} == EVENTS
    assert [Path(path).name for path in answer["kept"]] == ["pre-push.before-agent-sync"]


@pytest.mark.parametrize("shell", ["#!/bin/sh", "#!/usr/bin/env bash", "#!/bin/sh -e"])
def test_the_hook_that_was_there_runs_first_under_its_own_name(shop: Shop, shell: str) -> None:
    put(shop.root / ".git/hooks/pre-commit", f'{shell}\necho "old $0 $# $(pwd)" >>"$HOME/ran"\n')
    shop.hooked()
    bob = shop.agent("bob")
    bob.writes("other.py")
    bob.must("commit", "-qam", "x")
    assert ran(shop) == [f"old .git/hooks/pre-commit 0 {shop.root}"]


def test_its_refusal_counts_and_so_does_ours_after_its_consent(shop: Shop) -> None:
    hook = put(shop.root / ".git/hooks/pre-commit", "#!/bin/sh\necho no >&2; exit 7\n")
    shop.hooked()
    bob = shop.agent("bob")
    bob.writes("other.py")
    assert bob.git("commit", "-qam", "x").code == 1
    put(hook.with_name("pre-commit.before-agent-sync"), '#!/bin/sh\necho yes >>"$HOME/ran"\n')
    shop.agent("alice").does("lock", "other.py")
    assert bob.git("commit", "-qam", "x").code == 1
    assert ran(shop) == ["yes"]


def test_a_hook_in_another_language_runs_too(shop: Shop) -> None:
    put(shop.root / ".git/hooks/pre-commit", "#!/usr/bin/env python3\nimport sys; sys.exit(9)\n")
    shop.hooked()
    bob = shop.agent("bob")
    bob.writes("other.py")
    assert bob.git("commit", "-qam", "x").code == 1


def test_a_hook_that_is_not_executable_stays_without_effect(shop: Shop) -> None:
    put(shop.root / ".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n", 0o644)
    before = picture(shop.root / ".git/hooks")
    shop.hooked()
    bob = shop.agent("bob")
    bob.writes("other.py")
    bob.must("commit", "-qam", "x")
    bob.does("uninstall", "--git")
    assert picture(shop.root / ".git/hooks") == before


def test_a_hook_that_is_a_link_comes_back_as_that_link(shop: Shop) -> None:
    put(shop.root / "tools/check.sh")
    (shop.root / ".git/hooks/pre-commit").symlink_to("../../tools/check.sh")
    (shop.root / ".git/hooks/post-merge").symlink_to("nowhere")
    before = picture(shop.root / ".git/hooks")
    shop.hooked()
    bob = shop.agent("bob")
    bob.writes("other.py")
    bob.must("commit", "-qam", "x")
    assert len(ran(shop)) == 1
    bob.does("uninstall", "--git")
    assert picture(shop.root / ".git/hooks") == before


def test_a_pre_push_hook_gets_the_same_words_and_the_same_input_to_the_byte(shop: Shop, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "origin.git"), cwd=tmp_path)
    put(shop.root / ".git/hooks/pre-push", '#!/bin/sh\necho "$*" >>"$HOME/ran"; cat >"$HOME/stdin"\n')
    shop.hooked()
    bob = shop.agent("bob")
    bob.must("remote", "add", "origin", str(tmp_path / "origin.git"))
    for locked in (False, True):
        if locked:
            shop.agent("alice").does("lock", "zzz")
            bob.must("commit", "-q", "--allow-empty", "-m", "x")
        bob.must("push", "-q", "origin", "main")
        words = (tmp_path / "stdin").read_text()
        assert words.startswith("refs/heads/main ")
        assert words.endswith("\n")
        assert words.count("\n") == 1
        assert ran(shop)[-1] == f"origin {tmp_path}/origin.git"
    bob.git("push", "-q", "origin", "main")
    assert (tmp_path / "stdin").read_bytes() == b"", "nothing to push is no line, not an empty one"


def test_what_is_done_to_the_old_hook_meanwhile_is_kept(shop: Shop) -> None:
    put(shop.root / ".git/hooks/pre-commit")
    shop.hooked()
    put(shop.root / ".git/hooks/pre-commit.before-agent-sync", "#!/bin/sh\necho newer\n", 0o700)
    shop.agent("a").does("uninstall", "--git")
    hook = shop.root / ".git/hooks/pre-commit"
    assert hook.read_text() == "#!/bin/sh\necho newer\n"
    assert hook.stat().st_mode & 0o777 == 0o700


def test_a_hook_of_ours_that_somebody_has_added_to_is_left_and_said(shop: Shop) -> None:
    shop.hooked()
    hook = shop.root / ".git/hooks/pre-commit"
    hook.write_text(hook.read_text() + "echo mine\n")
    for command in ("install", "uninstall"):
        said = shop.agent("a").does(command, "--git")
        assert said.code == 1
        assert str(hook) in said.err
        assert hook.read_text().endswith("echo mine\n")
    assert not (shop.root / ".git/hooks/post-commit").exists()


def test_an_older_version_of_ours_is_replaced(shop: Shop) -> None:
    from agentsync.ops import git_hooks

    put(shop.root / ".git/hooks/pre-commit", "#!/bin/sh\nexit 0\n")
    shop.hooked()
    hook = shop.root / ".git/hooks/pre-commit"
    newest = hook.read_bytes()
    hook.write_bytes(git_hooks._sealed(b"#!/bin/sh\n# The agent-sync git hook. Older.\nexit 0\n", made=False))
    shop.hooked()
    assert hook.read_bytes() == newest
    assert (shop.root / ".git/hooks/pre-commit.before-agent-sync").read_text() == "#!/bin/sh\nexit 0\n"


def test_another_tools_hook_over_ours_is_not_taken_for_ours(shop: Shop) -> None:
    put(shop.root / ".git/hooks/pre-commit", "#!/bin/sh\necho first\n")
    shop.hooked()
    put(shop.root / ".git/hooks/pre-commit", "#!/bin/sh\necho theirs\n")
    before = picture(shop.root / ".git/hooks")
    said = shop.hooked()
    assert said.code == 1
    assert "nothing was installed" in said.err
    assert picture(shop.root / ".git/hooks") == before
    assert shop.agent("a").does("uninstall", "--git").code == 1
    assert (shop.root / ".git/hooks/pre-commit").read_text() == "#!/bin/sh\necho theirs\n"
    assert (shop.root / ".git/hooks/pre-commit.before-agent-sync").read_text() == "#!/bin/sh\necho first\n"


def test_an_old_hook_whose_follower_was_deleted_comes_back(shop: Shop) -> None:
    put(shop.root / ".git/hooks/pre-commit")
    before = picture(shop.root / ".git/hooks")
    shop.hooked()
    (shop.root / ".git/hooks/pre-commit").unlink()
    shop.agent("a").does("uninstall", "--git")
    assert picture(shop.root / ".git/hooks") == before


@pytest.mark.parametrize("where", [".githooks", "deep/er hooks", "/outside"])
def test_the_configured_hooks_directory_is_used(shop: Shop, where: str, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" if where == "/outside" else shop.root / where
    put(folder / "pre-commit")
    before = picture(folder)
    bob = shop.agent("bob")
    bob.must("config", "core.hooksPath", str(folder) if where == "/outside" else where)
    said = shop.hooked()
    assert said.code == 0
    assert ("other repositories" in said.err) is (where == "/outside")
    assert set(os.listdir(folder)) >= EVENTS
    bob.writes("other.py")
    shop.agent("alice").does("lock", "other.py")
    assert bob.git("commit", "-qam", "x").code == 1
    assert len(ran(shop)) == 1
    bob.does("uninstall", "--git")
    assert picture(folder) == before


def test_a_hooks_directory_that_is_a_link_stays_one(shop: Shop, tmp_path: Path) -> None:
    hooks = shop.root / ".git/hooks"
    hooks.rename(tmp_path / "real")
    hooks.symlink_to(tmp_path / "real")
    before = picture(tmp_path / "real")
    shop.hooked()
    assert (tmp_path / "real/pre-commit").exists()
    shop.agent("a").does("uninstall", "--git")
    assert hooks.is_symlink()
    assert picture(tmp_path / "real") == before


def test_a_directory_that_had_to_be_made_goes_again(shop: Shop) -> None:
    subprocess.run(["rm", "-r", str(shop.root / ".git/hooks")], check=True)
    shop.hooked()
    shop.hooked()
    assert (shop.root / ".git/hooks/pre-commit").exists()
    shop.agent("a").does("uninstall", "--git")
    assert not (shop.root / ".git/hooks").exists()


def test_a_linked_worktree_shares_the_hooks_of_its_repository(shop: Shop, tmp_path: Path) -> None:
    git("worktree", "add", "-q", "../linked", cwd=shop.root)
    shop.hooked(tmp_path / "linked")
    assert (shop.root / ".git/hooks/pre-commit").exists()
    shop.agent("a").does("uninstall", "--git")
    assert not (shop.root / ".git/hooks/pre-commit").exists()


def test_a_submodule_has_hooks_of_its_own(shop: Shop, tmp_path: Path) -> None:
    other = Shop(tmp_path / "b", {"lib.py": "x\n"})
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.root), "vendor/lib", cwd=shop.root)
    shop.hooked(shop.root / "vendor/lib")
    assert (shop.root / ".git/modules/vendor/lib/hooks/pre-commit").exists()
    assert not (shop.root / ".git/hooks/pre-commit").exists()


def test_a_bare_repository_has_hooks_too(shop: Shop, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", str(shop.root), str(tmp_path / "bare.git"), cwd=tmp_path)
    assert shop.hooked(tmp_path / "bare.git").code == 0
    assert (tmp_path / "bare.git/hooks/pre-push").exists()


def test_variables_that_point_elsewhere_do_not_lead_the_installation_astray(shop: Shop, tmp_path: Path) -> None:
    other = Shop(tmp_path / "b", {"lib.py": "x\n"})
    shop.agent("a", GIT_DIR=str(other.root / ".git"), GIT_WORK_TREE=str(other.root)).does("install", "--git")
    assert (shop.root / ".git/hooks/pre-commit").exists()
    assert not (other.root / ".git/hooks/pre-commit").exists()


def test_a_client_beside_it_is_a_typing_error(shop: Shop) -> None:
    for command in ("install", "uninstall"):
        assert shop.agent("a").does(command, "--git", "--client", "claude").code == 2


def test_outside_of_a_repository_it_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    (tmp_path / "plain").mkdir()
    said = shop.agent("a", tmp_path / "plain").does("install", "--git")
    assert said.code == 1
    assert "git" in said.err
    assert "Traceback" not in said.err


def test_without_our_python_git_goes_on_and_says_so(shop: Shop) -> None:
    shop.hooked()
    shop.agent("alice").does("lock", "other.py")
    (shop.state / "python").write_text("/nonexistent/python\n")
    bob = shop.agent("bob", PATH="/usr/bin:/bin")
    bob.writes("other.py")
    said = bob.git("commit", "-qam", "x")
    assert said.code == 0
    assert "its Python is gone" in said.err
    (shop.state / "python").write_text("/usr/bin/false\n")
    bob.writes("other.py", "again\n")
    said = bob.git("commit", "-qam", "x")
    assert said.code == 0
    assert "not guarded" in said.err


def test_shellcheck_has_nothing_to_say() -> None:
    from repos import BIN

    if not (BIN / "shellcheck").exists():
        pytest.skip("shellcheck is not installed")
    hook = Path(__file__).parents[2] / "hooks/git-hook"
    done = subprocess.run([BIN / "shellcheck", "--shell=sh", hook], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_doctor_says_which_of_them_are_there_and_mends_with_an_installation(shop: Shop) -> None:
    def level() -> str:
        findings = shop.agent("a").does("doctor", "--json")
        (found,) = [one for one in json.loads(findings.out)["findings"] if one["check"] == "git hooks"]
        return str(found["level"])

    assert "install --git" in shop.agent("a").does("doctor").out
    assert level() == "ok"
    shop.hooked()
    assert level() == "ok"
    hook = shop.root / ".git/hooks/pre-push"
    for damage in (hook.unlink, lambda: hook.chmod(0o600)):
        damage()
        assert level() == "problem"
        if hook.exists():
            hook.unlink()
        shop.hooked()
        assert level() == "ok"
    (shop.root / ".git/hooks/pre-commit").write_text((shop.root / ".git/hooks/pre-commit").read_text() + "echo mine\n")
    assert level() == "ok", "what the user has added is his"
