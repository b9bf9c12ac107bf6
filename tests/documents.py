"""Runs the commands that a document shows, and compares what they print.

A fenced block marked `console` holds commands and their output:

    alice$ agent-sync lock src/api.py
    locked src/api.py until …

The word before `$` is the agent who types (none = a person). `…` in the expected output stands for anything; a line of
`…` alone for any lines. All blocks of a document run in one repository, one after another.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from world import git, make_repo


class Step(NamedTuple):
    """One command of a document."""

    line: int
    agent: str
    command: str
    expected: list[str]


PROMPT = re.compile(r"(?:([a-z][a-z0-9-]*) ?)?\$ (.*)")


def steps(text: str) -> list[Step]:
    """The commands of all `console` blocks, in order."""
    found: list[Step] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = line.strip() == "```console"
        elif inside and (match := PROMPT.fullmatch(line)):
            found.append(Step(number, match[1] or "", match[2], []))
        elif inside and found:
            found[-1].expected.append(line)
    return found


def blocks(text: str, language: str) -> list[str]:
    """The content of all fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def matches(expected: list[str], printed: str) -> bool:
    """Whether what was printed is what the document says."""
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ \t]*\n"
    return re.fullmatch(pattern, printed if printed.endswith("\n") or not printed else printed + "\n") is not None


def run(document: Path, tmp_path: Path) -> int:
    """Execute a document.

    Returns:
        How many commands it has.
    """
    root = make_repo(
        tmp_path / "shop", {"src/api.py": "api = 1\n", "src/ui.py": "ui = 1\n", "src/db/schema.sql": "-- 1\n"}
    )
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("agent-sync", "agentsync", "python"):
        (bin_folder / name).symlink_to(Path(sys.executable).with_name(name))
    found = steps(document.read_text(encoding="utf-8"))
    for step in found:
        env = {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(tmp_path),
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.invalid",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.invalid",
        }
        if step.agent:
            env["AGENT_SYNC_ID"] = step.agent
        done = subprocess.run(
            ["bash", "-c", step.command], cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        where = f"{document.name}:{step.line}: {step.command}"
        assert matches(step.expected, done.stdout), f"{where}\nsays\n{done.stdout}"
    git("status", "--porcelain", cwd=root)
    return len(found)
