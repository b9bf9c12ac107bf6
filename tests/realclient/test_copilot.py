"""What is particular to the real Copilot CLI: it runs Claude Code's hooks too, and its GPT models write patches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from clients import DRIVERS, MARKS, turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = MARKS

MODEL = DRIVERS["copilot"]


@pytest.mark.parametrize("clients", [("copilot",), ("copilot", "claude"), ("claude",)], ids=" and ".join)
def test_one_session_with_its_own_hooks_with_claude_codes_or_with_both(
    sessions: Make, clients: tuple[str, ...]
) -> None:
    """Whichever are installed: it is one agent, refused once, told once."""
    world = sessions("a repository", clients=clients)
    world.command("register", "--name", "observer")
    world.command("lock", "other.txt", "--reason", "rewriting it")
    turns = [
        turn("view", {"path": "${REPO}/hello.txt"}),
        MODEL.edit("hello.txt", "hello world", "goodbye world"),
        MODEL.edit("other.txt", "other", "CLOBBERED"),
        MODEL.shell("echo CLOBBERED > other.txt"),
        MODEL.shell("agent-sync whoami --json > who.json", call=world.sends("copilot", "the schema has changed")),
        {"text": "Done.", "call": world.sends("copilot", "one more thing")},
        {"text": "Done with that too.", "call": world.sends("copilot", "and another")},
        {"text": "No request should come to this."},
    ]
    assert world.run("a", turns, client="copilot").rc == 0
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert (world.repo / "other.txt").read_text() == "other\n", "neither by its tool nor by its shell"
    who = json.loads((world.repo / "who.json").read_text())
    assert who["registered"]
    assert who["id"] == f"copilot-{who['session'][-8:]}"
    assert who["pid"] is not None
    told = world.seen("a")
    assert told.count("lock other.txt by observer") == 1, "at its start"
    assert told.count("another agent is working") == 2, "by each refused call"
    assert world.first_seen("a", "another agent is working") == 3
    assert "reason: rewriting it" in told
    assert told.count("the schema has changed") == 1
    assert world.first_seen("a", "the schema has changed") == 5, "right after the tool during which it came"
    assert told.count("one more thing") == 1
    assert "and another" not in told, "the turn goes on once"
    assert ".claude/hooks" not in told
    assert [agent["id"] for agent in world.data("status")["agents"]] == ["observer"], "it has said goodbye"


def test_a_patch_of_a_gpt_model_is_refused_for_any_of_its_files(sessions: Make) -> None:
    world = sessions(clients=("copilot",))
    world.command("lock", "other.txt", "--reason", "hands off")
    lines = ["*** Begin Patch", "*** Update File: hello.txt", "@@", "-hello world", "+goodbye world"]
    lines += ["*** Update File: other.txt", "@@", "-other", "+CLOBBERED", "*** End Patch"]
    world.run("a", [turn("apply_patch", {"input": "\n".join(lines)}), {"text": "Done."}], model="gpt-5.1-codex")
    assert (world.repo / "hello.txt").read_text() == "hello world\n"
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert "hands off" in world.seen("a")
