"""Power loss at any moment of any operation, and records of every kind that it left empty, full of NULs or torn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.killing import Snapshot, check_after
from faults.operations import OPERATIONS, fenced, there
from faults.power import LOSSES, disk, outages, recorded
from invariants import check_replay, check_store, history, plain
from lines import joins
from rounds import TIMES
from world import Player, World

from agentsync.core.locks import Conflict
from agentsync.errors import AgentSyncError
from agentsync.ops import care, decisions, feed, locks, mail
from agentsync.store import files

if TYPE_CHECKING:
    from collections.abc import Callable


MANY = 30
"""States of one operation after which a short campaign becomes sparse."""

DURABLE = frozenset(
    [
        "create_task",
        "claim",
        "claim_next",
        "complete",
        "checkpoint",
        "hand_over",
        "send",
        "read",
        "acknowledge",
        "decide",
        "log",
        "request",
        "refuse",
    ]
)
"""Operations of class D: acknowledged means that no power cut takes it away."""

UNSYNCED = frozenset({"deliver", "compact"})
"""Operations of class E, or whose board has such events: looked at below."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return fenced(tmp_path)


def cut_everywhere(world: World, act: Callable[[], object], durable: bool) -> int:
    """Cut the power at every moment of an operation and check what may be left; returns how many states that were."""
    world.state.mkdir(parents=True, exist_ok=True)  # a store knows its directory's inode, which must not change
    start, before = Snapshot(world.state), disk(world.state)
    known = [plain(event) for event in history(world.state)]
    steps = recorded(act)
    expected = [plain(event) for event in check_replay(world.state)]
    states = list(outages(before, steps))
    if len(states) > MANY and TIMES == 1:
        states = [*states[:: len(states) // MANY + 1], *states[-8:]]
    for acknowledged, told, left in states:
        start.restore()
        left.write_out(world.state)
        try:
            check_after(world, known, expected, acknowledged and durable)
            check_furniture(world)
        except BaseException as error:
            error.add_note(told)
            raise
    return len(states)


def check_furniture(world: World) -> None:
    """What is not a record, and never mended, is whole: it was synced."""
    assert (world.state / ".gitignore").read_bytes() == b"*\n"
    assert (world.state / "README").read_bytes() != b""
    assert (world.state / "python").read_bytes() != b""


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - UNSYNCED))
def test_a_power_cut_costs_whole_operations_and_no_durable_one(name: str, world: World) -> None:
    act = OPERATIONS[name](world)
    assert cut_everywhere(world, act, durable=name in DURABLE) > 5


def test_a_power_cut_in_a_compaction_loses_no_event(world: World) -> None:
    """Its board is made without syncs, which is as durable as anything before the operation begins."""
    act = OPERATIONS["compact"](world)
    assert cut_everywhere(world, act, durable=False) > 20


def test_a_message_is_told_or_waits_after_a_power_cut_in_its_delivery(world: World) -> None:
    """Nothing of a delivery is synced: it is told again, or it was told. The message itself is never lost."""
    act = OPERATIONS["deliver"](world)
    start, before = Snapshot(world.state), disk(world.state)
    for _, told, left in outages(before, recorded(act)):
        start.restore()
        left.write_out(world.state)
        alice, bob = there(world, "alice", "bob")
        act()  # whatever waits is told, and what is damaged is mended on the way
        assert mail.inbox(bob.session) == [], told
        assert len(list((world.state / "messages").iterdir())) == 2, told
        with alice.session.store.transaction("alice") as tx:
            kept = tx.ask(lambda state, _: state.messages())
        assert [message.body for message in kept] == ["hello", "hello"], told


# ---------------------------------------------------------------- controls
def test_who_syncs_no_files_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_sync", lambda fd: None)
    for name in ("lock", "send"):
        with pytest.raises((AssertionError, AgentSyncError, ValueError)):
            cut_everywhere(world, OPERATIONS[name](world), durable=False)


def test_who_answers_before_the_directories_are_synced_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.Files, "sync_directory", lambda *_: None)
    with pytest.raises(AssertionError, match="acknowledged"):
        cut_everywhere(world, OPERATIONS["send"](world), durable=True)


def test_a_new_board_whose_furniture_is_not_synced_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What git must ignore would be committed, if the file that says so were empty."""
    write = files.Files.write_temp
    monkeypatch.setattr(
        files.Files, "write_temp", lambda self, data, sync: write(self, data, sync and data.startswith(b"{"))
    )
    with pytest.raises(AssertionError):
        cut_everywhere(world, OPERATIONS["first_command"](world), durable=False)


# ---------------------------------------------------------------- damage of every kind
KINDS = {
    "agent": "agents/bob.json",
    "lock": "locks/src%2Fapp.py.json",
    "shared lock": "locks/shared/notes.txt~alice.json",
    "pattern": "locks/globs/%2A.txt.json",
    "task": "tasks/*.json",
    "message": "messages/*.json",
    "notice": "inbox/bob/0*.json",
    "decision": "decisions/*.json",
    "waiter": "queue/*.json",
}


@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"kept"}))
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_record_comes_back_from_the_log_and_is_kept_aside(kind: str, loss: str, world: World) -> None:
    alice, bob = everything(world)
    whole = {path: path.read_bytes() for path in world.state.glob(KINDS[kind])}
    assert len(whole) == 1
    (path,) = whole
    path.write_bytes(LOSSES[loss](whole[path]))
    session = alice.session
    care.gc(session)
    assert path.read_bytes() == whole[path]
    assert len(list((world.state / "quarantine").iterdir())) == 1
    assert any("quarantine" in warning for warning in session.store.warnings)
    assert bob.is_refused("src/app.py")
    check_store(world.state)
    check_replay(world.state)


@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"kept"}))
def test_a_damaged_event_costs_nothing_but_itself(loss: str, world: World) -> None:
    alice, bob = everything(world)
    path = sorted((world.state / "log").iterdir())[3]
    path.write_bytes(LOSSES[loss](path.read_bytes()))
    assert bob.is_refused("src/app.py")
    alice.unlocks("src/app.py")
    assert not bob.is_refused("src/app.py")
    care.gc(alice.session)
    assert len(feed.events(alice.session, 0, lambda _: True, 0)) == alice.session.store.revision() - 1


@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"kept"}))
@pytest.mark.parametrize("key", ["intent.json", "format.json", "ballast", "python", "activity/alice.ndjson"])
def test_a_damaged_file_of_the_store_itself_stops_nobody(key: str, loss: str, world: World) -> None:
    alice, bob = everything(world)
    path = world.state / key
    if key == "intent.json":
        path.write_bytes(sorted((world.state / "log").iterdir())[-1].read_bytes())
    path.write_bytes(LOSSES[loss](path.read_bytes()))
    session = bob.session
    assert isinstance(locks.lock(session, ["src/app.py"]), Conflict)
    assert bool(session.store.warnings) == (key in ("intent.json", "format.json")), "said if it matters"
    assert alice.locks("elsewhere") == alice.locks("elsewhere")
    check_store(world.state)


def everything(world: World) -> tuple[Player, Player]:
    """A board with a record of every kind."""
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py", "*.txt")
    alice.locks("notes.txt", shared=True)
    alice.makes("Login")
    mail.send(alice.session, "bob", "hello")
    decisions.decide(alice.session, "tabs")
    joins(bob, "src/app.py", pid=70)
    alice.has_edited("src/app.py")
    return alice, bob
