"""A board in a real etcd: what is promised when lines break, members die, data is lost, and others write what they like."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import etcd_server
import pytest
from crash.killing import kill_before
from etcd_server import Server
from invariants import check_store
from rounds import ROUNDS
from world import make_repo

from agentsync.core.locks import Granted
from agentsync.errors import UsageError
from agentsync.ops import exchange, locks, remote, sync
from agentsync.ops.session import open_session
from agentsync.remote import gateway
from agentsync.remote.backend import Done, Lost, Rejected, Snapshot, Unreachable
from agentsync.remote.etcd import PART, Etcd
from agentsync.remote.gateway import Gateway
from agentsync.remote.seen import SEEN
from agentsync.runtime import Runtime
from agentsync.store.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from agentsync.ops.session import Session

REF = "refs/agentsync/state"
BIG = {f"locks/{n}.json": bytes([n]) * (PART // 2) for n in range(7)}
"""More than three requests' worth."""


@pytest.fixture
def address() -> str:
    return etcd_server.shared().address(f"board-{os.urandom(8).hex()}")


@pytest.fixture
def at(tmp_path: Path) -> Callable[..., Etcd]:
    """An engine with a state directory of its own."""

    def made(
        address: str, name: str = "", env: dict[str, str] | None = None, limit_s: float = 20, kind: type[Etcd] = Etcd
    ) -> Etcd:
        state = tmp_path / (name or f"state-{os.urandom(4).hex()}")
        (state / "tmp").mkdir(parents=True, exist_ok=True)
        return kind(Files(str(state), os.urandom(4).hex()), address, REF, env=env or {}, limit_s=limit_s)

    return made


def seen(engine: Etcd, known: str | None = None) -> Snapshot:
    found = engine.read(known)
    assert isinstance(found, Snapshot), found
    return found


def done(engine: Etcd, base: str | None, squash: bool = False, **files: bytes | None) -> str:
    outcome = engine.swap(base, files, "a test", squash)
    assert isinstance(outcome, Done), outcome
    return outcome.version


def keys(engine: Etcd) -> list[str]:
    """What is in the log of its board: `<version>/<part>`."""
    listed = {"key": engine._log.encode(), "range_end": f"{engine._log}:".encode(), "keys_only": True}
    answer = engine._transaction([], [{"request_range": listed}])
    return [pair.key.decode().removeprefix(engine._log) for pair in answer.responses[0].response_range.kvs]


def put(engine: Etcd, key: str, value: bytes) -> None:
    engine._gateway.ask("kv/put", {"key": key.encode(), "value": value}, dict)


# ---------------------------------------------------------------- addresses
@pytest.mark.parametrize(
    ("address", "secure", "members", "board"),
    [
        ("etcd://host/board", False, (("host", 2379),), "board"),
        ("etcds://a.example:1,b:2,[::1]:3/team/board/", True, (("a.example", 1), ("b", 2), ("::1", 3)), "team/board"),
        ("etcd://[fe80::1]/b", False, (("fe80::1", 2379),), "b"),
    ],
)
def test_an_address_says_where(address: str, secure: bool, members: object, board: str) -> None:
    assert gateway.parse(address) == gateway.Address(secure, members, board)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    [
        *("etcd:", "etcd://", "etcd://host", "etcd://host/", "etcd:host/b", "etcd://host:0/b", "etcd://host:99999/b"),
        "etcd://secret@host/b",
        "etcd://u:secret@host/b",
        "etcd://host/b?password=secret",
        "etcd://ho st/b",
        *("etcd://h//b", "etcd://host/b\n", "etcd://host,/b", "etcd://host/b#secret"),
    ],
)
def test_what_is_no_address_is_not_repeated(address: str) -> None:
    with pytest.raises(UsageError) as raised:
        gateway.parse(address)
    assert "secret" not in f"{raised.value.message} {raised.value.hint}"


# ---------------------------------------------------------------- what is large, and what breaks
class Line:
    """A way to a server, which breaks as the test says."""

    def __init__(self, server: Server) -> None:
        self.moods: deque[str] = deque()
        """Of the next requests: `ok`, `before`, `after` (cut, and it has happened or not), `busy`, `html`, `empty`."""
        self.asked = 0
        line = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                line.asked += 1
                mood = line.moods.popleft() if line.moods else "ok"
                if mood == "before":
                    return
                status, data = 200, b"{}" if mood == "empty" else b"<html>hello</html>"
                if mood == "busy":
                    status, data = 503, b'{"error":"etcdserver: no leader","message":"etcdserver: no leader","code":14}'
                elif mood not in ("html", "empty"):
                    onward = HTTPConnection("127.0.0.1", server.port, timeout=20)
                    onward.request("POST", self.path, body, {"Content-Type": "application/json"})
                    answer = onward.getresponse()
                    status, data = answer.status, answer.read()
                    onward.close()
                if mood == "after":
                    return
                self.send_response(status)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_words: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def through(self, address: str) -> str:
        """The same address, by this line."""
        return f"etcd://127.0.0.1:{self.port}/{address.rpartition('/')[2]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line(etcd_server.shared())
    yield made
    made.close()


def test_what_is_too_large_for_one_request_is_one_swap(at: Callable[..., Etcd], address: str) -> None:
    one, other = at(address), at(address)
    first = done(one, None, a=b"1")
    big = one.swap(first, BIG, "big")
    assert isinstance(big, Done)
    assert seen(other, first) == Snapshot(version=big.version, files={"a": b"1", **BIG})
    assert seen(at(address)).files == {"a": b"1", **BIG}
    squashed = done(other, big.version, squash=True, a=b"2")
    assert {key.partition("/")[0] for key in keys(one)} == {squashed}
    assert seen(one, big.version) == Snapshot(version=squashed, files={"a": b"2", **BIG}, follows=False)


def test_who_loses_with_much_leaves_nothing(at: Callable[..., Etcd], address: str) -> None:
    one, other = at(address), at(address)
    first = done(one, None, a=b"1")
    second = done(one, first, a=b"2")
    assert other.swap(first, BIG, "big") == Lost()
    assert [key.partition("/")[0] for key in keys(one)] == [first, second]


@pytest.mark.parametrize("mood", ["before", "after"])
def test_a_swap_whose_line_breaks_has_happened_or_has_not(
    at: Callable[..., Etcd], address: str, line: Line, mood: str
) -> None:
    one, other = at(line.through(address), limit_s=5), at(address)
    base, content = done(other, None, a=b"1"), {"a": b"1"}
    for call in range(9):
        line.moods.extend(["ok"] * call + [mood])
        outcome = one.swap(base, {"a": b"%d" % call, **BIG}, "big")
        line.moods.clear()
        found = seen(other, base)
        assert found.follows
        happened = found.files == {"a": b"%d" % call, **BIG}
        assert happened or found.files == content, "all or nothing"
        if isinstance(outcome, Done):
            assert happened
            break
        assert isinstance(outcome, Unreachable)
        if happened:
            assert mood == "after"
            assert one.swap(base, {"b": b"x"}, "again") == Lost()
        base, content = found.version, found.files
    assert call == 4, "three parts, and the one that makes them count"


def test_another_member_is_asked_and_a_swap_happens_once(at: Callable[..., Etcd], address: str, line: Line) -> None:
    here, _, board = address.removeprefix("etcd://").partition("/")
    one = at(f"etcd://127.0.0.1:{line.port},{here}/{board}")
    base = None
    for mood in ("before", "after", "busy", "html"):
        line.moods.append(mood)
        base = done(one, base, a=mood.encode())
    assert len(keys(one)) == 4
    assert seen(at(address)).files == {"a": b"html"}


def test_members_without_a_leader_are_waited_for(at: Callable[..., Etcd], address: str, line: Line) -> None:
    one = at(line.through(address))
    line.moods.extend(["busy"] * 3)
    assert seen(one).version is None
    assert line.asked == 4
    line.moods.extend(["busy"] * 99)
    hasty = at(line.through(address), limit_s=1)
    assert hasty.swap(None, {"a": b"1"}, "a test") == Unreachable("etcdserver: no leader")


def test_what_is_not_etcd_is_told(at: Callable[..., Etcd], address: str, line: Line) -> None:
    line.moods.extend(["html", "empty", "html"])
    assert isinstance(at(line.through(address)).read(None), Unreachable)
    assert isinstance(at(line.through(address)).read(None), Unreachable)
    assert isinstance(at(line.through(address)).swap(None, {"a": b"1"}, ""), Unreachable)


def test_a_process_killed_in_the_middle_leaves_the_old_board(at: Callable[..., Etcd], address: str) -> None:
    one = at(address)
    base = done(one, None, a=b"1")
    victim = at(address)
    pid = os.fork()
    if pid == 0:
        os._exit(isinstance(victim.swap(base, {f"x{n}": bytes(PART) for n in range(40)}, "big"), Done))
    deadline = time.monotonic() + 20
    while len(keys(one)) < 2:
        assert time.monotonic() < deadline
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(keys(one)) > 1, "it was in the middle"
    assert seen(at(address)) == Snapshot(version=base, files={"a": b"1"})
    base = done(one, base, a=b"2")
    base = done(one, base, squash=True, a=b"3")
    assert keys(one) == [f"{base}/0000"], "what it left is gone"


def test_killed_before_any_call_it_knows_what_it_knew(at: Callable[..., Etcd], address: str) -> None:
    versions = {done(at(address, "mine"), None, a=b"0"): {"a": b"0"}}
    for call in range(1, 20):
        base, files = list(versions.items())[-1]
        killed = kill_before(call, lambda base=base, call=call: at(address, "mine").swap(base, {"a": b"%d" % call}, ""))
        again = at(address, "mine")
        assert again.recall(base) == Snapshot(version=base, files=files), "here"
        there = seen(again, base)
        assert there.follows
        assert there.files in (files, {"a": b"%d" % call})
        versions[there.version or ""] = there.files
        assert {version: (again.recall(version) or there).files for version in versions} == versions
        if not killed:
            break
    assert 3 < call < 20
    assert 2 < len(versions) < call + 1, "some before it had happened, some after"


# ---------------------------------------------------------------- races
def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        work()
        code = 0
    finally:
        os._exit(code)


class Careless(Etcd):
    """One that does not compare."""

    def _transaction(self, _compare: Sequence[object], *writes: Sequence[object]) -> Any:
        return super()._transaction([], *writes)


@pytest.mark.parametrize("kind", [Etcd, Careless])
def test_of_eight_who_write_at_once_one_wins_each_time(at: Callable[..., Etcd], address: str, kind: type[Etcd]) -> None:
    engines = [at(address, kind=kind) for _ in range(8)]

    def counts(number: int) -> None:
        left = 10
        while left:
            there = seen(engines[number])
            count = int(there.files.get("count", b"0")) + 1
            changes = {"count": b"%d" % count, f"{number}-{left}": b"x"}
            left -= isinstance(engines[number].swap(there.version, changes, "count"), Done)

    pids = [forked(lambda number=number: counts(number)) for number in range(8)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
    there = seen(at(address))
    if kind is Careless:
        assert there.files["count"] != b"80", "the test would notice"
    else:
        assert (there.files["count"], len(there.files)) == (b"80", 81)
        assert len(keys(engines[0])) == 80


# ---------------------------------------------------------------- servers that stop, and data that is gone
def test_a_server_that_stops_forgets_or_remembers_too_much(at: Callable[..., Etcd], tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    one = at(server.address())
    first = done(one, None, a=b"1")
    server.kill()
    subprocess.run(["cp", "-r", str(server.data), str(tmp_path / "saved")], check=True)
    assert isinstance(one.read(first), Unreachable)
    assert isinstance(one.swap(first, {"a": b"2"}, ""), Unreachable)
    server.start()
    assert seen(one, first) == Snapshot(version=first, files={"a": b"1"})
    second = done(one, first, a=b"2")
    server.kill()
    server.start()
    assert seen(at(server.address()), second) == Snapshot(version=second, files={"a": b"2"})

    server.wipe()
    (tmp_path / "saved").rename(server.data)
    server.start()
    assert seen(one, second) == Snapshot(version=first, files={"a": b"1"}, follows=False)
    assert one.swap(second, {"a": b"3"}, "") == Lost()
    other = done(at(server.address()), first, b=b"of the same number")
    assert other[:12] == second[:12]
    assert one.swap(second, {"a": b"3"}, "") == Lost()
    assert seen(one, second) == Snapshot(version=other, files={"a": b"1", "b": b"of the same number"}, follows=False)

    server.wipe()
    server.start()
    assert seen(one, other) == Snapshot(version=None, files={}, follows=False)
    assert one.swap(other, {"a": b"3"}, "") == Lost()
    anew = done(one, None, a=b"4")
    assert seen(one, anew) == Snapshot(version=anew, files={"a": b"4"})
    assert not seen(one, other).follows
    server.kill()


def gone() -> None:
    """Nobody is left of those who were not waited for: other tests fork."""
    for thread in threading.enumerate():
        if thread.daemon:
            thread.join(60)


def test_nobody_waits_for_a_server_that_says_nothing(at: Callable[..., Etcd]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        one = at(f"etcd://127.0.0.1:{mute.getsockname()[1]}/board", limit_s=0.5)
        started = time.monotonic()
        assert one.read(None) == Unreachable("no answer in 0.5 s")
        assert isinstance(one.swap(None, {"a": b"1"}, ""), Unreachable)
        assert time.monotonic() - started < 10
    assert isinstance(at("etcd://nowhere.invalid/board", limit_s=2).read(None), Unreachable)
    gone()


def test_nobody_waits_for_an_answer_that_comes_byte_by_byte(at: Callable[..., Etcd]) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as slow:

        def drip() -> None:
            with slow.accept()[0] as line:
                try:
                    while not over.wait(0.05):
                        line.sendall(b"H")
                except OSError:
                    pass  # who asked has gone

        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        assert isinstance(at(f"etcd://127.0.0.1:{slow.getsockname()[1]}/b", limit_s=0.5).read(None), Unreachable)
        assert time.monotonic() - started < 10
        over.set()
        thread.join()
    gone()


# ---------------------------------------------------------------- what others write there, or here
@pytest.mark.parametrize("head", [b"", b"hello", b"\xff\0", b"1-0", b"000000000001-zzzzzzzzzzzzzzzz"])
def test_what_is_no_board_is_refused(at: Callable[..., Etcd], address: str, head: bytes) -> None:
    one = at(address)
    put(one, one._head, head)
    assert isinstance(one.read(None), Rejected)
    assert one.swap(None, {"a": b"1"}, "") == Lost()


@pytest.mark.parametrize("entry", [b"", b"hello", b"\xff\0", b"\x93\xa1x\xa0\x80", b"\x93\xc0\xa0\x81\xa1a\xa1b"])
def test_a_log_that_somebody_damaged_is_refused(at: Callable[..., Etcd], address: str, entry: bytes) -> None:
    one = at(address)
    first = done(one, None, a=b"1")
    second = done(one, first, a=b"2")
    put(one, f"{one._log}{second}/0000", entry)
    assert one.recall(second) is not None, "what was seen is not lost"
    assert isinstance(at(address).read(None), Rejected)


def test_a_log_that_leads_in_a_circle_has_an_end(at: Callable[..., Etcd], address: str) -> None:
    one = at(address)
    first = done(one, None, a=b"1")
    put(one, f"{one._log}{first}/0000", b"\x93\xbd" + first.encode() + b"\xa0\x80")
    assert isinstance(at(address).read(None), Rejected)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-9] + bytes(9), lambda data: b"\0" * 9, None])
def test_what_was_kept_here_may_be_damaged_or_gone(
    at: Callable[..., Etcd], address: str, tmp_path: Path, damage: Callable[[bytes], bytes] | None
) -> None:
    one = at(address, "mine")
    first = done(one, None, a=b"1")
    version = done(one, first, b=b"2")
    kept = tmp_path / "mine" / SEEN
    if damage is None:
        kept.unlink()
    else:
        kept.write_bytes(damage(kept.read_bytes()))
    again = at(address, "mine")
    assert again.recall(version) is None
    following = done(again, version, c=b"3")
    assert again.recall(following) is None, "what it became is not known yet"
    assert seen(again, version) == Snapshot(version=following, files={"a": b"1", "b": b"2", "c": b"3"})
    squashed = done(at(address), following, squash=True)
    assert seen(again, following) == Snapshot(version=squashed, files={"a": b"1", "b": b"2", "c": b"3"}, follows=False)


# ---------------------------------------------------------------- who may ask
def test_a_server_that_wants_to_know_who_asks(at: Callable[..., Etcd], tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    ask = Gateway(gateway.parse(server.address()), {"ETCDCTL_USER": "root:early"}, 20).ask
    for path, question in (
        ("auth/user/add", {"name": "root", "password": "geheim"}),
        ("auth/role/add", {"name": "root"}),
        ("auth/user/grant", {"user": "root", "role": "root"}),
        ("auth/enable", {}),
    ):
        ask(path, question, dict)
    nobody = at(server.address()).read(None)
    assert isinstance(nobody, Rejected)
    assert "ETCDCTL_USER" in nobody.reason
    wrong = at(server.address(), env={"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": "falsch"}).swap(None, {}, "")
    assert isinstance(wrong, Rejected)
    assert "falsch" not in wrong.reason
    for env in ({"ETCDCTL_USER": "root:geheim"}, {"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": "geheim"}):
        one = at(server.address(), env=env)
        done(one, seen(one).version, a=b"1")
    assert [path for path in tmp_path.glob("state*/**/*") if path.is_file() and b"geheim" in path.read_bytes()] == []
    server.kill()


def test_a_server_proves_itself(at: Callable[..., Etcd], tmp_path: Path) -> None:
    server = Server(tmp_path, "--auto-tls", scheme="https").start()
    assert isinstance(at(server.address()).read(None), Unreachable), "anybody could say so"
    (certificate,) = (server.data / "fixtures/client").glob("cert*.pem")
    one = at(server.address(), env={"ETCDCTL_CACERT": str(certificate)})
    version = done(one, None, a=b"1")
    assert seen(one, version).files == {"a": b"1"}
    assert isinstance(at(server.address(), env={"ETCDCTL_CACERT": "/nowhere"}).read(None), Rejected)
    assert isinstance(at(server.address().replace("etcds", "etcd")).read(None), Unreachable)
    server.kill()


# ---------------------------------------------------------------- several members
@pytest.mark.slow
def test_what_was_acknowledged_outlives_the_leader(at: Callable[..., Etcd], tmp_path: Path) -> None:
    servers = [Server(tmp_path, name=f"member{n}") for n in range(3)]
    for server in servers:
        server.cluster = ",".join(f"{one.name}={one.peer_url}" for one in servers)
    for server in servers:
        server.start(wait=False)
    for server in servers:
        server.wait()
    members = [f"127.0.0.1:{server.port}" for server in servers]
    told_read, told_write = os.pipe()

    def writes(number: int) -> None:
        turned = members[number:] + members[:number]
        engine = at(f"etcd://{','.join(turned)}/board")
        version: str | None = None
        for turn in range(100):
            there = engine.read(version)
            if not isinstance(there, Snapshot):
                continue
            assert there.follows
            version = there.version
            key = f"{number}-{turn}"
            match engine.swap(version, {key: b"x"}, key):
                case Done(version=version):
                    os.write(told_write, f"done {key}\n".encode())
                case Lost():
                    os.write(told_write, f"lost {key}\n".encode())

    pids = [forked(lambda number=number: writes(number)) for number in range(3)]
    for _ in range(3):
        time.sleep(0.5)
        leader = next(server for server in servers if server.is_up() and leads(server))
        leader.kill()
        time.sleep(0.5)
        leader.start()
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 3
    os.close(told_write)
    with os.fdopen(told_read) as told:
        words = [line.split() for line in told]
    acknowledged = {key for word, key in words if word == "done"}
    there = seen(at(servers[0].address()))
    assert len(acknowledged) > 100
    assert acknowledged <= there.files.keys()
    assert there.files.keys().isdisjoint(key for word, key in words if word == "lost")
    servers[0].kill()
    servers[1].kill()
    assert isinstance(at(servers[2].address(), limit_s=3).read(None), Unreachable), "a minority knows nothing"
    servers[2].kill()


def leads(server: Server) -> bool:
    """Whether a member is the leader."""
    told = Gateway(gateway.parse(server.address()), {}, 20).ask("maintenance/status", {}, dict)
    same: bool = told["leader"] == told["header"]["member_id"]
    return same


# ---------------------------------------------------------------- clones
@pytest.fixture
def clones(tmp_path: Path) -> list[Path]:
    return [make_repo(tmp_path / f"clone-{number}") for number in range(2)]


def typed(clone: Path, *words: str) -> tuple[int, str, str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(clone.parent), "AGENT_SYNC_ID": f"agent-{clone.name[6:]}"}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "agentsync", *words], cwd=clone, env=env, capture_output=True, text=True
    )
    return ended.returncode, ended.stdout, ended.stderr


def session(clone: Path) -> Session:
    env = {"AGENT_SYNC_ID": f"agent-{clone.name[6:]}", "PATH": os.environ["PATH"], "HOME": str(clone.parent)}
    return open_session(Runtime(env=env, cwd=str(clone)))


def test_the_commands_from_end_to_end(clones: list[Path], address: str) -> None:
    east, west = clones
    code, out, err = typed(east, "remote", "add", address.replace("://", "://me:geheim@"))
    assert (code, "ETCDCTL_USER" in err, "geheim" in out + err) == (2, True, False)
    assert typed(east, "remote", "add", address)[0] == 0
    assert typed(west, "remote", "add", address)[0] == 0
    code, out, _ = typed(east, "lock", "--remote", "src/app.py", "--reason", "a new colour")
    assert (code, "on all machines" in out) == (0, True)
    code, _, err = typed(west, "lock", "--remote", "src/app.py")
    assert (code, "a new colour" in err) == (3, True)
    assert typed(west, "check", "src/app.py")[0] == 3
    assert address in typed(west, "remote", "status")[1]
    assert typed(east, "unlock", "src/app.py")[0] == 0
    assert "gone: lock on src/app.py" in typed(west, "sync")[1]
    assert typed(west, "remote", "remove")[0] == 0
    for clone in clones:
        state = clone / ".claude/coordination"
        check_store(state)
        assert [path for path in state.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()] == []
    assert not (west / ".claude/coordination/remote.etcd").exists()
    assert typed(west, "sync")[0] == 2


def test_what_goes_wrong_is_told_with_its_code(clones: list[Path], tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    clone = clones[0]
    assert typed(clone, "remote", "add", server.address())[0] == 0
    server.kill()
    code, out, err = typed(clone, "lock", "--remote", "a.py")
    assert (code, out, "could not be reached" in err) == (5, "", True)
    assert "nothing is locked" in typed(clone, "locks")[1]
    assert typed(clone, "lock", "a.py")[0] == 0, "local work goes on"


def test_a_board_that_was_wiped_or_restored_is_mended(clones: list[Path], tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    east, west = clones
    for clone in clones:
        remote.add(session(clone), server.address())
    assert isinstance(locks.lock(session(east), ["a.py"], remote=True), Granted)
    assert isinstance(locks.lock(session(west), ["b.py"], remote=True), Granted)
    server.wipe()
    server.start()
    assert sync.sync(session(west)).rewound
    assert not sync.sync(session(west)).rewound
    sync.sync(session(east))
    with exchange.opened(session(east)) as there:
        there.look()
        assert sorted(lock.path for lock in there.shared.locks.values()) == ["a.py", "b.py"]
    server.kill()


@pytest.mark.slow
def test_a_killed_process_loses_nothing_it_told_and_stops_nobody(clones: list[Path], address: str) -> None:
    victim, other = clones
    for clone in clones:
        remote.add(session(clone), address)
    told_read, told_write = os.pipe()
    chance = random.Random(7)

    def works(start: int) -> None:
        for number in range(start, start + 99):
            path = f"f{number}"
            assert isinstance(locks.lock(session(victim), [path], remote=True), Granted)
            os.write(told_write, f"locked {path}\n".encode())
            if number % 2:
                os.write(told_write, f"unlocking {path}\n".encode())
                locks.unlock(session(victim), [path])
                os.write(told_write, f"unlocked {path}\n".encode())

    os.set_blocking(told_read, False)
    told = ""
    for round_ in range(ROUNDS):
        pid = forked(lambda start=round_ * 100: works(start))
        time.sleep(chance.uniform(0.02, 0.3))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        try:
            told += os.read(told_read, 1 << 16).decode()
        except BlockingIOError:
            pass  # it was killed before its first word
        words = dict(reversed(line.split()) for line in told.splitlines())
        sync.sync(session(victim))
        with exchange.opened(session(other)) as looking:
            looking.look()
            there = {lock.path for lock in looking.shared.locks.values()}
        here = {h.lock.path for h in session(victim).store.state().locks() if h.lock.machine is not None}
        assert here == there, "what is there and what is here is the same"
        assert {path for path, word in words.items() if word == "locked"} <= here
        assert here.isdisjoint(path for path, word in words.items() if word == "unlocked")
        assert isinstance(locks.lock(session(other), ["other"], remote=True), Granted)
        locks.unlock(session(other), ["other"])
        check_store(victim / ".claude/coordination")
