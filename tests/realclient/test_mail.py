"""What one real Claude Code session is told while it works, and how often its model gets to see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from clients import MARKS, edit, read, shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = MARKS


def sends(world: Sessions, to: str, body: str, *options: str) -> Callable[[object], None]:
    """Write to the session while its model thinks; `to` may be `it`, the only session there is."""

    def write(_request: object) -> None:
        board = json.loads(world.command("status", "--json").stdout)
        (session,) = [agent["id"] for agent in board["agents"] if agent["client"] == "claude"]
        done = world.command("send", "--to", session if to == "it" else to, "--message", body, *options)
        assert done.returncode == 0, done.stderr

    return write


def times_told(world: Sessions, name: str, words: str) -> int:
    return world.seen(name).count(words)


@pytest.mark.parametrize(
    "tool",
    [read("hello.txt"), shell("echo working"), edit("hello.txt", "hello", "goodbye")],
    ids=["Read", "Bash", "Edit"],
)
def test_mail_reaches_the_model_in_the_middle_of_its_turn_once(sessions: Make, tool: dict[str, Any]) -> None:
    world = sessions()
    turns = [
        read("hello.txt"),
        {**tool, "call": sends(world, "it", "the schema has changed")},
        shell("echo still working"),
        shell("echo and on"),
        {"text": "Done."},
    ]
    done = world.run("a", turns, mode="bypassPermissions")
    assert done.rc == 0
    assert world.first_seen("a", "the schema has changed") == 2, "right after the tool during which it came"
    assert times_told(world, "a", "the schema has changed") == 1
    assert len(world.requests("a")) == 5
    assert "to you: the schema has changed" in world.seen("a")
    assert "trust=" in world.seen("a")
    (message,) = json.loads(world.command("sent", "--json").stdout)
    assert [reader["delivered_at"] is not None for reader in message["readers"]] == [True]


def test_mail_at_the_end_of_a_turn_lets_it_go_on_once_clean_and_without_a_loop(sessions: Make) -> None:
    world = sessions()
    turns = [
        read("hello.txt"),
        {"text": "Done.", "call": sends(world, "it", "one more thing")},
        {"text": "Done with that too.", "call": sends(world, "it", "and another")},
        {"text": "No request should come to this."},
    ]
    done = world.run("a", turns)
    assert done.rc == 0
    assert len(world.requests("a")) == 3, "the turn went on once, and ended although more had come meanwhile"
    assert times_told(world, "a", "one more thing") == 1
    assert world.first_seen("a", "and another") is None
    told = world.seen("a")
    assert "agent-sync stop" not in told
    assert ".claude/hooks" not in told
    assert "blocking error" not in told
    waiting = [
        m["body"] for m in json.loads(world.command("sent", "--json").stdout) if not m["readers"][0]["delivered_at"]
    ]
    assert waiting == ["and another"]


def test_a_broadcast_comes_with_the_next_prompt_and_not_before(sessions: Make) -> None:
    world = sessions()
    turns = [
        {**read("hello.txt"), "call": sends(world, "all", "we use tabs")},
        shell("echo working"),
        {"text": "Done."},
        shell("echo again"),
        {"text": "Done again."},
    ]
    world.run("a", turns, prompts=["Begin.", "Go on."], mode="bypassPermissions")
    assert len(world.requests("a")) == 5, "no turn was held"
    assert world.first_seen("a", "we use tabs") == 3
    assert times_told(world, "a", "we use tabs") == 1


def test_an_urgent_broadcast_comes_in_the_middle_of_a_turn(sessions: Make) -> None:
    world = sessions()
    turns = [
        {**read("hello.txt"), "call": sends(world, "all", "stop pushing", "--urgent")},
        shell("echo working"),
        {"text": "Done."},
    ]
    world.run("a", turns, mode="bypassPermissions")
    assert world.first_seen("a", "stop pushing") == 1
    assert times_told(world, "a", "stop pushing") == 1


def test_two_sessions_answer_each_other(sessions: Make) -> None:
    """The model of one is told by the other how to answer, and the answer arrives."""
    world = sessions()
    turns = [
        {**read("hello.txt"), "call": sends(world, "it", "is it done?")},
        shell(
            "agent-sync send --to observer --reply-to $(agent-sync inbox --all | grep -o 'm-[0-9]*' | head -1) --message yes"
        ),
        {"text": "Done."},
    ]
    world.run("a", turns, mode="bypassPermissions")
    (answer,) = json.loads(world.command("inbox", "--json").stdout)
    (question,) = json.loads(world.command("sent", "--json").stdout)
    assert (answer["body"], answer["reply_to"]) == ("yes", question["id"])
