"""Every command and every program that a document shows does what the document says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from documents import blocks, matches, run, steps
from world import make_repo

TOP = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "hooks/README.md", *sorted(p.relative_to(TOP).as_posix() for p in TOP.glob("examples/*.md"))]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_commands_of_a_document_do_what_it_says(name: str, tmp_path: Path) -> None:
    assert run(TOP / name, tmp_path) > 0, "a document without commands needs no test"


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if blocks((TOP / name).read_text("utf-8"), "python")])
def test_the_programs_of_a_document_run(name: str, tmp_path: Path) -> None:
    root = make_repo(tmp_path / "shop", {"src/api.py": "api = 1\n"})
    for program in blocks((TOP / name).read_text("utf-8"), "python"):
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", program], cwd=root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_runner_tells_right_from_wrong() -> None:
    """The tests above could not fail if this did."""
    (step,) = steps("```console\nalice$ echo hi\nhi …\n```\n")
    assert (step.agent, step.command) == ("alice", "echo hi")
    assert matches(["hi …"], "hi there\n")
    assert matches(["…", "end"], "a\nb\nend\n")
    assert not matches(["hi"], "ho\n")
    assert not matches([], "something\n")
    assert not matches(["something"], "")
