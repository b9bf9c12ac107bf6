"""The machine misbehaves: descriptors run out, the clock jumps, it reboots, pids come again.

Nobody is declared dead for want of evidence, and nothing that cannot be read passes for something that is not there.
"""

from __future__ import annotations

import errno
import os
import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.faulty import Fault, faults
from faults.operations import there
from world import World

from agentsync.ops import care, edits
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, git_repo=False)


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
