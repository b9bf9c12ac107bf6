"""The board as a ref of a git remote: what git does to it, and what it does to the user's repository, which is nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from world import git, make_repo

from agentsync.remote.backend import Done, Lost, Rejected, Snapshot, Unreachable
from agentsync.remote.plain_git import REPOSITORY, PlainGit
from agentsync.store.files import Files

REF = "refs/agentsync/state"


class Clone:
    """A user's repository, and an engine for it."""

    def __init__(self, tmp_path: Path, name: str = "clone") -> None:
        self.top = make_repo(tmp_path / name)
        self.state = self.top / ".claude/coordination"
        (self.state / "tmp").mkdir(parents=True)

    def engine(self, remote: object, limit_s: float = 20.0, **env: str) -> PlainGit:
        files = Files(str(self.state), f"t{os.urandom(3).hex()}")
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.top.parent), **env}
        return PlainGit(files, str(self.top), str(remote), REF, env=variables, limit_s=limit_s)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    git("init", "-q", "--bare", "hub.git", cwd=tmp_path)
    return tmp_path / "hub.git"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def begun(engine: PlainGit) -> Snapshot:
    found = engine.read(None)
    assert isinstance(found, Snapshot), found
    return found


def content(top: Path) -> dict[str, bytes]:
    """Every file of the user's repository, the state left out."""
    kept = (path for path in top.rglob("*") if path.is_file() and ".claude" not in path.parts)
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in kept}


def hook(hub: Path, name: str, script: str) -> None:
    path = hub / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


# ---------------------------------------------------------------- the user's repository
def test_nothing_of_the_users_repository_changes(clone: Clone, hub: Path) -> None:
    git("remote", "add", "origin", str(hub), cwd=clone.top)
    (clone.top / ".git/hooks").mkdir(exist_ok=True)
    for name in ("pre-push", "reference-transaction", "post-commit"):
        path = clone.top / ".git/hooks" / name
        path.write_text("#!/bin/sh\ntouch ran; exit 1\n")
        path.chmod(0o755)
    before = content(clone.top)
    engine = clone.engine("origin")
    assert isinstance(engine.swap(begun(engine).version, {"a": b"1"}, "a test"), Done)
    assert isinstance(engine.read(None), Snapshot)
    assert content(clone.top) == before
    assert git("for-each-ref", cwd=hub).split()[2] == REF


def test_an_ordinary_fetch_or_clone_does_not_bring_the_board(clone: Clone, hub: Path, tmp_path: Path) -> None:
    git("remote", "add", "origin", str(hub), cwd=clone.top)
    git("push", "-q", "origin", "main", cwd=clone.top)
    engine = clone.engine("origin")
    assert isinstance(engine.swap(begun(engine).version, {"a": b"1"}, "a test"), Done)
    git("clone", "-q", str(hub), "other", cwd=tmp_path)
    assert "agentsync" not in git("for-each-ref", cwd=tmp_path / "other")


def test_the_callers_variables_lead_nowhere_else(clone: Clone, hub: Path, tmp_path: Path) -> None:
    elsewhere = Clone(tmp_path, "elsewhere")
    before = content(elsewhere.top)
    bad = {
        "GIT_DIR": str(elsewhere.top / ".git"),
        "GIT_WORK_TREE": str(elsewhere.top),
        "GIT_INDEX_FILE": str(elsewhere.top / ".git/index"),
        "GIT_OBJECT_DIRECTORY": str(elsewhere.top / ".git/objects"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "nonsense",
    }
    engine = clone.engine(hub, **bad)
    assert isinstance(engine.swap(begun(engine).version, {"a": b"1"}, "a test"), Done)
    assert content(elsewhere.top) == before


def test_what_the_user_has_configured_for_the_way_is_used(clone: Clone, hub: Path) -> None:
    git("remote", "add", "team", "team:board", cwd=clone.top)
    git("config", f"url.{hub}.insteadOf", "team:board", cwd=clone.top)
    engine = clone.engine("team")
    assert isinstance(engine.swap(begun(engine).version, {"a": b"1"}, "a test"), Done)


def test_a_relative_address_is_relative_to_the_working_tree(clone: Clone, hub: Path) -> None:
    git("remote", "add", "origin", "../hub.git", cwd=clone.top)
    engine = clone.engine("origin")
    assert isinstance(engine.swap(begun(engine).version, {"a": b"1"}, "a test"), Done)


def test_our_repository_may_be_deleted_at_any_time(clone: Clone, hub: Path) -> None:
    engine = clone.engine(hub)
    done = engine.swap(begun(engine).version, {"a": b"1"}, "a test")
    assert isinstance(done, Done)
    subprocess.run(["rm", "-rf", str(clone.state / REPOSITORY)], check=True)
    anew = clone.engine(hub)
    assert anew.recall(done.version) is None
    found = anew.read(done.version)
    assert isinstance(found, Snapshot)
    assert (found.files, found.follows) == ({"a": b"1"}, True)


def test_what_has_gathered_is_thrown_away_in_the_end(clone: Clone, hub: Path) -> None:
    engine = clone.engine(hub)
    done = engine.swap(begun(engine).version, {"a": b"1"}, "a test")
    assert isinstance(done, Done)
    heap = clone.state / REPOSITORY / "objects/17"
    heap.mkdir(exist_ok=True)
    for number in range(30):
        (heap / f"{number:038x}").write_bytes(b"")
    found = clone.engine(hub).read(done.version)
    assert isinstance(found, Snapshot)
    assert (found.version, found.files, found.follows) == (done.version, {"a": b"1"}, True)
    assert not heap.exists() or len(list(heap.iterdir())) < 3


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_objects_that_a_power_cut_took_are_fetched_again(clone: Clone, hub: Path, how: str) -> None:
    engine = clone.engine(hub)
    done = engine.swap(begun(engine).version, {"a": b"1"}, "a test")
    assert isinstance(done, Done)
    for path in (clone.state / REPOSITORY / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.unlink() if how == "gone" else path.write_bytes(b"")
    anew = clone.engine(hub)
    assert anew.recall(done.version) is None
    found = anew.read(done.version)
    assert isinstance(found, Snapshot), found
    assert (found.version, found.files, found.follows) == (done.version, {"a": b"1"}, True)
    assert isinstance(anew.swap(found.version, {"a": b"2"}, "a test"), Done)


def test_a_directory_that_a_power_cut_took_is_not_taken_for_an_empty_one(clone: Clone, hub: Path) -> None:
    engine = clone.engine(hub)
    before = {"a": b"1", "b/c": b"2", "d/e": b"3"}
    done = engine.swap(begun(engine).version, before, "a test")
    assert isinstance(done, Done)
    tree = git("rev-parse", f"{done.version}:b", cwd=hub).strip()
    (clone.state / REPOSITORY / "objects" / tree[:2] / tree[2:]).unlink()
    anew = clone.engine(hub)
    assert anew.swap(done.version, {"b/f": b"4"}, "a test") == Lost()
    found = anew.read(done.version)
    assert isinstance(found, Snapshot)
    assert (found.files, found.follows) == (before, True)
    assert isinstance(anew.swap(found.version, {"b/f": b"4"}, "a test"), Done)
    assert begun(clone.engine(hub)).files == before | {"b/f": b"4"}


def test_a_repository_with_the_other_hash(tmp_path: Path) -> None:
    made = subprocess.run(["git", "init", "-q", "--bare", "--object-format=sha256", "hub.git"], cwd=tmp_path)
    if made.returncode != 0:
        pytest.skip("this git knows one hash only")
    top = tmp_path / "clone"
    git("init", "-q", "--object-format=sha256", str(top), cwd=tmp_path)
    (top / ".claude/coordination/tmp").mkdir(parents=True)
    clone = object.__new__(Clone)
    clone.top, clone.state = top, top / ".claude/coordination"
    engine = clone.engine(tmp_path / "hub.git")
    done = engine.swap(begun(engine).version, {"a": b"1"}, "a test")
    assert isinstance(done, Done)
    assert len(done.version) == 64


# ---------------------------------------------------------------- what the remote says
@pytest.mark.parametrize("name", ["pre-receive", "update"])
def test_a_hook_that_says_no_is_quoted(clone: Clone, hub: Path, name: str) -> None:
    hook(hub, name, "echo 'only releases on Fridays' >&2; exit 1")
    engine = clone.engine(hub)
    refused = engine.swap(begun(engine).version, {"a": b"1"}, "a test")
    assert isinstance(refused, Rejected)
    assert "hook declined" in refused.reason
    assert "only releases on Fridays" in refused.reason


def test_a_hidden_ref_is_refused(clone: Clone, hub: Path) -> None:
    git("config", "receive.hideRefs", "refs/agentsync", cwd=hub)
    engine = clone.engine(hub)
    assert isinstance(engine.swap(begun(engine).version, {"a": b"1"}, "a test"), Rejected)


def test_a_remote_that_keeps_history_refuses_to_fold_it(clone: Clone, hub: Path) -> None:
    hook(hub, "update", 'expr "$2" : "^0*$" >/dev/null || git merge-base --is-ancestor "$2" "$3"')
    engine = clone.engine(hub)
    assert isinstance(engine.swap(begun(engine).version, {"a": b"1"}, "a test"), Done)
    assert isinstance(engine.swap(begun(engine).version, {"a": b"2"}, "a test"), Done)
    outcome = engine.swap(begun(engine).version, {"a": b"3"}, "a test", squash=True)
    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize(
    "address", ["/nowhere/at/all.git", "file:///nowhere", "http://127.0.0.1:9/x.git", "ext::false", "gone"]
)
def test_who_does_not_answer_is_unreachable(clone: Clone, address: str) -> None:
    engine = clone.engine(address)
    assert isinstance(engine.read(None), Unreachable)
    assert isinstance(engine.swap(None, {"a": b"1"}, "a test"), Unreachable)


def ssh(folder: Path, script: str) -> str:
    path = folder / "ssh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_who_answers_nothing_is_killed_with_all_its_children(clone: Clone, tmp_path: Path) -> None:
    mark = f"4{os.getpid()}.5"
    program = ssh(tmp_path, f"sleep {mark} & sleep {mark}")
    engine = clone.engine("ssh://host/x.git", limit_s=1.0, GIT_SSH=program)
    start = time.monotonic()
    assert engine.read(None) == Unreachable("no answer in 1 s")
    assert time.monotonic() - start < 30
    time.sleep(0.1)
    assert mark.encode() not in b"".join(
        path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    )


def test_nobody_is_asked_for_a_password(clone: Clone, tmp_path: Path) -> None:
    server = """
import http.server
class Ask(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401); self.send_header("WWW-Authenticate", "Basic realm=x"); self.end_headers()
    def log_message(self, *words): pass
made = http.server.HTTPServer(("127.0.0.1", 0), Ask); print(made.server_port, flush=True); made.serve_forever()
"""
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None
            port = int(running.stdout.readline())
            asked = tmp_path / "asked"
            askpass = ssh(tmp_path, f"touch {asked}; echo secret")
            engine = clone.engine(f"http://127.0.0.1:{port}/x.git", GIT_ASKPASS=askpass, SSH_ASKPASS=askpass)
            found = engine.read(None)
        finally:
            running.kill()
    assert isinstance(found, (Rejected, Unreachable))
    assert not asked.exists()


def test_ssh_is_told_not_to_ask(clone: Clone, tmp_path: Path) -> None:
    said = tmp_path / "said"
    ssh(tmp_path, f'echo "$@" >{said}; exit 255')
    engine = clone.engine("ssh://host/x.git", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert isinstance(engine.read(None), Unreachable)
    assert "BatchMode=yes" in said.read_text()


def test_a_board_that_was_forced_back_does_not_follow(clone: Clone, hub: Path) -> None:
    engine = clone.engine(hub)
    first = engine.swap(begun(engine).version, {"a": b"1"}, "a test")
    second = engine.swap(begun(engine).version, {"a": b"2"}, "a test")
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    git("update-ref", REF, first.version, cwd=hub)
    found = engine.read(second.version)
    assert isinstance(found, Snapshot)
    assert (found.version, found.follows) == (first.version, False)
    git("update-ref", "-d", REF, cwd=hub)
    assert engine.read(second.version) == Snapshot(version=None, files={}, follows=False)


def test_an_unrelated_history_does_not_follow(clone: Clone, hub: Path, tmp_path: Path) -> None:
    engine = clone.engine(hub)
    done = engine.swap(begun(engine).version, {"a": b"1"}, "a test")
    assert isinstance(done, Done)
    other = make_repo(tmp_path / "unrelated")
    git("push", "-qf", str(hub), f"main:{REF}", cwd=other)
    found = engine.read(done.version)
    assert isinstance(found, Snapshot)
    assert not found.follows
    assert list(found.files) == ["src/app.py"]
