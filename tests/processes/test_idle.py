"""Agents that do nothing cost nothing: no process is left behind by anything they did, and nobody writes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from world import make_repo

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks at processes through /proc")


def command(root: Path, agent: str, *words: str) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(root), "AGENT_SYNC_ID": agent}
    done = subprocess.run(
        [sys.executable, "-m", "agentsync", *words], cwd=root, env=env, capture_output=True, text=True, input="{}"
    )
    assert done.returncode == 0, done.stderr


def processes_in(root: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")).is_relative_to(root):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended, or is somebody else's
    return found


def written(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_nothing_runs_and_nothing_is_written_while_agents_are_idle(tmp_path: Path) -> None:
    root = make_repo(tmp_path / "repo")
    command(root, "alice", "install")
    for agent in ("alice", "bob"):
        command(root, agent, "hook", "session-start")
    command(root, "alice", "create-task", "T", "--file", "src/app.py")
    command(root, "alice", "claim-next", "--lock")
    command(root, "bob", "send", "--to", "alice", "--message", "hello")
    command(root, "alice", "hook", "user-prompt-submit")
    command(root, "bob", "lock", "--wait", "src/b.py")
    command(root, "bob", "request", "src/app.py")
    before = written(root)
    time.sleep(1.5)  # longer than anything of ours waits before it looks again
    assert processes_in(root) == []
    assert written(root) == before
