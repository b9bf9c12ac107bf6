"""Many real processes that write to each other while others listen, and some that are killed in the middle of it.

Eight senders run `agent-sync send`, four readers poll by the real hook; senders and hooks are killed at random moments.
What was acknowledged must reach each of its readers once (a hook that was killed may have said something without being
heard, and it comes again), and the words of one sender in order. The number of messages is scaled by AGENTSYNC_ROUNDS:
200 are 8 x 500.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hook.test_entry import start_fork
from invariants import check_replay, check_store
from processes.test_races import main_as, run_main, state_of
from rounds import ROUNDS
from world import make_repo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESSAGES = ROUNDS * 5 // 2
SENDERS = [f"sender-{n}" for n in range(8)]
READERS = [f"reader-{n}" for n in range(4)]
PATIENCE_S = 30 + MESSAGES * 2.0

_LINE = re.compile(r"(m-\d+) from \S+ \(\S+\), [^:]*: (\S+ \d+)")


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path)
    yield made
    made.end()


def whom(sender: str, number: int) -> str:
    """To one, to a role, and sometimes to all."""
    return random.Random(f"{sender} {number}").choice([*READERS, "listener", "listener", "listener", "all"])


class Post:
    """The repository, the processes, and the diaries in which they note what happened."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.repository = make_repo(top / "repo")
        self.state = state_of(self.repository)
        self.stop = top / "stop"
        self.pids: set[int] = set()

    def fork(self, act: Callable[[], None]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: other threads may hold locks
            pid = os.fork()
        if pid:
            self.pids.add(pid)
            return pid
        try:
            os.chdir(self.repository)
            act()
        except BaseException as error:
            (self.top / f"complaint-{os.getpid()}").write_text(repr(error))
        finally:
            os._exit(0)

    def wait(self, pid: int) -> None:
        os.waitpid(pid, 0)
        self.pids.discard(pid)

    def end(self) -> None:
        self.stop.touch()
        for pid in list(self.pids):
            os.kill(pid, signal.SIGKILL)
            self.wait(pid)

    # ------------------------------------------------------------ senders
    def start_sender(self, sender: str) -> int:
        """Go on with the message after the last one that was tried."""
        tried = [entry["number"] for entry in self.diary(sender)]
        return self.fork(lambda: self._send(sender, range(max(tried, default=-1) + 1, MESSAGES)))

    def _send(self, sender: str, numbers: range) -> None:
        os.environ["AGENT_SYNC_ID"] = sender
        for number in numbers:
            self._note(sender, number=number)
            sys.stdout = io.StringIO()
            code = run_main("send", "--to", whom(sender, number), "--message", f"{sender} {number}", "--json")
            assert code == 0, sys.stdout.getvalue()
            self._note(sender, number=number, message=json.loads(sys.stdout.getvalue()))

    def is_done(self, sender: str) -> bool:
        return any(entry["number"] == MESSAGES - 1 for entry in self.diary(sender))

    # ------------------------------------------------------------ readers
    def start_reader(self, reader: str) -> int:
        return self.fork(lambda: self._listen(reader))

    def _listen(self, reader: str) -> None:
        chance = random.Random(reader)
        while not self.stop.exists():
            event = chance.choice(["post-tool-batch", "post-tool-batch", "user-prompt-submit", "stop"])
            self.hook(reader, event, chance.random() * 0.02 if chance.random() < 0.25 else None)

    def hook(self, reader: str, event: str, kill_after: float | None = None) -> bool:
        """Call a hook, perhaps kill it, and note what it said; False when that was nothing."""
        env = {"AGENT_SYNC_ID": reader, "PATH": os.environ["PATH"]}
        pid = start_fork([event], b"{}", env, self.top, reader, self.repository)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in (0, -signal.SIGKILL), code
        said = (self.top / f"{reader}.err").read_text()
        assert not said or "guard could not be had" in said, said  # then it fails open, and the mail comes later
        out = (self.top / f"{reader}.out").read_text()
        if not out:
            return False
        text = json.loads(out)["hookSpecificOutput"]["additionalContext"]
        assert len(text) <= 8000
        heard = [match.groups() for line in text.splitlines() if (match := _LINE.fullmatch(line))]
        assert heard or " more: agent-sync inbox" in text
        self._note(reader, heard=heard, killed=code != 0)
        return True

    # ------------------------------------------------------------ diaries
    def _note(self, who: str, **entry: Any) -> None:
        fd = os.open(self.top / f"{who}.diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, json.dumps(entry).encode() + b"\n")
        os.close(fd)

    def diary(self, who: str) -> list[dict[str, Any]]:
        path = self.top / f"{who}.diary"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_every_acknowledged_message_reaches_each_reader_once_and_in_order(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    for reader in READERS:
        assert main_as(post.repository, reader, "register", "--name", reader, "--role", "listener") == 0
    started = time.monotonic()
    chance = random.Random(ROUNDS)
    senders = {sender: post.start_sender(sender) for sender in SENDERS}
    readers = {reader: post.start_reader(reader) for reader in READERS}
    kills = 0
    while senders:
        assert time.monotonic() - started < PATIENCE_S
        time.sleep(0.05)
        if chance.random() < 0.3:
            victim = chance.choice(sorted(senders))
            os.kill(senders[victim], signal.SIGKILL)
            kills += 1
        for sender, pid in list(senders.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                post.wait(pid)
                if post.is_done(sender):
                    del senders[sender]
                else:
                    senders[sender] = post.start_sender(sender)
    post.stop.touch()
    for pid in readers.values():
        post.wait(pid)
    took = time.monotonic() - started
    for reader in READERS:
        while post.hook(reader, "user-prompt-submit"):
            pass
    assert not list(post.top.glob("complaint-*")), [p.read_text() for p in post.top.glob("complaint-*")]
    check_store(post.state)
    check_replay(post.state)
    judge(post)
    with capsys.disabled():
        sent = sum("message" in entry for sender in SENDERS for entry in post.diary(sender))
        cut = sum(entry["killed"] for reader in READERS for entry in post.diary(reader))
        print(f"\n{sent} messages in {took:.1f} s; {kills} senders killed, {cut} hooks killed after they had spoken")


def judge(post: Post) -> None:
    acknowledged = {
        entry["message"]["id"]: entry["message"]
        for sender in SENDERS
        for entry in post.diary(sender)
        if "message" in entry
    }
    assert len(acknowledged) >= len(SENDERS) * MESSAGES * 0.5
    events = [json.loads(line) for path in post.state.glob("archive/*") for line in path.read_text().splitlines()]
    events += [json.loads(path.read_text()) for path in post.state.glob("log/*.json")]
    written = {f"m-{event['rev']}": event for event in events if event["verb"] == "send"}
    assert set(acknowledged) <= set(written)
    to_all = {
        change["record"]["id"]
        for event in written.values()
        for change in event["changes"]
        if "/later/" in change.get("put", "")
    }
    for reader in READERS:
        diary = post.diary(reader)
        whole = [message_id for entry in diary if not entry["killed"] for message_id, _ in entry["heard"]]
        assert len(whole) == len(set(whole)), "told twice"
        heard = {
            message_id: body for entry in diary for message_id, body in entry["heard"]
        }  # in order of first telling
        meant = {
            message_id
            for message_id, event in written.items()
            if any((change.get("put") or "").startswith(f"inbox/{reader}/") for change in event["changes"])
        }
        assert set(heard) == meant, "what was written reached whom it was written to, and nobody else"
        owed = {m for m, message in acknowledged.items() if any(one["agent"] == reader for one in message["readers"])}
        assert owed <= meant
        for sender in SENDERS:
            for is_cast in (False, True):
                numbers = [
                    int(body.partition(" ")[2])
                    for message_id, body in heard.items()
                    if body.startswith(f"{sender} ") and (message_id in to_all) == is_cast
                ]
                assert numbers == sorted(numbers), f"{sender} to {reader}, out of order"
        assert not (post.state / "inbox" / reader).exists()
