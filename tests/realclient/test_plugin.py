"""The plugin in the real Claude Code and the real Codex: valid, installed from its marketplace, at work, and not twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients import edit, read, shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Sessions

    Make = Callable[..., Sessions]

pytestmark = [
    pytest.mark.realclient,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the harness leaves pipes open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

TOP = Path(__file__).parents[2]
PLUGIN = "agent-sync@agentsync"
SKILL = "Working beside other agents"
EVENTS = 7


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository as a marketplace has it: what is tracked, or about to be."""
    made = tmp_path / "clone of agentsync"
    for name in ("README.md", ".claude-plugin", ".codex-plugin", "hooks", "agentsync/__init__.py"):
        source, target = TOP / name, made / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return made


def plain(sessions: Make) -> Sessions:
    """A repository without hooks of its own."""
    world = sessions()
    assert world.command("uninstall").returncode == 0
    assert not (world.repo / ".claude/settings.json").exists()
    return world


def claude(world: Sessions, *words: str, home: str = "a") -> str:
    """Run a command of the client in the repository; what it prints."""
    from harness import claude as client

    folder = world.tmp / f"home-{home}"
    folder.mkdir(exist_ok=True)
    env = client.env_for(folder, world.repo, "http://127.0.0.1:9")
    done = subprocess.run(
        [str(client.BIN), *words], cwd=world.repo, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(world: Sessions, clone: Path, home: str = "a") -> None:
    claude(world, "plugin", "marketplace", "add", str(clone), home=home)
    claude(world, "plugin", "install", PLUGIN, "--scope", "project", home=home)


def mail(world: Sessions, body: str) -> Callable[[object], None]:
    """Write to the only session there is, while its model thinks."""

    def write(_request: object) -> None:
        board = json.loads(world.command("status", "--json").stdout)
        (session,) = [agent["id"] for agent in board["agents"] if agent["client"] == "claude"]
        assert world.command("send", "--to", session, "--message", body).returncode == 0

    return write


def results(world: Sessions, name: str) -> list[str]:
    """What the model was answered to its tool calls, each once."""
    found: dict[str, str] = {}
    for message in world.requests(name)[-1]["body"]["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block.get("type") == "tool_result":
                found[block["tool_use_id"]] = json.dumps(block, ensure_ascii=False)
    return list(found.values())


def work(world: Sessions) -> list[dict[str, Any]]:
    return [
        read("hello.txt"),
        edit("hello.txt", "hello", "goodbye", call=mail(world, "the schema has changed")),
        read("other.txt"),
        edit("other.txt", "other", "CLOBBERED"),
        {"text": "Done."},
    ]


# ---------------------------------------------------------------- Claude Code
def test_the_client_finds_the_plugin_and_the_marketplace_valid(sessions: Make, clone: Path) -> None:
    world = plain(sessions)
    for path in (clone, clone / ".claude-plugin/plugin.json", clone / ".claude-plugin/marketplace.json"):
        said = claude(world, "plugin", "validate", "--strict", str(path))
        assert "Validation passed" in said
        assert "error" not in said.lower()
    claude(world, "plugin", "validate", "--profile", "directory", str(clone))


def test_the_client_counts_its_parts_and_what_they_cost_the_model(
    sessions: Make, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = plain(sessions)
    install(world, clone)
    assert json.loads((world.repo / ".claude/settings.json").read_text()) == {"enabledPlugins": {PLUGIN: True}}
    told = claude(world, "plugin", "details", PLUGIN)
    assert re.search(r"Skills \(1\) +agent-sync\n", told)
    assert f"Hooks ({EVENTS})" in told
    assert "MCP servers (0)" in told
    always, on_invoke = re.search(r"^ +agent-sync +~(\d[\d,]*) +~?(\d[\d,.k]*)$", told, re.M).groups()  # type: ignore[union-attr]
    invoked = float(on_invoke.rstrip("k").replace(",", "")) * (1000 if on_invoke.endswith("k") else 1)
    assert int(always) <= 150
    assert invoked <= 1500
    with capsys.disabled():
        print(f"\nthe skill, by the client's own count: {always} tokens in every session, {on_invoke} when it is read")


def test_installed_it_guards_a_repository_that_has_nothing_of_ours(sessions: Make, clone: Path) -> None:
    world = plain(sessions)
    install(world, clone)
    world.command("lock", "other.txt", "--reason", "hands off")
    turns = work(world)
    turns[4:4] = [{"tools": [{"name": "Skill", "input": {"skill": "agent-sync:agent-sync"}}]}]
    done = world.run("a", turns)
    assert done.rc == 0
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    assert (world.repo / "other.txt").read_text() == "other\n"
    answers = results(world, "a")
    assert "hands off" in answers[3]
    assert "holder: observer" in answers[3]
    seen = world.seen("a")
    assert seen.count("the schema has changed") == 1
    assert "agent-sync:agent-sync" in json.dumps(world.requests("a")[0]["body"]), "the skill is offered"
    assert SKILL not in json.dumps(world.requests("a")[-2]["body"]), "and read when it is asked for"
    assert SKILL in seen
    locks = json.loads(world.command("locks", "--json").stdout)
    assert [lock["path"] for lock in locks] == ["other.txt"], "its own went with the session"
    assert (world.repo / ".claude/coordination/python").exists(), "from now on the gate decides by itself"
    assert not (world.repo / ".claude/hooks").exists()


@pytest.mark.parametrize("how", ["plugin", "settings", "both"])
def test_with_hooks_in_the_settings_too_nothing_happens_twice(sessions: Make, clone: Path, how: str) -> None:
    world = plain(sessions)
    world.command("lock", "other.txt", "--reason", "hands off")
    if how != "plugin":
        assert world.command("install", "--client", "claude").returncode == 0
    turns = [*work(world)[:-1], shell("agent-sync whoami"), {"text": "Done."}]
    options = [] if how == "settings" else ["--plugin-dir", str(clone)]
    done = world.run("a", turns, mode="bypassPermissions", extra_args=options)
    assert done.rc == 0
    seen = world.seen("a")
    assert seen.count("the schema has changed") == 1
    assert seen.count("hands off") == 2, "in the greeting and in the refusal"
    first = json.dumps(world.requests("a")[0]["body"], ensure_ascii=False)
    assert first.count("hands off") == 1
    events = json.loads(world.command("log", "--json").stdout)
    verbs = [event["verb"] for event in events if event["actor"].startswith("claude-")]
    assert verbs == ["register", "auto-lock", "deliver", "end"]
    (activity,) = (world.repo / ".claude/coordination/activity").glob("claude-*.ndjson")
    assert len([line for line in activity.read_text().splitlines() if '"edit"' in line]) == 1
    ran = [event for event in done.events if event.get("subtype") == "hook_response"]
    errors = [event for event in ran if event.get("outcome") not in (None, "success") or event.get("stderr")]
    assert errors == []


def test_without_the_package_the_user_is_told_in_one_line_and_edits_go_through(sessions: Make, clone: Path) -> None:
    world = plain(sessions)
    shutil.rmtree(world.repo / ".claude", ignore_errors=True)
    (world.bin / "agent-sync").unlink()
    done = world.run(
        "a", [read("hello.txt"), edit("hello.txt", "hello", "goodbye")], extra_args=["--plugin-dir", str(clone)]
    )
    assert (world.repo / "hello.txt").read_text() == "goodbye world\n"
    said = [line for line in done.out.splitlines() if "not guarded" in line and "SessionStart" in line]
    assert said, "at the start of the session"
    assert "not guarded" not in world.seen("a"), "the model can do nothing about it"


# ---------------------------------------------------------------- Codex
def test_codex_takes_the_skill_and_no_hooks_from_the_same_marketplace(clone: Path, tmp_path: Path) -> None:
    from clients import HARNESS

    if not HARNESS:
        pytest.skip("no real client: AGENTSYNC_REALCLIENTS does not name the harness")
    from harness import codex
    from harness.core import make_repo

    if not codex.BIN.exists():
        pytest.skip(f"no real client: Codex is not installed ({codex.BIN})")
    repo = make_repo(tmp_path / "repo", {"a.txt": "a\n"})
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CODEX_HOME": str(tmp_path / ".codex")}
    (tmp_path / ".codex").mkdir()
    offline = ["unshare", "-n"] if os.geteuid() == 0 and shutil.which("unshare") else []
    for words in (["marketplace", "add", str(clone)], ["add", PLUGIN]):
        subprocess.run(
            [*offline, str(codex.BIN), "plugin", *words], env=env, check=True, capture_output=True, timeout=60
        )
    lists = {"hooks/list": "", "skills/list": ""}
    server = subprocess.Popen(
        [*offline, str(codex.BIN), "app-server"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdin is not None
        assert server.stdout is not None
        asked = [("initialize", {"clientInfo": {"name": "test", "version": "1"}})]
        asked += [(name, {"cwds": [str(repo)]}) for name in lists]  # type: ignore[dict-item]
        for number, (method, params) in enumerate(asked):
            server.stdin.write(json.dumps({"id": number, "method": method, "params": params}) + "\n")
            server.stdin.flush()
            for line in server.stdout:
                if json.loads(line).get("id") == number:
                    lists[method] = line
                    break
    finally:
        server.kill()
        server.communicate()
    (found,) = json.loads(lists["hooks/list"])["result"]["data"]
    assert (found["hooks"], found["errors"]) == ([], []), "Claude Code's hooks are not taken for its own"
    skills = json.loads(lists["skills/list"])["result"]["data"]
    assert [skill["pluginId"] for entry in skills for skill in entry["skills"] if "agent-sync" in skill["name"]] == [
        PLUGIN
    ]
