"""Fixtures, and what every test must leave behind: a home nobody touched, and state that can be read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREIGN = ("AGENT_SYNC", "CLAUDE", "CODEX", "GEMINI", "OPENCODE", "COPILOT", "CURSOR", "AI_AGENT", "GIT_")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Whoever is done takes from those who are not: some tests take a minute, and no worker should be last with them."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of a client that happens to run the tests, and a home of the test's own."""
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A repository with a manual clock; afterwards every record in it must decode and no two locks conflict."""
    made = World(tmp_path)
    yield made
    from invariants import check_store

    check_store(made.state)
