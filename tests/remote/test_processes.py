"""Real processes in real clones at one bare repository: races, kills, and what is left of them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_store
from rounds import ROUNDS
from world import git, make_repo

from agentsync.core import outgoing
from agentsync.core.locks import Granted
from agentsync.core.records import Lock
from agentsync.ops import contents, locks, remote, sync
from agentsync.ops.session import open_session
from agentsync.remote import objects, plain_git
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.ops.session import Session

REF = "refs/agentsync/state"


class Team:
    """Clones of one bare repository, each with an agent."""

    def __init__(self, tmp_path: Path, count: int) -> None:
        self.hub = tmp_path / "hub.git"
        git("init", "-q", "--bare", str(self.hub), cwd=tmp_path)
        seed = make_repo(tmp_path / "seed")
        git("push", "-q", str(self.hub), "main", cwd=seed)
        self.clones = [tmp_path / f"clone-{number}" for number in range(count)]
        for clone in self.clones:
            git("clone", "-q", "-b", "main", str(self.hub), str(clone), cwd=tmp_path)
            remote.add(self.session(clone), "origin")

    def session(self, clone: Path) -> Session:
        env = {"AGENT_SYNC_ID": f"agent-{clone.name[6:]}", "PATH": os.environ["PATH"], "HOME": str(clone.parent)}
        return open_session(Runtime(env=env, cwd=str(clone)))

    def board(self) -> dict[str, str]:
        """Who holds what, as the bare repository has it."""
        listed = git("ls-tree", "-r", "-z", "--name-only", REF, cwd=self.hub).split("\0")
        files = {objects.key_of(name): git("show", f"{REF}:{name}", cwd=self.hub).encode() for name in listed if name}
        return {lock.path: lock.holder for lock in contents.board(files).locks.values()}

    def commits(self) -> int:
        return int(git("rev-list", "--count", REF, cwd=self.hub))

    def check(self) -> None:
        """Nobody's state is damaged, and no git has left a lock file anywhere."""
        for clone in self.clones:
            check_store(clone / ".claude/coordination")
        assert [path for top in (self.hub, *self.clones) for path in top.rglob("*.lock")] == []


def forked(work: Callable[[], int]) -> int:
    """Start a process that does some work and ends with what that returns; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        code = work()
    finally:
        os._exit(code)


def ended(pids: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, 8])
def test_of_many_that_want_one_path_exactly_one_gets_it(tmp_path: Path, count: int) -> None:
    team = Team(tmp_path, count)
    for _ in range(max(2, ROUNDS // 2)):
        gate_read, gate_write = os.pipe()

        def race(clone: Path, gate: int = gate_read, held: int = gate_write) -> int:
            session = team.session(clone)
            os.close(held)
            os.read(gate, 1)  # until everybody is ready
            return 0 if isinstance(locks.lock(session, ["src/app.py"], remote=True), Granted) else 3

        pids = [forked(lambda clone=clone: race(clone)) for clone in team.clones]
        os.close(gate_write)
        os.close(gate_read)
        codes = ended(pids)
        assert sorted(codes) == [0, *[3] * (count - 1)]
        winner = codes.index(0)
        assert [holder.partition(".")[0] for holder in team.board().values()] == [f"agent-{winner}"]
        locks.unlock(team.session(team.clones[winner]), ["src/app.py"])
        assert team.board() == {}
    team.check()


@pytest.mark.slow
def test_of_many_that_want_different_paths_everybody_gets_his(tmp_path: Path) -> None:
    team = Team(tmp_path, 4)
    before = team.commits()

    def works(clone: Path) -> int:
        session = team.session(clone)
        return sum(not isinstance(locks.lock(session, [f"{clone.name}/{n}"], remote=True), Granted) for n in range(3))

    assert ended([forked(lambda clone=clone: works(clone)) for clone in team.clones]) == [0] * 4
    assert len(team.board()) == 12
    assert team.commits() == before + 12, "each lock is one commit"
    team.check()


def below(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have. None of the remote's: it lives elsewhere."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if b"receive-pack" not in Path(f"/proc/{child}/cmdline").read_bytes():
                found += [int(child), *below(int(child))]
        except FileNotFoundError:
            pass  # it has ended
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc says which processes there are")
def test_a_killed_process_leaves_nothing_that_stops_others_and_loses_nothing_it_told(tmp_path: Path) -> None:
    team = Team(tmp_path, 2)
    victim, other = team.clones
    told_read, told_write = os.pipe()
    chance = random.Random(7)

    def works(start: int) -> int:
        for number in range(start, start + 99):
            session = team.session(victim)
            path = f"f{number}"
            assert isinstance(locks.lock(session, [path], remote=True), Granted)
            os.write(told_write, f"locked {path}\n".encode())
            if number % 2:
                os.write(told_write, f"unlocking {path}\n".encode())
                locks.unlock(session, [path])
                os.write(told_write, f"unlocked {path}\n".encode())
        return 0

    os.set_blocking(told_read, False)
    told = ""
    for round_ in range(ROUNDS):
        pid = forked(lambda start=round_ * 100: works(start))
        os.setpgid(pid, pid)
        time.sleep(chance.uniform(0.02, 0.5))
        children = below(pid)  # each in a session of its own, so the group's end is not theirs
        os.killpg(pid, signal.SIGKILL)
        assert ended([pid]) == [-signal.SIGKILL]
        for child in children if round_ % 2 else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        while any(Path(f"/proc/{child}").exists() for child in children):
            time.sleep(0.01)  # what they still push is on the board then
        try:
            told += os.read(told_read, 1 << 16).decode()
        except BlockingIOError:
            pass  # it was killed before its first word
        words = dict(reversed(line.split()) for line in told.splitlines())
        sync.sync(team.session(victim))
        there = team.board()
        here = {h.lock.path for h in team.session(victim).store.state().locks() if h.lock.machine is not None}
        assert here == set(there), "what is there and what is here is the same"
        assert {path for path, word in words.items() if word == "locked"} <= here
        assert here.isdisjoint(path for path, word in words.items() if word == "unlocked")
        assert isinstance(locks.lock(team.session(other), ["other"], remote=True), Granted)
        locks.unlock(team.session(other), ["other"])
        team.check()


# ---------------------------------------------------------------- as typed
def typed(clone: Path, *words: str) -> tuple[int, str, str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(clone.parent), "AGENT_SYNC_ID": f"agent-{clone.name[6:]}"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agentsync", *words], cwd=clone, env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_the_commands_from_end_to_end(tmp_path: Path) -> None:
    team = Team(tmp_path, 2)
    east, west = team.clones
    code, out, _ = typed(east, "lock", "--remote", "src/app.py", "--reason", "a new colour")
    assert (code, "on all machines" in out) == (0, True)
    code, _, err = typed(west, "lock", "--remote", "src/app.py")
    assert code == 3
    assert "a new colour" in err
    assert "agent-sync sync" in err
    assert typed(west, "check", "src/app.py")[0] == 3
    code, out, _ = typed(west, "status")
    assert "MACHINES" in out
    assert "agent-0" in out
    assert '"kind": "remote"' in typed(west, "remote", "status", "--json")[1]
    assert typed(east, "unlock", "src/app.py")[0] == 0
    assert "gone: lock on src/app.py" in typed(west, "sync")[1]
    assert "nothing new" in typed(west, "sync")[1]
    assert typed(west, "remote", "remove")[0] == 0
    assert not (west / ".claude/coordination/remote.git").exists()
    code, _, err = typed(west, "sync")
    assert code == 2
    assert "remote add" in err
    assert "MACHINES" not in typed(west, "status")[1]


def test_the_gate_refuses_what_another_machine_holds(tmp_path: Path) -> None:
    team = Team(tmp_path, 2)
    east, west = team.clones
    gate = west / ".claude/hooks/agent-sync"
    gate.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[2] / "hooks/gate", gate)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AGENT_SYNC_ID": "agent-1", "PWD": str(west)}

    def judged(path: str) -> str:
        asked = {"session_id": "s", "tool_name": "Edit", "tool_input": {"file_path": str(west / path)}}
        done = subprocess.run(
            [str(gate), "pre-tool-use"], input=json.dumps(asked), cwd=west, env=env, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert typed(west, "heartbeat")[0] == 0
    assert judged("src/app.py") == ""
    assert typed(east, "lock", "--remote", "src/", "--reason", "a new colour")[0] == 0
    assert typed(west, "sync")[0] == 0
    team.hub.rename(tmp_path / "away.git")  # nobody is asked
    assert "a new colour" in judged("src/app.py")
    assert '"deny"' in judged("src/app.py").replace(" ", "")
    assert judged("other.py") == ""
    code, out, _ = typed(west, "doctor")
    assert (code, "all is well" in out) == (0, True)


def test_what_goes_wrong_is_told_with_its_code(tmp_path: Path) -> None:
    team = Team(tmp_path, 1)
    (clone,) = team.clones
    hook = team.hub / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not on Fridays' >&2\nexit 1\n")
    hook.chmod(0o755)
    code, out, err = typed(clone, "lock", "--remote", "a.py")
    assert (code, out) == (6, "")
    assert "not on Fridays" in err
    assert "nothing is locked" in typed(clone, "locks")[1]
    team.hub.rename(tmp_path / "away.git")
    code, out, err = typed(clone, "lock", "--remote", "a.py")
    assert (code, out) == (5, "")
    assert "could not be reached" in err
    assert typed(clone, "sync")[0] == 5
    assert typed(clone, "lock", "a.py")[0] == 0, "local work goes on"
    assert typed(clone, "remote", "add", "elsewhere")[0] == 2


def test_a_board_that_somebody_forced_back_is_mended(tmp_path: Path) -> None:
    team = Team(tmp_path, 2)
    east, west = team.clones
    old = git("rev-parse", REF, cwd=team.hub).strip()
    assert isinstance(locks.lock(team.session(east), ["a.py"], remote=True), Granted)
    assert isinstance(locks.lock(team.session(west), ["b.py"], remote=True), Granted)
    git("update-ref", REF, old, cwd=team.hub)
    code, out, err = typed(west, "sync")
    assert code == 0
    assert "rewound" in out + err
    assert sorted(team.board()) == ["a.py", "b.py"]
    unrelated = make_repo(tmp_path / "unrelated")
    git("push", "-qf", str(team.hub), f"main:{REF}", cwd=unrelated)
    code, _, err = typed(west, "sync")
    assert code == 6
    assert "no board" in err
    assert [h.lock.path for h in team.session(west).store.state().locks()] == ["a.py", "b.py"]


@pytest.mark.slow
@pytest.mark.parametrize("remote_is", ["git", "strict", "stricter"])
def test_history_is_folded_and_others_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote_is: str) -> None:
    monkeypatch.setattr(outgoing, "SQUASH_EVERY", 6)
    team = Team(tmp_path, 2)
    if remote_is == "strict":
        git("config", "receive.denyNonFastForwards", "true", cwd=team.hub)  # which git means for branches only
    if remote_is == "stricter":
        hook = team.hub / "hooks/update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text('#!/bin/sh\nexec git merge-base --is-ancestor "$2" "$3"\n')
        hook.chmod(0o755)
    east, west = team.clones
    for number in range(16):
        clone = west if number % 6 == 5 else east
        session = team.session(clone)
        assert isinstance(locks.lock(session, [f"{number}.py"], remote=True), Granted)
        assert session.store.warnings == [], "a fold is no rewind"
        if number % 4 == 3:
            session = team.session(west)
            assert not sync.sync(session).rewound
            assert session.store.warnings == []
    assert len(team.board()) == 16
    assert team.commits() >= 16 if remote_is == "stricter" else team.commits() <= 7
    team.check()


def test_what_is_kept_of_the_board_is_thrown_away_now_and_then_also_by_who_is_alone(tmp_path: Path) -> None:
    team = Team(tmp_path, 1)
    (clone,) = team.clones
    heap = clone / ".claude/coordination/remote.git/objects/17"
    heap.mkdir(exist_ok=True)
    for number in range(plain_git.MANY + 1):
        (heap / f"{number:038x}").write_bytes(b"")
    assert isinstance(locks.lock(team.session(clone), ["a.py"], remote=True), Granted)
    assert not heap.exists() or len(list(heap.iterdir())) < 3
    assert list(team.board()) == ["a.py"]


def test_a_repository_that_is_no_clone_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "clone-9"
    folder.mkdir()
    code, _, err = typed(folder, "remote", "add", "origin")
    assert code == 2
    assert "no git repository" in err


def test_lock_records_say_where_they_bind(tmp_path: Path) -> None:
    team = Team(tmp_path, 1)
    granted = locks.lock(team.session(team.clones[0]), ["a.py"], remote=True)
    assert isinstance(granted, Granted)
    (lock,) = granted.locks
    assert isinstance(lock, Lock)
    assert lock.machine == team.board()["a.py"].rpartition(".")[2]
    assert lock.everywhere
