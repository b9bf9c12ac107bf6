"""What is installed is the whole product: built as a wheel, put outside the checkout, and used by nothing but its command.

Needs the package index, for the build backend and the dependencies.
"""

from __future__ import annotations

import email
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import make_repo

from agentsync import __version__
from agentsync.clients import claude
from agentsync.clients.call import GATE

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

TOP = Path(__file__).parent.parent

NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")


def call(*words: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: str = "") -> str:
    """Run a program that must succeed; what it prints."""
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by pip from a copy of the tree, with the build's own environment."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(TOP, folder / "tree", ignore=NOT_SOURCE)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    call(*pip, "wheel", "-q", "--no-deps", "--wheel-dir", folder / "out", folder / "tree", cwd=folder)
    (made,) = (folder / "out").iterdir()
    return made


# ---------------------------------------------------------------- what is in it
def test_everything_that_ships_is_inside_byte_for_byte(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for path in [*TOP.glob("hooks/*"), *TOP.glob("schema/*.json"), TOP / "schema/FORMAT.md"]:
            name = f"agentsync/_shipped/{path.relative_to(TOP).as_posix()}"
            assert name in names
            assert archive.read(name) == path.read_bytes()
        for path in [*TOP.glob("agentsync/**/*.py"), *TOP.glob("agentsync/**/*.html")]:
            assert path.relative_to(TOP).as_posix() in names
        assert "agentsync/render/report.html" in names
        assert "agentsync/py.typed" in names
        strays = [name for name in names if re.search(r"__pycache__|\.pyc$|(^|/)tests/|/\.", name)]
        assert strays == []


def test_its_metadata_is_what_pyproject_says(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"agentsync-{__version__}.dist-info"
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        commands = archive.read(f"{info}/entry_points.txt").decode()
        assert any("LICENSE" in name for name in archive.namelist())
    assert (metadata["Name"], metadata["Version"]) == ("agentsync", __version__)
    needed = {re.split(r"[<>=; ]", line)[0] for line in metadata.get_all("Requires-Dist", []) if "extra" not in line}
    assert needed == {"filelock", "msgspec", "watchdog"}
    assert "agent-sync = agentsync.__main__:main" in commands
    assert "agentsync = agentsync.__main__:main" in commands


# ---------------------------------------------------------------- ways to install it
def by_pip(wheel: Path, home: Path) -> Path:
    call(sys.executable, "-m", "venv", home / "venv", cwd=home)
    call(home / "venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=home)
    return home / "venv/bin/agent-sync"


def by_uv(wheel: Path, home: Path) -> Path:
    env = {**os.environ, "UV_TOOL_DIR": str(home / "tools"), "UV_TOOL_BIN_DIR": str(home / "bin"), "HOME": str(home)}
    call(sys.executable, "-m", "uv", "tool", "install", "-q", "--python", sys.executable, wheel, cwd=home, env=env)
    return home / "bin/agent-sync"


def by_pipx(wheel: Path, home: Path) -> Path:
    env = {**os.environ, "PIPX_HOME": str(home / "pipx"), "PIPX_BIN_DIR": str(home / "bin"), "HOME": str(home)}
    call(sys.executable, "-m", "pipx", "install", "-q", "--python", sys.executable, wheel, cwd=home, env=env)
    return home / "bin/agent-sync"


def _way(name: str, install: Callable[[Path, Path], Path]) -> Any:
    missing = importlib.util.find_spec(name) is None
    return pytest.param(install, id=name, marks=pytest.mark.skipif(missing, reason=f"{name} is not installed"))


class User:
    """Somebody who has nothing of ours but the command, on the PATH."""

    def __init__(self, command: Path, home: Path) -> None:
        self.folder = home / "path"
        self.folder.mkdir()
        (self.folder / "agent-sync").symlink_to(command)
        self.env = {"PATH": f"{self.folder}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
        self.repo = make_repo(home / "repo")

    def runs(self, *words: str, code: int = 0, agent: str = "alice") -> str:
        env = {**self.env, "AGENT_SYNC_ID": agent}
        done = subprocess.run(
            ["agent-sync", *words], cwd=self.repo, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def hook(self, event: str, agent: str, path: str) -> dict[str, Any]:
        """What the client would do: start the command that stands in the settings."""
        settings = json.loads((self.repo / claude.SETTINGS).read_text())
        handler = settings["hooks"][event][0]["hooks"][0]
        command = handler["command"].replace("${CLAUDE_PROJECT_DIR}", str(self.repo))
        payload = {
            "session_id": "11111111-1111-4111-8111-111111111111",
            "cwd": str(self.repo),
            "hook_event_name": event,
            "tool_name": "Write",
            "tool_input": {"file_path": str(self.repo / path), "content": "x"},
        }
        env = {**self.env, "AGENT_SYNC_ID": agent, "CLAUDE_PROJECT_DIR": str(self.repo)}
        said = call(command, *handler["args"], cwd=self.repo, env=env, stdin=json.dumps(payload))
        return json.loads(said)["hookSpecificOutput"] if said else {}


def test_uvx_and_pipx_run_it_without_installing_it(wheel: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PIPX_HOME": str(tmp_path / "pipx"), "HOME": str(tmp_path)}
    uvx = ["uv", "tool", "run", "-q", "--python", sys.executable]
    as_registered = ["--with", f"agentsync[mcp] @ {wheel.as_uri()}", "--from", str(wheel), "agentsync"]
    ran = 0
    for words in (
        [*uvx, "--from", str(wheel), "agent-sync", "--version"],
        [*uvx, *as_registered, "--version"],  # a client of the MCP registry: the extra beside, the package's name
        ["pipx", "run", "--python", sys.executable, "--spec", str(wheel), "agent-sync", "--version"],
    ):
        if importlib.util.find_spec(words[0]) is not None:
            assert call(sys.executable, "-m", *words, cwd=tmp_path, env=env) == f"agent-sync {__version__}\n"
            ran += 1
    if ran == 0:
        pytest.skip("neither uv nor pipx is installed")


@pytest.mark.parametrize("install", [_way("pip", by_pip), _way("uv", by_uv), _way("pipx", by_pipx)])
def test_installed_outside_the_checkout_it_does_all_it_promises(
    install: Callable[[Path, Path], Path], wheel: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home of a user"
    home.mkdir()
    user = User(install(wheel, home), home)
    assert user.runs("--version") == f"agent-sync {__version__}\n"
    user.runs("install")
    assert (user.repo / GATE).read_bytes() == (TOP / "hooks/gate").read_bytes()
    python = Path((user.repo / ".claude/coordination/python").read_text().strip())
    assert python.is_relative_to(home), "the interpreter of the installation, not of the checkout"

    user.runs("lock", "src/app.py", "--reason", "mine", agent="bob")
    denied = user.hook("PreToolUse", "alice", "src/app.py")
    assert denied["permissionDecision"] == "deny"
    assert "holder: bob" in denied["permissionDecisionReason"]
    assert user.hook("PreToolUse", "alice", "src/free.py") == {}
    held = json.loads(user.runs("locks", "--json"))
    assert [(lock["path"], lock["auto"]) for lock in held] == [("src/app.py", False), ("src/free.py", True)]

    assert user.runs("doctor").splitlines()[-1] == "all is well"
    assert re.search(r"^(\d+) of \1 steps went as they must$", user.runs("demo"), re.M)

    (user.repo / ".claude/coordination/python").write_text("/nonexistent/python\n")
    denied = user.hook("PreToolUse", "alice", "src/app.py")
    assert denied["permissionDecision"] == "deny", "found again by the command on the PATH"

    user.runs("uninstall")
    assert not (user.repo / claude.SETTINGS).exists()
    assert not (user.repo / GATE).exists()
