"""Every file-system call of every operation fails in turn, with every errno that matters.

After each: the operation said that it failed or did all it says, the cause is named, no descriptor is left open (that
of the guard least of all), nothing is damaged, and the next command works.
"""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.killing import Snapshot, check_after, content
from faults.faulty import CHANGES, ERRORS, Fault, faults, open_files
from faults.operations import OPERATIONS, fenced, there
from invariants import check_replay, check_store, history, plain
from rounds import TIMES
from world import World

from agentsync.errors import AgentSyncError
from agentsync.store import guard
from agentsync.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agentsync.core.records import Event

MANY = 150
"""Faults of one operation after which a short campaign becomes sparse."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return fenced(tmp_path)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """A test that takes minutes waits for something that never comes."""
    signal.alarm(300)
    yield
    signal.alarm(0)


def campaign(
    world: World, act: Callable[[], object], kinds: Callable[[int, str], Sequence[Fault]], on_the_side: bool = False
) -> int:
    """Run `act` with a fault at its first call, its second, and so on until it gets through; returns how many runs.

    Args:
        world: The repository, as it is at the start.
        act: What is done.
        kinds: The faults to try, given the number and name of a call.
        on_the_side: Whether what it changes is none of what it was asked for, and may fail in silence.
    """
    start = Snapshot(world.state)
    known = [plain(event) for event in history(world.state)]
    with faults(Fault(0)) as counted:
        act()
    expected = [plain(event) for event in check_replay(world.state)]
    checked: list[tuple[bool, object]] = []
    runs = [fault for number, name in enumerate(counted.made, 1) for fault in kinds(number, name)]
    if len(runs) > MANY and len(ERRORS) > TIMES:  # the 256 files that compaction reads are like each other
        runs = [*runs[:MANY], *runs[MANY :: len(runs) // MANY]]
    for fault in runs:
        start.restore()
        with faults(fault) as faulty:
            complaint = complaint_of(act)
        try:
            check_complaint(complaint, fault)
            if complaint is None and not on_the_side:
                assert not (world.state / "intent.json").exists(), "it is not done, and readers cannot see it"
            left = (complaint is None, content(world.state))
            if left not in checked:
                checked.append(left)
                check_after(world, known, expected, acknowledged=complaint is None and not on_the_side)
        except BaseException as error:
            error.add_note(f"{fault}: {faulty.failed}")
            raise
    return len(runs)


def complaint_of(act: Callable[[], object]) -> Exception | None:
    """What an operation raises for its caller to see; None when it says that it is done."""
    try:
        act()
    except (OSError, AgentSyncError) as error:
        return error
    return None


def check_complaint(complaint: Exception | None, fault: Fault) -> None:
    """It names the cause and the file, and nothing is left open: the guard least of all."""
    assert open_files() == set()
    if complaint is not None:
        assert os.strerror(fault.error) in str(complaint), f"the cause is not named: {complaint!r}"
        assert "/.claude" in str(complaint) or "/.git/" in str(complaint), f"no path is named: {complaint!r}"


def in_turn(number: int, name: str) -> list[Fault]:
    """One errno each time; with AGENTSYNC_ROUNDS=36 and more all six."""
    return [Fault(number, ERRORS[(number + n) % len(ERRORS)]) for n in range(min(TIMES, len(ERRORS)))]


def full_or_read_only(number: int, name: str) -> list[Fault]:
    """From a change on, nothing can be changed any more. A call that only looks is as good as the change after it."""
    errors = (errno.ENOSPC, errno.EROFS)[:TIMES]
    return [Fault(number, error, lasting=True) for error in errors if name in CHANGES]


def answer_lost(number: int, name: str) -> list[Fault]:
    """A change is made, and then said to have failed."""
    return [Fault(number, errno.EIO, late=True)] if name in CHANGES else []


KINDS = (in_turn, full_or_read_only, pytest.param(answer_lost, marks=pytest.mark.slow))


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_fails_nobody_is_told_a_lie(
    name: str, kinds: Callable[[int, str], Sequence[Fault]], world: World
) -> None:
    act = OPERATIONS[name](world)
    assert campaign(world, act, kinds) > 2


@pytest.mark.parametrize("kinds", KINDS)
def test_a_repair_that_fails_leaves_it_to_the_next(kinds: Callable[[int, str], Sequence[Fault]], world: World) -> None:
    """What is being restored looks free to nobody who may write."""
    alice, bob = there(world, "alice", "bob")
    alice.locks("src/app.py")
    (world.state / "locks/src%2Fapp.py.json").write_bytes(b"{torn")
    start = Snapshot(world.state)
    with faults(Fault(0)) as counted:
        bob.locks("src/app.py")
    for fault in [fault for number, name in enumerate(counted.made, 1) for fault in kinds(number, name)]:
        start.restore()
        with faults(fault):
            complaint = complaint_of(lambda: bob.locks("src/app.py"))
        check_complaint(complaint, fault)
        assert bob.is_refused("src/app.py"), fault
        assert alice.holds() == ["src/app.py"], fault
        check_store(world.state)
        check_replay(world.state)


# ---------------------------------------------------------------- the campaign itself
def test_a_commit_that_hides_a_failure_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: who says "done" although the disk refused is found out."""
    apply = Transaction._apply

    def hiding(self: Transaction, event: Event, sync: bool) -> None:
        with suppress(OSError):
            apply(self, event, sync)

    monkeypatch.setattr(Transaction, "_apply", hiding)
    with pytest.raises(AssertionError, match="not done"):
        campaign(world, OPERATIONS["lock"](world), in_turn)


def test_a_guard_that_stays_held_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left_open: list[int] = []

    def unlock(fd: int, _path: str) -> None:
        guard.fcntl.flock(fd, guard.fcntl.LOCK_UN)
        left_open.append(fd)

    monkeypatch.setattr(guard, "_let_go", unlock)
    try:
        with pytest.raises(AssertionError, match="guard"):
            campaign(world, OPERATIONS["lock"](world), in_turn)
    finally:
        for fd in left_open:
            os.close(fd)
