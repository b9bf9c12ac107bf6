"""What a report finds in a store, where refusals are kept, and a setting that is changed."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from world import World, git

from agentsync.core.locks import Conflict
from agentsync.errors import NotFoundError, UsageError
from agentsync.ops import commits, edits, report
from agentsync.store import refusals

if TYPE_CHECKING:
    from world import Player

    from agentsync.core.account import Hold


def kept(player: Player) -> list[tuple[str, str, str | None, str]]:
    return [(one.agent, one.path, one.holder, one.by) for one in refusals.read(player.session.store.files)]


def is_refused(player: Player, path: str) -> None:
    """What the hook does."""
    verdict = player.edits(path)
    assert isinstance(verdict, edits.Refused)
    edits.note_refusal(player.session, verdict)


def look(player: Player, since: Any = 0, until: Any = None) -> report.Report:
    return report.report(player.session, since, until)


# ---------------------------------------------------------------- refusals
def test_every_kind_of_refusal_is_kept_and_says_who_was_in_the_way(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py", "docs/")
    bob.registers()
    is_refused(bob, "src/app.py")
    assert isinstance(bob.locks("docs/a.md", "src/app.py"), Conflict)
    (world.root / "src/app.py").write_text("new\n")
    git("add", "-A", cwd=world.root)
    assert commits.before_commit(bob.session) is not None
    assert kept(bob) == [
        ("bob", "src/app.py", "alice", "edit"),
        ("bob", "src/app.py", "alice", "lock"),
        ("bob", "docs/a.md", "alice", "lock"),
        ("bob", "src/app.py", "alice", "commit"),
    ]


def test_a_rule_of_the_team_that_refuses_is_nobodys_lock(tmp_path: Any) -> None:
    world = World(tmp_path, config='[paths]\nrequired = ["src/**"]\n')
    alice, bob = world.agent("alice"), world.agent("bob")
    for player in (alice, bob):
        player.registers()
    is_refused(bob, "src/app.py")
    assert kept(bob) == [("bob", "src/app.py", None, "edit")]


def test_who_holds_or_waits_leaves_no_line(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    assert alice.may_edit("src/app.py")
    alice.has_edited("src/app.py")
    assert isinstance(bob.locks("src/app.py", wait=0), Conflict)
    assert not (world.state / refusals.KEY).exists()


def test_a_refusal_stands_when_it_cannot_be_kept_and_the_file_stays_small(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    file = world.state / refusals.KEY
    file.symlink_to(world.root / "elsewhere")
    assert isinstance(bob.locks("src/app.py"), Conflict)
    assert not (world.root / "elsewhere").exists()
    file.unlink()
    file.write_bytes(b"torn\n" * (refusals.MAX_BYTES // 5 + 1))
    assert isinstance(bob.locks("src/app.py"), Conflict)
    assert file.stat().st_size < refusals.MAX_BYTES * 2 / 3
    assert kept(bob) == [("bob", "src/app.py", "alice", "lock")]


# ---------------------------------------------------------------- the report
def test_a_report_of_nothing_makes_no_board(world: World) -> None:
    found = look(world.agent("alice"))
    assert (found.hotspots, found.known_since, found.account.events) == ((), None, 0)
    assert not world.state.exists()


def test_it_tells_who_held_what_and_who_was_in_the_way(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    world.clock.advance(minutes=10)
    assert bob.is_refused("src/app.py")
    bob.has_edited("src/app.py")  # by a way that nobody saw
    alice.has_edited("src/app.py")
    world.clock.advance(minutes=20)
    alice.beats()
    found = look(bob)
    (spot,) = found.hotspots
    assert (spot.path, spot.refusals, spot.breaches, spot.edits) == ("src/app.py", 1, 1, 2)
    assert spot.holders == {"alice": 1800.0}
    assert spot.editors == {"alice": 1, "bob": 1}
    (hold,) = found.account.holds
    assert (hold.holder, hold.until) == ("alice", None)
    assert [(one.paths, one.holders) for one in found.account.breaches] == [(("src/app.py",), ("alice",))]
    assert [(stay.agent, stay.until) for stay in found.account.agents] == [("alice", None), ("bob", None)]
    world.clock.advance(minutes=60)
    (hold,) = look(bob).account.holds
    assert hold.ended == "lapsed"


def test_a_span_is_given_by_revisions_or_times(world: World) -> None:
    alice = world.agent("alice")
    for name in ("a", "b", "c"):
        world.clock.advance(minutes=1)
        alice.locks(name)
    head = alice.session.store.revision()
    now = world.clock.now
    assert [look(alice, since).account.events for since in (0, head - 1, head, now)] == [head, 1, 1, 1]
    assert [hold.path for hold in look(alice, 0, head - 1).account.holds] == ["a", "b"]
    assert look(alice, 0, now + timedelta(days=1)).account.until == now
    with pytest.raises(UsageError, match="ends before it begins"):
        look(alice, now, head - 1)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happened_no_two_held_one_path_at_a_time_and_what_is_on_disk_is_held(seed: int, world: World) -> None:
    chance = random.Random(seed)
    team = [world.agent(name) for name in ("alice", "bob", "carol")]
    for _ in range(70):
        player, path = chance.choice(team), chance.choice(("a.py", "b.py", "c.md"))
        match chance.randrange(6):
            case 0 | 1:
                player.locks(path)
            case 2:
                player.unlocks(path)
            case 3:
                player.unlocks(path, force=True)
            case 4:
                if player.may_edit(path):
                    player.has_edited(path)
            case 5:
                world.clock.advance(minutes=chance.choice((1, 5, 12, 70, 130)))
    found = look(team[0])
    now = found.account.until
    by_path: dict[str, list[Hold]] = {}
    for hold in found.account.holds:
        assert hold.since <= (hold.until or now) <= now
        by_path.setdefault(hold.path, []).append(hold)
    for holds in by_path.values():
        for before, after in pairwise(holds):
            assert (before.until or now) <= after.since
    live = {(h.lock.path, h.lock.holder) for h in team[0].session.store.state().locks() if h.live}
    assert {(hold.path, hold.holder) for hold in found.account.holds if hold.until is None} == live
    assert sum(spot.refusals for spot in found.hotspots) == len(kept(team[0]))


# ---------------------------------------------------------------- changing a setting
def test_a_suggestion_is_applied_once_and_judges_from_then_on(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    file = world.root / ".claude/agent-sync.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("# ours\nttl_minutes = 30\n")
    alice.registers()
    bob.registers()
    assert alice.may_edit("NEWS.md")
    is_refused(bob, "NEWS.md")
    alice.unlocks("NEWS.md")
    assert report.apply(bob.session, "NEWS.md", look(bob).hotspots).changed
    assert file.read_text() == '# ours\nttl_minutes = 30\n\n[paths]\nshared = ["NEWS.md"]\n'
    assert (world.state / "policy").read_bytes() == b"locks\n" + file.read_bytes()
    assert alice.may_edit("NEWS.md")
    assert bob.may_edit("NEWS.md")
    assert not report.apply(bob.session, "NEWS.md", look(bob).hotspots).changed


def test_what_no_setting_can_say_is_refused_and_so_is_what_was_never_suggested(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py", "@db")
    assert bob.is_refused("src/app.py", "@db")
    for path in ("src/app.py", "@db"):
        with pytest.raises(NotFoundError, match="no setting does that"):
            report.apply(bob.session, path, look(bob).hotspots)
    with pytest.raises(NotFoundError):
        report.apply(bob.session, "other.md", look(bob).hotspots)
    assert not os.path.exists(world.root / ".claude/agent-sync.toml")
