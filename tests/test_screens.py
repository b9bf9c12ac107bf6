"""The README's pictures: their script runs, and what is committed shows commands that there are."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html import unescape
from pathlib import Path

import pytest

from agentsync.cli.parser import build

TOP = Path(__file__).parent.parent
SCREENS = TOP / "examples/screens"
NAMES = sorted(path.name for path in SCREENS.glob("*.svg"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screens")
    subprocess.run([sys.executable, str(TOP / "examples/screens.py"), str(folder)], check=True, timeout=300)
    return folder


def test_the_script_draws_what_commands_print(made: Path) -> None:
    status = words(made / "status.svg")
    for seen in ("AGENTS", "LOCKS", "TASKS", "DECISIONS", "dead: free to take", "src/api.py"):
        assert seen in status
    assert "backend locked src/api.py" in words(made / "watch.svg") or "created t-" in words(made / "watch.svg")
    assert {path.name for path in made.glob("*.svg")} <= set(NAMES), "all that the script draws is committed"


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_shown_and_of_a_command_that_there_is(name: str) -> None:
    text = (SCREENS / name).read_text("utf-8")
    assert f"(examples/screens/{name})" in (TOP / "README.md").read_text("utf-8")
    title = re.search(r"<title>(.*?)</title>", text)
    assert title is not None
    typed = unescape(title[1]).split()
    assert typed[0] == "agent-sync"
    assert callable(build(typed[1:]).parse_args(typed[1:]).run)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_needs_nothing_from_outside(name: str) -> None:
    text = (SCREENS / name).read_text("utf-8")
    assert not re.search(r"<script|<image|@import|href=|url\((?!#)", text)
    assert "prefers-color-scheme" in text


def words(picture: Path) -> str:
    """What can be read in it, with single spaces."""
    return " ".join("".join(ET.parse(picture).getroot().itertext()).split())
