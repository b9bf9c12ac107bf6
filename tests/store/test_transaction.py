"""The transaction: decide under the guard, commit through the intent, finish what others began, repair what broke."""

from __future__ import annotations

import errno
import json
import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_replay, check_store, history, replayed
from world import NOON, ClockFiles, World

from agentsync.core import keys
from agentsync.core.changes import Drop, Put
from agentsync.core.locks import Conflict, Granted, Request, decide
from agentsync.core.paths import Target
from agentsync.core.records import Agent
from agentsync.errors import UnusableError
from agentsync.ops import agents, care, locks
from agentsync.ops.session import open_session
from agentsync.store import log, refusals
from agentsync.store.transaction import BULK

if TYPE_CHECKING:
    from collections.abc import Callable

    from world import Clock, Player

    from agentsync.ops.session import Session


class FailingFiles(ClockFiles):
    """The disk fails at one call of one primitive, as a full or broken one does."""

    def __init__(self, root: str, clock: Clock, primitive: str, number: int, error: int = errno.ENOSPC) -> None:
        super().__init__(root, clock)
        self._fails = (primitive, number, error)
        self.seen = 0

    def _count(self, primitive: str, key: str) -> None:
        name, number, error = self._fails
        self.seen += primitive == name
        if primitive == name and self.seen == number:
            raise OSError(error, "the disk fails", self.path(key))

    def write_temp(self, data: bytes, sync: bool) -> str:
        self._count("write_temp", "tmp")
        return super().write_temp(data, sync)

    def link(self, temp: str, key: str) -> bool:
        self._count("link", key)
        return super().link(temp, key)

    def replace(self, temp: str, key: str) -> None:
        self._count("replace", key)
        super().replace(temp, key)

    def rename(self, key: str, to: str) -> None:
        self._count("rename", key)
        super().rename(key, to)

    def unlink(self, key: str) -> bool:
        self._count("unlink", key)
        return super().unlink(key)


class RecordingFiles(ClockFiles):
    """Remembers, in order, what a transaction did with which durability."""

    def __init__(self, root: str, clock: Clock) -> None:
        super().__init__(root, clock)
        self.done: list[tuple[str, object]] = []

    def write_temp(self, data: bytes, sync: bool) -> str:
        self.done.append(("write", sync))
        return super().write_temp(data, sync)

    def link(self, temp: str, key: str) -> bool:
        self.done.append(("link", key))
        return super().link(temp, key)

    def replace(self, temp: str, key: str) -> None:
        self.done.append(("replace", key))
        super().replace(temp, key)

    def rename(self, key: str, to: str) -> None:
        self.done.append(("rename", to))
        super().rename(key, to)

    def sync_directory(self, key: str) -> None:
        self.done.append(("sync", key))
        super().sync_directory(key)


def session_with(player: Player, files: ClockFiles) -> Session:
    return open_session(player.runtime, files=files)


def contents(state: Path) -> dict[str, bytes]:
    """Every file there is."""
    return {path.relative_to(state).as_posix(): path.read_bytes() for path in state.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- the log
def test_revisions_are_dense_and_in_the_order_of_commits(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("a")
    bob.locks("b")
    alice.unlocks("a")
    assert [(e.rev, e.actor, e.verb) for e in history(world.state)] == [
        (1, "alice", "register"),
        (2, "alice", "lock"),
        (3, "bob", "register"),
        (4, "bob", "lock"),
        (5, "alice", "unlock"),
    ]
    assert sorted(path.name for path in (world.state / "log").iterdir())[0] == "000000000001.json"


def test_a_token_names_the_store_and_the_revision_of_the_grant(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    granted = alice.locks("src/app.py")
    assert isinstance(granted, Granted)
    store = json.loads((world.state / "format.json").read_bytes())["store"]
    assert granted.locks[0].token == f"{store}:2"
    assert (world.state / "log/000000000002.json").exists()


def test_a_later_grant_of_the_same_path_has_a_greater_token(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    tokens = []
    for _ in range(3):
        for player in (alice, bob):
            granted = player.locks("src/app.py")
            assert isinstance(granted, Granted)
            tokens.append(int(granted.locks[0].token.partition(":")[2]))
            player.unlocks("src/app.py")
    assert tokens == sorted(set(tokens))


def test_a_renewal_keeps_its_token(world: World) -> None:
    alice = world.agent("alice")
    first, second = alice.locks("src/app.py"), alice.locks("src/app.py")
    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert first.locks[0].token == second.locks[0].token


def test_the_changes_of_all_events_add_up_to_what_is_on_disk(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    old = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    alice.locks("src/app.py", "docs/", "@db")
    alice.unlocks("docs/")
    bob.locks("src/*.txt")
    bob.locks("notes", shared=True)
    alice.locks("notes", shared=True)
    old.locks("lib/")
    old.ends(continues=True)
    world.client("22222222-2222-4222-8222-00000000bbbb", pid=4242).registers(name="heir")
    world.clock.advance(minutes=61)
    bob.locks("src/")
    alice.ends(release_all=True)
    check_replay(world.state)
    assert "agents/past/alice.json" in replayed(history(world.state))


def test_an_event_in_the_log_has_been_applied(world: World) -> None:
    """A reader who follows the log finds each change on disk when it sees the event."""
    alice, watcher = world.agent("alice"), world.agent("watcher").session.store
    alice.registers()

    class Looking(ClockFiles):
        def rename(self, key: str, to: str) -> None:
            assert (world.state / "locks/src%2Fapp.py.json").exists()
            assert watcher.revision() == 1
            super().rename(key, to)
            assert watcher.revision() == 2

    locks.lock(session_with(alice, Looking(str(world.state), world.clock)), ["src/app.py"])
    assert watcher.revision() == 2


# ---------------------------------------------------------------- what is written, and what not
def test_a_refusal_writes_nothing_but_that_it_was_one(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    before = contents(world.state)
    assert isinstance(bob.locks("docs/", "src/app.py", "@db"), Conflict)
    assert isinstance(bob.unlocks("src/app.py"), Conflict)
    after = contents(world.state)
    assert after.pop(refusals.KEY)
    assert after == before


def test_a_transaction_without_a_commit_changes_nothing(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    before = contents(world.state)
    with alice.session.store.transaction("alice") as tx:
        assert tx.stamp.revision == 2
        assert tx.commit("nothing", "nothing at all", ()) is None
    with pytest.raises(KeyError), alice.session.store.transaction("alice"):
        raise KeyError
    assert contents(world.state) == before


def test_two_commits_of_one_transaction_are_two_events(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    with alice.session.store.transaction("alice") as tx:
        known = tx.state.presence("alice")
        assert known is not None
        tx.commit("one", "one", [Put("agents/past/alice.json", known.agent)])
        assert tx.state.past_agent("alice") is not None
        assert tx.stamp.revision == 3
        tx.commit("two", "two", [Drop("agents/past/alice.json"), Drop("agents/past/nobody.json")])
        assert tx.state.past_agent("alice") is None
    check_replay(world.state)


def test_reading_creates_nothing(world: World) -> None:
    alice = world.agent("alice")
    session = alice.session
    assert not session.store.exists()
    assert session.store.state().presences() == []
    assert session.store.revision() == 0
    assert agents.whoami(session).registered is False
    assert locks.held(session) == []
    assert alice.unlocks("src/app.py") is not None
    assert not world.state.exists()


@pytest.mark.parametrize(
    ("durability", "synced", "directories"),
    [("E", False, []), ("S", True, []), ("D", True, ["agents/past", "log"])],
)
def test_a_durability_class_syncs_files_and_directories_before_it_answers(
    durability: str, synced: bool, directories: list[str], world: World
) -> None:
    alice = world.agent("alice")
    alice.registers()
    files = RecordingFiles(str(world.state), world.clock)
    with session_with(alice, files).store.transaction("alice") as tx:
        known = tx.state.presence("alice")
        assert known is not None
        files.done.clear()
        tx.commit("note", "a note", [Put("agents/past/alice.json", known.agent)], durability)  # type: ignore[arg-type]
    assert files.done == [
        ("write", synced),
        ("link", "intent.json"),
        ("write", synced),
        ("replace", "agents/past/alice.json"),
        ("rename", "log/000000000002.json"),
        *(("sync", directory) for directory in directories),
    ]


# ---------------------------------------------------------------- a disk that fails
PRIMITIVES = ("write_temp", "link", "replace", "rename", "unlink")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_an_operation_whose_disk_fails_has_happened_or_not_and_the_next_finishes_it(
    primitive: str, error: int, world: World
) -> None:
    """Every call of every primitive fails in turn, from the first on, until the operation gets through."""
    alice, bob = world.agent("alice"), world.agent("bob")
    for number in range(1, 50):
        alice.locks("old/", "older/")
        world.clock.advance(minutes=61)
        files = FailingFiles(str(world.state), world.clock, primitive, number, error)
        granted = None
        with suppress(OSError):
            granted = locks.lock(session_with(bob, files), ["old/a", "older/b"])
        assert not world.agent("carol").is_refused("elsewhere")
        check_store(world.state)
        check_replay(world.state)
        assert len(bob.holds()) in (0, 2)
        assert granted is None or len(bob.holds()) == 2
        bob.unlocks("old/a", "older/b")
        world.agent("carol").unlocks("elsewhere")
        if files.seen < number:
            break
    else:
        pytest.fail("it never got through")


def test_a_failed_write_leaves_nothing_in_tmp(world: World) -> None:
    """On a full disk every orphan would help to keep it full."""
    alice = world.agent("alice")
    alice.registers()
    session = alice.session
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the hundred-and-first byte of a file fails
    try:
        with pytest.raises(OSError, match="File too large"):
            locks.lock(session, ["src/app.py"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert alice.holds() == []
    assert list((world.state / "tmp").iterdir()) == []


# ---------------------------------------------------------------- what others left behind
def interrupted(world: World, player: Player, *paths: str) -> None:
    """Leave a lock request behind at its commit point: the intent is there, nothing of it is applied."""
    files = FailingFiles(str(world.state), world.clock, "replace", 1, errno.EIO)
    with pytest.raises(OSError, match="the disk fails"):
        locks.lock(session_with(player, files), paths)
    assert (world.state / "intent.json").exists()


@pytest.mark.parametrize(
    "next_act",
    [
        lambda player: player.locks("elsewhere"),
        lambda player: player.unlocks("elsewhere"),
        lambda player: player.registers(),
        lambda player: player.beats(),
        lambda player: player.ends(),
        lambda player: care.gc(player.session),
    ],
    ids=["lock", "unlock", "register", "heartbeat", "end", "gc"],
)
def test_whoever_writes_next_finishes_what_is_left_over(next_act: Callable[[Player], object], world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    bob.registers()
    interrupted(world, alice, "src/a", "src/b")
    assert alice.holds() == []
    next_act(bob)
    assert alice.holds() == ["src/a", "src/b"]
    check_replay(world.state)


def test_who_wants_what_an_unfinished_change_takes_is_refused(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    bob.registers()
    interrupted(world, alice, "src/a")
    assert bob.is_refused("src/a")


def test_an_intent_that_is_published_already_is_not_applied_again(world: World) -> None:
    """Somebody restored files from a backup: an old intent must not bring an old lock back."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    alice.unlocks("src/app.py")
    (world.state / "intent.json").write_bytes((world.state / "log/000000000002.json").read_bytes())
    bob.locks("src/app.py")
    assert alice.holds() == []
    assert bob.holds() == ["src/app.py"]
    assert not (world.state / "intent.json").exists()
    check_replay(world.state)


@pytest.mark.parametrize("data", [b"", b"\0" * 500, b'{"kind": "event", "v": 1, "re'], ids=["empty", "NULs", "torn"])
def test_an_intent_that_a_power_cut_damaged_is_put_aside_with_a_warning(data: bytes, world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py")
    (world.state / "intent.json").write_bytes(data)
    session = alice.session
    locks.lock(session, ["src/b.py"])
    assert any("intent.json" in warning and "quarantine" in warning for warning in session.store.warnings)
    assert [path.read_bytes() for path in (world.state / "quarantine").iterdir()] == [data]
    assert alice.holds() == ["src/app.py", "src/b.py"]
    assert [e.rev for e in history(world.state)] == [1, 2, 3]


def test_a_transaction_that_finds_somebody_elses_intent_under_the_guard_stops(world: World) -> None:
    """The guard did not exclude: on a network file system flock may be local. Better an error than a lost change."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    bob.registers()
    session = alice.session
    with session.store.transaction("alice") as tx:
        interrupted_without_guard(world, bob)
        known = tx.state.presence("alice")
        assert known is not None
        with pytest.raises(UnusableError, match="appeared although the guard was held"):
            tx.commit("note", "a note", [Put("agents/past/alice.json", known.agent)])
    bob.beats()
    assert bob.holds() == ["src/b"]
    check_replay(world.state)


def test_a_transaction_that_was_overtaken_under_the_guard_stops(world: World) -> None:
    """The same, but the other one is through already: its event must not be overwritten by one of the same revision."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    bob.registers()
    session = alice.session
    with session.store.transaction("alice") as tx:
        present = tx.state.presence("alice")
        assert present is not None
        request = Request(targets=(Target(scope="file", path="src/app.py"),), ttl_s=60)
        decision = decide(tx.state, present.agent, request, tx.stamp)
        assert isinstance(decision, Granted)
        (world.state / "guard").unlink()  # as `git clean -x` does
        assert isinstance(bob.locks("src/app.py"), Granted)
        with pytest.raises(UnusableError):
            tx.commit("lock", "decided on what is no longer true", decision.writes)
    assert [e.actor for e in history(world.state)] == ["alice", "bob", "bob"]
    assert bob.holds() == ["src/app.py"]
    assert alice.holds() == []
    check_replay(world.state)


def interrupted_without_guard(world: World, player: Player) -> None:
    """As `interrupted`, by somebody whom the guard does not keep out: it is another file by now."""
    guard = world.state / "guard"
    held = guard.rename(world.state / "guard.held")
    try:
        interrupted(world, player, "src/b")
    finally:
        held.rename(guard)


# ---------------------------------------------------------------- damage
DAMAGE = {"empty": b"", "NULs": b"\0" * 300, "torn": b'{"kind": "lock", "v": 1, "pa', "garbage": b"\xff\xfe\xfd"}


@pytest.mark.parametrize("data", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_lock_is_restored_from_the_log_and_still_holds(data: bytes, world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    file = world.state / "locks/src%2Fapp.py.json"
    before = json.loads(file.read_bytes())
    file.write_bytes(data)
    session = bob.session
    assert isinstance(locks.lock(session, ["src/app.py"]), Conflict)
    assert json.loads(file.read_bytes()) == before
    (quarantined,) = (world.state / "quarantine").iterdir()
    assert quarantined.read_bytes() == data
    assert quarantined.name.startswith("locks__src%2Fapp.py.json.")
    assert any("locks/src%2Fapp.py.json" in w and str(quarantined) in w for w in session.store.warnings)
    assert history(world.state)[-1].verb == "repair"
    check_replay(world.state)


def test_an_edit_is_refused_by_a_damaged_lock_too(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    (world.state / "locks/src%2Fapp.py.json").write_bytes(b"")
    assert not bob.may_edit("src/app.py")
    assert alice.holds() == ["src/app.py"]


def test_a_damaged_agent_is_restored_and_its_locks_hold(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    alice.registers(name="Alice")
    bob.registers()
    (world.state / "agents/alice.json").write_bytes(b"{")
    assert bob.is_refused("src/app.py")
    assert json.loads((world.state / "agents/alice.json").read_bytes())["name"] == "Alice"


def test_a_damaged_record_that_the_log_no_longer_has_costs_only_itself(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    alice.locks("src/b.py")
    bob.registers()
    (world.state / "locks/src%2Fapp.py.json").write_bytes(b"{")
    (world.state / "log/000000000002.json").write_bytes(b"{")
    session = bob.session
    assert isinstance(locks.lock(session, ["src/app.py"]), Granted)
    assert len(session.store.warnings) == 1
    assert "locks/src%2Fapp.py.json" in session.store.warnings[0]
    assert alice.holds() == ["src/b.py"]
    (world.state / "log/000000000002.json").unlink()
    (world.state / "log/000000000001.json").unlink()  # so that the world finds a dense log


def test_what_was_dropped_does_not_come_back_by_a_repair(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    alice.unlocks("src/app.py")
    (world.state / "locks/src%2Fapp.py.json").write_bytes(b"")
    assert isinstance(bob.locks("src/app.py"), Granted)
    assert alice.holds() == []


def test_each_damaged_file_costs_one_record(world: World) -> None:
    """Thirty records, three of them damaged in different ways: the others are read as before."""
    alice = world.agent("alice")
    for number in range(30):
        alice.locks(f"src/{number}.py")
    for number, data in ((3, b""), (7, b"\0" * 100), (11, b"{]")):
        (world.state / f"locks/src%2F{number}.py.json").write_bytes(data)
    state = alice.session.store.state()
    assert len(state.locks()) == 27
    assert len(state.damaged) == 3
    care.gc(alice.session)
    assert len(alice.holds()) == 30
    check_replay(world.state)


def test_a_damaged_event_costs_its_line_in_the_feed_only(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    for number in range(5):
        alice.locks(f"src/{number}.py")
    (world.state / "log/000000000003.json").write_bytes(b"{")
    assert [e.rev for e in log.since(bob.session.store.files, 0)] == [1, 2, 4, 5, 6]
    assert [e.rev for e in log.tail(bob.session.store.files, 10)] == [6, 5, 4, 2, 1]
    assert not bob.is_refused("docs/")
    assert len(alice.holds()) == 5
    for revision in (1, 2, 3):
        (world.state / f"log/{revision:012}.json").unlink()  # so that the world finds a dense log


def test_a_damaged_notice_does_not_keep_the_others_from_being_told(world: World) -> None:
    from agentsync.ops import mail

    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("a", "b")
    bob.unlocks("a", force=True)
    bob.unlocks("b", force=True)
    first, second = sorted((world.state / "inbox/alice").iterdir())
    first.write_bytes(b"{")
    session = alice.session
    with mail.delivery(session, "turn", lambda _: 1, 10) as delivery:
        told = [message.body for message in delivery.messages]
    assert any("lock on b" in body for body in told)
    assert not second.exists()
    care.gc(alice.session)
    first.unlink(missing_ok=True)
    check_store(world.state)


def test_a_format_record_that_was_lost_is_made_anew_and_the_locks_stay(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    (world.state / "format.json").write_bytes(b"")
    assert bob.is_refused("src/app.py")
    assert json.loads((world.state / "format.json").read_bytes())["kind"] == "format"


def test_who_lives_on_while_the_state_is_made_anew_grants_tokens_of_the_new_store(world: World) -> None:
    """All in the directory was deleted, but not the directory. A new one may get the same inode, too."""
    import shutil

    alice, bob = world.agent("alice"), world.agent("bob")
    kept = alice.session

    def token() -> str:
        outcome = locks.lock(kept, ["src/app.py"])
        assert isinstance(outcome, Granted)
        return outcome.locks[0].token

    old = token()
    for path in world.state.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    bob.registers()
    new = json.loads((world.state / "format.json").read_bytes())["store"]
    assert new != old.partition(":")[0]
    assert token().startswith(f"{new}:")


def test_the_state_may_be_deleted_between_two_commands(world: World) -> None:
    import shutil

    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    old = json.loads((world.state / "format.json").read_bytes())["store"]
    kept = bob.session
    kept.store.revision()
    shutil.rmtree(world.state)
    assert isinstance(locks.lock(kept, ["src/app.py"]), Granted)
    assert json.loads((world.state / "format.json").read_bytes())["store"] != old
    assert [e.rev for e in history(world.state)] == [1, 2]


class Recording(ClockFiles):
    """Remembers in which order files are written, synced together, and put in their places."""

    def __init__(self, root: str, clock: Clock, can: bool) -> None:
        super().__init__(root, clock)
        self.CAN_SYNC_ALL = can
        self.calls: list[str] = []

    def write_temp(self, data: bytes, sync: bool) -> str:
        self.calls.append("synced" if sync else "written")
        return super().write_temp(data, sync)

    def sync_all(self) -> None:
        self.calls.append("all")

    def replace(self, temp: str, key: str) -> None:
        self.calls.append("placed")
        super().replace(temp, key)


@pytest.mark.parametrize("can", [True, False])
def test_the_files_of_a_large_event_are_synced_together_before_any_is_placed(can: bool, world: World) -> None:
    world.agent("alice").registers()
    files = Recording(str(world.state), world.clock, can)
    with world.agent("alice", files=files).session.store.transaction("alice") as tx:
        records = [Agent(id=f"a{n}", name="a", created_at=NOON, last_seen=NOON) for n in range(BULK)]
        tx.commit("note", "many", [Put(keys.past_agent(record.id), record) for record in records])
    together = ["written"] * BULK + ["all"] + ["placed"] * BULK
    assert files.calls == ["synced", *(together if can else ["synced", "placed"] * BULK)], "the event comes first"
    assert len(list((world.state / "agents/past").iterdir())) == BULK
    assert list((world.state / "tmp").iterdir()) == []
