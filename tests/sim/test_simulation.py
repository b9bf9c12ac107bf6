"""Virtual machines that run the real protocol: every order of events that chance makes, with clocks that disagree.

Between a look at the board and a swap, somebody else may act: the engine in memory lets chance decide at each question.
Lines are cut and healed, answers are lost, time passes. What must be true is judged by a clock that no machine has.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from invariants import check_store
from remote.cluster import Cluster
from rounds import ROUNDS

from agentsync.core.lease import is_guest
from agentsync.errors import AgentSyncError
from agentsync.ops import exchange
from agentsync.remote.backend import Lost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from remote.cluster import Agent, Machine

    from agentsync.remote.backend import Done, Rejected, Unreachable

PATHS = ("a.py", "b.py", "src/", "src/x.py")
TTL = 30
STEPS = 60


def overlap(one: str, other: str) -> bool:
    return one == other or {one, other} == {"src/", "src/x.py"}


class Simulation:
    """Some machines, chance, and what is true."""

    def __init__(self, tmp_path: Path, seed: int, count: int = 3) -> None:
        self.chance = random.Random(seed)
        self.cluster = Cluster(tmp_path)
        self.minutes = 0.0
        self.agents: list[tuple[Machine, Agent]] = []
        for number in range(count):
            machine = self.cluster.machine(f"m{number}", skew_minutes=self.chance.choice((-300, -2, 0, 3, 500)))
            self.agents.append((machine, machine.agent(f"agent-{number}")))
        self.held: dict[tuple[int, str], float] = {}
        """Who was told that it holds what, and when its last sign of life certainly reached the board."""
        self.grants = self.refusals = 0
        self._nested = False
        self._busy: set[int] = set()
        for number, (machine, agent) in enumerate(self.agents):
            agent.beats()
            agent.syncs()
            self._interrupt(number, machine)

    def _interrupt(self, number: int, machine: Machine) -> None:
        """Let somebody else act before a swap."""
        swap = machine.line.swap

        def interrupted(
            base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool = False
        ) -> Done | Lost | Rejected | Unreachable:
            if not self._nested and self.chance.random() < 0.3:
                self._nested = True
                self.step(self.chance.choice([n for n in range(len(self.agents)) if n != number]))
                self._nested = False
            return swap(base, changes, about, squash)

        machine.line.swap = interrupted  # type: ignore[method-assign]

    # ------------------------------------------------------------ what happens
    def step(self, number: int) -> None:
        machine, _ = self.agents[number]
        match self.chance.randrange(10):
            case 0 | 1 | 2 | 3:
                self.take(number, self.chance.choice(PATHS))
            case 4 | 5:
                self.release(number)
            case 6 | 7:
                self.sync(number)
            case 8:
                machine.line.is_cut = not machine.line.is_cut and self.chance.random() < 0.5
            case _:
                machine.line.loses_answer = True

    def take(self, number: int, path: str) -> None:
        _, agent = self.agents[number]
        began = self.minutes
        try:
            got = agent.takes(path, ttl_minutes=TTL)
        except exchange.UnreachableError:
            return
        self.grants, self.refusals = self.grants + got, self.refusals + (not got)
        if not got:
            return
        for (other, held), sign in list(self.held.items()):
            if other != number and overlap(held, path):
                assert began >= sign + TTL, f"{path} is {number}'s, and was promised to {other} until {sign + TTL}"
                del self.held[other, held]
        self.held[number, path] = began

    def release(self, number: int) -> None:
        _, agent = self.agents[number]
        mine = [path for who, path in self.held if who == number]
        if mine:
            path = self.chance.choice(mine)
            del self.held[number, path]
            agent.unlocks(path)

    def sync(self, number: int) -> None:
        _, agent = self.agents[number]
        began = self.minutes
        agent.beats()
        try:
            agent.syncs()
        except exchange.UnreachableError:
            return
        left = agent.holds()
        for who, path in list(self.held):
            if who == number and path in left:
                self.held[who, path] = began
            elif who == number:
                assert began >= self.held.pop((who, path)) + TTL, f"{path} was lost before its time"

    def passes(self) -> None:
        minutes = self.chance.choice((0, 0, 1, 5, 12))
        self.minutes += minutes
        self.cluster.advance(minutes)

    # ------------------------------------------------------------ what must be true
    def converge(self) -> None:
        """Everybody can reach the board: all agree on who holds what."""
        self._nested = True
        for machine, _ in self.agents:
            machine.line.is_cut = machine.line.loses_answer = False
        for _ in range(2):
            for number in range(len(self.agents)):
                self.sync(number)
        board = self.cluster.board()
        for machine, agent in self.agents:
            live = {h.lock.path: h for h in agent.session.store.state().locks() if h.live and h.lock.machine}
            for path, held in live.items():
                name = held.lock.holder if is_guest(held.lock) else f"{held.lock.holder}.{machine.name}"
                assert board[path] == name
            mine = {path for path, holder in board.items() if holder == f"{agent.id}.{machine.name}"}
            assert mine == {p for p, h in live.items() if not is_guest(h.lock)}
            check_store(machine.state)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_happens_one_machine_holds_a_path(tmp_path: Path, seed: int) -> None:
    play = Simulation(tmp_path, seed)
    for _ in range(STEPS):
        play.step(play.chance.randrange(len(play.agents)))
        play.passes()
    play.converge()
    assert play.grants


class Careless(Simulation):
    """A control: an engine whose swap asks nobody whether the board is what it was."""

    def _interrupt(self, number: int, machine: Machine) -> None:
        super()._interrupt(number, machine)
        swap, hub = machine.line.swap, self.cluster.hub

        def careless(base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool = False) -> object:
            found = swap(base, changes, about, squash)
            if isinstance(found, Lost):
                hub.current = base
                return swap(base, changes, about, squash)
            return found

        machine.line.swap = careless  # type: ignore[method-assign,assignment]


def test_the_simulation_finds_an_engine_that_does_not_compare(tmp_path: Path) -> None:
    for seed in range(40):
        play = Careless(tmp_path / str(seed), seed)
        try:
            for _ in range(STEPS):
                play.step(play.chance.randrange(len(play.agents)))
                play.passes()
            play.converge()
        except (AssertionError, AgentSyncError, KeyError):
            return
    pytest.fail("nothing was found")
