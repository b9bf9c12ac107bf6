"""Many processes write to each other while their hooks tell them what came, and both are killed: told once, in order."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from histories.campaign import Campaign, Hands, Worker, settle
from histories.checker import MAYBE, Op, check
from histories.models import Mail
from rounds import ROUNDS
from world import make_repo

from agentsync.core import delivery, messages
from agentsync.ops import mail
from agentsync.render.messages import lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EVENTS = {"within": "post-tool-batch", "prompt": "user-prompt-submit", "stop": "stop"}
AGENTS = [f"w{n}" for n in range(5)]

_LINE = re.compile(r"m-\d+ from \S+ \(\S+\), [^:]*: (w\d \d+ \d+)")
_MORE = re.compile(r"(\d+) more: agent-sync inbox")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_repo(tmp_path / "repo")
    monkeypatch.chdir(made)
    for agent in AGENTS:  # all are there before the first word to all
        monkeypatch.setenv("AGENT_SYNC_ID", agent)
        Hands(agent, tmp_path / "out").run("heartbeat")
    monkeypatch.delenv("AGENT_SYNC_ID")
    return made


def something(worker: Worker) -> None:
    """Write something, or hear what there is."""
    chance, hands = worker.chance, worker.hands
    if chance.random() < 0.5:
        body = f"{worker.agent} {worker.process} {time.monotonic_ns()}"
        to = chance.choice([*AGENTS, "all"])
        kind = "directed" if to != "all" else chance.choice(["urgent", "cast"])
        worker.do("send", body, kind, to, act=lambda: hands.send(to, body, kind))
    elif chance.random() < 0.1 and (unread := mail.inbox(hands.session)):
        one = chance.choice(unread)
        worker.do("read", one.body, act=lambda: hands.run("read-message", one.id)[0])
    else:
        when = chance.choice(list(EVENTS))
        worker.do("hear", when, act=lambda: heard(hands.hook(EVENTS[when])))


def heard(said: str) -> tuple[list[str], int]:
    """The bodies in what a hook said, and how many more it counted."""
    if not said:
        return [], 0
    text = json.loads(said)["hookSpecificOutput"]["additionalContext"]
    more = _MORE.search(text)
    return [found[1] for line in text.splitlines() if (found := _LINE.fullmatch(line))], int(more[1]) if more else 0


def of_reader(campaign: Campaign, ops: Sequence[Op], reader: str) -> list[Op]:
    """What concerns one reader, and what its killed hooks had said."""
    found = []
    for op in ops:
        if op.verb == "send" and (op.words[3] == reader or (op.words[3] == "all" and op.words[0] != reader)):
            found.append(op)
        elif op.verb == "hear" and op.words[0] == reader and op.answer == MAYBE:
            bodies, left = heard(campaign.heard_last(op.process))
            found.append(op._replace(verb="hear-killed", answer=(tuple(bodies), left)))
        elif op.verb in ("hear", "read") and op.words[0] == reader:
            found.append(op)
    return found


def judge(campaign: Campaign) -> list[str]:
    """What is wrong with a history."""
    ops = campaign.history()
    wrong = []
    for reader in AGENTS:
        unexplained = check(of_reader(campaign, ops, reader), Mail())
        if unexplained is not None:
            wrong.append(f"{reader}: {unexplained}")
        told = Counter(
            body
            for op in ops
            if op.verb == "hear" and op.words[0] == reader and op.answer != MAYBE
            for body in op.answer[0]
        )
        wrong += [f"{reader} was told {body} {count} times" for body, count in told.items() if count > 1]
    return wrong


def test_every_message_is_told_once_and_in_order(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(repository, something, AGENTS, revive=1.0).run(seconds=ROUNDS * 0.6, kill_every=0.08)
    wrong = judge(campaign)
    assert not wrong, "\n".join(wrong)
    ops = campaign.history()
    told = sum(len(op.answer[0]) for op in ops if op.verb == "hear" and op.answer != MAYBE)
    assert told > 10 * ROUNDS
    settle(repository)
    with capsys.disabled():
        sent = sum(op.verb == "send" for op in ops)
        spoke = sum(bool(campaign.heard_last(op.process)) for op in ops if op.verb == "hear" and op.answer == MAYBE)
        print(f"\n{sent} messages, {told} tellings, {campaign.kills} kills, {spoke} of them after a hook had spoken")


# ---------------------------------------------------------------- controls
class Tells(Hands):
    """A hook of its own, to be broken."""

    def answer_hook(self, event: str) -> None:
        session = self.session
        with session.store.transaction(self.agent) as tx:
            told = [message for _, message in tx.state.inbox(self.agent, later=event == "user-prompt-submit")]
            told = [message for message in told if event != "stop" or messages.is_directed(message)]
            self.tell(tx, told)

    def tell(self, tx: Any, told: Any) -> None:
        self.write(told)
        self.mark(tx, told)

    def write(self, told: Any) -> None:
        if told:
            text = "\n".join(line for message in told for line in lines(message, self.agent, message.created_at))
            with open(1, "w", closefd=False, encoding="utf-8") as out:
                out.write(json.dumps({"hookSpecificOutput": {"additionalContext": text}}))

    def mark(self, tx: Any, told: Any) -> None:
        tx.commit("deliver", "told", delivery.deliver(told, tx.state, self.agent, tx.stamp), "E")


class MarksBeforeItTells(Tells):
    """Who is killed in between is never told."""

    def tell(self, tx: Any, told: Any) -> None:
        self.mark(tx, told)
        time.sleep(0.03)  # where half of the kills find it, also on a machine that is busy
        self.write(told)


class ForgetsToMark(Tells):
    """Sometimes what was told is told again."""

    def tell(self, tx: Any, told: Any) -> None:
        self.write(told)
        self.mark(tx, told[1:])


class TellsTheNewestFirst(Tells):
    def write(self, told: Any) -> None:
        super().write(told[::-1])


class LosesOneOfMany(Tells):
    """Marks all, and tells all but the last."""

    def write(self, told: Any) -> None:
        super().write(told[:-1] if len(told) > 2 else told)


class AnswersBeforeItSends(Hands):
    """Says that a message was sent, and sends it a moment later, or never."""

    later: partial[Any] | None = None

    def send(self, to: str, body: str, kind: str) -> Any:
        if self.later is not None:
            self.later()
        self.later = partial(super().send, to, body, kind)
        return self.session.store.revision() + 1


def test_a_hook_of_our_own_that_is_not_broken_is_right(repository: Path) -> None:
    assert not judge(Campaign(repository, something, AGENTS, hands=Tells, revive=1.0).run(seconds=1.0, kill_every=0.08))


@pytest.mark.parametrize(
    "hands", [MarksBeforeItTells, ForgetsToMark, TellsTheNewestFirst, LosesOneOfMany, AnswersBeforeItSends]
)
def test_broken_mail_is_seen(hands: type[Hands], tmp_path: Path, repository: Path) -> None:
    for seed in range(12):
        campaign = Campaign(repository, something, AGENTS, hands=hands, seed=seed, revive=1.0)
        if judge(campaign.run(seconds=0.8, kill_every=0.05)):
            return
        for agent in AGENTS:  # the next begins with nothing to be told
            drain(agent, tmp_path)
    raise AssertionError(f"{hands.__name__} survived")


def drain(agent: str, scratch: Path) -> None:
    for message in mail.inbox(open_as(agent)):
        mail.read_message(open_as(agent), message.id)


def open_as(agent: str) -> Any:
    from agentsync.ops.session import open_session
    from agentsync.runtime import Runtime

    return open_session(Runtime(env={"AGENT_SYNC_ID": agent}))
