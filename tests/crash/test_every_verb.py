"""Every verb that writes, as it is typed, and every hook, as a client calls it, killed before its file-system calls.

What must be killed is read from the grammar of the command line and the table of hook events: a new verb that is in
neither list below fails the suite. `test_kill_points.py` looks closer at what some of them leave behind.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from crash.killing import Snapshot, content, kill_before, kill_everywhere
from faults.operations import fenced
from invariants import check_store, history
from rounds import LONG
from world import ClockFiles, ManualRuntime, Player

from agentsync import clients
from agentsync.cli.context import Context
from agentsync.cli.parser import build
from agentsync.clients import claude
from agentsync.clients.call import GATE
from agentsync.hook import entry
from agentsync.ops import append, install, user_files
from agentsync.ops.session import open_session
from agentsync.store.compact import KEEP
from agentsync.store.locate import locate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world import World

    from agentsync.ops.session import Session
    from agentsync.runtime import Runtime

GRAMMAR = build()

MAIL = "alice: send --to bob --message hello\nalice: send --to all --message 'to all'"
TASK = "alice: create-task Login --file src/app.py"
MINE = f"{TASK}\nbob: claim-task Login --lock"
ASKED = "bob: lock src/app.py\nalice: request src/app.py --message please"


class Case(NamedTuple):
    """What bob types, and what came before; `+16` in the story are minutes that pass."""

    typed: str
    story: str = ""
    alone: bool = False
    """Whether the board is empty, and bob not on it."""


WRITING: dict[str, tuple[Case, ...]] = {
    "init": (Case("init", alone=True),),
    "register": (Case("register --name Bob --role tests", alone=True), Case("register --name Bob")),
    "heartbeat": (Case("heartbeat", "alice: send --to all --message hello", alone=True),),
    "lock": (
        Case("lock src/app.py 'src/*.txt' docs/ @db --reason why"),
        Case("lock src/app.py --shared", "alice: lock src/app.py --shared"),
        Case("lock src/app.py --everywhere --ttl 5", "bob: lock src/app.py"),
        Case("lock src/app.py", "alice: lock src/\n+61"),
        Case("lock src/app.py --wait=0"),
    ),
    "unlock": (
        Case("unlock --all", f"{ASKED}\nbob: lock docs/ @db"),
        Case("unlock src/app.py --force", "alice: lock src/app.py"),
    ),
    "request": (Case("request src/app.py --message please", "alice: lock src/app.py"),),
    "refuse": (Case("refuse m-4 --reason 'not yet'", ASKED),),
    "run": (
        Case("run --lock src/app.py -- true"),
        Case("run --lock src/app.py -- true", "bob: lock src/app.py --shared"),
    ),
    "append": (Case("append notes.txt --content 'a line'"),),
    "create-task": (Case("create-task Logout --depends-on Login --priority 3", TASK),),
    "edit-task": (Case("edit-task Login --title 'Log in' --file docs/a.md", TASK),),
    "claim-task": (
        Case("claim-task Login --strict", TASK),
        Case("claim-task Login --lock", f"{TASK}\nalice: claim-task Login --lock\n+121"),
        Case("claim-task Login --force", f"{TASK}\nalice: claim-task Login"),
    ),
    "claim-next": (Case("claim-next --lock", f"{TASK}\nalice: create-task Logout --priority 9"),),
    "complete-task": (Case("complete-task Login", f"{MINE}\nalice: create-task Logout --depends-on Login"),),
    "block-task": (Case("block-task Login --reason 'no key'", MINE),),
    "release-task": (Case("release-task Login", MINE),),
    "reopen-task": (Case("reopen-task Login", f"{MINE}\nbob: complete-task Login"),),
    "cancel-task": (Case("cancel-task Login", MINE),),
    "checkpoint": (Case("checkpoint Login 'half of it'", MINE),),
    "note": (Case("note Login 'mind the gap'", TASK),),
    "handoff": (Case("handoff Login --to alice", MINE),),
    "send": (Case("send --to all --message hello --urgent"), Case("send --to alice --message hello")),
    "directive": (Case("directive all 'stop here'"),),
    "read-message": (Case("read-message m-3", MAIL),),
    "ack": (Case("ack m-3", MAIL),),
    "decision": (Case("decision spaces --supersedes d-3", "alice: decision tabs"),),
    "log": (Case("log 'the build is green' --type build --file src/app.py"),),
    "status": (Case("status", f"{TASK}\nalice: claim-task Login\n+14\nalice: heartbeat\n+14\nalice: heartbeat\n+14"),),
    "tasks": (Case("tasks", f"{TASK}\nalice: claim-task Login\n+14\nalice: heartbeat\n+14\nalice: heartbeat\n+14"),),
}
"""What changes the board, always or sometimes."""

READING = {
    "whoami": "whoami",
    "check": "check src/app.py",
    "inbox": "inbox",
    "explain": "explain src/app.py",
    "locks": "locks",
    "queue": "queue",
    "task": "task Login",
    "thread": "thread m-3",
    "sent": "sent",
    "decisions": "decisions",
    "history": "history src/app.py",
    "doctor": "doctor",
    "metrics": "metrics",
    "export": "export --output board.ndjson",
    "watch": "watch --since 0 --timeout 0",
}
"""What never does: nothing that could be killed."""

ELSEWHERE = {
    "gc": "below",
    "install": "below",
    "uninstall": "below",
    "demo": "makes a repository of its own, from the verbs above",
    "hook": "the events, below",
    "conflicts": "merges beside the board, and only reads it",
    "completion": "prints a script",
    "import": "killed at every call in tests/ops/test_transfer.py, and run again",
    "git-hook": "below",
    "remote": "in tests/remote/test_kills.py, which has something to share with",
    "provision": "programs that are not ours, then `remote`; tests/ops/test_provision.py ends it after each step",
    "sync": "in tests/remote/test_kills.py",
    "hotspots": "reads, unless it changes a setting, below",
    "report": "only reads the board, and replaces its page in one step",
    "console": "the operations of the verbs above; what it takes by force is killed in tests/console",
    "mcp": "a server, whose tools are the operations of the verbs above",
}


def commands() -> set[str]:
    (found,) = [action for action in GRAMMAR._actions if isinstance(action, argparse._SubParsersAction)]
    return set(found.choices)


def test_every_command_of_the_grammar_is_killed_or_writes_nothing() -> None:
    named = [*WRITING, *READING, *ELSEWHERE]
    assert len(named) == len(set(named))
    assert commands() == set(named), "say in this file how a new command is killed, or that it only reads"


# ---------------------------------------------------------------- commands
@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = fenced(tmp_path)
    monkeypatch.chdir(made.root)
    (made.root / "held.txt").write_text("before\n")
    yield made
    check_store(made.state)


class SameIds(ManualRuntime):
    """Who types the same gets the same short id and process, so that two runs can be compared."""

    typed = ""
    pid = 4711

    def random_id(self, length: int) -> str:
        return hashlib.sha256(self.typed.encode()).hexdigest()[:4] if length == 4 else super().random_id(length)


def somebody(world: World, name: str, typed: str = "", **env: str) -> Player:
    runtime = SameIds(world.clock, world.machine, {"AGENT_SYNC_ID": name, **env}, str(world.root))
    runtime.typed = typed
    return Player(runtime, None)


def session_of(world: World, runtime: Runtime, **hook: Any) -> Session:
    """A session whose signs of life are on the clock of the test."""
    files = ClockFiles(locate(runtime.cwd, runtime.env).state, world.clock)
    return open_session(runtime, files=files, owns_signals=True, **hook)


def types(world: World, name: str, line: str, codes: tuple[int, ...] = (0,), upkeep: bool = True) -> str:
    """One command, as `cli.main` runs it, on a clock and a machine of the test; what it printed."""
    context = Context(json=True)
    context.runtime = somebody(world, name, line).runtime
    context._opened = context.__dict__["session"] = session_of(world, context.runtime)
    options = GRAMMAR.parse_args([*shlex.split(line), "--json"])
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        code = options.run(context, options)
        if upkeep:
            context.close()
        said = sys.stdout.getvalue()
    finally:
        sys.stdout = before
    assert code in codes, (line, code, said)
    return said


def tell(world: World, case: Case) -> None:
    """What happened before."""
    if not case.alone:
        for name in ("alice", "bob"):
            types(world, name, "heartbeat")
    for line in case.story.splitlines():
        if line.startswith("+"):
            world.clock.advance(minutes=int(line))
        else:
            types(world, *line.split(": ", 1))


CASES = [(verb, case) for verb, cases in WRITING.items() for case in cases]


@pytest.mark.parametrize(("verb", "case"), CASES, ids=[case.typed for _, case in CASES])
def test_a_command_that_is_killed_was_done_or_never_typed(verb: str, case: Case, world: World) -> None:
    assert shlex.split(case.typed)[0] == verb
    tell(world, case)
    before = content(world.state) if world.state.exists() else []
    done = kill_everywhere(world, lambda: types(world, "bob", case.typed), only_changing=not LONG)
    print(f"{done.kills} kills, {done.states} states")
    assert done.kills >= 3, "there is nothing to kill: this case shows nothing"
    assert done.states >= 3
    if verb == "init":
        return  # its board is all that it makes
    by_bob = [event for event in history(world.state) if event.actor == "bob"]
    assert content(world.state) != before
    assert by_bob, "it left no event"


def test_a_git_hook_that_is_killed_released_what_was_committed_or_nothing(world: World) -> None:
    (world.root / "src").mkdir()
    (world.root / "src/app.py").write_text("new\n")
    git = ("git", "-C", str(world.root), "-c", "user.name=Bob", "-c", "user.email=bob@example.com")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "all")):
        subprocess.run((*git, *words), check=True)
    tell(world, Case("", "bob: lock src/app.py docs/ @db\nalice: lock held.txt"))
    done = kill_everywhere(world, lambda: types(world, "bob", "git-hook post-commit"), only_changing=not LONG)
    assert done.kills >= 3
    left = {held.lock.path for held in somebody(world, "reader").session.store.state().locks() if held.live}
    assert left == {"docs/", "@db", "held.txt", "a-file-of-the-next-writer"}


@pytest.mark.parametrize("verb", READING)
def test_a_command_that_only_reads_changes_nothing(verb: str, world: World) -> None:
    tell(world, Case("", f"{MAIL}\n{TASK}\nalice: lock src/app.py"))
    before = content(world.state)
    assert shlex.split(READING[verb])[0] == verb
    types(world, "bob", READING[verb], codes=(0, 1, 3))
    assert content(world.state) == before


def test_gc_that_is_killed_loses_no_event_and_is_finished_by_the_next(world: World) -> None:
    tell(world, Case(""))
    with somebody(world, "alice").session.store.transaction("alice") as tx:
        while tx.stamp.revision < KEEP + 3:
            tx.commit("note", "an event", (), "E", entry=True)
    (world.state / "tmp/orphan").write_bytes(b"x")
    world.clock.advance(minutes=180)
    assert kill_everywhere(world, lambda: types(world, "bob", "gc"), only_changing=True).kills > 5
    assert list((world.state / "archive").iterdir())


def test_a_line_that_is_appended_is_there_whole_or_not(world: World) -> None:
    tell(world, Case(""))
    file = world.root / "notes.txt"
    file.write_bytes(b"unfinished")
    start = Snapshot(world.state)
    seen, calls = set(), 0
    while True:
        start.restore()
        file.write_bytes(b"unfinished")
        killed = kill_before(
            calls + 1, lambda: types(world, "bob", "append notes.txt --content 'a line'"), more=(append,)
        )
        seen.add(file.read_bytes())
        types(world, "alice", "heartbeat")
        check_store(world.state)
        if not killed:
            break
        calls += 1
    assert seen == {b"unfinished", b"unfinished\na line\n"}
    assert file.read_bytes() == b"unfinished\na line\n", "it was acknowledged"
    assert calls > 20


# ---------------------------------------------------------------- install and uninstall
SETTINGS = [None, b'{\n    "model": "opus",   "x": [1,2]\n}', b'{"hooks": {"Stop": []}}\n']


def tracked(world: World) -> dict[str, bytes]:
    """All files that are the user's: what is in the working tree outside of the state."""
    ours = (world.state, *world.root.glob("snapshot-*"))
    found = [path for path in world.root.rglob("*") if path.is_file() and not set(ours) & set(path.parents)]
    return {path.relative_to(world.root).as_posix(): path.read_bytes() for path in found}


def write_out(world: World, files: dict[str, bytes]) -> None:
    for name in tracked(world).keys() - files.keys():
        (world.root / name).unlink()
    for folder in (".claude/hooks",):
        if not any(name.startswith(folder) for name in files) and (world.root / folder).exists():
            (world.root / folder).rmdir()
    for name, data in files.items():
        (world.root / name).parent.mkdir(parents=True, exist_ok=True)
        (world.root / name).write_bytes(data)


@pytest.mark.parametrize("settings", SETTINGS, ids=["none", "some", "hooks"])
@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_settings_are_the_old_or_the_new_ones_and_every_byte_comes_back(
    verb: str, settings: bytes | None, world: World
) -> None:
    if settings is not None:
        (world.root / ".claude").mkdir()
        (world.root / claude.SETTINGS).write_bytes(settings)
    untouched = tracked(world)
    tell(world, Case(""))
    if verb == "uninstall":
        types(world, "bob", "install --client claude")
    start, before, typed = Snapshot(world.state), tracked(world), f"{verb} --client claude"
    types(world, "bob", typed)
    after = tracked(world)
    assert before != after
    for call in range(1, 500):
        start.restore()
        write_out(world, before)
        killed = kill_before(call, lambda: types(world, "bob", typed), only_changing=not LONG, more=(install,))
        now = tracked(world)
        for name in (claude.SETTINGS, GATE):
            assert now.get(name) in (before.get(name), after.get(name)), (call, name)
        types(world, "alice", typed)
        assert tracked(world) == after, f"killed before call {call}, and the next {verb} does not make up for it"
        types(world, "alice", "uninstall --client claude")
        assert tracked(world) == untouched, f"killed before call {call}, and something of ours stays"
        if not killed:
            break
    assert call > 8


def test_a_setting_that_is_changed_is_the_old_or_the_new_one(world: World) -> None:
    tell(world, Case("", "alice: lock NEWS.md"))
    types(world, "bob", "lock NEWS.md", codes=(3,))
    old, new = "# ours\n", '# ours\n\n[paths]\nshared = ["NEWS.md"]\n'
    file = world.root / ".claude/agent-sync.toml"
    start, typed = Snapshot(world.state), "hotspots --since 0 --apply NEWS.md"
    for call in range(1, 100):
        start.restore()
        file.write_text(old)
        killed = kill_before(call, lambda: types(world, "bob", typed), only_changing=not LONG, more=(user_files,))
        assert file.read_text() in (old, new)
        types(world, "alice", typed)
        assert file.read_text() == new
        assert [path.name for path in file.parent.iterdir() if "agent-sync-" in path.name] == []
        if not killed:
            break
    assert call > 4


# ---------------------------------------------------------------- hooks
EDIT: dict[str, Any] = {"tool_name": "Edit", "tool_input": {"file_path": "src/app.py"}}
SHELL: dict[str, Any] = {"tool_name": "Bash", "tool_input": {"command": "echo x > src/app.py"}}


class Fired(NamedTuple):
    """A hook of bob's session, and what came before."""

    event: str
    payload: dict[str, Any]
    story: str = ""
    alone: bool = False
    env: tuple[tuple[str, str], ...] = ()


FIRED = (
    Fired("session-start", {"source": "startup"}, "alice: send --to all --message hello", alone=True),
    Fired("session-start", {"source": "resume"}, TASK, env=(("AGENT_SYNC_AUTO_CLAIM", "1"),)),
    Fired("user-prompt-submit", {"prompt": "go on"}, MAIL),
    Fired("pre-tool-use", EDIT),
    Fired("pre-tool-use", EDIT, "alice: lock src/\n+61"),
    Fired("pre-tool-use", SHELL, "alice: lock held.txt"),
    Fired("post-tool-use", SHELL, MAIL),
    Fired("post-tool-use", EDIT, MAIL),
    Fired("post-tool-use", EDIT, "alice: lock src/app.py"),
    Fired("post-tool-batch", {}, MAIL),
    Fired("stop", {}, MAIL),
    Fired("session-end", {"reason": "exit"}, "bob: lock src/app.py"),
    Fired("session-end", {"reason": "clear"}, MINE),
    Fired("session-end", {"reason": "exit"}, MINE, env=(("AGENT_SYNC_AUTO_RELEASE_LOCKS", "1"),)),
)

ONLY_ANSWERS = {"ping"}


def test_every_hook_event_is_killed_or_writes_nothing() -> None:
    assert {fired.event for fired in FIRED} | ONLY_ANSWERS == set(entry.HANDLERS)


def fires(world: World, fired: Fired) -> None:
    """One hook, as `hook.entry.main` runs it once the payload is read; what it prints goes nowhere."""
    client = clients.get("claude")
    call = client.parse(fired.event, {"session_id": "bob", "cwd": str(world.root), **fired.payload})
    runtime = somebody(world, "bob", **dict(fired.env)).runtime
    session = session_of(world, runtime, client="claude", session=call.session)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # in a fork
    entry.HANDLERS[call.event](entry.Asked(client, session, call))
    entry._upkeep(session, call)


@pytest.mark.parametrize("fired", FIRED, ids=lambda fired: f"{fired.event} {json.dumps(fired.payload)[:40]}")
def test_a_hook_that_is_killed_did_its_work_or_nothing(fired: Fired, world: World) -> None:
    tell(world, Case("", fired.story, fired.alone))
    before = content(world.state)
    done = kill_everywhere(world, lambda: fires(world, fired), only_changing=not LONG)
    print(f"{done.kills} kills, {done.states} states")
    assert done.kills >= 1
    assert content(world.state) != before
