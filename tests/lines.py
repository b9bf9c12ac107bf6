"""Standing in line without waiting: a test says when somebody looks.

place = joins(bo, "src/app.py")
alice.unlocks("src/app.py")
assert isinstance(place.look(), Granted)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from world import ManualRuntime, Player, World

from agentsync.core.locks import Request
from agentsync.core.paths import Target
from agentsync.ops import locks, waiting
from agentsync.ops.waiting import FOREVER

if TYPE_CHECKING:
    from agentsync.ops.session import Session


class Process(ManualRuntime):
    """A runtime whose own process exists, until the test kills it."""

    def __init__(self, player: Player, pid: int) -> None:
        super().__init__(player.runtime.clock, player.runtime.machine, dict(player.runtime.env), player.runtime.cwd)
        self._pid = pid

    @property
    def pid(self) -> int:
        return self._pid


def joins(player: Player, *paths: str, pid: int | None = None, seconds: float = FOREVER, priority: int = 0) -> Any:
    """Stand in line for files; what `waiting.join` says."""
    if pid is not None:
        player = with_process(player, pid)
    return stand(player.session, *paths, seconds=seconds, priority=priority)


def with_process(player: Player, pid: int) -> Player:
    """The same agent, whose commands run as this process."""
    player.runtime.machine.start(pid)
    return Player(Process(player, pid), player.files)


def stand(session: Session, *paths: str, seconds: float = FOREVER, priority: int = 0) -> Any:
    """The same for a session."""
    targets = tuple(
        Target(scope="dir" if path.endswith("/") else "file", path=path, worktree=session.place.worktree)
        for path in paths
    )
    return waiting.join(session, locks.in_turn(Request(targets=targets, ttl_s=3600), priority), seconds)


def in_line(world: World) -> list[str]:
    return [path.stem.partition("-")[2] for path in sorted((world.state / "queue").glob("*.json"))]
