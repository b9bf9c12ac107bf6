"""The server under clients that others wrote: Claude Code, Codex, the SDK's two generations, the inspector."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import make_repo

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.realclient,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the harness leaves pipes open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

HARNESS = os.environ.get("AGENTSYNC_REALCLIENTS", "")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
CLIENTS = Path(os.environ.setdefault("REALCLIENTS_ROOT", str(CACHE / "realclients")))
"""Found before a test gets a home of its own."""

BIN = Path(sys.executable).parent
SERVER = str(BIN / "agent-sync")

if HARNESS:
    sys.path.insert(0, HARNESS)


def there(path: Path, what: str) -> Path:
    if not HARNESS:
        pytest.skip("no real client: AGENTSYNC_REALCLIENTS does not name the harness")
    if not path.exists():
        pytest.skip(f"no real client: {what} is not installed ({path})")
    return path


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"hello.txt": "hello world\n", "other.txt": "other\n"})


@pytest.fixture
def loopback() -> Iterator[None]:
    """Loopback only, for this thread and what it starts; needs root."""
    if not HARNESS:
        pytest.skip("no real client: AGENTSYNC_REALCLIENTS does not name the harness")
    from harness.core import enter_netns

    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    inside = enter_netns()
    try:
        yield
    finally:
        if inside:
            assert ctypes.CDLL(None, use_errno=True).setns(outside, 0) == 0
        os.close(outside)


def command(repo: Path, agent: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of another agent."""
    env = {"PATH": os.environ["PATH"], "HOME": str(repo.parent), "AGENT_SYNC_ID": agent}
    return subprocess.run([SERVER, *words], cwd=repo, env=env, capture_output=True, text=True)


def board(repo: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(repo, "observer", "status", "--json").stdout)
    return found


# ---------------------------------------------------------------- Claude Code
class Claude:
    """Claude Code in a repository where our server is configured."""

    def __init__(self, repo: Path) -> None:
        from harness.anthropic_api import Anthropic
        from harness.core import FakeServer, Recorder

        self.repo = repo
        self.recorder = Recorder()
        self.server = FakeServer(Anthropic(), self.recorder)
        configured = {"agent-sync": {"type": "stdio", "command": SERVER, "args": ["mcp"]}}
        (repo / ".mcp.json").write_text(json.dumps({"mcpServers": configured}))
        (repo / ".claude").mkdir(exist_ok=True)
        (repo / ".claude/settings.json").write_text(json.dumps({"enableAllProjectMcpServers": True}))

    def run(self, turns: list[dict[str, Any]], prompts: list[str] | None = None, **options: Any) -> Any:
        from harness import claude
        from harness.core import Script

        script = Script({"prompts": prompts or ["Go."], "turns": turns}, {"REPO": str(self.repo)})
        url = self.server.session("a", script)
        env = {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin"}
        home = self.repo.parent / "home-a"
        return claude.run(self.repo, home, url, script.prompts, extra_env=env, mode="bypassPermissions", **options)

    def seen(self) -> str:
        """All that its model was told."""
        rows = [row for row in self.recorder.rows if row.get("route") == "main"]
        return json.dumps(rows[-1]["body"], ensure_ascii=False)


def uses(tool: str, given: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {"tools": [{"name": f"mcp__agent-sync__{tool}", "input": given}], **extra}


@pytest.fixture
def claude(repo: Path, loopback: None) -> Iterator[Claude]:
    from harness import claude as client

    there(client.BIN, "Claude Code")
    made = Claude(repo)
    yield made
    made.server.close()


def test_in_claude_the_server_is_the_agent_of_the_session(claude: Claude) -> None:
    command(claude.repo, "bob", "lock", "other.txt", "--reason", "rewriting it")
    found: dict[str, Any] = {}

    def look(_body: object) -> None:
        found.update(board(claude.repo))

    turns = [
        uses("lock", {"paths": ["hello.txt"], "reason": "greeting"}),
        uses("lock", {"paths": ["other.txt"]}),
        {"tools": [{"name": "Bash", "input": {"command": "agent-sync whoami", "description": "x"}}], "call": look},
        {"text": "Done."},
    ]
    done = claude.run(turns)
    assert done.rc == 0, done.err
    (mine,) = [agent for agent in found["agents"] if agent["client"] == "claude"]
    assert mine["pid"] is not None
    told = claude.seen()
    assert "Before you edit files, lock them" in told
    assert "locked hello.txt" in told
    assert "holder: bob (bob)" in told
    assert "reason: rewriting it" in told
    assert f"{mine['id']} ({mine['id']}), claude" in told, "the shell of the session is the same agent"
    assert [lock["holder"] for lock in found["locks"] if lock["path"] == "hello.txt"] == [mine["id"]]


def test_mail_comes_to_claude_with_the_answer_of_a_tool_once(claude: Claude) -> None:
    def write(_body: object) -> None:
        (it,) = [agent["id"] for agent in board(claude.repo)["agents"] if agent["client"] == "claude"]
        assert command(claude.repo, "bob", "send", "--to", it, "--message", "use tabs, please").returncode == 0

    turns = [uses("status", {}), uses("status", {}, call=write), uses("status", {}), {"text": "Done."}]
    assert claude.run(turns).rc == 0
    assert claude.seen().count("use tabs, please") == 1


def test_after_clear_the_server_goes_on_as_the_new_conversation(claude: Claude) -> None:
    assert command(claude.repo, "installer", "install").returncode == 0
    found: list[dict[str, Any]] = []
    turns = [
        uses("lock", {"paths": ["hello.txt"]}),
        {"text": "Done.", "call": lambda _body: found.append(board(claude.repo))},
        uses("lock", {"paths": ["hello.txt", "other.txt"]}),
        {"text": "Done again.", "call": lambda _body: found.append(board(claude.repo))},
    ]
    assert claude.run(turns, ["Go.", "/clear", "Go on."]).rc == 0
    before, after = ([agent["id"] for agent in board["agents"] if agent["client"] == "claude"] for board in found)
    assert len(before) == len(after) == 1
    assert before != after
    assert {lock["path"]: lock["holder"] for lock in found[1]["locks"]} == dict.fromkeys(
        ["hello.txt", "other.txt"], after[0]
    )


def test_a_killed_claude_without_hooks_frees_what_it_locked(claude: Claude) -> None:
    started: list[subprocess.Popen[str]] = []

    def kill(_body: object) -> None:
        assert command(claude.repo, "bob", "lock", "hello.txt").returncode == 3
        started[0].kill()

    turns = [uses("lock", {"paths": ["hello.txt"]}), {"text": "Done.", "call": kill}]
    claude.run(turns, on_start=started.append)
    assert "locked hello.txt" in claude.seen()
    end = time.monotonic() + 5
    while command(claude.repo, "bob", "lock", "hello.txt").returncode != 0:
        assert time.monotonic() < end, "it is still held"


# ---------------------------------------------------------------- Codex
class Codex:
    """The same with Codex."""

    def __init__(self, repo: Path) -> None:
        from harness.core import FakeServer, Recorder
        from harness.openai_api import Responses

        self.repo = repo
        self.recorder = Recorder()
        self.server = FakeServer(Responses(), self.recorder)

    def run(self, turns: list[dict[str, Any]], **options: Any) -> Any:
        from harness import codex
        from harness.core import Script

        script = Script({"prompts": ["Go."], "turns": turns}, {"REPO": str(self.repo)})
        url = self.server.session("a", script)
        configured = f'[mcp_servers.agent-sync]\ncommand = "{SERVER}"\nargs = ["mcp"]\n'
        home = self.repo.parent / "home-a"
        return codex.run(self.repo, home, url, script.prompts, extra_toml=configured, **options)

    def seen(self) -> str:
        rows = [row for row in self.recorder.rows if row.get("route") == "main"]
        return json.dumps(rows[-1]["body"], ensure_ascii=False)


def wait_for_server(repo: Path) -> None:
    """Until the server that a client has started there is serving: Codex does not wait for it with its first request."""
    end = time.monotonic() + 60
    while not any(_serves(process, repo) for process in Path("/proc").iterdir() if process.name.isdigit()):
        assert time.monotonic() < end, "no server was started"
        time.sleep(0.1)
    time.sleep(1)


def _serves(process: Path, repo: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        here = words[-2:] == [b"mcp", b""] and (process / "cwd").resolve() == repo
        return here and len(list((process / "task").iterdir())) > 1  # it listens in a thread of its own
    except OSError:
        return False  # it ended meanwhile


def calls(tool: str, given: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {"tools": [{"name": tool, "namespace": "mcp__agent_sync", "input": given}], **extra}


@pytest.fixture
def codex(repo: Path, loopback: None) -> Iterator[Codex]:
    from harness import codex as client

    there(client.BIN, "Codex")
    made = Codex(repo)
    yield made
    made.server.close()


def test_codex_locks_by_the_tool_and_is_linked_to_its_session(codex: Codex) -> None:
    command(codex.repo, "bob", "lock", "other.txt", "--reason", "rewriting it")
    found: dict[str, Any] = {}

    def until_ready(_body: object) -> None:
        wait_for_server(codex.repo)

    def look(_body: object) -> None:
        found.update(board(codex.repo))
        (it,) = [agent["id"] for agent in found["agents"] if agent["client"] == "codex"]
        assert command(codex.repo, "bob", "send", "--to", it, "--message", "use tabs, please").returncode == 0

    turns = [
        {"tools": [{"name": "exec_command", "input": {"cmd": "true"}}], "call": until_ready},
        calls("lock", {"paths": ["hello.txt"], "reason": "greeting"}),
        calls("lock", {"paths": ["other.txt"]}, call=look),
        calls("status", {}),
        {"text": "Done."},
    ]
    done = codex.run(turns)
    assert done.rc == 0, done.err
    told = codex.seen()
    assert "locked hello.txt" in told
    assert "holder: bob (bob)" in told
    assert told.count("use tabs, please") == 1
    (mine,) = [agent for agent in found["agents"] if agent["client"] == "codex"]
    assert mine["session"] is not None
    assert mine["id"] == f"codex-{mine['session'][-8:]}"
    after = board(codex.repo)
    assert [lock["path"] for lock in after["locks"] if lock["holder"] == "bob"] == ["other.txt"]
    assert command(codex.repo, "bob", "lock", "hello.txt").returncode == 0, "Codex has ended, so what it held is free"


def test_it_is_the_way_out_of_a_sandbox_that_keeps_the_shell_from_the_state(codex: Codex) -> None:
    command(codex.repo, "bob", "lock", "other.txt")
    typed = f"{SERVER} lock hello.txt; echo code=$?"
    turns = [
        {
            "tools": [{"name": "exec_command", "input": {"cmd": typed}}],
            "call": lambda _body: wait_for_server(codex.repo),
        },
        calls("lock", {"paths": ["hello.txt"]}),
        {"text": "Done."},
    ]
    assert codex.run(turns, sandbox="read-only").rc == 0
    told = codex.seen()
    if "code=0" in told:
        pytest.skip("this machine cannot make the sandbox")
    assert "code=6" in told
    assert "locked hello.txt" in told


# ---------------------------------------------------------------- the SDK's clients and the inspector
@pytest.mark.parametrize(
    ("version", "era", "spoken"),
    [("v1", "initialize", "2025-11-25"), ("v2", "initialize", "2025-11-25"), ("v2", "auto", "2026-07-28")],
)
def test_both_generations_of_the_sdk_lock_and_are_refused(version: str, era: str, spoken: str, repo: Path) -> None:
    python = there(CLIENTS / f"mcp/{version}/bin/python", f"the SDK {version}")
    command(repo, "bob", "lock", "other.txt", "--reason", "rewriting it")
    script = Path(HARNESS) / "harness/mcp_list_call.py"
    for path, failed, words in (("hello.txt", False, "locked hello.txt"), ("other.txt", True, "holder: bob (bob)")):
        done = subprocess.run(
            [python, script, "--era", era, "--call", "lock", json.dumps({"paths": [path]}), "--", SERVER, "mcp"],
            cwd=repo,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["protocol"] == spoken
        assert len(answer["tools"]) == 8
        assert answer["is_error"] is failed
        assert words in answer["result"][0]


@pytest.mark.parametrize(
    "era", [[], ["--protocol-era", "modern"], ["--protocol-era", "auto"]], ids=["", "modern", "auto"]
)
def test_the_inspector_finds_nothing_wrong(era: list[str], repo: Path) -> None:
    node = there(CLIENTS / "node22/node_modules/node/bin/node", "Node 22")
    inspector = there(CLIENTS / "mcp/insp2/node_modules/.bin/mcp-inspector", "the inspector")
    env = {"PATH": f"{node.parent}:{os.environ['PATH']}", "HOME": os.environ["HOME"]}

    def inspect(*words: str) -> subprocess.CompletedProcess[str]:
        start = [str(node), str(inspector), "--cli", SERVER, "mcp", *era, *words]
        return subprocess.run(start, cwd=repo, env=env, capture_output=True, text=True, timeout=60)

    listed = inspect("--method", "tools/list", "--strict", "--format", "json", "-q")
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("inputSchema") == 8
    called = inspect("--method", "tools/call", "--tool-name", "lock", "--tool-arg", 'paths=["hello.txt"]')
    assert called.returncode == 0, called.stderr
    assert "locked hello.txt" in called.stdout
    read = inspect("--method", "resources/read", "--uri", "agentsync://log")
    assert read.returncode == 0, read.stderr
    assert "locked hello.txt" in read.stdout
