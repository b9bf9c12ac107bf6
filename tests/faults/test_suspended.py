"""Processes that stand still for a while, as on a laptop that is closed, and others in a pid namespace of their own.

Who watches and stands still loses notifications: the kernel keeps 16,384 and then none. Who holds the guard and stands
still keeps it, and finishes what it was at when it wakes up.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.operations import fenced, there
from faults.test_machine import environment
from invariants import check_replay, check_store
from lines import in_line
from rounds import ROUNDS

from agentsync.core.locks import Conflict, Granted
from agentsync.errors import GuardTimeoutError
from agentsync.ops import locks
from agentsync.ops.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = fenced(tmp_path)
    made.clock.now = datetime.now(UTC)  # as it is for the processes
    return made


# ---------------------------------------------------------------- more notifications than the kernel keeps
def overflow(state: Path) -> None:
    """Renames in the log until the queue of a watcher that stands still is full, and some more."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip(f"the queue of a watcher has room for {limit} notifications")
    one, other = (f"{state}/log/.{name}" for name in "ab")
    Path(one).touch()
    for _ in range(limit // 4 + 200):  # each is two notifications, and then back
        os.rename(one, other)
        os.rename(other, one)
    os.unlink(one)


@contextmanager
def standing_still(process: subprocess.Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


FOLLOWER = """
import agentsync
from agentsync.store.watch import Follower
board = agentsync.open(".", agent="watcher")
board.heartbeat()
after = board.revision()
print("armed", after, flush=True)
with Follower(board._session.store.files, after) as follower:
    for event in follower.events(timeout=30):
        print(event.rev, event.summary, flush=True)
        if event.summary.endswith("the-last"):
            break
"""


def test_who_follows_the_log_and_stood_still_misses_nothing_although_its_queue_overflowed(world: World) -> None:
    (alice,) = there(world, "alice")
    command = [sys.executable, "-c", FOLLOWER]
    follower = subprocess.Popen(
        command, cwd=world.root, env=environment("x"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    after = int(follower.stdout.readline().split()[1])
    alice.locks("the-first")
    assert int(follower.stdout.readline().split()[0]) == after + 1
    time.sleep(0.5)  # what is there is delivered before it begins to watch
    with standing_still(follower):
        overflow(world.state)
        for number in range(20):
            alice.locks(f"file-{number}")
    alice.locks("the-last")
    out, err = follower.communicate(timeout=60)
    assert [int(line.split()[0]) for line in out.splitlines()] == list(range(after + 2, after + 23)), err
    assert "Traceback" not in err


def test_who_waits_and_stood_still_is_granted_although_its_queue_overflowed(world: World) -> None:
    alice, _ = there(world, "alice", "bob")
    alice.locks("src/app.py")
    command = [sys.executable, "-m", "agentsync", "lock", "--wait=60", "src/app.py"]
    waiter = subprocess.Popen(command, cwd=world.root, env=environment("bob"), stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not in_line(world) and time.monotonic() < end:
        time.sleep(0.02)
    assert in_line(world) == ["bob"]
    time.sleep(0.3)  # it may just have begun to watch
    with standing_still(waiter):
        overflow(world.state)
        world.clock.now = datetime.now(UTC)
        alice.unlocks("src/app.py")
    out, _ = waiter.communicate(timeout=60)
    assert waiter.returncode == 0, out


# ---------------------------------------------------------------- in the middle of a change
def test_who_stands_still_in_the_middle_of_a_change_finishes_it_and_nobody_comes_between(world: World) -> None:
    alice, bob = there(world, "alice", "bob")
    pid = os.fork()
    if pid == 0:
        try:
            for number in range(100_000):
                alice.locks(f"src/{number % 7}.py", "shared.py")
                alice.unlocks("shared.py")
        finally:
            os._exit(1)
    chance, complaints, granted = random.Random(ROUNDS), [], 0
    try:
        for _ in range(5 * ROUNDS):
            time.sleep(chance.uniform(0.001, 0.02))
            os.kill(pid, signal.SIGSTOP)
            session = open_session(bob.runtime, owns_signals=True, timeout=0.05)
            try:
                outcome = locks.lock(session, ["shared.py"])
            except GuardTimeoutError as error:
                complaints.append(str(error))
                os.kill(pid, signal.SIGCONT)
                continue
            assert isinstance(outcome, Granted | Conflict)
            granted += isinstance(outcome, Granted)
            if isinstance(outcome, Granted):
                assert "shared.py" not in alice.holds()
                bob.unlocks("shared.py")
            os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert complaints or granted, "they never met"
    assert all(f"process {pid} holds it" in complaint for complaint in complaints), complaints
    bob.beats()  # finishes what was begun
    check_store(world.state)
    check_replay(world.state)


# ---------------------------------------------------------------- a real pid namespace
INSIDE = ["unshare", "-Urpf", "--mount-proc", "--kill-child"]


@pytest.fixture
def inside() -> list[str]:
    try:
        subprocess.run([*INSIDE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a pid namespace cannot be made here")
    return INSIDE


HOLD = 'CLAUDE_CODE_SESSION_ID=$AGENT_SYNC_ID CLAUDE_PID=$$ "$0" -m agentsync lock src/app.py && echo held && exec sleep 60'


def asks(world: World, agent: str, *before: str) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "agentsync", "lock", "src/app.py"]
    return subprocess.run(command, cwd=world.root, env=environment(agent), capture_output=True, text=True)


def holder(world: World, *before: str) -> subprocess.Popen[str]:
    """A process that is alice's client and holds the file."""
    command = [*before, "sh", "-c", HOLD, sys.executable]
    made = subprocess.Popen(command, cwd=world.root, env=environment("alice"), stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    while (line := made.stdout.readline()) != "held\n":
        assert line, "it did not get its lock"
    return made


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize("alice_is", ["inside", "outside"])
def test_across_a_real_pid_namespace_nobody_looks_dead_alive_or_not(
    alice_is: str, world: World, inside: list[str]
) -> None:
    """Pid 1 of a container is another process than pid 1 outside: neither proves anything."""
    there(world, "bob")
    hers, his = (inside, []) if alice_is == "inside" else ([], inside)
    process = holder(world, *hers)
    try:
        assert asks(world, "bob", *his).returncode == 3
    finally:
        end(process)
    assert asks(world, "bob", *his).returncode == 3, "nor does it prove a death"


def test_in_the_same_namespace_a_death_is_seen(world: World) -> None:
    """The control: the same processes, and nothing between them."""
    there(world, "bob")
    process = holder(world)
    assert asks(world, "bob").returncode == 3
    end(process)
    assert asks(world, "bob").returncode == 0
