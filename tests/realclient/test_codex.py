"""What is Codex's own: patches of several files, code mode, trust, sessions below the root. The rest: every client."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients import DRIVERS, MARKS, patch, turn

from agentsync.clients import codex

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = MARKS

HELLO = DRIVERS["codex"].edit("hello.txt", "hello world", "goodbye world")
CODE_MODE = "gpt-6-sol"
"""A model that calls its tools from JavaScript."""


@pytest.mark.parametrize(
    "held",
    [
        ("*** Update File: other.txt", "@@", "-other", "+CLOBBERED"),
        ("*** Delete File: other.txt",),
        ("*** Update File: other.txt", "*** Move to: moved.txt", "@@", "-other", "+CLOBBERED"),
        ("*** Add File: sub/held.txt", "+CLOBBERED"),
    ],
    ids=["update", "delete", "move away", "add"],
)
def test_a_patch_is_denied_as_a_whole_when_one_of_its_files_is_held(sessions: Make, held: tuple[str, ...]) -> None:
    world = sessions(clients=("codex",))
    world.command("lock", "other.txt", "sub/held.txt", "--reason", "rewriting it")
    several = patch(
        "*** Update File: hello.txt", "@@", "-hello world", "+goodbye world", *held, "*** Add File: n", "+x"
    )
    world.run("a", [several, {"text": "Done."}])
    assert sorted(path.name for path in world.repo.iterdir() if path.name[0] != ".") == ["hello.txt", "other.txt"]
    assert (world.repo / "hello.txt").read_text() == "hello world\n"
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert "rewriting it" in world.seen("a")
    assert [lock["path"] for lock in world.data("locks")] == ["other.txt", "sub/held.txt"], "nothing was locked for it"


def test_a_file_may_not_be_moved_onto_a_held_one(sessions: Make) -> None:
    world = sessions(clients=("codex",))
    world.command("lock", "other.txt", "--reason", "rewriting it")
    move = patch("*** Update File: hello.txt", "*** Move to: other.txt", "@@", "-hello world", "+CLOBBERED")
    world.run("a", [move, {"text": "Done."}])
    assert (world.repo / "hello.txt").read_text() == "hello world\n"
    assert (world.repo / "other.txt").read_text() == "other\n"


def test_a_patch_of_several_free_files_locks_them_all(sessions: Make) -> None:
    world = sessions(clients=("codex",))
    world.command("register", "--name", "observer")
    seen: list[str] = []

    def look(_request: object) -> None:
        seen.extend(sorted(lock["path"] for lock in world.data("locks")))

    move = ("*** Update File: hello.txt", "*** Move to: moved.txt", "@@", "-hello world", "+goodbye world")
    world.run("a", [patch(*move, "*** Add File: new.txt", "+x"), {"text": "Done.", "call": look}])
    assert (world.repo / "moved.txt").read_text() == "goodbye world\n"
    assert seen == ["hello.txt", "moved.txt", "new.txt"]


def test_calls_from_code_mode_are_judged_too(sessions: Make) -> None:
    world = sessions(clients=("codex",))
    world.command("lock", "other.txt", "--reason", "rewriting it")

    def applied(name: str, old: str, new: str) -> dict[str, Any]:
        text = DRIVERS["codex"].edit(name, old, new)["tools"][0]["input"]
        return turn("exec", f"text(JSON.stringify(await tools.apply_patch({json.dumps(text)})))")

    turns = [applied("other.txt", "other", "CLOBBERED"), applied("hello.txt", "hello world", "goodbye world")]
    world.run("a", [*turns, {"text": "Done."}], model=CODE_MODE)
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert "rewriting it" in world.seen("a")


def test_below_the_root_of_the_repository_it_is_guarded_too(sessions: Make) -> None:
    world = sessions(clients=("codex",))
    (world.repo / "sub").mkdir()
    (world.repo / "sub/hello.txt").write_text("hello world\n")
    world.command("lock", "other.txt", "--reason", "rewriting it")
    trusted = f'[projects."{world.repo}"]\ntrust_level = "trusted"\n'
    seen: list[str] = []

    def look(_request: object) -> None:
        seen.extend(lock["path"] for lock in world.data("locks"))

    held = patch("*** Update File: ../other.txt", "@@", "-other", "+CLOBBERED")
    turns = [held, HELLO, {"text": "Done.", "call": look}]
    world.run("a", turns, cwd="sub", extra_toml=trusted)
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert (world.repo / "sub/hello.txt").read_text() == "goodbye world\n"
    assert seen == ["other.txt", "sub/hello.txt"]


def test_a_command_elsewhere_hears_the_mail_of_its_session(sessions: Make, tmp_path: Path) -> None:
    """Its payload names the folder of the command, which belongs to no repository."""
    world = sessions(clients=("codex",))
    elsewhere = turn("exec_command", {"cmd": "echo", "workdir": str(tmp_path)})
    turns = [HELLO, {**elsewhere, "call": world.sends("codex", "the schema has changed")}, {"text": "Done."}]
    world.run("a", turns)
    assert world.first_seen("a", "the schema has changed") == 2
    assert not (tmp_path / ".claude").exists()


def test_a_command_is_judged_where_it_runs(sessions: Make) -> None:
    world = sessions(clients=("codex",))
    (world.repo / "sub").mkdir()
    (world.repo / "sub/held.txt").write_text("held\n")
    world.command("lock", "sub/held.txt", "--reason", "rewriting it")
    turns = [
        turn("exec_command", {"cmd": "echo CLOBBERED > held.txt", "workdir": str(world.repo / "sub")}),
        turn("exec_command", {"cmd": "echo mine > held.txt"}),
        {"text": "Done."},
    ]
    world.run("a", turns)
    assert (world.repo / "sub/held.txt").read_text() == "held\n"
    assert (world.repo / "held.txt").read_text() == "mine\n"
    assert "rewriting it" in world.seen("a")


def test_a_patch_in_a_command_is_an_edit(sessions: Make) -> None:
    world = sessions(clients=("codex",))
    world.command("lock", "other.txt", "--reason", "rewriting it")
    held = DRIVERS["codex"].edit("other.txt", "other", "CLOBBERED")["tools"][0]["input"]
    free = HELLO["tools"][0]["input"]
    turns = [turn("exec_command", {"cmd": f"apply_patch <<'EOF'\n{text}\nEOF"}) for text in (held, free)]
    world.run("a", [*turns, {"text": "Done."}])
    assert (world.repo / "other.txt").read_text() == "other\n"
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert "rewriting it" in world.seen("a")


# ---------------------------------------------------------------- trust
def trusted_hashes(world: Sessions, home: Path) -> str:
    """What a user's approval with `/hooks` leaves in the client's configuration."""
    from harness import codex as client
    from harness.core import clean_env

    (home / ".codex").mkdir(parents=True, exist_ok=True)
    client.seed_home(home, world.repo, "http://127.0.0.1:9", "gpt-5.5")
    asked: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "t", "version": "1"}}},
        {"method": "initialized"},
        {"id": 2, "method": "hooks/list", "params": {"cwds": [str(world.repo)]}},
    ]
    process = subprocess.Popen(
        [str(client.BIN), "app-server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=world.repo,
        env=clean_env(home, CODEX_HOME=str(home / ".codex"), FAKE_API_KEY="dummy"),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(json.dumps(line) + "\n" for line in asked))
    process.stdin.flush()
    answer: dict[str, Any] = next(line for line in map(json.loads, process.stdout) if line.get("id") == 2)
    process.stdin.close()
    process.terminate()
    process.wait()
    process.stdout.close()
    (found,) = answer["result"]["data"]
    return "".join(
        f'[hooks.state."{hook["key"]}"]\ntrusted_hash = "{hook["currentHash"]}"\n' for hook in found["hooks"]
    )


def test_hooks_run_once_they_are_approved_and_stay_so_after_another_installation(
    sessions: Make, tmp_path: Path
) -> None:
    world = sessions(clients=("codex",))
    world.command("lock", "hello.txt", "--reason", "rewriting it")
    world.run("never", [HELLO, {"text": "Done."}], bypass_hook_trust=False)
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n", "not approved: skipped without a word"
    (world.repo / "hello.txt").write_text("hello world\n")
    approval = trusted_hashes(world, tmp_path / "home-approver")
    assert approval.count("trusted_hash") == len(codex.EVENTS)
    for words in (["uninstall", "--client", "codex"], ["install", "--client", "codex"]):
        assert world.command(*words).returncode == 0
    world.run("approved", [HELLO, {"text": "Done."}], bypass_hook_trust=False, extra_toml=approval)
    assert (world.repo / "hello.txt").read_text() == "hello world\n"
    assert "rewriting it" in world.seen("approved")


def test_install_says_that_the_hooks_must_be_approved(sessions: Make) -> None:
    world = sessions(clients=("codex",))
    said = world.command("install", "--client", "codex").stdout
    assert "/hooks" in said
    assert all(limit in said for limit in codex.LIMITS)
