"""What is started for events: commands with bounded concurrency, notifications that are data."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from core.boards import NOW

from agentsync.core.records import Event
from agentsync.ops.handlers import Commands, Notifier, arguments, notifier
from agentsync.render.feed import notification
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def event(rev: int, summary: str = "alice locked a.py") -> Event:
    return Event(rev=rev, at=NOW, actor="alice", verb="lock", summary=summary, changes=())


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_one_at_a_time_in_the_order_of_the_events_each_with_its_event(tmp_path: Path) -> None:
    said: list[str] = []
    run = Commands(f"cat >>{tmp_path}/out", 1, said.append)
    for rev in range(1, 6):
        run(event(rev))
    run.finish()
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [one["rev"] for one in found] == [1, 2, 3, 4, 5]
    assert found[0]["kind"] == "event"
    assert (run.failures, said) == (0, [])


def test_no_more_run_at_a_time_than_there_are_places(tmp_path: Path) -> None:
    """Each counts who is there besides it, and stays a while."""
    here = tmp_path / "here"
    here.mkdir()
    script = f"mkdir {here}/$$; ls {here} | wc -l >>{tmp_path}/most; sleep 0.05; rmdir {here}/$$"
    run = Commands(script, 3, lambda _: None)
    for rev in range(1, 13):
        run(event(rev))
    run.finish()
    most = [int(line) for line in (tmp_path / "most").read_text().split()]
    assert len(most) == 12
    assert max(most) <= 3


def test_failures_are_told_counted_and_hinder_nobody(tmp_path: Path) -> None:
    said: list[str] = []
    run = Commands("grep -q '\"rev\":2,' && exit 7; grep -q x </dev/null; kill -9 $$", 1, said.append)
    run(event(1))
    run(event(2))
    run.finish()
    assert run.failures == 2
    assert "revision 1 was killed by signal 9" in said[0]
    assert "revision 2 ended with 7" in said[1]


def test_a_command_that_reads_nothing_of_a_large_event_does_not_hang(tmp_path: Path) -> None:
    run = Commands("true", 1, lambda _: None)
    run(event(1, "x" * 1_000_000))
    run.finish()
    assert run.failures == 0


def test_what_comes_while_a_notification_is_shown_is_told_in_one(tmp_path: Path) -> None:
    shown: list[list[int]] = []
    go = threading.Event()

    def text(events: Sequence[Event]) -> tuple[str, str]:
        shown.append([one.rev for one in events])
        go.wait(30)
        return "title", "body"

    tell = Notifier(program(tmp_path / "notify-send", f'printf "%s\\n" "$@" >>{tmp_path}/out'), text, pytest.fail)
    tell(event(1))
    while not shown:
        pass
    for rev in range(2, 6):
        tell(event(rev))
    go.set()
    tell.finish()
    assert shown == [[1], [2, 3, 4, 5]]
    assert (tmp_path / "out").read_text() == "--app-name=agent-sync\n--\ntitle\nbody\n" * 2


def test_a_notifier_that_fails_is_told_of_once(tmp_path: Path) -> None:
    said: list[str] = []
    tell = Notifier(program(tmp_path / "notify-send", "echo no desktop >&2; exit 1"), notification, said.append)
    for rev in range(1, 4):
        tell(event(rev))
        tell.finish()
    assert len(said) == 1
    assert "no desktop" in said[0]


def test_a_notification_holds_data_only() -> None:
    title, body = notification([event(1, "<b>bob</b> & \x1b[31m$(reboot)\n-e x")])
    assert title == "agent-sync: lock"
    assert arguments("/usr/bin/notify-send", title, body)[1:] == [
        *("--app-name=agent-sync", "--", title),
        "&lt;b&gt;bob&lt;/b&gt; &amp; \\x1b[31m$(reboot)\\n-e x",
    ]
    words = arguments("/usr/bin/osascript", title, body)
    assert words[-2:] == [title, body]
    assert "reboot" not in "".join(words[:-1])
    title, body = notification([event(rev, f"event {rev}") for rev in range(1, 10)])
    assert title == "agent-sync: 9 events"
    assert body == "event 6\nevent 7\nevent 8\nevent 9"


def test_the_notifier_is_looked_for_on_the_path(tmp_path: Path) -> None:
    assert notifier(Runtime(env={"PATH": str(tmp_path)})) is None
    made = program(tmp_path / "osascript", "true")
    assert notifier(Runtime(env={"PATH": str(tmp_path)})) == made
    made = program(tmp_path / "notify-send", "true")
    assert notifier(Runtime(env={"PATH": str(tmp_path)})) == made
