"""How many machines one board carries: `python tests/sim/scale.py`.

Virtual machines run the real commands in virtual time (`clones.py` says what is real). Each locks a path of its own,
one time in ten one that others want too, holds it for a while, releases it, waits, and so on. A question to the hub
takes 30 ms (a network of one's own) or 400 ms (a forge), there and back, in the median. Reported is what a lock costs
the one who waits for it, and the board; releases are pushes as well, and wanted, but not counted as pushes of a lock.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time as real_time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from msgspec import Struct
from sim.clones import Crowd, virtual
from sim.judge import Judge
from sim.network import FORGE, LAN, Latency, Line

from agentsync.errors import GaveUpError
from agentsync.ops import exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remote.memory import Hub
    from sim.clones import Resident
    from sim.virtual import VirtualTime

    from agentsync.ops.session import Session

SIZES = (8, 64, 512)
PREFIXES = 16
"""Top-level directories. A board in parts has 1, 4 or 16 of them to itself."""

HOT = 8
"""Paths that everybody wants now and then."""


class Load(NamedTuple):
    """What each machine does, again and again."""

    name: str
    think_s: float
    """Mean of an exponential distribution."""
    hold_s: float


LOADS = (Load("always", 0.0, 0.0), Load("every 10 s", 8.0, 2.0), Load("every minute", 50.0, 10.0))


class Tally(Struct):
    """What came of it."""

    waits: list[float] = []
    pushes: int = 0
    """Of locks that were asked for, whether they were granted or not."""
    refused: int = 0
    gave_up: int = 0
    commits: int = 0
    """Of the hub, whatever they were for."""
    seconds: float = 0.0

    @property
    def granted(self) -> int:
        return len(self.waits)

    def row(self) -> str:
        if not self.granted:
            return "nothing was granted"
        asked = self.granted + self.gave_up
        p95 = sorted(self.waits)[int(0.95 * len(self.waits))]
        return (
            f"{self.granted / self.seconds:8.2f} {statistics.median(self.waits):9.2f} {p95:8.2f} "
            f"{self.pushes / self.granted:8.2f} {100 * self.gave_up / asked:7.1f} % {self.commits / self.seconds:10.2f}"
        )


HEAD = f"{'granted/s':>8} {'median s':>8} {'p95 s':>8} {'pushes':>8} {'gave up':>9} {'commits/s':>10}"


class Run:
    """A crowd at work, at a board in so many parts."""

    def __init__(self, crowd: Crowd, parts: int, load: Load, latency: Latency, seed: int = 0) -> None:
        self.crowd = crowd
        self.parts = parts
        self.load = load
        self.latency = latency
        self.chance = random.Random(seed)
        self.tally, self.spanning = Tally(), Tally()
        self.judge = Judge()
        self.hubs = crowd.boards(parts)
        self._lines: dict[str, Line] = {}
        self._agents: dict[tuple[int, int], tuple[Resident, Line]] = {}
        self.time: VirtualTime

    def go(self, seconds: float, cpu_s: float, spans: bool = False) -> None:
        """Let it go on for so long by the virtual clock, or by the real one.

        Args:
            seconds: Virtual.
            cpu_s: Real.
            spans: Whether the first machine locks everything at once instead of a path, again and again.
        """
        with virtual(self.chance.randrange(1 << 30)) as self.time:
            exchange.ENGINES["memory"] = self._engine
            for number in range(self.crowd.count):
                after = self.chance.uniform(0, self.load.think_s + self.load.hold_s + self.latency.median_s)
                self.time.start(lambda n=number: self._span(n) if spans and n == 0 else self._work(n), after)
            before = sum(len(hub.versions) for hub in self.hubs)
            stop = real_time.process_time() + cpu_s
            self.time.run(seconds, lambda: real_time.process_time() > stop)
            for tally in (self.tally, self.spanning):
                tally.seconds = self.time.monotonic()
                tally.commits = sum(len(hub.versions) for hub in self.hubs) - before

    def _engine(self, session: Session, _remote: str, _ref: str) -> Line:
        return self._lines[session.place.state]

    def _agent(self, number: int, part: int) -> tuple[Resident, Line]:
        """A machine at one part of the board; it comes there when it first needs to."""
        if (number, part) not in self._agents:
            hub: Hub = self.hubs[part]
            clone, agent = self.crowd.clone(number, part, hub, self.time)
            clone.line = Line(hub, self.time, self.chance, self.latency)
            self._lines[agent.session.place.state] = clone.line
            self._agents[number, part] = (agent, clone.line)
        return self._agents[number, part]

    # ------------------------------------------------------------ what machines do
    def _work(self, number: int) -> None:
        serial = 0
        while True:
            prefix = self.chance.randrange(PREFIXES)
            if self.chance.random() < 0.1:
                path = f"d{prefix:02}/hot{self.chance.randrange(HOT)}"
            else:
                path = f"d{prefix:02}/m{number}-{serial}"
            serial += 1
            if self._locks(number, {prefix % self.parts: path}, self.tally):
                self.time.sleep(self.load.hold_s)
                self._unlocks(number, {prefix % self.parts: path})
            self._thinks()

    def _span(self, number: int) -> None:
        """A lock on the whole tree: of a board in parts every part, in order, all or nothing."""
        everything = dict.fromkeys(range(self.parts), "everything*")
        while True:
            if self._locks(number, everything, self.spanning):
                self._unlocks(number, everything)
            self._thinks()

    def _thinks(self) -> None:
        if self.load.think_s:
            self.time.sleep(self.chance.expovariate(1 / self.load.think_s))

    def _locks(self, number: int, paths: dict[int, str], tally: Tally) -> bool:
        began, got = self.time.monotonic(), {}
        for part, path in paths.items():
            agent, line = self._agent(number, part)
            before = line.swaps
            try:
                if not agent.takes(path):
                    tally.refused += 1
                    break
                got[part] = path
            except GaveUpError:
                tally.gave_up += 1
                break
            finally:
                tally.pushes += line.swaps - before
        if len(got) < len(paths):
            self._unlocks(number, got, told=False)
            return False
        tally.waits.append(self.time.monotonic() - began)
        for path in paths.values():
            self.judge.granted(number, path, began, self.time.monotonic())
        return True

    def _unlocks(self, number: int, paths: dict[int, str], told: bool = True) -> None:
        for part, path in paths.items():
            if told:
                self.judge.released(number, path)
            agent, _ = self._agent(number, part)
            agent.unlocks(path)


def table(title: str, sizes: Sequence[int], crowds: dict[int, Crowd], told: argparse.Namespace) -> None:
    print(f"\n{title}\n{'':36}{HEAD}")
    for size in sizes:
        for load in LOADS:
            for parts in told.parts:
                for name, latency, seconds in (("30 ms", LAN, told.seconds), ("400 ms", FORGE, 3 * told.seconds)):
                    run = Run(crowds[size], parts, load, latency)
                    run.go(seconds, told.cpu)
                    what = f"{size:4} {load.name:<13} {parts:2} ref{'s' * (parts > 1):<1} {name:>6}"
                    print(f"{what:<36}{run.tally.row()}  {run.tally.seconds:5.0f} s", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--parts", type=int, nargs="+", default=(1, 4, 16))
    parser.add_argument("--seconds", type=float, default=180.0, help="of virtual time; three times as many of a forge")
    parser.add_argument("--cpu", type=float, default=60.0, help="seconds of processor that a row may take")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        crowds = {size: Crowd(Path(folder) / f"{size}", size) for size in told.sizes}
        table("A lock on one path", told.sizes, crowds, told)


if __name__ == "__main__":
    main()
