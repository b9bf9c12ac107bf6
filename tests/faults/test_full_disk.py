"""A real file system of 256 kB that fills up: nothing that was acknowledged is lost, and `gc` makes room.

Mounting needs root; elsewhere these tests are skipped.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_replay, check_store
from world import Player, World

from agentsync.ops import care, feed, mail
from agentsync.store import compact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentsync.ops.session import Session

    Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounts a small file system with these options; returns where."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = []

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "none", place], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for made in mounted:
        subprocess.run(["umount", made], check=True)


def player(world: World, name: str, place: Path) -> Player:
    return world.agent(name, AGENT_SYNC_DIR=str(place / "state"))


def fill(alice: Player) -> tuple[list[str], list[str]]:
    """Write until nothing fits any more; returns the messages and tasks that were acknowledged."""
    sent: list[str] = []
    made: list[str] = []

    def write() -> None:
        for number in itertools.count():
            session = alice.session
            sent.append(mail.send(session, "bob", f"message {number}").id)
            tidied(session)
            made.append(alice.makes(f"task {number}").title)

    with pytest.raises(OSError, match="No space left"):
        write()
    assert sent
    return sent, made


def tidied(session: Session) -> None:
    """What the command line and the hooks do after answering."""
    if session.store.due_for_compaction:
        care.compact_if_free(session)


def test_what_was_acknowledged_is_readable_where_no_file_can_be_made(disk: Disk, world: World) -> None:
    """Without inodes `gc` may find no place for its archive: this much is promised."""
    place = disk("size=4m,nr_inodes=80")
    alice, bob = player(world, "alice", place), player(world, "bob", place)
    bob.registers()
    sent, made = fill(alice)
    assert {message.id for message in mail.inbox(bob.session)} >= set(sent)
    assert set(alice.sees()) >= set(made)
    subprocess.run(["mount", "-o", "remount,nr_inodes=200", place], check=True)
    assert not alice.is_refused("src/app.py")
    check_replay(place / "state")


def test_what_was_acknowledged_is_readable_on_a_full_disk_and_gc_makes_room(disk: Disk, world: World) -> None:
    place = disk("size=256k")
    alice, bob = player(world, "alice", place), player(world, "bob", place)
    alice.registers()
    bob.registers()
    alice.locks("src/app.py")
    sent, made = fill(alice)
    messages = {message.id for message in mail.inbox(bob.session)}
    assert messages >= set(sent)
    assert set(alice.sees()) >= set(made)
    assert not bob.may_edit("src/app.py")
    left_over = place / "state/intent.json"
    assert list((place / "state/tmp").iterdir()) == [], "a full disk needs no half files"
    care.gc(alice.session)
    assert not left_over.exists()
    alice.unlocks("src/app.py")
    bob.locks("src/app.py")
    assert bob.holds() == ["src/app.py"]
    assert {message.id for message in mail.inbox(bob.session)} >= set(sent)
    check_store(place / "state")
    check_replay(place / "state")


def test_a_log_that_is_folded_as_usual_leaves_the_disk_full(
    disk: Disk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what a full disk needs is more than the usual compaction."""
    monkeypatch.setattr(compact, "KEEP_ON_FULL_DISK", compact.KEEP)
    place = disk("size=256k")
    alice = player(world, "alice", place)
    player(world, "bob", place).registers()
    fill(alice)
    care.gc(alice.session)
    with pytest.raises(OSError, match="No space left"):
        feed.record(alice.session, "one more")


@pytest.mark.parametrize("pages", range(12))
def test_a_command_that_runs_out_of_room_half_way_is_finished_with_the_ballast(
    pages: int, disk: Disk, world: World
) -> None:
    """So many blocks are free when it begins."""
    place = disk("size=512k")
    alice = player(world, "alice", place)
    alice.registers()
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(file.tell() - 4096 * pages, 0))
    try:
        alice.locks("a", "b", "c", "d")
        granted = True
    except OSError:
        granted = False
    assert len(alice.holds()) in ((4,) if granted else (0, 4))
    assert granted == ("lock" in [json.loads(path.read_bytes())["verb"] for path in (place / "state/log").iterdir()])
    filler.unlink()
    care.gc(alice.session)
    assert not alice.is_refused("a", "b", "c", "d")
    check_store(place / "state")
    check_replay(place / "state")
