"""Whose the state is and what it looks like: modes, links, strange files, owners, git, copies, read-only disks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_store, history
from world import ClockFiles, World, git

from agentsync.core.locks import Granted
from agentsync.errors import AgentSyncError, NewerRecordError, UnusableError
from agentsync.ops import agents, care, edits, locks, status
from agentsync.ops.session import open_session
from agentsync.store.files import MAX_RECORD
from agentsync.store.setup import DIRECTORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from world import Player

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

NOBODY = 65534


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def a_bit_of_everything(world: World) -> None:
    """Make at least one file of each kind that there is."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py", "src/lib/", "*.txt", "@db")
    alice.locks("notes", shared=True)
    alice.has_edited("src/app.py")
    bob.unlocks("src/app.py", force=True)
    bob.ends()
    (world.state / "locks/@db.json").write_bytes(b"")
    for number in range(140):
        alice.locks(f"many/{number}")
        alice.unlocks(f"many/{number}")
    care.gc(alice.session)
    care.init(alice.session)


# ---------------------------------------------------------------- modes
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids=oct)
def test_files_are_for_their_owner_alone_whatever_the_umask(mask: int, world: World) -> None:
    with umask(mask):
        a_bit_of_everything(world)
    folders = [world.state, *(path for path in world.state.rglob("*") if path.is_dir())]
    files = [path for path in world.state.rglob("*") if path.is_file()]
    assert {path.parent.relative_to(world.state).as_posix() for path in files} >= {
        *(".", "agents", "agents/past", "locks", "locks/globs", "locks/shared", "inbox/alice", "log", "archive"),
        *("activity", "quarantine"),
    }
    assert {(str(path), oct(path.stat().st_mode & 0o7777)) for path in folders} == {(str(f), "0o700") for f in folders}
    assert {(str(path), oct(path.stat().st_mode & 0o7777)) for path in files} == {(str(f), "0o600") for f in files}


# ---------------------------------------------------------------- symlinks
class Elsewhere:
    """A directory outside of the state, and whether anybody has touched it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        (path / "keep").write_text("as it was")
        os.utime(path / "keep", (1, 1))
        os.utime(path, (1, 1))

    def is_untouched(self) -> bool:
        times = {found.stat().st_mtime for found in (self.path, self.path / "keep")}
        return os.listdir(self.path) == ["keep"] and times == {1.0} and (self.path / "keep").read_text() == "as it was"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path / "elsewhere")


MUTATIONS: dict[str, Callable[[Player], object]] = {
    "lock": lambda player: player.locks("src/app.py"),
    "lock a pattern": lambda player: player.locks("src/*.py"),
    "lock shared": lambda player: player.locks("src/app.py", shared=True),
    "register": lambda player: player.registers(),
    "heartbeat": lambda player: player.beats(),
    "init": lambda player: care.init(player.session),
    "gc": lambda player: care.gc(player.session),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_symlinked_state_directory_is_refused(name: str, world: World, elsewhere: Elsewhere) -> None:
    world.state.parent.mkdir(exist_ok=True)
    world.state.symlink_to(elsewhere.path)
    with pytest.raises(UnusableError, match="symlink"):
        MUTATIONS[name](world.agent("alice"))
    assert elsewhere.is_untouched()
    world.state.unlink()


def test_a_state_directory_that_is_a_dangling_symlink_is_refused(world: World, tmp_path: Path) -> None:
    world.state.parent.mkdir(exist_ok=True)
    world.state.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UnusableError, match="symlink"):
        world.agent("alice").locks("src/app.py")
    assert not (tmp_path / "nowhere").exists()
    world.state.unlink()


def _swap_for_link(part: Path, to: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.symlink_to(to)


@pytest.mark.parametrize("part", DIRECTORIES)
def test_a_symlinked_part_is_refused_and_nothing_written_through_it(
    part: str, world: World, elsewhere: Elsewhere
) -> None:
    alice = world.agent("alice")
    alice.locks("docs/")
    _swap_for_link(world.state / part, elsewhere.path)
    for mutate in MUTATIONS.values():
        with pytest.raises(UnusableError, match="symlink"):
            mutate(alice)
    assert elsewhere.is_untouched()
    (world.state / part).unlink()


@pytest.mark.parametrize("part", DIRECTORIES)
def test_a_symlinked_part_that_came_before_the_first_command_is_refused_too(
    part: str, world: World, elsewhere: Elsewhere
) -> None:
    """A repository may carry a directory of that name, made by somebody who means harm."""
    world.state.mkdir(parents=True)
    _swap_for_link(world.state / part, elsewhere.path)
    with pytest.raises(UnusableError, match="symlink"):
        world.agent("alice").locks("src/app.py")
    assert elsewhere.is_untouched()
    (world.state / part).unlink()


DRAWERS: dict[str, Callable[[World], object]] = {
    "locks/globs": lambda world: world.agent("alice").locks("src/*.py"),
    "locks/shared": lambda world: world.agent("alice").locks("src/app.py", shared=True),
    "locks/worktrees": lambda world: world.agent("alice", cwd=world.root.parent / "wt").locks("src/app.py"),
    "locks/worktrees/wt": lambda world: world.agent("alice", cwd=world.root.parent / "wt").locks("src/app.py"),
    "locks/worktrees/wt/globs": lambda world: world.agent("alice", cwd=world.root.parent / "wt").locks("src/*.py"),
    "inbox/bob": lambda world: world.agent("alice").unlocks("theirs", force=True),
}


@pytest.mark.parametrize("drawer", DRAWERS)
def test_a_drawer_that_comes_and_goes_is_refused_as_a_symlink_too(
    drawer: str, world: World, elsewhere: Elsewhere
) -> None:
    git("worktree", "add", "-q", str(world.root.parent / "wt"), cwd=world.root)
    world.agent("alice").registers()
    world.agent("bob").locks("theirs")
    _swap_for_link(world.state / drawer, elsewhere.path)
    with pytest.raises(UnusableError, match="symlink"):
        DRAWERS[drawer](world)
    assert elsewhere.is_untouched()
    (world.state / drawer).unlink()
    assert not (world.state / "intent.json").exists()


@pytest.mark.parametrize("record", ["agents/alice.json", "locks/src%2Fapp.py.json", "format.json", "intent.json"])
def test_a_symlinked_record_is_neither_read_nor_written_nor_touched(
    record: str, world: World, elsewhere: Elsewhere
) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py")
    (world.state / record).unlink(missing_ok=True)
    (world.state / record).symlink_to(elsewhere.path / "keep")
    try:
        for act in (lambda: locks.held(alice.session), lambda: agents.whoami(alice.session)):
            with suppress(UnusableError):
                act()
        with pytest.raises(UnusableError, match=r"is not a regular file"):
            alice.locks("src/app.py")
        assert elsewhere.is_untouched()
    finally:
        (world.state / record).unlink()


def test_a_symlinked_activity_file_is_not_appended_to(world: World, elsewhere: Elsewhere) -> None:
    alice = world.agent("alice")
    alice.registers()
    (world.state / "activity/alice.ndjson").symlink_to(elsewhere.path / "keep")
    with pytest.raises((OSError, UnusableError)):
        alice.has_edited("src/app.py")
    assert elsewhere.is_untouched()


# ---------------------------------------------------------------- what is no record at all
def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    (path / "sub").mkdir(parents=True)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_RECORD + 1)


def _socket(path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as made:
        before = os.getcwd()
        os.chdir(path.parent)  # its name must be short
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


strange = pytest.mark.parametrize("make", [_fifo, _directory, _huge, _socket])


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@strange
def test_a_strange_file_in_place_of_a_lock_is_reported_and_never_waited_for(
    make: Callable[[Path], None], world: World
) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    record = world.state / "locks/src%2Fapp.py.json"
    record.unlink()
    make(record)
    with pytest.raises(UnusableError, match=r"locks/src%2Fapp\.py\.json"):
        bob.locks("src/app.py")
    assert isinstance(bob.locks("src/other.py"), Granted), "another path is another record"
    _remove(record)


@strange
@pytest.mark.parametrize("record", ["locks/zed.json", "agents/zed.json", "locks/globs/zed.json", "inbox/alice/z.json"])
def test_a_strange_file_costs_the_record_it_stands_for_and_nothing_else(
    record: str, make: Callable[[Path], None], world: World
) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    (world.state / record).parent.mkdir(exist_ok=True)
    make(world.state / record)
    try:
        session = bob.session
        assert [held.lock.path for held in locks.held(session)] == ["src/app.py"]
        assert len(status.overview(session).agents) == 2
        assert bob.is_refused("src/app.py")
        assert not bob.may_edit("src/app.py")
        if "globs" not in record:  # there every edit has to look at every pattern
            assert isinstance(bob.locks("src/b.py"), Granted)
        world.agent("carol").registers()
    finally:
        _remove(world.state / record)


def test_a_fifo_in_place_of_an_activity_file_does_not_block_a_hook(world: World) -> None:
    """Opening a FIFO for writing waits for a reader, unless it is told not to."""
    import threading

    alice = world.agent("alice")
    alice.registers()
    path = world.state / "activity/alice.ndjson"
    os.mkfifo(path)
    failed: list[BaseException] = []

    def act() -> None:
        try:
            alice.has_edited("src/app.py")
        except (OSError, AgentSyncError) as error:
            failed.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(5)
    waited = thread.is_alive()
    while thread.is_alive():  # let it go
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        thread.join(0.01)
    assert not waited
    assert failed


# ---------------------------------------------------------------- owners
@as_root
@pytest.mark.parametrize("part", ["", "locks", "agents", "tmp"])
def test_a_directory_of_somebody_else_is_refused(part: str, world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    os.chown(world.state / part, 12345, -1)
    with pytest.raises(UnusableError, match=r"belongs to user 12345, not to you \(0\)"):
        alice.locks("src/app.py")
    os.chown(world.state / part, 0, -1)
    assert alice.holds() == []


# ---------------------------------------------------------------- git
def _plain_index(_world: World) -> None:
    pass


def _index_version_4(world: World) -> None:
    git("update-index", "--index-version", "4", cwd=world.root)


def _split_index(world: World) -> None:
    git("update-index", "--split-index", cwd=world.root)


@pytest.mark.parametrize("index", [_plain_index, _index_version_4, _split_index])
def test_a_state_directory_that_git_tracks_is_refused_by_init(index: Callable[[World], None], world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    git("add", "-f", ".claude/coordination/README", cwd=world.root)
    index(world)
    with pytest.raises(UnusableError, match="tracked by git") as caught:
        care.init(alice.session)
    assert "git rm -r --cached .claude/coordination" in caught.value.hint
    git("rm", "-r", "-q", "--cached", ".claude/coordination", cwd=world.root)
    care.init(alice.session)


def test_a_state_directory_that_came_with_a_clone_is_refused_by_every_writer(world: World, tmp_path: Path) -> None:
    """It would bring another machine's locks."""
    world.agent("alice").locks("src/app.py")
    git("add", "-f", ".claude/coordination", cwd=world.root)
    git("commit", "-q", "-m", "oops", cwd=world.root)
    git("clone", "-q", str(world.root), str(tmp_path / "clone"), cwd=tmp_path)
    bob = world.agent("bob", cwd=tmp_path / "clone")
    for mutate in (bob.registers, lambda: bob.locks("docs/"), lambda: care.init(bob.session)):
        with pytest.raises(UnusableError, match="tracked by git"):
            mutate()
    assert not (tmp_path / "clone/.claude/coordination/agents/bob.json").exists()


def test_a_tracked_state_directory_is_refused_from_a_linked_worktree_too(world: World) -> None:
    world.agent("alice").registers()
    git("add", "-f", ".claude/coordination/README", cwd=world.root)
    git("worktree", "add", "-q", str(world.root.parent / "wt"), cwd=world.root)
    with pytest.raises(UnusableError, match="tracked by git"):
        care.init(world.agent("alice", cwd=world.root.parent / "wt").session)


@pytest.mark.parametrize("index", [_plain_index, _index_version_4])
def test_what_only_looks_like_a_tracked_state_directory_is_none(index: Callable[[World], None], world: World) -> None:
    for name in ("examples/demo/.claude/coordination/README", ".claude/coordination.md", ".claude/coordination-2/x"):
        path = world.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    git("add", "-A", "-f", cwd=world.root)
    index(world)
    care.init(world.agent("alice").session)


def test_git_never_sees_the_state(world: World) -> None:
    world.agent("alice").locks("src/app.py", "src/*.py")
    assert git("status", "--porcelain", "--untracked-files=all", cwd=world.root) == ""
    git("add", "-A", cwd=world.root)
    assert ".claude" not in git("ls-files", cwd=world.root)


# ---------------------------------------------------------------- copies
def _store_id(state: Path) -> str:
    found: str = json.loads((state / "format.json").read_bytes())["store"]
    return found


def test_a_copy_is_another_store_without_the_agents_and_locks_of_the_first(world: World, tmp_path: Path) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py", "src/*.py", "@db")
    alice.locks("notes", shared=True)
    bob.locks("theirs")
    alice.unlocks("theirs", force=True)
    shutil.copytree(world.root, tmp_path / "copy", symlinks=True)
    copy = tmp_path / "copy/.claude/coordination"
    carol = world.agent("carol", cwd=tmp_path / "copy")
    session = carol.session
    granted = locks.lock(session, ["src/app.py"])
    assert isinstance(granted, Granted)
    assert _store_id(copy) != _store_id(world.state)
    assert granted.locks[0].token.startswith(_store_id(copy) + ":")
    assert any("is a copy" in warning for warning in session.store.warnings)
    assert [agent for agent in (copy / "agents").iterdir() if agent.is_file()] == [copy / "agents/carol.json"]
    assert [path.name for path in (copy / "locks").rglob("*.json")] == ["src%2Fapp.py.json"]
    assert list((copy / "inbox/bob").iterdir()), "messages are kept"
    assert history(copy)[: len(history(world.state))] == history(copy)[: len(history(world.state))]
    check_store(copy)
    assert len(alice.holds()) == 4, "the first store is as it was"


def test_a_copy_of_an_unfinished_change_does_not_finish_it(world: World, tmp_path: Path) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py")
    (world.state / "intent.json").write_bytes(
        (world.state / "log/000000000002.json").read_bytes().replace(b'"rev": 2', b'"rev": 3')
    )
    shutil.copytree(world.root, tmp_path / "copy")
    (world.state / "intent.json").unlink()
    assert isinstance(world.agent("bob", cwd=tmp_path / "copy").locks("src/app.py"), Granted)


def test_a_directory_that_was_moved_is_the_same_store(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    before = _store_id(world.state)
    moved = world.root.rename(world.root.parent / "moved")
    assert world.agent("bob", cwd=moved).is_refused("src/app.py")
    assert _store_id(moved / ".claude/coordination") == before
    moved.rename(world.root)
    assert bob.is_refused("src/app.py")


def test_a_store_of_a_newer_version_is_not_written(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    path = world.state / "format.json"
    before = path.read_bytes()
    path.write_text(json.dumps({"kind": "format", "v": 2, "shape": "entirely other"}))
    newer = path.read_bytes()
    with pytest.raises(NewerRecordError):
        alice.locks("src/app.py")
    assert path.read_bytes() == newer
    path.write_bytes(before)


# ---------------------------------------------------------------- read-only
class ReadOnlyFiles(ClockFiles):
    """A file system that is mounted read-only."""

    def _refuse(self, key: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system", self.path(key))

    def write_temp(self, data: bytes, sync: bool) -> str:
        self._refuse("tmp/new")
        return ""

    def link(self, temp: str, key: str) -> bool:
        self._refuse(key)
        return False

    def replace(self, temp: str, key: str) -> None:
        self._refuse(key)

    def rename(self, key: str, to: str) -> None:
        self._refuse(key)

    def unlink(self, key: str) -> bool:
        self._refuse(key)
        return False

    def make_directory(self, key: str) -> None:
        self._refuse(key)

    def touch(self, key: str) -> bool:
        if self.status(key) is None:
            return False
        self._refuse(key)
        return True

    def append(self, key: str, line: bytes) -> None:
        self._refuse(key)


READS: dict[str, Callable[[Player, ClockFiles], object]] = {
    "locks": lambda player, files: [h.lock.path for h in locks.held(open_session(player.runtime, files=files))],
    "whoami": lambda player, files: agents.whoami(open_session(player.runtime, files=files)).registered,
    "status": lambda player, files: len(status.overview(open_session(player.runtime, files=files)).locks),
    "check": lambda player, files: [
        bool(found.verdict.blocked)
        for found in locks.check(open_session(player.runtime, files=files), ["src/app.py", "docs/a"])
    ],
    "explain": lambda player, files: [
        event.verb for event in locks.explain(open_session(player.runtime, files=files), "src/app.py").events
    ],
}
EXPECTED = {"locks": ["src/app.py"], "whoami": True, "status": 1, "check": [True, False], "explain": ["lock"]}


@pytest.mark.parametrize("name", READS)
def test_on_a_read_only_disk_reading_works(name: str, world: World) -> None:
    world.agent("alice").locks("src/app.py")
    bob = world.agent("bob")
    bob.registers()
    assert READS[name](bob, ReadOnlyFiles(str(world.state), world.clock)) == EXPECTED[name]


def test_on_a_read_only_disk_an_edit_of_a_held_file_is_still_refused(world: World) -> None:
    world.agent("alice").locks("src/app.py")
    bob = world.agent("bob")
    bob.registers()
    session = open_session(bob.runtime, files=ReadOnlyFiles(str(world.state), world.clock))
    assert isinstance(edits.before(session, "src/app.py"), edits.Refused)


def test_on_a_read_only_disk_writing_fails_and_says_why(world: World) -> None:
    world.agent("alice").locks("src/app.py")
    bob = world.agent("bob")
    bob.registers()
    session = open_session(bob.runtime, files=ReadOnlyFiles(str(world.state), world.clock))
    with pytest.raises(OSError, match="Read-only"):
        locks.lock(session, ["docs/"])
    assert world.agent("bob").holds() == []


@pytest.fixture
def ordinary() -> Iterator[World]:
    """A world that belongs to somebody for whom permissions count; in root's stead it is `nobody`."""
    path = Path(tempfile.mkdtemp(prefix="agentsync-"))
    world = World(path)
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py", "*.txt")  # load now the modules that root alone may read
    for name in ("src%2Fapp.py.json", "globs/%2A.txt.json"):
        (world.state / "locks" / name).write_bytes(b"")
    for read in READS.values():
        read(bob, ClockFiles(str(world.state), world.clock))
    assert bob.is_refused("src/app.py", "a.txt")
    assert not bob.may_edit("src/app.py")
    shutil.rmtree(world.state)
    uid = os.geteuid()
    if uid == 0:
        path.chmod(0o755)
        for folder, folders, files in os.walk(path):
            for name in (folder, *(f"{folder}/{name}" for name in folders + files)):
                os.chown(name, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield world
    finally:
        os.seteuid(uid)
        for folder, _, _ in os.walk(path):
            os.chmod(folder, 0o700)
        shutil.rmtree(path)


def test_a_directory_without_write_permission_can_be_read_but_not_written(ordinary: World) -> None:
    world = ordinary
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    folders = [world.state, *(path for path in world.state.rglob("*") if path.is_dir())]
    for path in [*folders, *(path for path in world.state.rglob("*") if path.is_file())]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    for name, read in READS.items():
        assert read(bob, ClockFiles(str(world.state), world.clock)) == EXPECTED[name]
    assert not bob.may_edit("src/app.py")
    with pytest.raises((PermissionError, UnusableError)):
        bob.locks("docs/")
    for folder in folders:
        folder.chmod(0o700)
    assert bob.holds() == []


def test_a_record_that_may_not_be_read_is_an_error_and_no_damage(ordinary: World) -> None:
    """EACCES never quarantines: the record is fine, and somebody is behind it."""
    world = ordinary
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    record = world.state / "locks/src%2Fapp.py.json"
    record.chmod(0o000)
    with pytest.raises((PermissionError, UnusableError)):
        bob.locks("src/app.py")
    assert list((world.state / "quarantine").iterdir()) == []
    record.chmod(0o600)
    assert bob.is_refused("src/app.py")
