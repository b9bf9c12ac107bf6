"""Edits of agents, as hooks see them: judged before, recorded after. The clock moves by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import World, git, make_repo

from agentsync.core.locks import Conflict, Granted
from agentsync.errors import UsageError
from agentsync.ops import edits
from agentsync.ops.edits import Allowed, Refused
from agentsync.store import activity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from world import Player

    from agentsync.core.lease import Held


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[[str], World]]:
    """Worlds with a configuration of their own; what they leave behind is checked."""
    made: list[World] = []

    def make(config: str) -> World:
        made.append(World(tmp_path / str(len(made)), config=config))
        return made[-1]

    (tmp_path / "0").mkdir()
    yield make
    from invariants import check_store

    for world in made:
        check_store(world.state)


def pair(world: World) -> tuple[Player, Player]:
    """Two agents who are on the board."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers("Alice")
    bob.registers("Bob")
    return alice, bob


def told(player: Player) -> list[str]:
    return [message.body for _, message in player.session.store.state().inbox(player.id)]


def lock_on(player: Player, path: str) -> Held:
    (found,) = [held for held in player.session.store.state().locks() if held.lock.path == path]
    return found


def refusal(verdict: Allowed | Refused) -> list[tuple[str, str]]:
    assert isinstance(verdict, Refused), verdict
    return [(blocked.held.lock.path, blocked.held.lock.holder) for blocked in verdict.blocked]


# ---------------------------------------------------------------- alone
def test_who_is_alone_takes_no_lock(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    for path in ("src/app.py", "new.py"):
        assert alice.may_edit(path)
        alice.has_edited(path)
    assert alice.holds() == []


def test_who_is_alone_again_takes_no_lock(world: World) -> None:
    alice, bob = pair(world)
    bob.ends()
    assert alice.may_edit("src/app.py")
    assert alice.holds() == []


def test_who_has_left_holding_something_still_counts(world: World) -> None:
    alice, bob = pair(world)
    bob.locks("src/app.py")
    bob.ends()
    assert refusal(alice.edits("src/app.py")) == [("src/app.py", "bob")]
    assert alice.may_edit("other.py")
    assert alice.holds() == ["other.py"]


def test_before_anybody_registered_an_edit_registers(world: World) -> None:
    alice = world.agent("alice")
    assert alice.may_edit("src/app.py")
    alice.has_edited("src/app.py")
    bob = world.agent("bob")
    assert not bob.may_edit("src/app.py")


# ---------------------------------------------------------------- among others
def test_an_edit_of_what_nobody_holds_takes_a_short_lock(world: World) -> None:
    alice, bob = pair(world)
    assert alice.may_edit("src/app.py")
    held = lock_on(alice, "src/app.py")
    assert (held.lock.auto, held.lock.scope, held.lock.mode, held.lock.ttl_s) == (True, "file", "exclusive", 600)
    assert refusal(bob.edits("src/app.py")) == [("src/app.py", "alice")]


def test_the_same_edit_again_keeps_the_lock_as_it_is(world: World) -> None:
    alice, _ = pair(world)
    alice.edits("src/app.py")
    before = lock_on(alice, "src/app.py").lock
    world.clock.advance(minutes=1)
    alice.edits("src/app.py")
    assert lock_on(alice, "src/app.py").lock == before


@pytest.mark.parametrize("locked", ["src/app.py", "src/", "src/*.py", "**", "./", "{src,lib}/app.py"])
def test_whatever_covers_the_file_refuses_the_edit(locked: str, world: World) -> None:
    alice, bob = pair(world)
    bob.locks(locked)
    assert len(refusal(alice.edits("src/app.py"))) == 1
    assert alice.holds() == []


@pytest.mark.parametrize("locked", ["src/app.py", "src/", "src/*.py", "./"])
def test_what_one_holds_by_hand_needs_no_further_lock(locked: str, world: World) -> None:
    alice, _ = pair(world)
    alice.locks(locked)
    assert alice.may_edit("src/app.py")
    assert len(alice.holds()) == 1


def test_a_resource_of_the_same_name_is_no_file(world: World) -> None:
    alice, bob = pair(world)
    bob.locks("@src")
    assert alice.may_edit("@src/x.py")
    assert alice.may_edit("src/app.py")


def test_sharers_of_a_lease_may_all_edit_and_nobody_else_may(world: World) -> None:
    alice, bob = pair(world)
    carol = world.agent("carol")
    carol.registers()
    alice.locks("notes.md", shared=True)
    bob.locks("notes.md", shared=True)
    assert alice.may_edit("notes.md")
    assert bob.may_edit("notes.md")
    assert sorted(holder for _, holder in refusal(carol.edits("notes.md"))) == ["alice", "bob"]


# ---------------------------------------------------------------- how long it lasts
def test_an_automatic_lock_lasts_ten_minutes_from_the_last_edit(world: World) -> None:
    alice, bob = pair(world)
    alice.edits("src/app.py")
    alice.has_edited("src/app.py")
    for _ in range(3):
        world.clock.advance(minutes=9)
        alice.edits("src/app.py")
        alice.has_edited("src/app.py")
    world.clock.advance(minutes=9.9)
    assert not bob.may_edit("src/app.py")
    world.clock.advance(minutes=0.2)
    assert bob.may_edit("src/app.py")


def test_a_line_of_the_gate_renews_the_lock_of_its_file_and_of_no_other(world: World) -> None:
    """The gate writes the line and touches nothing else."""
    alice, bob = pair(world)
    for path in ("a.py", "b.py"):
        alice.edits(path)
        alice.has_edited(path)
    world.clock.advance(minutes=9)
    line = activity.Line(at=world.clock.now, verb="edit", path="a.py")
    activity.append(alice.session.store.files, "alice", line)
    world.clock.advance(minutes=2)
    assert not bob.may_edit("a.py")
    assert bob.may_edit("b.py")
    world.clock.advance(minutes=9)
    assert bob.may_edit("a.py")


@pytest.mark.parametrize("verb", ["warned", "?"])
def test_only_edits_renew(verb: str, world: World) -> None:
    alice, bob = pair(world)
    alice.edits("a.py")
    world.clock.advance(minutes=9)
    activity.append(alice.session.store.files, "alice", activity.Line(at=world.clock.now, verb=verb, path="a.py"))
    world.clock.advance(minutes=2)
    assert bob.may_edit("a.py")


def test_other_signs_of_life_do_not_renew_it(world: World) -> None:
    alice, bob = pair(world)
    alice.edits("a.py")
    for _ in range(3):
        world.clock.advance(minutes=4)
        alice.beats()
        alice.edits("other.py")
    assert bob.may_edit("a.py")


def test_a_lock_by_hand_goes_with_any_sign_of_life(world: World) -> None:
    alice, bob = pair(world)
    alice.locks("a.py")
    for _ in range(20):
        world.clock.advance(minutes=14)
        alice.beats()
    assert not bob.may_edit("a.py")


def test_locking_by_hand_what_an_edit_locked_makes_it_last(world: World) -> None:
    alice, bob = pair(world)
    alice.edits("a.py")
    token = lock_on(alice, "a.py").lock.token
    alice.locks("a.py", reason="for longer")
    held = lock_on(alice, "a.py").lock
    assert (held.auto, held.token, held.reason) == (False, token, "for longer")
    world.clock.advance(minutes=12)
    assert not bob.may_edit("a.py")


def test_an_edit_does_not_shorten_a_lock_by_hand(world: World) -> None:
    alice, bob = pair(world)
    alice.locks("a.py", reason="for longer")
    alice.edits("a.py")
    alice.has_edited("a.py")
    assert lock_on(alice, "a.py").lock.auto is False
    world.clock.advance(minutes=14)
    assert not bob.may_edit("a.py")


def test_the_end_of_the_session_frees_what_edits_locked(world: World) -> None:
    alice, bob = pair(world)
    alice.edits("a.py")
    alice.ends()
    assert bob.may_edit("a.py")
    assert told(alice) == []


def test_the_death_of_the_process_frees_it_at_once_and_the_lock_is_taken_over(world: World) -> None:
    alice, bob = world.client("11111111-1111-4111-8111-000000000001", pid=50), world.agent("bob")
    alice.registers()
    bob.registers()
    alice.edits("a.py")
    before = lock_on(bob, "a.py").lock.token
    world.machine.kill(50)
    assert bob.may_edit("a.py")
    held = lock_on(bob, "a.py").lock
    assert held.holder == "bob"
    assert int(held.token.split(":")[1]) > int(before.split(":")[1])
    (body,) = told(alice)
    assert "taken over by bob" in body


# ---------------------------------------------------------------- after an edit
def test_an_edit_that_should_not_have_been_is_told_to_both(worlds: Callable[[str], World]) -> None:
    world = worlds("auto_lock = false\n")
    alice, bob = pair(world)
    assert alice.may_edit("src/app.py")
    bob.locks("src/app.py", reason="mine now")
    breach = alice.has_edited("src/app.py")
    assert breach is not None
    assert [blocked.held.lock.holder for blocked in breach.blocked] == ["bob"]
    (body,) = told(bob)
    assert "src/app.py was edited by Alice (alice)" in body
    assert told(alice) == []


def test_every_holder_of_a_shared_lease_is_told_of_a_breach(world: World) -> None:
    alice, bob = pair(world)
    carol = world.agent("carol")
    alice.locks("notes.md", shared=True)
    bob.locks("notes.md", shared=True)
    assert carol.has_edited("notes.md") is not None
    assert [len(told(player)) for player in (alice, bob, carol)] == [1, 1, 0]


def test_an_edit_that_was_never_judged_is_locked_afterwards(world: World) -> None:
    """A client whose hook before the edit failed open: from here on the file is protected."""
    alice, bob = pair(world)
    assert alice.has_edited("src/app.py") is None
    assert alice.holds() == ["src/app.py"]
    assert not bob.may_edit("src/app.py")


def test_an_allowed_edit_is_no_breach(world: World) -> None:
    alice, bob = pair(world)
    for player in (alice, bob):
        path = f"{player.id}.py"
        assert player.may_edit(path)
        assert player.has_edited(path) is None
    assert told(alice) + told(bob) == []


def test_a_lock_that_lapsed_between_and_was_taken_is_a_breach(world: World) -> None:
    alice, bob = pair(world)
    alice.edits("src/app.py")
    world.clock.advance(minutes=11)
    bob.edits("src/app.py")
    breach = alice.has_edited("src/app.py")
    assert breach is not None
    assert any("edited by Alice" in body for body in told(bob))


# ---------------------------------------------------------------- classes of paths
PATHS = '[paths]\nignore = ["dist/**"]\nshared = ["CHANGELOG.md"]\nrequired = ["migrations/**"]\n'


def test_ignored_paths_are_never_locked_and_never_refused(worlds: Callable[[str], World]) -> None:
    world = worlds(PATHS)
    alice, bob = pair(world)
    bob.locks("dist/", reason="all mine")
    assert alice.may_edit("dist/app.js")
    assert alice.has_edited("dist/app.js") is None
    assert alice.holds() == []
    assert told(bob) == []


def test_shared_paths_take_shared_leases(worlds: Callable[[str], World]) -> None:
    world = worlds(PATHS)
    alice, bob = pair(world)
    for player in (alice, bob, alice, bob):
        assert player.may_edit("CHANGELOG.md")
        assert player.has_edited("CHANGELOG.md") is None
    held = [held.lock for held in alice.session.store.state().locks()]
    assert [(lock.holder, lock.mode, lock.auto) for lock in held] == [
        ("alice", "shared", True),
        ("bob", "shared", True),
    ]


def test_a_shared_path_that_somebody_locked_for_himself_is_refused(worlds: Callable[[str], World]) -> None:
    world = worlds(PATHS)
    alice, bob = pair(world)
    bob.locks("CHANGELOG.md")
    assert refusal(alice.edits("CHANGELOG.md")) == [("CHANGELOG.md", "bob")]


def test_required_paths_need_a_lock_by_hand_even_alone(worlds: Callable[[str], World]) -> None:
    world = worlds(PATHS)
    alice = world.agent("alice")
    alice.registers()
    assert refusal(alice.edits("migrations/1.sql")) == []
    alice.locks("migrations/")
    assert alice.may_edit("migrations/1.sql")
    alice.unlocks("migrations/")
    assert not alice.may_edit("migrations/1.sql")


def test_an_automatic_lock_is_none_by_hand(worlds: Callable[[str], World]) -> None:
    world = worlds(PATHS)
    alice, _ = pair(world)
    alice.has_edited("migrations/1.sql")
    assert refusal(alice.edits("migrations/1.sql")) == []


def test_a_required_path_that_another_holds_names_the_other(worlds: Callable[[str], World]) -> None:
    world = worlds(PATHS)
    alice, bob = pair(world)
    bob.locks("migrations/")
    assert refusal(alice.edits("migrations/1.sql")) == [("migrations/", "bob")]


def test_the_stricter_class_wins(worlds: Callable[[str], World]) -> None:
    world = worlds('[paths]\nignore = ["**"]\nshared = ["a/**"]\nrequired = ["a/b/**"]\n')
    alice, bob = pair(world)
    bob.locks("free.py")
    assert alice.may_edit("free.py")
    assert alice.may_edit("a/x")
    assert lock_on(alice, "a/x").lock.mode == "shared"
    assert not alice.may_edit("a/b/x")


def test_without_automatic_locks_only_those_by_hand_refuse(worlds: Callable[[str], World]) -> None:
    world = worlds("auto_lock = false\n")
    alice, bob = pair(world)
    for player in (alice, bob):
        assert player.may_edit("src/app.py")
        assert player.has_edited("src/app.py") is None
    assert alice.holds() + bob.holds() == []
    bob.locks("src/app.py")
    assert not alice.may_edit("src/app.py")


# ---------------------------------------------------------------- worktrees
@pytest.fixture
def linked(world: World) -> Path:
    git("worktree", "add", "-q", "-b", "feature", "../linked", cwd=world.root)
    return world.root.parent / "linked"


def warned(verdict: Allowed | Refused) -> list[tuple[str, str | None]]:
    assert isinstance(verdict, Allowed), verdict
    return [(held.lock.holder, held.lock.worktree) for held in verdict.warn]


def test_the_same_path_in_another_worktree_is_a_warning_once_per_path_and_holder(world: World, linked: Path) -> None:
    alice, bob = world.agent("alice"), world.agent("bob", cwd=linked)
    carol = world.agent("carol", cwd=linked)
    alice.locks("src/app.py", "src/other.py")
    assert warned(bob.edits("src/app.py")) == [("alice", None)]
    assert warned(bob.edits("src/app.py")) == []
    assert warned(bob.edits("src/other.py")) == [("alice", None)]
    assert refusal(carol.edits("src/app.py")) == [("src/app.py", "bob")]
    alice.unlocks("src/app.py")
    world.agent("dave").locks("src/app.py")
    assert warned(bob.edits("src/app.py")) == [("dave", None)], "another holder is another warning"


def test_an_edit_in_a_worktree_locks_there_and_nowhere_else(world: World, linked: Path) -> None:
    alice, bob = world.agent("alice"), world.agent("bob", cwd=linked)
    alice.registers()
    bob.edits("src/app.py")
    held = lock_on(alice, "src/app.py").lock
    assert (held.worktree, held.branch) == ("linked", "feature")
    assert warned(alice.edits("src/app.py")) == [("bob", "linked")]
    assert sorted([*alice.holds(), *bob.holds()]) == ["src/app.py", "src/app.py"]


def test_an_absolute_path_is_judged_in_the_worktree_it_is_in(world: World, linked: Path) -> None:
    alice, bob = pair(world)
    alice.locks("src/app.py")
    assert warned(bob.edits(str(linked / "src/app.py"))) == [("alice", None)]
    assert refusal(bob.edits(str(world.root / "src/app.py"))) == [("src/app.py", "alice")]


@pytest.mark.parametrize(("policy", "outcome"), [("warn", "warned"), ("ignore", "silent"), ("deny", "refused")])
def test_the_team_decides_what_another_worktree_means(
    policy: str, outcome: str, worlds: Callable[[str], World]
) -> None:
    world = worlds(f'worktrees = "{policy}"\n')
    git("worktree", "add", "-q", "../linked", cwd=world.root)
    alice, bob = world.agent("alice"), world.agent("bob", cwd=world.root.parent / "linked")
    alice.locks("src/app.py")
    verdict = bob.edits("src/app.py")
    said = "refused" if isinstance(verdict, Refused) else "warned" if verdict.warn else "silent"
    assert said == outcome
    assert isinstance(bob.locks("src/app.py"), Conflict) is (policy == "deny")


def test_locked_everywhere_refuses_in_all_worktrees(world: World, linked: Path) -> None:
    alice, bob = world.agent("alice"), world.agent("bob", cwd=linked)
    alice.locks("src/app.py", everywhere=True)
    assert refusal(bob.edits("src/app.py")) == [("src/app.py", "alice")]
    assert alice.may_edit("src/app.py")
    alice.unlocks("src/app.py")
    assert bob.may_edit("src/app.py")


def test_locked_everywhere_from_a_worktree_binds_the_main_one(world: World, linked: Path) -> None:
    alice, bob = world.agent("alice"), world.agent("bob", cwd=linked)
    alice.registers()
    bob.locks("src/app.py", everywhere=True)
    assert refusal(alice.edits("src/app.py")) == [("src/app.py", "bob")]


def test_everywhere_is_refused_while_another_worktree_holds_it(world: World, linked: Path) -> None:
    alice, bob = world.agent("alice"), world.agent("bob", cwd=linked)
    bob.locks("src/app.py")
    assert isinstance(alice.locks("src/app.py", everywhere=True), Conflict)
    assert isinstance(alice.locks("src/app.py"), Granted)


# ---------------------------------------------------------------- other places
def test_a_file_of_another_repository_is_judged_by_that_one(world: World) -> None:
    other = make_repo(world.root.parent / "other")
    alice, bob = pair(world)
    there = world.agent("carol", cwd=other)
    there.locks("src/app.py", reason="over there")
    verdict = alice.edits(str(other / "src/app.py"))
    assert refusal(verdict) == [("src/app.py", "carol")]
    assert alice.may_edit(str(world.root / "src/app.py")), "the same name here is another file"
    assert alice.may_edit(str(other / "free.py"))
    assert world.agent("alice", cwd=other).holds() == ["free.py"]
    assert alice.holds() == ["src/app.py"]
    assert told(bob) == []


def test_a_nested_repository_is_another_one(world: World) -> None:
    inner = make_repo(world.root / "vendor/lib")
    alice, _ = pair(world)
    world.agent("carol", cwd=inner).locks("src/app.py")
    assert refusal(alice.edits("vendor/lib/src/app.py")) == [("src/app.py", "carol")]


def test_a_file_outside_of_any_repository_is_still_guarded(world: World, tmp_path: Path) -> None:
    alice, bob = pair(world)
    outside = str(tmp_path / "notes.txt")
    assert alice.may_edit(outside)
    assert alice.holds() == [outside]
    assert refusal(bob.edits(outside)) == [(outside, "alice")]


def test_a_link_is_the_file_it_leads_to(world: World) -> None:
    (world.root / "alias.py").symlink_to("src/app.py")
    (world.root / "lib").symlink_to("src")
    alice, bob = pair(world)
    alice.edits("alias.py")
    assert alice.holds() == ["src/app.py"]
    for name in ("src/app.py", "lib/app.py", "./src/../alias.py", str(world.root / "lib/app.py")):
        assert refusal(bob.edits(name)) == [("src/app.py", "alice")]


def test_a_working_directory_that_is_gone_does_not_matter_to_an_absolute_path(world: World) -> None:
    alice, bob = pair(world)
    lost = world.agent("bob", cwd=world.root / "deleted")
    alice.locks("src/app.py")
    assert refusal(lost.edits(str(world.root / "src/app.py"))) == [("src/app.py", "alice")]
    assert told(bob) == []


@pytest.mark.parametrize("path", ["", "  ", "a\0b", "x" * 5000, "\ud800", "\udcff"])
def test_what_is_no_path_is_a_usage_error_and_changes_nothing(path: str, world: World) -> None:
    alice, _ = pair(world)
    revision = alice.session.store.revision()
    for ask in (edits.before, edits.after):
        with pytest.raises(UsageError):
            ask(alice.session, path)
    assert alice.session.store.revision() == revision


@pytest.mark.parametrize("name", ["a\nb", "ü ☃", "a%2Fb", "~x", "-rf", "a" * 250, "@team", "nul", "[id].tsx"])
def test_strange_names_are_held_like_any_other(name: str, world: World) -> None:
    alice, bob = pair(world)
    try:
        (world.root / name).write_text("x")
    except OSError:
        pytest.skip("this file system cannot hold such a name")
    assert alice.may_edit(name)
    assert alice.has_edited(name) is None
    assert not bob.may_edit(name)
    alice.ends()
    assert bob.may_edit(name)


# ---------------------------------------------------------------- damage
@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 300, b'{"kind":"lock","v":1}', b"\xff\xfe"])
def test_a_damaged_lock_is_restored_from_the_log_and_still_refuses(content: bytes, world: World) -> None:
    alice, bob = pair(world)
    alice.locks("src/app.py", reason="kept")
    before = lock_on(alice, "src/app.py").lock
    path = world.state / "locks/src%2Fapp.py.json"
    path.write_bytes(content)
    assert refusal(bob.edits("src/app.py")) == [("src/app.py", "alice")]
    assert lock_on(alice, "src/app.py").lock == before
    (kept,) = (world.state / "quarantine").iterdir()
    assert kept.read_bytes() == content


def test_a_damaged_lock_that_no_log_knows_is_let_go_of_loudly(world: World) -> None:
    alice, bob = pair(world)
    alice.locks("src/app.py")
    (world.state / "locks/src%2Fapp.py.json").write_bytes(b"?")
    for entry in (world.state / "log").glob("*.json"):
        if b"src/app.py" in entry.read_bytes():
            entry.write_bytes(b"?")
    session = bob.session
    assert isinstance(edits.before(session, "src/app.py"), Allowed)
    assert any("src%2Fapp.py" in warning for warning in session.store.warnings)
    for entry in (world.state / "log").glob("*.json"):
        entry.unlink()  # what this test damaged: the fixture reads every record


def test_a_lock_of_a_newer_version_is_never_overwritten(world: World) -> None:
    alice, bob = pair(world)
    alice.locks("src/app.py")
    path = world.state / "locks/src%2Fapp.py.json"
    newer = path.read_bytes().replace(b'"v": 1', b'"v": 2')
    path.write_bytes(newer)
    assert refusal(bob.edits("src/app.py")) == [("src/app.py", "alice")]
    assert path.read_bytes() == newer
