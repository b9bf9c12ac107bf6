"""`run --lock`: a lock that lives exactly as long as a command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from repos import Committer, Shop

RUN = (sys.executable, "-P", "-m", "agentsync", "run")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def alice(shop: Shop) -> Committer:
    return shop.agent("alice")


@pytest.fixture
def bob(shop: Shop) -> Committer:
    return shop.agent("bob")


def until(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def started(who: Committer, *words: str) -> tuple[subprocess.Popen[bytes], Path]:
    """A command that says by a file that it runs."""
    mark = who.cwd / f".running-{time.monotonic_ns()}"
    process = who.starts(*RUN, *words[: words.index("--")], "--", "sh", "-c", f'echo $$ >"{mark}"; {words[-1]}')
    until(lambda: mark.exists() and mark.read_text())
    return process, mark


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_lock_is_there_while_the_command_runs_and_gone_after(shop: Shop, alice: Committer) -> None:
    said = alice.does(
        "run", "--lock", "dist/", "--lock", "@db", "--", sys.executable, "-m", "agentsync", "locks", "--json"
    )
    locks = json.loads(said.out)
    assert [(lock["path"], lock["holder"]) for lock in locks] == [("@db", "alice"), ("dist/", "alice")]
    assert locks[0]["process"]["pid"] > 1
    assert shop.locks() == {}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["no-such-command-anywhere"], 127),
        (["/dev/null"], 126),
        (["test", "--", "=", "--"], 0),
    ],
)
def test_the_exit_code_is_passed_on_and_the_lock_let_go(
    words: list[str], code: int, shop: Shop, alice: Committer
) -> None:
    assert alice.does("run", "--lock", "x.py", "--", *words).code == code
    assert shop.locks() == {}


def test_input_and_output_are_the_commands_own(alice: Committer) -> None:
    said = alice.runs(*RUN, "--lock", "x.py", "--", "sh", "-c", "cat; echo oops >&2", stdin="hello\n")
    assert (said.out, said.err) == ("hello\n", "oops\n")


def test_who_is_refused_runs_nothing(alice: Committer, bob: Committer) -> None:
    process, _ = started(alice, "--lock", "x.py", "--reason", "a build", "--", "sleep 60")
    said = bob.does("run", "--lock", "free.py", "--lock", "x.py", "--", "touch", "ran")
    assert said.code == 3
    assert "reason: a build" in said.err
    assert "until: its command has ended" in said.err
    assert not (bob.cwd / "ran").exists()
    assert bob.does("run", "--wait=0.3", "--lock", "x.py", "--", "touch", "ran").code == 5
    assert not (bob.cwd / "ran").exists()
    process.terminate()
    process.wait()


def test_who_waits_runs_when_it_is_free(shop: Shop, alice: Committer, bob: Committer) -> None:
    process, _ = started(alice, "--lock", "x.py", "--", "sleep 60")
    waiting = bob.starts(*RUN, "--wait", "--lock", "x.py", "--", "touch", "ran")
    until(lambda: list((shop.state / "queue").glob("*.json")))
    assert not (bob.cwd / "ran").exists()
    process.terminate()
    assert process.wait() == 143
    assert waiting.wait(20) == 0
    assert (bob.cwd / "ran").exists()
    assert shop.locks() == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(number: signal.Signals, shop: Shop, alice: Committer) -> None:
    name = number.name.removeprefix("SIG")
    process, mark = started(alice, "--lock", "x.py", "--", f"trap 'exit 9' {name}; while :; do sleep 0.05; done")
    process.send_signal(number)
    assert process.wait(20) == 9
    assert not is_alive(int(mark.read_text()))
    assert shop.locks() == {}


def test_the_command_is_killed_and_the_lock_goes(shop: Shop, alice: Committer) -> None:
    process, mark = started(alice, "--lock", "x.py", "--", "sleep 60")
    os.kill(int(mark.read_text()), signal.SIGKILL)
    assert process.wait(20) == 137
    assert shop.locks() == {}


def test_run_itself_is_killed_and_others_have_the_lock_at_once(shop: Shop, alice: Committer, bob: Committer) -> None:
    process, mark = started(alice, "--lock", "x.py", "--", "exec sleep 60")
    alice.does("heartbeat")  # its agent lives on, and would keep a lock of its own
    process.kill()
    process.wait()
    assert shop.locks() == {"x.py": "alice"}, "nobody was there to release it"
    assert "free: x.py" in bob.does("check", "x.py").out
    assert bob.does("lock", "x.py").code == 0
    assert shop.locks() == {"x.py": "bob"}
    until(lambda: not is_alive(int(mark.read_text())))


def test_two_commands_of_one_agent_exclude_each_other_but_not_one_inside_the_other(alice: Committer) -> None:
    process, _ = started(alice, "--lock", "x.py", "--", "sleep 60")
    assert alice.does("run", "--lock", "x.py", "--", "true").code == 3
    process.terminate()
    process.wait()
    inner = [*RUN, "--lock", "x.py", "--", "echo", "inside"]
    assert alice.does("run", "--lock", "x.py", "--", *inner).out == "inside\n"


def test_what_one_held_before_one_holds_after(shop: Shop, alice: Committer, bob: Committer) -> None:
    bob.does("register", "--name", "Bob")
    alice.does("lock", "x.py", "--reason", "by hand")
    file = shop.state / "locks/x.py.json"
    by_hand = file.read_bytes()
    alice.does("run", "--lock", "x.py", "--", "true")
    assert file.read_bytes() == by_hand
    automatic = by_hand.replace(b'"auto": false', b'"auto": true')
    file.write_bytes(automatic)
    inside = alice.does("run", "--lock", "x.py", "--", "cat", str(file)).out
    assert '"auto": false' in inside
    assert '"process": {' in inside
    assert file.read_bytes() == automatic


def test_a_lock_that_was_made_ones_own_meanwhile_stays(shop: Shop, alice: Committer) -> None:
    agent_sync = f"{sys.executable} -P -m agentsync"
    alice.does("run", "--lock", "x.py", "--", "sh", "-c", f"{agent_sync} lock x.py --reason longer")
    assert shop.locks() == {"x.py": "alice"}


def test_shared_locks_let_others_run_beside(alice: Committer, bob: Committer) -> None:
    process, _ = started(alice, "--shared", "--lock", "x.py", "--", "sleep 60")
    assert bob.does("run", "--shared", "--lock", "x.py", "--", "true").code == 0
    assert bob.does("run", "--lock", "x.py", "--", "true").code == 3
    process.terminate()
    process.wait()


@pytest.mark.parametrize("words", [[], ["--lock", "x"], ["--", "true"], ["--lock", "", "--", "true"], ["--lock"]])
def test_a_typing_error_is_code_2(words: list[str], alice: Committer) -> None:
    assert alice.does("run", *words).code == 2


def test_the_gate_does_not_take_the_lock_of_a_dead_command_for_ones_own(shop: Shop, alice: Committer) -> None:
    """It binds nobody, so an edit under it needs an automatic lock like any other."""
    session = "0f0e0d0c-1111-4222-8333-0123456789ab"
    claude = shop.agent("", CLAUDE_CODE_SESSION_ID=session, CLAUDE_PROJECT_DIR=str(shop.root))
    alice.does("register", "--name", "Alice")
    claude.does("install")
    process, _ = started(claude, "--lock", "other.py", "--", "exec sleep 60")
    process.kill()
    process.wait()
    payload = {"session_id": session, "hook_event_name": "PreToolUse", "cwd": str(shop.root), "tool_name": "Edit"}
    payload["tool_input"] = {"file_path": str(shop.root / "other.py")}  # type: ignore[assignment]
    text = json.dumps(payload)
    gate = shop.root / ".claude/hooks/agent-sync"
    assert claude.runs(str(gate), "pre-tool-use", stdin=text).code == 0
    lock = json.loads((shop.state / "locks/other.py.json").read_text())
    assert (lock["auto"], lock["process"]) == (True, None)


def test_without_a_usable_board_nothing_runs(shop: Shop, alice: Committer) -> None:
    shop.state.parent.mkdir(exist_ok=True)
    shop.state.write_text("")
    assert alice.does("run", "--lock", "x.py", "--", "touch", "ran").code == 6
    assert not (shop.root / "ran").exists()
