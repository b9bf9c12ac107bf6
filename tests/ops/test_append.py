"""Lines at the end of shared files."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import World, git, make_repo

from agentsync.core.locks import Conflict
from agentsync.errors import UnusableError, UsageError
from agentsync.ops.append import Appended, append
from agentsync.store import activity

if TYPE_CHECKING:
    from world import Player


@pytest.fixture
def al(world: World) -> Player:
    player = world.agent("al")
    player.registers()
    return player


@pytest.fixture
def bo(world: World) -> Player:
    player = world.agent("bo")
    player.registers()
    return player


@pytest.mark.parametrize(
    ("before", "text", "newline", "after"),
    [
        (None, b"x", True, b"x\n"),
        (None, b"x", False, b"x"),
        (b"", b"x\n", True, b"x\n"),
        (b"a\n", b"x", True, b"a\nx\n"),
        (b"a", b"x", True, b"a\nx\n"),
        (b"a", b"x", False, b"ax"),
        (b"a", b"", False, b"a"),
        (b"a", b"", True, b"a\n\n"),
        (b"a\n", b"x\ny\n", True, b"a\nx\ny\n"),
        (b"\xff", b"\xfe\x00", True, b"\xff\n\xfe\x00\n"),
    ],
)
def test_what_is_there_afterwards(before: bytes | None, text: bytes, newline: bool, after: bytes, al: Player) -> None:
    file = Path(al.runtime.cwd, "notes.txt")
    if before is not None:
        file.write_bytes(before)
    done = append(al.session, "notes.txt", text, newline=newline)
    assert file.read_bytes() == after
    assert done == Appended(path="notes.txt", size=len(after) - len(before or b""))
    assert al.holds() == []


def test_directories_are_made(world: World, al: Player) -> None:
    append(al.session, "logs/deep/a.log", b"x")
    assert (world.root / "logs/deep/a.log").read_text() == "x\n"


def test_what_another_holds_is_not_written(world: World, al: Player, bo: Player) -> None:
    bo.locks("src/")
    refused = append(al.session, "src/new.txt", b"x")
    assert isinstance(refused, Conflict)
    assert [blocked.held.lock.holder for blocked in refused.blocked] == ["bo"]
    assert not (world.root / "src/new.txt").exists()


@pytest.mark.parametrize("held", ["notes.txt", "./", "*.txt", "notes.txt (shared)"])
def test_a_lock_that_one_held_stays_exactly_as_it_was(held: str, al: Player) -> None:
    al.locks(held.removesuffix(" (shared)"), reason="mine", ttl_minutes=5, shared=held.endswith("(shared)"))
    before = al.session.store.state().locks()
    append(al.session, "notes.txt", b"x")
    assert [one.lock for one in al.session.store.state().locks()] == [one.lock for one in before]


def test_the_lock_of_an_edit_stays(al: Player, bo: Player) -> None:
    al.edits("notes.txt")
    before = [one.lock for one in bo.session.store.state().locks()]
    append(al.session, "notes.txt", b"x")
    assert [one.lock for one in bo.session.store.state().locks()] == before


def test_what_was_made_of_its_lock_meanwhile_stays(al: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same agent locks the file by hand while its append is at work."""
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if data == b"x\n":
            al.locks("notes.txt", reason="for longer")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    append(al.session, "notes.txt", b"x")
    assert al.holds() == ["notes.txt"]


def test_it_is_a_sign_of_life_and_leaves_nothing_to_protect(world: World, al: Player) -> None:
    """What somebody edited alone is locked for him when another comes; what he appended is not."""
    append(al.session, "notes.txt", b"x")
    assert [(line.verb, line.path) for line in activity.read(al.session.store.files, "al")] == [("append", "notes.txt")]
    world.agent("bo").registers()
    assert al.holds() == []


@pytest.mark.parametrize("path", ["src", "src/", "/dev/null", "fifo", "src/app.py/x", ""])
def test_what_is_no_file_is_refused(path: str, world: World, al: Player) -> None:
    os.mkfifo(world.root / "fifo")
    with pytest.raises(UsageError):
        append(al.session, path, b"x")
    assert al.holds() == []


@pytest.mark.parametrize("written", [0, 3], ids=["nothing fits", "a part fits"])
def test_on_a_full_disk_nothing_is_added(
    written: int, world: World, al: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, file = os.write, world.root / "notes.txt"
    file.write_text("a\n")

    def write(fd: int, data: bytes) -> int:
        if os.fstat(fd).st_ino != file.stat().st_ino:
            return real(fd, data)
        if written:
            return real(fd, data[:written])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(UnusableError, match="no room"):
        append(al.session, "notes.txt", b"hello")
    assert file.read_text() == "a\n"
    assert al.holds() == []


def test_a_path_is_meant_where_the_caller_is(world: World, al: Player) -> None:
    git("worktree", "add", "-q", "../linked", cwd=world.root)
    linked = world.root.parent / "linked"
    al.locks("src/notes.txt")
    there = world.agent("bo", cwd=linked / "src")
    assert append(there.session, "notes.txt", b"x") == Appended(path="src/notes.txt", size=2)
    assert (linked / "src/notes.txt").read_text() == "x\n"
    assert not (world.root / "src/notes.txt").exists()


def test_a_file_of_another_repository_is_judged_there(world: World, al: Player) -> None:
    other = make_repo(world.root.parent / "other")
    world.agent("cy", cwd=other).locks("notes.txt")
    assert isinstance(append(al.session, str(other / "notes.txt"), b"x"), Conflict)
    assert isinstance(append(al.session, str(other / "free.txt"), b"x"), Appended)
    assert isinstance(append(al.session, "notes.txt", b"x"), Appended)


def test_where_the_team_shares_a_path_its_leases_do_not_refuse(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    world = World(tmp_path / "w", config='[paths]\nshared = ["CHANGELOG.md"]\nignore = ["dist/**"]\n')
    al, bo = world.agent("al"), world.agent("bo")
    al.registers()
    bo.registers()
    bo.edits("CHANGELOG.md")
    bo.locks("dist/")
    assert isinstance(append(al.session, "CHANGELOG.md", b"x"), Appended)
    assert isinstance(append(al.session, "dist/log", b"x"), Appended)
    assert bo.holds() == ["CHANGELOG.md", "dist/"]
