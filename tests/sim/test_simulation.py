"""Virtual machines that run the real protocol, in every order of events that chance makes, with clocks that disagree.

`virtual.py` is time, `network.py` what lies between a machine and the board, `clones.py` the machines, `judge.py` what
must be true. Here: what they do to each other, and the controls. `scale.py` asks how many there may be.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from invariants import check_store
from rounds import ROUNDS, TIMES
from sim.clones import Crowd, Fleet, virtual
from sim.judge import Judge, agree
from sim.network import LAN, Latency, Line
from sim.workload import LOADS, Run

from agentsync.core.records import Lock
from agentsync.errors import GaveUpError
from agentsync.ops import arrivals, mail, reach
from agentsync.remote.backend import Done, Lost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from remote.cluster import Agent, Machine
    from sim.virtual import VirtualTime

    from agentsync.core.locks import Granted
    from agentsync.ops.exchange import Exchange
    from agentsync.ops.reach import Claim
    from agentsync.ops.session import Session
    from agentsync.remote.backend import Rejected, Unreachable

PATHS = ("a.py", "b.py", "src/", "src/x.py", "src/*.py")
TTL_MINUTES = 30
STEPS = 40
"""Of each machine."""

SLOW = Latency(2.0, spread=1.5)
"""One question in twenty takes 24 seconds or more: much happens meanwhile."""

LOSS = 0.03


class Play:
    """Some machines, a network in bad weather, and what is true.

    What a machine may do is a method here and a case of `_lives`; what must be true of it is a method of `Judge`, or is
    looked at in `runs`, when everything is healed.
    """

    def __init__(self, tmp_path: Path, time: VirtualTime, seed: int, count: int = 3, lines: type[Line] = Line) -> None:
        self.chance = random.Random(seed)
        self.time = time
        self.fleet = Fleet(tmp_path, time, self.chance, SLOW)
        self.fleet.lines = lines
        self.judge = Judge(TTL_MINUTES * 60)
        self.grants = self.serial = 0
        self.agents: list[tuple[Machine, Agent]] = []
        for number in range(count):
            machine = self.fleet.machine(f"m{number:05}", skew_minutes=self.chance.choice((-300, -2, 0, 3, 500)))
            self.agents.append((machine, machine.agent(f"agent-{number}")))
        for number, (machine, agent) in enumerate(self.agents):
            agent.beats()
            agent.syncs()
            machine.line.loss = LOSS  # type: ignore[attr-defined]
            time.start(lambda n=number: self._lives(n))
        time.start(self._weather)
        self.awake = count

    def runs(self) -> None:
        """Let them do what they do, then heal everything and see whether all agree."""
        self.time.run()
        for machine, _ in self.agents:
            machine.line.is_cut, machine.line.loss = False, 0.0  # type: ignore[attr-defined]
        for _ in range(2):
            for number in range(len(self.agents)):
                self.syncs(number)
        agree(self.fleet.board(), {machine.name: agent for machine, agent in self.agents})
        for machine, agent in self.agents:
            self.judge.heard(agent.id, [body for body in agent.was_told() if body.startswith("mail ")])
            check_store(machine.state)

    # ------------------------------------------------------------ what happens
    def _lives(self, number: int) -> None:
        for _ in range(STEPS):
            self.time.sleep(60 * self.chance.choice((0, 0, 0, 1, 5, 12)))
            try:
                match self.chance.randrange(12):
                    case 0 | 1 | 2 | 3:
                        self.takes(number, self.chance.choice(PATHS))
                    case 4 | 5:
                        self.releases(number)
                    case 6 | 7:
                        self.writes(number)
                    case 8 | 9:
                        self.works(number)
                    case _:
                        self.syncs(number)
            except GaveUpError:
                pass  # told as such: nothing was promised
        self.awake -= 1

    def _weather(self) -> None:
        """Some lines are cut, for a while that may be longer than a lock lasts."""
        while self.awake:
            for machine, _ in self.agents:
                machine.line.is_cut = self.chance.random() < 0.2
            self.time.sleep(60 * self.chance.choice((0.1, 1, 5, 20, 40)))

    def takes(self, number: int, path: str) -> None:
        began = self.time.monotonic()
        if self.agents[number][1].takes(path, ttl_minutes=TTL_MINUTES):
            self.grants += 1
            self.judge.granted(number, path, began, self.time.monotonic())

    def releases(self, number: int) -> None:
        if mine := self.judge.mine(number):
            path = self.chance.choice(mine)
            self.judge.released(number, path)
            self.agents[number][1].unlocks(path)

    def writes(self, number: int) -> None:
        """A message to all, or to somebody of another machine who is known here."""
        _, agent = self.agents[number]
        known = [name for name in agent.session.store.state().agent_ids() if name != agent.id]
        to = self.chance.choice(("all", *known))
        self.serial += 1
        mail.send(agent.session, to, body := f"mail {self.serial}")
        everybody = (other.id for _, other in self.agents if other is not agent)
        self.judge.sent(body, everybody if to == "all" else (to.partition(".")[0],))

    def works(self, number: int) -> None:
        """A new task, or a claim of one that looks free, or the end of one's own."""
        _, agent = self.agents[number]
        free = sorted(title for title, seen in agent.sees().items() if seen.task.status == "pending")
        if mine := agent.works_on():
            agent.does("complete", mine)
        elif free and self.chance.random() < 0.7:
            agent.claims(self.chance.choice(free))
        else:
            self.serial += 1
            agent.makes(f"task {self.serial}")

    def syncs(self, number: int) -> None:
        _, agent = self.agents[number]
        began = self.time.monotonic()
        agent.beats()
        agent.syncs()
        self.judge.synced(number, agent.holds(), began, self.time.monotonic())


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_happens_one_machine_holds_a_path_and_mail_comes_once(tmp_path: Path, seed: int) -> None:
    with virtual(seed) as time:
        play = Play(tmp_path, time, seed, count=3 + seed % 3)
        play.runs()
    assert play.grants


def test_a_crowd_excludes_each_other_and_everybody_gets_on(tmp_path: Path) -> None:
    count = 16 * TIMES
    run = Run(Crowd(tmp_path, count), parts=1, load=LOADS["always"], latency=LAN)
    run.go(seconds=10, cpu_s=20)
    assert run.tally.granted
    run.settle()


def test_a_run_is_the_same_with_the_same_seed(tmp_path: Path) -> None:
    told = []
    for turn in range(2):
        with virtual(1) as time:
            play = Play(tmp_path / f"{turn}", time, 1)
            play.runs()
        run = Run(Crowd(tmp_path / f"crowd-{turn}", 8), parts=4, load=LOADS["10s"], latency=LAN)
        run.go(seconds=30, cpu_s=60, spans=True)
        told.append((time.monotonic(), play.fleet.board(), run.tally.waits, run.spanning.waits))
    assert told[0] == told[1]


# ---------------------------------------------------------------- controls
class Careless(Line):
    """An engine that asks nobody whether the board is what it was."""

    def _decide(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool
    ) -> Done | Lost | Rejected | Unreachable:
        return super()._decide(self.hub.current, changes, about, squash)


class Forgetful(Line):
    """An engine that says that a swap was done when it was lost."""

    def _decide(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool
    ) -> Done | Lost | Rejected | Unreachable:
        found = super()._decide(base, changes, about, squash)
        return Done(self.hub.current or "") if isinstance(found, Lost) else found


def hasty(session: Session, there: Exchange, claim: Claim) -> Granted | None:
    """A protocol that grants first and pushes afterwards."""
    wanted = [lock for lock in claim.granted.locks if lock.machine is None]
    plan = there.plan(wanted=wanted)
    if isinstance(plan, Lock):
        there.look()
        return None
    granted = reach._confirm(session, there, claim, wanted, plan.granted)
    there.commit(plan, "by the way")
    return granted


def is_found(tmp_path: Path, lines: type[Line] = Line) -> bool:
    """Whether the simulation sees that something is wrong, with a few seeds."""
    for seed in range(20):
        try:
            with virtual(seed) as time:
                Play(tmp_path / f"{seed}", time, seed, lines=lines).runs()
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("lines", [Careless, Forgetful])
def test_the_simulation_finds_an_engine_that_does_not_compare(tmp_path: Path, lines: type[Line]) -> None:
    assert is_found(tmp_path, lines)


def test_the_simulation_finds_a_grant_before_the_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_ask", hasty)
    assert is_found(tmp_path)


def test_the_simulation_finds_a_reader_that_remembers_more_than_it_took_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = arrivals._unknown
    monkeypatch.setattr(arrivals, "_unknown", lambda *what: list(unknown(*what))[1:])
    assert is_found(tmp_path)
