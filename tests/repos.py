"""Real git, real hooks, real processes: a repository and the people who commit in it.

shop = Shop(tmp_path)
shop.hooked()
alice, bob = shop.agent("alice"), shop.agent("bob")
alice.does("lock", "src/app.py")
assert bob.git("commit", "-am", "x").code == 1
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from world import make_repo

BIN = Path(sys.executable).parent
FILES = {"src/app.py": "app\n", "src/db.py": "db\n", "other.py": "other\n", "README": "read\n"}


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


class Shop:
    """A repository."""

    def __init__(self, tmp_path: Path, files: dict[str, str] | None = None, config: str = "") -> None:
        self.root = make_repo(tmp_path / "shop", files or FILES, config)
        self.home = tmp_path

    @property
    def state(self) -> Path:
        return self.root / ".claude/coordination"

    def hooked(self, cwd: Path | None = None) -> Said:
        """Install git's hooks."""
        return self.agent("installer", cwd).does("install", "--git")

    def agent(self, name: str, cwd: Path | None = None, **env: str) -> Committer:
        return Committer(self, name, cwd or self.root, env)

    def locks(self) -> dict[str, str]:
        """Holders by path, live or not."""
        found = (json.loads(path.read_text()) for path in (self.state / "locks").rglob("*.json"))
        return {lock["path"]: lock["holder"] for lock in found}


class Committer:
    """Somebody who types git and agent-sync commands, each in a process of its own."""

    def __init__(self, shop: Shop, name: str, cwd: Path, env: dict[str, str]) -> None:
        self.name = name
        self.cwd = cwd
        self.env = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(shop.home),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(shop.home),
            "GIT_EDITOR": "true",
            **{f"GIT_{who}_NAME": name or "human" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": f"{name}@example.invalid" for who in ("AUTHOR", "COMMITTER")},
            **({"AGENT_SYNC_ID": name} if name else {}),
            **env,
        }

    def runs(self, *words: str, stdin: str = "") -> Said:
        done = subprocess.run(
            words,
            cwd=self.cwd,
            env=self.env,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def starts(self, *words: str) -> subprocess.Popen[bytes]:
        """A command that goes on while others do; nobody reads what it says."""
        nothing = subprocess.DEVNULL
        return subprocess.Popen(words, cwd=self.cwd, env=self.env, stdin=nothing, stdout=nothing, stderr=nothing)

    def does(self, *words: str) -> Said:
        """An agent-sync command."""
        return self.runs(sys.executable, "-P", "-m", "agentsync", *words)

    def answers(self, *words: str) -> Any:
        """The same, in JSON."""
        return json.loads(self.does(*words, "--json").out)

    def git(self, *words: str) -> Said:
        return self.runs("git", *words)

    def must(self, *words: str) -> str:
        """A git command that works."""
        said = self.git(*words)
        assert said.code == 0, (words, said)
        return said.out

    def writes(self, path: str, text: str = "changed\n") -> None:
        file = self.cwd / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def last(self) -> list[str]:
        """Paths of the last commit."""
        return self.must("show", "--format=", "--name-only", "--no-renames", "-z", "HEAD").strip("\0\n").split("\0")


def picture(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and times of all files. Git gives an object a new time when it would have written it again."""
    return {
        str(path): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            0 if "objects" in path.parts else path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "coordination" not in path.parts
    }
