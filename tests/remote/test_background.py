"""Syncs that nobody waits for: started by what happens anyway, at most once in a while, and over before long."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from remote.test_processes import Team

from agentsync.core.progress import Says
from agentsync.ops import background, mail, operator, remote, sync, tasks
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SESSION = "0f0e0d0c-1111-4222-8333-0123456789ab"
ME = "claude-456789ab"


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path, 2)


def is_due(clone: Path) -> None:
    os.utime(clone / ".claude/coordination/remote/due", (1000, 1000))


def hook(clone: Path, event: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    body = {"session_id": SESSION, "cwd": str(clone), "hook_event_name": event, **more}
    env = {"PATH": os.environ["PATH"], "HOME": str(clone.parent)}
    command = [sys.executable, "-P", "-m", "agentsync.hook", event]
    return subprocess.run(command, input=json.dumps(body).encode(), cwd=clone, env=env, capture_output=True, timeout=60)


def command(clone: Path, *words: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(clone.parent), "AGENT_SYNC_ID": "me"}
    done = subprocess.run([sys.executable, "-P", "-m", "agentsync", *words], cwd=clone, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def eventually(true: Callable[[], object]) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.1)
    return False


def is_idle(clone: Path) -> bool:
    """Whether no process works there."""
    found = (f"/proc/{name}/cwd" for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
    return not any(os.path.lexists(link) and _leads_to(link, clone) for link in found)


def _leads_to(link: str, clone: Path) -> bool:
    try:
        return os.readlink(link).startswith(str(clone))
    except OSError:
        return False


@pytest.mark.slow
def test_what_happens_on_one_machine_is_known_on_the_other_though_nobody_types_sync(team: Team) -> None:
    east, west = team.clones
    command(west, "register", "--name", "bob")
    is_due(east)
    command(east, "create-task", "Login form")
    session = team.session(west)

    def arrives() -> bool:
        is_due(west)
        hook(west, "stop")
        return bool(session.store.state().tasks())

    assert eventually(arrives)
    assert eventually(lambda: is_idle(east) and is_idle(west)), "no process stays"
    team.check()


@pytest.mark.slow
def test_no_hook_waits_for_a_remote_that_does_not_answer(team: Team) -> None:
    clone = team.clones[0]
    silent, pids = clone.parent / "silent", clone.parent / "pids"
    silent.write_text(f"#!/bin/sh\necho $$ >>{pids}\nexec sleep 600\n")
    silent.chmod(0o755)
    subprocess.run(["git", "config", "remote.origin.url", "ssh://nowhere.invalid/x.git"], cwd=clone, check=True)
    subprocess.run(["git", "config", "core.sshCommand", str(silent)], cwd=clone, check=True)
    is_due(clone)
    done = hook(clone, "session-start")
    assert (done.returncode, done.stderr) == (0, b"")
    assert eventually(pids.exists)
    for event in ("user-prompt-submit", "stop", "session-end"):
        is_due(clone)
        done = hook(clone, event)
        assert (done.returncode, done.stderr) == (0, b"")
    trouble = clone / ".claude/coordination/remote/trouble"
    assert not trouble.exists(), "it is still waiting for its answer"

    def hang_up() -> None:
        for pid in pids.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    assert eventually(lambda: hang_up() or trouble.exists())
    assert "could not be reached" in command(clone, "remote", "status")
    assert "the last sync failed" in command(clone, "status")
    assert eventually(lambda: hang_up() or is_idle(clone))


def test_it_begins_once_in_a_while_and_not_without_a_remote(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    session, started = team.session(team.clones[0]), []
    monkeypatch.setattr(background, "_start", started.append)
    assert not background.sync_if_due(session), "remote add was a sync"
    is_due(team.clones[0])
    assert background.sync_if_due(session)
    assert not background.sync_if_due(session)
    is_due(team.clones[0])
    sync.sync(session)
    assert not background.sync_if_due(session), "one by hand counts"
    session.store.files.mark("remote/due", time.time() + 10_000)
    assert background.sync_if_due(session), "a clock was wrong"
    remote.remove(session)
    assert not background.sync_if_due(session)
    assert len(started) == 2


def test_what_the_person_at_the_console_does_is_told_too(team: Team) -> None:
    east = team.clones[0]
    env = {"PATH": os.environ["PATH"], "HOME": str(east.parent)}
    session = operator.open_operator(Runtime(env=env, cwd=str(east)))
    tasks.create(session, Says(title="Login form"))
    is_due(east)
    assert background.sync_if_due(session)
    assert background._children[0].wait(60) == 0
    assert background.trouble(session) is None
    sync.sync(team.session(team.clones[1]))
    (task,) = team.session(team.clones[1]).store.state().tasks()
    assert task.created_by.startswith("operator.")


def test_a_board_that_cannot_be_written_is_still_read(team: Team) -> None:
    east = team.clones[0]
    due = east / ".claude/coordination/remote/due"
    due.unlink()
    due.mkdir()  # as good as a read-only file system, for anybody
    os.utime(due, (1000, 1000))
    assert "MACHINES" in command(east, "status")
    assert not background.sync_if_due(team.session(east))
    due.rmdir()


def test_what_fails_is_shown_until_it_works_again(team: Team) -> None:
    clone, session = team.clones[0], team.session(team.clones[0])
    team.hub.rename(team.hub.with_name("gone.git"))
    background.run(session)
    assert "could not be reached" in (background.trouble(session) or "")
    team.hub.with_name("gone.git").rename(team.hub)
    background.run(session)
    assert background.trouble(session) is None
    assert "failed" not in command(clone, "status")


def test_one_that_finds_another_at_work_leaves_it_to_that(team: Team) -> None:
    from agentsync.ops import exchange

    session = team.session(team.clones[0])
    with exchange.alone(session):
        background.run(team.session(team.clones[0]))
    assert background.trouble(session) is None


@pytest.mark.slow
def test_a_stop_brings_the_mail_that_the_next_prompt_tells(team: Team) -> None:
    east, west = team.clones
    alice = team.session(east)
    hook(west, "session-start", source="startup")
    sync.sync(team.session(west))
    sync.sync(alice)
    mail.send(alice, ME, "the schema has changed")
    tasks.create(alice, Says(title="Login form"))
    sync.sync(alice)
    is_due(west)
    hook(west, "stop")
    assert eventually(lambda: team.session(west).store.state().messages())
    answer = json.loads(hook(west, "user-prompt-submit", prompt="go on").stdout)
    assert "the schema has changed" in answer["hookSpecificOutput"]["additionalContext"]
