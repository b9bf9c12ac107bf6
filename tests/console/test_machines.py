"""The screen while another machine is told: nobody waits for the network with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("textual")

from console.test_screen import play, until
from remote.cluster import Cluster
from remote.memory import Memory

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from agentsync.console.app import Console


def test_a_forced_unlock_waits_for_the_remote_where_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path)
    east, west = cluster.machine("east"), cluster.machine("west")
    alice, bob = east.agent("alice"), west.agent("bob")
    assert bob.takes("src/app.py", reason="new schema")
    alice.syncs()
    asked, answers, really = threading.Event(), threading.Event(), Memory.swap

    def slowly(*words: Any, **options: Any) -> Any:
        asked.set()
        assert answers.wait(20)
        return really(*words, **options)

    monkeypatch.setattr(Memory, "swap", slowly)

    async def scene(console: Console, pilot: Pilot[int]) -> None:
        await pilot.press("2")
        text = await until(pilot, console, lambda text: "src/app.py" in text)
        assert f"bob on {bob.runtime.host}" in text
        assert "all machines" in text
        await pilot.press("u")
        text = await until(pilot, console, lambda text: "by force?" in text)
        assert "It works on another machine" in text
        await pilot.press("y")
        await until(pilot, console, lambda text: "2 Locks 0" in text and asked.is_set())
        await pilot.press("1")  # it goes on drawing, and takes keys
        await until(pilot, console, lambda text: "operator" in text and "STATUS" in text)
        assert "src/app.py" in cluster.board()
        answers.set()
        await until(pilot, console, lambda text: "unlocked src/app.py of bob" in text)
        assert cluster.board() == {}

    try:
        play(east, scene, size=(120, 30))
    finally:
        answers.set()
