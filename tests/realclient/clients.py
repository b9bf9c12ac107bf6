"""The real Claude Code, offline, against a scripted model.

Set AGENTSYNC_REALCLIENTS to the folder of the harness (it holds `harness/` and `install.sh`). Without it, or without the
client, these tests are skipped and say so.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HARNESS = os.environ.get("AGENTSYNC_REALCLIENTS", "")

if HARNESS:
    # The harness looks for clients below the home folder, and every test has a home of its own.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("REALCLIENTS_ROOT", str(cache / "realclients"))
    sys.path.insert(0, HARNESS)


class Sessions:
    """Real sessions in one repository, and what reached their models."""

    def __init__(self, tmp_path: Path, repo_name: str = "repo") -> None:
        from harness.anthropic_api import Anthropic
        from harness.core import FakeServer, Recorder, make_repo

        self.tmp = tmp_path
        self.repo = make_repo(tmp_path / repo_name, {"hello.txt": "hello world\n", "other.txt": "other\n"})
        self.recorder = Recorder()
        self.server = FakeServer(Anthropic(), self.recorder)
        self.bin = tmp_path / "bin"
        self.bin.mkdir()
        (self.bin / "agent-sync").symlink_to(Path(sys.executable).with_name("agent-sync"))

    def command(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the installed `agent-sync` in the repository."""
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.tmp), "AGENT_SYNC_ID": "observer", **env}
        return subprocess.run(
            [str(self.bin / "agent-sync"), *words], cwd=self.repo, env=clean, capture_output=True, text=True
        )

    def run(
        self,
        name: str,
        turns: list[dict[str, Any]],
        prompts: list[str] | None = None,
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """Run one session to its end."""
        from harness import claude
        from harness.core import Script

        script = Script({"prompts": prompts or ["Go."], "turns": turns}, {"REPO": str(self.repo)})
        url = self.server.session(name, script)
        path = f"{self.bin}:/usr/local/bin:/usr/bin:/bin"
        return claude.run(
            self.repo,
            self.tmp / f"home-{name}",
            url,
            script.prompts,
            extra_env={"PATH": path, **(env or {})},
            **options,
        )

    def requests(self, name: str) -> list[dict[str, Any]]:
        """What a session sent to its model, in order."""
        return [row for row in self.recorder.rows if row.get("session") == name and row.get("route") == "main"]

    def seen(self, name: str) -> str:
        """Everything that a session's model was told, as text."""
        import json

        return json.dumps(self.requests(name)[-1]["body"], ensure_ascii=False)


def read(name: str) -> dict[str, Any]:
    """A turn in which the model reads a file."""
    return {"tools": [{"name": "Read", "input": {"file_path": f"${{REPO}}/{name}"}}]}


def edit(name: str, old: str, new: str, **extra: Any) -> dict[str, Any]:
    """A turn in which it edits one."""
    call = {"file_path": f"${{REPO}}/{name}", "old_string": old, "new_string": new}
    return {"tools": [{"name": "Edit", "input": call}], **extra}


def write(name: str, text: str) -> dict[str, Any]:
    """A turn in which it writes one."""
    return {"tools": [{"name": "Write", "input": {"file_path": f"${{REPO}}/{name}", "content": text}}]}


def shell(command: str, **extra: Any) -> dict[str, Any]:
    """A turn in which it runs a command."""
    return {"tools": [{"name": "Bash", "input": {"command": command, "description": "run"}}], **extra}


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Callable[..., Sessions]]:
    """Makes a repository for real sessions, with the hooks installed."""
    if not HARNESS:
        pytest.skip("no real client: AGENTSYNC_REALCLIENTS does not name the harness")
    from harness import claude
    from harness.core import enter_netns

    if not claude.BIN.exists():
        pytest.skip(f"no real client: Claude Code is not installed ({claude.BIN})")
    made: list[Sessions] = []

    def make(repo_name: str = "repo", *options: str) -> Sessions:
        found = Sessions(tmp_path, repo_name)
        made.append(found)
        done = found.command("install", *options)
        assert done.returncode == 0, done.stderr
        return found

    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    inside = enter_netns()  # loopback only, for this thread and what it starts; needs root
    try:
        yield make
    finally:
        for found in made:
            found.server.close()
        if inside:  # other tests of this process may need the package index
            assert ctypes.CDLL(None, use_errno=True).setns(outside, 0) == 0
        os.close(outside)
