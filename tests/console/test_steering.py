"""What the operator does, and that nobody else is it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from console.conftest import PID, operator_at
from crash.killing import kill_everywhere

from agentsync.console.steering import Operator
from agentsync.core.locks import Granted, Request
from agentsync.core.paths import target_of
from agentsync.errors import AgentSyncError, HeldError, NotFoundError, UsageError
from agentsync.ops import locks, operator, running, waiting

if TYPE_CHECKING:
    from world import World


# ---------------------------------------------------------------- who it is
def test_nobody_else_is_the_operator(world: World) -> None:
    with pytest.raises(UsageError, match="reserved"):
        world.agent("operator").registers()
    for what in ({"name": "Operator"}, {"role": " operator "}):
        with pytest.raises(UsageError, match="person at the console"):
            world.agent("alice").registers(**what)


def test_looking_on_puts_nobody_on_the_board(world: World, person: Operator) -> None:
    world.agent("alice").registers()
    person.session.store.state().presences()
    with pytest.raises(NotFoundError):
        person.read("m-1")
    assert world.agent("alice").session.is_alone()


def test_the_first_deed_does_and_the_end_takes_it_off_again(world: World) -> None:
    person = Operator(operator_at(world))
    world.agent("alice").registers()
    person.send("alice", "hello")
    assert not world.agent("alice").session.is_alone()
    assert person.close() == []
    assert world.agent("alice").session.is_alone()


# ---------------------------------------------------------------- locks
def test_a_lock_lasts_until_it_is_unlocked_or_the_console_ends(world: World) -> None:
    person, alice = Operator(operator_at(world)), world.agent("alice")
    person.lock("src/app.py", "look at it")
    person.lock("docs/")
    assert alice.is_refused("src/app.py")
    assert person.unlock("src/app.py").sentence == "unlocked src/app.py"
    assert not alice.is_refused("src/app.py")
    assert alice.is_refused("docs/a.md")
    person.close()
    assert not alice.is_refused("docs/a.md")


def test_what_was_locked_twice_is_given_back_once(world: World) -> None:
    person, alice = Operator(operator_at(world)), world.agent("alice")
    for path in ("src/app.py", "docs/"):
        person.lock(path)
        world.clock.advance(seconds=1)
        person.lock(path, force=True)
    person.unlock("src/app.py")
    assert alice.holds() == []
    assert not alice.is_refused("src/app.py")
    person.close()
    assert [held.lock.holder for held in person.session.store.state().locks()] == ["alice"]


def test_a_console_that_was_killed_holds_nothing(world: World) -> None:
    person, alice = Operator(operator_at(world)), world.agent("alice")
    person.lock("src/app.py")
    person.freeze()
    assert not alice.may_edit("src/other.py")
    world.machine.kill(PID)
    assert not alice.is_refused("src/app.py")
    assert alice.may_edit("src/other.py")


def test_what_others_hold_is_taken_by_force_only_and_they_are_told(world: World, person: Operator) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py", reason="mine")
    with pytest.raises(HeldError, match=r"src/app\.py is held by alice"):
        person.lock("src/app.py")
    with pytest.raises(HeldError, match="is held by alice"):
        person.unlock("src/app.py")
    person.lock("src/app.py", force=True)
    assert alice.is_refused("src/app.py")
    assert alice.was_told() == [
        "your lock on src/app.py was taken from you by operator (operator): read the file again before you go on with it"
    ]
    person.unlock("src/app.py")
    alice.locks("src/app.py")
    assert person.unlock("src/app.py", force=True).sentence == "unlocked src/app.py of alice (alice)"
    assert alice.holds() == []


def test_a_freeze_refuses_every_edit_in_every_worktree_until_the_thaw(world: World, person: Operator) -> None:
    alice = world.agent("alice")
    alice.locks("src/", "@db")
    person.freeze("a release is being made")
    assert not alice.may_edit("src/app.py")
    assert not alice.may_edit(".github/new.yml")
    assert alice.holds() == ["@db"], "a resource is no file"
    (frozen,) = operator.freezing(person.session.store.state().locks())
    assert (frozen.lock.path, frozen.lock.everywhere, frozen.lock.reason) == ("**", True, "a release is being made")
    assert person.thaw().sentence == "thawed: edits go on"
    assert alice.may_edit("src/app.py")
    assert person.thaw().sentence == "nothing was frozen"


def test_a_freeze_from_a_subdirectory_is_of_everything(world: World) -> None:
    alice = world.agent("alice")
    person = Operator(operator_at(world, "src"))
    person.freeze()
    assert not alice.may_edit("README")
    person.close()
    assert alice.may_edit("README")


def test_another_console_thaws_and_its_end_leaves_the_locks_of_this_one(world: World) -> None:
    first, second, alice = Operator(operator_at(world)), Operator(operator_at(world)), world.agent("alice")
    first.freeze()
    second.lock("@db")
    second.thaw()
    assert alice.may_edit("src/app.py")
    first.close()
    assert alice.is_refused("@db")
    second.close()
    assert not alice.is_refused("@db")


def test_a_lock_by_force_that_is_killed_was_taken_or_never_asked_for(world: World) -> None:
    world.agent("alice").locks("src/app.py", "docs/")
    world.agent("bob").registers()
    everything = ["src/app.py", "docs/"]
    done = kill_everywhere(world, lambda: running.hold(operator_at(world), everything, force=True), only_changing=True)
    assert done.kills > 5


def test_who_stands_in_line_is_passed_by_force_only(world: World, person: Operator) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    granted = alice.locks("src/app.py")
    assert isinstance(granted, Granted)
    world.machine.start(bob.runtime.pid)
    request = Request(targets=(target_of(granted.locks[0]),), ttl_s=60)
    waiting.join(bob.session, locks.in_turn(request), 60)
    alice.unlocks("src/app.py")
    with pytest.raises(HeldError, match=r"bob .* has been in line"):
        person.lock("src/app.py")
    person.lock("src/app.py", force=True)
    assert bob.is_refused("src/app.py")


# ---------------------------------------------------------------- tasks
def test_nobodys_task_is_assigned_and_somebodys_is_handed_on(world: World, person: Operator) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    for agent in (alice, bob):
        agent.registers()
    task = person.new_task("Login", ["src/app.py"], 3).record
    assert (task.files, task.priority) == (("src/app.py",), 3)
    assert person.assign(task.id, "alice").sentence == f"{task.id} is handed to alice (alice): Login"
    assert alice.works_on() is None or alice.sees()["Login"].task.owner == "alice"
    person.assign(task.id, "bob")
    assert alice.sees()["Login"].task.owner == "bob"
    assert any("handed to bob" in line for line in alice.was_told())


def test_a_task_for_nobody_stays_on_the_board(world: World, person: Operator) -> None:
    world.agent("alice").registers()
    task = person.new_task("Login").record
    with pytest.raises(AgentSyncError):
        person.assign(task.id, "nobody")
    assert world.agent("alice").sees()["Login"].task.status == "pending"


def test_tasks_are_blocked_cancelled_and_done_whosever_they_are(world: World, person: Operator) -> None:
    alice = world.agent("alice")
    for title in ("one", "two", "three"):
        alice.makes(title)
        alice.claims(title)
    person.block("one", "no key")
    person.cancel("two")
    person.complete("three")
    assert [alice.sees()[title].task.status for title in ("one", "two", "three")] == ["blocked", "cancelled", "done"]
    with pytest.raises(HeldError, match="is done"):
        person.block("three", "x")


# ---------------------------------------------------------------- words
def test_what_is_said_comes_from_the_operator(world: World, person: Operator) -> None:
    alice = world.agent("alice")
    alice.registers()
    person.send("all", "hello")
    directive = person.directive("all", "stop").record
    person.decide("All times are UTC")
    assert (directive.sender, directive.directive) == ("operator", True)
    assert {"hello", "stop"} <= set(alice.was_told())
    assert [one.by for one in alice.session.store.state().decisions()] == ["operator"]
