"""Decisions, the event feed and the history of a path. The clock moves by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from world import NOON, World, git

from agentsync.errors import NotFoundError, UsageError
from agentsync.ops import care, decisions, feed, mail, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from world import Player

    from agentsync.core.records import Event


def everything(_event: Event) -> bool:
    return True


def verbs(player: Player, since: object = 0, wanted: Callable[[Event], bool] = everything) -> list[str]:
    return [event.verb for event in feed.events(player.session, since, wanted, 0)]  # type: ignore[arg-type]


def hears(player: Player, when: mail.When) -> list[str]:
    with mail.delivery(player.session, when, lambda _: 1, 100) as delivery:
        return [message.body for message in delivery.messages]


# ---------------------------------------------------------------- decisions
def test_a_decision_holds_until_another_takes_its_place(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    first = decisions.decide(alice.session, "Times are UTC")
    other = decisions.decide(bob.session, "Tabs")
    second = decisions.decide(bob.session, "Times are local", first.id)
    assert [one.id for one in decisions.listing(alice.session)] == [other.id, second.id]
    assert [one.id for one in decisions.listing(alice.session, superseded=True)] == [first.id, other.id, second.id]
    with pytest.raises(NotFoundError, match=f"{first.id} was superseded by {second.id}"):
        decisions.decide(alice.session, "Times are Martian", first.id)
    event = feed.events(alice.session, None, everything, 1)[0]
    assert (event.verb, event.actor) == ("decision", "bob")
    assert f"decided {second.id} instead of {first.id}: Times are local" in event.summary


def test_a_decision_reaches_who_is_here_with_the_next_prompt_once_and_is_no_unread_mail(world: World) -> None:
    alice, bob, carol, late = (world.agent(name) for name in ("alice", "bob", "carol", "late"))
    for player in (alice, bob, carol):
        player.registers()
    carol.ends()
    decisions.decide(alice.session, "Times are UTC\nand so are dates")
    assert hears(bob, "turn") == hears(bob, "stop") == []
    assert status.overview(bob.session).unread == 0
    assert hears(bob, "prompt") == ["alice (alice) decided d-5: Times are UTC and so are dates"]
    assert hears(bob, "prompt") == hears(alice, "prompt") == hears(carol, "prompt") == []
    late.registers()
    assert hears(late, "prompt") == [], "the status tells those who come later"
    assert [one.text for one in status.overview(late.session).decisions] == ["Times are UTC\nand so are dates"]


def test_a_decision_may_be_refused_and_leaves_nothing(world: World) -> None:
    alice = world.agent("alice")
    for text in ("", " ", "x" * 2001):
        with pytest.raises(UsageError):
            decisions.decide(alice.session, text)
    assert decisions.listing(alice.session, superseded=True) == []


def test_who_only_lists_makes_no_board(world: World) -> None:
    alice = world.agent("alice")
    assert decisions.listing(alice.session) == []
    assert feed.events(alice.session, None, everything, 20) == []
    assert feed.history(alice.session, "src/app.py")[1] == []
    assert not world.state.exists()


# ---------------------------------------------------------------- recording
def test_an_entry_is_an_event_with_its_type_and_files(world: World) -> None:
    alice = world.agent("alice", cwd=world.root / "src")
    event = feed.record(alice.session, " migrated the database ", "ops", ["app.py", "../db/", "@db"])
    assert (event.verb, event.summary, event.paths) == ("ops", "migrated the database", ("src/app.py", "db/", "@db"))
    assert (event.actor, event.changes) == ("alice", ())
    assert feed.record(alice.session, "x").verb == "log"
    assert [e.summary for e in feed.events(alice.session, None, everything, 20)][1:] == ["migrated the database", "x"]


@pytest.mark.parametrize("message", ["", " \n", "x" * 4001])
def test_an_entry_has_bounds(message: str, world: World) -> None:
    with pytest.raises(UsageError):
        feed.record(world.agent("alice").session, message)


@pytest.mark.parametrize("kind", ["", "two words", "x\n", "ä", "x" * 33, "\x1b[2J", "-x"])
def test_a_type_is_one_word(kind: str, world: World) -> None:
    with pytest.raises(UsageError):
        feed.record(world.agent("alice").session, "x", kind)
    assert not world.state.exists()


# ---------------------------------------------------------------- reading
def test_events_since_a_revision_or_a_time_across_the_fold(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    for number in range(400):
        world.clock.advance(seconds=1)
        feed.record(alice.session, f"entry {number}", "even" if number % 2 == 0 else "odd")
        if number == 300:
            care.gc(alice.session)
    assert list((world.state / "archive").iterdir())
    found = feed.events(alice.session, 0, everything, 0)
    assert [event.rev for event in found] == list(range(1, 402))
    assert [event.rev for event in feed.events(alice.session, 10, everything, 20)] == list(range(11, 402))
    assert feed.events(alice.session, 401, everything, 20) == []
    assert feed.events(alice.session, 10**12, everything, 20) == []
    for seconds in (0, 1, 37, 200, 399, 400, 500):
        since = NOON + timedelta(seconds=seconds)
        later = [event.rev for event in found if event.at > since]
        assert [event.rev for event in feed.events(alice.session, since, everything, 20)] == later, seconds
    newest = feed.events(alice.session, None, lambda event: event.verb == "even", 20)
    assert [event.summary for event in newest] == [f"entry {number}" for number in range(360, 400, 2)]
    assert len(feed.events(alice.session, None, lambda event: event.verb == "even", 300)) == 200


def test_events_may_be_chosen_by_path(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.locks("docs/")
    feed.record(bob.session, "about it", files=["src/"])
    feed.record(bob.session, "about something else", files=["src/other.py"])
    alice.makes("T", "src/*.py")
    alice.unlocks("src/app.py")
    _, _, is_about = feed.concerning(bob.session, "src/app.py")
    assert verbs(bob, wanted=is_about) == ["lock", "log", "create-task", "unlock"]


def test_events_are_followed_without_gaps(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    since = alice.session.store.revision()
    for number in range(5):
        feed.record(alice.session, f"entry {number}")
    found = [event.summary for event in feed.follow(alice.session, since, 0.0)]
    assert found == [f"entry {number}" for number in range(5)]


# ---------------------------------------------------------------- the history of a path
def told(player: Player, path: str) -> list[tuple[str, str, str | None]]:
    _, found = feed.history(player.session, path)
    assert [happened.at for happened in found] == sorted(happened.at for happened in found)
    return [(happened.agent, happened.verb, happened.task) for happened in found]


def test_a_history_tells_who_locked_and_edited_it_when_and_for_which_task(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    bob.registers()
    task = alice.makes("T", "src/app.py")
    world.clock.advance(minutes=1)
    alice.claims("T", lock=True)
    world.clock.advance(minutes=1)
    alice.has_edited("src/app.py")
    alice.has_edited("other.py")
    world.clock.advance(minutes=1)
    alice.unlocks("src/app.py")
    alice.does("complete", "T")
    world.clock.advance(minutes=1)
    bob.has_edited("src/app.py")
    assert told(bob, "src/app.py") == [
        ("alice", "create-task", task.id),
        ("alice", "claim-task", task.id),
        ("alice", "edit", task.id),
        ("alice", "unlock", None),
        ("alice", "complete-task", task.id),
        ("bob", "edit", None),
        ("bob", "auto-lock", None),
    ]


def test_an_edit_belongs_to_the_task_of_that_hour_though_nobody_else_was_there(world: World) -> None:
    """Who is alone takes no locks that would name the task."""
    alice = world.agent("alice")
    alice.registers()
    alice.has_edited("src/app.py")
    found = []
    for title in ("one", "two"):
        world.clock.advance(minutes=1)
        found.append(alice.makes(title).id)
        alice.claims(title)
        world.clock.advance(minutes=1)
        alice.has_edited("src/app.py")
    world.clock.advance(minutes=1)
    alice.does("complete", "two")
    alice.does("complete", "one")
    world.clock.advance(minutes=1)
    alice.has_edited("src/app.py")
    assert [task for _, verb, task in told(alice, "src/app.py") if verb == "edit"] == [None, *found, None]


def test_what_happened_to_a_directory_is_part_of_the_history_of_what_is_in_it_and_the_reverse(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/")
    alice.unlocks("src/")
    bob.locks("src/app.py", "src/**/*.ts", "@src")
    bob.unlocks("src/app.py", "src/**/*.ts", "@src")
    bob.locks("src/app.py", shared=True)
    bob.unlocks("src/app.py")
    everything = [("alice", v, None) for v in ("lock", "unlock")] + [("bob", v, None) for v in ("lock", "unlock")] * 2
    assert told(bob, "src/") == everything
    assert told(bob, "src/app.py") == everything
    assert told(bob, "src/x.ts") == everything[:4]
    assert told(bob, "src/other.py") == everything[:2]
    assert told(bob, "@src") == everything[2:4]
    assert told(bob, "sr") == []


def test_a_history_goes_back_beyond_the_fold_and_knows_who_has_left(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    alice.has_edited("src/app.py")
    alice.ends()
    for _ in range(150):
        bob.locks("docs/")
        bob.unlocks("docs/")
    care.gc(bob.session)
    bob.locks("src/app.py")
    assert told(bob, "src/app.py") == [("alice", "edit", None), ("bob", "lock", None)]


def test_edits_in_a_worktree_say_so(world: World) -> None:
    linked = world.root.parent / "linked"
    git("worktree", "add", "-q", str(linked), cwd=world.root)
    alice = world.agent("alice", cwd=linked)
    alice.has_edited(str(linked / "src/app.py"))
    _, found = feed.history(world.agent("bob").session, "src/app.py")
    assert [happened.summary for happened in found] == ["alice edited src/app.py in worktree linked"]


def test_a_history_passes_over_what_it_cannot_read(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py")
    event = world.state / "log/000000000002.json"
    text = event.read_text()
    event.write_text(text.replace('"exclusive"', '"from the future"'))
    assert told(alice, "src/app.py") == []
    event.write_text(text)
    with (world.state / "activity/alice.ndjson").open("ab") as file:
        file.write(b'{"torn\n')
    assert told(alice, "src/app.py") == [("alice", "lock", None)]
