"""What the tests of the console share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from world import ClockFiles, ManualRuntime, World

from agentsync.console.steering import Operator
from agentsync.ops.operator import open_operator

if TYPE_CHECKING:
    from agentsync.ops.session import Session


PID = 4242
"""Of every console: a test that needs two of them needs one process."""


class Desk(ManualRuntime):
    """The machine as the console's process sees it, also in a fork."""

    @property
    def pid(self) -> int:
        return PID


def operator_at(world: World, folder: str = "") -> Session:
    """The operator's session in a process of the test's own."""
    runtime = Desk(world.clock, world.machine, {}, str(world.root / folder))
    world.machine.processes.setdefault(PID, 100)
    session = open_operator(runtime)
    session.store.files = ClockFiles(session.place.state, world.clock)
    return session


@pytest.fixture
def person(world: World) -> Iterator[Operator]:
    """Somebody at a console."""
    steering = Operator(operator_at(world))
    yield steering
    assert steering.close() == []
