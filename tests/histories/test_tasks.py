"""Many processes claim, finish, pass on and drop tasks, and are killed: each task has one owner at a time."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from histories.campaign import Campaign, Hands, Worker, settle
from histories.checker import MAYBE, check
from histories.models import GRANTED, NOTHING, REFUSED, Board
from rounds import ROUNDS
from world import make_repo

from agentsync.core import claims
from agentsync.core.changes import Stamp

if TYPE_CHECKING:
    from pathlib import Path

NEEDS: tuple[tuple[int, ...], ...] = ((), (0,), (), (1, 2), (), (4,), (), ())
"""Of each task, what must be finished first."""

TITLES = [f"task {number}" for number in range(len(NEEDS))]
AGENTS = [f"w{n}" for n in range(6)]
COMMANDS = {
    "claim": "claim-task",
    "complete": "complete-task",
    "block": "block-task",
    "release": "release-task",
    "reopen": "reopen-task",
    "cancel": "cancel-task",
    "handoff": "handoff",
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_board(tmp_path / "repo", monkeypatch)


def make_board(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_repo(root)
    monkeypatch.chdir(made)
    monkeypatch.setenv("AGENT_SYNC_ID", "maker")
    maker = Hands("maker", root.parent / "out")
    for number, needed in enumerate(NEEDS):
        options = [word for other in needed for word in ("--depends-on", TITLES[other])]
        maker.run(
            "create-task",
            TITLES[number],
            "--priority",
            str(-number),
            "--file",
            f"src/{number}.py",
            *options,
            codes=(0,),
        )
    return made


def something(worker: Worker) -> None:
    """One command about tasks; mostly about what one has just claimed."""
    chance, hands = worker.chance, worker.hands
    if chance.random() < 0.35:
        worker.do("claim-next", act=lambda: hands.claim_next())
        return
    number = chance.randrange(len(NEEDS))
    verb = chance.choices(list(COMMANDS), [4, 5, 1, 2, 4, 1, 4])[0]
    words = (number, chance.choice(AGENTS)) if verb == "handoff" else (number,)
    worker.do(verb, *words, act=lambda: change(hands, verb, *words))


def change(hands: Hands, verb: str, number: int, to: str = "") -> str:
    more = ["--reason", "stuck"] if verb == "block" else ["--to", to] if to else ["--lock"] if verb == "claim" else []
    return hands.change(COMMANDS[verb], TITLES[number], *more)


def judge(campaign: Campaign) -> str | None:
    """What is wrong with a history."""
    ops = [op._replace(answer=TITLES.index(op.answer)) if op.answer in TITLES else op for op in campaign.history()]
    unexplained = check(ops, Board(NEEDS, absent=AGENTS))
    return str(unexplained) if unexplained else None


def test_every_answer_about_tasks_is_right_in_some_order(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(repository, something, AGENTS, revive=1.0).run(seconds=ROUNDS * 0.6)
    wrong = judge(campaign)
    assert not wrong, wrong
    ops = campaign.history()
    done = Counter(op.verb for op in ops if op.answer not in (MAYBE, REFUSED, NOTHING))
    assert done["claim-next"] > ROUNDS
    assert done["handoff"] > 0
    settle(repository)
    with capsys.disabled():
        killed = sum(op.answer == MAYBE for op in ops)
        print(f"\n{len(ops)} operations on tasks, {campaign.kills} kills, {killed} in the middle; {dict(done)}")


def test_each_task_is_claimed_by_exactly_one(repository: Path) -> None:
    """Without any model: nobody finishes anything, so each task goes to one, whoever is killed."""

    def grab(worker: Worker) -> None:
        worker.do("claim-next", act=lambda: worker.hands.claim_next())

    campaign = Campaign(repository, grab, AGENTS).run(seconds=0.5, kill_every=9)
    got = [op.answer for op in campaign.history() if op.verb == "claim-next" and op.answer != NOTHING]
    assert sorted(got) == [TITLES[number] for number, needed in enumerate(NEEDS) if not needed]


# ---------------------------------------------------------------- controls
class StaleClaim(Hands):
    """Looks for a task, and then takes the guard to claim it."""

    def claim_next(self) -> Any:
        session = self.session
        state = session.store.state()
        me = state.presence(self.agent)
        assert me is not None
        found = claims.claim_next(state, me.agent, Stamp(state.now, 0, ""))
        time.sleep(0.003)
        if found is None:
            return NOTHING
        with session.store.transaction(self.agent) as tx:
            tx.commit("claim", "too late", found.writes, "D")
        return found.task.title


class HandsOnInTwoSteps(Hands):
    """Gives it back to the board, and then takes it for the other: in between it is anybody's."""

    def change(self, verb: str, task: str, *more: str) -> Any:
        if verb != "handoff":
            return super().change(verb, task, *more)
        if super().change("release-task", task) == REFUSED:
            return REFUSED
        time.sleep(0.01)
        me, os.environ["AGENT_SYNC_ID"] = os.environ["AGENT_SYNC_ID"], more[1]
        try:
            super().change("claim-task", task)
        finally:
            os.environ["AGENT_SYNC_ID"] = me
        return GRANTED


class NothingIsInherited(Hands):
    """The client's process is not recorded: what it had stays its own when it is killed."""

    def __init__(self, agent: str, out: Path) -> None:
        super().__init__(agent, out)
        del os.environ["CLAUDE_PID"], os.environ["CLAUDE_CODE_SESSION_ID"]


@pytest.mark.parametrize("hands", [StaleClaim, HandsOnInTwoSteps, NothingIsInherited])
def test_a_broken_board_is_seen(hands: type[Hands], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(8):
        board = make_board(tmp_path / f"repo{seed}", monkeypatch)
        if judge(
            Campaign(board, something, AGENTS, hands=hands, seed=seed, revive=1.0).run(seconds=1.0, kill_every=0.2)
        ):
            return
    raise AssertionError(f"{hands.__name__} survived")
