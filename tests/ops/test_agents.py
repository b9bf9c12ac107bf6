"""Sessions come, stay, fall silent, die, go, and come back. Time and processes move by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from world import NOON, World, git

from agentsync.core.locks import Granted
from agentsync.errors import UsageError
from agentsync.ops import agents, care, status
from agentsync.store import activity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from world import Player

    from agentsync.core.lease import Presence
    from agentsync.core.records import Agent

ONE = "11111111-1111-4111-8111-000000000001"
TWO = "22222222-2222-4222-8222-000000000002"


def presence(player: Player) -> Presence:
    found = player.session.store.state().presence(player.id)
    assert found is not None
    return found


def on_the_board(world: World) -> list[str]:
    return sorted(path.stem for path in (world.state / "agents").glob("*.json"))


def gone(world: World) -> list[str]:
    return sorted(path.stem for path in (world.state / "agents/past").glob("*.json"))


def told(player: Player) -> list[str]:
    return [message.body for _, message in player.session.store.state().inbox(player.id)]


def tokens(players: Iterable[Player]) -> dict[str, str]:
    held = [held.lock for player in players for held in player.session.store.state().locks()]
    return {lock.path: lock.token for lock in held}


def verbs(world: World) -> list[str]:
    """Of all events, oldest first."""
    from agentsync.store import log

    files = world.agent("nobody").session.store.files
    return [event.verb for event in log.since(files, 0)]


def whoami(player: Player) -> agents.Whoami:
    return agents.whoami(player.session)


# ---------------------------------------------------------------- coming
def test_asking_who_one_is_registers_nobody(world: World) -> None:
    alice = world.agent("alice")
    assert whoami(alice).registered is False
    assert not world.state.exists()
    world.agent("bob").registers()
    assert whoami(alice).registered is False
    assert on_the_board(world) == ["bob"]


def test_registering_again_changes_what_was_said_and_keeps_the_rest(world: World) -> None:
    alice = world.agent("alice")
    alice.registers("Alice", "API")
    alice.registers("Alicia")
    agent = presence(alice).agent
    assert (agent.name, agent.role, agent.created_at) == ("Alicia", "API", NOON)
    alice.registers()
    assert presence(alice).agent.name == "Alicia"


@pytest.mark.parametrize("name", ["", "   ", "x" * 65])
def test_a_name_that_is_none_is_refused_and_nobody_registered(name: str, world: World) -> None:
    with pytest.raises(UsageError):
        world.agent("alice").registers(name)
    assert on_the_board(world) == []


@pytest.mark.parametrize(
    "agent_id", ["all", "past", "agent-sync", "operator", "Alice", "a/b", "..", "con", "a" * 65, "-a", "a.", "ä"]
)
def test_an_id_that_cannot_be_one_is_refused(agent_id: str, world: World) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        world.agent(agent_id).registers()
    assert not world.state.exists()


def test_names_may_repeat_and_ids_tell_them_apart(world: World) -> None:
    for agent_id in ("a1", "a2"):
        world.agent(agent_id).registers("twin")
    board = status.overview(world.agent("a1").session)
    assert [(p.agent.id, p.agent.name) for p in board.agents] == [("a1", "twin"), ("a2", "twin")]


def test_hooks_and_commands_of_one_session_are_one_agent(world: World) -> None:
    hook, command = world.client(ONE, pid=50), world.client(ONE)
    hook.registers()
    command.locks("src/app.py")
    assert on_the_board(world) == ["claude-00000001"]
    assert presence(hook).agent.pid == 50, "a command in a shell does not overwrite the client's process"


def test_the_record_says_where_an_agent_works(world: World) -> None:
    git("worktree", "add", "-q", "-b", "feature", "../linked", cwd=world.root)
    alice = world.agent("alice", cwd=world.root.parent / "linked")
    alice.registers()
    agent = presence(alice).agent
    assert (agent.worktree, agent.branch) == ("linked", "feature")
    assert agent.cwd == str(world.root.parent / "linked")


# ---------------------------------------------------------------- falling silent
SILENCE: list[tuple[bool, float, str]] = [
    # has a process, minutes of silence, status
    (False, 0, "active"),
    (False, 15, "active"),
    (False, 15.1, "stale"),
    (False, 120, "stale"),
    (False, 120.1, "offline"),
    (True, 15, "active"),
    (True, 15.1, "idle"),
    (True, 60 * 24, "idle"),
]


@pytest.mark.parametrize(("has_process", "minutes", "expected"), SILENCE)
def test_silence_means_more_where_no_process_can_be_seen(
    has_process: bool, minutes: float, expected: str, world: World
) -> None:
    alice = world.client(ONE, pid=50 if has_process else None)
    alice.registers()
    world.clock.advance(minutes=minutes)
    assert presence(alice).status == expected


def test_any_command_is_a_sign_of_life(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    for sign in (alice.beats, lambda: whoami(alice), lambda: alice.locks("src/app.py"), lambda: alice.has_edited("x")):
        world.clock.advance(minutes=14)
        sign()
        world.clock.advance(minutes=14)
        assert presence(alice).status == "active"


def test_a_dead_process_is_dead_at_once(world: World) -> None:
    alice = world.client(ONE, pid=50)
    alice.registers()
    world.machine.kill(50)
    assert presence(alice).status == "dead"


def test_a_process_that_got_the_pid_of_another_is_not_that_one(world: World) -> None:
    alice = world.client(ONE, pid=50)
    alice.registers()
    world.machine.kill(50)
    world.machine.start(50, at=999)
    assert presence(alice).status == "dead"


def test_after_a_reboot_nothing_is_proven(world: World) -> None:
    """The pid is gone with the boot, but another machine's boot id looks the same: only silence tells."""
    alice = world.client(ONE, pid=50)
    alice.registers()
    world.machine.kill(50)
    world.machine.boot_id = "boot-2"
    assert presence(alice).status == "active"
    world.clock.advance(minutes=16)
    assert presence(alice).status == "stale"


# ---------------------------------------------------------------- going
def test_who_holds_nothing_leaves_the_board(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    alice.ends()
    assert (on_the_board(world), gone(world)) == ([], ["alice"])


def test_at_the_end_automatic_locks_go_and_locks_by_hand_stay(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    bob.registers()
    alice.locks("by-hand.py")
    alice.edits("by-edit.py")
    alice.ends()
    assert alice.holds() == ["by-hand.py"]
    assert on_the_board(world) == ["alice", "bob"], "who still holds something may not leave"
    assert bob.is_refused("by-hand.py")
    world.clock.advance(minutes=59)
    assert bob.is_refused("by-hand.py"), "silence of somebody who said goodbye means nothing"
    world.clock.advance(minutes=2)
    assert not bob.is_refused("by-hand.py")


def test_at_the_end_all_locks_go_if_they_are_to(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("by-hand.py", "src/")
    alice.ends(release_all=True)
    assert (alice.holds(), on_the_board(world)) == ([], [])


def test_ending_what_never_began_is_nothing(world: World) -> None:
    world.agent("alice").ends()
    assert not world.state.exists()
    world.agent("bob").registers()
    before = verbs(world)
    world.agent("alice").ends()
    assert verbs(world) == before


def test_ending_twice_is_ending_once(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    alice.ends()
    before = verbs(world)
    alice.ends()
    assert verbs(world) == before


def test_the_gone_are_swept_when_nothing_of_theirs_binds(world: World) -> None:
    alice, bob = world.client(ONE, pid=50), world.agent("bob")
    alice.locks("src/app.py")
    world.machine.kill(50)
    care.gc(bob.session)
    assert alice.holds() == []
    assert gone(world) == ["claude-00000001"]


def test_the_gone_are_not_swept_while_something_of_theirs_binds(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    alice.ends()
    care.gc(bob.session)
    assert on_the_board(world) == ["alice"]
    assert bob.is_refused("src/app.py")


# ---------------------------------------------------------------- the same client, a new session: /clear
def test_after_clear_the_new_session_has_name_role_and_locks_of_the_old(world: World) -> None:
    old = world.client(ONE, pid=50)
    old.registers("backend", "API")
    old.locks("src/app.py", reason="half done")
    before = tokens([old])
    old.ends(continues=True)
    new = world.client(TWO, pid=50)
    new.registers()
    agent = presence(new).agent
    assert (agent.name, agent.role) == ("backend", "API")
    assert (old.holds(), new.holds()) == ([], ["src/app.py"])
    assert (on_the_board(world), gone(world)) == (["claude-00000002"], ["claude-00000001"])
    (held,) = new.session.store.state().locks()
    assert (held.lock.reason, held.lock.holder_name, held.lock.session) == ("half done", "backend", TWO)
    assert held.lock.token != before["src/app.py"], "who acts under the old token must notice"
    assert world.agent("bob").is_refused("src/app.py")


def test_between_the_two_sessions_of_clear_the_lock_binds(world: World) -> None:
    old, bob = world.client(ONE, pid=50), world.agent("bob")
    old.locks("src/app.py")
    old.ends(continues=True)
    assert bob.is_refused("src/app.py")


def test_another_process_inherits_nothing(world: World) -> None:
    old = world.client(ONE, pid=50)
    old.locks("src/app.py")
    old.ends(continues=True)
    new = world.client(TWO, pid=60)
    new.registers()
    assert (old.holds(), new.holds()) == (["src/app.py"], [])


def test_an_end_without_continuation_leaves_nothing_to_inherit(world: World) -> None:
    old = world.client(ONE, pid=50)
    old.locks("src/app.py")
    old.ends()
    new = world.client(TWO, pid=50)
    new.registers()
    assert (old.holds(), new.holds()) == (["src/app.py"], [])


def test_two_live_sessions_of_one_process_stay_two(world: World) -> None:
    one, two = world.client(ONE, pid=50), world.client(TWO, pid=50)
    one.locks("src/app.py")
    two.registers()
    assert one.holds() == ["src/app.py"]
    assert two.is_refused("src/app.py")


# ---------------------------------------------------------------- coming back
def test_who_left_comes_back_as_the_same_agent(world: World) -> None:
    alice = world.agent("alice")
    alice.registers("Alice", "API")
    alice.ends()
    world.clock.advance(minutes=600)
    alice.registers()
    agent = presence(alice).agent
    assert (agent.name, agent.role, agent.created_at) == ("Alice", "API", NOON)
    assert (on_the_board(world), gone(world)) == (["alice"], [])
    assert presence(alice).status == "active"


def test_who_ended_holding_something_comes_back_to_it(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    alice.ends()
    world.clock.advance(minutes=30)
    alice.registers()
    assert not presence(alice).ended
    world.clock.advance(minutes=14)
    assert bob.is_refused("src/app.py")
    assert isinstance(alice.locks("src/app.py"), Granted)


def test_who_was_thought_dead_is_alive_with_the_next_command(world: World) -> None:
    """Resumed: the same session in a new process, which a plain command does not know."""
    alice = world.client(ONE, pid=50)
    alice.locks("src/app.py")
    world.machine.kill(50)
    shell = world.client(ONE)
    shell.locks("other.py")
    assert presence(alice).status == "active"
    assert presence(alice).agent.pid is None
    assert world.agent("bob").is_refused("src/app.py"), "nobody took it over meanwhile"


def test_a_resumed_session_has_its_new_process(world: World) -> None:
    alice = world.client(ONE, pid=50)
    alice.registers()
    world.machine.kill(50)
    world.client(ONE, pid=60).registers()
    assert presence(alice).agent.pid == 60
    assert presence(alice).status == "active"


def test_whose_lock_was_taken_over_is_told_by_whom(world: World) -> None:
    alice, bob = world.client(ONE, pid=50), world.agent("bob")
    bob.registers()
    alice.locks("src/app.py")
    world.machine.kill(50)
    assert not bob.is_refused("src/app.py")
    (body,) = told(alice)
    assert "src/app.py" in body
    assert "bob" in body
    assert alice.is_refused("src/app.py")


def test_whose_lock_was_swept_is_told_when_the_session_is_resumed(world: World) -> None:
    """`claude --continue` after a crash: the same session, and a model that remembers its lock."""
    alice, bob = world.client(ONE, pid=50), world.agent("bob")
    alice.locks("src/app.py")
    world.machine.kill(50)
    assert not bob.is_refused("src/app.py"), "bob's registration drops it, his lock follows"
    resumed = world.client(ONE, pid=60)
    resumed.registers()
    assert any("src/app.py" in body for body in told(resumed))


# ---------------------------------------------------------------- whoever comes second
def test_the_second_finds_the_edits_of_the_first_locked(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    for path in ("a.py", "b.py"):
        alice.edits(path)
        alice.has_edited(path)
    assert alice.holds() == []
    bob.registers()
    assert alice.holds() == ["a.py", "b.py"]
    assert all(held.lock.auto for held in bob.session.store.state().locks())
    assert not bob.may_edit("a.py")


@pytest.mark.parametrize(("minutes", "is_locked"), [(0, True), (9.9, True), (10, False), (30, False)])
def test_only_edits_of_the_last_ten_minutes_are_caught_up(minutes: float, is_locked: bool, world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    alice.has_edited("a.py")
    world.clock.advance(minutes=minutes)
    alice.beats()
    bob.registers()
    assert alice.holds() == (["a.py"] if is_locked else [])


def test_what_is_caught_up_lasts_ten_minutes_from_the_edit_not_from_the_catching(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    alice.has_edited("a.py")
    world.clock.advance(minutes=8)
    bob.registers()
    (held,) = bob.session.store.state().locks()
    assert held.lock.acquired_at == NOON
    assert held.lock.expires_at == NOON + timedelta(minutes=10)


def test_the_last_of_several_edits_counts(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    alice.has_edited("a.py")
    world.clock.advance(minutes=9)
    alice.has_edited("a.py")
    world.clock.advance(minutes=5)
    bob.registers()
    assert not bob.may_edit("a.py")
    world.clock.advance(minutes=4)
    assert not bob.may_edit("a.py")
    world.clock.advance(minutes=2)
    assert bob.may_edit("a.py")


def test_a_dead_agents_edits_are_not_caught_up(world: World) -> None:
    alice, bob = world.client(ONE, pid=50), world.agent("bob")
    alice.registers()
    alice.has_edited("a.py")
    world.machine.kill(50)
    bob.registers()
    assert alice.holds() == []


def test_what_is_locked_by_hand_already_is_left_as_it_is(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/", reason="all of it")
    alice.has_edited("src/app.py")
    bob.registers()
    assert alice.holds() == ["src/"]


def test_a_third_catches_up_nothing_twice(world: World) -> None:
    alice, bob, carol = world.agent("alice"), world.agent("bob"), world.agent("carol")
    alice.registers()
    alice.has_edited("a.py")
    bob.registers()
    before = tokens([alice])
    carol.registers()
    assert tokens([alice]) == before


def _unlocks(alice: Player, _bob: Player) -> None:
    alice.unlocks("src/app.py")


def _unlocks_all(alice: Player, _bob: Player) -> None:
    alice.unlocks(everything=True)


def _locks_and_unlocks_more(alice: Player, _bob: Player) -> None:
    alice.locks("src/")
    alice.unlocks("src/app.py")
    alice.unlocks("src/")


def _is_forced(_alice: Player, bob: Player) -> None:
    bob.unlocks("src/app.py", force=True)


@pytest.mark.parametrize("lets_go", [_unlocks, _unlocks_all, _locks_and_unlocks_more, _is_forced])
def test_what_was_let_go_of_after_the_edit_is_not_caught_up(
    lets_go: Callable[[Player, Player], None], world: World
) -> None:
    alice, bob, carol = world.agent("alice"), world.agent("bob"), world.agent("carol")
    for player in (alice, bob):
        player.registers()
    assert alice.may_edit("src/app.py")
    alice.has_edited("src/app.py")
    world.clock.advance(seconds=2)
    lets_go(alice, bob)
    carol.registers()
    assert alice.holds() == []
    assert carol.may_edit("src/app.py")


def test_what_is_edited_alone_after_it_was_let_go_of_is_caught_up(world: World) -> None:
    alice, bob, carol = world.agent("alice"), world.agent("bob"), world.agent("carol")
    for player in (alice, bob):
        player.registers()
    assert alice.may_edit("a.py")
    alice.has_edited("a.py")
    world.clock.advance(seconds=2)
    alice.unlocks("a.py")
    bob.ends(release_all=True)
    world.clock.advance(seconds=2)
    alice.has_edited("a.py")
    carol.registers()
    assert alice.holds() == ["a.py"]


def test_torn_and_strange_lines_of_activity_are_skipped(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    files = alice.session.store.files
    files.append("activity/alice.ndjson", b'{"at": "2030-01-01T12:0\n\xff\xfe\n[]\n{"at": 1}\n')
    alice.has_edited("a.py")
    files.append("activity/alice.ndjson", b'{"at": "2030-01-01T12:00:00Z", "verb": "edit", "pa')
    bob.registers()
    assert alice.holds() == ["a.py"]


def test_without_automatic_locks_nothing_is_caught_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World(tmp_path_factory.mktemp("w"), config="auto_lock = false\n")
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    alice.has_edited("a.py")
    bob.registers()
    assert alice.holds() == []


@pytest.mark.parametrize("kind", ["ignore", "shared", "required"])
def test_paths_of_a_special_class_are_not_caught_up(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World(tmp_path_factory.mktemp("w"), config=f'[paths]\n{kind} = ["a.py"]\n')
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    alice.has_edited("a.py")
    alice.has_edited("b.py")
    bob.registers()
    assert alice.holds() == ["b.py"]


@pytest.mark.parametrize("path", ["src/", "src/*.py", "src/app.py"])
def test_an_edit_is_not_caught_up_beside_a_lapsed_lock_that_a_sign_of_life_revives(path: str, world: World) -> None:
    alice, bob, carol = world.agent("alice"), world.agent("bob"), world.agent("carol")
    alice.registers()
    alice.has_edited("src/app.py")
    carol.registers()
    alice.unlocks("src/app.py")
    carol.locks(path, ttl_minutes=1)
    world.clock.advance(minutes=2)
    bob.registers()
    carol.beats()
    assert alice.holds() == []
    assert not alice.may_edit("src/app.py")


def test_edits_in_another_worktree_are_caught_up_there(world: World) -> None:
    git("worktree", "add", "-q", "../linked", cwd=world.root)
    alice = world.agent("alice", cwd=world.root.parent / "linked")
    alice.registers()
    alice.has_edited("a.py")
    bob = world.agent("bob")
    bob.registers()
    (held,) = bob.session.store.state().locks()
    assert (held.lock.path, held.lock.worktree) == ("a.py", "linked")
    assert bob.may_edit("a.py"), "it is another file"


def test_what_was_only_warned_of_is_no_edit(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    line = activity.Line(at=world.clock.now, verb="warned", path="a.py", holder="carol")
    activity.append(alice.session.store.files, "alice", line)
    bob.registers()
    assert alice.holds() == []


# ---------------------------------------------------------------- the board as others see it
def test_an_overview_counts_what_waits(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("a.py")
    bob.registers()
    bob.unlocks("a.py", force=True)
    board = status.overview(alice.session)
    assert board.unread == 1
    assert board.revision == len(verbs(world))
    assert [p.agent.id for p in board.agents] == ["alice", "bob"]


def test_an_agent_record_never_names_the_process_of_a_command(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    agent: Agent = presence(alice).agent
    assert (agent.pid, agent.pid_start, agent.boot_id) == (None, None, None)
