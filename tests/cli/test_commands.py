"""The command line as a whole: what is a typing error, what is answered in JSON, what the help says, which code.

Commands run in this process, each with a context of its own; what needs a real process is in test_streams.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from world import git, make_repo

from agentsync import __version__
from agentsync.__main__ import main
from agentsync.cli.completion import read
from agentsync.cli.parser import build
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing costs nothing."""

COMMANDS = [
    *("init", "install", "uninstall", "status", "lock", "unlock", "locks", "check", "explain"),
    *("send", "directive", "inbox", "read-message", "ack", "thread", "sent"),
    *("register", "heartbeat", "whoami", "gc", "doctor", "demo"),
    *("queue", "request", "refuse", "append"),
    *("git-hook", "conflicts", "run", "completion", "console"),
]
"""All but `hook`, which speaks the client's language."""


class Answer(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Somebody who types commands in a directory."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.capsys = capsys
        self.monkeypatch = monkeypatch

    def types(self, *words: str, agent: str = "alice", cwd: Path | None = None) -> Answer:
        with self.monkeypatch.context() as here:
            here.setenv("AGENT_SYNC_ID", agent)
            here.chdir(cwd or self.root)
            here.setattr(sys, "argv", ["agent-sync", *words])
            here.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
            self.capsys.readouterr()
            code = main()
            said = self.capsys.readouterr()
        return Answer(code, said.out, said.err)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        root = make_repo(Path(top) / "repo", {"src/app.py": "x\n", "other.py": "y\n"})
        yield Shell(root, capsys, monkeypatch)


def is_error(answer: Answer, code: int) -> None:
    """The JSON error object, on stdout and alone there."""
    said = answer.json
    assert answer.code == code
    assert (said["kind"], said["code"]) == ("error", code)
    assert said["message"]
    assert isinstance(said["hint"], str)
    assert answer.err == ""


# ---------------------------------------------------------------- typing errors
USAGE: list[list[str]] = [
    [],
    ["nonsense"],
    ["lokc", "a.py"],
    ["lock"],
    ["lock", ""],
    ["lock", "   "],
    ["lock", "a.py", ""],
    ["lock", "--resource", ""],
    ["lock", "@"],
    ["lock", "@with space"],
    ["lock", "a.py", "--ttl"],
    ["lock", "a.py", "--ttl", "0"],
    ["lock", "a.py", "--ttl", "-5"],
    ["lock", "a.py", "--ttl=-5"],
    ["lock", "a.py", "--ttl", "nan"],
    ["lock", "a.py", "--ttl", "inf"],
    ["lock", "a.py", "--ttl", "1e3"],
    ["lock", "a.py", "--ttl", "1.5"],
    ["lock", "a.py", "--ttl", ""],
    ["lock", "a.py", "--ttl", "ten"],
    ["lock", "a.py", "--ttl", "99999999"],
    ["lock", "a.py", "--ttl", "9" * 5000],
    ["lock", "a.py", "--nonsense"],
    ["lock", "a.py", "--reason"],
    ["lock", "a.py", "--reason", "x" * 501],
    ["lock", "a/*/../b"],
    ["lock", "--wait"],
    ["lock", "a.py", "--wait=x"],
    ["lock", "a.py", "--wait=-1"],
    ["lock", "a.py", "--wait=nan"],
    ["lock", "a.py", "--wait=inf"],
    ["lock", "a.py", "--wait=1e9"],
    ["lock", "a.py", "--wait", "--priority", "x"],
    ["lock", "a.py", "--wait", "--priority", "1001"],
    ["request"],
    ["request", ""],
    ["refuse", "m-1"],
    ["refuse", "m-1", "--reason", ""],
    ["append"],
    ["append", "", "--content", "x"],
    ["append", "src/", "--content", "x"],
    ["append", "src", "--content", "x"],
    ["append", "src/app.py/x", "--content", "x"],
    ["append", "/dev/null", "--content", "x"],
    ["lock", "x" * 5000],
    ["lock", "a\0b"],
    ["unlock"],
    ["unlock", ""],
    ["unlock", "--all", "a.py"],
    ["unlock", "--all", "--resource", "x"],
    ["check"],
    ["check", ""],
    ["explain"],
    ["explain", ""],
    ["explain", "a.py", "b.py"],
    ["register"],
    ["register", "--name", ""],
    ["register", "--name", "  "],
    ["register", "--name", "x" * 65],
    ["status", "extra"],
    ["install", "--client", "nonsense"],
    ["-C"],
    ["-C", "/nonexistent/directory", "status"],
    ["-C", "", "status"],
    ["status", "-C", "/dev/null"],
    ["gc", "--force"],
    ["send"],
    ["send", "--to", "all"],
    ["send", "--message", "x"],
    ["send", "--to", "all", "--message", ""],
    ["send", "--to", "all", "--message", " \n"],
    ["send", "--to", "all", "--message", "x" * 4001],
    ["directive", "all"],
    ["read-message"],
    ["ack"],
    ["thread"],
    ["inbox", "extra"],
]


@pytest.mark.parametrize("words", USAGE, ids=lambda words: shlex.join(words)[:50] or "nothing")
def test_a_typing_error_is_code_2_says_what_to_type_and_changes_nothing(words: list[str], shell: Shell) -> None:
    said = shell.types(*words)
    assert said.code == 2
    assert said.out == ""
    first, *hint = said.err.splitlines()
    assert first.startswith("agent-sync: ")
    assert hint, "what to do instead"
    state = shell.root / ".claude/coordination"
    assert not [path for folder in ("agents", "locks", "log") for path in (state / folder).rglob("*.json")]


@pytest.mark.parametrize("words", USAGE, ids=lambda words: shlex.join(words)[:50] or "nothing")
def test_a_typing_error_is_a_json_object_too(words: list[str], shell: Shell) -> None:
    is_error(shell.types("--json", *words), 2)


def test_what_a_typing_error_shows_of_a_long_word_is_short(shell: Shell) -> None:
    for words in (["lock", "x" * 1_000_000], ["y" * 1_000_000], ["lock", "a", "--ttl", "z" * 1_000_000]):
        said = shell.types(*words)
        assert said.code == 2
        assert len(said.err) < 4000


def test_an_id_that_cannot_be_one_is_a_typing_error(shell: Shell) -> None:
    for command in ("whoami", "status", "heartbeat"):
        said = shell.types(command, agent="Not/An/Id")
        assert said.code == 2
        assert "AGENT_SYNC_ID" in said.err


def test_only_whole_words_are_options(shell: Shell) -> None:
    """A program that asks for `--js` must not get text with code 0."""
    for words in (["status", "--js"], ["status", "--comp"], ["unlock", "--al"], ["--vers"]):
        assert shell.types(*words).code == 2, words


def test_after_two_dashes_everything_is_a_path(shell: Shell) -> None:
    said = shell.types("lock", "--", "--json", "-rf")
    assert said.code == 0
    assert said.out.startswith("locked --json until "), "text was asked for"
    assert sorted(lock["path"] for lock in shell.types("locks", "--json").json) == ["--json", "-rf"]


# ---------------------------------------------------------------- JSON
JSON_ANSWERS: list[tuple[list[str], str | None]] = [
    (["init"], "store"),
    (["install"], "installation"),
    (["install", "--dry-run"], "installation"),
    (["uninstall"], "installation"),
    (["uninstall", "--dry-run"], "installation"),
    (["completion", "bash"], "completion"),
    (["status"], None),
    (["status", "--compact"], None),
    (["lock", "a.py"], "lock"),
    (["lock", "a.py", "b.py"], None),
    (["unlock", "never.py"], None),
    (["unlock", "--all"], None),
    (["locks"], None),
    (["check", "a.py"], None),
    (["explain", "a.py"], "explanation"),
    (["register", "--name", "Alice"], "agent"),
    (["heartbeat"], "agent"),
    (["whoami"], "agent"),
    (["send", "--to", "all", "--message", "x"], "message"),
    (["directive", "all", "x"], "message"),
    (["inbox"], None),
    (["inbox", "--all"], None),
    (["sent"], None),
    (["gc"], "compaction"),
    (["doctor"], "diagnosis"),
    (["lock", "--wait", "a.py"], "lock"),
    (["queue"], None),
    (["conflicts"], None),
    (["install", "--git"], "installation"),
    (["uninstall", "--git", "--dry-run"], "installation"),
    (["append", "a.txt", "--content", "x"], "appended"),
]


OF_GIT = ("git-hook", "run")
"""Commands that speak git's language, or another program's."""

NEED_A_MESSAGE = ("read-message", "ack", "thread")


@pytest.mark.parametrize("made", [False, True], ids=["nothing yet", "a board"])
@pytest.mark.parametrize(("words", "kind"), JSON_ANSWERS, ids=[shlex.join(words) for words, _ in JSON_ANSWERS])
def test_every_answer_can_be_json(words: list[str], kind: str | None, made: bool, shell: Shell) -> None:
    if made:
        shell.types("lock", "mine.py", "--reason", "because")
        shell.types("register", "--name", "Bob", agent="bob")
    said = shell.types(*words, "--json")
    assert said.code == 0, said
    assert said.err == ""
    answer = said.json
    assert isinstance(answer, dict | list)
    if kind is not None:
        assert answer["kind"] == kind


def test_the_list_of_json_answers_has_every_command() -> None:
    assert {words[0] for words, _ in JSON_ANSWERS} == set(COMMANDS) - {
        "console",
        "demo",
        "request",
        "refuse",
        *NEED_A_MESSAGE,
        *OF_GIT,
    }, "they have tests of their own"


def test_a_message_can_be_json_too(shell: Shell) -> None:
    shell.types("register", "--name", "Bob", agent="bob")
    message = shell.types("send", "--to", "Bob", "--message", "hi", "--json").json
    on_disk = json.loads(next((shell.root / ".claude/coordination/messages").iterdir()).read_text())
    assert message == on_disk
    assert [reader["agent"] for reader in message["readers"]] == ["bob"]
    for command in ("read-message", "ack"):
        answer = shell.types(command, message["id"], "--json", agent="bob").json
        assert (answer["kind"], answer["body"], "readers" in answer) == ("message", "hi", False)
        assert (answer["read_at"] is None, answer["acked_at"] is None) == (False, command == "read-message")
    assert [one["id"] for one in shell.types("thread", message["id"], "--json").json] == [message["id"]]
    assert shell.types("sent", "--json").json[0]["readers"][0]["acked_at"] is not None
    for command in NEED_A_MESSAGE:
        is_error(shell.types(command, "m-99", "--json"), 4)


def test_the_flag_may_stand_anywhere(shell: Shell) -> None:
    shell.types("lock", "a.py")
    answers = [shell.types(*words).json for words in (["--json", "locks"], ["locks", "--json"])]
    assert answers[0] == answers[1]
    assert shell.types("check", "--json", "a.py").json[0]["yours"] is True


def test_records_are_printed_as_they_are_on_disk(shell: Shell) -> None:
    lock = shell.types("lock", "src/app.py", "--reason", "why", "--json").json
    state = shell.root / ".claude/coordination"
    assert lock == json.loads((state / "locks/src%2Fapp.py.json").read_text())
    assert shell.types("locks", "--json").json == [lock]
    agent = shell.types("heartbeat", "--json").json
    on_disk = json.loads((state / "agents/alice.json").read_text())
    assert {**agent, "last_seen": 0} == {**on_disk, "last_seen": 0}
    who = shell.types("whoami", "--json").json
    assert {**who, "last_seen": 0} == {**on_disk, "last_seen": 0, "registered": True, "source": "AGENT_SYNC_ID"}


def test_the_board_in_json_has_its_documented_shape(shell: Shell) -> None:
    shell.types("lock", "a.py")
    board = shell.types("status", "--json").json
    assert list(board) == ["you", "agents", "locks", "tasks", "decisions", "unread", "revision"]
    assert [agent["kind"] for agent in board["agents"]] == ["agent"]
    assert [lock["kind"] for lock in board["locks"]] == ["lock"]
    assert board["revision"] == 2


def test_a_refused_lock_in_json_names_the_locks_in_the_way(shell: Shell) -> None:
    shell.types("lock", "src/", agent="bob")
    said = shell.types("lock", "src/app.py", "free.py", "--json")
    is_error(said, 3)
    assert [(lock["kind"], lock["path"], lock["holder"]) for lock in said.json["locks"]] == [("lock", "src/", "bob")]


def test_a_wait_takes_its_seconds_behind_an_equals_sign_and_stands_anywhere(shell: Shell) -> None:
    for words in (
        ["--wait", "a.py"],
        ["a.py", "--wait"],
        ["--wait=5", "a.py"],
        ["a.py", "--wait=0.5"],
        ["a.py", "--wait=0"],
    ):
        assert shell.types("lock", *words).code == 0, words
    assert [lock["path"] for lock in shell.types("locks", "--json").json] == ["a.py"]
    assert shell.types("lock", "--", "--wait").out.startswith("locked --wait ")


def test_who_gave_up_waiting_is_told_who_holds_it(shell: Shell) -> None:
    shell.types("lock", "a.py", agent="bob")
    said = shell.types("lock", "a.py", "--wait=0", "--json")
    is_error(said, 5)
    assert [lock["holder"] for lock in said.json["locks"]] == ["bob"]
    assert (said.json["waiting"], said.json["cycle"]) == ([], [])
    said = shell.types("append", "a.py", "--wait=0", "--content", "x")
    assert said.code == 5
    assert "holder: bob (bob)" in said.err
    assert "agent-sync append --wait FILE" in said.err


def test_asking_for_a_lock_and_being_refused(shell: Shell) -> None:
    is_error(shell.types("request", "a.py", "--json"), 4)
    shell.types("lock", "a.py", agent="bob")
    asked = shell.types("request", "a.py", "--message", "soon?", "--json").json
    assert (asked["kind"], asked["wants"], asked["agent"]) == ("waiter", "release", "alice")
    assert shell.types("request", "a.py").out == f"{asked['id']}: bob was asked before; you will be told\n"
    (listed,) = shell.types("queue", "--json").json
    assert {**listed, "live": 0, "behind": 0} == {**asked, "live": 0, "behind": 0}
    assert [link["of"] for link in listed["behind"]] == ["bob"]
    is_error(shell.types("refuse", asked["id"], "--reason", "no", "--json"), 4)
    assert shell.types("refuse", asked["id"], "--reason", "no", "--json", agent="bob").json == asked
    assert shell.types("queue").out == "nobody waits: agent-sync lock --wait PATH stands in line\n"
    assert shell.types("request", "a.py", agent="bob").out == "nothing to ask for: a.py is yours\n"


def test_a_refused_unlock_in_json(shell: Shell) -> None:
    shell.types("lock", "a.py", agent="bob")
    said = shell.types("unlock", "a.py", "--json")
    is_error(said, 3)
    assert said.json["locks"][0]["holder"] == "bob"


def test_a_check_in_json_says_who_is_in_the_way(shell: Shell) -> None:
    shell.types("lock", "a.py", agent="bob")
    said = shell.types("check", "a.py", "b.py", "--json")
    assert said.code == 3
    first, second = said.json
    assert (first["refused"], first["held_by"][0]["holder"]) == (True, "bob")
    assert (second["refused"], second["held_by"]) == (False, [])


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "a link": lambda state: state.symlink_to("/tmp"),
    "a link to nothing": lambda state: state.symlink_to("/nonexistent/x"),
    "a file": lambda state: state.write_text("") and None,
    "below a link": lambda state: (state.parent.rmdir(), state.parent.symlink_to("/tmp"))[0],
}

WORDS = {
    "lock": ["lock", "a.py"],
    "unlock": ["unlock", "a.py"],
    "check": ["check", "a.py"],
    "explain": ["explain", "a.py"],
    "register": ["register", "--name", "x"],
    "send": ["send", "--to", "all", "--message", "x"],
    "directive": ["directive", "all", "x"],
    "read-message": ["read-message", "m-1"],
    "ack": ["ack", "m-1"],
    "thread": ["thread", "m-1"],
    "request": ["request", "a.py"],
    "refuse": ["refuse", "m-1", "--reason", "x"],
    "append": ["append", "a.txt", "--content", "x"],
    "console": ["console", "--plain"],
}


NO_STATE = ("doctor", "demo", "git-hook", "conflicts", "run", "completion")
"""Commands that work, or say something else, without a state directory."""


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in NO_STATE])
@pytest.mark.parametrize("what", UNUSABLE)
def test_a_state_directory_that_is_none_is_code_6_for_every_command(what: str, command: str, shell: Shell) -> None:
    """Reading through a link would show another repository's board, and an edit would be judged by it."""
    state = shell.root / ".claude/coordination"
    state.parent.mkdir()
    UNUSABLE[what](state)
    is_error(shell.types(*WORDS.get(command, [command]), "--json"), 6)
    said = shell.types(*WORDS.get(command, [command]))
    assert said.code == 6
    assert said.err.startswith("agent-sync: ")
    assert len(said.err.splitlines()) == 2


@pytest.mark.parametrize("command", ["init", "install", "lock", "register", "heartbeat", "gc"])
def test_a_state_that_git_tracks_is_refused(command: str, shell: Shell) -> None:
    """It came with a clone: other machines' agents and locks are in it."""
    shell.types("lock", "a.py", agent="bob")
    git("add", "-f", ".claude/coordination", cwd=shell.root)
    git("commit", "-qm", "oops", cwd=shell.root)
    git("clone", "-q", str(shell.root), "../clone", cwd=shell.root)
    said = shell.types(*WORDS.get(command, [command]), "--json", cwd=shell.root.parent / "clone")
    is_error(said, 6)
    assert "git rm" in said.json["hint"]


def test_settings_that_are_not_understood_are_an_error_object(shell: Shell) -> None:
    (shell.root / ".claude").mkdir()
    (shell.root / ".claude/settings.json").write_text("[]")
    for command in ("install", "uninstall"):
        is_error(shell.types(command, "--json"), 1)


def test_a_defect_of_ours_is_code_1_without_a_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this machine fails, which nothing expects."""

    def now(_self: Runtime) -> None:
        raise ZeroDivisionError("the clock")

    monkeypatch.setattr(Runtime, "now", now)
    is_error(shell.types("lock", "a.py", "--json"), 1)
    said = shell.types("lock", "a.py")
    assert (said.code, said.out) == (1, "")
    assert "internal error: ZeroDivisionError: the clock" in said.err
    assert "Traceback" not in said.err
    monkeypatch.setenv("AGENT_SYNC_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        shell.types("lock", "a.py")


# ---------------------------------------------------------------- -C
def test_a_directory_may_be_given_before_or_after_the_command(shell: Shell) -> None:
    for words in (["-C", str(shell.root), "whoami"], ["whoami", "-C", str(shell.root)]):
        assert shell.types(*words, "--json", cwd=Path("/")).json["cwd"] == str(shell.root)


def test_paths_are_relative_to_the_given_directory(shell: Shell) -> None:
    said = shell.types("-C", "src", "lock", "app.py", "--json")
    assert said.json["path"] == "src/app.py"
    assert (shell.root / ".claude/coordination").exists()


def test_the_last_directory_counts(shell: Shell) -> None:
    said = shell.types("-C", "/nonexistent", "whoami", "-C", str(shell.root), "--json")
    assert said.json["cwd"] == str(shell.root)


# ---------------------------------------------------------------- help
def help_of(shell: Shell, *words: str) -> str:
    said = shell.types(*words, "--help")
    assert (said.code, said.err) == (0, "")
    return said.out


def test_the_help_lists_every_command_and_the_exit_codes(shell: Shell) -> None:
    said = help_of(shell)
    for name in [*COMMANDS, "hook"]:
        assert re.search(rf"^    {name}(\s|$)", said, re.M), name
    for code in range(7):
        assert re.search(rf"\b{code} ", said[said.index("exit codes:") :]), code


def examples(text: str) -> list[list[str]]:
    lines = text[text.index("examples:") :].splitlines()[1:]
    found = [line.strip() for line in lines if line.startswith("  agent-sync ")]
    return [shlex.split(re.split(r"\s{3,}|\s[<|>]\s?", line)[0])[1:] for line in found]


@pytest.mark.parametrize("command", ["", *(command.name for command in read(build()).commands)])
def test_every_help_has_two_examples_that_parse(command: str, shell: Shell) -> None:
    found = examples(help_of(shell, *([command] if command else [])))
    assert len(found) >= 2
    for words in found:
        if "hook" in words:
            assert words[1] in ("pre-tool-use", "session-start")
            continue
        options = build().parse_args(words)
        assert callable(options.run)
        assert not command or command in words


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_sentence_and_explains_its_options(command: str, shell: Shell) -> None:
    said = help_of(shell, command)
    sentence = said.split("\n\n")[1].strip()
    assert re.fullmatch(r"[A-Z].*\.", sentence, re.S)
    for option in re.findall(r"^  (--[a-z-]+)(?: [A-Z]+)?$", said, re.M):
        following = said.split(f"  {option}")[1].split("\n")[1]
        assert following.startswith(" " * 10), f"{option} has no explanation"


def test_the_version(shell: Shell) -> None:
    assert shell.types("--version") == Answer(0, f"agent-sync {__version__}\n", "")


@pytest.mark.parametrize("words", [["--json", "hook"], ["-C", ".", "hook", "stop"], ["--json", "hook", "pre-tool-use"]])
def test_a_hook_with_options_before_it_never_blocks_an_agent(words: list[str], shell: Shell) -> None:
    """Code 2 would; and whoever writes that into a settings file must hear of it."""
    said = shell.types(*words)
    assert said.code == 0
    assert "internal error" not in said.out + said.err


# ---------------------------------------------------------------- codes and texts
def test_what_is_done_says_so_in_a_line(shell: Shell) -> None:
    assert re.fullmatch(r"locked a\.py until [0-9: -]+ UTC, token \S+\n", shell.types("lock", "a.py").out)
    assert shell.types("unlock", "a.py").out == "unlocked a.py\n"
    assert shell.types("unlock", "a.py") == Answer(0, "nothing to unlock\n", "")
    assert shell.types("locks").out == "nothing is locked: agent-sync lock PATH holds a file\n"
    assert shell.types("register", "--name", "Alice", "--role", "API").out == "Alice (alice, API) is on the board\n"
    assert shell.types("heartbeat").out == "Alice (alice) is alive\n"
    assert shell.types("whoami").out == "Alice (alice), shell, known by AGENT_SYNC_ID\n"


def test_somebody_unknown_is_told_how_to_come_on_the_board(shell: Shell) -> None:
    first, second = shell.types("whoami").out.splitlines()
    assert first == "alice (alice), shell, known by AGENT_SYNC_ID"
    assert "agent-sync register" in second


def test_a_refusal_is_code_3_on_stderr_and_never_suggests_force(shell: Shell) -> None:
    shell.types("lock", "a.py", "--reason", "mine", agent="bob")
    for words in (["lock", "a.py"], ["unlock", "a.py"]):
        said = shell.types(*words)
        assert (said.code, said.out) == (3, "")
        assert "holder: bob (bob)" in said.err
        assert "reason: mine" in said.err
        assert "--force" not in said.err
    assert shell.types("check", "a.py").code == 3
    assert shell.types("explain", "a.py").code == 0


def test_forcing_says_whose_it_was_and_a_second_time_there_is_nothing(shell: Shell) -> None:
    shell.types("lock", "a.py", agent="bob")
    said = shell.types("unlock", "a.py", "--force")
    assert said.code == 0
    assert "unlocked a.py" in said.out
    assert "bob" in said.out
    assert shell.types("unlock", "a.py", "--force").out == "nothing to unlock\n"


def test_what_happened_to_one_path_is_not_told_of_another_that_begins_alike(shell: Shell) -> None:
    shell.types("lock", "src/app.py")
    shell.types("unlock", "src/app.py")
    assert [e["verb"] for e in shell.types("explain", "src/app.py", "--json").json["events"]] == ["unlock", "lock"]
    for other in ("src/ap", "src/app.p", "src/a", "app.py", "s"):
        assert shell.types("explain", other, "--json").json["events"] == [], other


def test_events_of_a_shared_lease_and_of_a_worktree_are_told(shell: Shell) -> None:
    shell.types("lock", "a.py", "--shared")
    shell.types("unlock", "a.py")
    assert [e["verb"] for e in shell.types("explain", "a.py", "--json").json["events"]] == ["unlock", "lock"]


def test_a_configuration_that_is_not_understood_is_said_on_the_side(shell: Shell) -> None:
    (shell.root / ".claude").mkdir()
    (shell.root / ".claude/agent-sync.toml").write_text("ttl_minute = 5\n")
    said = shell.types("lock", "a.py", "--json")
    assert (said.code, said.json["ttl_s"]) == (0, 3600)
    assert "ttl_minute" in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", bytes(99), b'{"kind":"lock","v":1}'], ids=repr)
def test_a_damaged_format_is_made_anew_and_said(content: bytes, shell: Shell) -> None:
    shell.types("lock", "a.py", agent="bob")
    (shell.root / ".claude/coordination/format.json").write_bytes(content)
    said = shell.types("lock", "b.py")
    assert said.code == 0
    assert "format.json" in said.err
    assert shell.types("lock", "a.py").code == 3, "what was locked still is"
    assert shell.types("doctor").code == 0


def test_a_format_of_a_newer_version_is_left_alone(shell: Shell) -> None:
    shell.types("lock", "a.py")
    path = shell.root / ".claude/coordination/format.json"
    newer = json.dumps({"kind": "format", "v": 2, "store": {"a": "new shape"}})
    path.write_text(newer)
    is_error(shell.types("lock", "b.py", "--json"), 6)
    assert path.read_text() == newer
    assert shell.types("locks").code == 0, "reading goes on"


@pytest.mark.parametrize("command", ["gc", "doctor", "conflicts"])
def test_what_may_take_a_while_says_so_on_a_terminal_and_wipes_it_out(command: str, shell: Shell) -> None:
    assert shell.types(command).err == ""
    shell.monkeypatch.setattr(Runtime, "is_terminal", lambda _self, fd: fd == 2)
    assert re.fullmatch(r"agent-sync: [a-z, ]+ …\r +\r", shell.types(command).err)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lock a --reson x", "--reason"),
        ("lock a --reson=x", "--reason"),
        ("install --client cursr", "cursor"),
        ("completion bsh", "bash"),
        ("statsu", "status"),
    ],
)
def test_what_looks_like_the_word_that_was_mistyped_is_named(typed: str, meant: str, shell: Shell) -> None:
    said = shell.types(*typed.split())
    assert said.code == 2
    assert re.search(rf"did you mean .*{meant}\b", said.err)


def test_nothing_typed_says_where_to_begin(shell: Shell) -> None:
    assert shell.types().err == (
        "agent-sync: no command was given\n  agent-sync status shows who is here; agent-sync --help\n"
    )
