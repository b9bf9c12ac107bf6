"""A real Claude Code session in one clone, and somebody in another: nobody types `sync` in the first."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from clients import MARKS, edit, read
from world import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = MARKS


class Elsewhere:
    """Bob, in a clone of his own."""

    def __init__(self, world: Sessions, tmp_path: Path) -> None:
        self.world = world
        hub, self.clone = tmp_path / "hub.git", tmp_path / "clone"
        git("init", "-q", "--bare", str(hub), cwd=tmp_path)
        git("clone", "-q", str(world.repo), str(self.clone), cwd=tmp_path)
        assert world.command("remote", "add", str(hub)).returncode == 0
        self.types("remote", "add", str(hub))

    def types(self, *words: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.clone.parent), "AGENT_SYNC_ID": "bob"}
        done = subprocess.run([self.world.cli, *words], cwd=self.clone, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def data(self, *words: str) -> Any:
        return json.loads(self.types(*words, "--json"))

    def is_due(self) -> None:
        os.utime(self.world.repo / ".claude/coordination/remote/due", (1000, 1000))

    def until(self, arrived: Callable[[], Any]) -> Callable[[object], None]:
        """For a turn's `call`: waits until something has come to the session's clone."""

        def wait(_request: object) -> None:
            end = time.monotonic() + 40
            while not arrived():
                assert time.monotonic() < end, "it did not come"
                time.sleep(0.1)

        return wait


def test_a_start_brings_the_locks_of_another_machine_and_an_edit_is_refused(sessions: Make, tmp_path: Path) -> None:
    world = sessions()
    bob = Elsewhere(world, tmp_path)
    bob.types("lock", "--remote", "hello.txt", "--reason", "a new greeting")
    bob.is_due()
    arrived = bob.until(lambda: world.data("locks"))
    turns = [
        {**read("hello.txt"), "call": arrived},
        edit("hello.txt", "hello world", "goodbye world"),
        {"text": "Done."},
    ]
    assert world.run("a", turns).rc == 0
    assert (world.repo / "hello.txt").read_text() == "hello world\n"
    told = world.seen("a")
    assert "another agent is working" in told
    assert "bob (bob." in told
    assert "a new greeting" in told


def test_the_end_of_a_turn_brings_mail_that_the_next_prompt_tells_and_a_receipt_goes_back(
    sessions: Make, tmp_path: Path
) -> None:
    world = sessions()
    bob = Elsewhere(world, tmp_path)

    def writes(_request: object) -> None:
        assert world.command("sync").returncode == 0  # so that Bob knows of the session
        bob.types("sync")
        bob.types("send", "--to", "all", "--message", "the schema has changed")
        bob.types("sync")
        bob.is_due()

    arrived = bob.until(lambda: list((world.repo / ".claude/coordination/inbox").glob("*/*/*.json")))
    turns = [
        {"text": "Done.", "call": writes},
        {"text": "Done again.", "call": arrived},
        {"text": "I see."},
    ]
    assert world.run("a", turns, prompts=["Go.", "Go on.", "What is new?"]).rc == 0
    assert world.first_seen("a", "the schema has changed") == 2
    assert world.command("sync").returncode == 0
    bob.types("sync")
    (message,) = bob.data("sent")
    assert [reader["delivered_at"] is not None for reader in message["readers"] if "claude" in reader["agent"]] == [
        True
    ]
