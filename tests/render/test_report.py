"""The page of a report as text: its data, its policy, and that no word of an agent is anything but data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import past
import pytest
from world import NOON, World

from agentsync.core.visible import is_visible
from agentsync.ops import report as ops
from agentsync.render import hotspots
from agentsync.render.report import html

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> ops.Report:
    made = World(tmp_path_factory.mktemp("past"), git_repo=False)
    past.make(made.state, 1500, until=NOON)
    return ops.report(made.agent("reader").session, 0, None)


@pytest.fixture(scope="module")
def page(found: ops.Report) -> str:
    return html(found, ops.template(), "1.2.3")


def inside(page: str, start: str, end: str) -> str:
    assert page.count(start) == 1, start
    return page.partition(start)[2].partition(end)[0]


def data(page: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(inside(page, '<script type="application/json" id="data">', "</script>"))
    return loaded


def test_everything_of_the_account_is_in_the_data(found: ops.Report, page: str) -> None:
    there, account = data(page), found.account
    lists = {"holds", "waits", "refusals", "breaches", "tasks", "messages", "decisions"}
    assert {name: len(there[name]) for name in lists} == {name: len(getattr(account, name)) for name in lists}
    assert min(len(there[name]) for name in lists) > 0, "this past shows too little"
    assert len(there["spots"]) == len(found.hotspots)
    hold, row = account.holds[7], there["holds"][7]
    assert there["paths"][row[0]] == hold.path
    assert there["agents"][row[1]][0] == hold.holder
    assert row[2] == pytest.approx((hold.since - account.since).total_seconds(), abs=0.1)
    assert len(set(there["paths"])) == len(there["paths"])


def test_words_of_agents_are_data_and_nothing_in_them_is_invisible(page: str) -> None:
    text = inside(page, '<script type="application/json" id="data">', "</script>")
    assert past.HOSTILE.partition("\u2028")[0] in json.dumps(data(page), ensure_ascii=False).replace('\\"', '"')
    assert re.search(r"[<>&\x00-\x1f\x7f]", text) is None
    assert page.isascii() or "\u202e" not in page
    words = [entry[3] for entry in data(page)["messages"]]
    assert all(char == "\n" or is_visible(char) for word in words for char in word)
    assert "one line\nand another" in words


def test_nothing_but_its_own_script_and_style_may_run(page: str) -> None:
    policy = inside(page, 'http-equiv="Content-Security-Policy" content="', '"')
    for kind in ("script", "style"):
        own = inside(page, f"<{kind}>", f"</{kind}>")
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    ways_in = r"(?:src|href)=[\"']?(?:https?:|//)|\sstyle=|\son\w+=|innerHTML|insertAdjacent|document\.write"
    assert re.search(ways_in, ops.template()) is None


def test_the_name_of_the_repository_is_text(tmp_path: Path) -> None:
    world = World(tmp_path)
    named = ops.Report(
        project="</title><script>x",
        made_at=NOON,
        known_since=None,
        account=ops.report(world.agent("a").session, 0, None).account,
        hotspots=(),
    )
    page = html(named, ops.template(), "1")
    assert "<title>&lt;/title&gt;&lt;script&gt;x: agent-sync report</title>" in page
    assert data(page)["project"] == "</title><script>x"


def test_the_table_of_hotspots_is_aligned_and_harmless(found: ops.Report) -> None:
    lines = hotspots.table([spot for spot in found.hotspots if spot.heat > 0][:5])
    assert lines[0].split()[:3] == ["HEAT", "PATH", "REFUSED"]
    assert all(is_visible(char) for line in lines for char in line)
    assert any("split it (advice" in line for line in lines)
