"""Each client's adapter against payloads that the real client sent: `tests/clients/<client>/*.json`.

A fixture holds a recorded `payload` (its paths made general, its order kept), our name of its `event`, and the `call`
that it means. To add a client: its adapter, its folder.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentsync import clients
from agentsync.clients import call, codex, gemini
from agentsync.clients.call import GATE, Call

HERE = Path(__file__).parent
RECORDED = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.json"))
OURS = ("session-start", "user-prompt-submit", "pre-tool-use", "post-tool-use", "stop", "session-end")
ADAPTERS = [clients.get(name) for name in clients.NAMES]
ON_STDIN = [adapter for adapter in ADAPTERS if adapter.SHIPPED is None]
"""Clients whose hooks are commands in a JSON file."""


def commands(adapter: clients.Adapter, strict: bool) -> dict[str, str]:
    """The command of each handler, by the client's name of the event."""
    found: dict[str, str] = {}
    for event, group in adapter.handlers(strict).items():
        (handler,) = [group] if adapter.FLAT else group["hooks"]
        assert adapter.is_ours(handler)
        found[event] = next(value for value in handler.values() if isinstance(value, str) and GATE in value)
    return found


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_payload_means_this_call(name: str) -> None:
    fixture = json.loads((HERE / name).read_text())
    wanted = fixture["call"]
    adapter = clients.get(name.partition("/")[0])
    expected = Call(**{**wanted, "writes": tuple(wanted.get("writes", ()))})
    assert adapter.parse(fixture["event"], fixture["payload"]) == expected
    assert adapter.parse(None, fixture["payload"]) == expected, "the payload names its event itself"


@pytest.mark.parametrize("name", ["claude", "codex", "gemini"])
def test_every_event_that_is_installed_was_recorded(name: str) -> None:
    recorded = {json.loads((HERE / path).read_text())["event"] for path in RECORDED if path.startswith(f"{name}/")}
    assert recorded >= set(OURS)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.NAME)
@pytest.mark.parametrize("wrong", [None, 1, [], "", {"tool_input": 3}, {"command": 4}, {"file_path": []}])
def test_whatever_has_another_shape_counts_as_absent(adapter: clients.Adapter, wrong: Any) -> None:
    for tool in ("apply_patch", "Bash", "Edit", "replace", "run_shell_command", wrong):
        payload = {"session_id": wrong, "cwd": wrong, "tool_name": tool, "tool_input": wrong, "hook_event_name": wrong}
        assert adapter.parse("pre-tool-use", payload) == Call(event="pre-tool-use")


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.NAME)
def test_no_answer_ever_allows(adapter: clients.Adapter) -> None:
    """Codex takes `allow` for an invalid answer; the others would pass by whoever else has a say."""
    for answer in (adapter.deny("why"), *(adapter.context(event, "text") for event in adapter.TELLS)):
        said = json.dumps(answer)
        assert "allow" not in said
        assert "approve" not in said


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.NAME)
def test_a_text_is_never_longer_than_a_client_shows(adapter: clients.Adapter) -> None:
    for event in adapter.TELLS:
        assert len(json.dumps(adapter.context(event, "x" * 20_000))) < call.MAX_CONTEXT + 200


@pytest.mark.parametrize("adapter", [codex, gemini], ids=lambda adapter: adapter.NAME)
def test_the_command_is_the_same_in_every_version(adapter: clients.Adapter) -> None:
    """Codex trusts a hook by its command: with another one, everybody would have to approve it anew."""
    line = (
        'sh -c \'d=$PWD; until [ -z "$d" ] || [ -x "$d/.claude/hooks/agent-sync" ]; do d=${d%/*}; done; '
        '[ -z "$d" ] || exec "$d/.claude/hooks/agent-sync" EVENT CLIENT\''
    )
    found = commands(adapter, strict=False)
    assert sorted(line.replace("EVENT", event).replace("CLIENT", adapter.NAME) for event in OURS) == sorted(
        found.values()
    )


def test_the_handlers_of_codex_are_the_same_in_every_version() -> None:
    for event, group in codex.handlers(strict=False).items():
        (handler,) = group["hooks"]
        assert list(handler) == ["type", "command", "timeout"]
        assert handler["timeout"] == 10
        assert group.get("matcher") == ("apply_patch|Bash" if event == "PreToolUse" else None)


def test_gemini_counts_in_milliseconds() -> None:
    assert {group["hooks"][0]["timeout"] for group in gemini.handlers(strict=False).values()} == {10_000}


# ---------------------------------------------------------------- the command
GATE_STUB = '#!/bin/sh\necho "$0 $*"\nexit ${CODE-0}\n'


def started(line: str, cwd: Path, shell: str = "sh", **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a client does."""
    return subprocess.run(
        [shell, "-c", line], cwd=cwd, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True
    )


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
@pytest.mark.parametrize(
    "name", ["plain", "two words", "it's", 'quo"te', "do$HOME`ls`", "ünïcödé", "back\\slash", "-e"]
)
def test_the_command_finds_the_gate_from_any_folder_below_whatever_its_name(
    tmp_path: Path, name: str, shell: str
) -> None:
    top = tmp_path / name
    below = top / "src" / name
    below.mkdir(parents=True)
    gate = top / GATE
    gate.parent.mkdir(parents=True)
    gate.write_text(GATE_STUB)
    gate.chmod(0o755)
    for strict, flag in ((False, ""), (True, " --strict")):
        line = call.command("codex", "pre-tool-use", strict)
        for cwd in (top, below):
            done = started(line, cwd, shell)
            assert (done.returncode, done.stdout) == (0, f"{gate} pre-tool-use codex{flag}\n")


def test_without_a_gate_only_a_strict_command_blocks(tmp_path: Path) -> None:
    assert started(call.command("codex", "pre-tool-use", False), tmp_path).returncode == 0
    done = started(call.command("codex", "pre-tool-use", True), tmp_path)
    assert done.returncode == 2
    assert "agent-sync" in done.stderr


def test_a_gate_that_fails_blocks_only_if_it_is_strict(tmp_path: Path) -> None:
    gate = tmp_path / GATE
    gate.parent.mkdir(parents=True)
    gate.write_text(GATE_STUB)
    gate.chmod(0o755)
    assert started(call.command("codex", "pre-tool-use", False), tmp_path, CODE="1").returncode == 1
    assert started(call.command("codex", "pre-tool-use", True), tmp_path, CODE="1").returncode == 2


@pytest.mark.parametrize("adapter", ON_STDIN, ids=lambda adapter: adapter.NAME)
@pytest.mark.parametrize("strict", [False, True])
def test_a_command_needs_no_particular_shell(adapter: clients.Adapter, strict: bool) -> None:
    """One word in single quotes, without a quote or a backslash, is the same to sh, fish, csh and PowerShell."""
    for line in commands(adapter, strict).values():
        if line.startswith("sh -c "):
            inside = line.removeprefix("sh -c '").removesuffix("'")
            assert not set("'\\\n!") & set(inside)
