"""Ten thousand tasks and messages, thousands of decisions and sessions later: small directories, a short greeting."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_store
from msgspec.structs import replace
from world import World

from agentsync.core import agents, decisions, keys, tasks
from agentsync.core.changes import Put
from agentsync.core.decisions import decide
from agentsync.core.records import Agent, Task
from agentsync.ops import agents as agents_of_ops
from agentsync.ops import care, mail, status
from agentsync.render.status import greeting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import Player

    from agentsync.store.transaction import Transaction

MANY = 10_000
ROUND = 50
"""Tasks per transaction: what counts is what is left, not how often the disk was asked."""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where syncing and writing cost little, if there is one."""
    shared = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as top:
        yield Path(top)


def live_through(world: World, player: Player, count: int) -> None:
    """So many tasks are made, claimed and completed; for every fifth, somebody comes, decides something and leaves."""
    session = player.session
    session.store._durable = False
    for first in range(0, count, ROUND):
        world.clock.advance(minutes=1)
        for step in ("pending", "in_progress", "done"):
            with session.store.transaction(player.id) as tx:
                puts = [_task(world, number, step) for number in range(first, first + ROUND)]
                tx.commit(step, f"{ROUND} tasks are {step}", puts, "E")
        for number in range(first, first + ROUND, 5):
            with session.store.transaction(player.id) as tx:
                _decide_and_leave(world, tx, number)
            if session.store.due_for_compaction:
                care.compact_if_free(session)
                assert session.store.warnings == []
    with session.store.transaction(player.id) as tx:
        assert len(tx.state.tasks()) < 1000, "compaction happens on the way"


def _task(world: World, number: int, status: str) -> Put:
    now = world.clock.now
    task = Task(
        id=f"t-{number:05}",
        title=f"task {number}",
        status=status,  # type: ignore[arg-type]
        owner=None if status == "pending" else "alice",
        created_by="alice",
        created_at=now,
        updated_at=now,
        completed_at=now if status == "done" else None,
    )
    return Put(keys.task(task.id), task)


def _decide_and_leave(world: World, tx: Transaction, number: int) -> None:
    me = Agent(id=f"agent-{number:05}", name="x", created_at=world.clock.now, last_seen=world.clock.now)
    known = decisions.current(tx.state.decisions())
    made = decide(known, me, f"decision {number}", known[-1].id if len(known) > 20 else None, tx.stamp)
    puts = decisions.publish(made, (), tx.stamp)
    tx.commit(
        "decision", f"decision {number}", [*puts, Put(keys.past_agent(me.id), replace(me, status="offline"))], "E"
    )


def files_in(path: Path) -> int:
    return sum(one.is_file() for one in path.iterdir())


@pytest.mark.slow
def test_ten_thousand_tasks_and_decisions_leave_small_directories_and_a_short_greeting(memory: Path) -> None:
    world = World(memory, git_repo=False)
    alice = world.agent("alice")
    alice.registers()
    live_through(world, alice, MANY)
    care.gc(alice.session)
    assert files_in(world.state / "tasks") == tasks.KEPT <= 300
    assert files_in(world.state / "decisions") <= decisions.KEPT + 21 <= 300
    assert files_in(world.state / "agents/past") == agents.KEPT <= 300
    assert files_in(world.state / "log") <= 300
    assert files_in(world.state / "agents") == 0, "alice was silent for hours"
    for number in range(40):
        alice.makes(f"open {number}", "src/app.py", description="d" * 4000, priority=number)
        world.agent(f"colleague-{number}").registers("a colleague with a name as long as it may be, which is sixty")
    board = status.overview(world.agent("newcomer").session)
    assert len(greeting(board, world.clock.now)) < 2000
    assert alice.claims_next() == "open 39"
    assert len(greeting(status.overview(alice.session), world.clock.now)) < 2000
    check_store(world.state)


@pytest.mark.slow
def test_ten_thousand_messages_leave_small_directories(memory: Path) -> None:
    world = World(memory, git_repo=False)
    alice, *readers = (world.agent(name) for name in ("alice", "bob", "carol", "dave"))
    sessions = [player.session for player in (alice, *readers)]
    for session in sessions:
        session.store._durable = False
        agents_of_ops.register(session)
    for number in range(MANY):
        mail.send(sessions[0], "bob" if number % 2 else "all", f"message {number}")
        if number % ROUND == ROUND - 1:
            for session in sessions[1:]:
                told = 1
                while told:
                    with mail.delivery(session, "prompt", lambda message: len(message.body), 8000) as delivery:
                        told = len(delivery.messages)
        if sessions[0].store.due_for_compaction:
            care.compact_if_free(sessions[0])
    care.gc(sessions[0])
    assert files_in(world.state / "messages") <= 300
    assert files_in(world.state / "log") <= 300
    assert not any(path.is_file() for path in (world.state / "inbox").rglob("*"))
    check_store(world.state)
