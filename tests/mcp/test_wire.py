"""The server as a process: both eras of the protocol, bad lines, bad ends, and what becomes of its locks."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import make_repo

sys.path.insert(0, str(Path(__file__).parent))

from raw import PATIENCE_S, SERVER, Raw, board, clean_env, command, result

from agentsync.mcp.catalogue import MAX_BYTES
from agentsync.mcp.wire import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 5.0
"""Within which what a dead one held must be free."""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo")


@pytest.fixture
def start(repo: Path) -> Iterator[Callable[..., Raw]]:
    made: list[Raw] = []

    def begin(**options: Any) -> Raw:
        made.append(Raw(repo, **options))
        return made[-1]

    yield begin
    for raw in made:
        if raw.process.poll() is None:
            raw.process.send_signal(signal.SIGCONT)
        raw.ends()


def free_within(repo: Path, path: str, seconds: float = SECONDS) -> float:
    """Seconds until somebody else can lock a path."""
    began = time.monotonic()
    while command(repo, "bob", "lock", path).returncode != 0:
        assert time.monotonic() - began < seconds, f"{path} is still held"
    return time.monotonic() - began


# ---------------------------------------------------------------- the protocol
def test_one_connection_speaks_both_eras_as_clients_probe_and_fall_back(start: Callable[..., Raw]) -> None:
    raw = start()
    found = raw.asks("server/discover", modern=True)["result"]
    assert "2026-07-28" in found["supportedVersions"]
    assert "lock them" in found["instructions"]
    begun = raw.begins("2025-11-25")["result"]
    assert begun["protocolVersion"] == "2025-11-25"
    assert begun["serverInfo"]["name"] == "agent-sync"
    assert begun["instructions"] == found["instructions"]
    assert raw.calls("lock", paths=["a"])[0] is False
    modern = raw.answer(raw.ask("tools/call", {"name": "status", "arguments": {}}, modern=True))
    assert modern["result"]["isError"] is False, "and it may go on in the other era"
    assert "result" in raw.asks("ping")


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_each_handshake_gets_the_version_it_asks_for(version: str, start: Callable[..., Raw]) -> None:
    raw = start()
    assert raw.begins(version)["result"]["protocolVersion"] == version
    assert len(raw.asks("tools/list")["result"]["tools"]) == 8


@pytest.mark.parametrize("modern", [False, True])
def test_the_list_of_tools_is_short_on_the_wire(modern: bool, start: Callable[..., Raw]) -> None:
    raw = start()
    if not modern:
        raw.begins()
    line = json.dumps(raw.asks("tools/list", modern=modern), separators=(",", ":"), ensure_ascii=False).encode()
    assert len(line) <= MAX_BYTES == 6000
    assert len(line) > 3000, "this measures something"


# ---------------------------------------------------------------- bad lines
def test_what_is_no_message_is_answered_and_the_connection_goes_on(start: Callable[..., Raw]) -> None:
    raw = start()
    raw.begins()
    bad: list[tuple[bytes, int]] = [
        (b"garbage", -32700),
        (b"\xff\xfe\x00", -32700),
        (b'{"jsonrpc":"2.0"', -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"3", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}', -32600),
        (b'{"jsonrpc":"2.0","id":5,"method":"x","params":[' + b'"y",' * (MAX_LINE // 4) + b'"z"]}', -32600),
    ]
    for line, code in bad:
        raw.write(line)
        error = raw.hears()
        assert error["error"]["code"] == code, line[:80]
        assert error["id"] is None
        assert "pydantic" not in json.dumps(error)
        assert "http" not in json.dumps(error)
    raw.write(b"")
    raw.write(b"   ")
    raw.write(b'{"jsonrpc":"2.0","method":"notifications/nobody/knows"}')
    raw.write(b'{"jsonrpc":"2.0","id":77,"result":{}}')
    assert raw.asks("tools/call", {"name": 3})["error"]["code"] == -32602
    assert raw.asks("no/such/method")["error"]["code"] == -32601
    assert raw.calls("lock", paths=["a"])[0] is False


# ---------------------------------------------------------------- several at once
def test_calls_in_parallel_are_all_answered_and_one_path_has_one_holder(start: Callable[..., Raw], repo: Path) -> None:
    raw, other = start(), start()
    raw.begins()
    other.begins()
    asked = [(client, client.call("lock", paths=[f"f{n % 5}"])) for n in range(20) for client in (raw, other)]
    failed = [result(client.answer(request))[0] for client, request in asked]
    assert failed.count(False) >= 5
    holders = {lock["path"]: lock["holder"] for lock in board(repo)["locks"]}
    assert sorted(holders) == [f"f{n}" for n in range(5)]
    for (client, _), lost, path in zip(asked, failed, [f"f{n % 5}" for n in range(20) for _ in range(2)], strict=True):
        mine = holders[path] == board_id(client, asked, failed, holders)
        assert lost is not mine


def board_id(client: Raw, asked: list[tuple[Raw, int]], failed: list[bool], holders: dict[str, str]) -> str | None:
    """The id of the agent that a client is: the holder of what it was granted; None when the other had it all."""
    number = next((n for n, (who, _) in enumerate(asked) if who is client and not failed[n]), None)
    return None if number is None else holders[f"f{number // 2 % 5}"]


def test_a_call_that_waits_does_not_keep_others_waiting_and_is_granted_in_its_turn(
    start: Callable[..., Raw], repo: Path
) -> None:
    command(repo, "bob", "lock", "a")
    raw = start()
    raw.begins()
    waits = raw.call("lock", paths=["a"], wait_seconds=40)
    assert raw.calls("lock", paths=["b"])[0] is False
    assert all(message.get("id") != waits for message in raw.waiting)
    while "raw" not in command(repo, "bob", "queue").stdout:
        time.sleep(0.05)
    command(repo, "bob", "unlock", "a")
    assert result(raw.answer(waits))[0] is False


def test_what_a_cancelled_call_was_waiting_for_is_given_back(start: Callable[..., Raw], repo: Path) -> None:
    command(repo, "bob", "lock", "a")
    raw = start()
    raw.begins()
    waits = raw.call("lock", paths=["a"], wait_seconds=40)
    while "raw" not in command(repo, "bob", "queue").stdout:
        time.sleep(0.05)
    raw.say({"method": "notifications/cancelled", "params": {"requestId": waits}})
    raw.asks("ping")
    command(repo, "bob", "unlock", "a")
    free_within(repo, "a")


def test_mail_goes_out_once_to_parallel_calls(start: Callable[..., Raw], repo: Path) -> None:
    raw = start()
    raw.begins()
    raw.calls("status")
    (it,) = [agent["id"] for agent in board(repo)["agents"] if agent["client"] == "raw"]
    command(repo, "bob", "send", "--to", it, "--message", "use tabs")
    texts = [result(raw.answer(request))[1] for request in [raw.call("unlock") for _ in range(8)]]
    assert sum("use tabs" in text for text in texts) == 1
    (sent,) = json.loads(command(repo, "bob", "sent", "--json").stdout)
    assert sent["readers"][0]["delivered_at"] is not None


# ---------------------------------------------------------------- the guard
def test_a_guard_that_is_not_to_be_had_is_an_error_in_time_that_names_who_has_it(
    start: Callable[..., Raw], repo: Path
) -> None:
    raw = start()
    raw.begins()
    raw.calls("lock", paths=["a"])
    holds = (
        "import fcntl, os, signal, sys; fd = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(fd, fcntl.LOCK_EX); "
        "os.kill(os.getpid(), signal.SIGSTOP)"
    )
    stopped = subprocess.Popen([sys.executable, "-c", holds, str(repo / ".claude/coordination/guard")])
    try:
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
        began = time.monotonic()
        failed, text = raw.calls("lock", paths=["b"])
        assert failed
        assert f"process {stopped.pid} holds it" in text
        assert time.monotonic() - began < 20
        assert raw.calls("status")[0] is False, "who only looks needs no guard"
    finally:
        stopped.kill()
        stopped.wait()
    assert raw.calls("lock", paths=["b"])[0] is False


# ---------------------------------------------------------------- ends
def test_when_its_input_ends_the_agent_leaves_and_lets_go(start: Callable[..., Raw], repo: Path) -> None:
    raw = start()
    raw.begins()
    raw.calls("lock", paths=["a"])
    assert raw.ends() == 0
    assert raw.stderr == ""
    found = board(repo)
    assert found["locks"] == []
    assert found["agents"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_same_on_a_signal(number: signal.Signals, start: Callable[..., Raw], repo: Path) -> None:
    raw = start()
    raw.begins()
    raw.calls("lock", paths=["a"])
    raw.process.send_signal(number)
    assert raw.process.wait(PATIENCE_S) == 0
    assert board(repo)["agents"] == []


def test_calls_that_were_sent_before_the_end_are_answered(start: Callable[..., Raw], repo: Path) -> None:
    raw = start()
    raw.begins()
    requests = [raw.call("create_task", title=f"T{n}") for n in range(5)]
    raw.close_input()
    assert all(result(raw.answer(request))[1].startswith("created t-") for request in requests)
    assert raw.ends() == 0
    assert len(board(repo)["tasks"]) == 5


def test_an_end_in_the_middle_of_a_wait_leaves_nothing_behind(start: Callable[..., Raw], repo: Path) -> None:
    command(repo, "bob", "lock", "a")
    raw = start()
    raw.begins()
    raw.call("lock", paths=["a"], wait_seconds=50)
    while "raw" not in command(repo, "bob", "queue").stdout:
        time.sleep(0.05)
    began = time.monotonic()
    raw.close_input()
    assert raw.process.wait(PATIENCE_S) == 0
    assert time.monotonic() - began < 15
    assert "raw" not in command(repo, "bob", "queue").stdout
    assert [agent["id"] for agent in board(repo)["agents"]] == ["bob"]


def test_a_killed_server_holds_nothing(start: Callable[..., Raw], repo: Path) -> None:
    raw = start()
    raw.begins()
    raw.calls("lock", paths=["a"])
    assert command(repo, "bob", "lock", "a").returncode == 3
    raw.process.kill()
    raw.process.wait()
    free_within(repo, "a")


CLIENT = """
import json, subprocess, sys, time
server = subprocess.Popen([sys.argv[1], "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
keeper = subprocess.Popen(["sleep", "100"], stdout=server.stdin) if sys.argv[2] == "kept" else None
def ask(**message):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\\n")
    server.stdin.flush()
info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "victim", "version": "1"}}
ask(id=1, method="initialize", params=info)
server.stdout.readline()
ask(method="notifications/initialized")
ask(id=2, method="tools/call", params={"name": "lock", "arguments": {"paths": ["a"]}})
line = server.stdout.readline().decode()
print(json.dumps([server.pid, keeper.pid if keeper else 0, json.loads(line)["result"]["isError"]]), flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("pipe", ["closed", "kept"])
def test_a_killed_client_holds_nothing_even_if_its_end_of_the_pipe_is_kept_open(pipe: str, repo: Path) -> None:
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, SERVER, pipe], cwd=repo, env=clean_env(), stdout=subprocess.PIPE, text=True
    )
    assert client.stdout is not None
    server, keeper, failed = json.loads(client.stdout.readline())
    try:
        assert failed is False
        assert command(repo, "bob", "lock", "a").returncode == 3
        client.kill()
        client.wait()
        free_within(repo, "a")
        end = time.monotonic() + SECONDS
        while Path(f"/proc/{server}").exists() and Path(f"/proc/{server}/cmdline").read_bytes():
            assert time.monotonic() < end, "the server has stayed"
            time.sleep(0.05)
    finally:
        client.stdout.close()
        if keeper:
            os.kill(keeper, signal.SIGKILL)


def test_a_session_of_the_host_keeps_its_locks_when_its_server_is_killed(start: Callable[..., Raw], repo: Path) -> None:
    raw = start(CLAUDE_CODE_SESSION_ID="0f0e0d0c-1111-4222-8333-0123456789ab", CLAUDE_PID=str(os.getpid()))
    raw.begins(name="claude-code")
    raw.calls("lock", paths=["a"])
    raw.process.kill()
    raw.process.wait()
    assert command(repo, "bob", "lock", "a").returncode == 3


def test_output_that_nobody_reads_ends_it_quietly(repo: Path) -> None:
    reads, writes = os.pipe()
    process = subprocess.Popen(
        [SERVER, "mcp"], cwd=repo, env=clean_env(), stdin=subprocess.PIPE, stdout=writes, stderr=subprocess.PIPE
    )
    os.close(writes)
    os.close(reads)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    process.stdin.flush()
    try:
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == b""
    finally:
        process.stdin.close()
        process.stderr.close()


def test_a_reader_that_has_stopped_does_not_keep_the_guard(start: Callable[..., Raw], repo: Path) -> None:
    """Its mail waits for an answer that cannot leave; others write meanwhile."""
    reads, writes = os.pipe()
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(
        [SERVER, "mcp"], cwd=repo, env=clean_env(AGENT_SYNC_ID="slow"), stdin=subprocess.PIPE, stdout=writes
    )
    os.close(writes)
    assert process.stdin is not None
    info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "slow", "version": "1"}}
    lines: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": info},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "status", "arguments": {}}},
    ]
    try:
        for line in lines:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n")
            process.stdin.flush()
        end = time.monotonic() + PATIENCE_S
        while "slow" not in [agent["id"] for agent in board(repo)["agents"]]:
            assert time.monotonic() < end
        command(repo, "bob", "send", "--to", "slow", "--message", "m" * 3900)
        call = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "unlock", "arguments": {}}}
        for number in range(3, 9):
            process.stdin.write(json.dumps({**call, "id": number}).encode() + b"\n")
            process.stdin.flush()
        began = time.monotonic()
        assert command(repo, "bob", "lock", "a").returncode == 0
        assert time.monotonic() - began < 20
        reader = threading.Thread(target=lambda: _read_all(reads))
        reader.start()
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
        reader.join()
    finally:
        os.close(reads)


def _read_all(fd: int) -> None:
    while os.read(fd, 65536):
        pass


# ---------------------------------------------------------------- without
def test_without_the_sdk_it_says_in_one_line_how_to_get_it(repo: Path) -> None:
    code = "import sys; sys.modules['mcp_types'] = None; from agentsync.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "mcp"], cwd=repo, env=clean_env(), capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "pip install 'agentsync[mcp]'" in line
    assert done.stdout == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_without_input_or_output_it_says_so(closed: str, repo: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" mcp {closed}', SERVER],
        cwd=repo,
        env=clean_env(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1)
