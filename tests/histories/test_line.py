"""Many processes stand in line for one file, some are killed there: who waits is granted once, and in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from histories.campaign import Campaign, Hands, Worker, settle
from histories.checker import MAYBE, check
from histories.models import GRANTED, NOTHING, REFUSED, Line
from rounds import ROUNDS
from world import make_repo

from agentsync.core.locks import Granted, Request
from agentsync.ops import locks, waiting
from agentsync.ops.session import resolve_targets
from agentsync.ops.waiting import GaveUp, Place, Want

if TYPE_CHECKING:
    from pathlib import Path

    from agentsync.core.records import Wanted
    from agentsync.store.state import State

FILE = "src/app.py"
AGENTS = [f"w{n}" for n in range(6)]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo")


class Waiting(Hands):
    """`lock --wait` in its two parts, so that one can tell when somebody stands in line from when it is granted."""

    place: Place[Granted] | None = None

    def stand(self, priority: int) -> str:
        session, targets = resolve_targets(self.session, [FILE])
        outcome = self.join(session, locks.in_turn(Request(targets=targets, ttl_s=3600), priority))
        self.place = outcome if isinstance(outcome, Place) else None
        assert not isinstance(outcome, GaveUp)
        return GRANTED if self.place is None else "waits"

    def join(self, session: Any, want: Want[Granted]) -> Any:
        return waiting.join(session, want, 60)

    def get(self, patience: float) -> str:
        assert self.place is not None
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if self.place.look() is not None:
                return GRANTED
            time.sleep(0.003)
        self.place.leave()
        return NOTHING


def something(worker: Worker) -> None:
    """Take it, by standing in line or by good luck, hold it for a moment, and let go."""
    chance, hands = worker.chance, worker.hands
    assert isinstance(hands, Waiting)
    if chance.random() < 0.25:
        got = worker.do("lock", act=lambda: hands.lock([FILE])[0]) == GRANTED
    else:
        priority = chance.choice([0, 0, 0, 5])
        got = worker.do("stand", priority, act=lambda: hands.stand(priority)) == GRANTED
        if not got:
            patience = 0.02 if chance.random() < 0.15 else 30.0
            got = worker.do("get", act=lambda: hands.get(patience)) == GRANTED
    if got:
        time.sleep(chance.random() * 0.01)
        worker.do("unlock", act=lambda: hands.unlock([FILE])[0])


def test_who_waits_is_granted_once_and_in_order(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(repository, something, AGENTS, hands=Waiting).run(seconds=ROUNDS * 0.5)
    ops = campaign.history()
    assert check(ops, Line()) is None, str(check(ops, Line()))
    waited = [op for op in ops if op.verb == "get" and op.answer == GRANTED]
    assert len(waited) > ROUNDS
    assert campaign.kills > ROUNDS
    settle(repository)
    with capsys.disabled():
        killed = sum(op.verb == "get" and op.answer == MAYBE for op in ops)
        refused = sum(op.verb == "lock" and op.answer == REFUSED for op in ops)
        print(f"\n{len(waited)} granted after waiting, {killed} killed in line, {refused} who would not wait refused")


# ---------------------------------------------------------------- controls
class PassesTheLine(Waiting):
    """Who does not wait takes what is free, although somebody is in line for it."""

    def lock(self, targets: Any, mode: str = "exclusive") -> Any:
        session, wanted = resolve_targets(self.session, targets)
        taken = locks.take(session, Request(targets=wanted, ttl_s=3600, auto=True))
        return (GRANTED, []) if isinstance(taken, Granted) else (REFUSED, [])


class ForNothing(Want[Granted], frozen=True, kw_only=True, gc=False):
    """Stands in line for nothing, and takes something."""

    def missing(self, state: State, agent_id: str) -> tuple[Wanted, ...]:
        return ()


class WhoeverLooksFirst(Waiting):
    """Nobody looks who came first."""

    def join(self, session: Any, want: Want[Granted]) -> Any:
        return super().join(session, ForNothing(priority=want.priority, decide=want.decide, commit=want.commit))


@pytest.mark.parametrize("hands", [PassesTheLine, WhoeverLooksFirst])
def test_a_broken_line_is_seen(hands: type[Waiting], repository: Path) -> None:
    for seed in range(8):
        campaign = Campaign(repository, something, AGENTS, hands=hands, seed=seed).run(seconds=1.0, kill_every=0.3)
        if check(campaign.history(), Line()) is not None:
            return
    raise AssertionError(f"{hands.__name__} survived")
