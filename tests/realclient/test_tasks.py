"""A real Claude Code session that is handed its next task at its start, and works on it as the agent it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from clients import MARKS, edit, read, shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = MARKS


def tasks(world: Sessions) -> dict[str, dict[str, Any]]:
    return {task["title"]: task for task in json.loads(world.command("tasks", "--json").stdout)}


def test_a_new_session_is_handed_the_best_task_and_completes_it_in_its_shell(sessions: Make) -> None:
    world = sessions()
    world.command("create-task", "Say goodbye", "--file", "hello.txt", "--description", "politely", "--priority", "5")
    world.command("create-task", "Something else")
    turns = [
        read("hello.txt"),
        edit("hello.txt", "hello", "goodbye"),
        shell('agent-sync complete-task "say goodbye"'),
        {"text": "Done."},
    ]
    done = world.run("a", turns, mode="bypassPermissions", env={"AGENT_SYNC_AUTO_CLAIM": "1"})
    assert done.rc == 0
    first = json.dumps(world.requests("a")[0]["body"])
    assert "Say goodbye" in first
    assert "description: politely" in first
    found = tasks(world)
    assert found["Say goodbye"]["status"] == "done", "its shell is the same agent, so nobody had to force it"
    assert found["Say goodbye"]["owner"].startswith("claude-")
    assert found["Something else"]["status"] == "pending", "one task is enough"


def test_without_the_variable_nothing_is_claimed(sessions: Make) -> None:
    world = sessions()
    world.command("create-task", "Say goodbye")
    assert world.run("a", [{"text": "Done."}]).rc == 0
    assert tasks(world)["Say goodbye"]["owner"] is None
