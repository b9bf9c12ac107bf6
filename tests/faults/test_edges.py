"""What people, programs and clients are told when the disk fails: the command line's `main`, and the hook's.

A command that fails exits with 6 (or 1) and says on stderr what failed and on which file; with `--json` it says so on
stdout. A hook never fails: it says its piece, or that it failed open in one line, and exits with 0.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash.killing import Snapshot
from faults.faulty import ERRORS, Fault, faults, open_files
from faults.operations import fenced
from invariants import check_replay, check_store
from rounds import TIMES
from world import World

from agentsync.cli.main import main
from agentsync.errors import GuardTimeoutError
from agentsync.hook import entry
from agentsync.ops import locks
from agentsync.ops.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Alice is on the board, as whom the commands run, and bob, who holds something and has written to her."""
    made = fenced(tmp_path)
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("AGENT_SYNC_ID", "alice")
    assert run("heartbeat") == 0
    for words in (("lock", "src/held.py"), ("send", "--to", "alice", "--message", "hello"), ("create-task", "Login")):
        monkeypatch.setenv("AGENT_SYNC_ID", "bob")
        assert run(*words) == 0
    monkeypatch.setenv("AGENT_SYNC_ID", "alice")
    return made


def run(*words: str) -> int:
    return main(list(words))


def errors(call: int) -> list[int]:
    return [ERRORS[(call + n) % len(ERRORS)] for n in range(min(TIMES, len(ERRORS)))]


def every_fault(world: World, act: Callable[[], object]) -> Iterator[tuple[Fault, object]]:
    """Run an act with a fault at each of its calls; yields the fault, and what it returned."""
    start = Snapshot(world.state)
    with faults(Fault(0)) as counted:
        act()
    for call in range(1, len(counted.made) + 1, 1 if TIMES > 1 else len(counted.made) // 25 + 1):
        for error in errors(call):
            start.restore()
            with faults(Fault(call, error)):
                result = act()
            yield Fault(call, error), result
    start.restore()


VERBS = [
    ("lock", "src/app.py"),
    ("unlock", "--all"),
    ("claim-next", "--lock"),
    ("send", "--to", "bob", "--message", "hi"),
    ("read-message", "m-4"),
    ("log", "the build is green"),
    ("status",),
    ("gc",),
]


@pytest.mark.parametrize("words", VERBS, ids=[words[0] for words in VERBS])
def test_a_command_that_fails_says_what_failed_and_where(
    words: tuple[str, ...], world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    failed = 0
    for fault, code in every_fault(world, lambda: run(*words)):
        _, err = capfd.readouterr()
        assert code in (0, 1, 6), (fault, code, err)
        if code != 0:
            failed += 1
            assert os.strerror(fault.error) in err, fault
            assert str(world.root) in err, (fault, err)
            assert "Traceback" not in err
            assert len(err.splitlines()) == 2, (fault, err)
        assert open_files() == set()
        assert run("lock", "elsewhere") == 0, (fault, capfd.readouterr())
        check_store(world.state)
        check_replay(world.state)
        capfd.readouterr()
    assert failed > 5


def test_with_json_the_failure_is_an_object(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    for fault, code in every_fault(world, lambda: run("lock", "src/app.py", "--json")):
        out, _ = capfd.readouterr()
        told = json.loads(out[out.rindex('{\n  "kind"') :] if '{\n  "kind"' in out else out.splitlines()[-1])
        if code != 0:
            assert (told["kind"], told["code"]) == ("error", code), fault
            assert os.strerror(fault.error) in told["message"], fault


def hook(event: str, **payload: object) -> Callable[[], int]:
    text = json.dumps({"session_id": "alice", **payload}).encode()

    def act() -> int:
        sys.stdin = io.TextIOWrapper(io.BytesIO(text))
        return entry.main([event])

    return act


EVENTS = {
    "session-start": ({"source": "startup"}, ""),
    "user-prompt-submit": ({"prompt": "go on"}, "hello"),
    "pre-tool-use of a held file": ({"tool_name": "Edit", "tool_input": {"file_path": "src/held.py"}}, "deny"),
    "pre-tool-use": ({"tool_name": "Edit", "tool_input": {"file_path": "src/app.py"}}, ""),
    "post-tool-use": ({"tool_name": "Edit", "tool_input": {"file_path": "src/app.py"}}, "hello"),
    "stop": ({"stop_hook_active": False}, "hello"),
    "session-end": ({"reason": "exit"}, ""),
}


@pytest.mark.parametrize("name", EVENTS)
def test_a_hook_says_its_piece_or_in_one_line_why_not(
    name: str, world: World, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    payload, expected = EVENTS[name]
    act = hook(name.partition(" ")[0], **payload)
    capfd.readouterr()
    for fault, code in every_fault(world, act):
        assert code == 0, fault
        check_words(*capfd.readouterr(), expected, fault)
        check_store(world.state)
        assert run("lock", "elsewhere") == 0
        capfd.readouterr()


def check_words(out: str, err: str, expected: str, fault: Fault) -> None:
    """Its piece, or one line about why not; with a configuration that cannot be read, both."""
    lines = err.splitlines()
    assert len(lines) <= 1, (fault, err)
    said = out.splitlines()[-1] if out else ""  # the run that counts the calls has said the same
    assert not said or json.loads(said)
    if lines:
        assert "failed open" in err or ("defaults apply" in err and expected in said), fault
        assert os.strerror(fault.error) in err, (fault, err)
    else:
        assert expected in said, f"neither its piece nor a complaint: {fault}"


def test_a_hook_that_fails_in_silence_is_caught(
    world: World, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    monkeypatch.setattr(entry, "_say", lambda line: None)
    payload, expected = EVENTS["pre-tool-use of a held file"]
    capfd.readouterr()

    def check() -> None:
        for fault, _ in every_fault(world, hook("pre-tool-use", **payload)):
            check_words(*capfd.readouterr(), expected, fault)

    with pytest.raises(AssertionError, match="neither"):
        check()


# ---------------------------------------------------------------- the guard is held by a process that stands still
HOLDER = """
import fcntl, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def stopped(world: World) -> Iterator[int]:
    """The pid of a process that took the guard and was stopped."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, world.state / "guard"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_guard_that_is_held_for_ever_is_an_error_in_time_that_names_the_holder(world: World, stopped: int) -> None:
    session = open_session(world.agent("carol").runtime, owns_signals=True, timeout=0.3)
    began = time.monotonic()
    with pytest.raises(GuardTimeoutError, match=f"process {stopped} holds it"):
        locks.lock(session, ["src/app.py"])
    assert 0.25 < time.monotonic() - began < 5


def test_a_hook_does_not_wait_for_a_stopped_process_and_still_judges(
    world: World, stopped: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    capfd.readouterr()
    edit = {"tool_name": "Edit", "tool_input": {"file_path": "src/held.py"}}
    assert hook("pre-tool-use", **edit)() == 0
    assert '"deny"' in capfd.readouterr().out, "that takes no guard"
    began = time.monotonic()
    edit["tool_input"] = {"file_path": "src/app.py"}
    assert hook("pre-tool-use", **edit)() == 0
    assert time.monotonic() - began < 6
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert f"process {stopped} holds it" in err


@pytest.mark.slow
def test_a_command_gives_up_after_ten_seconds_and_names_the_stopped_process(
    world: World, stopped: int, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert run("lock", "src/app.py") == 6
    _, err = capfd.readouterr()
    assert f"process {stopped} holds it" in err
    assert f"ps -fp {stopped}" in err
