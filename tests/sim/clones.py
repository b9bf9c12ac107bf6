"""Virtual machines: clones that run the real commands in virtual time, each with a clock that is wrong in its own way.

What is real: `lock`, `unlock` and `sync` with all that they do (`ops/reach`, `sync`, `exchange` and below). What is
modelled: the network (`network.py`), time (`virtual.py`), and, for many machines, the disk (`disk.py`).
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace
from remote.cluster import Agent, Cluster, Machine
from sim.disk import MemoryFiles
from sim.network import NOTHING, BriefHub, Latency, Line
from sim.virtual import VirtualTime
from world import NOON, Clock

from agentsync.core import keys
from agentsync.core.records import Format
from agentsync.ops import contents, engines, exchange
from agentsync.store import codec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from remote.memory import Hub

    from agentsync.core.records import Record
    from agentsync.core.shared import Shared
    from agentsync.ops.session import Session

REMEMBERED = 200_000
"""Records that are decoded once."""

BOARDS = 200
"""Versions of boards of which the same is true."""


class WrongClock(Clock):
    """Virtual time by the clock of one machine."""

    def __init__(self, time: VirtualTime, minutes: float) -> None:
        self._time = time
        self._off = timedelta(minutes=minutes)

    @property
    def now(self) -> datetime:  # type: ignore[override]
        now = NOON + self._off + timedelta(seconds=self._time.monotonic())
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


@contextmanager
def virtual(seed: int) -> Iterator[VirtualTime]:
    """Let the protocol wait in virtual time, and take its chances by a seed."""
    time, real = VirtualTime(), exchange.time
    exchange.time = time  # type: ignore[assignment] # all that the protocol knows of time but the clock of its machine
    state = random.getstate()
    random.seed(seed)
    try:
        yield time
    finally:
        exchange.time = real
        random.setstate(state)


@contextmanager
def remembering() -> Iterator[None]:
    """Decode every record, and every version of a board, once for all machines: for hundreds of them on one processor.

    Records never change, so nobody can tell.
    """
    decode, decoded = codec.decode, contents.board
    records: dict[tuple[bytes, type], Record] = {}
    boards: dict[int, tuple[dict[str, bytes], Shared]] = {}

    def remembered(data: bytes, kind: type[Record], where: str) -> Record:
        found = records.get((data, kind))
        if found is None:
            if len(records) > REMEMBERED:
                records.clear()
            found = records[data, kind] = decode(data, kind, where)
        return found

    def remembered_board(files: dict[str, bytes]) -> Shared:
        found = boards.get(id(files))
        if found is None:
            if len(boards) > BOARDS:
                boards.clear()
            found = boards[id(files)] = (files, decoded(files))
        return found[1]

    codec.decode, contents.board = remembered, remembered_board  # type: ignore[assignment]
    try:
        yield
    finally:
        codec.decode, contents.board = decode, decoded


class Fleet(Cluster):
    """Machines in virtual time, with state on a real disk."""

    lines: type[Line] = Line

    def __init__(self, tmp_path: Path, time: VirtualTime, chance: random.Random, latency: Latency = NOTHING) -> None:
        super().__init__(tmp_path)
        self.time = time
        self.chance = chance
        self.latency = latency

    def machine(self, name: str, skew_minutes: float = 0, config: str = "") -> Machine:
        made = super().machine(name, config=config)
        made.clock = WrongClock(self.time, skew_minutes)
        made.line = self.lines(self.hub, self.time, self.chance, self.latency)
        made.called = name
        return made


# ---------------------------------------------------------------- many
class Resident(Agent):
    """An agent whose process stays, as a server does."""

    @cached_property
    def session(self) -> Session:  # type: ignore[override]
        return super().session


class Clone(Machine):
    """One machine whose state is in memory, but for the guards."""

    def __init__(self, folder: Path, hub: Hub, clock: Clock) -> None:
        (folder / "repo/.git").mkdir(parents=True, exist_ok=True)
        (folder / "repo/.git/HEAD").write_text("ref: refs/heads/main\n")
        super().__init__(folder, hub, git_repo=False)
        self.state.mkdir(parents=True, exist_ok=True)
        self.clock = clock
        self.files = MemoryFiles(str(self.state), clock)

    def resident(self, name: str) -> Resident:
        found = super(Machine, self).agent(name, files=self.files)
        found.runtime.next_id = name  # machines are called in the same way in every run
        return Resident(found.runtime, found.files)


class Crowd:
    """Many clones, joined once and copied for each run.

    A run has boards, one by default; a clone has a state for each, because a board in parts (by the first letters of a
    path) is nothing but several boards.
    """

    def __init__(self, folder: Path, count: int, seed: int = 0) -> None:
        chance = random.Random(seed)
        self.folder = folder
        self.count = count
        self.skews = [chance.choice((-300, -2, 0, 3, 500)) for _ in range(count)]
        self._hub = BriefHub()
        self._files: list[MemoryFiles] = []
        with virtual(seed) as time:
            for number in range(count):
                clone = Clone(folder / f"{number}", self._hub, WrongClock(time, self.skews[number]))
                clone.line = Line(self._hub, time, chance)
                engines.ENGINES["memory"] = lambda *_, line=clone.line: line
                agent = clone.resident(f"m{number:05}")
                agent.beats()
                from agentsync.ops import remote

                remote.add(agent.session, "memory:hub")
                self._files.append(clone.files)

    def boards(self, count: int) -> list[BriefHub]:
        return [self._hub.copy() for _ in range(count)]

    def clone(self, number: int, board: int, hub: Hub, time: VirtualTime) -> tuple[Clone, Resident]:
        """A machine as it is for one board of a run."""
        made = Clone(self.folder / f"{number}-{board}", hub, WrongClock(time, self.skews[number]))
        made.files = self._files[number].copy(str(made.state), made.clock)
        found = made.files.read(keys.FORMAT)
        assert found is not None
        here = replace(codec.decode(found.data, Format, keys.FORMAT), inode=made.state.stat().st_ino)
        made.files.replace(made.files.write_temp(codec.encode(here), sync=False), keys.FORMAT)
        return made, made.resident(f"m{number:05}")
