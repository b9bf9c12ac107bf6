"""What each entry point may load. Imports are the cost of a hook, so they are counted, not timed.

A real interpreter starts the real entry point; `-v` tells what it loaded, whoever asked for it and how. (`-X importtime`
does not see what `importlib.import_module` loads.)
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SESSION = "0f0e0d0c-1111-4222-8333-0123456789ab"

NEVER_IN_A_HOOK = frozenset(
    {
        "argparse",
        "asyncio",
        "dataclasses",
        "email",
        "filelock",
        "hashlib",
        "json",
        "logging",
        "pathlib",
        "random",
        "secrets",
        "shutil",
        "socket",
        "subprocess",
        "tempfile",
        "threading",
        "tomllib",
        "unicodedata",
        "urllib",
        "watchdog",
    }
)
"""Top-level packages that cost more than they give on a path that runs before every edit."""

SDK = frozenset({"anyio", "mcp", "mcp_types", "pydantic", "starlette"})
"""What the MCP server needs takes a second to import."""

NEVER_IN_A_COMMAND = SDK | {"asyncio", "filelock", "logging", "subprocess", "tomllib", "urllib", "watchdog"}


def loaded(*words: str, cwd: Path, stdin: bytes = b"", code: int = 0, **env: str) -> set[str]:
    """The modules that `python WORDS` loads, those of the interpreter's own start left out."""
    done = subprocess.run(
        [sys.executable, "-v", "-P", *words],
        input=stdin,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), **env},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr[-2000:]
    return _imported(done.stderr) - _started_with()


@cache
def _started_with() -> frozenset[str]:
    """What an interpreter with nothing to do loads: `site` and whatever hangs on it in this environment."""
    done = subprocess.run([sys.executable, "-v", "-P", "-c", "pass"], capture_output=True)
    return frozenset(_imported(done.stderr))


def _imported(verbose: bytes) -> set[str]:
    return set(re.findall(r"^import '?([\w.]+)'? #", verbose.decode("utf-8", "replace"), re.MULTILINE))


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def ours(modules: set[str]) -> set[str]:
    return {module for module in modules if module.partition(".")[0] == "agentsync"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository where bob holds `held.py` and I am on the board."""
    root = tmp_path / "repo"
    (root / ".git").mkdir(parents=True)
    (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    for env in ({"AGENT_SYNC_ID": "bob"}, {"CLAUDE_CODE_SESSION_ID": SESSION}):
        name = "held.py" if "AGENT_SYNC_ID" in env else "mine.py"
        command = [sys.executable, "-P", "-m", "agentsync", "lock", name]
        subprocess.run(command, cwd=root, env=env, check=True, capture_output=True)
    return root


def hook(repo: Path, event: str, path: str | None = None) -> set[str]:
    body: dict[str, Any] = {"session_id": SESSION, "cwd": str(repo), "hook_event_name": event}
    if path is not None:
        body |= {"tool_name": "Edit", "tool_input": {"file_path": str(repo / path)}}
    return loaded("-m", "agentsync.hook", event, cwd=repo, stdin=json.dumps(body).encode())


def test_importing_the_package_loads_nothing_of_ours_and_no_dependency(tmp_path: Path) -> None:
    modules = loaded("-c", "import agentsync", cwd=tmp_path)
    assert ours(modules) == {"agentsync"}
    assert not packages(modules) & {"msgspec", "filelock", "watchdog"}


def test_a_name_of_the_package_loads_what_it_needs_when_it_is_used(tmp_path: Path) -> None:
    modules = loaded("-c", "import agentsync; agentsync.AgentSyncError", cwd=tmp_path)
    assert ours(modules) == {"agentsync", "agentsync.errors"}
    assert "msgspec" not in packages(modules)


def test_the_version_needs_no_dependency(tmp_path: Path) -> None:
    assert not packages(loaded("-c", "from agentsync import __version__", cwd=tmp_path)) & {"msgspec", "filelock"}


@pytest.mark.parametrize("path", ["held.py", "free.py", "mine.py"])
def test_a_judgement_before_an_edit_loads_nothing_heavy(repo: Path, path: str) -> None:
    modules = hook(repo, "pre-tool-use", path)
    assert packages(modules) & NEVER_IN_A_HOOK == set()
    assert not {name for name in ours(modules) if name.startswith(("agentsync.cli.", "agentsync.render.status"))}
    if path == "mine.py":
        assert not {name for name in ours(modules) if name.startswith("agentsync.render")}


@pytest.mark.parametrize(
    "event", ["session-start", "user-prompt-submit", "post-tool-use", "post-tool-batch", "stop", "session-end"]
)
def test_no_other_event_loads_anything_heavy_either(repo: Path, event: str) -> None:
    modules = hook(repo, event, "mine.py" if event == "post-tool-use" else None)
    assert packages(modules) & NEVER_IN_A_HOOK == set()
    assert not {name for name in ours(modules) if name.startswith("agentsync.cli.")}


@pytest.mark.parametrize("event", ["user-prompt-submit", "post-tool-batch", "stop"])
def test_handing_over_mail_loads_nothing_heavy_either(repo: Path, event: str) -> None:
    command = [sys.executable, "-P", "-m", "agentsync", "send", "--to", "claude-456789ab", "--message", "hello"]
    subprocess.run(command, cwd=repo, env={"AGENT_SYNC_ID": "bob"}, check=True, capture_output=True)
    modules = hook(repo, event)
    assert "agentsync.core.messages" in modules
    assert packages(modules) & NEVER_IN_A_HOOK == set()
    assert not {name for name in ours(modules) if name.startswith(("agentsync.cli.", "agentsync.render.status"))}


WORK = frozenset(
    f"agentsync.{name}"
    for name in (
        "core.tasks",
        "core.claims",
        "core.progress",
        "core.decisions",
        "ops.tasks",
        "ops.decisions",
        "ops.feed",
    )
)


@pytest.mark.parametrize(("event", "path"), [("pre-tool-use", "held.py"), ("post-tool-use", "mine.py"), ("stop", None)])
def test_tasks_and_decisions_cost_an_edit_nothing(repo: Path, event: str, path: str | None) -> None:
    assert not ours(hook(repo, event, path)) & WORK


@pytest.mark.parametrize("words", [["lock", "free.py"], ["locks"], ["check", "free.py"], ["whoami"]])
def test_nor_a_command_that_is_not_about_them(repo: Path, words: list[str]) -> None:
    assert not ours(loaded("-m", "agentsync", *words, cwd=repo, CLAUDE_CODE_SESSION_ID=SESSION)) & WORK


def test_a_judgement_of_files_only_does_not_load_the_patterns(repo: Path) -> None:
    assert "agentsync.core.globs" not in hook(repo, "pre-tool-use", "held.py")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["whoami"], 0),
        (["locks"], 0),
        (["lock", "free.py"], 0),
        (["lock", "--wait", "free.py"], 0),
        (["lock", "held.py"], 3),
        (["check", "held.py"], 3),
        (["inbox"], 0),
        (["queue"], 0),
        (["request", "held.py"], 0),
        (["append", "log.txt", "--content", "x"], 0),
        *((["create-task", "T"], 0), (["tasks"], 0), (["claim-next"], 0), (["complete-task", "T"], 4)),
        *((["hotspots"], 0), (["report"], 0), (["report", "--json"], 0)),
        *((["decision", "T"], 0), (["decisions"], 0), (["log"], 0), (["log", "x"], 0), (["history", "held.py"], 0)),
        (["watch", "--since", "0", "--timeout", "0"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_neither_the_guard_of_others_nor_the_watcher(repo: Path, words: list[str], code: int) -> None:
    modules = loaded("-m", "agentsync", *words, cwd=repo, code=code, CLAUDE_CODE_SESSION_ID=SESSION)
    assert packages(modules) & NEVER_IN_A_COMMAND == set()
    assert not {name for name in ours(modules) if name.startswith("agentsync.hook")}


def test_a_refusal_loads_nothing_that_writes(repo: Path) -> None:
    assert not ours(hook(repo, "pre-tool-use", "held.py")) & {"agentsync.store.transaction", "agentsync.store.setup"}


def test_who_asks_while_nobody_is_in_line_does_not_load_the_line(repo: Path) -> None:
    for path, code in (("free.py", 0), ("held.py", 3)):
        modules = ours(loaded("-m", "agentsync", "lock", path, cwd=repo, code=code, CLAUDE_CODE_SESSION_ID=SESSION))
        assert not modules & {"agentsync.core.queue", "agentsync.ops.waiting"}


def test_the_hook_command_does_not_go_through_the_command_line(repo: Path) -> None:
    modules = loaded("-m", "agentsync", "hook", "stop", cwd=repo, stdin=b"{}", CLAUDE_CODE_SESSION_ID=SESSION)
    assert "argparse" not in modules
    assert not {name for name in ours(modules) if name.startswith("agentsync.cli.")}


def test_only_the_mcp_server_itself_loads_its_sdk(repo: Path) -> None:
    for words in (["--help"], ["mcp", "--help"], ["status"]):
        modules = loaded("-m", "agentsync", *words, cwd=repo, CLAUDE_CODE_SESSION_ID=SESSION)
        assert not packages(modules) & SDK
        assert not {name for name in ours(modules) if name.startswith("agentsync.mcp")}
    assert not packages(hook(repo, "pre-tool-use", "held.py")) & SDK
    assert "mcp" in packages(loaded("-m", "agentsync", "mcp", cwd=repo, stdin=b"")), "this test can see it"


def test_only_the_console_on_a_screen_loads_textual(repo: Path) -> None:
    for words in (["--help"], ["console", "--help"], ["status"], ["console", "--plain"]):
        modules = loaded("-m", "agentsync", *words, cwd=repo, CLAUDE_CODE_SESSION_ID=SESSION)
        assert not packages(modules) & {"textual", "rich"}
        assert words[1:] == ["--plain"] or not {name for name in ours(modules) if name.startswith("agentsync.console")}
    assert "textual" in packages(loaded("-c", "import agentsync.console.app", cwd=repo)), "this test can see it"


def test_a_console_that_is_looked_at_loads_nothing_that_steers(repo: Path) -> None:
    modules = ours(loaded("-c", "import agentsync.console.app", cwd=repo))
    assert not modules & {
        f"agentsync.console.{name}" for name in ("steering", "dialogs", "detail", "plain", "commands")
    }
    assert not modules & {"agentsync.store.compact", "agentsync.ops.mail"}


def test_the_layers_are_kept() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    if command is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
