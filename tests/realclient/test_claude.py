"""Two real Claude Code sessions in one repository cannot clobber each other."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients import MARKS, Background, edit, read, shell, wait_for, write

if TYPE_CHECKING:
    pass

pytestmark = MARKS

Make = "Callable[..., Sessions]"


def test_alone_an_edit_goes_through_and_the_agent_is_on_the_board(sessions: Make) -> None:
    world = sessions()
    seen: dict[str, Any] = {}

    def look(_body: object) -> None:
        seen.update(json.loads(world.command("status", "--json").stdout))

    done = world.run("a", [read("hello.txt"), edit("hello.txt", "hello", "goodbye"), {"text": "Done.", "call": look}])
    assert done.rc == 0
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    (agent,) = seen["agents"]
    assert agent["client"] == "claude"
    assert agent["status"] == "active"
    assert agent["pid"] is not None
    assert agent["id"] == f"claude-{agent['session'][-8:]}"
    assert seen["locks"] == [], "an agent that is alone takes none"
    assert "agent-sync" not in world.seen("a"), "a lonely agent is told nothing"


def test_the_second_sessions_edit_and_write_are_denied_with_a_reason_it_can_act_on(
    sessions: Make, tmp_path: Path
) -> None:
    world = sessions()
    edited, finished = tmp_path / "edited", tmp_path / "finished"
    first = Background(
        world,
        "a",
        [
            read("hello.txt"),
            edit("hello.txt", "hello", "goodbye"),
            {"text": "Done.", "touch_file": str(edited)} | {"wait_file": str(finished), "wait_s": 60},
        ],
    )
    end = time.monotonic() + 60
    while (world.repo / "hello.txt").read_text() != "goodbye world\n":
        assert time.monotonic() < end
        time.sleep(0.02)
    try:
        world.run(
            "b",
            [
                read("hello.txt"),
                edit("hello.txt", "goodbye", "CLOBBERED"),
                write("hello.txt", "CLOBBERED\n"),
                edit("other.txt", "other", "mine"),
                read("other.txt"),
                edit("other.txt", "other", "mine"),
            ],
        )
        assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
        assert (world.repo / "other.txt").read_text() == "mine\n", "what nobody works on is free"
        locks = json.loads(world.command("locks", "--json").stdout)
        (lock,) = [lock for lock in locks if lock["path"] == "hello.txt"]
        results = [
            block
            for row in world.requests("b")
            for message in row["body"]["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
            if block.get("type") == "tool_result" and block.get("is_error")
        ]
        denials = [json.dumps(result) for result in results if "another agent is working" in json.dumps(result)]
        assert len({json.loads(d)["tool_use_id"] for d in denials}) == 2, "Edit and Write"
        text = denials[0]
        assert lock["holder"] in text
        assert "hello.txt" in text
        assert "since: " in text
        assert "until: " in text
        assert "Next: " in text
        assert "python" not in text
        assert ".claude/hooks" not in text
        assert "untrusted" in text
    finally:
        finished.touch()
        first.join()


def test_a_killed_session_lets_go_at_once(sessions: Make, tmp_path: Path) -> None:
    world = sessions()
    never = tmp_path / "never"
    first = Background(
        world,
        "a",
        [
            shell("agent-sync lock hello.txt --reason 'half way through'"),
            {"text": "Done.", "wait_file": str(never), "wait_s": 20},
        ],
        mode="bypassPermissions",
    )
    lock = world.repo / ".claude/coordination/locks/hello.txt.json"
    wait_for(lock)
    holder = json.loads(lock.read_text())["holder"]
    agent = json.loads((world.repo / f".claude/coordination/agents/{holder}.json").read_text())
    assert agent["client"] == "claude", "the shell's agent-sync is the session's agent"
    assert agent["pid"] == first.process.pid
    os.killpg(first.process.pid, signal.SIGKILL)
    never.touch()
    first.join()
    world.run("b", [read("hello.txt"), edit("hello.txt", "hello", "rescued")])
    assert (world.repo / "hello.txt").read_text() == "rescued world\n"


def test_a_cleared_conversation_keeps_its_locks(sessions: Make) -> None:
    world = sessions()
    world.command("register", "--name", "observer")
    turns = [shell("agent-sync lock hello.txt --reason mine"), {"text": "Locked."}]
    turns += [shell("agent-sync whoami; agent-sync check hello.txt"), read("hello.txt")]
    turns += [edit("hello.txt", "hello", "cleared"), {"text": "Edited."}]
    world.run("a", turns, prompts=["lock it", "/clear", "edit it"], mode="bypassPermissions")
    assert (world.repo / "hello.txt").read_text() == "cleared world\n"
    locks = json.loads(world.command("locks", "--json").stdout)
    assert [lock["path"] for lock in locks if not lock["auto"]] == ["hello.txt"]


@pytest.mark.parametrize("name", ["with space", "it's", 'quo"te', "do$llar", "ünïcödé"])
def test_any_repository_path_works(sessions: Make, name: str) -> None:
    world = sessions(name)
    world.command("lock", "other.txt", "--reason", "hands off")
    world.run(
        "a",
        [read("hello.txt"), edit("hello.txt", "hello", "goodbye"), read("other.txt"), edit("other.txt", "other", "no")],
    )
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert "hands off" in world.seen("a")


def test_strict_blocks_the_edit_when_the_hook_is_gone(sessions: Make) -> None:
    world = sessions("repo", "--strict")
    (world.repo / ".claude/hooks/agent-sync").unlink()
    world.run("a", [read("hello.txt"), edit("hello.txt", "hello", "goodbye")])
    assert (world.repo / "hello.txt").read_text() == "hello world\n"


def test_without_strict_a_missing_hook_lets_the_edit_through(sessions: Make) -> None:
    world = sessions()
    (world.repo / ".claude/hooks/agent-sync").unlink()
    world.run("a", [read("hello.txt"), edit("hello.txt", "hello", "goodbye")])
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"


def test_an_uninstalled_repository_is_as_it_was(sessions: Make) -> None:
    world = sessions()
    assert world.command("uninstall").returncode == 0
    assert not (world.repo / ".claude/settings.json").exists()
    world.command("lock", "hello.txt")
    world.run("a", [read("hello.txt"), edit("hello.txt", "hello", "goodbye")])
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"


def test_the_overhead_is_that_of_a_hook_that_does_nothing(
    sessions: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not asserted beyond being there: prints what the client's own log says, ours beside `true`."""
    world = sessions()
    settings = json.loads((world.repo / ".claude/settings.json").read_text())
    nothing = {"type": "command", "command": "/bin/true", "args": ["nothing"]}
    settings["hooks"]["PreToolUse"].append({"matcher": "Edit", "hooks": [nothing]})
    (world.repo / ".claude/settings.json").write_text(json.dumps(settings))
    turns = [read("hello.txt")]
    for i in range(8):
        old = "hello" if i == 0 else f"v{i - 1}"
        turns.append(edit("hello.txt", old, f"v{i}"))
    log = tmp_path / "debug.log"
    world.run("a", turns, debug_file=log)
    assert (world.repo / "hello.txt").read_text() == "v7 world\n"
    times: dict[str, list[int]] = {"agent-sync": [], "true": []}
    for line in log.read_text().splitlines():
        found = re.search(r"PreToolUse:Edit \[(.*)\] finished with status 0 \((\d+)ms\)", line)
        if found:
            times["true" if "true" in found[1] else "agent-sync"].append(int(found[2]))
    assert len(times["agent-sync"]) == len(times["true"]) == 8
    with capsys.disabled():
        medians = {name: statistics.median(values) for name, values in times.items()}
        print(f"\nPreToolUse in the client's own log, medians of 8: {medians} ms")
