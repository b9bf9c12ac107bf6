"""Looking at the board: what is read for a decision, and what is found under which name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from world import NOON, Clock, ClockFiles, Player, World, git

from agentsync.core import keys
from agentsync.core.locks import Conflict, Granted
from agentsync.core.records import Lock
from agentsync.ops import edits, locks
from agentsync.ops.session import open_session
from agentsync.store import codec
from agentsync.store.files import Content
from agentsync.store.state import State
from agentsync.store.store import PAUSES_S

SAMPLE = Lock(
    path="x",
    scope="file",
    mode="exclusive",
    holder="alice",
    holder_name="alice",
    token="store:1",
    acquired_at=NOON,
    expires_at=NOON.replace(hour=13),
    ttl_s=3600,
)


class CountingFiles(ClockFiles):
    """Counts what is opened and listed."""

    def __init__(self, root: str, clock: Clock) -> None:
        super().__init__(root, clock)
        self.opened: list[str] = []
        self.listed: list[str] = []

    def read(self, key: str, cap: int = 1 << 20) -> Content | None:
        self.opened.append(key)
        return super().read(key, cap)

    def names(self, key: str) -> list[str]:
        self.listed.append(key)
        return super().names(key)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Ten thousand locks of one agent, and another agent."""
    world = World(tmp_path_factory.mktemp("crowded"), git_repo=False)
    for name in ("alice", "bob", "carol"):
        world.agent(name).registers()
    for number in range(10_000):
        lock = replace(SAMPLE, path=f"src/part{number % 100:02}/file{number:05}.py")
        (world.state / keys.lock(lock)).write_bytes(codec.encode(lock))
    for number in range(500):
        lock = replace(SAMPLE, path=f"@resource{number}", scope="resource")
        (world.state / keys.lock(lock)).write_bytes(codec.encode(lock))
    return world


def counting(world: World, player: Player) -> tuple[CountingFiles, object]:
    files = CountingFiles(str(world.state), world.clock)
    return files, open_session(player.runtime, files=files)


# ---------------------------------------------------------------- how much is read
def test_an_edit_among_ten_thousand_locks_reads_a_file_per_directory_above_it(crowded: World) -> None:
    files, session = counting(crowded, crowded.agent("bob"))
    assert isinstance(edits.before(session, "src/part07/file00007.py"), edits.Refused)  # type: ignore[arg-type]
    assert sorted(key for key in files.opened if key.startswith("locks/")) == [
        "locks/%2E%2F.json",
        "locks/src%2F.json",
        "locks/src%2Fpart07%2F.json",
        "locks/src%2Fpart07%2Ffile00007.py%2F.json",
        "locks/src%2Fpart07%2Ffile00007.py.json",
    ]
    assert "locks" not in files.listed


def test_a_lock_among_ten_thousand_opens_a_handful_of_files(crowded: World) -> None:
    files, session = counting(crowded, crowded.agent("bob"))
    assert isinstance(locks.lock(session, ["src/part07/new.py"]), Granted)  # type: ignore[arg-type]
    assert len({key for key in files.opened if key.startswith("locks/")}) == 5
    assert len(files.opened) < 20
    assert "locks" not in files.listed
    crowded.agent("bob").unlocks("src/part07/new.py")


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_what_is_opened_grows_with_the_depth_of_the_path_only(depth: int, crowded: World) -> None:
    files, session = counting(crowded, crowded.agent("bob"))
    session.store.state().touching(_file("/".join(["d"] * depth)))  # type: ignore[attr-defined]
    assert len(files.opened) == depth + 2


def test_a_directory_request_lists_the_names_and_opens_what_lies_below_it_only(crowded: World) -> None:
    files, session = counting(crowded, crowded.agent("bob"))
    assert isinstance(locks.lock(session, ["src/part07/"]), Conflict)  # type: ignore[arg-type]
    opened = [key for key in files.opened if key.startswith("locks/")]
    assert len(set(opened)) <= 101
    assert all("part07" in key for key in opened)


def test_a_pattern_request_opens_what_it_matches_only(crowded: World) -> None:
    files, session = counting(crowded, crowded.agent("bob"))
    assert isinstance(locks.lock(session, ["src/part0[78]/*7.py"]), Conflict)  # type: ignore[arg-type]
    opened = [key for key in files.opened if key.startswith("locks/")]
    assert 0 < len(set(opened)) <= 101


def test_a_resource_request_opens_one_file(crowded: World) -> None:
    files, session = counting(crowded, crowded.agent("bob"))
    assert isinstance(locks.lock(session, ["@resource7"]), Conflict)  # type: ignore[arg-type]
    assert [key for key in files.opened if key.startswith("locks/")] == ["locks/@resource7.json"]


def test_a_state_reads_a_record_once(world: World) -> None:
    world.agent("alice").locks("src/app.py")
    files = CountingFiles(str(world.state), world.clock)
    state = open_session(world.agent("bob").runtime, files=files).store.state()
    for _ in range(3):
        assert len(state.touching(_file("src/app.py"))) == 1
        assert state.presence("alice") is not None
    assert len(files.opened) == len(set(files.opened))


def _file(path: str) -> object:
    from agentsync.core.paths import Target

    return Target(scope="file", path=path)


# ---------------------------------------------------------------- under which name
def names(world: World, folder: str = "locks") -> list[str]:
    path = world.state / folder
    return sorted(found.name for found in path.iterdir() if found.is_file()) if path.exists() else []


def test_the_listing_of_locks_is_the_lock_table(world: World) -> None:
    world.agent("alice").locks("src/app.py", "src/lib/", ".env", "a b%c", "@db", "@at", "naïve.py")
    assert names(world) == [
        "%2Eenv.json",
        "@at.json",
        "@db.json",
        "a%20b%25c.json",
        "na%C3%AFve.py.json",
        "src%2Fapp.py.json",
        "src%2Flib%2F.json",
    ]


def test_a_path_too_long_for_a_name_is_hashed_and_still_excludes(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    deep = "/".join(f"directory{number:02}" for number in range(30))
    path = f"{deep}/file.py"
    alice.locks(path)
    (name,) = names(world)
    assert name == f"~{hashlib.sha256(path.encode()).hexdigest()[:16]}.json"
    assert json.loads((world.state / "locks" / name).read_bytes())["path"] == path
    bob.registers()
    assert bob.is_refused(path)
    assert bob.is_refused("directory00/")
    assert bob.is_refused("directory00/**/*.py")
    assert not bob.may_edit(path)
    assert not bob.is_refused(f"{deep}/other.py")
    alice.unlocks(path)
    assert not bob.is_refused(path)


def test_a_directory_whose_name_is_hashed_covers_what_is_below(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    deep = "/".join(f"directory{number:02}" for number in range(30)) + "/"
    alice.locks(deep)
    bob.registers()
    assert bob.is_refused(f"{deep}file.py")
    assert bob.is_refused(f"{deep}sub/")
    assert not bob.may_edit(f"{deep}sub/file.py")
    assert not bob.is_refused("directory00/file.py")


def test_shared_leases_are_one_file_per_holder_in_their_own_drawer(world: World) -> None:
    alice, bob, carol = world.agent("alice"), world.agent("bob"), world.agent("carol")
    alice.locks("src/app.py", "src/lib/", shared=True)
    bob.locks("src/app.py", shared=True)
    assert names(world, "locks/shared") == [
        "src%2Fapp.py~alice.json",
        "src%2Fapp.py~bob.json",
        "src%2Flib%2F~alice.json",
    ]
    assert names(world) == []
    for path in ("src/app.py", "src/", "src/lib/x.py", "src/*.py", "src/lib/**"):
        assert carol.is_refused(path), path
    assert not carol.is_refused("src/other.py")
    alice.unlocks("src/app.py", "src/lib/")
    bob.unlocks("src/app.py")
    assert not (world.state / "locks/shared").exists(), "an empty drawer goes: the gate looks at which there are"


@pytest.mark.parametrize("name", ["@db", "@.hidden", "@" + "ä" * 60], ids=["plain", "dot", "long"])
def test_a_shared_lease_on_a_resource_keeps_everybody_from_having_it_alone(name: str, world: World) -> None:
    alice, bob, carol = world.agent("alice"), world.agent("bob"), world.agent("carol")
    alice.locks(name, shared=True)
    alice.locks("@other", shared=True)
    alice.locks("db", shared=True)
    assert bob.is_refused(name)
    assert not carol.is_refused(name, shared=True)
    alice.unlocks(name)
    assert bob.is_refused(name)
    carol.unlocks(name)
    assert not bob.is_refused(name)


@pytest.mark.parametrize("path", ["src/*.py", "src/**", "{src,lib}/a.py", "**/[ab].py"])
def test_a_shared_pattern_is_found_from_its_files_and_directories(path: str, world: World) -> None:
    alice, bob, carol = world.agent("alice"), world.agent("bob"), world.agent("carol")
    alice.locks(path, shared=True)
    bob.registers()
    for target in ("src/a.py", "src/", "src/?.py"):
        assert bob.is_refused(target), target
    assert not carol.is_refused("src/a.py", shared=True)
    assert not bob.is_refused("docs/readme.txt")


@pytest.mark.parametrize("shared", [False, True], ids=["exclusive", "shared"])
@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("{out}/*.txt", "{out}/a.txt"),
        ("{out}/*.txt", "{out}/"),
        ("{out}/a.txt", "{out}/"),
        ("{out}/[a].txt", "{out}/"),
        ("{out}/", "{out}/sub/a.txt"),
    ],
)
def test_a_lock_outside_of_the_repository_excludes_there(
    held: str, asked: str, shared: bool, world: World, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "[a].txt").touch()  # a file that looks like a pattern
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks(held.format(out=out), shared=shared)
    bob.registers()
    assert bob.is_refused(asked.format(out=out))


def test_patterns_have_their_own_drawer_and_it_goes_with_the_last(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/*.py", "src/**/*.txt")
    assert names(world, "locks/globs") == ["src%2F%2A%2A%2F%2A.txt.json", "src%2F%2A.py.json"]
    bob.registers()
    assert not bob.may_edit("src/app.py")
    assert bob.is_refused("src/a/b.txt")
    assert not bob.is_refused("src/app.rs")
    alice.unlocks("src/*.py")
    assert (world.state / "locks/globs").exists()
    alice.unlocks("src/**/*.txt")
    assert not (world.state / "locks/globs").exists()


def test_a_file_that_looks_like_a_pattern_is_locked_as_a_file(world: World) -> None:
    (world.root / "pages").mkdir()
    (world.root / "pages/[id].tsx").touch()
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("pages/[id].tsx")
    assert names(world) == ["pages%2F%5Bid%5D.tsx.json"]
    bob.registers()
    assert bob.is_refused("pages/")
    assert bob.is_refused("pages/*.tsx")
    assert bob.is_refused("pages/[id].tsx")
    assert not bob.is_refused("pages/i.tsx")


def test_a_linked_worktree_has_a_drawer_of_its_own_that_goes_with_its_last_lock(world: World) -> None:
    git("worktree", "add", "-q", str(world.root.parent / "wt"), cwd=world.root)
    alice = world.agent("alice", cwd=world.root.parent / "wt")
    alice.locks("src/app.py", "src/*.txt")
    assert names(world, "locks/worktrees/wt") == ["src%2Fapp.py.json"]
    assert names(world, "locks/worktrees/wt/globs") == ["src%2F%2A.txt.json"]
    assert not world.agent("bob").is_refused("src/app.py")
    alice.unlocks("src/app.py", "src/*.txt")
    assert not (world.state / "locks/worktrees").exists()


def test_foreign_names_in_the_directory_are_not_looked_at(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    for name in ("README", ".DS_Store", "x.json~", "x.tmp", "%ZZ.txt"):
        (world.state / "locks" / name).write_text("not ours")
        (world.state / "agents" / name).write_text("not ours")
        (world.state / "log" / name).write_text("not ours")
    assert bob.is_refused("src/")
    assert [held.lock.path for held in bob.session.store.state().locks()] == ["src/app.py"]
    assert bob.session.store.revision() == 3


@pytest.mark.parametrize(
    "name", ["%ZZ.json", "%.json", "%C3.json", "~.json", "~nothex.json", "shared~x.json", "é.json"]
)
def test_a_lock_whose_name_nobody_encoded_is_read_all_the_same(name: str, world: World) -> None:
    """The record says what is locked; a name that says nothing only costs a read."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    (world.state / "locks/src%2Fapp.py.json").rename(world.state / "locks" / name)
    assert [held.lock.path for held in bob.session.store.state().locks()] == ["src/app.py"]
    bob.session.store.state().touching(_file("src/app.py"))
    assert isinstance(bob.locks("docs/"), Granted)


def test_one_look_is_not_changed_by_what_comes_later(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    state = bob.session.store.state()
    assert state.locks()[0].live
    world.clock.advance(minutes=61)
    assert state.locks()[0].live
    assert not bob.session.store.state().locks()[0].live


# ---------------------------------------------------------------- one moment
def test_a_question_is_asked_again_when_something_came_in_between(tmp_path: Path) -> None:
    alice = World(tmp_path).agent("alice")
    alice.locks("a.py", shared=True)
    answers: list[int] = []

    def ask(_state: State) -> int:
        answers.append(len(answers))
        if len(answers) == 1:
            alice.locks("a.py")
        return answers[-1]

    assert alice.session.store.at_one_moment(ask) == 1
    assert answers == [0, 1]


def test_a_writer_that_died_in_the_middle_keeps_nobody_from_an_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    alice = world.agent("alice")
    alice.locks("a.py")
    (world.state / "intent.json").write_bytes((world.state / "log/000000000001.json").read_bytes())
    answers: list[int] = []
    alice.session.store.at_one_moment(lambda _: answers.append(0))
    assert len(answers) == len(PAUSES_S) + 1
