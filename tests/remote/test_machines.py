"""What several machines may rely on, with clocks, cuts and lost answers in the hands of the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from remote.cluster import Agent, Cluster

from agentsync.core import turns
from agentsync.core.locks import Conflict
from agentsync.errors import UnusableError, UsageError
from agentsync.ops import agents, contents, engines, remote, sync

if TYPE_CHECKING:
    pass


@pytest.fixture
def pair(cluster: Cluster) -> tuple[Agent, Agent]:
    """Alice in the east, Bob in the west."""
    return cluster.machine("east").agent("alice"), cluster.machine("west").agent("bob")


# ---------------------------------------------------------------- one holder
def test_what_one_machine_holds_no_other_gets(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    assert alice.takes("src/app.py")
    assert not bob.takes("src/app.py")
    assert cluster.board() == {"src/app.py": f"alice.{cluster.machines['east'].name}"}


@pytest.mark.parametrize(
    ("first", "second"), [("src/", "src/app.py"), ("src/app.py", "src/"), ("src/*.py", "src/app.py"), ("@db", "@db")]
)
def test_what_overlaps_excludes_too(pair: tuple[Agent, Agent], first: str, second: str) -> None:
    alice, bob = pair
    assert alice.takes(first)
    assert not bob.takes(second)


def test_shared_locks_stand_beside_each_other(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    assert alice.takes("CHANGES", shared=True)
    assert bob.takes("CHANGES", shared=True)
    assert not bob.takes("CHANGES")


LONG = "vendor/" + "/".join(["a-directory-with-quite-a-long-name"] * 6) + "/file.c"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LONG, "vendor/"),
        ("vendor/", LONG),
        (LONG, "vendor/**"),
        ("src/", "src/**/*.py"),
        ("src/**", "src/"),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_board_that_is_remembered_is_read_where_it_matters(
    cluster: Cluster, pair: tuple[Agent, Agent], first: str, second: str, shared: bool
) -> None:
    alice, bob = pair
    assert alice.takes(first, shared=shared, ttl_minutes=5)
    for _ in range(turns.FEW):
        bob.takes("elsewhere")  # his are the last commits, so his next one begins without a look
        bob.unlocks("elsewhere")
    cluster.advance(minutes=6)
    assert bob.takes(second), "hers has lapsed, and must not stay beside his"
    assert cluster.board().keys() == {second}


def test_all_targets_or_none(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    assert alice.takes("b.py")
    assert not bob.takes("a.py", "b.py")
    assert list(cluster.board()) == ["b.py"]
    assert bob.holds() == []


def test_the_token_is_the_boards_and_grows(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    (lock,) = alice.session.store.state().locks()
    alice.unlocks("a.py")
    bob.takes("a.py")
    (later,) = bob.session.store.state().locks()
    assert lock.lock.token.partition(":")[0] == later.lock.token.partition(":")[0]
    assert int(later.lock.token.partition(":")[2]) > int(lock.lock.token.partition(":")[2])


def test_an_edit_of_what_another_machine_holds_is_refused_after_a_sync(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("src/app.py", reason="a new colour")
    assert bob.may_edit("src/app.py"), "nobody asks the network before an edit"
    bob.syncs()
    assert not bob.may_edit("src/app.py")
    assert bob.may_edit("src/other.py")


def test_who_has_no_remote_locks_of_others_is_alone(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.locks("local.py")
    bob.registers()
    bob.syncs()
    assert bob.session.is_alone()
    alice.takes("a.py")
    bob.syncs()
    assert not bob.session.is_alone(), "the gate must look at locks from now on"
    alice.unlocks("a.py")
    bob.syncs()
    assert bob.session.is_alone()


def test_a_lock_that_is_on_no_board_gives_way_to_a_guests(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    bob.locks("src/app.py", "mine.py")
    alice.takes("src/")
    came = bob.syncs().came
    assert [lock.path for lock in came.lost] == ["src/app.py"]
    assert bob.holds() == ["mine.py"]
    assert "gave way" in bob.was_told()[0]
    assert not bob.may_edit("src/app.py")


def test_what_is_held_here_becomes_known_there(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.locks("a.py", reason="mine")
    assert alice.takes("a.py")
    assert alice.holds() == ["a.py"]
    bob.syncs()
    assert list(cluster.machines["west"].guests()) == ["a.py"]


def test_a_refused_claim_leaves_what_was_held_before(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    bob.locks("a.py", reason="before")
    alice.takes("b.py")
    assert not bob.takes("a.py", "b.py")
    (held,) = [h.lock for h in bob.session.store.state().locks() if h.lock.holder == "bob"]
    assert (held.path, held.machine, held.reason) == ("a.py", None, "before")


# ---------------------------------------------------------------- letting go
def test_a_release_is_told_at_once(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    alice.unlocks("a.py")
    assert cluster.board() == {}
    assert bob.takes("a.py")


def test_a_release_without_the_network_is_told_with_the_next_sync(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    cluster.machines["east"].line.is_cut = True
    alice.unlocks("a.py")
    assert alice.holds() == []
    assert not bob.takes("a.py")
    cluster.machines["east"].line.is_cut = False
    alice.syncs()
    assert bob.takes("a.py")


def test_force_reaches_the_other_machine(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    bob.syncs()
    assert isinstance(bob.unlocks("a.py"), Conflict)
    bob.unlocks("a.py", force=True)
    assert cluster.board() == {}
    alice.syncs()
    assert alice.holds() == []
    assert "somebody released it" in alice.was_told()[0]


def test_locking_again_keeps_the_token_and_stays_for_all(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    (before,) = alice.session.store.state().locks()
    alice.locks("a.py", reason="still")
    (after,) = alice.session.store.state().locks()
    assert (after.lock.token, after.lock.machine) == (before.lock.token, before.lock.machine)
    bob.syncs()
    (there,) = [lock for lock in cluster.machines["west"].locks() if lock.path == "a.py"]
    assert there.reason == "still"


def test_a_successor_in_the_same_client_takes_the_lock_along(cluster: Cluster) -> None:
    east, west = cluster.machine("east"), cluster.machine("west")
    east.agent("someone")
    old = Agent(east.client("11111111-1111-4111-8111-111111111111", 7).runtime, None)
    bob = west.agent("bob")
    assert old.takes("a.py")
    old.ends(continues=True)
    new = Agent(east.client("22222222-2222-4222-8222-222222222222", 7).runtime, None)
    new.registers()
    new.syncs()
    bob.syncs()
    assert west.guests() == {"a.py": f"{new.id}.{east.name}"}
    new.syncs()
    (mine,) = new.session.store.state().locks()
    (theirs,) = [lock for lock in west.locks() if lock.path == "a.py"]
    assert mine.lock.token == theirs.token


# ---------------------------------------------------------------- life and death
def test_a_lock_lasts_until_its_time_after_the_last_sync_of_its_holder(
    cluster: Cluster, pair: tuple[Agent, Agent]
) -> None:
    alice, bob = pair
    alice.takes("a.py", ttl_minutes=30)
    cluster.advance(minutes=25)
    alice.beats()
    alice.syncs()
    bob.syncs()
    cluster.advance(minutes=25)
    assert not bob.takes("a.py")
    cluster.advance(minutes=6)
    assert bob.takes("a.py")
    alice.syncs()
    assert alice.holds() == []
    assert "gave way" in alice.was_told()[0]
    assert bob.syncs().came.lost == ()


@pytest.mark.parametrize("skew", [-600, -20, 20, 600])
def test_clocks_need_not_agree(cluster: Cluster, skew: int) -> None:
    alice = cluster.machine("east", skew_minutes=skew).agent("alice")
    bob = cluster.machine("west").agent("bob")
    alice.registers()
    alice.syncs()
    bob.syncs()
    alice.takes("a.py", ttl_minutes=30)
    bob.syncs()
    cluster.advance(minutes=29)
    assert not bob.takes("a.py"), "it is live, whatever her clock says"
    cluster.advance(minutes=2)
    assert bob.takes("a.py"), "and no longer than it should be"


@pytest.mark.parametrize("skew", [-600, -3, 0, 3, 600])
def test_a_newcomer_waits_for_a_whole_lease_whatever_the_clocks_say(cluster: Cluster, skew: int) -> None:
    alice = cluster.machine("east", skew_minutes=skew).agent("alice")
    alice.takes("a.py", ttl_minutes=30)
    cluster.advance(minutes=20)
    bob = cluster.machine("west").agent("bob")
    assert not bob.takes("a.py")
    cluster.advance(minutes=29)
    assert not bob.takes("a.py"), "all it knows is how long it has not heard of her"
    cluster.advance(minutes=2)
    assert bob.takes("a.py")


def test_silence_alone_frees_nothing_before_its_time(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py", ttl_minutes=300)
    bob.syncs()
    cluster.advance(minutes=200)
    assert not bob.takes("a.py")


def test_what_lapsed_long_ago_is_tidied_away_and_silent_machines_are_forgotten(
    cluster: Cluster, pair: tuple[Agent, Agent]
) -> None:
    alice, bob = pair
    alice.takes("a.py")
    bob.syncs()
    cluster.advance(minutes=60 * 26)
    bob.syncs()
    assert cluster.board() == {}
    cluster.advance(minutes=60 * 24 * 31)
    bob.syncs()
    bob.syncs()
    there = contents.board(dict(cluster.hub.versions[cluster.hub.current or ""][1]))
    assert set(there.machines) == {cluster.machines["west"].name}
    assert bob.session.store.state().machines() == []


# ---------------------------------------------------------------- cut off
def test_offline_no_lock_for_all_is_granted_and_local_work_goes_on(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    _, bob = pair
    cluster.machines["west"].line.is_cut = True
    with pytest.raises(engines.UnreachableError):
        bob.takes("a.py")
    assert bob.holds() == []
    bob.locks("a.py")
    assert bob.holds() == ["a.py"]


def test_what_was_seen_last_binds_until_it_lapses(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py", ttl_minutes=30)
    bob.syncs()
    cluster.machines["west"].line.is_cut = True
    cluster.advance(minutes=29)
    assert not bob.may_edit("a.py")
    cluster.advance(minutes=2)
    assert bob.may_edit("a.py")


def test_a_team_may_prefer_a_lock_for_one_machine_to_none(cluster: Cluster) -> None:
    west = cluster.machine("west", config='unconfirmed = "warn"\n')
    bob = west.agent("bob")
    west.line.is_cut = True
    session = bob.session
    from agentsync.ops import locks

    granted = locks.lock(session, ["a.py"], remote=True)
    assert not isinstance(granted, Conflict)
    assert granted.locks[0].machine is None
    assert "not confirmed" in session.store.warnings[0]


def test_an_answer_that_is_lost_grants_nothing_and_is_tidied_up(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    cluster.machines["east"].line.loses_answer = True
    with pytest.raises(engines.UnreachableError):
        alice.takes("a.py")
    assert alice.holds() == []
    assert list(cluster.board()) == ["a.py"], "it is there, and nobody was told so"
    assert not bob.takes("a.py")
    alice.syncs()
    assert bob.takes("a.py")


def test_two_sides_of_a_partition_cannot_both_lock(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    cluster.machines["east"].line.is_cut = True
    assert bob.takes("a.py")
    with pytest.raises(engines.UnreachableError):
        alice.takes("a.py")
    cluster.machines["east"].line.is_cut = False
    assert not alice.takes("a.py")


def test_a_remote_that_refuses_is_told_at_once(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, _ = pair
    cluster.hub.refuses = "protected ref"
    line = cluster.machines["east"].line
    before = line.swaps
    with pytest.raises(engines.RejectedError, match="protected ref"):
        alice.takes("a.py")
    assert line.swaps == before + 1
    assert alice.holds() == []


# ---------------------------------------------------------------- in a crowd
def test_who_was_alone_lately_does_not_look_before_a_commit(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    line = cluster.machines["east"].line
    for number in range(turns.FEW):
        alice.takes(f"{number}.py")
    before = line.reads
    alice.takes("more.py")
    assert line.reads == before
    bob.takes("his.py")
    assert alice.takes("again.py"), "a race is lost, and the next one won"
    assert line.reads == before + 1
    alice.takes("and again.py")
    assert line.reads == before + 2, "others are at work"


def test_in_a_crowd_others_go_first_and_who_does_not_come_is_not_waited_for_twice(
    cluster: Cluster, pair: tuple[Agent, Agent]
) -> None:
    alice, bob = pair
    line = cluster.machines["east"].line
    line.look_s = 0.005

    def asked(path: str) -> tuple[int, int]:
        before = line.reads, line.swaps
        assert alice.takes(path)
        return line.reads - before[0], line.swaps - before[1]

    alice.syncs()
    line.before_swap = [lambda: bob.takes("his.py")]
    assert asked("1.py") == (2, 2), "the first push was too late"
    assert asked("2.py") == (2, 1), "he is let go first"
    cluster.advance(minutes=9)
    assert asked("3.py") == (1, 1), "the crowd has gone"


# ---------------------------------------------------------------- waiting
def test_who_waits_gets_what_another_machine_releases(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    line = cluster.machines["west"].line
    line.before_read = [None, lambda: alice.unlocks("a.py")]
    assert bob.takes("a.py", wait=30)
    assert cluster.board() == {"a.py": f"bob.{cluster.machines['west'].name}"}
    assert bob.session.store.state().line() == []


def test_who_waits_in_vain_holds_what_he_held_before(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    bob.locks("b.py", reason="before")
    alice.takes("a.py")
    assert not bob.takes("a.py", "b.py", wait=0)
    carol = cluster.machine("north").agent("carol")
    line = cluster.machines["west"].line

    def goes_to_carol() -> None:
        alice.unlocks("a.py")
        line.before_swap = [lambda: carol.takes("a.py")]

    line.before_read = [None, goes_to_carol]
    assert not bob.takes("a.py", "b.py", wait=3.5)
    assert line.before_swap == []
    (held,) = [h.lock for h in bob.session.store.state().locks() if h.lock.holder == "bob"]
    assert (held.path, held.machine, held.reason) == ("b.py", None, "before")
    assert cluster.board() == {"a.py": f"carol.{cluster.machines['north'].name}"}


def test_who_waits_outlasts_a_cut_and_sees_what_lapses(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py", ttl_minutes=30)
    line = cluster.machines["west"].line

    def cut() -> None:
        line.is_cut = True

    def heal() -> None:
        line.is_cut = False
        cluster.advance(minutes=31)

    line.before_read = [None, cut, heal]
    assert bob.takes("a.py", wait=30)
    assert "alice" not in str(cluster.board())


def test_nobody_asks_the_network_while_a_neighbour_is_in_the_way(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    _, bob = pair
    west = cluster.machines["west"]
    carol = west.agent("carol")
    assert carol.takes("a.py")
    before = west.line.reads
    assert not bob.takes("a.py", wait=1.2)
    assert west.line.reads <= before + 1


# ---------------------------------------------------------------- lost history
def test_a_rewound_board_gets_back_what_it_lost(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.registers()
    alice.syncs()
    old = cluster.hub.current
    alice.takes("a.py")
    bob.takes("b.py")
    alice.syncs()
    cluster.hub.current = old
    session = alice.session
    done = sync.sync(session)
    assert done.rewound
    assert "rewound" in session.store.warnings[0]
    assert sorted(cluster.board()) == ["a.py", "b.py"], "hers, and the guest's that she knew"
    assert set(alice.holds()) == {"a.py"}
    assert not alice.syncs().rewound
    assert set(bob.syncs().came.lost) == set()
    assert bob.holds() == ["b.py"]


def test_a_crash_before_the_mending_forgets_nothing(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, _ = pair
    old = cluster.hub.current
    alice.takes("a.py")
    cluster.hub.current = old
    cluster.hub.refuses = "not now"
    with pytest.raises(engines.RejectedError):
        alice.syncs()
    assert alice.holds() == ["a.py"]
    cluster.hub.refuses = None
    assert alice.syncs().rewound
    assert list(cluster.board()) == ["a.py"]


def test_what_a_rewound_board_granted_meanwhile_stands(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    old = cluster.hub.current
    alice.takes("a.py")
    cluster.hub.current = old
    assert bob.takes("a.py")
    alice.syncs()
    assert alice.holds() == []
    assert "gave way" in alice.was_told()[0]


def test_a_board_that_is_gone_is_made_again(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    cluster.hub.current = None
    alice.syncs()
    assert list(cluster.board()) == ["a.py"]
    bob.syncs()
    assert not bob.takes("a.py")


def test_another_board_is_not_touched(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    cluster.hub.current = None
    bob_line = cluster.machines["west"].line
    remote.remove(bob.session)
    cluster.hub.current = None
    remote.add(bob.session, f"memory:{cluster.machines['west'].root}")
    version = cluster.hub.current
    with pytest.raises(UnusableError, match="another board"):
        alice.syncs()
    assert cluster.hub.current == version
    assert alice.holds() == ["a.py"]
    assert bob_line.hub is cluster.hub


def test_what_is_no_board_is_not_touched(cluster: Cluster) -> None:
    version = cluster.hub.add(None, {"README": b"somebody's\n"})
    with pytest.raises(UnusableError, match="no board"):
        cluster.machine("east").agent("alice")
    assert cluster.hub.current == version


def test_a_newer_board_is_left_alone(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, _ = pair
    files = cluster.hub.versions[cluster.hub.current or ""][1]
    version = cluster.hub.add(
        cluster.hub.current, {**files, "board.json": files["board.json"].replace(b'"v": 1', b'"v": 2')}
    )
    with pytest.raises(UnusableError, match="newer"):
        alice.syncs()
    assert cluster.hub.current == version


def test_records_that_nobody_knows_stay(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, _ = pair
    files = cluster.hub.versions[cluster.hub.current or ""][1]
    strange = {
        "tasks/t-1.json": b"{}",
        "locks/x.json": b"not json",
        "locks/y.json": b'{"kind": "lock", "v": 2, "new": 1}',
    }
    cluster.hub.add(cluster.hub.current, {**files, **strange})
    assert alice.takes("a.py")
    left = cluster.hub.versions[cluster.hub.current or ""][1]
    assert strange.items() <= left.items()
    with pytest.raises(UnusableError, match="newer"):
        alice.takes("y")


def test_history_is_folded_and_nobody_takes_that_for_a_rewind(
    cluster: Cluster, pair: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentsync.core import outgoing

    alice, bob = pair
    monkeypatch.setattr(outgoing, "SQUASH_EVERY", 4)
    for number in range(6):
        assert alice.takes(f"{number}.py")
    assert any(parent is None for parent, _ in list(cluster.hub.versions.values())[1:])
    assert not bob.syncs().rewound
    assert len(cluster.machines["west"].guests()) == 6


# ---------------------------------------------------------------- edges
def test_a_dry_run_changes_nothing_here_or_there(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    before = (cluster.hub.current, bob.session.store.revision())
    done = bob.syncs(dry_run=True)
    assert [lock.path for lock in done.came.guests] == ["a.py"]
    assert (cluster.hub.current, bob.session.store.revision()) == before


def test_nothing_new_is_no_commit(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py")
    bob.syncs()
    version, revision = cluster.hub.current, bob.session.store.revision()
    bob.syncs()
    assert (cluster.hub.current, bob.session.store.revision()) == (version, revision)


def test_leaving_takes_ones_locks_off_the_board_and_keeps_them_here(
    cluster: Cluster, pair: tuple[Agent, Agent]
) -> None:
    alice, bob = pair
    alice.takes("a.py")
    bob.takes("b.py")
    alice.syncs()
    remote.remove(alice.session)
    assert list(cluster.board()) == ["b.py"]
    (kept,) = alice.session.store.state().locks()
    assert (kept.lock.path, kept.lock.machine) == ("a.py", None)
    assert alice.session.is_alone()
    with pytest.raises(UsageError):
        alice.syncs()


def test_a_guest_is_not_swept_away_by_a_newcomer(cluster: Cluster, pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    alice.takes("a.py", ttl_minutes=300)
    bob.syncs()
    cluster.advance(minutes=200)
    agents.register(cluster.machines["west"].agent("carol").session)
    assert not bob.may_edit("a.py")


@pytest.mark.parametrize(
    "ref", ["refs/heads/main", "refs/tags/x", "state", "refs/../x", "refs/x y", "-x", "refs/x.lock"]
)
def test_a_ref_that_would_be_in_the_way_is_refused(cluster: Cluster, ref: str) -> None:
    east = cluster.machine("east")
    east.name = "taken"
    with pytest.raises(UsageError):
        remote.add(east.agent("alice").session, "memory:x", ref)


def test_paths_outside_are_no_business_of_other_machines(pair: tuple[Agent, Agent]) -> None:
    with pytest.raises(UsageError, match="outside"):
        pair[0].takes("/etc/hosts")


@pytest.mark.parametrize("config", ['reach = "remote"\n', '[paths]\nremote = ["migrations/**"]\n'])
def test_the_team_may_want_it_always_or_for_some_paths(cluster: Cluster, config: str) -> None:
    alice = cluster.machine("east", config=config).agent("alice")
    alice.locks("migrations/1.sql")
    alice.locks("src/app.py")
    assert ("src/app.py" in cluster.board()) == ("reach" in config)
    assert "migrations/1.sql" in cluster.board()
