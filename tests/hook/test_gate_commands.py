"""The gate and shell commands: what it lets through is harmless for Python too; anything else goes to Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hook.test_gate import Board, payload, shells
from hook.test_gate_law import AVAILABLE, LAW
from hypothesis import given
from hypothesis import strategies as st

from agentsync.ops import care, commands
from agentsync.shell import harmless, read

if TYPE_CHECKING:
    from hook.test_gate import Answer

    from agentsync.clients.call import Call


def asks(board: Board, command: str, event: str = "pre-tool-use", tool: str = "Bash", **env: str) -> Answer:
    given = {"tool_name": tool, "tool_input": {"command": command, "description": "what it does"}}
    return board.gate.run(event, payload=payload(None, "PreToolUse", **given), **env)


@pytest.fixture(params=shells())
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def board(tmp_path: Path, shell: str) -> Board:
    """I and bob are here, and bob holds a file."""
    made = Board(tmp_path, shell)
    made.me.registers()
    made.bob.locks("src/app.py")
    made.ready()
    return made


READING = (
    "ls",
    "ls -la src | head -20",
    "cat src/app.py",
    "grep -rn 'two words' src/ 2>/dev/null | wc -l",
    'rg "class .*" src',
    "git status",
    "git --no-pager log --oneline -5",
    "cd src && git diff HEAD~1 -- app.py ; pwd",
    "sed -n 1,80p src/app.py",
    "find . -name '*.py' -newer x",
    "sort names | head",
    "true || false",
)

NOT_FOR_THE_GATE = (
    "",
    "echo x > src/app.py",
    "echo x >> y",
    "sed -i s/a/b/ src/app.py",
    "git",
    "git checkout .",
    "git --no-pager --no-pager status",
    "git -C src status",
    "git diff --output=src/app.py",
    "git log -o x",
    "find . -delete",
    "find . -exec rm {} +",
    "sort -o src/app.py src/app.py",
    "make",
    "npm test",
    "ls; rm -rf src",
    "ls\nrm -rf src",
    "ls & rm x",
    "cat <src/app.py",
    "ls `rm x`",
    "ls $(rm x)",
    "FOO=1 ls",
    "'l's > x",
    "cat \\",
    'echo "\\" > x"',
    "ls #",
    "ls ünï",
    "cat x >/dev/null2",
    "ls 2>&1x",
    "ls; pwd",
)


@pytest.mark.parametrize("command", READING)
def test_a_command_that_only_reads_needs_no_python(command: str, board: Board) -> None:
    assert harmless.is_harmless(command)
    assert asks(board, command).is_silent_yes
    assert asks(board, command, "post-tool-use").is_silent_yes


@pytest.mark.parametrize("command", NOT_FOR_THE_GATE)
def test_any_other_command_goes_to_python_before_it_runs(command: str, board: Board) -> None:
    assert asks(board, command).asked is not None


@pytest.mark.parametrize("command", ["echo x > src/app.py", "make"])
def test_alone_nothing_of_a_command_is_read(command: str, tmp_path: Path, shell: str) -> None:
    lonely = Board(tmp_path, shell)
    lonely.me.registers()
    lonely.ready()
    assert asks(lonely, command).is_silent_yes
    assert asks(lonely, command, "post-tool-use").is_silent_yes


def test_after_a_command_python_is_asked_only_if_something_was_watched(board: Board) -> None:
    assert asks(board, "make", "post-tool-use").is_silent_yes
    commands.before(board.me.session, "make")
    assert asks(board, "make", "post-tool-use").asked is not None
    commands.after(board.me.session, "make")
    assert asks(board, "make", "post-tool-use").is_silent_yes


def test_without_automatic_locks_nothing_is_asked_while_nobody_else_holds_anything(board: Board) -> None:
    (board.top / ".claude/agent-sync.toml").write_text("auto_lock = false\n")
    care.refresh(board.me.session)
    board.ready()
    assert asks(board, "make").asked is not None
    board.bob.unlocks("src/app.py")
    board.me.locks("mine.py")
    assert asks(board, "make").is_silent_yes
    board.bob.locks("src/*.py")
    assert asks(board, "make").asked is not None


def test_a_lock_that_cannot_be_read_is_somebodys(board: Board) -> None:
    (board.top / ".claude/agent-sync.toml").write_text("auto_lock = false\n")
    care.refresh(board.me.session)
    board.ready()
    (board.state / "locks/src%2Fapp.py.json").write_bytes(b"")
    assert asks(board, "make").asked is not None


@pytest.mark.parametrize("tool", ["Bash", "bash", "run_shell_command"])
def test_each_clients_shell_is_known(tool: str, board: Board) -> None:
    assert asks(board, "ls", tool=tool).is_silent_yes


def test_a_tool_that_takes_a_command_but_is_no_shell_goes_to_python(board: Board) -> None:
    """Codex's `apply_patch` has its patch there."""
    assert asks(board, "ls", tool="apply_patch").asked is not None


def test_the_words_of_another_tool_inside_the_command_change_nothing(board: Board) -> None:
    assert asks(board, 'echo "tool_name":"Bash"', tool="apply_patch").asked is not None


# ---------------------------------------------------------------- the law
WORDS = st.sampled_from(
    [
        *("ls", "cat", "git", "find", "sed", "sort", "echo", "rm", "tee", "grep", "status", "log", "diff", "checkout"),
        *("--no-pager", "-n", "-ne", "-i", "-o", "--output=x", "-exec", "-delete", "-C", ".", "src/app.py", "x"),
        *("|", "||", "&&", ";", "&", ">", ">>", "2>&1", ">/dev/null", "2>/dev/null", "<", "'", '"', "\\", "$(", ")"),
        *("'a b'", '"c d"', "`", "#", "~", "*", "\n", "\t", "é", ">x", "x;", "'|'", '";"', "s/a/b/w", "--", "-"),
    ]
)
COMMANDS = st.lists(WORDS, max_size=7).flatmap(lambda words: st.sampled_from([" ".join(words), "".join(words)]))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Board:
    made = Board(tmp_path_factory.mktemp("theirs"))
    made.me.registers()
    made.bob.locks("**")
    made.ready()
    return made


@given(command=COMMANDS, shell=st.sampled_from(AVAILABLE))
@LAW
def test_what_the_gate_lets_through_is_harmless_and_writes_nothing(theirs: Board, command: str, shell: str) -> None:
    theirs.gate.shell = shell
    if asks(theirs, command).is_silent_yes:
        assert harmless.is_harmless(command)
        assert read.writes(command, str(theirs.top), str(theirs.top)) == ()


def test_python_reads_the_same_call(board: Board) -> None:
    from agentsync.clients import claude

    sent = payload(None, "PreToolUse", tool_name="Bash", tool_input={"command": "ls"})
    call: Call = claude.parse(None, json.loads(sent))
    assert (call.event, call.command, call.writes) == ("pre-tool-use", "ls", ())
