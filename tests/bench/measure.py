"""Medians of interleaved runs, as ratios to a floor that was measured in the same minutes on the same machine.

Times of one machine say nothing on another, and a virtual machine is not even the same machine for long: what is
compared is measured in turns, and what is printed first is the ratio. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
SESSION = "0f0e0d0c-1111-4222-8333-0123456789ab"
ME = "claude-456789ab"


class Row(NamedTuple):
    """One line of a table."""

    name: str
    ms: float
    """Median."""
    spread: float
    """Half of the distance between the quartiles, in ms."""
    ratio: float
    """To the floor."""
    target: float | None


class Command:
    """A program to start, as cheaply as this process can: what is measured is the program."""

    def __init__(
        self, *words: str, stdin: Path | Callable[[], Path] | None = None, env: Mapping[str, str], cwd: Path
    ) -> None:
        self.words = words
        self.stdin = stdin
        self.env = dict(env)
        self.cwd = cwd

    def __call__(self) -> float:
        """Run it once; returns the seconds it took."""
        source = self.stdin() if callable(self.stdin) else self.stdin
        before = os.getcwd()
        os.chdir(self.cwd)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, str(source or os.devnull), os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        started = time.perf_counter()
        pid = os.posix_spawnp(self.words[0], self.words, self.env, file_actions=actions)
        os.waitpid(pid, 0)
        took = time.perf_counter() - started
        os.chdir(before)
        return took


def compare(
    floor: Callable[[], float], cases: Mapping[str, tuple[Callable[[], float], float | None]], rounds: int
) -> list[Row]:
    """Run everything in turns; the floor comes first.

    Args:
        floor: What the ratios refer to.
        cases: Runs with their target ratio, by name.
        rounds: How often each is run; two more runs warm up.
    """
    taken: dict[str, list[float]] = {"floor": [], **{name: [] for name in cases}}
    runs = {"floor": floor, **{name: run for name, (run, _) in cases.items()}}
    for turn in range(rounds + 2):
        for name, run in runs.items():
            took = run()
            if turn >= 2:
                taken[name].append(took * 1000)
    base = statistics.median(taken["floor"])
    rows = []
    for name, times in taken.items():
        first, median, third = statistics.quantiles(times, n=4)
        target = cases[name][1] if name in cases else None
        rows.append(Row(name, median, (third - first) / 2, median / base, target))
    return rows


def show(title: str, floor: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    width = max(len(row.name) for row in rows)
    print(f"\n{title}  (1.00 = {floor})")
    for row in rows:
        name = floor if row.name == "floor" else row.name
        wish = "" if row.target is None else f"  <= {row.target:g}  {'ok' if row.ratio <= row.target else 'MISSED'}"
        print(f"  {name:<{max(width, len(floor))}}  {row.ratio:6.2f}  {row.ms:8.2f} ms ± {row.spread:5.2f}{wish}")


def options(rounds: int, about: str | None) -> argparse.Namespace:
    """What every benchmark can be told."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--python", default=sys.executable, help="the interpreter to measure, with agentsync installed")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"how often each case is run (default {rounds})")
    parser.add_argument("--directory", type=Path, help="where to make the repositories (default: a temporary folder)")
    return parser.parse_args()


@contextmanager
def playground(directory: Path | None) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="agent-sync-bench-", dir=directory))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Repository:
    """A repository with the gate in place."""

    def __init__(self, root: Path, python: str) -> None:
        self.root = root
        self.python = python
        self.state = root / ".claude/coordination"
        self.gate = root / ".claude/hooks/agent-sync"
        self.gate.parent.mkdir(parents=True)
        shutil.copy(ROOT / "hooks/gate", self.gate)
        (root / ".git").mkdir()
        (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
        (root / "src").mkdir()
        (root / "src/app.py").write_text("x\n")
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(root), "CLAUDE_PROJECT_DIR": str(root), "PWD": str(root)}
        self.hooked = {**self.env, "CLAUDE_CODE_SESSION_ID": SESSION, "CLAUDE_PID": str(os.getpid())}
        self._serial = 0

    def command(self, agent: str, *words: str) -> str:
        """Run a command of ours as somebody."""
        done = subprocess.run(
            [self.python, "-P", "-m", "agentsync", *words],
            env={**self.env, "AGENT_SYNC_ID": agent},
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def start(self) -> None:
        """My session begins."""
        self.hook("session-start", self.payload("SessionStart", None)).__call__()

    def payload(self, event: str, path: str | None, size: int = 1000) -> Path:
        """A payload in a file, as Claude Code writes it; `size` characters of text in it."""
        body: dict[str, Any] = {
            "session_id": SESSION,
            "transcript_path": f"/home/u/.claude/projects/x/{SESSION}.jsonl",
            "cwd": str(self.root),
            "permission_mode": "acceptEdits",
            "hook_event_name": event,
        }
        if path is not None:
            arguments = {
                "file_path": str(self.root / path),
                "old_string": "a" * (size // 2),
                "new_string": "b" * (size // 2),
            }
            body |= {"tool_name": "Edit", "tool_input": arguments}
        if event == "PostToolUse":
            body["tool_response"] = {"filePath": str(self.root / str(path)), "originalFile": "c" * 5 * size}
        self._serial += 1
        file = self.root.parent / f"{self.root.name}-payload-{self._serial}.json"
        file.write_text(json.dumps(body, separators=(",", ":")))
        return file

    def ask(self, event: str, stdin: Path | Callable[[], Path]) -> Command:
        """The gate, as the client starts it."""
        return Command(str(self.gate), event, stdin=stdin, env=self.hooked, cwd=self.root)

    def hook(self, event: str, stdin: Path | Callable[[], Path]) -> Command:
        """The entry point itself, as the gate starts it."""
        words = (self.python, "-E", "-P", "-m", "agentsync.hook", event)
        return Command(*words, stdin=stdin, env=self.hooked, cwd=self.root)

    def fill(self, count: int, holder: str = "bob") -> None:
        """Put so many locks of somebody else there: records as the package writes them, without its transactions."""
        drawer = self.state / "locks"
        name = f"fill-{holder}.py"
        self.command(holder, "lock", name)
        model = (drawer / f"{name}.json").read_text()
        for i in range(count - len(list(drawer.glob("*.json")))):
            (drawer / f"f{i}.py.json").write_text(model.replace(name, f"f{i}.py"))
