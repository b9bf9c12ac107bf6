"""Many processes lock, share, release, take over, and are killed: is there an order in which all their answers are right?"""

from __future__ import annotations

import os
import time
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from histories.campaign import Campaign, Hands, Worker, settle
from histories.checker import MAYBE, Op, check
from histories.models import GRANTED, REFUSED, Locks
from rounds import ROUNDS
from world import make_repo

from agentsync.core import locks as core
from agentsync.core.changes import Put, Stamp
from agentsync.core.locks import Conflict, Request
from agentsync.ops.session import resolve_targets
from agentsync.store import codec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FAMILY = {
    "src/a.py": {"a"},
    "src/b.py": {"b"},
    "src/": {"a", "b", "c"},
    "src/*.py": {"a", "b"},
    "src/**": {"a", "b", "c"},
}
"""Targets that overlap: one object, for no part of it is independent."""
ALONE = {"docs/x.md": {"x"}}
NAMED = {"@db": {"db"}}
OBJECTS = (FAMILY, ALONE, NAMED)

AGENTS = [f"w{n}" for n in range(6)]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"src/a.py": "", "src/b.py": "", "src/c.txt": "", "docs/x.md": ""})


def something(worker: Worker) -> None:
    """One command about locks."""
    chance, hands = worker.chance, worker.hands
    targets = list(chance.choice([FAMILY, FAMILY, ALONE, ALONE, NAMED]))
    wanted = chance.sample(targets, 2 if len(targets) > 1 and chance.random() < 0.2 else 1)
    mode = "shared" if chance.random() < 0.3 else "exclusive"
    dice = chance.random()
    if dice < 0.45:
        worker.do("lock", wanted, mode, act=lambda: hands.lock(wanted, mode))
    elif dice < 0.75:
        worker.do("unlock", wanted, False, act=lambda: hands.unlock(wanted))
    elif dice < 0.78 and wanted[0] in FAMILY:
        worker.do("unlock", wanted, True, act=lambda: hands.unlock(wanted, force=True))
    elif dice < 0.86:
        worker.do("unlock-all", act=hands.unlock_all)
    elif dice < 0.96:
        worker.do("check", "docs/x.md", act=lambda: hands.check("docs/x.md"))
    elif dice < 0.98:
        worker.do("end", act=hands.end)
    else:
        hands.run("gc", codes=(0,))


def about(ops: Sequence[Op], targets: dict[str, set[str]]) -> list[Op]:
    """The part of a history that is about some targets."""
    found = []
    for op in ops:
        match op.verb:
            case "lock" | "unlock" if op.words[1][0] in targets:
                found.append(op)
            case "check" if op.words[1] in targets:
                found.append(op)
            case "die" | "wake":
                found.append(op)
            case "unlock-all" | "end":
                found.append(op._replace(answer=_part(op.answer, targets)))
    return found


def _part(answer: Any, targets: dict[str, set[str]]) -> Any:
    if answer == MAYBE:
        return answer
    told = answer[1] if answer[:1] in ((GRANTED,), (REFUSED,)) else answer
    mine = tuple(token for path, token in told if path in targets)
    return (GRANTED, mine) if told is not answer else mine


def judge(campaign: Campaign) -> list[str]:
    """What is wrong with a history."""
    ops = campaign.history()
    wrong = never_together(ops)
    for targets in OBJECTS:
        unexplained = check(about(ops, targets), Locks(targets))
        if unexplained is not None:
            wrong.append(str(unexplained))
    return wrong


def never_together(ops: Sequence[Op]) -> list[str]:
    """Without any model: between the answer that granted a lock and the next thing its holder did about it, or its
    death, nobody else had one that excludes it; and who had it later has the greater token."""
    died = {
        op.words[0]: [other.called for other in ops if other.verb == "die" and other.words[0] == op.words[0]]
        for op in ops
    }
    held: list[tuple[float, float, str, str, str, int]] = []
    forced = [(op.called, op.answered, op.words[1]) for op in ops if op.verb == "unlock" and op.words[2]]
    for number, op in enumerate(ops):
        if op.verb != "lock" or op.answer == MAYBE or op.answer[0] != GRANTED:
            continue
        for target, token in op.answer[1]:
            later = (
                other.called for other in ops[number + 1 :] if other.process == op.process and _lets_go(other, target)
            )
            ends = [*later, *(at for at in died[op.words[0]] if at >= op.answered), float("inf")]
            # Also one that was asked for before the lock was: it may have had its turn only after it.
            ends += [asked for asked, done, targets in forced if done >= op.called and target in targets]
            held.append((op.answered, min(ends), op.words[0], target, op.words[2], token))
    return [
        f"two at once: {a} and {b}"
        for a, b in combinations(held, 2)
        if a[2] != b[2]
        and not a[4] == b[4] == "shared"
        and any(a[3] in targets and b[3] in targets and targets[a[3]] & targets[b[3]] for targets in OBJECTS)
        # An end before the answer is only the earliest that it may have had, and tells nothing of an order.
        and (max(a[0], b[0]) < min(a[1], b[1]) or (a[0] <= a[1] < b[0] and a[5] >= b[5]))
    ]


def _lets_go(op: Op, target: str) -> bool:
    return op.verb in ("unlock-all", "end", "wake") or (op.verb in ("unlock", "lock") and target in op.words[1])


def test_every_answer_about_locks_is_right_in_some_order(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(repository, something, AGENTS, revive=0.5).run(seconds=ROUNDS * 0.8)
    wrong = judge(campaign)
    assert not wrong, "\n".join(wrong)
    ops = campaign.history()
    assert campaign.kills > ROUNDS
    granted = [op for op in ops if op.verb == "lock" and op.answer != MAYBE and op.answer[0] == GRANTED]
    assert len(granted) > 5 * ROUNDS
    with capsys.disabled():
        killed = sum(op.answer == MAYBE for op in ops)
        print(
            f"\n{len(ops)} operations on locks, {len(granted)} granted, {campaign.kills} kills, {killed} in the middle"
        )
    settle(repository)


# ---------------------------------------------------------------- controls: what is broken must be seen
class WithoutGuard(Hands):
    """Looks, decides, and writes the record: two that look at once both find it free."""

    def lock(self, targets: Sequence[str], mode: str = "exclusive") -> Any:
        decision, stamp, store = self.decision(targets, mode)
        if isinstance(decision, Conflict):
            return REFUSED, sorted({int(b.held.lock.token.rpartition(":")[2]) for b in decision.blocked})
        for write in decision.writes:
            if isinstance(write, Put):
                temp = store.files.write_temp(codec.encode(write.record), sync=False)
                for _ in range(1000):
                    store.files.make_directory(write.key.rpartition("/")[0])
                    try:
                        store.files.replace(temp, write.key)
                        break
                    except FileNotFoundError:  # somebody has removed the empty directory again
                        continue
        return GRANTED, [[lock.path, stamp.revision] for lock in decision.locks]

    def decision(self, targets: Sequence[str], mode: str) -> Any:
        """A decision on what can be seen without the guard."""
        session, wanted = resolve_targets(self.session, targets)
        state = session.store.state()
        me = state.presence(self.agent)
        stamp = Stamp(state.now, session.store.revision() + 1, "x")
        request = Request(targets=wanted, ttl_s=3600, mode=mode)  # type: ignore[arg-type]
        decision = core.decide(state, me.agent, request, stamp) if me else Conflict(blocked=())
        time.sleep(0.003)
        return decision, stamp, session.store


class DecidesBefore(WithoutGuard):
    """Decides, and then takes the guard to write."""

    def lock(self, targets: Sequence[str], mode: str = "exclusive") -> Any:
        decision, _, store = self.decision(targets, mode)
        if isinstance(decision, Conflict):
            return REFUSED, sorted({int(b.held.lock.token.rpartition(":")[2]) for b in decision.blocked})
        with store.transaction(self.agent) as tx:
            stamp = tx.stamp
            tx.commit("lock", "too late", decision.writes)
        return GRANTED, [[lock.path, stamp.revision] for lock in decision.locks]


class TakesFromTheLiving(Hands):
    """What somebody else holds is made free first."""

    def lock(self, targets: Sequence[str], mode: str = "exclusive") -> Any:
        self.unlock(targets, force=True)
        return super().lock(targets, mode)


class NobodyDies(Hands):
    """The client's process is not recorded, so its death cannot be proved and its locks bind for an hour."""

    def __init__(self, agent: str, out: Path) -> None:
        super().__init__(agent, out)
        del os.environ["CLAUDE_PID"], os.environ["CLAUDE_CODE_SESSION_ID"]


class LetsGoOfAFewOnly(Hands):
    """Of several targets it takes the first, and says that it took all."""

    def lock(self, targets: Sequence[str], mode: str = "exclusive") -> Any:
        answer, told = super().lock(targets[:1], mode)
        return answer, [[path, told[0][1]] for path in targets] if answer == GRANTED else told


@pytest.mark.parametrize("hands", [WithoutGuard, DecidesBefore, TakesFromTheLiving, NobodyDies, LetsGoOfAFewOnly])
def test_a_broken_lock_is_seen(hands: type[Hands], repository: Path) -> None:
    for seed in range(8):
        campaign = Campaign(repository, eagerly, AGENTS, hands=hands, seed=seed).run(seconds=0.8, kill_every=0.2)
        if judge(campaign):
            return
    raise AssertionError(f"{hands.__name__} survived")


def test_and_one_that_is_not_broken_is_not(repository: Path) -> None:
    assert not judge(Campaign(repository, eagerly, AGENTS).run(seconds=0.8, kill_every=0.2))


def eagerly(worker: Worker) -> None:
    """Two paths only, so that everybody is in everybody's way."""
    wanted = worker.chance.sample(list(FAMILY), 2)
    if worker.chance.random() < 0.5:
        worker.do("lock", wanted, "exclusive", act=lambda: worker.hands.lock(wanted))
    else:
        worker.do("unlock", wanted, False, act=lambda: worker.hands.unlock(wanted))
