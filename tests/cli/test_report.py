"""`hotspots` and `report` as they are typed: answers, files, the browser, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli.test_commands import MEMORY, Shell, is_error
from world import make_repo

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Alice holds two files, and bob was refused both."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        made = Shell(make_repo(Path(top) / "shop", {"src/app.py": "x\n", "NEWS.md": "y\n"}), capsys, monkeypatch)
        assert made.types("lock", "src/app.py", "NEWS.md").code == 0
        for path in ("src/app.py", "src/app.py", "NEWS.md"):
            assert made.types("lock", path, agent="bob").code == 3
        yield made


def test_the_worst_comes_first_with_the_command_that_helps(shell: Shell) -> None:
    said = shell.types("hotspots", agent="bob")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[1].startswith("3 refusals, 0 waits, 0 breaches from ")
    assert [line.split()[:3] for line in lines[3:6]] == [
        ["HEAT", "PATH", "REFUSED"],
        ["2", "src/app.py", "2"],
        ["1", "NEWS.md", "1"],
    ]
    assert "src/app.py: split it (advice: no setting does that); several want it" in lines
    assert lines[-2] == "  agent-sync hotspots --apply NEWS.md"
    done = shell.types("hotspots", "--apply", "NEWS.md", agent="bob")
    file = shell.root / ".claude/agent-sync.toml"
    assert done.out == f"NEWS.md is shared now: {os.path.realpath(file)}; commit it to tell the others\n"
    assert file.read_text() == '[paths]\nshared = ["NEWS.md"]\n'
    assert shell.types("hotspots", "--apply", "NEWS.md").out == "NEWS.md is shared already\n"


def test_the_same_as_json(shell: Shell) -> None:
    found = shell.types("hotspots", "--json").json
    assert [(one["path"], one["refusals"], one["suggestion"]["setting"]) for one in found] == [
        ("src/app.py", 2, None),
        ("NEWS.md", 1, "shared"),
    ]
    whole = shell.types("report", "--json", "--since", "0").json
    assert whole["kind"] == "report"
    assert [one["path"] for one in whole["hotspots"]] == ["src/app.py", "NEWS.md"]
    assert {one["holder"] for one in whole["holds"]} == {"alice"}
    assert [one["by"] for one in whole["refusals"]] == ["lock"] * 3
    applied = shell.types("hotspots", "--apply", "NEWS.md", "--json").json
    assert (applied["kind"], applied["setting"], applied["changed"]) == ("setting", "shared", True)
    is_error(shell.types("hotspots", "--apply", "src/app.py", "--json"), 4)
    is_error(shell.types("hotspots", "--apply", "none.md", "--json"), 4)


def test_where_nobody_was_in_the_way_it_says_so(shell: Shell) -> None:
    said = shell.types("hotspots", "--since", "9999999999")
    assert said.out.startswith("nobody was in anybody's way: 0 refusals, 0 waits, 0 breaches")
    assert shell.types("hotspots", "--since", "9999999999", "--json").json == []


def test_a_report_is_one_file_where_it_was_asked_for(shell: Shell) -> None:
    said = shell.types("report")
    file = shell.root / "agent-sync-report.html"
    assert said.out.startswith(f"wrote {file}: ")
    assert file.read_text().startswith("<!doctype html>")
    assert "</html>" in file.read_text()
    other = shell.types("report", "--output", "src/out.html", "--until", "2")
    assert other.code == 0
    assert (shell.root / "src/out.html").is_file()
    assert sorted(path.name for path in shell.root.iterdir() if "report" in path.name) == ["agent-sync-report.html"]


@pytest.mark.parametrize("output", ["src", "", "missing\0", "pipe"])
def test_what_is_no_file_is_not_written_to(output: str, shell: Shell) -> None:
    os.mkfifo(shell.root / "pipe")
    before = sorted(path.name for path in shell.root.rglob("*"))
    said = shell.types("report", "--output", output)
    assert said.code in (1, 2)
    assert said.out == ""
    assert sorted(path.name for path in shell.root.rglob("*")) == before


def test_a_span_that_ends_before_it_begins_is_a_usage_error(shell: Shell) -> None:
    is_error(shell.types("report", "--since", "1h", "--until", "2h", "--json"), 2)
    assert shell.types("report", "--since", "yesterday").code == 2


@pytest.mark.parametrize("works", [True, False])
def test_it_is_shown_in_the_browser_when_there_is_one(works: bool, shell: Shell) -> None:
    browser = shell.root.parent / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >"{shell.root.parent}/seen"\nexit {0 if works else 1}\n')
    browser.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agentsync", "report", "--open", "--output", "a b.html"],
        cwd=shell.root,
        env={"PATH": "/nothing-here", "HOME": str(shell.root), "BROWSER": f"{browser} %s", "AGENT_SYNC_ID": "alice"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote ")
    assert (shell.root.parent / "seen").read_text().strip() == (shell.root / "a b.html").as_uri()
    assert ("no browser could be started" in done.stderr) is not works
