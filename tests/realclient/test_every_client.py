"""What holds for every client that can be run here: each real one, in a repository with its hooks installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients import DRIVERS, MARKS
from rounds import LONG

from agentsync.ops.identity import id_of_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = MARKS

CLIENTS = [name for name in DRIVERS if name != "claude"]

every_client = pytest.mark.parametrize("client", CLIENTS)
quick_clients = pytest.mark.parametrize("client", [name for name in CLIENTS if LONG or name != "opencode"])
"""A session of OpenCode takes five seconds of a processor and more: by default, one in `test_opencode` shows these."""

HELLO = ("hello.txt", "hello world", "goodbye world")
OTHER = ("other.txt", "other", "CLOBBERED")


def shown(text: str) -> str:
    """A text as some clients pass it on: without their escapes."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("\\u003c", "<").replace("\\u003e", ">")


@quick_clients
def test_alone_an_edit_goes_through_and_the_agent_is_on_the_board_with_its_process(sessions: Make, client: str) -> None:
    world, model = sessions(clients=(client,)), DRIVERS[client]
    seen: dict[str, Any] = {}

    def look(_request: object) -> None:
        seen.update(world.agent(client))
        seen["program"] = Path(f"/proc/{seen['pid']}/cmdline").read_bytes().decode()

    done = world.run("a", [model.edit(*HELLO), {"text": "Done.", "call": look}])
    assert done.rc == 0
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert seen["status"] == "active"
    assert seen["id"] == id_of_session(client, seen["session"])
    assert client in seen["program"]
    assert world.data("locks") == [], "an agent that is alone takes none"
    assert "trust=" not in world.seen("a"), "a lonely agent is told nothing"


@quick_clients
def test_an_edit_of_a_held_file_is_denied_and_the_model_learns_why(sessions: Make, client: str) -> None:
    world, model = sessions(clients=(client,)), DRIVERS[client]
    world.command("lock", "other.txt", "--reason", "rewriting it")
    taken: list[dict[str, Any]] = []
    done = world.run(
        "a",
        [
            model.edit(*OTHER),
            model.edit(*HELLO),
            {"text": "Done.", "call": lambda _request: taken.extend(world.data("locks"))},
        ],
    )
    assert done.rc == 0
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n", "what nobody works on is free"
    assert world.first_seen("a", "another agent is working") == 1, "with the answer to that very call"
    told = shown(world.seen("a"))
    for fact in ("observer", "other.txt", "since: ", "until: ", "Next: ", "untrusted"):
        assert fact in told
    assert ".claude/hooks" not in told
    (lock,) = [lock for lock in taken if lock["path"] == "hello.txt"]
    assert lock["holder"].startswith(f"{client}-")


@quick_clients
def test_a_command_that_would_write_a_held_file_is_denied_and_the_model_learns_why(sessions: Make, client: str) -> None:
    world, model = sessions(clients=(client,)), DRIVERS[client]
    world.command("lock", "other.txt", "--reason", "rewriting it")
    turns = [
        model.shell("echo CLOBBERED > other.txt"),
        model.shell("mkdir -p sub && cd sub && sed -i s/other/CLOBBERED/ ../other.txt"),
        model.shell("cat other.txt && echo mine > hello.txt"),
        {"text": "Done."},
    ]
    world.run("a", turns)
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert (world.repo / "hello.txt").read_text() == "mine\n", "what nobody works on is free"
    told = shown(world.seen("a"))
    assert told.count("another agent is working") >= 2
    assert "sed -i" in told


@every_client
def test_a_session_is_told_the_board_at_its_start_and_mail_with_the_prompt(sessions: Make, client: str) -> None:
    world = sessions(clients=(client,))
    world.command("register", "--name", "observer")
    world.command("lock", "other.txt", "--reason", "rewriting it")
    world.command("send", "--to", "all", "--message", "we use tabs")
    world.run("a", [{"text": "Done."}])
    first = shown(world.bodies("a")[0])
    assert "other.txt" in first
    assert first.count("we use tabs") == 1
    assert "trust=" in first


@quick_clients
def test_mail_reaches_the_model_in_the_middle_of_its_turn_once(sessions: Make, client: str) -> None:
    world, model = sessions(clients=(client,)), DRIVERS[client]
    turns = [
        model.shell("echo one"),
        model.shell("echo two", call=world.sends(client, "the schema has changed")),
        model.shell("echo three"),
        {"text": "Done."},
    ]
    assert world.run("a", turns).rc == 0
    assert world.first_seen("a", "the schema has changed") == 2, "right after the tool during which it came"
    assert world.seen("a").count("the schema has changed") == 1
    assert len(world.requests("a")) == 4
    (message,) = world.data("sent")
    assert [reader["delivered_at"] is not None for reader in message["readers"]] == [True]


@every_client
def test_mail_at_the_end_of_a_turn_lets_it_go_on_once_and_without_a_loop(sessions: Make, client: str) -> None:
    if client == "opencode":
        pytest.skip("it has no hook at the end of a turn")
    world = sessions(clients=(client,))
    turns = [
        {"text": "Done.", "call": world.sends(client, "one more thing")},
        {"text": "Done with that too.", "call": world.sends(client, "and another")},
        {"text": "No request should come to this."},
    ]
    assert world.run("a", turns).rc == 0
    assert len(world.requests("a")) == 2, "the turn went on once, and ended although more had come meanwhile"
    assert world.seen("a").count("one more thing") == 1
    assert ".claude/hooks" not in world.seen("a")
    waiting = [message["body"] for message in world.data("sent") if not message["readers"][0]["delivered_at"]]
    assert waiting == ["and another"]


@quick_clients
def test_its_shell_is_the_same_agent(sessions: Make, client: str) -> None:
    world, model = sessions(clients=(client,)), DRIVERS[client]
    world.command("register", "--name", "observer")
    turns = [
        model.shell(f"{world.cli} whoami --json > who.json; {world.cli} lock hello.txt --reason mine"),
        model.edit(*HELLO),
        {"text": "Done."},
    ]
    world.run("a", turns)
    who = json.loads((world.repo / "who.json").read_text())
    assert who["registered"]
    assert who["client"] == client
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    (lock,) = [lock for lock in world.data("locks") if not lock["auto"]]
    assert lock["holder"] == who["id"]


@quick_clients
def test_inside_a_shell_of_another_client_it_is_still_itself(sessions: Make, client: str) -> None:
    """It inherits the variables of the client around it."""
    world, model = sessions(clients=(client,)), DRIVERS[client]
    around = {"CLAUDE_CODE_SESSION_ID": "0f0e0d0c-1111-4222-8333-0123456789ab"}
    world.command("register", AGENT_SYNC_ID="", **around)
    world.command("lock", "other.txt", "--reason", "the outer one's", AGENT_SYNC_ID="", **around)
    turns = [model.shell(f"{world.cli} whoami --json > who.json"), model.edit(*OTHER), {"text": "Done."}]
    world.run("a", turns, env=around)
    assert json.loads((world.repo / "who.json").read_text())["client"] == client
    assert (world.repo / "other.txt").read_text() == "other\n"


@every_client
@pytest.mark.parametrize("name", ["it's a $HOME, ünïcödé"])
def test_any_repository_path_works(sessions: Make, client: str, name: str) -> None:
    world, model = sessions(name, clients=(client,)), DRIVERS[client]
    world.command("lock", "other.txt", "--reason", "hands off")
    world.run("a", [model.edit(*HELLO), model.edit(*OTHER), {"text": "Done."}])
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert "hands off" in world.seen("a")


@quick_clients
def test_alone_a_large_file_is_written_although_nobody_reads_the_payload(sessions: Make, client: str) -> None:
    world, model = sessions(clients=(client,)), DRIVERS[client]
    text = "a line of some length\n" * 20_000
    world.run("a", [model.write("large.txt", text), {"text": "Done."}])
    assert (world.repo / "large.txt").read_text() == text


@every_client
def test_strict_blocks_the_edit_when_the_hook_is_gone(sessions: Make, client: str) -> None:
    world, model = sessions("repo", "--strict", clients=(client,)), DRIVERS[client]
    (world.repo / ".claude/hooks/agent-sync").unlink()
    world.run("a", [model.edit(*HELLO), {"text": "Done."}])
    assert (world.repo / "hello.txt").read_text() == "hello world\n"
    if client != "copilot":  # which shows its model nothing of a hook that failed
        assert "is gone" in world.seen("a")


@quick_clients
def test_without_strict_a_missing_hook_lets_the_edit_through(sessions: Make, client: str) -> None:
    world, model = sessions(clients=(client,)), DRIVERS[client]
    (world.repo / ".claude/hooks/agent-sync").unlink()
    world.run("a", [model.edit(*HELLO), {"text": "Done."}])
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"


@every_client
def test_it_and_claude_code_exclude_each_other(sessions: Make, client: str, tmp_path: Path) -> None:
    """Each has a file of its own; then each tries to edit the other's."""
    world, model, claude = sessions(clients=(client, "claude")), DRIVERS[client], DRIVERS["claude"]
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    read = {
        "tools": [{"name": "Read", "input": {"file_path": f"${{REPO}}/{name}"}} for name in ("hello.txt", "other.txt")]
    }
    other = world.background(
        "claude",
        [
            read,
            {**claude.edit("other.txt", "other", "of claude"), "wait_file": str(mine), "wait_s": 80},
            claude.edit("hello.txt", "of", "CLOBBERED"),
            claude.shell("echo", touch_file=str(theirs)),  # asked for when the edit before it has been answered
            {"text": "Done.", "wait_file": str(tmp_path / "end"), "wait_s": 80},  # a session that ends lets go
        ],
        client="claude",
    )
    turns = [
        model.edit("hello.txt", "hello world", f"of {client}"),
        model.shell("echo", touch_file=str(mine)),
        model.edit("other.txt", "of claude", "CLOBBERED", wait_file=str(theirs), wait_s=80),
        {"text": "Done.", "touch_file": str(tmp_path / "end")},
    ]
    world.run("a", turns)
    other.join()
    assert (world.repo / "hello.txt").read_text() == f"of {client}\n"
    assert (world.repo / "other.txt").read_text() == "of claude\n"
    assert "claude-" in world.seen("a")
    assert f"{client}-" in world.seen("claude")


@every_client
def test_an_uninstalled_repository_is_as_it_was(sessions: Make, client: str) -> None:
    from agentsync import clients

    world, model = sessions(clients=(client,)), DRIVERS[client]
    settings = world.repo / clients.get(client).SETTINGS
    assert settings.exists()
    assert world.command("uninstall", "--client", client).returncode == 0
    assert not settings.exists()
    assert not settings.parent.exists()
    world.command("lock", "hello.txt")
    world.run("a", [model.edit(*HELLO), {"text": "Done."}])
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
