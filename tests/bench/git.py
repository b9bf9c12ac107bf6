"""What git's hooks cost: `python tests/bench/git.py [--rounds N]`.

A commit of one file without hooks is 1.00; the same commit with them in different surroundings. All run in turns, each
in a repository of its own.
"""

from __future__ import annotations

import os
import subprocess
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from measure import compare, options, playground, show

if TYPE_CHECKING:
    from collections.abc import Callable

FLOOR = "git commit, no hooks"


class Place:
    """A repository in which one agent commits again and again."""

    def __init__(self, root: Path, python: str) -> None:
        self.root = root
        self.python = python
        self.env = {
            "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
            "HOME": str(root.parent),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "AGENT_SYNC_ID": "me",
            **{f"GIT_{who}_NAME": "me" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "me@example.invalid" for who in ("AUTHOR", "COMMITTER")},
        }
        self.serial = count(1000)
        root.mkdir()
        for i in range(200):
            (root / f"f{i}.py").write_text(f"{i}\n")
        self.run("git", "init", "-q", "-b", "main", ".")
        self.run("git", "config", "gc.auto", "0")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "first")

    def run(self, *words: str, **env: str) -> None:
        subprocess.run(words, cwd=self.root, env={**self.env, **env}, check=True, capture_output=True)

    def does(self, agent: str, *words: str) -> None:
        self.run(self.python, "-P", "-m", "agentsync", *words, AGENT_SYNC_ID=agent)

    def commit(self) -> float:
        """One commit of one file, in seconds."""
        (self.root / "f0.py").write_text(f"{next(self.serial)}\n")
        self.run("git", "add", "f0.py")
        started = time.perf_counter()
        self.run("git", "commit", "-qm", "x")
        return time.perf_counter() - started

    def commit_own(self) -> float:
        """The same under a lock that goes with it."""
        self.does("me", "lock", "f0.py")
        return self.commit()


def main() -> None:
    """Print the table."""
    told = options(40, __doc__)
    with playground(told.directory) as root:

        def place(name: str, *steps: tuple[str, ...], hooked: bool = True) -> Place:
            made = Place(root / name, told.python)
            for agent, *words in steps:
                made.does(agent, *words)
            if hooked:
                made.does("me", "install", "--git")
            return made

        shell = place("shell", hooked=False)
        for name in ("pre-commit", "post-commit"):
            hook = shell.root / ".git/hooks" / name
            hook.write_text("#!/bin/sh\nexit 0\n")
            hook.chmod(0o755)
        present = ("bob", "register", "--name", "bob")
        held = ("bob", "lock", "elsewhere.py")
        many = [("bob", "lock", *(f"g{i}.py" for i in range(k, k + 500))) for k in range(0, 1000, 500)]
        cases: dict[str, tuple[Callable[[], float], float | None]] = {
            "two hooks that are `exit 0`": (shell.commit, None),
            "no board": (place("none").commit, None),
            "alone on the board": (place("alone", ("me", "register", "--name", "me")).commit, None),
            "with others, nothing locked": (place("others", present).commit, None),
            "others hold another file": (place("held", held).commit, None),
            "others hold a thousand files": (place("many", *many).commit, None),
            "my lock goes with the commit": (place("mine", held).commit_own, None),
        }
        bare = place("bare", hooked=False)
        show("Commits", FLOOR, compare(bare.commit, cases, told.rounds))


if __name__ == "__main__":
    main()
