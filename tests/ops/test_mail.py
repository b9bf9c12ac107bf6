"""Mail between agents of one board: who is told what, when, and once. The clock moves by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_replay
from world import World

from agentsync.core import keys
from agentsync.core.changes import Drop
from agentsync.core.delivery import KEPT
from agentsync.errors import NewerRecordError, NotFoundError, UsageError
from agentsync.ops import care, mail, status
from agentsync.ops.mail import Delivery

if TYPE_CHECKING:
    from world import Player

    from agentsync.core.records import Message
    from agentsync.ops.mail import When


@pytest.fixture
def cast(world: World) -> tuple[Player, Player, Player]:
    """Three agents who are on the board."""
    alice, bob, carol = world.agent("al"), world.agent("bo"), world.agent("ca")
    alice.registers("alice", "front")
    bob.registers("bob", "back")
    carol.registers("carol", "front")
    return alice, bob, carol


def says(player: Player, to: str, body: str = "hello", **more: object) -> Message:
    return mail.send(player.session, to, body, **more)  # type: ignore[arg-type]


def hears(player: Player, when: When = "prompt", room: int = 100) -> list[str]:
    """What a hook tells the agent; every message takes one of `room`."""
    with mail.delivery(player.session, when, lambda _: 1, room) as told:
        return [message.body for message in told.messages]


def waits_for(player: Player) -> list[str]:
    return [message.body for message in mail.inbox(player.session)]


def progress(player: Player, message: Message) -> dict[str, tuple[bool, bool, bool]]:
    """Per reader, whether it was told, has read and has acknowledged it."""
    (found,) = [one for one in mail.sent(player.session) if one.id == message.id]
    return {
        reader.agent: (reader.delivered_at is not None, reader.read_at is not None, reader.acked_at is not None)
        for reader in found.readers
    }


# ---------------------------------------------------------------- being told
def test_a_message_is_told_once_to_each_reader_and_to_nobody_else(cast: tuple[Player, ...], world: World) -> None:
    alice, bob, carol = cast
    message = says(alice, "bob")
    assert (message.to, message.sender, message.sender_name) == ("bo", "al", "alice")
    assert [hears(player) for player in (alice, carol, bob, bob)] == [[], [], ["hello"], []]
    assert progress(alice, message) == {"bo": (True, False, False)}
    check_replay(world.state)


def test_directed_and_urgent_mail_comes_within_a_turn_and_a_broadcast_with_a_prompt(cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    says(alice, "all", "cast")
    says(alice, "all", "urgent", urgent=True)
    says(alice, "bo", "directed")
    says(alice, "all", "directive", directive=True)
    says(alice, "back", "role")
    assert hears(bob, "stop") == ["directed", "directive", "role"], "a broadcast holds no turn, urgent or not"
    assert hears(bob, "turn") == ["urgent"]
    assert hears(bob, "turn") == []
    assert hears(bob, "prompt") == ["cast"]


def test_a_role_reaches_everybody_who_has_it_but_the_sender(cast: tuple[Player, ...]) -> None:
    alice, bob, carol = cast
    assert [reader.agent for reader in says(alice, "Front").readers] == ["ca"]
    assert [reader.agent for reader in says(bob, "front").readers] == ["al", "ca"]
    assert len(hears(carol)) == 2


def test_a_note_to_oneself_arrives(cast: tuple[Player, ...]) -> None:
    alice, _, _ = cast
    says(alice, "al", "remember")
    assert hears(alice, "turn") == ["remember"]


def test_what_has_no_room_waits_for_the_next_chance(cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    for number in range(3):
        says(alice, "all", f"cast {number}")
        says(alice, "bo", f"for you {number}")
    told: list[list[str]] = []
    for left in (4, 2, 0, 0):
        with mail.delivery(bob.session, "prompt", lambda _: 1, 2) as delivery:
            told.append([message.body for message in delivery.messages])
            assert delivery.left == left
    assert told == [["for you 0", "for you 1"], ["cast 0", "for you 2"], ["cast 1", "cast 2"], []]


def test_what_could_not_be_said_is_told_again(cast: tuple[Player, ...], world: World) -> None:
    alice, bob, _ = cast
    message = says(alice, "bo")
    before = bob.session.store.revision()
    with pytest.raises(OSError, match="pipe"), mail.delivery(bob.session, "turn", lambda _: 1, 9):
        raise OSError("broken pipe")
    assert bob.session.store.revision() == before
    assert progress(alice, message) == {"bo": (False, False, False)}
    assert hears(bob) == ["hello"]


def test_with_nothing_new_nothing_is_written_and_the_guard_not_taken(cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    says(alice, "all")
    session = bob.session
    before = session.store.revision()
    session.store._guard = None  # type: ignore[assignment]
    with mail.delivery(session, "turn", lambda _: 1, 9) as delivery:
        assert delivery == Delivery(messages=(), left=0)
    assert session.store.revision() == before


def test_notices_of_the_tool_come_with_the_mail(cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    bob.locks("src/app.py")
    says(alice, "bo", "sorry")
    alice.unlocks("src/app.py", force=True)
    notice = mail.inbox(bob.session)[-1]
    assert (notice.id[:2], notice.sender) == ("n-", "agent-sync")
    first, second = hears(bob, "stop")
    assert first == "sorry"
    assert "src/app.py" in second


def test_a_notice_can_be_read_by_its_id_and_is_gone_then(cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    bob.locks("a", "b")
    for path in ("a", "b"):
        alice.unlocks(path, force=True)
    first, second = mail.inbox(bob.session)
    assert mail.read_message(bob.session, first.id.upper()).body == first.body
    assert mail.ack(bob.session, second.id).body == second.body
    assert mail.inbox(bob.session, everything=True) == []
    with pytest.raises(NotFoundError):
        mail.read_message(bob.session, first.id)


# ---------------------------------------------------------------- reading
def test_looking_into_the_inbox_changes_nothing(cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    says(alice, "bo", "one")
    says(alice, "all", "two")
    before = bob.session.store.revision()
    assert waits_for(bob) == waits_for(bob) == ["one", "two"]
    assert status.overview(bob.session).unread == 2
    assert bob.session.store.revision() == before


def test_what_was_read_is_not_told_any_more_and_kept(cast: tuple[Player, ...]) -> None:
    alice, bob, carol = cast
    message = says(alice, "all")
    mail.read_message(bob.session, message.id)
    assert progress(alice, message) == {"bo": (False, True, False), "ca": (False, False, False)}
    assert (waits_for(bob), hears(bob), waits_for(carol)) == ([], [], ["hello"])
    assert [one.id for one in mail.inbox(bob.session, everything=True)] == [message.id]


def test_what_was_told_can_still_be_read_and_acknowledged(cast: tuple[Player, ...], world: World) -> None:
    alice, bob, _ = cast
    message = says(alice, "bo")
    hears(bob)
    assert waits_for(bob) == []
    assert mail.read_message(bob.session, message.id).body == "hello"
    read = mail.sent(alice.session)[0].readers[0].read_at
    world.clock.advance(minutes=1)
    mail.read_message(bob.session, message.id)
    assert progress(alice, message) == {"bo": (True, True, False)}
    for _ in range(2):
        mail.ack(bob.session, message.id.upper())
    (reader,) = mail.sent(alice.session)[0].readers
    assert (reader.read_at, reader.acked_at) == (read, world.clock.now), "the first time counts"


def test_an_acknowledged_message_counts_as_read(cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    message = says(alice, "bo")
    mail.ack(bob.session, message.id)
    assert progress(alice, message) == {"bo": (False, True, True)}
    assert hears(bob) == []


def test_whoever_is_no_reader_may_look_and_changes_nothing(cast: tuple[Player, ...], world: World) -> None:
    alice, bob, carol = cast
    message = says(alice, "bo")
    before = bob.session.store.revision()
    for player in (alice, carol, world.agent("stranger")):
        assert mail.read_message(player.session, message.id).body == "hello"
        with pytest.raises(NotFoundError, match="not addressed to you"):
            mail.ack(player.session, message.id)
    assert bob.session.store.revision() == before
    assert waits_for(bob) == ["hello"]


@pytest.mark.parametrize("wrong", ["m-99", "nope", "", "7", "m-", "m--1", "m-1/../2", "n-99", "m-²", "m-" + "9" * 400])
def test_a_message_that_is_not_there_is_not_found(wrong: str, cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    says(alice, "bo")
    before = bob.session.store.revision()
    for verb in (mail.read_message, mail.ack, mail.thread):
        with pytest.raises(NotFoundError):
            verb(bob.session, wrong)
    with pytest.raises(NotFoundError):
        says(bob, "al", reply_to=wrong)
    assert bob.session.store.revision() == before


def test_before_anybody_came_there_is_nothing_to_see(tmp_path: Path) -> None:
    world = World(tmp_path)
    alice = world.agent("al")
    assert mail.inbox(alice.session) == mail.sent(alice.session) == mail.inbox(alice.session, everything=True) == []
    with pytest.raises(NotFoundError):
        mail.read_message(alice.session, "m-1")
    assert hears(alice) == []
    assert not world.state.exists()


def test_a_copy_whose_record_was_dropped_can_be_read_and_acknowledged(cast: tuple[Player, ...]) -> None:
    alice, bob, _ = cast
    session = alice.session
    for verb in (mail.read_message, mail.ack):
        message = says(alice, "bo")
        with session.store.transaction("al") as tx:
            tx.commit("sweep", "as compaction does", [Drop(keys.message(int(message.id[2:])))])
        assert [one.id for one in mail.inbox(bob.session, everything=True)] == [message.id]
        assert verb(bob.session, message.id).body == "hello"
        assert mail.inbox(bob.session, everything=True) == []


# ---------------------------------------------------------------- sending
def test_an_answer_belongs_to_the_thread_of_what_it_answers(cast: tuple[Player, ...]) -> None:
    alice, bob, carol = cast
    question = says(alice, "bo", "?")
    answer = says(bob, "al", "!", reply_to=question.id.upper())
    assert answer.reply_to == question.id
    says(alice, "bo", "something else")
    says(carol, "al", "me too", reply_to=answer.id)
    assert [one.body for one in mail.thread(carol.session, answer.id)] == ["?", "!", "me too"]


def test_whoever_writes_is_on_the_board(world: World) -> None:
    alice = world.agent("al")
    assert says(alice, "all").readers == ()
    assert alice.session.is_registered()


def test_what_cannot_be_sent_changes_nothing(cast: tuple[Player, ...]) -> None:
    alice, _, _ = cast
    before = alice.session.store.revision()
    for to, body in (("nobody", "x"), ("bo", ""), ("bo", "x" * 4001)):
        with pytest.raises((UsageError, NotFoundError)):
            says(alice, to, body)
    assert alice.session.store.revision() == before


def test_a_damaged_copy_or_record_is_brought_back(cast: tuple[Player, ...], world: World) -> None:
    alice, bob, _ = cast
    one, two = says(alice, "bo", "one"), says(alice, "bo", "two")
    (world.state / "inbox/bo" / f"{int(one.id[2:]):012}.json").write_bytes(b"{")
    (world.state / "messages" / f"{int(two.id[2:]):012}.json").write_bytes(b"")
    assert hears(bob) == ["one", "two"]
    assert [progress(alice, message)["bo"][0] for message in (one, two)] == [True, True]


def test_what_a_newer_version_wrote_stops_nobody(cast: tuple[Player, ...], world: World) -> None:
    """Neither the mail of the others, nor whoever comes, nor compaction."""
    alice, bob, _ = cast
    for name in ("copy", "record"):
        message = says(alice, "all", name)
        folder = "inbox/bo/later" if name == "copy" else "messages"
        path = world.state / folder / f"{int(message.id[2:]):012}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "v": 2}))
    says(alice, "all", "fine")
    assert hears(bob) == ["record", "fine"]
    assert hears(bob) == []
    world.agent("late").registers()
    care.gc(alice.session)
    with pytest.raises(NewerRecordError):
        mail.ack(bob.session, mail.sent(alice.session)[1].id)
    for path in world.state.rglob("*.json"):
        record = json.loads(path.read_text())
        if record.get("v") == 2:
            path.write_text(json.dumps({**record, "v": 1}))


# ---------------------------------------------------------------- coming and going
def test_who_comes_later_is_told_the_last_broadcasts_of_the_day(cast: tuple[Player, ...], world: World) -> None:
    alice, bob, _ = cast
    says(alice, "all", "yesterday")
    world.clock.advance(minutes=25 * 60)
    for number in range(7):
        says(alice, "all", f"news {number}")
    says(alice, "bo", "not for everybody")
    dora = world.agent("do")
    dora.registers()
    assert hears(dora) == [f"news {number}" for number in range(2, 7)]
    dora.ends()
    says(alice, "all", "meanwhile")
    dora.registers()
    assert hears(dora) == ["meanwhile"], "and nothing twice"
    assert "do" in progress(alice, mail.sent(alice.session)[-1])
    assert len(hears(bob)) == 9
    check_replay(world.state)


def test_who_wrote_to_an_empty_board_is_heard_by_who_comes(world: World) -> None:
    alice, bob = world.agent("al"), world.agent("bo")
    says(alice, "all", "is anybody there?", urgent=True)
    bob.registers()
    assert hears(bob, "turn") == ["is anybody there?"]
    alice.ends()
    alice.registers()
    assert hears(alice) == [], "nobody is told what it said itself"


def test_a_new_session_of_a_client_inherits_what_the_old_one_was_not_told(world: World) -> None:
    old = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    new = world.client("22222222-2222-4222-8222-00000000bbbb", pid=4242)
    alice = world.agent("al")
    old.registers("bob")
    says(alice, "bob", "known")
    assert hears(old) == ["known"]
    waiting = [says(alice, "bob", "directed"), says(alice, "all", "cast")]
    old.ends(continues=True)
    waiting.append(says(alice, "bob", "in between"))
    new.registers()
    assert waits_for(new) == ["directed", "cast", "in between"]
    assert not (world.state / "inbox" / old.id).exists()
    assert hears(new, "stop") == ["directed", "in between"]
    assert [progress(alice, message) for message in waiting[::2]] == [{new.id: (True, False, False)}] * 2
    assert hears(new, "prompt") == ["cast"]
    check_replay(world.state)


def test_mail_to_the_id_of_a_session_that_was_cleared_reaches_its_successor(world: World) -> None:
    """Who answers it has only the id that stands in the message."""
    first, second, third = (world.client(f"{n}1111111-1111-4111-8111-00000000aaa{n}", pid=4242) for n in range(3))
    alice = world.agent("al")
    alice.registers()
    first.registers()
    question = says(first, "al", "may I?")
    for old, new in ((first, second), (second, third)):
        old.ends(continues=True)
        new.registers()
    answer = mail.send(alice.session, first.id, "yes", reply_to=question.id)
    assert (answer.to, waits_for(third)) == (third.id, ["yes"])
    alice.makes("T")
    alice.claims("T")
    alice.does("handoff", "T", second.id)
    assert third.works_on() == "T"


@pytest.mark.parametrize("words", ["gone", "../gone", "past/gone"])
def test_who_left_without_a_successor_is_nobody(words: str, world: World) -> None:
    gone, alice = world.agent("gone"), world.agent("al")
    gone.registers()
    gone.ends()
    with pytest.raises(NotFoundError):
        says(alice, words, "anybody?")


# ---------------------------------------------------------------- staying small
def test_compaction_keeps_what_somebody_waits_for_and_the_newest_of_the_rest(
    cast: tuple[Player, ...], world: World
) -> None:
    alice, bob, carol = cast
    carol.ends()
    session = alice.session
    session.store._durable = False
    for number in range(KEPT + 60):
        mail.send(session, "bo", f"news {number}")
    care.gc(session)
    assert len(list((world.state / "messages").iterdir())) == KEPT + 60, "nobody was told yet"
    reader = bob.session
    reader.store._durable = False
    with mail.delivery(reader, "turn", lambda _: 1, KEPT + 50) as delivery:
        assert delivery.left == 10
    care.gc(session)
    kept = [message.body for message in session.store.state().messages()]
    assert kept == [f"news {number}" for number in range(60, KEPT + 60)]
    assert waits_for(bob) == [f"news {number}" for number in range(KEPT + 50, KEPT + 60)]
    world.clock.advance(minutes=60 * 24 * 7 + 1)
    bob.beats()
    alice.beats()
    care.gc(session)
    assert session.store.state().messages() == []
    assert waits_for(bob) == []
    check_replay(world.state)


def test_who_is_gone_finds_the_newest_when_it_comes_back(cast: tuple[Player, ...], world: World) -> None:
    alice, _, carol = cast
    session = alice.session
    session.store._durable = False
    for number in range(KEPT + 30):
        mail.send(session, "ca", f"news {number}")
    carol.ends()
    assert len(list((world.state / "inbox/ca").iterdir())) == KEPT + 30
    care.gc(session)
    assert waits_for(carol) == [f"news {number}" for number in range(30, KEPT + 30)]
    assert len(list((world.state / "messages").iterdir())) == KEPT
    carol.registers()
    with mail.delivery(carol.session, "prompt", lambda _: 1, 3) as delivery:
        assert [message.body for message in delivery.messages] == ["news 30", "news 31", "news 32"]
