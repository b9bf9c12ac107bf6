"""Tasks, decisions and the feed on the command line: codes, JSON shapes, what is said and in which frame."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli.test_commands import Shell, examples, help_of, is_error
from lines import stand
from world import make_repo

from agentsync.cli.parser import build
from agentsync.ops.session import open_session
from agentsync.render.frame import CLOSE, OPEN
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

COMMANDS = [
    *("create-task", "edit-task", "tasks", "task", "claim-task", "claim-next", "complete-task", "block-task"),
    *("release-task", "reopen-task", "cancel-task", "checkpoint", "note", "handoff"),
    *("decision", "decisions", "log", "history", "watch", "hotspots", "report"),
]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        yield Shell(make_repo(Path(top) / "repo"), capsys, monkeypatch)


# ---------------------------------------------------------------- help and typing errors
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_with_examples_that_parse(command: str, shell: Shell) -> None:
    for words in examples(help_of(shell, command)):
        assert command in words
        assert callable(build().parse_args(words).run)


USAGE = [
    ["create-task"],
    ["create-task", ""],
    ["create-task", "x" * 201],
    ["create-task", "x", "--priority", "hi"],
    ["create-task", "x", "--priority", "1e3"],
    ["create-task", "x", "--priority", "99999"],
    ["create-task", "x", "--file", ""],
    ["create-task", "x", "--description", "x" * 4001],
    ["create-task", "x", "--owner", "bob"],
    ["tasks", "--ready", "--mine"],
    ["tasks", "extra"],
    ["task"],
    ["claim-task"],
    ["claim-next", "extra"],
    ["complete-task"],
    ["block-task", "x"],
    ["block-task", "x", "--reason"],
    ["checkpoint", "x"],
    ["note", "x"],
    ["note"],
    ["handoff", "x"],
    ["decision"],
    ["decision", ""],
    ["decision", "x" * 2001],
    ["decisions", "extra"],
    ["log", ""],
    ["log", "a", "--message", "b"],
    ["log", "--file", "x"],
    ["log", "x", "--type", "two words"],
    ["log", "x" * 4001],
    ["log", "--since"],
    ["log", "--since", ""],
    ["log", "--since", "yesterday"],
    ["log", "--since", "-5"],
    ["log", "--since", "999999d"],
    ["log", "--since", "0001-01-01T00:00+05:00"],
    ["log", "--path", ""],
    ["history"],
    ["history", ""],
]


@pytest.mark.parametrize("words", USAGE, ids=lambda words: " ".join(words)[:40])
def test_a_typing_error_is_code_2_and_changes_nothing(words: list[str], shell: Shell) -> None:
    said = shell.types(*words)
    assert (said.code, said.out) == (2, "")
    first, *hint = said.err.splitlines()
    assert first.startswith("agent-sync: ")
    assert hint
    is_error(shell.types(*words, "--json"), 2)
    assert not (shell.root / ".claude/coordination/tasks").exists() or not list(
        (shell.root / ".claude/coordination/tasks").iterdir()
    )


NAMED = ["task", "claim-task", "complete-task", "release-task", "reopen-task", "cancel-task", "edit-task"]
NAMED_WITH = {"checkpoint": ["TEXT"], "note": ["TEXT"], "block-task": ["--reason", "R"], "handoff": ["--to", "bob"]}


@pytest.mark.parametrize("command", [*NAMED, *NAMED_WITH])
@pytest.mark.parametrize("board", [False, True], ids=["no board", "a board"])
def test_a_task_that_is_not_there_is_code_4(command: str, board: bool, shell: Shell) -> None:
    if board:
        shell.types("create-task", "another")
    is_error(shell.types(command, "no such", *NAMED_WITH.get(command, []), "--json"), 4)
    said = shell.types(command, "no such", *NAMED_WITH.get(command, []))
    assert (said.code, said.out) == (4, "")
    assert "there is no task 'no such'" in said.err


def test_what_fits_several_is_code_4_and_lists_them(shell: Shell) -> None:
    ids = [shell.types("create-task", "dup", "--json").json["id"] for _ in range(3)]
    said = shell.types("claim-task", "dup")
    assert said.code == 4
    assert all(task_id in said.err for task_id in ids)
    is_error(shell.types("claim-task", "t-", "--json"), 4)


# ---------------------------------------------------------------- JSON
TASK_FIELDS = [
    *("kind", "v", "id", "title", "description", "status", "priority", "files", "depends_on", "owner", "owner_name"),
    *("checkpoint", "note", "blocked_reason", "created_by", "created_at", "updated_at", "claimed_at", "completed_at"),
    "asked_at",
    "machine",
]


def test_what_changes_a_task_prints_the_record_as_it_lies_on_disk(shell: Shell) -> None:
    shell.types("register", "--name", "Bob", agent="bob")
    made = shell.types("create-task", "T", "--file", "src/app.py", "--priority", "3", "--json").json
    assert list(made) == TASK_FIELDS
    path = shell.root / f".claude/coordination/tasks/{made['id']}.json"
    for words in (
        ["claim-task", "T"],
        ["checkpoint", "T", "half"],
        ["note", "T", "hm"],
        ["edit-task", "T", "--priority", "4"],
        ["block-task", "T", "--reason", "why"],
        ["release-task", "T"],
        ["claim-next"],
        ["handoff", "T", "--to", "bob"],
        ["cancel-task", "T", "--force"],
        ["reopen-task", "T"],
    ):
        said = shell.types(*words, "--json")
        assert (said.code, said.err) == (0, ""), words
        assert said.json == json.loads(path.read_bytes()), words
    shell.types("claim-task", "T")
    assert shell.types("complete-task", "T", "--json").json["status"] == "done"


def test_tasks_in_json_are_records_with_what_cannot_be_written(shell: Shell) -> None:
    first = shell.types("create-task", "first", "--json").json
    shell.types("create-task", "second", "--depends-on", "first", "--priority", "9")
    shell.types("create-task", "third")
    shell.types("claim-task", "third")
    shell.types("complete-task", "third")
    second, first_again, third = shell.types("tasks", "--json").json
    assert (second["title"], third["title"]) == ("second", "third")
    assert list(second) == [*TASK_FIELDS, "blocked_by_deps", "abandoned", "stalled"]
    assert (second["blocked_by_deps"], first_again["blocked_by_deps"]) == ([first["id"]], [])
    assert (third["status"], third["abandoned"], third["stalled"]) == ("done", False, False)
    assert [t["title"] for t in shell.types("tasks", "--ready", "--json").json] == ["first"]
    assert [t["title"] for t in shell.types("tasks", "--mine", "--json").json] == ["third"]
    assert shell.types("tasks", "--mine", "--json", agent="bob").json == []


def test_a_claim_in_json_has_its_locks_and_who_is_in_the_way(shell: Shell) -> None:
    shell.types("lock", "src/app.py", agent="bob")
    shell.types("create-task", "T", "--file", "src/app.py", "--file", "b.py")
    said = shell.types("claim-task", "T", "--strict", "--json")
    is_error(said, 3)
    assert [lock["holder"] for lock in said.json["locks"]] == ["bob"]
    said = shell.types("claim-next", "--lock", "--json")
    assert said.code == 0
    assert (said.json["status"], said.json["kind"]) == ("in_progress", "task")
    assert [lock["path"] for lock in said.json["locks"]] == ["b.py"]
    assert [lock["holder"] for lock in said.json["busy"]] == ["bob"]


def test_a_claim_names_who_is_in_line_for_its_files(shell: Shell) -> None:
    shell.types("lock", "src/app.py", agent="bob")
    stand(open_session(Runtime({"AGENT_SYNC_ID": "cleo"}, str(shell.root))), "src/app.py")
    shell.types("unlock", "src/app.py", agent="bob")
    shell.types("create-task", "T", "--file", "src/app.py")
    said = shell.types("claim-task", "T", "--strict")
    assert said.code == 3
    assert "cleo (cleo) has been in line for src/app.py" in said.err
    said = shell.types("claim-task", "T", "--lock")
    assert (said.code, "locked: " in said.out.replace("not locked: ", "")) == (0, False)
    assert "not locked: cleo (cleo) has been in line for src/app.py" in said.out
    said = shell.types("claim-task", "T", "--lock", "--json")
    assert [waiter["agent"] for waiter in said.json["waiting"]] == ["cleo"]


def test_what_became_ready_is_in_the_answer(shell: Shell) -> None:
    shell.types("create-task", "API")
    shell.types("create-task", "UI", "--depends-on", "API")
    shell.types("claim-next")
    said = shell.types("complete-task", "API", "--json").json
    assert [task["title"] for task in said["ready"]] == ["UI"]


def test_no_next_task_is_no_error(shell: Shell) -> None:
    said = shell.types("claim-next", "--json")
    assert (said.code, said.err) == (0, "")
    assert "id" not in said.json
    said = shell.types("claim-next")
    assert said.code == 0
    assert said.out.startswith("No available tasks")


def test_a_refusal_in_json_has_the_task(shell: Shell) -> None:
    shell.types("create-task", "T")
    shell.types("claim-task", "T", agent="bob")
    for words in (["claim-task", "T"], ["complete-task", "T"], ["block-task", "T", "--reason", "x"]):
        said = shell.types(*words, "--json")
        is_error(said, 3)
        assert said.json["task"]["owner"] == "bob"


def test_decisions_and_events_in_json_are_records(shell: Shell) -> None:
    made = shell.types("decision", "Use X", "--json").json
    assert list(made) == ["kind", "v", "id", "by", "by_name", "text", "supersedes", "origin", "created_at"]
    later = shell.types("decision", "Use Y", "--supersedes", made["id"], "--json", agent="bob").json
    assert later["supersedes"] == made["id"]
    assert shell.types("decisions", "--json").json == [later]
    assert shell.types("decisions", "--all", "--json").json == [made, later]
    is_error(shell.types("decision", "Use Z", "--supersedes", made["id"], "--json"), 4)
    is_error(shell.types("decision", "Use Z", "--supersedes", "d-99", "--json"), 4)
    event = shell.types("log", "hi", "--type", "ops", "--file", "src/app.py", "--json").json
    assert (event["kind"], event["verb"], event["summary"], event["paths"]) == ("event", "ops", "hi", ["src/app.py"])
    assert shell.types("log", "--type", "ops", "--json").json == [event]
    assert shell.types("log", "--path", "src/", "--json").json == [event]
    assert shell.types("log", "--since", str(event["rev"] - 1), "--json").json == [event]
    assert shell.types("log", "--since", str(event["rev"]), "--json").json == []
    assert event in shell.types("log", "--since", "1h", "--json").json
    assert shell.types("log", "--since", "2199-01-01", "--json").json == []
    assert {e["actor"] for e in shell.types("log", "--agent", "bob", "--json").json} == {"bob"}
    assert [h["verb"] for h in shell.types("history", "src/app.py", "--json").json] == ["ops"]
    assert shell.types("history", "other.py", "--json").json == []


def test_a_task_in_json_comes_with_its_trail(shell: Shell) -> None:
    shell.types("create-task", "T")
    shell.types("note", "T", "hm", agent="bob")
    said = shell.types("task", "T", "--json").json
    assert [event["verb"] for event in said["events"]] == ["create-task", "note"]
    assert said["note"] == "hm"


# ---------------------------------------------------------------- texts
def framed_part(out: str) -> list[str]:
    lines = out.splitlines()
    return lines[lines.index(OPEN) + 1 : lines.index(CLOSE)]


def test_a_refusal_is_framed_and_says_who_since_when_and_what_to_do(shell: Shell) -> None:
    shell.types("create-task", "T")
    shell.types("claim-task", "T", agent="bob")
    for words in (["claim-task", "T"], ["complete-task", "T"], ["handoff", "T", "--to", "bob"]):
        said = shell.types(*words)
        assert (said.code, said.out) == (3, "")
        (line,) = framed_part(said.err)
        assert "belongs to bob (bob) since" in line
        assert "agent-sync send --to bob" in said.err
        assert "--force" not in said.err


def test_what_is_done_is_said_in_a_line(shell: Shell) -> None:
    made = shell.types("create-task", "T", "--json").json["id"]
    shell.types("register", "--name", "Bob", agent="bob")
    shell.types("claim-task", "T")
    for words, said in (
        (["checkpoint", "T", "x"], "checkpoint kept"),
        (["note", "T", "x"], "noted"),
        (["edit-task", "T", "--priority", "1"], "edited"),
        (["block-task", "T", "--reason", "x"], "blocked"),
        (["reopen-task", "T"], "open again"),
        (["cancel-task", "T"], "cancelled"),
    ):
        assert shell.types(*words).out == f"{said}: {made}\n"
    shell.types("reopen-task", "T")
    shell.types("claim-task", "T")
    assert shell.types("handoff", "T", "--to", "Bob").out == f"handed on to bob: {made}\n"
    assert shell.types("complete-task", "T", agent="bob").out == f"completed: {made}\n"
    said = shell.types("tasks")
    assert (said.code, said.out) == (
        0,
        "no task is open: agent-sync create-task TITLE makes one\nand 1 finished: agent-sync tasks --all\n",
    )


def test_a_claim_says_all_one_must_know(shell: Shell) -> None:
    shell.types("lock", "b.py", agent="bob")
    shell.types("create-task", "T", "--description", "Make it", "--file", "a.py", "--file", "b.py", "--priority", "2")
    said = shell.types("claim-next", "--lock")
    lines = framed_part(said.out)
    assert "description: Make it" in lines
    assert "files: a.py, b.py" in lines
    assert "locked: a.py" in lines
    assert any(line.startswith("not locked: b.py is held by bob (bob") for line in lines)


def test_a_cycle_is_printed(shell: Shell) -> None:
    a = shell.types("create-task", "A", "--json").json["id"]
    b = shell.types("create-task", "B", "--depends-on", "A", "--json").json["id"]
    said = shell.types("edit-task", "A", "--depends-on", "B")
    assert said.code == 2
    assert f"{a} -> {b} -> {a}" in said.err
    assert shell.types("task", "A", "--json").json["depends_on"] == []


def test_status_shows_tasks_and_decisions(shell: Shell) -> None:
    shell.types("create-task", "Task one")
    shell.types("claim-task", "Task one")
    shell.types("decision", "Use X")
    for words in (["status"], ["status", "--compact"]):
        said = shell.types(*words, agent="bob").out
        assert "Task one" in said
        assert "Use X" in said
    assert "Your task" in shell.types("status", "--compact").out
    board = shell.types("status", "--json").json
    assert (board["you"]["task"], board["tasks"][0]["title"]) == (board["tasks"][0]["id"], "Task one")
    assert board["decisions"][0]["text"] == "Use X"
