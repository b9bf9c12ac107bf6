"""Agents come, go, and are tidied up after; whoever leaves the board holds nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from world import NOON

from agentsync.core import keys
from agentsync.core.agents import Facts, enrol, farewell, lock_for_edit, same_client, succeed, sweep
from agentsync.core.changes import Put, Stamp, Write
from agentsync.core.lease import Held, Presence, Status
from agentsync.core.paths import Target
from agentsync.core.records import Agent, Lock, Message, Mode, Record
from agentsync.errors import UsageError

LATER = NOON + timedelta(minutes=5)
STAMP = Stamp(LATER, 7, "s")


def agent(agent_id: str, name: str | None = None, pid: int | None = None, status: str = "active") -> Agent:
    return Agent(
        id=agent_id,
        name=name or agent_id,
        status=status,
        pid=pid,
        pid_start=pid and 100,
        boot_id="boot-1" if pid else None,
        pid_ns="pid:[1]" if pid else None,
        created_at=NOON,
        last_seen=NOON,
    )


def lock(path: str, holder: str, auto: bool = False, mode: Mode = "exclusive") -> Lock:
    return Lock(
        path=path,
        scope="file",
        mode=mode,
        holder=holder,
        holder_name=holder,
        session=f"{holder}-s",
        token="s:1",
        reason="why",
        auto=auto,
        acquired_at=NOON,
        expires_at=NOON + timedelta(hours=1),
        ttl_s=3600,
    )


def held(record: Lock, live: bool = True) -> Held:
    return Held(record, record.expires_at, None, live)


def after(writes: Iterable[Write], agents: Iterable[Agent] = (), locks: Iterable[Held] = ()) -> dict[str, Record]:
    """What is on disk once the writes are carried out in their order."""
    disk: dict[str, Record] = {keys.agent(a.id): a for a in agents}
    disk |= {keys.lock(h.lock): h.lock for h in locks}
    for write in writes:
        if isinstance(write, Put):
            disk[write.key] = write.record
        else:
            disk.pop(write.key, None)
    return disk


# ---------------------------------------------------------------- coming
def test_whoever_is_new_is_called_by_its_id_and_active() -> None:
    found = enrol(None, Facts(id="alice", client="claude", session="x", cwd="/r", host="h"), STAMP)
    assert found == Agent(
        id="alice",
        name="alice",
        client="claude",
        session="x",
        cwd="/r",
        host="h",
        created_at=LATER,
        last_seen=LATER,
    )


def test_registering_again_keeps_what_is_not_said_again() -> None:
    first = Facts(id="alice", name="backend", role="api", client="claude", session="x", pid=4, pid_start=9, boot_id="b")
    known = enrol(None, first, Stamp(NOON, 1, "s"))
    again = enrol(known, Facts(id="alice"), STAMP)
    assert again == replace(known, last_seen=LATER)


def test_registering_again_says_what_is_new() -> None:
    known = enrol(None, Facts(id="alice", name="backend", role="api"), Stamp(NOON, 1, "s"))
    again = enrol(known, Facts(id="alice", name=" frontend ", role="ui", client="codex", session="y"), STAMP)
    assert (again.name, again.role, again.client, again.session) == ("frontend", "ui", "codex", "y")
    assert (again.created_at, again.last_seen) == (NOON, LATER)


def test_a_new_process_is_never_mixed_with_the_old_one() -> None:
    again = enrol(agent("alice", pid=4), Facts(id="alice", pid=5), STAMP)
    assert (again.pid, again.pid_start, again.boot_id, again.pid_ns) == (5, None, None, None)


@pytest.mark.parametrize("status", ["offline", "stale", "idle", "active"])
def test_whoever_registers_is_active(status: str) -> None:
    assert enrol(agent("alice", status=status), Facts(id="alice"), STAMP).status == "active"


@pytest.mark.parametrize("name", ["", "   ", "\t\n", "x" * 65])
def test_a_name_has_something_in_it_and_fits(name: str) -> None:
    with pytest.raises(UsageError):
        enrol(None, Facts(id="alice", name=name), STAMP)


@pytest.mark.parametrize("name", ["x", "x" * 64, "日本", "front end"])
def test_these_are_names(name: str) -> None:
    assert enrol(None, Facts(id="alice", name=name), STAMP).name == name


@pytest.mark.parametrize("reserved", ["agent-sync", "all", "past"])
def test_a_reserved_word_is_nobody(reserved: str) -> None:
    with pytest.raises(UsageError):
        enrol(None, Facts(id=reserved), STAMP)


# ---------------------------------------------------------------- a new session of the same client
@pytest.mark.parametrize(
    ("other", "same"),
    [
        (agent("b", pid=4), True),
        (agent("b", pid=5), False),
        (agent("b"), False),
        (replace(agent("b", pid=4), pid_start=101), False),
        (replace(agent("b", pid=4), boot_id="boot-2"), False),
        (replace(agent("b", pid=4), pid_ns="pid:[2]"), False),
    ],
)
def test_sessions_are_of_one_client_iff_their_process_is_the_same(other: Agent, same: bool) -> None:
    assert same_client(agent("a", pid=4), other) is same


def test_two_agents_without_a_known_process_are_not_one_client() -> None:
    assert not same_client(agent("a"), agent("b"))


def test_the_heir_has_name_role_task_and_locks_with_new_tokens() -> None:
    old = replace(agent("old", "backend"), role="api", task="t-7k3f")
    new = replace(agent("new"), session="new-s")
    locks = [held(lock("a", "old")), held(lock("b", "old", mode="shared")), held(lock("c", "carol"))]
    heir, writes = succeed(old, new, locks, STAMP)
    assert (heir.id, heir.name, heir.role, heir.task) == ("new", "backend", "api", "t-7k3f")
    disk = after(writes, [old], locks)
    assert {(r.path, r.holder, r.holder_name, r.session, r.token) for r in disk.values() if isinstance(r, Lock)} == {
        ("a", "new", "backend", "new-s", "s:7"),
        ("b", "new", "backend", "new-s", "s:7"),
        ("c", "carol", "carol", "carol-s", "s:1"),
    }
    assert all(key == keys.lock(r) for key, r in disk.items() if isinstance(r, Lock))


def test_a_lock_is_handed_on_with_its_reason_and_its_time() -> None:
    original = lock("a", "old")
    _, writes = succeed(agent("old"), agent("new"), [held(original)], STAMP)
    moved = after(writes)[keys.lock(original)]
    assert moved == replace(original, holder="new", holder_name="new", session=None, token="s:7")


def test_the_old_session_leaves_the_board() -> None:
    old = agent("old", pid=4)
    _, writes = succeed(old, agent("new", pid=4), [], STAMP)
    assert after(writes, [old]) == {keys.past_agent("old"): replace(old, status="offline")}


def test_a_default_name_is_not_inherited() -> None:
    heir, _ = succeed(agent("old"), agent("new"), [], STAMP)
    assert heir.name == "new"


@pytest.mark.parametrize("mode", ["exclusive", "shared"])
def test_a_lock_that_is_handed_on_is_there_at_every_moment(mode: Mode) -> None:
    original = lock("a", "old", mode=mode)
    _, writes = succeed(agent("old"), agent("new"), [held(original)], STAMP)
    for done in range(len(writes) + 1):  # readers take no guard
        disk = after(writes[:done], [agent("old")], [held(original)])
        assert any(isinstance(record, Lock) for record in disk.values()), writes[:done]


# ---------------------------------------------------------------- going
OWN = [held(lock("auto", "alice", auto=True)), held(lock("hand", "alice"))]
OTHERS = [held(lock("other", "bob", auto=True))]


@pytest.mark.parametrize(
    ("locks", "release_all", "released", "kept"),
    [
        ([], False, [], []),
        (OWN[:1], False, ["auto"], []),
        (OWN[1:], False, [], ["hand"]),
        (OWN, False, ["auto"], ["hand"]),
        (OWN, True, ["auto", "hand"], []),
    ],
)
@pytest.mark.parametrize("continues", [False, True])
def test_a_session_that_ends_gives_up_its_auto_locks(
    locks: list[Held], release_all: bool, released: list[str], kept: list[str], continues: bool
) -> None:
    alice = agent("alice", pid=4)
    gone, writes = farewell(alice, [*locks, *OTHERS], release_all, continues)
    disk = after(writes, [alice], [*locks, *OTHERS])
    assert [record.path for record in gone] == released
    assert [r.path for r in disk.values() if isinstance(r, Lock)] == [*kept, "other"]
    stays = continues or bool(kept)
    assert (keys.agent("alice") in disk) == stays
    assert (keys.past_agent("alice") in disk) != stays


def test_who_has_ended_is_offline_and_has_no_process() -> None:
    _, writes = farewell(agent("alice", pid=4), OWN, release_all=False, continues=False)
    found = after(writes)[keys.agent("alice")]
    assert found == replace(agent("alice"), status="offline")


def test_who_continues_is_found_by_its_process() -> None:
    alice = agent("alice", pid=4)
    _, writes = farewell(alice, [], release_all=False, continues=True)
    found = after(writes)[keys.agent("alice")]
    assert isinstance(found, Agent)
    assert found.status == "offline"
    assert same_client(found, agent("heir", pid=4))


# ---------------------------------------------------------------- tidying up
def present(status: Status, agent_id: str = "alice", ended: bool = False) -> Presence:
    return Presence(agent(agent_id), status, ended)


@pytest.mark.parametrize("status", ["active", "idle", "stale"])
def test_nobody_is_swept_who_may_come_back(status: Status) -> None:
    assert sweep([present(status)], [held(lock("a", "alice"), live=False)], STAMP) == ()


@pytest.mark.parametrize(("status", "ended"), [("offline", False), ("offline", True), ("dead", False)])
def test_who_is_gone_and_holds_nothing_leaves_the_board(status: Status, ended: bool) -> None:
    writes = sweep([present(status, ended=ended)], OTHERS, STAMP)
    assert set(after(writes, [agent("alice")], OTHERS)) == {keys.past_agent("alice"), keys.lock(OTHERS[0].lock)}


def test_locks_that_bind_no_longer_go_with_their_holder() -> None:
    locks = [held(lock("a", "alice"), live=False), held(lock("b", "alice", mode="shared"), live=False), *OTHERS]
    writes = sweep([present("dead")], locks, STAMP)
    disk = after(writes, [agent("alice")], locks)
    left = {key for key in disk if not key.startswith("inbox/")}
    assert left == {keys.past_agent("alice"), keys.lock(OTHERS[0].lock)}


def test_who_still_protects_something_stays() -> None:
    locks = [held(lock("a", "alice"), live=False), held(lock("b", "alice"))]
    disk = after(sweep([present("offline", ended=True)], locks, STAMP), [agent("alice")], locks)
    assert {key for key in disk if not key.startswith("inbox/")} == {keys.agent("alice"), keys.lock(locks[1].lock)}


@pytest.mark.parametrize("status", ["offline", "dead"])
def test_whoever_comes_back_is_told_what_has_lapsed(status: Status) -> None:
    """Also after a crash: a session can be resumed, and its model remembers its locks."""
    locks = [held(lock("a", "alice"), live=False), held(lock("b", "alice"), live=False), *OTHERS]
    disk = after(sweep([present(status)], locks, STAMP), [agent("alice")], locks)
    messages = [record for record in disk.values() if isinstance(record, Message)]
    assert [message.to for message in messages] == ["alice"]
    assert all("lock on a had lapsed" in m.body and "lock on b had lapsed" in m.body for m in messages)


agents = st.sampled_from(["alice", "bob", "carol"])
presences = st.lists(
    st.builds(
        present, st.sampled_from(["active", "idle", "stale", "offline", "dead"]), agent_id=agents, ended=st.booleans()
    ),
    unique_by=lambda presence: presence.agent.id,
)
boards = st.lists(
    st.builds(held, st.builds(lock, st.sampled_from("abcdef"), agents, st.booleans()), st.booleans()),
    unique_by=lambda found: found.lock.path,
)


@given(presences, boards)
def test_whoever_leaves_the_board_holds_nothing(found: list[Presence], locks: list[Held]) -> None:
    disk = after(sweep(found, locks, STAMP), [p.agent for p in found], locks)
    left = {p.agent.id for p in found if keys.past_agent(p.agent.id) in disk}
    assert not [r for r in disk.values() if isinstance(r, Lock) and r.holder in left]


@given(presences, boards)
def test_sweeping_drops_no_lock_that_binds(found: list[Presence], locks: list[Held]) -> None:
    disk = after(sweep(found, locks, STAMP), [p.agent for p in found], locks)
    assert all(disk.get(keys.lock(h.lock)) == h.lock for h in locks if h.live)


@given(presences, boards)
def test_sweeping_twice_is_sweeping_once(found: list[Presence], locks: list[Held]) -> None:
    disk = after(sweep(found, locks, STAMP), [p.agent for p in found], locks)
    still = [p for p in found if keys.agent(p.agent.id) in disk]
    assert sweep(still, [h for h in locks if keys.lock(h.lock) in disk], STAMP) == ()


# ---------------------------------------------------------------- what was edited while alone
def test_a_lock_for_a_past_edit_lasts_from_the_edit() -> None:
    alice = replace(agent("alice"), session="alice-s", task="t-7k3f", branch="main")
    found = lock_for_edit(alice, Target(scope="file", path="a", worktree="feature"), NOON, 600, STAMP)
    assert found == Lock(
        path="a",
        scope="file",
        mode="exclusive",
        holder="alice",
        holder_name="alice",
        session="alice-s",
        token="s:7",
        task="t-7k3f",
        auto=True,
        worktree="feature",
        branch="main",
        acquired_at=NOON,
        expires_at=NOON + timedelta(minutes=10),
        ttl_s=600,
    )
