"""The power is really cut: a file system in a file is shut down without its journal, and mounted again.

What was not synced is gone, as far as the kernel had not written it already. Several processes are at work at that
moment and keep a diary elsewhere of what was acknowledged: all of class D must be there afterwards. Locks of the last
instants may be gone, but nothing that is there is wrong, and the next command works.

`test_power.py` makes every state that the model of a journal allows; this is what two real ones do. It needs root, a
loop device and mkfs; elsewhere these tests are skipped.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults.operations import fenced
from invariants import records
from rounds import ROUNDS
from world import Player, World

from agentsync.core.locks import Granted, conflicting
from agentsync.errors import AgentSyncError
from agentsync.ops import care, decisions, feed, mail
from agentsync.store import files

if TYPE_CHECKING:
    from collections.abc import Iterator

SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN, the same for ext4, xfs and others."""

WITHOUT_THE_JOURNAL = struct.pack("I", 2)

MEGABYTES = {"ext4": 64, "xfs": 320}

CUTS = max(2, ROUNDS // 2)

WORKERS = ("alice", "bob", "dora")


class Mains:
    """A file system that can lose its power."""

    def __init__(self, image: Path, place: Path) -> None:
        self.place = place
        self._image = image

    def mount(self) -> None:
        done = subprocess.run(["mount", "-o", "loop", self._image, self.place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no loop mount here: {done.stderr.strip()}")

    def cut(self) -> None:
        """Nothing that is not on the disk by now will be. Whoever still writes gets EIO."""
        fd = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, WITHOUT_THE_JOURNAL)
        except OSError as error:
            pytest.skip(f"this kernel does not shut file systems down: {error}")
        finally:
            os.close(fd)

    def unmount(self) -> None:
        subprocess.run(["umount", self.place], check=True, capture_output=True)


@pytest.fixture(params=MEGABYTES)
def mains(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mains]:
    make = shutil.which(f"mkfs.{request.param}")
    if make is None or os.geteuid() != 0:
        pytest.skip(f"needs root and mkfs.{request.param}")
    image, place = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(MEGABYTES[request.param] << 20)
    subprocess.run([make, "-q", image], check=True, capture_output=True)
    place.mkdir()
    made = Mains(image, place)
    made.mount()
    yield made
    made.unmount()
    image.unlink()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return fenced(tmp_path)


def player(world: World, name: str, mains: Mains) -> Player:
    """An agent whose board is on that file system; the working tree is not."""
    return world.agent(name, AGENT_SYNC_DIR=str(mains.place / "state"))


# ---------------------------------------------------------------- at work
class Diary:
    """What was acknowledged, kept where the power stays."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, *what: str) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(json.dumps(what).encode() + b"\n")

    def read(self) -> list[list[str]]:
        return [json.loads(line) for line in self._path.read_bytes().splitlines()] if self._path.exists() else []


def works(me: Player, diary: Diary, chance: random.Random) -> None:
    """A bit of work of each class."""
    word = f"{me.runtime.env['AGENT_SYNC_ID']} {chance.getrandbits(60)}"
    match chance.choice(["send", "send", "task", "claim", "decide", "log", "lock", "unlock", "hear", "beat"]):
        case "send":
            mail.send(me.session, chance.choice(["carol", "all"]), word)
            diary.note("said", word)
        case "task":
            me.makes(word)
            diary.note("planned", word)
        case "claim":
            title = me.claims_next()
            if title is not None:
                diary.note("claimed", title)
                me.does("complete", title)
                diary.note("completed", title)
        case "decide":
            decisions.decide(me.session, word)
            diary.note("decided", word)
        case "log":
            feed.record(me.session, word)
            diary.note("logged", word)
        case "lock":
            me.locks(f"src/{chance.randrange(6)}.py")
        case "unlock":
            me.unlocks(everything=True)
        case "hear":
            with mail.delivery(me.session, "prompt", lambda _: 1, 100):
                pass
        case "beat":
            me.beats()


def at_work(world: World, mains: Mains, diary: Diary, seed: int) -> list[int]:
    """Processes that work until the power is gone."""
    pids = []
    for name in WORKERS:
        pid = os.fork()
        if pid == 0:
            chance = random.Random(f"{name} {seed}")
            with suppress(OSError, AgentSyncError):
                while True:
                    works(player(world, name, mains), diary, chance)
            os._exit(0)
        pids.append(pid)
    return pids


def cut_at_work(world: World, mains: Mains, diary: Diary, seed: int) -> None:
    """Some work, a power cut in the middle of it, and the power comes back."""
    pids = at_work(world, mains, diary, seed)
    try:
        enough = len(diary.read()) + random.Random(seed).randint(4, 24)
        end = time.monotonic() + 60
        while len(diary.read()) < enough and time.monotonic() < end:
            time.sleep(0.002)
        mains.cut()
        time.sleep(0.05)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    mains.unmount()
    mains.mount()


# ---------------------------------------------------------------- afterwards
def check(world: World, mains: Mains, acknowledged: list[list[str]]) -> None:
    """Acknowledged is there, nothing that is there is wrong, and everybody gets on with their work."""
    state = mains.place / "state"
    next_one = player(world, "next", mains)
    assert isinstance(next_one.locks("a-file-of-the-next-writer"), Granted)
    care.gc(next_one.session)
    next_one.unlocks(everything=True)
    for path in (state / "log").iterdir():
        if not path.read_bytes().strip(b"\0"):
            path.unlink()  # of class E: a delivery, of which nothing is synced. That it is none of class D is seen below
    records(state)  # whatever else was damaged is mended, or was put aside: all that is here decodes
    looking = player(world, "reader", mains).session
    held = [one.lock for one in looking.store.state().locks() if one.live]
    assert not any(conflicting(a, b) for i, a in enumerate(held) for b in held[:i])
    assert {lock.path for lock in held} <= {f"src/{number}.py" for number in range(6)}
    there = said_and_done(world, mains)
    missing = [one for one in acknowledged if tuple(one) not in there]
    assert not missing, f"acknowledged, and lost: {missing} of {len(acknowledged)}; {looking.store.warnings}"


def said_and_done(world: World, mains: Mains) -> set[tuple[str, ...]]:
    """What the board knows, and what compaction took off it because it was long done, in the words of the diary."""
    session = player(world, "reader", mains).session
    with player(world, "next", mains).session.store.transaction("next") as tx:
        messages: Any = tx.ask(lambda state, _: state.messages())
        tasks: Any = tx.ask(lambda state, _: state.tasks())
    known = {("said", message.body) for message in messages}
    for task in tasks:
        known |= _of_task(task.title, task.status)
    known |= {("decided", one.text) for one in decisions.listing(session)}
    events = feed.events(session, 0, lambda _: True, 0)
    put: dict[str, Any] = {}
    for event in events:
        known.add(("logged", event.summary))
        for change in event.changes:
            if change.put is not None:
                put[change.put] = json.loads(bytes(change.record))
            elif event.verb == "sweep" and change.drop in put:
                record = put[change.drop]
                known |= {("said", record.get("body", "")), ("decided", record.get("text", ""))}
                known |= _of_task(record.get("title", ""), record.get("status", ""))
    return known


def _of_task(title: str, status: str) -> set[tuple[str, ...]]:
    """What is known of a task in this state."""
    steps = {"in_progress": ("planned", "claimed"), "done": ("planned", "claimed", "completed")}
    return {(step, title) for step in steps.get(status, ("planned",))}


def cut_again_and_again(world: World, mains: Mains, tmp_path: Path, cuts: int) -> int:
    """Several cuts of one board; returns how much had been acknowledged."""
    for name in (*WORKERS, "carol"):
        player(world, name, mains).registers()
    diary = Diary(tmp_path / "diary")
    for seed in range(cuts):
        player(world, "carol", mains).registers()  # who is silent for two hours is swept, and gets no mail
        cut_at_work(world, mains, diary, seed)
        check(world, mains, diary.read())
        # Who comes after a reboot: the dead of the last life hold nothing for ever.
        world.clock.advance(minutes=16)
    return len(diary.read())


def test_what_was_acknowledged_survives_a_real_power_cut(
    mains: Mains, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acknowledged = cut_again_and_again(world, mains, tmp_path, CUTS)
    assert acknowledged >= 4 * CUTS
    with capsys.disabled():
        print(f"\n{CUTS} power cuts, {acknowledged} acknowledged records of class D, none lost")


def test_a_board_that_was_made_a_moment_before_the_power_cut_is_whole_or_made_anew(mains: Mains, world: World) -> None:
    for call in range(3):
        player(world, "alice", mains).locks("src/app.py")
        if call:
            mail.send(player(world, "alice", mains).session, "all", "hello")
        mains.cut()
        mains.unmount()
        mains.mount()
        state = mains.place / "state"
        assert isinstance(player(world, "bob", mains).locks("docs/a.md"), Granted)
        assert (state / ".gitignore").read_bytes() == b"*\n"
        looking = player(world, "carol", mains).session.store.state()
        assert looking.damaged == {}
        assert not call or [message.body for message in mail.sent(player(world, "alice", mains).session)] == ["hello"]
        shutil.rmtree(state)
        subprocess.run(["sync", "-f", mains.place], check=True)


def test_who_syncs_nothing_is_caught(
    mains: Mains, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: this disk forgets."""
    monkeypatch.setattr(files, "_sync", lambda fd: None)
    monkeypatch.setattr(files.Files, "sync_directory", lambda *_: None)
    with pytest.raises((AssertionError, AgentSyncError, OSError, ValueError)):
        cut_again_and_again(world, mains, tmp_path, 3)
