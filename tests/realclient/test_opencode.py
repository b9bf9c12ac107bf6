"""What is particular to the real OpenCode: its plugin, its subagents, and that reading costs nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clients import DRIVERS, MARKS, turn

from agentsync.ops.identity import id_of_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = MARKS

MODEL = DRIVERS["opencode"]
READ = turn("read", {"filePath": "${REPO}/hello.txt"})


def test_one_session_from_its_start_to_its_end(sessions: Make) -> None:
    """Registered with its process, told the board, refused with the reason, told mail, the same agent in its shell."""
    world = sessions("a repository", clients=("opencode",))
    world.command("register", "--name", "observer")
    world.command("lock", "other.txt", "--reason", "rewriting it")
    turns = [
        READ,
        MODEL.edit("hello.txt", "hello world", "goodbye world"),
        MODEL.edit("other.txt", "other", "CLOBBERED"),
        {**READ, "call": world.sends("opencode", "the schema has changed")},
        MODEL.shell("agent-sync whoami --json > who.json; echo CLOBBERED > other.txt"),
        MODEL.shell("agent-sync whoami --json > who.json"),
        {"text": "Done."},
    ]
    assert world.run("a", turns).rc == 0
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert (world.repo / "other.txt").read_text() == "other\n", "neither by its tool nor by its shell"
    who = json.loads((world.repo / "who.json").read_text())
    assert who["registered"]
    assert who["id"] == id_of_session("opencode", who["session"])
    assert who["pid"] is not None
    assert world.first_seen("a", "lock other.txt by observer") == 0, "with the first prompt"
    assert world.first_seen("a", "another agent is working") == 3, "with the answer to that very call"
    assert "reason: rewriting it" in world.seen("a")
    assert world.first_seen("a", "the schema has changed") == 4, "right after the tool during which it came"
    assert world.seen("a").count("the schema has changed") == 1
    assert ".claude/hooks" not in world.seen("a")
    assert [agent["id"] for agent in world.data("status")["agents"]] == ["observer"], "it has said goodbye"
    assert world.data("locks")[0]["path"] == "other.txt", "and let go of what it had locked by itself"
    assert len(world.data("locks")) == 1


def test_a_subagent_is_its_parent(sessions: Make) -> None:
    """It may edit what the parent holds, and not what others hold; mail waits for the parent."""
    world = sessions(clients=("opencode",))
    world.command("lock", "other.txt", "--reason", "hands off")
    turns = [
        MODEL.shell("agent-sync lock hello.txt --reason mine"),
        turn("task", {"description": "d", "prompt": "SUBAGENT-TASK", "subagent_type": "general"}),
        {"text": "Done."},
    ]
    inner = [
        {**READ, "call": world.sends("opencode", "a word for the parent")},
        MODEL.edit("hello.txt", "hello world", "goodbye world"),
        MODEL.edit("other.txt", "other", "CLOBBERED"),
        {"text": "Done."},
    ]
    world.run("a", turns, routes=[{"match": "SUBAGENT-TASK", "turns": inner}])
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert (world.repo / "other.txt").read_text() == "other\n"
    rows = [json.dumps(row["body"]) for row in world.recorder.rows if row.get("route") == "route0"]
    assert "hands off" in rows[-1]
    assert not any("a word for the parent" in row for row in rows)
    assert world.seen("a").count("a word for the parent") == 1


def test_nothing_is_started_for_a_tool_that_only_reads(sessions: Make) -> None:
    world = sessions(clients=("opencode",))
    gate = world.repo / ".claude/hooks/agent-sync"
    gate.write_text('#!/bin/sh\necho "$1" >>"${0%/*}/started"\n')
    world.run("a", [READ, READ, turn("glob", {"pattern": "*.txt"}), {"text": "Done."}])
    started = gate.with_name("started").read_text().split()
    assert started == ["session-start", "user-prompt-submit", "session-end"]
