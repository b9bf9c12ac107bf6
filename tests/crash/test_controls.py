"""Controls: protocols that are wrong in one step, each of which the kill points must catch.

A suite that passes says nothing unless it fails when it should. Every variant here works as long as nobody is killed
(`kill_everywhere` first runs it whole, and checks that), so what catches it are the kills.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from crash.killing import kill_everywhere
from faults.operations import fenced
from world import ClockFiles, World

from agentsync.core import keys
from agentsync.core.changes import Drop
from agentsync.core.records import Event
from agentsync.ops import care, locks
from agentsync.store import codec, compact, log
from agentsync.store.transaction import Transaction, _changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.core.locks import Granted
    from agentsync.core.records import Agent
    from agentsync.store.files import Files
    from agentsync.store.store import Store

    Step = Callable[[Files, Event], object]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return fenced(tmp_path)


def caught(world: World, act: Callable[[], object]) -> None:
    """The kill points do not let this operation pass."""
    with pytest.raises(AssertionError) as found:
        kill_everywhere(world, act, only_changing=True)
    assert any("before call" in note for note in found.value.__notes__), "it does not even work unharmed"


# ---------------------------------------------------------------- the order of a commit
def intend(files: Files, event: Event) -> None:
    files.link(files.write_temp(codec.encode(event), sync=True), keys.INTENT)


def apply(files: Files, event: Event) -> None:
    for change in event.changes:
        if change.put is None:
            files.unlink(change.drop or "")
        else:
            files.make_directory(os.path.dirname(change.put))
            files.replace(files.write_temp(codec.pretty(bytes(change.record)), sync=True), change.put)


def publish(files: Files, event: Event) -> None:
    files.link(files.write_temp(codec.encode(event), sync=True), keys.event(event.rev))


def clear(files: Files, event: Event) -> None:
    files.unlink(keys.INTENT)


def in_this_order(*steps: Step) -> Callable[..., Event | None]:
    """A commit that takes these steps."""

    def commit(tx: Transaction, verb: str, summary: str, writes: Any, *_: object, **__: object) -> Event | None:
        changes, stamp = _changes(writes), tx.stamp
        if not changes:
            return None
        event = Event(rev=stamp.revision, at=stamp.now, actor=tx._actor, verb=verb, summary=summary, changes=changes)
        for step in steps:
            step(tx._store.files, event)
        tx._store._head, tx._state = event.rev, None
        return event

    return commit


def taking_over(world: World) -> Callable[[], object]:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/")
    world.clock.advance(minutes=61)
    bob.registers()
    return lambda: bob.locks("src/app.py")


def test_the_right_order_passes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the controls: the same pieces in an order that is safe, if slower than ours."""
    act = taking_over(world)
    monkeypatch.setattr(Transaction, "commit", in_this_order(intend, apply, publish, clear))
    assert kill_everywhere(world, act, only_changing=True).kills > 10


@pytest.mark.parametrize(
    "steps",
    [
        (publish, intend, apply, clear),
        (apply, publish),
        (intend, apply, clear, publish),
        (intend, publish, clear, apply),
    ],
    ids=["publish before intent", "apply without intent", "unlink before publish", "publish before apply"],
)
def test_a_commit_in_the_wrong_order_is_caught(
    steps: tuple[Step, ...], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = taking_over(world)
    monkeypatch.setattr(Transaction, "commit", in_this_order(*steps))
    caught(world, act)


def test_a_recovery_that_throws_the_intent_away_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    act = taking_over(world)
    monkeypatch.setattr(Transaction, "recover", lambda tx: tx._store.files.unlink(keys.INTENT))
    caught(world, act)


# ---------------------------------------------------------------- the head
class ForgetfulFiles(ClockFiles):
    """A listing that misses the newest name, as a directory that is being changed may give."""

    def names(self, key: str) -> list[str]:
        found = sorted(super().names(key))
        return found[:-1] if key == "log" else found


def test_a_head_that_is_looked_up_by_name_survives_a_listing_that_misses_it(world: World) -> None:
    world.agent("alice").locks("docs/")
    alice = world.agent("alice", files=ForgetfulFiles(str(world.state), world.clock))
    assert kill_everywhere(world, lambda: alice.locks("src/app.py"), only_changing=True).kills > 5


def test_a_head_that_is_taken_from_a_listing_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.agent("alice").locks("docs/")
    alice = world.agent("alice", files=ForgetfulFiles(str(world.state), world.clock))
    monkeypatch.setattr(log, "head", lambda files, hint=0: max(log.revisions(files), default=0))
    with pytest.raises(AssertionError, match="appeared although"):
        kill_everywhere(world, lambda: alice.locks("src/app.py"), only_changing=True)


# ---------------------------------------------------------------- takeover
def test_a_takeover_that_replaces_the_lock_before_it_is_recorded_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, commit = taking_over(world), locks.commit_grant

    def naive(tx: Transaction, me: Agent, granted: Granted, left: Any) -> None:
        for lock in granted.locks:
            tx._store.files.replace(tx._store.files.write_temp(codec.encode(lock), sync=True), keys.lock(lock))
        commit(tx, me, granted, left)

    monkeypatch.setattr(locks, "commit_grant", naive)
    caught(world, act)


def test_a_takeover_in_two_commits_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the old lock goes, then the new one comes: in between the path is nobody's."""
    act, commit = taking_over(world), locks.commit_grant

    def naive(tx: Transaction, me: Agent, granted: Granted, left: Any) -> None:
        for old in granted.taken_over:
            tx._store.files.unlink(keys.lock(old))
        commit(tx, me, granted, left)

    monkeypatch.setattr(locks, "commit_grant", naive)
    caught(world, act)


# ---------------------------------------------------------------- compaction
def test_a_compaction_that_unlinks_first_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = world.agent("alice")
    alice.registers()
    with alice.session.store.transaction("alice") as tx:
        while tx.stamp.revision < 12:
            tx.commit("note", "an event", [Drop("nothing")], "E")

    def naive(store: Store, keep: int) -> int:
        files, todo = store.files, log.revisions(store.files)[:-4]
        contents = [files.read(keys.event(revision)) for revision in todo]
        lines = [compact._one_line(content.data) for content in contents if content]
        for revision in todo:
            files.unlink(keys.event(revision))
        files.link(files.write_temp(b"".join(lines), sync=True), keys.archive(todo[0], todo[-1]))
        return len(todo)

    monkeypatch.setattr(compact, "_fold", naive)
    caught(world, lambda: care.gc(alice.session))
