"""`watch` as a process: every event once and in order, whatever happens to it, to the log and to the directory.

What the follower below it survives is in tests/store/test_watch.py and tests/faults; here it is the whole command, and
what it printed.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.test_machine import environment, without_inotify
from faults.test_suspended import overflow, standing_still
from rounds import TIMES
from world import make_repo

from agentsync.board import open as board

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_inotify"]

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
PATIENCE = 60.0

WRITER = """
import sys
from agentsync.board import open as board
from agentsync.ops import care
here = board(sys.argv[1], agent=sys.argv[2])
session = here._session
session.store._durable = False
for number in range(int(sys.argv[3])):
    with session.store.transaction(sys.argv[2]) as tx:
        tx.commit("note", f"{sys.argv[2]} {number}", (), "E", entry=True)
    if session.store.due_for_compaction:
        care.compact_if_free(session)
"""


class Watch:
    """The command as a process; what it prints is collected."""

    def __init__(self, root: Path, *words: str, before: list[str] | None = None) -> None:
        command = [*(before or []), sys.executable, "-m", "agentsync", "watch", "--json", *words]
        self.process = subprocess.Popen(
            command, cwd=root, env=environment("watcher"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def prints(self, count: int) -> list[str]:
        """The summaries of the next events."""
        end = time.monotonic() + PATIENCE
        found: list[str] = []
        while len(found) < count:
            try:
                found.append(json.loads(self._lines.get(timeout=max(end - time.monotonic(), 0)))["summary"])
            except queue.Empty:
                pytest.fail(f"only {len(found)} of {count} events came: {found[-3:]}")
        return found

    def ends(self) -> tuple[int, list[str], str]:
        """Exit code, what it had printed besides, and what it complained about."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        rest = [json.loads(self._lines.get())["summary"] for _ in range(self._lines.qsize())]
        assert self.process.stderr is not None
        return code, rest, self.process.stderr.read()


@contextmanager
def watching(root: Path, *words: str, before: list[str] | None = None) -> Iterator[Watch]:
    watch = Watch(root, *words, before=before)
    try:
        yield watch
    finally:
        watch.process.send_signal(signal.SIGCONT)
        watch.process.kill()
        watch.process.wait()
        watch._reader.join()
        for stream in (watch.process.stdout, watch.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        yield make_repo(Path(top) / "repo")


def notes(root: Path, *texts: str, agent: str = "alice") -> None:
    with_board = board(root, agent=agent)._session.store
    for text in texts:
        with with_board.transaction(agent) as tx:
            tx.commit("note", text, (), "E", entry=True)


def writers(root: Path, each: int) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", WRITER, str(root)]
    return [subprocess.Popen([*command, name, str(each)], env=environment(name)) for name in ("one", "two")]


def check_burst(root: Path, watch: Watch, each: int) -> None:
    """Nothing lost, nothing doubled, and each writer's in its order."""
    said = watch.prints(2 * each)
    for name in ("one", "two"):
        assert [text for text in said if text.startswith(name)] == [f"{name} {number}" for number in range(each)]
    notes(root, "the last")
    assert watch.prints(1) == ["the last"]


def test_a_burst_of_two_writers_who_compact_is_printed_whole(root: Path) -> None:
    notes(root, "the first")
    each = 1000 * TIMES
    with watching(root, "--since", "0", "--kind", "entry") as watch:
        assert watch.prints(1) == ["the first"]
        assert [process.wait(PATIENCE) for process in writers(root, each)] == [0, 0]
        check_burst(root, watch, each)
        assert len(list((root / ".claude/coordination/archive").iterdir())) > 0, "it was compacted meanwhile"


def test_who_stood_still_during_a_burst_and_its_compaction_prints_all_of_it(root: Path) -> None:
    """As in a suspended machine, a stopped job or a debugger; the kernel keeps only so many notifications meanwhile."""
    notes(root, "the first")
    with watching(root, "--since", "0") as watch:
        assert watch.prints(1) == ["the first"]
        notes(root, "it watches")
        assert watch.prints(1) == ["it watches"]
        with standing_still(watch.process):
            overflow(root / ".claude/coordination")
            assert [process.wait(PATIENCE) for process in writers(root, 400)] == [0, 0]
        check_burst(root, watch, 400)


def test_a_state_that_is_deleted_and_made_anew_is_followed_from_its_beginning(root: Path) -> None:
    notes(root, "old 1", "old 2")
    with watching(root, "--since", "0", "--until", "agent=bob") as watch:
        assert watch.prints(2) == ["old 1", "old 2"]
        state = root / ".claude/coordination"
        state.rename(root / "aside")
        shutil.rmtree(root / "aside")
        notes(root, "new 1", "new 2", "new 3")
        assert watch.prints(3) == ["new 1", "new 2", "new 3"]
        notes(root, "enough", agent="bob")
        code, rest, complaints = watch.ends()
    assert (code, rest) == (0, ["enough"])
    assert complaints.count("made anew") == 1


def test_it_may_begin_before_there_is_a_state(root: Path) -> None:
    with watching(root, "--until", "agent=bob") as watch:
        time.sleep(0.3)
        notes(root, "one", "two")
        notes(root, "enough", agent="bob")
        assert watch.ends() == (0, ["one", "two", "enough"], "")


def test_without_inotify_it_polls_says_so_once_and_prints_all(root: Path, without_inotify: list[str]) -> None:
    notes(root, "the first")
    with watching(root, "--since", "0", "--until", "agent=bob", before=without_inotify) as watch:
        assert watch.prints(1) == ["the first"]
        for number in range(5):
            notes(root, f"note {number}")
            assert watch.prints(1) == [f"note {number}"]
        time.sleep(0.3)
        notes(root, "enough", agent="bob")
        code, _, complaints = watch.ends()
    assert code == 0
    assert complaints.count("watching files does not work here") == 1
    assert len(complaints.splitlines()) == 1


def test_a_script_waits_for_another_agent_and_ctrl_c_ends_it(root: Path) -> None:
    alice = board(root, agent="alice")
    alice.lock("src/app.py")
    with watching(root, "--until", "kind=lock path=src/app.py", "--timeout", "60") as watch:
        time.sleep(0.3)
        alice.lock("other.py")
        alice.unlock("src/app.py")
        code, said, _ = watch.ends()
    assert code == 0
    assert [text.split()[2] for text in said][-1] == "released"
    with watching(root) as watch:
        time.sleep(0.5)
        watch.process.send_signal(signal.SIGINT)
        code, _, complaints = watch.ends()
    assert (code, complaints) == (130, "")


def test_it_ends_in_time_although_others_go_on(root: Path) -> None:
    notes(root, "the first")
    started = time.monotonic()
    burst = writers(root, 100_000)
    try:
        with watching(root, "--until", "verb=unlock", "--timeout", "1") as watch:
            assert watch.process.wait(PATIENCE) == 5
            assert time.monotonic() - started < PATIENCE
    finally:
        for process in burst:
            process.kill()
            process.wait()


def test_following_the_log_is_the_same_feed_with_what_was_before(root: Path) -> None:
    notes(root, *(f"note {number}" for number in range(30)))
    command = [sys.executable, "-m", "agentsync", "log", "--follow", "--json"]
    process = subprocess.Popen(command, cwd=root, env=environment("x"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = [json.loads(process.stdout.readline())["summary"] for _ in range(20)]
        notes(root, "and on")
        said.append(json.loads(process.stdout.readline())["summary"])
        assert said == [*(f"note {number}" for number in range(10, 30)), "and on"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
