"""Twenty-four agents at work: edits through the hooks, locks by hand, tasks, mail, three working trees, and crashes.

Each agent is a process that runs real hooks and commands; every eighth calls the gate, as a client would. While it may
edit a file it writes its name into it: whoever finds a living other's name there has found two holders. At the end
nothing that was acknowledged may be missing, and the directories must be small. AGENTSYNC_ROUNDS says how long: four
seconds for each.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from histories.campaign import Campaign, Hands, Worker, settle
from histories.checker import MAYBE, Op
from histories.test_mail import heard
from invariants import history
from rounds import ROUNDS
from world import git, make_repo

from agentsync.ops import care
from agentsync.ops.session import open_session
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.records import Change

AGENTS = [f"w{n}" for n in range(24)]
FILES = [f"src/{name}.py" for name in "abcdefgh"] + [f"docs/{name}.md" for name in "abcd"]
TREES = ("repo", "left", "right")
GATE = Path(__file__).parents[2] / "hooks/gate"
MAX_FILES = 300


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two linked worktrees, and the gate in each."""
    made = make_repo(tmp_path / "repo", dict.fromkeys(FILES, ""))
    for name in TREES[1:]:
        git("worktree", "add", "-q", "-b", name, str(tmp_path / name), cwd=made)
    for name in TREES:
        gate = tmp_path / name / ".claude/hooks/agent-sync"
        gate.parent.mkdir(parents=True)
        shutil.copy(GATE, gate)
        gate.chmod(0o755)
    care.init(open_session(Runtime(env={"AGENT_SYNC_ID": "maker"}, cwd=str(made))))
    return made


class AtWork(Hands):
    """One agent of a team."""

    def __init__(self, agent: str, out: Path) -> None:
        super().__init__(agent, out)
        number = int(agent.partition("-")[0][1:])
        self.tree = Path.cwd().parent / TREES[number % len(TREES)]
        self.by_gate = number % 8 == 0
        os.chdir(self.tree)

    def fire(self, event: str, file: str | None = None) -> str:
        """A hook as the client calls it: what it says, mostly nothing."""
        payload: dict[str, Any] = {"session_id": self.agent, "cwd": str(self.tree)}
        if file is not None:
            payload |= {"tool_name": "Edit", "tool_input": {"file_path": str(self.tree / file)}}
        complaints = self.out.with_suffix(".err")
        with open(self.out, "w+b") as out, open(complaints, "w+b") as err:
            if self.by_gate:
                gate = [self.tree / ".claude/hooks/agent-sync", event]
                done = subprocess.run(gate, input=json.dumps(payload).encode(), stdout=out, stderr=err, check=False)
                assert done.returncode == 0
            else:
                os.dup2(err.fileno(), 2)
                self.hook(event, **payload)
        complaint = complaints.read_text()
        assert not complaint or "guard could not be had in 2 s" in complaint, complaint
        return complaint or self.out.read_text()

    def edit(self, file: str) -> str:
        """Ask, write one's name into the file, look whether it stays there, and report."""
        said = self.fire("pre-tool-use", file)
        if '"deny"' in said:
            return "denied"
        if "failed open" in said:
            return "not guarded"  # it said so; a careful agent waits
        found = self._names(file)
        for name in found - {self.agent}:
            if self._lives(name):
                return f"two holders: found {name}"
        mark = self.tree / f"{file}.{self.agent}~{os.getpid()}"
        mark.touch()
        time.sleep(0.002)
        others = {name for name in self._names(file) - {self.agent} if self._lives(name)}
        mark.unlink()
        if others:
            return f"two holders: with {others}"
        self.fire("post-tool-use", file)
        return "edited"

    def _names(self, file: str) -> set[str]:
        path = self.tree / file
        return {one.name[len(path.name) + 1 :].partition("~")[0] for one in path.parent.glob(f"{path.name}.*~*")}

    def _lives(self, name: str) -> bool:
        """Whether its process is there; the mark of one who was killed stays."""
        for mark in self.tree.glob(f"*/*.{name}~*"):
            try:
                with open(f"/proc/{mark.name.rpartition('~')[2]}/stat", encoding="ascii") as stat:
                    if stat.read().rpartition(")")[2].split()[0] not in "ZX":
                        return True
            except FileNotFoundError:
                continue
        return False


def works(worker: Worker) -> None:
    """A bit of work."""
    chance, hands = worker.chance, worker.hands
    assert isinstance(hands, AtWork)
    match chance.choices(
        ["edit", "lock", "task", "mail", "listen", "status", "decide", "rest"], [8, 3, 3, 3, 4, 1, 0.2, 4]
    )[0]:
        case "edit":
            for file in chance.sample(FILES, chance.randint(1, 3)):
                worker.do("edit", file, act=lambda file=file: hands.edit(file))  # type: ignore[misc]
            worker.do("unlock", act=lambda: hands.unlock_all()[0])
        case "lock":
            wanted = chance.choice(["src/", "docs/*.md", *FILES])
            answer = worker.do("lock", wanted, act=lambda: hands.lock([wanted], chance.choice(["shared", "exclusive"])))
            if answer[0] == "granted" and chance.random() < 0.8:
                worker.do("unlock", act=lambda: hands.unlock_all()[0])
        case "task":
            _task(worker)
        case "mail":
            to, body = chance.choice([*AGENTS, "all"]), f"{worker.agent} {worker.process} {time.monotonic_ns()}"
            if to == "all" or (hands.tree.parent / f"repo/.claude/coordination/agents/{to}.json").exists():
                worker.do(
                    "send",
                    body,
                    to,
                    act=lambda: hands.run("send", "--to", to, "--message", body, codes=(0, 4))[1].get("id"),
                )
        case "listen":
            event = chance.choice(["user-prompt-submit", "post-tool-batch", "stop"])
            worker.do("hear", event, act=lambda: listen(hands, event))
        case "status":
            worker.do("status", act=lambda: hands.run("status", codes=(0,))[0])
        case "decide":
            worker.do("decide", act=lambda: hands.run("decision", "so be it", codes=(0,))[1]["id"])
        case _:
            time.sleep(chance.random() * 0.1)  # a model thinks


def listen(hands: AtWork, event: str) -> list[str]:
    said = hands.fire(event)
    return [] if "failed open" in said else heard(said)[0]


def _task(worker: Worker) -> None:
    chance, hands = worker.chance, worker.hands
    if chance.random() < 0.5:
        files = ["--file", chance.choice(FILES)]
        worker.do(
            "create", act=lambda: hands.run("create-task", f"work of {worker.agent}", *files, codes=(0,))[1]["id"]
        )
    task = worker.do("claim", act=lambda: hands.run("claim-next", "--lock", codes=(0,))[1].get("id"))
    if task is not None:
        hands.run("checkpoint", task, "half way", codes=(0,))
        if chance.random() < 0.9:
            worker.do("complete", task, act=lambda: hands.run("complete-task", task)[0])
        worker.do("unlock", act=lambda: hands.unlock_all()[0])


def soak(repository: Path, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(repository, works, AGENTS, hands=AtWork, seed=random.Random().randrange(1 << 30)).run(
        seconds, 0.3
    )
    ops = campaign.history()
    for op in ops:
        assert "two holders" not in str(op.answer), op
    settle(repository)
    nothing_is_lost(repository, ops)
    told_once(ops)
    session = open_session(Runtime(env={"AGENT_SYNC_ID": "last"}, cwd=str(repository)))
    care.gc(session)
    state = repository / ".claude/coordination"
    sizes = {
        folder: len([one for one in (state / folder).iterdir() if one.is_file()]) for folder, _, _ in os.walk(state)
    }
    assert max(sizes.values()) <= MAX_FILES, sizes
    settle(repository)
    with capsys.disabled():
        report(ops, campaign.kills, seconds)


def nothing_is_lost(repository: Path, ops: Sequence[Op]) -> None:
    """Each answer that names a revision or an id has its event, by whoever was answered; each task went to one."""
    events = history(repository / ".claude/coordination")
    by_revision = {event.rev: event for event in events}
    granted = {  # also by a newcomer, who locks for others what they have just edited
        event.rev: [(lock["holder"], lock["path"]) for lock in map(record, event.changes) if lock.get("kind") == "lock"]
        for event in events
    }
    made = {(event.verb, change.put) for event in events for change in event.changes if change.put}
    for op in ops:
        if op.answer in (MAYBE, None):
            continue
        match op.verb:
            case "lock" if op.answer[0] == "granted":
                for path, number in op.answer[1]:
                    assert (op.words[0], path) in granted[number], op
            case "send" | "decide":
                event = by_revision[int(op.answer[2:])]
                assert (event.actor, event.verb) == (op.words[0], "send" if op.verb == "send" else "decision"), op
            case "create":
                assert ("create-task", f"tasks/{op.answer}.json") in made, op
            case "complete" if op.answer == 0:
                assert ("complete-task", f"tasks/{op.words[1]}.json") in made, op
    finished = Counter(op.words[1] for op in ops if op.verb == "complete" and op.answer == 0)
    assert not [task for task, times in finished.items() if times > 1]


def record(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(change.record)) if change.put else {}
    return found


def told_once(ops: Sequence[Op]) -> None:
    told = Counter((op.words[0], body) for op in ops if op.verb == "hear" and op.answer != MAYBE for body in op.answer)
    assert not [one for one, times in told.items() if times > 1]
    sent = {op.words[1] for op in ops if op.verb == "send"}
    assert {body for _, body in told} <= sent


def report(ops: Sequence[Op], kills: int, seconds: float) -> None:
    """How long things took, for whoever looks."""
    took: dict[str, list[float]] = defaultdict(list)
    for op in ops:
        if op.answer != MAYBE and op.verb not in ("die", "wake"):
            took[op.verb].append((op.answered - op.called) / 1e6)
    answers = Counter(op.answer for op in ops if op.verb == "edit")
    told = f"{answers['denied']} edits denied, {answers['not guarded']} not guarded in time"
    print(f"\n{len(AGENTS)} agents, {seconds:.0f} s: {len(ops)} operations, {told}, {kills} kills")
    for verb, times in sorted(took.items()):
        times.sort()
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        print(f"  {verb:9} {len(times):6} times   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms")


@pytest.mark.slow
def test_a_team_at_work(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soak(repository, ROUNDS * 4.0, capsys)


class NotAsked(AtWork):
    """Edits without asking."""

    def fire(self, event: str, file: str | None = None) -> str:
        return "" if event == "pre-tool-use" else super().fire(event, file)


def test_edits_without_hooks_are_seen(repository: Path) -> None:
    def edits(worker: Worker) -> None:
        file = worker.chance.choice(FILES[:2])
        worker.do("edit", file, act=lambda: worker.hands.edit(file))  # type: ignore[attr-defined]

    for seed in range(5):
        campaign = Campaign(repository, edits, AGENTS[1:8], hands=NotAsked, seed=seed).run(0.8, 0.3)
        if any("two holders" in str(op.answer) for op in campaign.history()):
            return
    raise AssertionError("nobody noticed")
