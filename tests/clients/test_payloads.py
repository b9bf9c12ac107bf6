"""Recorded payloads, one file each: what the adapter reads in them, and what the hook answers in the client's words.

Copilot's were sent by the real client, OpenCode's by the plugin in the real client; Cursor's are its documentation's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from world import make_repo

from agentsync import clients
from agentsync.clients.call import Call
from agentsync.hook.entry import _client

HERE = Path(__file__).parent
FIXTURES = sorted(path for name in ("copilot", "cursor", "opencode") for path in (HERE / name).glob("*.json"))


def fixture(name: str) -> dict[str, Any]:
    return dict(json.loads((HERE / f"{name}.json").read_text()))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_adapter_reads_what_the_client_sends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = json.loads(path.read_text())
    arguments = case["arguments"]
    event, words = (arguments[0], arguments[1:]) if arguments else (None, [])
    monkeypatch.setenv("COPILOT_CLI", "1")
    client = _client(words, case["payload"])
    assert path.parent.name == client.NAME
    expected = {key: tuple(value) if isinstance(value, list) else value for key, value in case["call"].items()}
    assert client.parse(event, case["payload"]) == Call(**expected)


@pytest.mark.parametrize("client", ["copilot", "cursor", "opencode"])
def test_whatever_has_another_shape_counts_as_absent(client: str) -> None:
    adapter = clients.get(client)
    keys = {key for path in (HERE / client).glob("*.json") for key in json.loads(path.read_text())["payload"]}
    for strange in (None, 0, "", [], {}, [1], {"file_path": 1, "command": []}, True):
        call = adapter.parse("pre-tool-use", dict.fromkeys(sorted(keys), strange))
        assert (call.session, call.writes, call.command) == (None, (), None)


class Asked:
    """The hook, asked with a recorded payload moved into a repository of the test."""

    def __init__(self, root: Path, name: str, bom: bytes = b"", **changed: str) -> None:
        case = fixture(name)
        text = json.dumps(case["payload"] | changed).replace("/home/dev/shop", str(root))
        command = [sys.executable, "-m", "agentsync.hook", *case["arguments"]]
        env = {"PATH": "/usr/bin:/bin", "HOME": str(root)}
        done = subprocess.run(command, input=bom + text.encode(), env=env, cwd=root, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        self.answer = json.loads(done.stdout) if done.stdout else None


def bob(root: Path, *words: str) -> None:
    """Another agent types a command."""
    command = [sys.executable, "-m", "agentsync", *words]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(root), "AGENT_SYNC_ID": "bob"}
    subprocess.run(command, env=env, cwd=root, capture_output=True, check=True)


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A repository in which bob holds hello.txt."""
    root = make_repo(tmp_path / "shop", {"hello.txt": "hello world\n"})
    bob(root, "lock", "hello.txt", "--reason", "rewriting it")
    return root


REASON = {
    "copilot": lambda said: said.pop("permissionDecision") == "deny" and said.pop("permissionDecisionReason"),
    "cursor": lambda said: said.pop("permission") == "deny" and said.pop("user_message") and said.pop("agent_message"),
    "opencode": lambda said: said.pop("deny"),
}
TEXT = {"copilot": "additionalContext", "cursor": "additional_context", "opencode": "context"}


@pytest.mark.parametrize(
    "name",
    [
        *("copilot/edit-before", "copilot/patch-before", "opencode/edit-before", "opencode/patch-before"),
        *("cursor/write-before", "cursor/delete-before", "cursor/guest-of-claude", "cursor/guest-of-claude-by-name"),
    ],
)
def test_an_edit_of_a_held_file_is_denied_in_the_clients_words(held: Path, name: str) -> None:
    said = Asked(held, name).answer
    reason = REASON[name.partition("/")[0]](said)
    assert "rewriting it" in reason
    assert "bob" in reason
    assert said == {}, "and nothing else"


def test_a_shell_command_of_cursor_that_writes_a_held_file_is_denied(held: Path) -> None:
    pytest.importorskip("tree_sitter")
    said = Asked(held, "cursor/shell-before", command="echo x >hello.txt", cwd=str(held)).answer
    assert said["permission"] == "deny"


@pytest.mark.parametrize("client", ["copilot", "cursor", "opencode"])
def test_the_board_is_told_at_the_start(held: Path, client: str) -> None:
    said = Asked(held, f"{client}/session-start").answer
    assert list(said) == [TEXT[client]]
    assert "hello.txt" in said[TEXT[client]]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("copilot/bash-after", "additionalContext"),
        ("copilot/stop", "reason"),
        ("copilot/stop-again", None),
        ("cursor/user-prompt-submit", None),
        ("cursor/any-tool-after", "additional_context"),
        ("cursor/edit-after", None),
        ("cursor/stop", "followup_message"),
        ("cursor/stop-again", None),
        ("opencode/user-prompt-submit", "context"),
        ("opencode/post-tool-batch", "context"),
        ("opencode/write-after", "context"),
        ("opencode/subagent-after", None),
    ],
)
def test_mail_is_told_where_the_client_listens_and_waits_elsewhere(held: Path, name: str, key: str | None) -> None:
    client, state = name.partition("/")[0], held / ".claude/coordination"
    Asked(held, f"{client}/session-start")
    (me,) = [path.stem for path in (state / "agents").glob(f"{client}-*.json")]
    bob(held, "send", "--to", me, "--message", "the schema has changed")
    said = Asked(held, name).answer
    assert ("the schema has changed" in json.dumps(said)) == (key is not None)
    assert key is None or list(said)[-1] == key
    assert bool(list((state / "inbox" / me).glob("*.json"))) == (key is None), "told once, or still waiting"


def test_a_byte_order_mark_before_the_payload_is_skipped(held: Path) -> None:
    assert Asked(held, "cursor/write-before", bom=b"\xef\xbb\xbf").answer["permission"] == "deny"


def test_claude_code_in_a_shell_of_copilot_is_itself(held: Path) -> None:
    """It inherits COPILOT_CLI; its payload names a transcript and no time."""
    payload = {
        "session_id": "0f0e0d0c-1111-4222-8333-0123456789ab",
        "transcript_path": "/home/dev/.claude/projects/x/t.jsonl",
        "cwd": str(held),
        "hook_event_name": "PreToolUse",
        "tool_name": "Edit",
        "tool_input": {"file_path": str(held / "hello.txt")},
    }
    command = [sys.executable, "-m", "agentsync.hook", "pre-tool-use"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(held), "COPILOT_CLI": "1"}
    done = subprocess.run(command, input=json.dumps(payload), env=env, cwd=held, capture_output=True, text=True)
    assert json.loads(done.stdout)["hookSpecificOutput"]["permissionDecision"] == "deny"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the plugin")
def test_the_plugin_names_agents_as_the_package_does(tmp_path: Path) -> None:
    """And hands the gate the payload that the fixtures hold, first key first: the gate reads no other."""
    from agentsync.ops.identity import id_of_session

    plugin = tmp_path / ".opencode/plugins/agent-sync.mjs"
    plugin.parent.mkdir(parents=True)
    shutil.copy(HERE.parents[1] / "hooks/opencode.js", plugin)
    gate = tmp_path / ".claude/hooks/agent-sync"
    gate.parent.mkdir(parents=True)
    gate.write_text(
        '#!/bin/sh\nprintf "%s %s " "$1" "$AGENT_SYNC_ID" >>"${0%/*}/log"\ncat >>"${0%/*}/log"\necho >>"${0%/*}/log"\n'
    )
    gate.chmod(0o755)
    case = fixture("opencode/edit-before")["payload"]
    drive = f"""
        import {{ AgentSync }} from {json.dumps(str(plugin))}
        const client = {{ session: {{ get: async () => ({{ data: {{}} }}) }}, app: {{ log: async () => {{}} }} }}
        const hooks = await AgentSync({{ client, directory: {json.dumps(case["cwd"].replace("/home/dev/shop", str(tmp_path)))} }})
        const call = {{ tool: "edit", sessionID: {json.dumps(case["session_id"])}, callID: "c" }}
        await hooks["tool.execute.before"](call, {{ args: {{ filePath: "hello.txt" }} }})
        await hooks["tool.execute.before"]({{ ...call, tool: "read" }}, {{ args: {{ filePath: "hello.txt" }} }})
        await hooks.dispose()
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", drive], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(" ", 2) for line in (gate.parent / "log").read_text().splitlines()]
    assert [event for event, _, _ in lines] == ["session-start", "pre-tool-use", "session-end"]
    assert {agent for _, agent, _ in lines} == {id_of_session("opencode", case["session_id"])}
    expected = json.dumps(case, separators=(",", ":")).replace("/home/dev/shop", str(tmp_path))
    assert lines[1][2] == expected
