"""What the plugins, the marketplace and the MCP registry are told about us is what the package is."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentsync import __version__
from agentsync.cli.parser import build
from agentsync.clients import claude
from agentsync.ops.snippet import LINES

TOP = Path(__file__).parent.parent
SKILL = TOP / ".claude-plugin/skills/agent-sync/SKILL.md"


def loaded(name: str) -> Any:
    return json.loads((TOP / name).read_text(encoding="utf-8"))


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", TOP / ".claude-plugin/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- the files
@pytest.mark.parametrize("name", sorted(generator().files()))
def test_a_generated_file_is_what_its_generator_makes(name: str) -> None:
    made = generator()
    assert (TOP / name).read_text(encoding="utf-8") == made.text(made.files()[name]), (
        "python .claude-plugin/generate.py"
    )


def test_the_generator_checks_without_writing() -> None:
    done = subprocess.run(
        [sys.executable, TOP / ".claude-plugin/generate.py", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_plugins_hooks_are_those_that_install_puts_into_the_settings() -> None:
    hooks = loaded("hooks/hooks.json")["hooks"]
    installed = claude.handlers(strict=False)
    assert list(hooks) == list(installed)
    for event, (group,) in hooks.items():
        (ours,), (theirs,) = group["hooks"], installed[event]["hooks"]
        assert group.get("matcher") == installed[event].get("matcher")
        there = "${CLAUDE_PLUGIN_ROOT}/hooks/gate"
        assert ours == {**theirs, "command": there, "bash": theirs["bash"].replace(theirs["command"], there)}


def test_every_manifest_has_the_packages_version() -> None:
    server = loaded(".mcp/server.json")
    versions = {loaded(f".{client}-plugin/plugin.json")["version"] for client in ("claude", "codex")}
    versions |= {server["version"], *(package["version"] for package in server["packages"])}
    assert versions == {__version__}
    assert f"agentsync[mcp]=={__version__}" in json.dumps(server)


def test_what_a_manifest_names_is_there() -> None:
    for name in (".claude-plugin/plugin.json", ".codex-plugin/plugin.json"):
        skills = loaded(name)["skills"]
        for folder in [skills] if isinstance(skills, str) else skills:
            assert [path.parent.name for path in (TOP / folder).glob("*/SKILL.md")] == ["agent-sync"]
    (plugin,) = loaded(".claude-plugin/marketplace.json")["plugins"]
    assert plugin["name"] == loaded(".claude-plugin/plugin.json")["name"]
    assert (TOP / plugin["source"] / ".claude-plugin/plugin.json").is_file()
    assert loaded(".codex-plugin/plugin.json")["hooks"] == {}, "or Codex would run Claude Code's"


def test_the_registry_is_told_what_it_asks_for() -> None:
    """The limits of its schema of 2025-12-11; and it looks for its name in what the package index shows."""
    server = loaded(".mcp/server.json")
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", server["name"])
    assert 1 <= len(server["description"]) <= 100
    assert f"mcp-name: {server['name']} " in (TOP / "README.md").read_text(encoding="utf-8")
    (package,) = server["packages"]
    assert (package["registryType"], package["transport"]) == ("pypi", {"type": "stdio"})
    assert package["identifier"] == "agentsync", "which is also the name of a command: clients start what they install"
    assert [argument["value"] for argument in package["packageArguments"]] == ["mcp"]
    for argument in (*package["runtimeArguments"], *package["packageArguments"]):
        assert argument["type"] == ("named" if "name" in argument else "positional")


# ---------------------------------------------------------------- the words
def test_the_skill_is_small_and_says_when_to_read_it() -> None:
    """At most 1,500 tokens: a token of English is about four characters, and never fewer than 2.5 in a text like this."""
    text = SKILL.read_text(encoding="utf-8")
    assert len(text) / 2.5 <= 1500
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert fields["name"] == "agent-sync"
    assert "Use when" in fields["description"]
    assert len(fields["description"]) <= 500, "every session pays for this"
    assert body.strip()


def commands(text: str) -> list[str]:
    return [command for command in re.findall(r"`(agent-sync[^`]*)`", text) if command != "agent-sync"]


@pytest.mark.parametrize("command", sorted({*commands(SKILL.read_text(encoding="utf-8")), *commands("\n".join(LINES))}))
def test_every_command_that_agents_are_told_can_be_typed(command: str) -> None:
    words = shlex.split(command.replace("…", ""))[1:]
    options = build(words).parse_args(words)
    assert callable(options.run)


def test_agents_are_not_told_to_use_force() -> None:
    for text in (SKILL.read_text(encoding="utf-8"), "\n".join(LINES)):
        assert "--force" not in text
        assert not re.search(r"\brm\b", text)
