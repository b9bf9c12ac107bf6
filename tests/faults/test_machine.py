"""The machine misbehaves: descriptors run out, the clock jumps, it reboots, pids come again.

Nobody is declared dead for want of evidence, and nothing that cannot be read passes for something that is not there.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.faulty import Fault, faults
from faults.operations import fenced, there
from lines import in_line, joins, with_process
from world import ManualRuntime, Player, World

from agentsync.core.locks import Conflict, Granted
from agentsync.ops import care, edits, mail
from agentsync.runtime import Process, Runtime
from agentsync.store import watch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(tmp_path: Path) -> World:
    return fenced(tmp_path)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing can be opened any more, as in a process (or on a system) that leaks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_cannot_be_looked_up_is_not_dead() -> None:
    machine = Runtime()
    me = machine.process(os.getpid())
    assert me is not None
    facts = (me.pid, me.start, machine.boot_id, machine.pid_ns)
    assert machine.life_of(*facts) == "alive"
    with no_descriptors():
        assert machine.life_of(*facts) == "unknown"
    assert machine.life_of(me.pid, 1, machine.boot_id, machine.pid_ns) == "dead"
    assert machine.life_of(1 << 22, 1, machine.boot_id, machine.pid_ns) == "dead"


def test_a_configuration_that_cannot_be_read_is_not_taken_for_none(world: World) -> None:
    (alice,) = there(world, "alice")
    (world.root / ".claude/agent-sync.toml").mkdir()
    assert "agent-sync.toml" in " ".join(alice.session.store.warnings)


def test_the_gate_keeps_the_policy_of_a_configuration_that_cannot_be_read(world: World) -> None:
    (alice,) = there(world, "alice")
    toml = world.root / ".claude/agent-sync.toml"
    toml.write_text("auto_lock = false\n")
    care.refresh(alice.session)
    toml.unlink()
    toml.mkdir()
    care.refresh(alice.session)
    assert (world.state / "policy").exists()


@pytest.mark.parametrize("shared", [False, True])
def test_a_damaged_record_with_a_long_name_is_mended_like_any_other(shared: bool, world: World) -> None:
    alice, bob = there(world, "a" * 64, "bob")
    alice.locks("x" * 170, shared=shared)
    (damaged,) = (world.state / ("locks/shared" if shared else "locks")).glob("*.json")
    damaged.write_bytes(b"")
    assert bob.is_refused("x" * 170)
    assert alice.holds() == ["x" * 170]
    (kept,) = (world.state / "quarantine").iterdir()
    assert kept.name.startswith("locks__")


def test_an_edit_of_a_held_file_is_refused_although_another_record_cannot_be_mended(world: World) -> None:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py", "src/")
    (world.state / "locks/src%2F.json").write_bytes(b"")
    for error in (errno.ENOSPC, errno.EROFS):
        with faults(Fault(1, error, lasting=True)):
            assert isinstance(bob.edits("src/app.py"), edits.Refused)


def test_upkeep_that_fails_does_not_undo_the_answer(world: World) -> None:
    """Compaction after a command that is done; a record of a newer version stops it."""
    alice, bob = there(world, "alice", "bob")
    bob.locks("src/app.py")
    record = world.state / "locks/src%2Fapp.py.json"
    record.write_text(record.read_text().replace('"v": 1', '"v": 2'))
    world.clock.advance(minutes=180)
    session = alice.session
    care.compact_if_free(session)
    assert session.store.warnings == []
    assert bob.holds() == ["src/app.py"], "what a newer version wrote is not ours to drop"
    there(world, "carol")


# ---------------------------------------------------------------- the clock jumps
def test_a_clock_that_jumps_ahead_frees_locks_and_back_again_makes_no_second_holder(world: World) -> None:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    world.clock.advance(minutes=60 * 24)
    assert isinstance(bob.locks("src/app.py"), Granted)
    world.clock.advance(minutes=-60 * 24)
    alice.beats()
    assert alice.is_refused("src/app.py")
    assert bob.holds() == ["src/app.py"]
    assert "src/app.py" in alice.was_told()[0]


def test_a_clock_that_is_set_back_keeps_every_lock_and_the_order_of_events(world: World) -> None:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    first = mail.send(alice.session, "bob", "one")
    world.clock.advance(minutes=-60 * 24)
    second = mail.send(alice.session, "bob", "two")
    assert bob.is_refused("src/app.py")
    assert [message.id for message in mail.inbox(bob.session)] == [first.id, second.id]
    alice.makes("Login")
    assert bob.claims_next() == "Login"
    alice.unlocks("src/app.py")
    assert not bob.is_refused("src/app.py")


def test_a_holder_survives_a_jump_that_nobody_took_advantage_of(world: World) -> None:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    world.clock.advance(minutes=60 * 24)
    alice.beats()
    assert bob.is_refused("src/app.py")


def test_who_waits_gives_up_on_time_although_the_clock_is_set_back(world: World) -> None:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")

    class SetBack(type(bob.runtime)):  # type: ignore[misc]
        """By an hour whenever somebody looks."""

        def now(self) -> datetime:
            self.clock.advance(minutes=-60)
            return super().now()  # type: ignore[no-any-return]

    runtime = SetBack(world.clock, world.machine, dict(bob.runtime.env), bob.runtime.cwd)
    outcome = Player(runtime, None).locks("src/app.py", wait=0.2)
    assert isinstance(outcome, Conflict)
    assert in_line(world) == []


# ---------------------------------------------------------------- reboots, pids, namespaces
def client(world: World) -> Player:
    """Alice with a process of her own, who holds a file; bob is there too."""
    there(world, "bob")
    alice = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    alice.locks("src/app.py")
    return alice


def test_after_a_reboot_a_pid_proves_nothing_and_silence_frees_the_lock(world: World) -> None:
    client(world)
    bob = world.agent("bob")
    world.machine.boot_id = "boot-2"
    assert bob.is_refused("src/app.py"), "the pid is alive, in another life"
    world.machine.kill(4242)
    assert bob.is_refused("src/app.py"), "nor does a pid that is missing prove anything"
    world.clock.advance(minutes=16)
    bob.beats()
    assert not bob.is_refused("src/app.py")


def test_a_pid_that_was_given_to_another_process_is_no_sign_of_life(world: World) -> None:
    client(world)
    bob = world.agent("bob")
    assert bob.is_refused("src/app.py")
    world.machine.start(4242, at=101)
    assert not bob.is_refused("src/app.py")


class Elsewhere(ManualRuntime):
    """Seen from inside a container: no pid of the host is there."""

    @property
    def pid_ns(self) -> str:  # type: ignore[override]
        return "pid:[2]"

    def process(self, pid: int) -> Process | None:
        return None


def test_from_another_pid_namespace_nobody_looks_dead(world: World) -> None:
    alice = client(world)
    bob = world.agent("bob")
    inside = Player(Elsewhere(world.clock, world.machine, dict(bob.runtime.env), bob.runtime.cwd), None)
    assert inside.is_refused("src/app.py")
    assert not inside.may_edit("src/app.py")
    assert alice.holds() == ["src/app.py"]


def test_a_waiter_in_another_pid_namespace_keeps_its_place_until_it_is_silent(world: World) -> None:
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    joins(with_process(bob, 70), "src/app.py")
    alice.unlocks("src/app.py")
    carol = world.agent("carol")
    inside = Player(Elsewhere(world.clock, world.machine, dict(carol.runtime.env), carol.runtime.cwd), None)
    assert inside.is_refused("src/app.py")
    world.machine.kill(70)
    assert inside.is_refused("src/app.py"), "from here its pid proves nothing"
    assert isinstance(carol.locks("src/app.py"), Granted), "from there it does"


# ---------------------------------------------------------------- watching does not work
WATCHLESS = ["unshare", "-Ur", "sh", "-c", 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"', "sh"]
"""Runs a command in a user namespace without inotify; nobody else on the machine has any less of it."""

FOLLOWER = """
import sys, threading
import agentsync
from agentsync.store.watch import Follower
board = agentsync.open(".", agent="writer")
board.heartbeat()
after = board.revision()
def write():
    for number in range(10):
        board.lock(f"file-{number}")
threading.Thread(target=write).start()
with Follower(board._session.store.files, after) as follower:
    for event in follower.events(timeout=2):
        print(event.rev, follower._observer is None, flush=True)
        if event.rev == after + 10:
            break
"""


@pytest.fixture
def without_inotify() -> list[str]:
    try:
        subprocess.run([*WATCHLESS, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a user namespace without inotify cannot be made here")
    return WATCHLESS


def environment(agent: str) -> dict[str, str]:
    package = str(Path(__file__).parents[2])
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": package, "AGENT_SYNC_ID": agent}


def test_who_follows_the_log_without_inotify_misses_nothing(world: World, without_inotify: list[str]) -> None:
    command = [*without_inotify, sys.executable, "-c", FOLLOWER]
    done = subprocess.run(command, cwd=world.root, env=environment("x"), capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [int(revision) for revision, _ in lines] == list(range(2, 12)), done.stderr
    assert {polls for _, polls in lines} == {"True"}


def test_who_waits_without_inotify_is_granted(world: World, without_inotify: list[str]) -> None:
    alice, _ = there(world, "alice", "bob")
    world.clock.now = datetime.now(UTC)
    alice.beats()
    alice.locks("src/app.py")
    command = [*without_inotify, sys.executable, "-m", "agentsync", "lock", "--wait=20", "src/app.py"]
    waiter = subprocess.Popen(command, cwd=world.root, env=environment("bob"), stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 20
    while not in_line(world) and time.monotonic() < end:
        time.sleep(0.02)
    assert in_line(world) == ["bob"]
    world.clock.now = datetime.now(UTC)
    alice.unlocks("src/app.py")
    assert waiter.wait(20) == 0
    assert waiter.communicate()[0] != ""


class Threadless:
    """A system that starts no more threads; what the watcher does about it."""

    def __call__(self, directory: str, wake: object) -> object:
        raise RuntimeError("can't start new thread")


def test_who_cannot_start_a_watcher_polls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (alice,) = there(world, "alice")
    monkeypatch.setattr(watch, "_observe", Threadless())
    with watch.Follower(alice.session.store.files, 0) as follower:
        assert [event.rev for event in follower.events(timeout=0.01)] == [1]
