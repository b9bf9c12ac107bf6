"""The library: the verbs for Python programs, as those would use them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_replay, check_store
from lines import stand
from world import make_repo

import agentsync
from agentsync.board import Board
from agentsync.errors import NotFoundError, UnusableError, UsageError
from agentsync.ops import agents, session
from agentsync.runtime import Runtime
from agentsync.store.files import Files
from agentsync.store.locate import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing costs nothing."""


@pytest.fixture
def repo() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        root = make_repo(Path(top) / "repo")
        yield root
        check_store(root / ".claude/coordination")


def board(repo: Path, agent: str = "alice") -> Board:
    return agentsync.open(repo, agent=agent)


def names(found: Iterator[agentsync.Held] | list[agentsync.Held]) -> list[tuple[str, str]]:
    return [(held.lock.path, held.lock.holder) for held in found]


# ---------------------------------------------------------------- verbs and outcomes
def test_a_lock_is_granted_or_in_conflict_and_the_outcome_says_with_whom(repo: Path) -> None:
    granted = board(repo).lock("src/app.py", "docs/", reason="rewrite", ttl_minutes=5)
    match granted:
        case agentsync.Granted(locks=(first, second)):
            assert (first.path, first.scope, first.reason, first.ttl_s) == ("src/app.py", "file", "rewrite", 300)
            assert (second.path, second.scope) == ("docs/", "dir")
        case _:
            pytest.fail(f"{granted}")
    match board(repo, "bob").lock("docs/new.md"):
        case agentsync.Conflict(blocked=(agentsync.Blocked() as blocked,)):
            assert (blocked.target.path, blocked.held.lock.path) == ("docs/new.md", "docs/")
            assert blocked.held.lock.holder == "alice"
            assert blocked.held.live
        case other:
            pytest.fail(f"{other}")


def test_a_refused_lock_changes_nothing(repo: Path) -> None:
    alice, bob = board(repo), board(repo, "bob")
    alice.lock("src/app.py")
    bob.heartbeat()
    before = alice.revision()
    assert isinstance(bob.lock("free.py", "src/app.py"), agentsync.Conflict)
    assert alice.revision() == before
    assert names(alice.locks()) == [("src/app.py", "alice")]


def test_a_lock_can_be_waited_for(repo: Path) -> None:
    bob = board(repo, "bob")
    bob.lock("src/app.py")
    assert isinstance(board(repo).lock("src/app.py", wait=0), agentsync.Conflict)
    letting_go = threading.Timer(0.2, bob.unlock, ("src/app.py",))
    letting_go.start()
    assert isinstance(board(repo).lock("src/app.py", wait=30), agentsync.Granted)
    letting_go.join()


def test_unlocking_says_what_was_unlocked(repo: Path) -> None:
    alice, bob = board(repo), board(repo, "bob")
    alice.lock("src/app.py", "@db")
    assert isinstance(bob.unlock("@db"), agentsync.Conflict)
    released = alice.unlock("src/app.py", "never-locked.py")
    assert isinstance(released, agentsync.Released)
    assert [lock.path for lock in released.locks] == ["src/app.py"]
    forced = bob.unlock("@db", force=True)
    assert isinstance(forced, agentsync.Released)
    assert [lock.holder for lock in forced.locks] == ["alice"]
    assert alice.locks() == []


def test_shared_locks_stand_beside_each_other(repo: Path) -> None:
    alice, bob = board(repo), board(repo, "bob")
    assert isinstance(alice.lock("a.py", shared=True), agentsync.Granted)
    assert isinstance(bob.lock("a.py", shared=True), agentsync.Granted)
    assert isinstance(bob.lock("a.py"), agentsync.Conflict)


def test_checking_tells_and_changes_nothing(repo: Path) -> None:
    alice, bob = board(repo), board(repo, "bob")
    alice.lock("src/")
    before = alice.revision()
    mine, other = bob.check("src/app.py", "free.py")
    assert (bool(mine.verdict.blocked), bool(other.verdict.blocked)) == (True, False)
    assert alice.check("src/app.py")[0].verdict.covered
    assert alice.revision() == before


def test_coming_staying_and_leaving(repo: Path) -> None:
    alice, bob = board(repo), board(repo, "bob")
    assert isinstance(alice.register("Alice", "API"), agentsync.Agent)
    assert bob.heartbeat().id == "bob"
    overview = alice.status()
    assert overview.you.presence.agent.name == "Alice"
    assert [(p.agent.id, p.status) for p in overview.agents] == [("alice", "active"), ("bob", "active")]
    bob.lock("a.py")
    bob.leave()
    assert alice.locks() == []
    alice.lock("b.py")
    alice.leave(release=False)
    assert names(bob.locks()) == [("b.py", "alice")]


def test_paths_are_relative_to_where_the_board_was_opened(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = board(repo / "src")
    monkeypatch.chdir("/")
    assert isinstance(granted := alice.lock("app.py"), agentsync.Granted)
    assert granted.locks[0].path == "src/app.py"


@pytest.mark.parametrize("where", ["str", "path", "relative"])
def test_a_board_opens_by_text_or_path(where: str, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.parent)
    given: str | Path = {"str": str(repo), "path": repo, "relative": repo.name}[where]
    opened = agentsync.open(given, agent="alice")
    assert (opened.agent_id, opened.directory) == ("alice", str(repo / ".claude/coordination"))
    assert not (repo / ".claude").exists(), "opening makes nothing"


def test_without_a_name_it_is_who_the_command_line_would_be(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYNC_ID", "from-outside")
    assert agentsync.open(repo).agent_id == "from-outside"
    assert agentsync.open(repo, agent="chosen").agent_id == "chosen"
    assert os.environ["AGENT_SYNC_ID"] == "from-outside"


def test_what_makes_no_sense_is_a_usage_error(repo: Path) -> None:
    with pytest.raises(UsageError):
        agentsync.open(repo, agent="Not An Id")
    alice = board(repo)
    for call in (
        lambda: alice.lock(),
        lambda: alice.lock(""),
        lambda: alice.lock("a.py", ttl_minutes=0),
        lambda: alice.lock("a.py", ttl_minutes=-1),
        lambda: alice.lock("a.py", ttl_minutes=10**9),
        lambda: alice.lock("a.py", reason="x" * 501),
        lambda: alice.register(""),
        lambda: alice.check(),
    ):
        with pytest.raises(UsageError) as error:
            call()
        assert isinstance(error.value, agentsync.AgentSyncError)
        assert error.value.code == 2
        assert error.value.hint
    assert alice.locks() == []


def test_an_unusable_state_is_an_error_with_a_way_out(repo: Path) -> None:
    (repo / ".claude").mkdir()
    (repo / ".claude/coordination").write_text("in the way")
    with pytest.raises(UnusableError) as error:
        board(repo).lock("a.py")
    assert error.value.hint


# ---------------------------------------------------------------- with board.locked(...)
def test_a_block_holds_its_locks_and_lets_go(repo: Path) -> None:
    alice, bob = board(repo), board(repo, "bob")
    with alice.locked("a.py", "src/", reason="in a block") as granted:
        assert [lock.path for lock in granted.locks] == ["a.py", "src/"]
        assert isinstance(bob.lock("src/app.py"), agentsync.Conflict)
    assert alice.locks() == []


def test_a_block_lets_go_when_it_fails(repo: Path) -> None:
    alice = board(repo)
    with pytest.raises(ZeroDivisionError), alice.locked("a.py"):
        raise ZeroDivisionError
    assert alice.locks() == []


def test_what_was_held_before_the_block_is_held_after(repo: Path) -> None:
    alice = board(repo)
    alice.lock("kept.py", "@kept", "kept/")
    with alice.locked("kept.py", "new.py", "@kept", "kept/", "new/*.py"):
        assert len(alice.locks()) == 5
    assert sorted(path for path, _ in names(alice.locks())) == ["@kept", "kept.py", "kept/"]


def test_blocks_nest(repo: Path) -> None:
    alice = board(repo)
    with alice.locked("a.py"):
        with alice.locked("a.py", "b.py"):
            assert len(alice.locks()) == 2
        assert names(alice.locks()) == [("a.py", "alice")]
    assert alice.locks() == []


def test_however_it_was_typed_the_block_lets_go_of_it(repo: Path) -> None:
    (repo / "link.py").symlink_to("src/app.py")
    (repo / "x[1].py").write_text("")
    alice = board(repo)
    with alice.locked("./link.py", "src/../new.py", str(repo / "abs.py"), "src", "x[1].py", "/outside/of/it.txt"):
        assert len(alice.locks()) == 6
    assert alice.locks() == []


def test_a_block_in_one_worktree_lets_go_of_its_own_lock(repo: Path) -> None:
    """The same path held in the main worktree is another file, and another lock."""
    from world import git

    git("worktree", "add", "-q", "../linked", cwd=repo)
    here, there = board(repo), board(repo.parent / "linked")
    here.lock("src/app.py")
    with there.locked("src/app.py"):
        assert len(here.locks()) == 2
    assert [held.lock.worktree for held in here.locks()] == [None]


def test_a_lock_that_others_took_by_force_meanwhile_is_no_error_at_the_end(repo: Path) -> None:
    alice, bob = board(repo), board(repo, "bob")
    with alice.locked("a.py"):
        bob.unlock("a.py", force=True)
        bob.lock("a.py")
    assert names(bob.locks()) == [("a.py", "bob")]


def test_a_block_that_others_are_in_line_for_says_who(repo: Path) -> None:
    with board(repo, "bob").locked("a.py"):
        stand(session.open_session(Runtime({"AGENT_SYNC_ID": "carol"}, str(repo))), "a.py")
    with (
        pytest.raises(agentsync.HeldError, match="has been in line for a"),
        board(repo).locked("a.py"),
    ):
        pass


def test_whatever_a_program_does_the_log_stays_small(repo: Path) -> None:
    alice = board(repo)
    for number in range(520):
        alice.create_task(f"T{number}")
    assert len(list((repo / ".claude/coordination/log").iterdir())) < 300


def test_a_block_that_cannot_be_entered_says_who_why_and_until_when(repo: Path) -> None:
    bob = board(repo, "bob")
    bob.register("Bob")
    bob.lock("a.py", reason="migrating\n\x1b[31mred")
    alice = board(repo)
    with pytest.raises(agentsync.HeldError) as refused, alice.locked("a.py", "free.py"):
        pytest.fail("the block must not run")
    said = str(refused.value)
    assert said.startswith("a.py is held by Bob (bob, active, ")
    assert "until " in said
    assert "migrating\\n\\x1b[31mred" in said
    assert refused.value.code == 3
    assert refused.value.hint
    assert names(alice.locks()) == [("a.py", "bob")]


# ---------------------------------------------------------------- events
def test_events_since_a_revision_come_with_what_they_changed(repo: Path) -> None:
    alice = board(repo)
    alice.lock("a.py")
    alice.unlock("a.py")
    found = list(alice.events(since=0, timeout=0))
    assert [event.rev for event in found] == list(range(1, alice.revision() + 1))
    assert [event.verb for event in found] == ["register", "lock", "unlock"]
    assert found[-1].changes[0].drop == "locks/a.py.json"
    assert list(alice.events(since=2, timeout=0)) == found[2:]
    assert list(alice.events(timeout=0)) == []


def test_events_come_live_from_another_process(repo: Path) -> None:
    alice = board(repo)
    alice.register()
    stream = alice.events(timeout=30)
    code = "import sys, agentsync; b = agentsync.open(sys.argv[1], agent='bob'); b.lock('a.py'); b.unlock('a.py')"
    process = subprocess.Popen([sys.executable, "-c", code, str(repo)])
    found = [next(stream) for _ in range(3)]
    assert process.wait() == 0
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert [(event.actor, event.verb) for event in found] == [("bob", "register"), ("bob", "lock"), ("bob", "unlock")]


def test_what_happens_between_the_question_and_the_first_look_is_not_missed(repo: Path) -> None:
    alice = board(repo)
    alice.register()
    stream = alice.events(timeout=0)
    alice.lock("a.py")
    assert [event.verb for event in stream] == ["lock"]


# ---------------------------------------------------------------- threads
def in_threads(*actions: Callable[[], object]) -> list[BaseException]:
    """Run all at once; what went wrong."""
    failed: list[BaseException] = []
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> None:
        try:
            barrier.wait()
            action()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    return failed


def test_eight_threads_use_one_board(repo: Path) -> None:
    alice = board(repo)

    def works(number: int) -> None:
        for turn in range(12):
            assert isinstance(alice.lock(f"{number}.py", f"shared/{turn}.py"), agentsync.Granted)
            alice.check(f"{number}.py")
            alice.status()
            alice.unlock(f"{number}.py")

    assert in_threads(*(lambda number=number: works(number) for number in range(8))) == []
    assert len(alice.locks()) == 12
    check_replay(repo / ".claude/coordination")


def test_eight_threads_with_a_board_each_exclude_each_other(repo: Path) -> None:
    inside: list[str] = []
    most: list[int] = []

    def works(name: str) -> None:
        mine = board(repo, name)
        done = 0
        while done < 6:
            try:
                with mine.locked("one.py"):
                    inside.append(name)
                    most.append(len(inside))
                    inside.remove(name)
                    done += 1
            except agentsync.HeldError:
                continue

    assert in_threads(*(lambda number=number: works(f"agent-{number}") for number in range(8))) == []
    assert set(most) == {1}
    check_replay(repo / ".claude/coordination")


def test_eight_threads_may_make_the_state_at_once(repo: Path) -> None:
    for turn in range(5):
        root = make_repo(repo.parent / f"fresh-{turn}")
        alice = board(root)
        assert in_threads(*(lambda n=n: alice.lock(f"{n}.py") for n in range(8))) == []  # noqa: B023 # done within
        assert len(alice.locks()) == 8
        check_replay(root / ".claude/coordination")


class Paused(Files):
    """Stops one thread at its first look at one file, until the test lets it go on."""

    def __init__(self, root: str) -> None:
        super().__init__(root, f"paused-{os.urandom(4).hex()}")
        self.key = ""
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def status(self, key: str) -> os.stat_result | None:
        found = super().status(key)
        if key == self.key and threading.current_thread() is not threading.main_thread():
            self.key = ""
            self.reached.set()
            self.go_on.wait(60)
        return found


def test_asking_for_the_revision_does_not_disturb_a_transaction_of_another_thread(repo: Path) -> None:
    """A transaction may commit twice: registering, then locking. The question between must not set the count back."""
    env = {"AGENT_SYNC_ID": "alice"}
    runtime = Runtime(env=env, cwd=str(repo))
    files = Paused(locate(str(repo), env).state)
    alice = Board(session.open_session(runtime, files=files))
    board(repo, "bob").lock("b.py")
    store = alice._session.store
    head = alice.revision()
    files.key = f"log/{head + 1:012}.json"
    asking = threading.Thread(target=alice.revision)
    with store.transaction("alice") as tx:
        asking.start()
        assert files.reached.wait(60), "it has seen that there is no newer event"
        agents.ensure(alice._session, tx)
        files.go_on.set()
        asking.join(60)
        agents.enlist(alice._session, tx, role="second")
    assert alice.revision() == head + 2
    check_replay(repo / ".claude/coordination")


# ---------------------------------------------------------------- what an import costs
def modules_after(code: str, cwd: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = modules_after("import agentsync; agentsync.__version__", tmp_path)
    more = loaded - modules_after("from __future__ import annotations\nimport typing", tmp_path)
    assert more == {"agentsync"}, "whatever it needs comes when it is used"


def test_locking_loads_neither_filelock_nor_watchdog_nor_the_command_line(repo: Path) -> None:
    code = "import agentsync; b = agentsync.open('.', agent='alice'); b.lock('a.py'); b.unlock('a.py')"
    loaded = modules_after(code, repo)
    assert "msgspec" in loaded
    assert loaded.isdisjoint({"filelock", "watchdog", "argparse", "asyncio", "subprocess", "agentsync.cli.main"})


def test_mail_is_sent_listed_read_and_acknowledged(repo: Path) -> None:
    alice, bob = board(repo), board(repo, "bob")
    bob.register("Bob", "back")
    sent = alice.send("back", "hello")
    assert isinstance(sent, agentsync.Message)
    assert [message.body for message in bob.inbox()] == ["hello"]
    assert bob.read_message(sent.id).readers[0].read_at is not None
    assert (bob.inbox(), [message.id for message in bob.inbox(everything=True)]) == ([], [sent.id])
    assert bob.ack(sent.id).readers[0].acked_at is not None
    assert bob.send("alice", "yes", reply_to=sent.id, urgent=True).reply_to == sent.id
    assert alice.status().unread == 1
    with pytest.raises(NotFoundError):
        alice.read_message("m-99")


def test_all_that_is_promised_is_there_and_nothing_else() -> None:
    for name in agentsync.__all__:
        assert getattr(agentsync, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = agentsync.nothing_like_this


# ---------------------------------------------------------------- types
PROGRAM = '''
"""What a program with types would do."""

from pathlib import Path

import agentsync


def main() -> list[str]:
    board: agentsync.Board = agentsync.open(Path("."), agent="nightly")
    outcome: agentsync.Granted | agentsync.Conflict = board.lock("a.py", shared=True, ttl_minutes=5, reason="r")
    match outcome:
        case agentsync.Granted(locks=locks):
            paths: list[str] = [lock.path for lock in locks]
        case agentsync.Conflict(blocked=blocked):
            paths = [one.held.lock.holder_name for one in blocked]
    try:
        with board.locked("b.py") as granted:
            until = granted.locks[0].expires_at.isoformat()
    except agentsync.HeldError as error:
        until = error.hint
    held: list[agentsync.Held] = board.locks()
    agent: agentsync.Agent = board.register(name="n", role=None)
    released = board.unlock("a.py")
    if isinstance(released, agentsync.Released):
        paths += [lock.path for lock in released.locks]
    for event in board.events(since=0, timeout=0.0):
        rev: int = event.rev
        print(rev, event.summary)
    for presence in board.status().agents:
        print(presence.agent.name, presence.status)
    return [*paths, until, agent.id, *(h.lock.token for h in held)]
'''

MISTAKES = {
    'board.lock("a.py", ttl_minutes="5")': "arg-type",
    "board.lock(5)": "arg-type",
    "board.nothing()": "attr-defined",
    "board.locks().holder": "attr-defined",
    'board.lock("a.py").locks': "union-attr",
    "agentsync.nothing": "attr-defined",
    "x: int = board.revision": "assignment",
}


def mypy(path: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(path.parent / "cache"), str(path)]
    env = {**os.environ, "MYPYPATH": str(Path(agentsync.__file__).parent.parent)}
    done = subprocess.run(command, cwd=path.parent, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_a_program_with_types_is_accepted_and_its_mistakes_are_found(tmp_path: Path) -> None:
    good = tmp_path / "program.py"
    good.write_text(PROGRAM)
    code, said = mypy(good)
    assert code == 0, said
    bad = tmp_path / "mistakes.py"
    bad.write_text('import agentsync\nboard = agentsync.open(".")\n' + "\n".join(MISTAKES) + "\n")
    code, said = mypy(bad)
    found = {line.split("mistakes.py:")[1].split(":")[0]: line for line in said.splitlines() if "error:" in line}
    for number, (line, kind) in enumerate(MISTAKES.items(), 3):
        assert f"[{kind}]" in found.get(str(number), "nothing"), f"{line}\n{said}"
