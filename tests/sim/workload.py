"""A crowd at work: each machine locks a path, holds it, releases it, waits, and so on; and what that costs.

Each locks a path of its own, one time in ten one that others want too. The paths are in sixteen directories, and a board
in parts has a share of these in each part.
"""

from __future__ import annotations

import random
import statistics
import time as real_time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from sim.clones import remembering, virtual
from sim.judge import Judge, agree
from sim.network import Line

from agentsync.errors import GaveUpError
from agentsync.ops import contents, engines

if TYPE_CHECKING:
    from remote.memory import Hub
    from sim.clones import Crowd, Resident
    from sim.network import Latency
    from sim.virtual import VirtualTime

    from agentsync.ops.session import Session

PREFIXES = 16
"""Top-level directories."""

HOT = 8
"""Paths that everybody wants now and then."""


class Load(NamedTuple):
    """What each machine does, again and again."""

    name: str
    think_s: float
    """Mean of an exponential distribution."""
    hold_s: float


LOADS = {
    "always": Load("always", 0.0, 0.0),
    "10s": Load("every 10 s", 8.0, 2.0),
    "60s": Load("every minute", 50.0, 10.0),
}


class Tally:
    """What came of it."""

    def __init__(self) -> None:
        self.granted: Counter[int] = Counter()
        """By machine."""
        self.waits: list[float] = []
        """Of all who asked but those who were refused because somebody else holds the path."""
        self.waiting: dict[int, float] = {}
        """Who has asked and was not answered yet, since when."""
        self.pushes = 0
        self.answers: Counter[str] = Counter()

    def told(self, number: int, answer: str, now: float) -> None:
        """Somebody has its answer."""
        wait = now - self.waiting.pop(number)
        self.answers[answer] += 1
        self.granted[number] += answer == "granted"
        if answer != "refused":
            self.waits.append(wait)

    def close(self, now: float) -> None:
        """The time is over; those who still wait have waited for so long at least."""
        self.waits += [now - began for began in self.waiting.values()]
        self.waits.sort()

    def row(self, machines: int, seconds: float) -> str:
        """Under `HEAD`."""
        granted = self.granted.total()
        if not granted:
            return f"{'none':>10}"
        fair = granted**2 / machines / sum(count**2 for count in self.granted.values())  # Jain's index
        p95 = self.waits[int(0.95 * len(self.waits))]
        return (
            f"{granted / seconds:10.2f} {statistics.median(self.waits):9.2f} {p95:8.2f} {self.pushes / granted:7.1f} "
            f"{100 * self.answers['gave up'] / self.answers.total():7.1f} % {100 * fair:6.0f} %"
        )


HEAD = f"{'granted/s':>10} {'median s':>9} {'p95 s':>8} {'pushes':>7} {'gave up':>9} {'fair':>8}"


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
        with remembering(), virtual(self.chance.randrange(1 << 30)) as self.time:
            engines.ENGINES["memory"] = self._engine
            for number in range(self.crowd.count):
                after = self.chance.uniform(0, self.load.think_s + self.load.hold_s + self.latency.median_s)
                self.time.start(lambda n=number: self._span(n) if spans and n == 0 else self._work(n), after)
            stop = real_time.process_time() + cpu_s
            self.time.run(seconds, lambda: real_time.process_time() > stop)
            self.seconds = self.time.monotonic()
            self.tally.close(self.seconds)
            self.spanning.close(self.seconds)

    def settle(self) -> None:
        """Everybody was stopped in the middle of something. They go on, and must agree.

        Raises:
            AssertionError: They do not.
        """
        for part, hub in enumerate(self.hubs):
            agents = {agent.id: agent for (_, p), (agent, _) in self._agents.items() if p == part}
            for agent in (*agents.values(), *agents.values()):
                agent.syncs()
            assert hub.current is not None
            locks = contents.board(hub.files(hub.current)).locks
            agree({lock.path: lock.holder for lock in locks.values()}, agents)

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
        began, answer = self.time.monotonic(), ""
        got: dict[int, str] = {}
        tally.waiting[number] = began
        for part, path in paths.items():
            agent, line = self._agent(number, part)
            before = line.swaps
            try:
                answer = "granted" if agent.takes(path) else "refused"
            except GaveUpError:
                answer = "gave up"
            tally.pushes += line.swaps - before
            if answer != "granted":
                break
            got[part] = path
        now = self.time.monotonic()
        tally.told(number, answer, now)
        if len(got) < len(paths):
            self._unlocks(number, got)
            return False
        for path in paths.values():
            self.judge.granted(number, path, began, now)
        return True

    def _unlocks(self, number: int, paths: dict[int, str]) -> None:
        for part, path in paths.items():
            self.judge.released(number, path)
            agent, _ = self._agent(number, part)
            agent.unlocks(path)
