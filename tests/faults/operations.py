"""Every operation that writes, each with the board that it needs: what the campaigns of this folder run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crash.killing import leave_half_done
from lines import joins, with_process
from world import ManualRuntime, Player, World

from agentsync.core.progress import Says
from agentsync.ops import append, care, decisions, feed, mail, requests, tasks
from agentsync.store.compact import KEEP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Act = Callable[[], object]
    Operation = Callable[[World], Act]
    """Prepares the board and returns what is to be done on it, as often as wanted."""

CLIENT = "11111111-1111-4111-8111-00000000aaaa"
NEXT_SESSION = "22222222-2222-4222-8222-00000000bbbb"


class SameIds(ManualRuntime):
    """Makes the same short ids in every run, so that two runs can be compared."""

    def random_id(self, length: int) -> str:
        return "same" if length == 4 else super().random_id(length)


def fenced(tmp_path: Path) -> World:
    """A working tree that ends where it should: without a repository, a board further up would be taken for its own."""
    world = World(tmp_path, git_repo=False)
    (world.root / ".git").mkdir()
    (world.root / ".git/HEAD").write_text("ref: refs/heads/main\n")  # all that is read; no git is started
    return world


def there(world: World, *names: str) -> list[Player]:
    """Agents that are on the board."""
    players = [world.agent(name) for name in names]
    for player in players:
        player.registers()
    return players


def first_command(world: World) -> Act:
    return lambda: world.agent("alice").locks("src/app.py")


def register(world: World) -> Act:
    (alice,) = there(world, "alice")
    mail.send(alice.session, "all", "hello")
    alice.has_edited("src/app.py")
    return lambda: world.agent("bob").registers()


def end(world: World) -> Act:
    (alice,) = there(world, "alice")
    alice.locks("src/app.py", "src/lib/", "@db")
    return lambda: alice.ends(release_all=True)


def succeed(world: World) -> Act:
    old = world.client(CLIENT, pid=4242)
    old.locks("src/app.py", "src/lib/")
    mail.send(world.agent("alice").session, old.id, "hello")
    old.ends(continues=True)
    return world.client(NEXT_SESSION, pid=4242).registers


def lock(world: World) -> Act:
    (alice,) = there(world, "alice")
    return lambda: alice.locks("src/app.py", "docs/", "@db")


def share(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py", shared=True)
    return lambda: bob.locks("src/app.py", shared=True)


def renew(world: World) -> Act:
    (alice,) = there(world, "alice")
    alice.locks("src/app.py", reason="old")
    return lambda: alice.locks("src/app.py", reason="new")


def unlock(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py", "src/*.txt")
    requests.request(bob.session, "src/app.py")
    return lambda: alice.unlocks("src/app.py", "src/*.txt")


def force_unlock(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    return lambda: bob.unlocks("src/app.py", force=True)


def take_over(world: World) -> Act:
    (alice,) = there(world, "alice")
    alice.locks("src/")
    world.clock.advance(minutes=61)
    (bob,) = there(world, "bob")
    return lambda: bob.locks("src/app.py")


def edit(world: World) -> Act:
    alice, _ = there(world, "alice", "bob")
    return lambda: alice.edits("src/app.py")


def report(world: World) -> Act:
    alice, _ = there(world, "alice", "bob")
    alice.edits("src/app.py")
    return lambda: alice.has_edited("src/app.py")


def breach(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    return lambda: bob.has_edited("src/app.py")


def create_task(world: World) -> Act:
    (alice,) = there(world, "alice")
    runtime = SameIds(world.clock, world.machine, dict(alice.runtime.env), alice.runtime.cwd)
    return lambda: tasks.create(Player(runtime, None).session, Says(title="Login", files=("src/app.py",)))


def claim(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.makes("Login", "src/app.py")
    return lambda: bob.claims("Login", lock=True)


def claim_next(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.makes("Login", "src/app.py")
    return lambda: bob.claims_next(lock=True)


def complete(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.makes("Login")
    alice.makes("Logout", depends_on=("Login",))
    bob.claims("Login")
    return lambda: bob.does("complete", "Login")


def checkpoint(world: World) -> Act:
    (alice,) = there(world, "alice")
    alice.makes("Login")
    alice.claims("Login")
    return lambda: alice.does("checkpoint", "Login", "half of it is done")


def hand_over(world: World) -> Act:
    alice, _ = there(world, "alice", "bob")
    alice.makes("Login", "src/app.py")
    alice.claims("Login", lock=True)
    return lambda: alice.does("handoff", "Login", "bob")


def send(world: World) -> Act:
    alice, _, _ = there(world, "alice", "bob", "carol")
    return lambda: mail.send(alice.session, "all", "hello")


def deliver(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    mail.send(alice.session, "bob", "hello")
    mail.send(alice.session, "all", "hello")

    def act() -> None:
        with mail.delivery(bob.session, "prompt", lambda _: 1, 10):
            pass

    return act


def read(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    message = mail.send(alice.session, "bob", "hello")
    return lambda: mail.read_message(bob.session, message.id)


def acknowledge(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    message = mail.send(alice.session, "bob", "hello")
    return lambda: mail.ack(bob.session, message.id)


def decide(world: World) -> Act:
    alice, _ = there(world, "alice", "bob")
    first = decisions.decide(alice.session, "tabs")
    return lambda: decisions.decide(alice.session, "spaces", first.id)


def log(world: World) -> Act:
    (alice,) = there(world, "alice")
    return lambda: feed.record(alice.session, "the build is green", "build", ["src/app.py"])


def append_lines(world: World) -> Act:
    alice, _ = there(world, "alice", "bob")
    return lambda: append.append(alice.session, "notes.txt", b"a line")


def request(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    return lambda: requests.request(bob.session, "src/app.py")


def refuse(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    asked = requests.request(bob.session, "src/app.py")
    assert isinstance(asked, requests.Asked)
    return lambda: requests.refuse(alice.session, asked.request.id, "not yet")


def wait(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    bob = with_process(bob, 70)
    return lambda: joins(bob, "src/app.py")


def be_granted(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    place = joins(bob, "src/app.py", pid=70)
    alice.unlocks("src/app.py")
    return lambda: place.look()


def give_up(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    place = joins(bob, "src/app.py", pid=70)
    return lambda: place.leave()


def recover(world: World) -> Act:
    alice, bob = there(world, "alice", "bob")
    leave_half_done(
        world,
        lambda: alice.locks("src/a.py", "src/b.py"),
        until=lambda: len(alice.holds()) == 1 and (world.state / "intent.json").exists(),
    )
    return lambda: bob.locks("docs/")


def compact(world: World) -> Act:
    """A store whose log has three events too many."""
    alice, bob = there(world, "alice", "bob")
    with alice.session.store.transaction("alice") as tx:
        while tx.stamp.revision < KEEP + 2:
            tx.commit("note", "an event", (), "E", entry=True)
    bob.ends()
    world.clock.advance(minutes=180)
    (world.state / "tmp/orphan").write_bytes(b"x")
    return lambda: care.gc(alice.session)


OPERATIONS: dict[str, Operation] = {
    operation.__name__: operation
    for operation in (
        *(first_command, register, end, succeed, lock, share, renew, unlock, force_unlock, take_over),
        *(edit, report, breach, create_task, claim, claim_next, complete, checkpoint, hand_over),
        *(send, deliver, read, acknowledge, decide, log, append_lines, request, refuse, wait, be_granted, give_up),
        *(recover, compact),
    )
}
