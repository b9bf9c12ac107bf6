"""The gate by itself, in every shell there is: what it answers alone, what it leaves to Python, how it fails open.

Python is a stand-in here, a shell script that leaves a mark, so a test sees whether it was asked and what it was given.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from world import World, git

from agentsync.core.records import Lock
from agentsync.ops import care, locks, mail
from agentsync.store import activity, codec
from agentsync.store.files import Files

GATE = Path(__file__).parents[2] / "hooks/gate"

SESSION = "0f0e0d0c-1111-4222-8333-0123456789ab"
ME = "claude-456789ab"

SHELLS = {"dash": ["dash"], "bash": ["bash"], "bash --posix": ["bash", "--posix"], "busybox": ["busybox", "sh"]}

EVENTS = (
    *("pre-tool-use", "post-tool-use", "post-tool-batch"),
    *("user-prompt-submit", "stop", "session-start", "session-end"),
)

MARK = "python was asked"

STUB = f"""#!/bin/sh
cat >"${{0%/*}}/received"
echo "{MARK}: $*"
"""


def has_shell(name: str) -> bool:
    """Whether a shell is installed."""
    return shutil.which(SHELLS[name][0]) is not None


def shells() -> list[Any]:
    """The shells as parameters; a missing one is skipped and says so."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(not has_shell(name), reason=f"{SHELLS[name][0]} is not installed"))
        for name in SHELLS
    ]


@pytest.fixture(params=shells())
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Answer(NamedTuple):
    """What a run of the gate came to."""

    code: int
    out: str
    err: str

    @property
    def asked(self) -> str | None:
        """The arguments Python was given; None when it was not asked."""
        return self.out.removeprefix(f"{MARK}:").strip() if self.out.startswith(MARK) else None

    @property
    def is_silent_yes(self) -> bool:
        return self == (0, "", "")


class Gate:
    """The gate, installed in a working tree."""

    def __init__(self, top: Path, shell: str = "dash") -> None:
        self.top = top
        self.path = top / ".claude/hooks/agent-sync"
        self.shell = shell
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(GATE, self.path)
        self.path.chmod(0o755)

    def run(self, *arguments: str, payload: bytes = b"", timeout: float = 20, **env: str) -> Answer:
        """Start it as a client does, in the shell that is tried; it inherits nothing but `env`."""
        done = subprocess.run(
            [*SHELLS[self.shell], str(self.path), *arguments],
            input=payload,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.top), **env},
            cwd=self.top,
            capture_output=True,
            timeout=timeout,
        )
        return Answer(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def payload(path: str | Path | None = None, event: str = "PreToolUse", session: str = SESSION, **more: Any) -> bytes:
    """What Claude Code sends: compact JSON, keys in its order."""
    body: dict[str, Any] = {
        "session_id": session,
        "transcript_path": "/home/u/.claude/projects/x/t.jsonl",
        "cwd": "/",
        "permission_mode": "acceptEdits",
        "hook_event_name": event,
    }
    if path is not None:
        body |= {"tool_name": "Edit", "tool_input": {"file_path": str(path), "old_string": "a", "new_string": "b"}}
    return json.dumps(body | more, separators=(",", ":"), ensure_ascii=False).encode()


def pretend_git(top: Path) -> None:
    """What the package and the gate look at of a git repository: 20 ms faster than git."""
    (top / ".git").mkdir(parents=True)
    (top / ".git/HEAD").write_text("ref: refs/heads/main\n")


class Board:
    """A repository in which the gate is installed, with agents and locks put there by the package itself."""

    def __init__(self, root: Path, shell: str = "dash", *, git_repo: bool = True) -> None:
        root.mkdir(exist_ok=True)
        self.world = World(root, git_repo=False)
        self.top, self.state = self.world.root, self.world.state
        (self.top / "src").mkdir()
        (self.top / "src/app.py").write_text("x\n")
        if git_repo:
            pretend_git(self.top)
        self.gate = Gate(self.top, shell)
        self.me = self.world.client(SESSION)
        self.bob = self.world.agent("bob")
        self.stub = root / "python"
        self.stub.write_text(STUB)
        self.stub.chmod(0o755)

    def ready(self) -> None:
        """Point the gate at the stand-in, as `install` points it at the interpreter."""
        (self.state / "python").write_text(f"{self.stub}\n")

    @property
    def received(self) -> bytes:
        return self.stub.with_name("received").read_bytes()


@pytest.fixture
def board(tmp_path: Path, shell: str) -> Board:
    """I and bob are here."""
    made = Board(tmp_path, shell)
    made.me.registers()
    made.bob.registers()
    made.ready()
    return made


@pytest.fixture
def lonely(tmp_path: Path, shell: str) -> Board:
    """Only I am here."""
    made = Board(tmp_path, shell)
    made.me.registers()
    made.ready()
    return made


# ---------------------------------------------------------------- what it answers by itself
def test_a_lonely_agent_edits_without_python_and_without_a_word(lonely: Board) -> None:
    path = lonely.top / "src/app.py"
    assert lonely.gate.run("pre-tool-use", payload=payload(path)).is_silent_yes
    assert lonely.gate.run("pre-tool-use", payload=payload(path), CLAUDE_CODE_SESSION_ID=SESSION).is_silent_yes
    assert lonely.gate.run("post-tool-use", payload=payload(path, "PostToolUse")).is_silent_yes


def test_an_edit_under_my_own_lock_needs_no_python(board: Board) -> None:
    board.me.locks("src/app.py", "./.env")
    for name in ("src/app.py", ".env"):
        assert board.gate.run("pre-tool-use", payload=payload(board.top / name)).is_silent_yes
        assert board.gate.run("post-tool-use", payload=payload(board.top / name, "PostToolUse")).is_silent_yes


@pytest.mark.parametrize("lock", ["src/app.py", "src/", ".", "src/*.py", "**"])
def test_somebody_elses_lock_goes_to_python_with_the_whole_payload(board: Board, lock: str) -> None:
    board.bob.locks(lock)
    sent = payload(board.top / "src/app.py", content='ü"\\\n%s %d \\\\ $HOME `id` \t end')
    answer = board.gate.run("pre-tool-use", payload=sent)
    assert answer.code == 0
    assert answer.asked == "-E -P -m agentsync.hook pre-tool-use"
    assert board.received == sent


def test_the_first_edit_of_a_file_goes_to_python_for_its_lock(board: Board) -> None:
    assert board.gate.run("pre-tool-use", payload=payload(board.top / "src/app.py")).asked


def test_without_auto_locks_a_free_file_needs_no_python(board: Board) -> None:
    config = board.top / ".claude/agent-sync.toml"
    config.write_text("auto_lock = false\n")
    os.utime(config, (1000, 1000))
    assert board.gate.run("pre-tool-use", payload=payload(board.top / "src/app.py")).asked, "nobody has judged it yet"
    care.refresh(board.me.session)
    board.ready()
    assert board.gate.run("pre-tool-use", payload=payload(board.top / "src/app.py")).is_silent_yes
    board.bob.locks("src/app.py")
    assert board.gate.run("pre-tool-use", payload=payload(board.top / "src/app.py")).asked


def test_in_a_linked_worktree_too(tmp_path: Path, shell: str) -> None:
    board = Board(tmp_path, shell, git_repo=False)
    git("init", "-q", "-b", "main", ".", cwd=board.top)
    git("commit", "-q", "-m", "first", "--allow-empty", cwd=board.top)
    git("worktree", "add", "-q", str(tmp_path / "feature"), "-b", "feature", cwd=board.top)
    gate = Gate(tmp_path / "feature", shell)
    me = board.world.client(SESSION, cwd=gate.top)
    me.registers()
    board.bob.registers()
    board.ready()
    path = gate.top / "src/app.py"
    assert gate.run("pre-tool-use", payload=payload(path)).asked
    me.locks("src/app.py")
    assert gate.run("pre-tool-use", payload=payload(path)).is_silent_yes
    assert gate.run("post-tool-use", payload=payload(path, "PostToolUse")).is_silent_yes
    (line,) = activity.read(Files(str(board.state), "t"), ME)
    assert (line.path, line.worktree) == ("src/app.py", "feature")
    board.bob.locks("src/app.py")  # the same path in the main worktree: Python warns
    assert gate.run("pre-tool-use", payload=payload(path)).asked


def test_without_git_too(tmp_path: Path, shell: str) -> None:
    board = Board(tmp_path, shell, git_repo=False)
    board.me.registers()
    board.bob.registers()
    board.ready()
    board.me.locks("a.py")
    assert board.gate.run("pre-tool-use", payload=payload(board.top / "a.py")).is_silent_yes
    assert board.gate.run("pre-tool-use", payload=payload(board.top / "b.py")).asked


def test_alone_it_answers_although_nobody_ever_writes_to_its_stdin(lonely: Board) -> None:
    """Kept by the fast path that trusts the environment; drop this test with it."""
    env = {"PATH": "/usr/bin:/bin", "CLAUDE_CODE_SESSION_ID": SESSION, "CLAUDE_PID": str(os.getpid())}
    command = [*SHELLS[lonely.gate.shell], str(lonely.gate.path), "user-prompt-submit"]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE) as process:
        assert process.wait(timeout=10) == 0


ODD_NAMES = (
    "two words",
    "quo'te",
    "dollar$HOME",
    "star*",
    "[class]",
    "q?",
    "ünïcode",
    "a;b&c",
    "-dash",
    "%2F",
    "~",
    "@x",
)


@pytest.mark.parametrize("name", [*ODD_NAMES, 'dou"ble', "back\\slash"])
def test_a_repository_may_have_any_name(tmp_path: Path, shell: str, name: str) -> None:
    board = Board(tmp_path / name, shell)
    board.me.registers()
    board.ready()
    path = board.top / "src/app.py"
    for _ in ("alone", "with bob"):
        answer = board.gate.run("pre-tool-use", payload=payload(path), CLAUDE_CODE_SESSION_ID=SESSION)
        assert answer.is_silent_yes or (name not in ODD_NAMES and answer.asked)  # JSON spells those two with escapes
        board.bob.registers()
        board.me.locks("src/app.py")
    board.me.unlocks("src/app.py")
    board.bob.locks("src/app.py")
    assert board.gate.run("pre-tool-use", payload=payload(path)).asked


# ---------------------------------------------------------------- news
@pytest.mark.parametrize("event", ["user-prompt-submit", "post-tool-batch", "stop"])
def test_without_news_a_prompt_costs_no_python_and_counts_as_a_sign_of_life(board: Board, event: str) -> None:
    record = board.state / f"agents/{ME}.json"
    os.utime(record, (1000, 1000))
    assert board.gate.run(event, payload=b"{}", CLAUDE_CODE_SESSION_ID=SESSION).is_silent_yes
    assert time.time() - record.stat().st_mtime < 60
    assert board.gate.run(event, payload=payload(event="Stop")).is_silent_yes


@pytest.mark.parametrize("event", ["user-prompt-submit", "post-tool-batch", "stop"])
def test_a_sync_with_other_machines_that_is_due_starts_python(board: Board, event: str) -> None:
    due = board.state / "remote/due"
    due.parent.mkdir(exist_ok=True)
    due.touch()
    for seconds, is_due in ((30, False), (-30, True)):
        os.utime(due, (time.time() + seconds,) * 2)
        answer = board.gate.run(event, payload=b"{}", CLAUDE_CODE_SESSION_ID=SESSION)
        assert bool(answer.asked) is is_due
        assert is_due or answer.is_silent_yes


@pytest.mark.parametrize("event", ["post-tool-use", "post-tool-batch", "user-prompt-submit", "stop"])
def test_news_start_python(board: Board, event: str) -> None:
    board.me.locks("src/app.py")
    board.me.locks("lib.py")
    board.bob.unlocks("lib.py", force=True)
    sent = payload(board.top / "src/app.py", "PostToolUse")
    assert board.gate.run(event, payload=sent, CLAUDE_CODE_SESSION_ID=SESSION).asked
    assert board.received == sent


def test_a_broadcast_starts_python_with_the_next_prompt_and_not_before(board: Board) -> None:
    board.me.locks("src/app.py")
    mail.send(board.bob.session, "all", "hello")
    board.ready()
    sent = payload(board.top / "src/app.py", "PostToolUse")
    for event in ("post-tool-use", "post-tool-batch", "stop"):
        assert board.gate.run(event, payload=sent, CLAUDE_CODE_SESSION_ID=SESSION).is_silent_yes
    assert board.gate.run("user-prompt-submit", payload=b"{}", CLAUDE_CODE_SESSION_ID=SESSION).asked
    mail.send(board.bob.session, "all", "now", urgent=True)
    for event in ("post-tool-use", "post-tool-batch", "stop"):
        assert board.gate.run(event, payload=sent, CLAUDE_CODE_SESSION_ID=SESSION).asked


def test_a_batch_of_any_size_is_let_through_unread(board: Board) -> None:
    sent = payload(event="PostToolBatch", tool_calls=[{"tool_name": "Read", "tool_output": "\\u0000" * 100_000}])
    assert board.gate.run("post-tool-batch", payload=sent, CLAUDE_CODE_SESSION_ID=SESSION).is_silent_yes


def test_a_prompt_of_somebody_unknown_goes_to_python(board: Board) -> None:
    other = "ffffffff-1111-4222-8333-0123456789ff"
    assert board.gate.run("user-prompt-submit", payload=payload(session=other, event="UserPromptSubmit")).asked


# ---------------------------------------------------------------- the report of an edit
def test_an_edit_is_reported_in_one_line_that_also_counts_as_a_heartbeat(board: Board) -> None:
    board.me.locks("src/app.py")
    board.gate.run("post-tool-use", payload=payload(board.top / "src/app.py", "PostToolUse"))
    file = board.state / f"activity/{ME}.ndjson"
    assert file.read_bytes().count(b"\n") == 1
    assert file.stat().st_mode & 0o777 == 0o600
    (line,) = activity.read(Files(str(board.state), "t"), ME)
    assert (line.verb, line.path, line.worktree, line.holder) == ("edit", "src/app.py", None, None)
    assert abs(line.at.timestamp() - time.time()) < 60
    os.utime(file, (board.world.clock.now.timestamp() + 300,) * 2)
    seen = board.bob.session.store.state().presence(ME)
    assert seen is not None
    assert seen.agent.last_seen.timestamp() == board.world.clock.now.timestamp() + 300


def test_no_edit_is_reported_for_somebody_who_is_not_on_the_board(lonely: Board) -> None:
    other = "ffffffff-1111-4222-8333-0123456789ff"
    assert lonely.gate.run("post-tool-use", payload=payload(lonely.top / "src/app.py", session=other)).asked
    assert not list((lonely.state / "activity").iterdir())


def test_reports_of_parallel_edits_do_not_tear(board: Board) -> None:
    board.me.locks("src/app.py")
    sent = payload(board.top / "src/app.py", "PostToolUse")
    command = [*SHELLS[board.gate.shell], str(board.gate.path), "post-tool-use"]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, env={"PATH": "/usr/bin:/bin"}) for _ in range(16)]
    for process in running:
        process.communicate(sent, timeout=20)
    lines = list(activity.read(Files(str(board.state), "t"), ME))
    assert len(lines) == 16
    assert {line.path for line in lines} == {"src/app.py"}


# ---------------------------------------------------------------- Copilot's and OpenCode's payloads
MODULE = "-E -P -m agentsync.hook"
COPILOT = f"copilot-{SESSION[-8:]}"


def copilot(event: str, tool: str, **given: Any) -> bytes:
    """What Copilot CLI sends, keys in its order; it sets COPILOT_CLI beside."""
    body = {"hook_event_name": event, "session_id": SESSION, "timestamp": "2026-11-28T13:13:50.727Z", "cwd": "/"}
    return json.dumps(body | {"tool_name": tool, "tool_input": given}, separators=(",", ":")).encode()


def ask_copilot(board: Board, event: str, tool: str, **given: Any) -> Answer:
    theirs = {"pre-tool-use": "PreToolUse", "post-tool-use": "PostToolUse"}[event]
    return board.gate.run(event, "copilot", payload=copilot(theirs, tool, **given), COPILOT_CLI="1")


@pytest.fixture
def guest(board: Board) -> Board:
    """The board with Copilot on it, which holds src/app.py; bob is there too."""
    session = board.world.agent(COPILOT).session
    locks.lock(session, ["src/app.py"])
    locks.lock(board.bob.session, ["src/held.py"])
    return board


def test_copilots_edit_under_its_own_lock_needs_no_python_and_is_reported(guest: Board) -> None:
    path = str(guest.top / "src/app.py")
    assert ask_copilot(guest, "pre-tool-use", "Edit", path=path, old_str="a", new_str='"path"').is_silent_yes
    assert ask_copilot(guest, "post-tool-use", "Edit", path=path, old_str="a", new_str="b").is_silent_yes
    report = (guest.state / f"activity/{COPILOT}.ndjson").read_text()
    assert json.loads(report)["path"] == "src/app.py"


def test_copilots_edit_of_anything_else_goes_to_python(guest: Board) -> None:
    for name in ("src/held.py", "src/free.py"):
        assert (
            ask_copilot(guest, "pre-tool-use", "Edit", path=str(guest.top / name)).asked
            == f"{MODULE} pre-tool-use copilot"
        )


def test_copilots_other_tools_are_no_edits(guest: Board) -> None:
    path = str(guest.top / "src/app.py")
    for tool in ("Read", "Grep", "report_intent"):
        assert ask_copilot(guest, "post-tool-use", tool, path=path).is_silent_yes
    for tool in ("Create", "NotebookEdit", "mcp-x", "EDIT"):
        assert not (ask_copilot(guest, "post-tool-use", tool, pattern="x").is_silent_yes)
    assert not (guest.state / f"activity/{COPILOT}.ndjson").exists()


def test_two_paths_in_one_call_go_to_python(guest: Board) -> None:
    path, held = str(guest.top / "src/app.py"), str(guest.top / "src/held.py")
    for given in ({"path": path, "file_path": held}, {"path": path, "to": {"path": held}}):
        assert ask_copilot(guest, "pre-tool-use", "Edit", **given).asked == f"{MODULE} pre-tool-use copilot"


def test_a_session_id_further_inside_names_nobody(guest: Board) -> None:
    body = {"hook_event_name": "PreToolUse", "tool_name": "Edit"}
    body["tool_input"] = {"path": str(guest.top / "src/app.py"), "session_id": SESSION}
    payload = json.dumps(body, separators=(",", ":")).encode()
    assert guest.gate.run("pre-tool-use", "copilot", payload=payload).asked == f"{MODULE} pre-tool-use copilot"


def test_the_plugin_of_opencode_names_the_agent_and_needs_no_python(board: Board) -> None:
    me = "opencode-1a2b3c4d"
    locks.lock(board.world.agent(me).session, ["src/app.py"])
    body = {"session_id": "ses_dddb3e991ffeQD3W3IUN1GgP2T", "cwd": str(board.top), "hook_event_name": "pre-tool-use"}
    body |= {"tool_name": "edit", "tool_input": {"file_path": str(board.top / "src/app.py")}}
    sent = json.dumps(body, separators=(",", ":")).encode()
    for event in ("pre-tool-use", "post-tool-use", "post-tool-batch", "user-prompt-submit"):
        assert board.gate.run(event, "opencode", payload=sent, AGENT_SYNC_ID=me).is_silent_yes
    assert (board.state / f"activity/{me}.ndjson").read_text().count("src/app.py") == 1
    assert board.gate.run("pre-tool-use", "opencode", payload=sent).asked == f"{MODULE} pre-tool-use opencode"


# ---------------------------------------------------------------- doubts go to Python
@pytest.mark.parametrize("variable", ["AGENT_SYNC_DIR", "AGENT_SYNC_ROOT", "COPILOT_CLI"])
def test_an_unusual_environment_goes_to_python(lonely: Board, variable: str) -> None:
    sent = payload(lonely.top / "src/app.py")
    for event in EVENTS:
        answer = lonely.gate.run(event, payload=sent, CLAUDE_CODE_SESSION_ID=SESSION, **{variable: "/somewhere"})
        assert answer.asked == f"-E -P -m agentsync.hook {event}"


DOUBTFUL = {
    "relative": "src/app.py",
    "outside": "/etc/passwd",
    "another repository's sibling": "{top}x/src/app.py",
    "up and down": "{top}/src/../src/app.py",
    "here": "{top}/./src/app.py",
    "double slash": "{top}/src//app.py",
    "trailing slash": "{top}/src/",
    "the top": "{top}",
    "the top with a slash": "{top}/",
    "space": "{top}/a b.py",
    "accent": "{top}/é.py",
    "quote": '{top}/a"b.py',
    "backslash": "{top}/a\\b.py",
    "percent": "{top}/a%2Fb.py",
    "tilde": "{top}/a~b.py",
    "leading at": "{top}/@scope/a.py",
    "newline": "{top}/a\nb.py",
    "long": "{top}/" + "x" * 171,
    "hashed": "{top}/" + "x/" * 90 + "y",
    "empty": "",
    "home": "~/a.py",
}


def test_a_path_that_is_not_plain_goes_to_python(board: Board) -> None:
    paths = {name: path.format(top=board.top) for name, path in DOUBTFUL.items()}
    unasked = [n for n, p in paths.items() if not board.gate.run("pre-tool-use", payload=payload(p)).asked]
    assert unasked == []


def test_a_symlink_on_the_way_goes_to_python(board: Board) -> None:
    board.me.locks("src/app.py", "link/app.py", "src/link.py")
    (board.top / "link").symlink_to("src")
    (board.top / "src/link.py").symlink_to("app.py")
    for name in ("link/app.py", "src/link.py"):
        assert board.gate.run("pre-tool-use", payload=payload(board.top / name)).asked


def test_a_nested_repository_goes_to_python(board: Board) -> None:
    board.me.locks("nested/a.py", "nested/deep/a.py")
    pretend_git(board.top / "nested")
    for name in ("nested/a.py", "nested/deep/a.py"):
        assert board.gate.run("pre-tool-use", payload=payload(board.top / name)).asked


STRANGE_PAYLOADS = {
    "nothing": b"",
    "blank": b"\n",
    "null": b"null",
    "a list": b"[]",
    "an object": b"{}",
    "a number": b"1e400",
    "truncated": payload("/x/y")[:200],
    "binary": bytes(range(256)),
    "NULs": b"\0" * 100 + payload("/x/y"),
    "bad UTF-8": payload("/x/y").replace(b"acceptEdits", b"\xff\xfe\x80"),
    "session a list": payload("/x/y").replace(f'"{SESSION}"'.encode(), b"[]"),
    "session twice": payload("/x/y", extra={"session_id": "x"}),
    "tool input twice": payload("/x/y", extra={"tool_input": {}}),
    "an escape": payload("/x/y").replace(b"acceptEdits", b"\\u0061"),
    "percent and backslashes": payload("/x/y", content="%s%n%d\\c\\0101"),
    "deep": b"[" * 5000,
    "quotes": b'"' * 5000,
    "stars": b"*" * 5000,
}


@pytest.mark.parametrize("event", [*EVENTS, "", "--strict", "unknown", "-c", "-n"])
def test_a_strange_payload_ends_well(board: Board, event: str) -> None:
    """Exit 0, and either nothing was said or Python was asked."""
    for name, strange in STRANGE_PAYLOADS.items():
        answer = board.gate.run(*([event] if event else []), payload=strange)
        assert answer.code == 0, name
        assert answer.asked is not None or answer.out == "", name
        if b"\0" not in strange:  # bash warns of those, and JSON has none
            assert answer.err == "", name


@pytest.mark.parametrize("given", [[], ["--strict"], ["pre-tool-use", "--strict"], ["session-start"]])
def test_python_gets_the_arguments_that_the_gate_got(board: Board, given: list[str]) -> None:
    assert board.gate.run(*given, payload=payload("/x/y")).asked == " ".join(["-E -P -m agentsync.hook", *given])
    assert board.received == payload("/x/y")


# ---------------------------------------------------------------- size and speed
@pytest.mark.parametrize("shell", ["dash", "bash"], indirect=True)
@pytest.mark.parametrize("size", [300_000, 50_000_000], ids=["300 kB", "50 MB"])
@pytest.mark.parametrize("event", ["pre-tool-use", "post-tool-use"])
def test_a_large_payload_arrives_whole_and_in_time(board: Board, size: int, event: str) -> None:
    board.me.locks("src/app.py")
    sent = payload(board.top / "src/app.py", tool_response={"originalFile": "x" * size})
    assert board.gate.run(event, payload=sent, timeout=20).asked
    assert board.received == sent


@pytest.mark.parametrize("shell", ["dash", "bash"], indirect=True)
def test_a_path_behind_a_long_text_is_not_cut_out_by_the_shell(board: Board) -> None:
    board.me.locks("src/app.py")
    sent = payload(None, filler="x" * 200_000, tool_input={"file_path": str(board.top / "src/app.py")})
    started = time.monotonic()
    assert board.gate.run("pre-tool-use", payload=sent).asked
    assert time.monotonic() - started < 10


# ---------------------------------------------------------------- failing open
@pytest.fixture(params=["no state", "no file", "empty file", "deleted venv", "not executable", "a directory"])
def broken(request: pytest.FixtureRequest, board: Board) -> Board:
    """A board whose Python cannot be started."""
    match request.param:
        case "no state":
            shutil.rmtree(board.state)
        case "no file":
            (board.state / "python").unlink()
        case "empty file":
            (board.state / "python").write_text("")
        case "deleted venv":
            (board.state / "python").write_text("/nowhere/bin/python\n")
        case "not executable":
            board.stub.chmod(0o644)
        case "a directory":
            (board.state / "python").write_text("/usr\n")
    return board


@pytest.mark.parametrize("event", ["pre-tool-use", "stop", "session-start"])
def test_without_python_it_says_so_in_one_line_and_lets_the_edit_through(broken: Board, event: str) -> None:
    other = "ffffffff-1111-4222-8333-0123456789ff"
    sent = payload(broken.top / "src/app.py", session=other)
    answer = broken.gate.run(event, payload=sent)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("agent-sync: ")
    assert answer.err.count("\n") == 1
    strict = broken.gate.run(event, "--strict", payload=sent)
    assert (strict.code, strict.out, strict.err) == (1, "", answer.err)


INTERPRETERS = {
    "of an older Python (unknown option -P)": "echo 'unknown option -P' >&2\nexit 2",
    "that has lost the package": "echo 'No module named agentsync' >&2\nexit 1",
    "that crashes": "kill -SEGV $$",
    "that is killed": "kill -KILL $$",
    "that cannot be run": "exit 126",
}


@pytest.mark.parametrize("event", ["pre-tool-use", "session-start"])
@pytest.mark.parametrize("script", INTERPRETERS.values(), ids=list(INTERPRETERS))
def test_an_interpreter_that_fails_blocks_nobody(board: Board, event: str, script: str) -> None:
    """Exit code 2 would block the agent, and show it our command line."""
    board.stub.write_text(f"#!/bin/sh\n{script}\n")
    answer = board.gate.run(event, payload=payload(board.top / "src/app.py"))
    assert (answer.code, answer.out) == (0, "")
    assert answer.err
    assert board.gate.run(event, "--strict", payload=payload(board.top / "src/app.py")).code == 1


def test_an_interpreter_whose_own_interpreter_is_gone_blocks_nobody(board: Board) -> None:
    board.stub.write_text("#!/nowhere/python\n")
    answer = board.gate.run("session-start", payload=payload())
    assert (answer.code, answer.out) == (0, "")


def test_a_verdict_passes_through_unchanged(board: Board) -> None:
    board.stub.write_text('#!/bin/sh\necho \'{"a": "%s \\\\n"}\'\n')
    answer = board.gate.run("pre-tool-use", payload=payload(board.top / "src/app.py"))
    assert answer == (0, '{"a": "%s \\n"}\n', "")


def test_the_command_on_the_path_is_the_last_resort(board: Board) -> None:
    (board.state / "python").unlink()
    command = board.stub.with_name("agent-sync")
    shutil.copy(board.stub, command)
    answer = board.gate.run("session-start", payload=payload(), PATH=f"{command.parent}:/usr/bin:/bin")
    assert answer.asked == "hook session-start"


def test_a_report_that_cannot_be_written_goes_to_python_without_noise(board: Board) -> None:
    board.me.locks("src/app.py")
    shutil.rmtree(board.state / "activity")
    answer = board.gate.run("post-tool-use", payload=payload(board.top / "src/app.py", "PostToolUse"))
    assert answer.asked
    assert answer.err == ""


@pytest.mark.parametrize("strict", [[], ["--strict"]], ids=["", "strict"])
def test_a_shell_that_runs_out_of_files_blocks_nobody(board: Board, strict: list[str]) -> None:
    """A failed redirection, pipe or fork ends dash and busybox with 2. The first eleven descriptors are the shell's."""
    config = board.top / ".claude/agent-sync.toml"
    config.write_text("auto_lock = false\n")
    care.refresh(board.me.session)
    board.ready()
    codes = {}
    for limit in range(12, 20):
        shell = [*SHELLS[board.gate.shell], str(board.gate.path), "pre-tool-use", *strict]
        command = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *shell]
        done = subprocess.run(
            command, input=payload(board.top / "src/app.py"), env={"PATH": "/usr/bin:/bin"}, capture_output=True
        )
        codes[limit] = done.returncode
    assert set(codes.values()) <= {0, 1}, "1 is a shell that could not even open the gate"


def test_nothing_is_written_through_a_symlink(board: Board, tmp_path: Path) -> None:
    board.me.locks("src/app.py")
    (board.state / f"activity/{ME}.ndjson").symlink_to(tmp_path / "elsewhere")
    assert board.gate.run("post-tool-use", payload=payload(board.top / "src/app.py", "PostToolUse")).asked
    assert not (tmp_path / "elsewhere").exists()


def test_a_damaged_lock_of_mine_goes_to_python(board: Board) -> None:
    board.me.locks("src/app.py")
    lock = board.state / "locks/src%2Fapp.py.json"
    for data in (b"", b"\0" * 400, b"{", lock.read_bytes().replace(b'"holder":', b'"was":')):
        lock.write_bytes(data)
        assert board.gate.run("pre-tool-use", payload=payload(board.top / "src/app.py")).asked


def test_a_holder_that_somebody_wrote_into_a_reason_is_no_holder(board: Board) -> None:
    board.bob.locks("src/app.py", reason=f'x",\n  "holder": "{ME}",\n')
    lock = codec.decode((board.state / "locks/src%2Fapp.py.json").read_bytes(), Lock, "x")
    assert lock.holder == "bob"
    assert board.gate.run("pre-tool-use", payload=payload(board.top / "src/app.py")).asked


# ---------------------------------------------------------------- the script itself
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", "--shell=sh", str(GATE)], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


def test_it_is_executable_and_python_can_be_asked_by_its_own_name() -> None:
    assert os.access(GATE, os.X_OK)
    done = subprocess.run(
        [sys.executable, "-E", "-P", "-m", "agentsync.hook", "stop"],
        input=b"",
        capture_output=True,
        cwd="/",
        env={"AGENT_SYNC_DIR": "/nowhere"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
