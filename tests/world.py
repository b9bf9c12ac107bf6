"""A small language for tests: a repository, agents in it, and a clock that moves by hand.

world = World(tmp_path)
alice, bob = world.agent("alice"), world.agent("bob")
alice.locks("src/api.py")
assert bob.is_refused("src/api.py")
world.clock.advance(minutes=61)
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agentsync.core.locks import Conflict, Granted
from agentsync.core.progress import Says
from agentsync.ops import agents, edits, locks, tasks
from agentsync.ops.session import Session, open_session
from agentsync.runtime import Process, Runtime
from agentsync.store.files import Files
from agentsync.store.locate import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.core.records import Task

NOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
"""Later than the mtime of any file that a test makes, so that only the manual clock counts as a sign of life."""


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = NOON

    def advance(self, *, minutes: float = 0, seconds: float = 0) -> None:
        self.now += timedelta(minutes=minutes, seconds=seconds)


class ClockFiles(Files):
    """Real files whose signs of life carry the manual clock's time."""

    def __init__(self, root: str, clock: Clock) -> None:
        super().__init__(root, f"t-{os.urandom(4).hex()}")
        self.clock = clock

    def touch(self, key: str) -> bool:
        touched = super().touch(key)
        if touched:
            self._stamp(key)
        return touched

    def append(self, key: str, line: bytes) -> None:
        super().append(key, line)
        self._stamp(key)

    def _stamp(self, key: str) -> None:
        seconds = self.clock.now.timestamp()
        os.utime(self.path(key), (seconds, seconds), follow_symlinks=False)


class Machine:
    """Processes that exist because a test says so."""

    def __init__(self) -> None:
        self.processes: dict[int, int] = {}
        self.stopped: set[int] = set()
        """Those that Ctrl-Z has stopped."""
        self.boot_id = "boot-1"

    def start(self, pid: int, at: int = 100) -> None:
        self.processes[pid] = at

    def kill(self, pid: int) -> None:
        del self.processes[pid]


class ManualRuntime(Runtime):
    """A runtime whose clock and processes belong to the test. File times are moved along with the clock."""

    def __init__(self, clock: Clock, machine: Machine, env: dict[str, str], cwd: str) -> None:
        super().__init__(env=env, cwd=cwd)
        self.clock = clock
        self.machine = machine
        self.next_id = ""
        """What the next generated id will be; nothing = chance decides."""

    def random_id(self, length: int) -> str:
        return self.next_id[:length] or super().random_id(length)

    def now(self) -> datetime:
        return self.clock.now

    @property
    def boot_id(self) -> str:  # type: ignore[override]
        return self.machine.boot_id

    @property
    def pid_ns(self) -> str:  # type: ignore[override]
        return "pid:[1]"

    def process(self, pid: int) -> Process | None:
        start = self.machine.processes.get(pid)
        return None if start is None else Process(pid, start, pid in self.machine.stopped)

    def ancestors(self) -> Iterator[tuple[int, str]]:
        return iter(())


def git(*args: str, cwd: Path) -> str:
    """Run git without anybody's configuration."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.invalid",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.invalid",
    }
    done = subprocess.run(["git", *args], cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return done.stdout


def make_repo(root: Path, files: dict[str, str] | None = None, config: str = "") -> Path:
    """A git repository with some files and a first commit."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in (files or {"src/app.py": "x\n"}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if config:
        (root / ".claude").mkdir(exist_ok=True)
        (root / ".claude/agent-sync.toml").write_text(config)
    git("init", "-q", "-b", "main", ".", cwd=root)
    git("add", "-A", cwd=root)
    git("commit", "-q", "-m", "first", cwd=root)
    return root


class World:
    """One repository and a manual clock."""

    def __init__(self, tmp_path: Path, config: str = "", git_repo: bool = True) -> None:
        self.root = make_repo(tmp_path / "repo", config=config) if git_repo else tmp_path / "repo"
        self.root.mkdir(exist_ok=True)
        self.clock = Clock()
        self.machine = Machine()

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.root / ".claude/coordination"

    def agent(self, agent_id: str, cwd: Path | None = None, files: Files | None = None, **env: str) -> Player:
        """An agent that works in the repository; it registers with its first write."""
        variables = {"AGENT_SYNC_ID": agent_id, **env}
        runtime = ManualRuntime(self.clock, self.machine, variables, str(cwd or self.root))
        return Player(runtime, files)

    def client(self, session: str, pid: int | None = None, cwd: Path | None = None, **env: str) -> Player:
        """A Claude Code session, with a process if `pid` is given."""
        variables = {"CLAUDE_CODE_SESSION_ID": session, **env}
        if pid is not None:
            self.machine.start(pid)
            variables["CLAUDE_PID"] = str(pid)
        return Player(ManualRuntime(self.clock, self.machine, variables, str(cwd or self.root)), None)


class Player:
    """What an agent does in a test. Every call is a process of its own, as in life: nothing is remembered."""

    def __init__(self, runtime: ManualRuntime, files: Files | None) -> None:
        self.runtime = runtime
        self.files = files

    @property
    def session(self) -> Session:
        place = locate(self.runtime.cwd, self.runtime.env)
        files = self.files or ClockFiles(place.state, self.runtime.clock)
        return open_session(self.runtime, files=files)

    @property
    def id(self) -> str:
        return self.session.me.id

    def registers(self, name: str | None = None, role: str | None = None) -> None:
        agents.register(self.session, name, role)

    def beats(self) -> None:
        agents.heartbeat(self.session)

    def ends(self, release_all: bool = False, continues: bool = False) -> None:
        agents.end(self.session, release_all, continues)

    def locks(self, *paths: str, **options: object) -> Granted | Conflict:
        return locks.lock(self.session, paths, **options)  # type: ignore[arg-type]

    def unlocks(self, *paths: str, **options: object) -> object:
        return locks.unlock(self.session, paths, **options)  # type: ignore[arg-type]

    def is_refused(self, *paths: str, **options: object) -> bool:
        return isinstance(self.locks(*paths, **options), Conflict)

    def edits(self, path: str) -> edits.Allowed | edits.Refused:
        """The judgement before an edit."""
        return edits.before(self.session, path)

    def may_edit(self, path: str) -> bool:
        return isinstance(self.edits(path), edits.Allowed)

    def has_edited(self, path: str) -> edits.Breach | None:
        """The record after an edit."""
        return edits.after(self.session, path)

    # ------------------------------------------------------------ tasks
    def makes(self, title: str, *files: str, depends_on: tuple[str, ...] = (), **says: object) -> Task:
        """A new task."""
        return tasks.create(self.session, Says(title=title, files=files, depends_on=depends_on, **says))  # type: ignore[arg-type]

    def claims(self, words: str, **how: bool) -> object:
        return tasks.claim(self.session, words, **how)

    def claims_next(self, lock: bool = False) -> str | None:
        """The title of what was claimed."""
        found = tasks.claim_next(self.session, lock=lock)
        return found.task.title if found else None

    def does(self, verb: str, words: str, *more: str, **how: bool) -> object:
        """Any other verb of a task: `alice.does("block", "Login", "a key is missing")`."""
        return getattr(tasks, verb)(self.session, words, *more, **how)

    def sees(self) -> dict[str, tasks.Seen]:
        """All tasks as this agent's `tasks` shows them, by title."""
        return {seen.task.title: seen for seen in tasks.board(self.session)}

    def works_on(self) -> str | None:
        """The title of the task that this agent works on."""
        found = tasks.mine(self.session)
        return found.title if found else None

    def was_told(self) -> list[str]:
        """What waits for this agent."""
        return [message.body for _, message in self.session.store.state().inbox(self.id)]

    def holds(self) -> list[str]:
        """Paths of the locks on disk that are this agent's, live or not."""
        return [held.lock.path for held in self.session.store.state().locks() if held.lock.holder == self.id]
