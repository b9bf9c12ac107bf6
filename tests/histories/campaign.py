"""Real processes that do things at random, are killed at random, and keep diaries.

Each worker is a fork that runs commands and hooks in its own process, a new session for each as in life. It writes each
operation into a file before it begins and once more when it is answered, by one write each, so that a kill costs
nothing that had been answered. Its process is recorded as the agent's client: when it is killed its death can be
proved. `Hands` are what a worker does things with; a broken variant of the protocol is another class of hands.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import time
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histories.checker import MAYBE, NEVER, Op
from histories.models import GRANTED, NOTHING, REFUSED
from invariants import check_replay, check_store

from agentsync.cli.context import Context
from agentsync.cli.parser import build
from agentsync.errors import AgentSyncError
from agentsync.hook import entry
from agentsync.ops.session import open_session
from agentsync.runtime import Runtime

for _loaded_by_a_worker in ("locks", "tasks", "mail", "agents", "waiting", "care", "requests", "decisions"):
    import_module(f"agentsync.ops.{_loaded_by_a_worker}")  # once for all the forks
for _loaded_by_a_worker in ("store.watch", "store.compact", "render.payload", "render.messages", "render.queue"):
    import_module(f"agentsync.{_loaded_by_a_worker}")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agentsync.ops.session import Session

GRAMMAR = build()
"""Of the command line, once: to make it takes longer than most commands."""

TRIES = 6
"""How often a command is typed whose guard is busy."""

PATIENCE_S = 120.0
"""How long a worker that is done lives at most: it is killed when all are."""


class Hands:
    """What a worker does things with: commands and hooks, and what they answered in the models' words."""

    def __init__(self, agent: str, out: Path) -> None:
        self.agent = agent
        self.out = out

    @property
    def session(self) -> Session:
        return open_session(Runtime(), owns_signals=True)

    def run(self, *words: str, codes: tuple[int, ...] = (0, 3)) -> tuple[int, Any]:
        """One command as `cli.main` runs it, with its exit code and what it printed.

        Who is told that the guard could not be had in ten seconds tries again: nothing was done. That happens where
        two dozen processes share a core with others.
        """
        for _ in range(TRIES):
            code, said = self._once(*words)
            if code != 6 or "could not be had" not in said:
                break
        assert code in codes, (words, code, said)
        return code, json.loads(said) if said else None

    def _once(self, *words: str) -> tuple[int, str]:
        sys.stdout = io.StringIO()
        context = Context(json=True)
        try:
            options = GRAMMAR.parse_args([*words, "--json"])
            code: int = options.run(context, options)
            context.close()
        except AgentSyncError as error:
            context.problem(error)
            code = error.code
        return code, sys.stdout.getvalue()

    # ------------------------------------------------------------ locks
    def lock(self, targets: Sequence[str], mode: str = "exclusive") -> Any:
        code, said = self.run("lock", *targets, *(["--shared"] if mode == "shared" else []))
        if code:
            return REFUSED, tokens(said["locks"])
        said = said if isinstance(said, list) else [said]
        return GRANTED, [[lock["path"], token(lock)] for lock in said]

    def unlock(self, targets: Sequence[str], force: bool = False) -> Any:
        code, said = self.run("unlock", *targets, *(["--force"] if force else []))
        return (REFUSED, tokens(said["locks"])) if code else (GRANTED, tokens(said))

    def unlock_all(self) -> Any:
        code, said = self.run("unlock", "--all")
        return (REFUSED, said["locks"]) if code else (GRANTED, [[lock["path"], token(lock)] for lock in said])

    def check(self, file: str) -> Any:
        _, said = self.run("check", file)
        return tokens(said[0]["held_by"])

    def end(self) -> Any:
        from agentsync.ops import agents

        return [[lock.path, int(lock.token.rpartition(":")[2])] for lock in agents.end(self.session, release_all=True)]

    # ------------------------------------------------------------ tasks
    def claim_next(self) -> Any:
        _, said = self.run("claim-next", codes=(0,))
        return said.get("title", NOTHING)

    def change(self, verb: str, task: str, *more: str) -> Any:
        code, _ = self.run(verb, task, *more, codes=(0, 3, 4) if verb == "handoff" else (0, 3))
        return REFUSED if code else GRANTED

    # ------------------------------------------------------------ mail
    def send(self, to: str, body: str, kind: str) -> Any:
        _, said = self.run(
            "send", "--to", to, "--message", body, *(["--urgent"] if kind == "urgent" else []), codes=(0,)
        )
        return int(said["id"][2:])

    def hook(self, event: str, **payload: Any) -> str:
        """Call a hook; what it writes goes into the file `out`, where it is found although we are killed."""
        sys.stdin = io.TextIOWrapper(io.BytesIO(json.dumps(payload).encode()))
        fd = os.open(self.out, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(fd, 1)
        os.close(fd)
        self.answer_hook(event)
        return self.out.read_text()

    def answer_hook(self, event: str) -> None:
        assert entry.main([event]) == 0


def token(lock: dict[str, Any]) -> int:
    """The revision in a lock's token."""
    return int(lock["token"].rpartition(":")[2])


def tokens(locks: Sequence[dict[str, Any]]) -> list[int]:
    return sorted({token(lock) for lock in locks})


class Diary:
    """What one process did, on disk before it goes on."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._number = 0

    def do(self, verb: str, words: Sequence[Any], act: Callable[[], Any]) -> Any:
        """Do something and note it."""
        self._number += 1
        self._note("?", verb, words)
        answer = act()
        self._note("!", answer)
        return answer

    def _note(self, *what: Any) -> None:
        os.write(self._fd, json.dumps([self._number, time.monotonic_ns(), *what]).encode() + b"\n")


class Worker:
    """One process, as it sees itself."""

    def __init__(self, agent: str, process: str, hands: Hands, diary: Diary, chance: random.Random) -> None:
        self.agent = agent
        self.process = process
        self.hands = hands
        self.chance = chance
        self._diary = diary

    def do(self, verb: str, *words: Any, act: Callable[[], Any]) -> Any:
        """Do something in one's own name."""
        return self._diary.do(verb, (self.agent, *words), act)


class Campaign:
    """The processes of one run. Use `run`, then `history`."""

    def __init__(
        self,
        repository: Path,
        act: Callable[[Worker], None],
        agents: Sequence[str],
        *,
        hands: type[Hands] = Hands,
        seed: int = 0,
        revive: float = 0.0,
    ) -> None:
        """Prepare a run.

        Args:
            repository: Where they work.
            act: One thing that a worker does, chosen by its `chance`; it is called again and again.
            agents: Who works at a time.
            hands: What they do it with.
            seed: Of all that is random, but for the machine itself.
            revive: How often the one who follows a killed worker is the same agent again, and not a new one.
        """
        self.repository = repository
        self.kills = 0
        self._act = act
        self._hands = hands
        self._chance = random.Random(seed)
        self._revive = revive
        self._folder = repository.parent / f"diaries-{seed}-{hands.__name__}-{time.monotonic_ns()}"
        self._folder.mkdir()
        self._stop = self._folder / "stop"
        self._workers: dict[str, tuple[str, int]] = {}
        """Process name to agent and pid."""
        self._deaths: list[Op] = []
        self._count = 0
        self._first = list(agents)

    # ------------------------------------------------------------ running
    def run(self, seconds: float, kill_every: float = 0.12) -> Campaign:
        """Let them work, and kill one every now and then."""
        try:
            for agent in self._first:
                self._start(agent)
            end = time.monotonic() + seconds
            following = time.monotonic() + kill_every
            while time.monotonic() < end:
                time.sleep(min(0.01, kill_every))
                if time.monotonic() >= following:
                    following = time.monotonic() + self._chance.random() * 2 * kill_every
                    self._kill_one()
            self._stop.touch()
            while len(list(self._folder.glob("*.done"))) + len(list(self._folder.glob("*.complaint"))) < len(
                self._workers
            ):
                time.sleep(0.005)
        finally:
            for _, pid in self._workers.values():  # not before all are done: their death would free what they hold
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        complaints = [path.read_text() for path in self._folder.glob("*.complaint")]
        assert not complaints, complaints[0]
        return self

    def _start(self, agent: str) -> None:
        self._count += 1
        process = f"{self._count:03}"
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # 3.12: other threads, as pytest-xdist has, may hold locks
            pid = os.fork()
        if pid == 0:
            self._live(agent, process)
        self._workers[process] = (agent, pid)
        self._wait_for_its_first_word(process, pid)

    def _wait_for_its_first_word(self, process: str, pid: int) -> None:
        diary = self._folder / f"{process}.diary"
        while not diary.exists() or b'"!"' not in diary.read_bytes():
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            time.sleep(0.001)

    def _live(self, agent: str, process: str) -> None:
        """The whole life of a worker."""
        try:
            os.chdir(self.repository)
            os.environ.update(AGENT_SYNC_ID=agent, CLAUDE_CODE_SESSION_ID=agent, CLAUDE_PID=str(os.getpid()))
            chance = random.Random(f"{agent} {process}")
            hands = self._hands(agent, self._folder / f"{process}.out")
            worker = Worker(agent, process, hands, Diary(self._folder / f"{process}.diary"), chance)
            worker.do("wake", act=lambda: hands.run("heartbeat", codes=(0,))[0])
            while not self._stop.exists():
                self._act(worker)
            (self._folder / f"{process}.done").touch()
            time.sleep(PATIENCE_S)
        except BaseException:
            (self._folder / f"{process}.complaint").write_text(traceback.format_exc())
        finally:
            os._exit(0)

    def _kill_one(self) -> None:
        process = self._chance.choice(sorted(self._workers))
        agent, pid = self._workers.pop(process)
        called = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self._deaths.append(Op(process, "die", (agent,), None, called, time.monotonic_ns()))
        self.kills += 1
        successor = agent if self._chance.random() < self._revive else f"{agent.partition('-')[0]}-{self._count}"
        self._start(successor)

    # ------------------------------------------------------------ judging
    def history(self) -> list[Op]:
        """What all of them did, and who died when. What a killed one was at has the answer `MAYBE`."""
        dead = {death.process: death.answered for death in self._deaths}
        ops = list(self._deaths)
        for path in sorted(self._folder.glob("*.diary")):
            ops += _ops(path, dead.get(path.stem, NEVER))
        return sorted(ops, key=lambda op: op.called)

    def heard_last(self, process: str) -> str:
        """What the last hook of a process had written when it was killed."""
        path = self._folder / f"{process}.out"
        return path.read_text() if path.exists() else ""


def _ops(diary: Path, died: float) -> Iterator[Op]:
    asked: dict[int, tuple[float, str, tuple[Any, ...]]] = {}
    for line in diary.read_bytes().splitlines():
        try:
            number, at, mark, *rest = json.loads(line)
        except ValueError:
            continue  # it was killed within the write: the answer never left the process
        if mark == "?":
            asked[number] = (at, rest[0], _frozen(rest[1]))
        else:
            called, verb, words = asked.pop(number)
            yield Op(diary.stem, verb, words, _frozen(rest[0]), called, at)
    for called, verb, words in asked.values():
        yield Op(diary.stem, verb, words, MAYBE, called, died)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def settle(repository: Path) -> None:
    """The next writer finishes what was begun; then the directory is in order, and the log explains all of it."""
    from agentsync.ops import care

    care.init(open_session(Runtime(env={"AGENT_SYNC_ID": "last"}, cwd=str(repository))))
    check_store(repository / ".claude/coordination")
    check_replay(repository / ".claude/coordination")
