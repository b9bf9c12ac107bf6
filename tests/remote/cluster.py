"""Several machines at one board: each a clone with a clock of its own, joined by an engine in memory.

cluster = Cluster(tmp_path)
east, west = cluster.machine("east"), cluster.machine("west")
alice, bob = east.agent("alice"), west.agent("bob")
assert alice.takes("src/app.py")
assert not bob.takes("src/app.py")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from remote.memory import Hub, Memory
from world import Player, World

from agentsync.core.lease import is_guest
from agentsync.core.locks import Granted
from agentsync.ops import contents, engines, remote, sync

if TYPE_CHECKING:
    from pathlib import Path

    from agentsync.core.records import Lock
    from agentsync.ops.session import Session


class Machine(World):
    """One clone."""

    def __init__(self, folder: Path, hub: Hub, config: str = "", git_repo: bool = True) -> None:
        super().__init__(folder, config=config, git_repo=git_repo)
        self.line = Memory(hub)
        self.name = ""
        self.called = ""
        """What its name is going to be; nothing = chance decides."""

    def agent(self, agent_id: str, **options: object) -> Agent:  # type: ignore[override]
        found = super().agent(agent_id, **options)  # type: ignore[arg-type]
        made = Agent(found.runtime, found.files)
        if not self.name:
            made.runtime.next_id = self.called
            self.name = remote.add(made.session, f"memory:{self.root}").link.machine
            made.runtime.next_id = ""
        return made

    def guests(self) -> dict[str, str]:
        """Who holds what, as a copy of the board's word for it has it here."""
        held = self.locks()
        return {lock.path: lock.holder for lock in held if is_guest(lock)}

    def locks(self) -> list[Lock]:
        from invariants import records

        from agentsync.core.records import Lock

        return [record for record in records(self.state).values() if isinstance(record, Lock)]


class Agent(Player):
    """An agent who also does what concerns other machines."""

    def takes(self, *paths: str, **options: object) -> bool:
        """Whether it gets locks for all machines."""
        return isinstance(self.locks(*paths, remote=True, **options), Granted)

    def syncs(self, **options: bool) -> sync.Synced:
        return sync.sync(self.session, **options)


class Cluster:
    """Machines, and the hub between them."""

    def __init__(self, tmp_path: Path, hub: Hub | None = None) -> None:
        self.tmp_path = tmp_path
        self.hub = hub or Hub()
        self.machines: dict[str, Machine] = {}
        engines.ENGINES["memory"] = self._connect

    def _connect(self, _session: Session, address: str, _ref: str) -> Memory:
        return next(m.line for m in self.machines.values() if address == f"memory:{m.root}")

    def machine(self, name: str, skew_minutes: float = 0, config: str = "") -> Machine:
        made = self.machines[name] = Machine(self.tmp_path / name, self.hub, config)
        made.clock.advance(minutes=skew_minutes)
        return made

    def advance(self, minutes: float) -> None:
        for machine in self.machines.values():
            machine.clock.advance(minutes=minutes)

    def files(self) -> dict[str, bytes]:
        """What is on the board."""
        self.hub.load()
        return dict(self.hub.versions[self.hub.current][1]) if self.hub.current else {}

    def board(self) -> dict[str, str]:
        """Who holds what there."""
        return {lock.path: lock.holder for lock in contents.board(self.files()).locks.values()}
