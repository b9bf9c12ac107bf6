"""The demo shows what is so, and would say if it were not: its verdict is counted, not printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

TOP = Path(__file__).parent.parent


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where the demo may leave something behind."""
    made = tmp_path / "scratch"
    made.mkdir()
    return made


def demo(scratch: Path, *words: str, python: str = sys.executable, **env: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "HOME": str(scratch.parent), "TMPDIR": str(scratch), **env}
    command = [python, "-m", "agentsync", "demo", *words]
    return subprocess.run(command, cwd=scratch.parent, env=given, capture_output=True, text=True, timeout=120)


def test_every_step_goes_as_it_must_and_nothing_is_left_behind(scratch: Path) -> None:
    done = demo(scratch)
    assert (done.returncode, done.stderr) == (0, "")
    numbered = re.findall(r"^(\d+)\. (\w+): (.+)$", done.stdout, re.M)
    assert [int(number) for number, _, _ in numbered] == list(range(1, len(numbered) + 1))
    assert done.stdout.splitlines()[-1] == f"{len(numbered)} of {len(numbered)} steps went as they must"
    assert "SHOULD NOT" not in done.stdout
    assert {who for _, who, _ in numbered} >= {"backend", "frontend", "tests"}
    assert "holder: backend" in done.stdout, "the refusal is the real one"
    assert list(scratch.iterdir()) == []


def test_it_is_told_in_json_too_whatever_is_around_it(tmp_path: Path) -> None:
    """Whoever tries it out may be an agent, in a client's session, in a repository."""
    scratch = tmp_path / "with a space, and ünïcode"
    scratch.mkdir()
    env = {
        "AGENT_SYNC_ID": "somebody",
        "AGENT_SYNC_DIR": "/nonexistent/state",
        "GIT_DIR": "/nonexistent",
        "CLAUDE_CODE_SESSION_ID": "11111111-1111-4111-8111-111111111111",
        "CLAUDE_PID": "1",
        "CLAUDECODE": "1",
    }
    done = demo(scratch, "--json", **env)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = json.loads(done.stdout)
    assert told["kind"] == "demo"
    assert all(step["as_it_should"] is True for step in told["steps"])
    assert all(set(step) == {"agent", "step", "saw", "as_it_should"} for step in told["steps"])
    count = len(told["steps"])
    assert told["verdict"] == f"{count} of {count} steps went as they must"


def test_without_git_it_says_so(scratch: Path) -> None:
    done = demo(scratch, PATH="/nonexistent")
    assert done.returncode == 1
    assert "git" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------- a product that does not do what it says
def _gate(body: str) -> Callable[[Path], None]:
    return lambda copy: (copy / "hooks/gate").write_text(f"#!/bin/sh\n# The agent-sync gate\n{body}\n") and None


def _source(module: str, old: str, new: str) -> Callable[[Path], None]:
    def change(copy: Path) -> None:
        path = copy / "agentsync" / module
        text = path.read_text()
        assert text.count(old) >= 1, f"{module} has changed: adapt this test"
        path.write_text(text.replace(old, new))

    return change


DENY = json.dumps({"hookSpecificOutput": {"permissionDecision": "deny", "permissionDecisionReason": "backend"}})

BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "hooks that allow everything": (_gate("exit 0"), "refuses before anything is written"),
    "hooks that refuse everything": (_gate(f"cat >/dev/null; echo '{DENY}'"), "which nobody holds"),
    "locks that the dead keep": (
        _source("core/lease.py", '("stale", "offline", "dead")', '("stale", "offline")'),
        "edits src/api.py",
    ),
    "nothing that locks by itself": (
        _source("core/policy.py", "auto_lock: bool = True", "auto_lock: bool = False"),
        "ui",
    ),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The whole product, to be broken."""
    made = tmp_path / "copy"
    for folder in ("agentsync", "hooks"):
        shutil.copytree(TOP / folder, made / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return made


def interpreter(copy: Path) -> str:
    """A Python that knows the copy and nothing of the original, also when it is started with `-E`, as the gate does."""
    home = copy.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "copy.pth").write_text(f"{copy}\n{sysconfig.get_path('purelib')}\n")
    return str(home / "bin/python")


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_shown_and_counted(name: str, scratch: Path, copy: Path) -> None:
    damage, words = BROKEN[name]
    damage(copy)
    done = demo(scratch, "--json", python=interpreter(copy))
    assert (done.returncode, done.stderr) == (1, "")
    told: dict[str, Any] = json.loads(done.stdout)
    bad = [step["step"] for step in told["steps"] if not step["as_it_should"]]
    assert any(words in step for step in bad), bad
    good = len(told["steps"]) - len(bad)
    assert told["verdict"] == f"{good} of {len(told['steps'])} steps went as they must"
    assert list(scratch.iterdir()) == []


def test_what_is_broken_is_said_aloud(scratch: Path, copy: Path) -> None:
    BROKEN["hooks that allow everything"][0](copy)
    done = demo(scratch, python=interpreter(copy))
    assert done.returncode == 1
    assert "THIS SHOULD NOT HAVE HAPPENED" in done.stdout
    assert not re.search(r"^(\d+) of \1 steps", done.stdout, re.M)
