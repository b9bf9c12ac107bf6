"""Decisions about mail, without a store: who is meant, what is told first, who got how far, what is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsync.core import delivery, keys, messages
from agentsync.core.changes import Drop, Put, Stamp, Write, notices
from agentsync.core.delivery import KEPT, MAX_LATE
from agentsync.core.lease import Presence
from agentsync.core.messages import Draft
from agentsync.core.records import Agent, Message, Reader
from agentsync.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

NOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def agent(agent_id: str, name: str | None = None, role: str | None = None) -> Agent:
    return Agent(id=agent_id, name=name or agent_id, role=role, created_at=NOON, last_seen=NOON)


def here(*agents: Agent, status: Any = "active") -> list[Presence]:
    return [Presence(found, status) for found in agents]


def stamp(revision: int = 12, now: datetime = NOON) -> Stamp:
    return Stamp(now, revision, "store")


class Shelf:
    """A store that is a dictionary."""

    def __init__(self) -> None:
        self.records: dict[str, Message] = {}
        self.looked_at: list[str] = []

    def apply(self, writes: Iterable[Write]) -> None:
        for write in writes:
            if isinstance(write, Put):
                assert isinstance(write.record, Message)
                self.records[write.key] = write.record
            else:
                self.records.pop(write.key, None)

    def message(self, revision: int) -> Message | None:
        return self.records.get(keys.message(revision))

    def mail(self, key: str) -> Message | None:
        self.looked_at.append(key)
        return self.records.get(key)

    def message_keys(self) -> list[str]:
        return [key for key in sorted(self.records) if key.startswith("messages/")]

    def messages(self) -> list[Message]:
        return [self.records[key] for key in self.message_keys()]

    def inboxes(self) -> list[str]:
        return sorted({key.split("/")[1] for key in self.records if key.startswith("inbox/")})

    def inbox_keys(self, agent_id: str) -> list[str]:
        return [key for key, _ in self.inbox(agent_id)]

    def inbox(self, agent_id: str, later: bool = True) -> list[tuple[str, Message]]:
        found = [
            key for key in self.records if key.startswith(f"inbox/{agent_id}/") and (later or "/later/" not in key)
        ]
        return [(key, self.records[key]) for key in sorted(found, key=lambda key: key.rpartition("/")[2])]

    def send(self, revision: int, sender: Agent, readers: Iterable[Agent], to: str = "all", **more: Any) -> Message:
        now = more.pop("now", NOON)
        draft = Draft(to=to, body=more.pop("body", f"words {revision}"), **more)
        message, writes = messages.send(draft, sender, list(readers), stamp(revision, now))
        self.apply(writes)
        return message


ALICE, BOB = agent("al", "alice", "Front"), agent("bo", "bob", "back")
CAROL, DORA = agent("ca", "carol", "front"), agent("do")


# ---------------------------------------------------------------- who is meant
@pytest.mark.parametrize(
    ("to", "address", "readers"),
    [
        ("bo", "bo", ["bo"]),
        ("bob", "bo", ["bo"]),
        ("al", "al", ["al"]),
        ("back", "back", ["bo"]),
        ("FRONT", "front", ["ca"]),
        ("all", "all", ["bo", "ca", "do"]),
    ],
)
def test_an_address_is_an_id_a_name_a_role_or_all(to: str, address: str, readers: list[str]) -> None:
    found, meant = messages.recipients(to, here(ALICE, BOB, CAROL, DORA), ALICE)
    assert (found, [one.id for one in meant]) == (address, readers)


def test_an_id_comes_before_a_name_and_a_name_before_a_role() -> None:
    others = here(agent("x", "bo", "bob"), BOB, agent("y", "z", "x"))
    assert messages.recipients("bo", others, ALICE)[1] == (BOB,)
    assert messages.recipients("bob", others, ALICE)[1] == (BOB,)
    assert [one.id for one in messages.recipients("x", others, ALICE)[1]] == ["x"]


def test_nobody_takes_what_is_for_all_by_calling_itself_so() -> None:
    others = here(agent("mallory", "all", "all"), BOB)
    address, readers = messages.recipients("all", others, ALICE)
    assert (address, len(readers)) == ("all", 2)


def test_with_nobody_else_here_a_broadcast_has_no_readers_yet() -> None:
    assert messages.recipients("all", here(ALICE), ALICE) == ("all", ())


@pytest.mark.parametrize("to", ["nobody", "", "ALICE", "Bob", "x" * 10_000])
def test_an_address_that_nobody_has_names_who_is_here(to: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        messages.recipients(to, here(ALICE, BOB, CAROL), ALICE)
    assert "bob (bo), carol (ca)" in caught.value.others
    assert len(caught.value.message) < 200


def test_of_many_who_are_here_the_error_names_some() -> None:
    with pytest.raises(NotFoundError) as caught:
        messages.recipients("nobody", here(*(agent(f"a{n}") for n in range(50))), ALICE)
    assert caught.value.others.count("(a") == 10
    assert "and 40 more" in caught.value.others


def test_a_name_of_several_is_an_error_that_lists_the_ids() -> None:
    twins = (agent("b1", "bob"), agent("b2", "bob"))
    with pytest.raises(NotFoundError, match="b1, b2"):
        messages.recipients("bob", here(*twins), ALICE)
    assert messages.recipients("b2", here(*twins), ALICE)[1] == (twins[1],)


def test_a_namesake_that_is_gone_does_not_count() -> None:
    gone, there = agent("b1", "bob"), agent("b2", "bob")
    found = [*here(gone, status="dead"), *here(there)]
    assert messages.recipients("bob", found, ALICE) == ("b2", (there,))
    assert messages.recipients("bob", here(gone, status="dead"), ALICE) == ("b1", (gone,))


@pytest.mark.parametrize("body", ["", " ", "\n\t", "x" * 4001])
def test_a_message_has_1_to_4000_characters(body: str) -> None:
    with pytest.raises(UsageError):
        messages.check_body(body)


def test_any_other_words_can_be_said() -> None:
    for body in ("x", "x" * 4000, "\x00\x1b[2J\n", "🙂" * 4000):
        messages.check_body(body)


# ---------------------------------------------------------------- where a copy waits
@pytest.mark.parametrize(
    ("to", "more", "place"),
    [
        ("bo", {}, "inbox/bo/000000000012.json"),
        ("front", {}, "inbox/bo/000000000012.json"),
        ("all", {}, "inbox/bo/later/000000000012.json"),
        ("all", {"urgent": True}, "inbox/bo/000000000012.json"),
        ("all", {"directive": True}, "inbox/bo/000000000012.json"),
    ],
)
def test_only_a_broadcast_that_is_not_urgent_waits_for_a_prompt(to: str, more: dict[str, bool], place: str) -> None:
    shelf = Shelf()
    message = shelf.send(12, ALICE, [BOB], to, **more)
    assert set(shelf.records) == {"messages/000000000012.json", place}
    assert message.id == "m-12"
    assert message.readers == (Reader(agent="bo", name="bob"),)
    assert shelf.records[place].readers == (), "a copy has no readers"
    assert messages.is_directed(message) == (to != "all" or "directive" in more)


# ---------------------------------------------------------------- how far a reader got
STEPS = {
    "delivered": {"delivered_at"},
    "read": {"read_at"},
    "acked": {"read_at", "acked_at"},
}


def times(reader: Reader) -> set[str]:
    return {name for name in ("delivered_at", "read_at", "acked_at") if getattr(reader, name) is not None}


@pytest.mark.parametrize("first", STEPS)
@pytest.mark.parametrize("second", STEPS)
def test_a_step_sets_its_times_once_and_ends_the_waiting(first: Any, second: Any) -> None:
    shelf = Shelf()
    shelf.send(12, ALICE, [BOB, CAROL])
    kept = shelf.message(12)
    assert kept is not None
    shelf.apply(delivery.advance(kept, "bo", first, stamp(13)))
    assert shelf.inbox("bo") == []
    assert len(shelf.inbox("ca")) == 1, "the others still wait"
    kept = shelf.message(12)
    assert kept is not None
    assert times(kept.readers[0]) == STEPS[first]
    later = stamp(14, NOON + timedelta(minutes=1))
    writes = delivery.advance(kept, "bo", second, later)
    assert not any(isinstance(write, Drop) for write in writes)
    shelf.apply(writes)
    kept = shelf.message(12)
    assert kept is not None
    assert times(kept.readers[0]) == STEPS[first] | STEPS[second]
    assert all(getattr(kept.readers[0], name) == NOON for name in STEPS[first]), "the first time counts"
    assert times(kept.readers[1]) == set()
    assert delivery.advance(kept, "bo", second, later) == ()


def test_who_is_no_reader_changes_nothing() -> None:
    shelf = Shelf()
    message = shelf.send(12, ALICE, [BOB])
    for step in STEPS:
        assert delivery.advance(message, "ca", step, stamp(13)) == ()  # type: ignore[arg-type]


def test_a_copy_whose_record_is_gone_is_told_all_the_same() -> None:
    shelf = Shelf()
    shelf.send(12, ALICE, [BOB])
    shelf.apply([Drop("messages/000000000012.json")])
    shelf.apply(delivery.deliver([copy for _, copy in shelf.inbox("bo")], shelf, "bo", stamp(13)))
    assert shelf.records == {}


# ---------------------------------------------------------------- what is told first
def copies(*kinds: str) -> list[Message]:
    """`d` directed, `c` a broadcast, with the revision as its place in the list."""
    shelf = Shelf()
    for revision, kind in enumerate(kinds, 1):
        shelf.send(revision, ALICE, [BOB], "bo" if kind == "d" else "all")
    return [copy for _, copy in shelf.inbox("bo")]


@pytest.mark.parametrize(
    ("kinds", "room", "told"),
    [
        ("cdcd", 4, [1, 2, 3, 4]),
        ("cdcd", 3, [1, 2, 4]),
        ("cdcd", 2, [2, 4]),
        ("cdcd", 1, [2]),
        ("cccd", 2, [1, 4]),
        ("cdcd", 0, []),
        ("cccc", 2, [1, 2]),
    ],
)
def test_without_room_for_all_directed_mail_comes_first_and_nothing_overtakes(
    kinds: str, room: int, told: list[int]
) -> None:
    chosen = delivery.select(copies(*kinds), lambda _: 1, room)
    assert [messages.revision_of(message) for message in chosen] == told


def test_a_short_one_does_not_overtake_a_long_one() -> None:
    waiting = copies(*"ddd")
    sizes = {1: 2, 2: 9, 3: 1}
    chosen = delivery.select(waiting, lambda message: sizes[messages.revision_of(message)], 5)
    assert [messages.revision_of(message) for message in chosen] == [1]


# ---------------------------------------------------------------- who comes late
def test_who_joins_is_told_the_newest_broadcasts_of_the_last_day_once() -> None:
    shelf = Shelf()
    shelf.send(1, ALICE, [BOB], now=NOON - timedelta(hours=25))
    for revision in range(2, 10):
        shelf.send(revision, ALICE, [BOB], now=NOON - timedelta(hours=23), directive=revision == 9)
    shelf.send(10, ALICE, [BOB], to="bo")
    shelf.send(11, DORA, [BOB])
    shelf.send(12, ALICE, [BOB, DORA])
    shelf.apply(delivery.catch_up(shelf, DORA, stamp(13)))
    waiting = [key for key, copy in shelf.inbox("do") if messages.revision_of(copy) != 12]
    assert waiting == [
        *(f"inbox/do/later/{revision:012}.json" for revision in (6, 7, 8)),
        f"inbox/do/{9:012}.json",
    ]
    assert len(waiting) == MAX_LATE - 1, "the newest of all it had been told already"
    kept = shelf.message(8)
    assert kept is not None
    assert [reader.agent for reader in kept.readers] == ["bo", "do"]
    shelf.apply(delivery.deliver([copy for _, copy in shelf.inbox("do")], shelf, "do", stamp(14)))
    assert {key for key, _ in shelf.inbox("do")} == set()
    assert delivery.catch_up(shelf, DORA, stamp(15)) == ()


def test_whoever_joins_looks_through_a_bounded_number_of_messages() -> None:
    shelf = Shelf()
    shelf.send(1, ALICE, [BOB])
    for revision in range(2, 2 + delivery.LOOKED_THROUGH):
        shelf.send(revision, ALICE, [BOB], to="bo")
    assert delivery.catch_up(shelf, DORA, stamp(999)) == ()
    assert len(shelf.looked_at) == delivery.LOOKED_THROUGH
    assert keys.message(1) not in shelf.looked_at


def test_what_an_agent_was_not_told_goes_to_its_heir() -> None:
    shelf, heir = Shelf(), agent("bo2", "bob")
    shelf.send(1, ALICE, [BOB], to="bo")
    shelf.send(2, ALICE, [BOB, CAROL])
    shelf.send(3, ALICE, [BOB, CAROL])
    shelf.apply(notices({"bo": ["your lock is gone"]}, stamp(4)))
    shelf.apply(delivery.deliver([shelf.records[keys.later("bo", 2)]], shelf, "bo", stamp(5)))
    shelf.apply(delivery.inherit(shelf.inbox("bo"), shelf, BOB, heir))
    assert shelf.inbox("bo") == []
    assert [(key, copy.to) for key, copy in shelf.inbox("bo2")] == [
        (keys.notice("bo2", 1), "bo2"),
        (keys.later("bo2", 3), "all"),
        (keys.notice("bo2", 4), "bo2"),
    ]
    readers = {messages.revision_of(m): [reader.agent for reader in m.readers] for m in shelf.messages()}
    assert readers == {1: ["bo2"], 2: ["bo", "ca"], 3: ["bo2", "ca"]}


def test_an_heir_that_was_a_reader_itself_is_told_once() -> None:
    shelf = Shelf()
    shelf.send(1, ALICE, [BOB, CAROL])
    shelf.apply(delivery.deliver([copy for _, copy in shelf.inbox("ca")], shelf, "ca", stamp(2)))
    shelf.apply(delivery.inherit(shelf.inbox("bo"), shelf, BOB, CAROL))
    assert shelf.inbox("bo") + shelf.inbox("ca") == []


# ---------------------------------------------------------------- what is kept
def test_what_nobody_waits_for_is_kept_for_a_while_and_up_to_a_number() -> None:
    shelf, now = Shelf(), NOON
    shelf.send(1, ALICE, [BOB], now=now - timedelta(days=8))
    for revision in range(2, KEPT + 12):
        shelf.send(revision, ALICE, [BOB, CAROL], now=now - timedelta(days=6))
    for revision in range(2, KEPT + 12):
        shelf.apply(delivery.deliver([shelf.records[keys.later("bo", revision)]], shelf, "bo", stamp(999)))
    keeping = {write.key for write in delivery.prune(shelf, {"al", "bo", "ca"}, now)}
    assert keeping == {keys.message(1), keys.later("bo", 1)}, "Carol waits for all the others"
    dropped = {write.key for write in delivery.prune(shelf, {"al", "bo"}, now)}
    assert dropped == {
        keys.message(1),
        keys.later("bo", 1),
        *(keys.message(revision) for revision in range(2, 12)),
        *(keys.later("ca", revision) for revision in range(2, 12)),
    }, "Carol has left"
    shelf.apply(delivery.prune(shelf, {"al", "bo"}, now))
    shelf.looked_at.clear()
    assert delivery.prune(shelf, {"al", "bo"}, now) == ()
    assert shelf.looked_at == [keys.message(12), keys.later("ca", 12)], "and no more is read than the oldest"


# ---------------------------------------------------------------- conversations
def test_a_thread_is_the_root_and_all_answers() -> None:
    shelf = Shelf()
    for revision, answers in ((1, None), (2, "m-1"), (3, None), (4, "m-2"), (5, "m-1"), (6, "m-3"), (7, "m-99")):
        shelf.send(revision, ALICE, [BOB], reply_to=answers)
    for of in (1, 2, 4, 5):
        message = shelf.message(of)
        assert message is not None
        assert [m.id for m in messages.thread(shelf.messages()[::-1], message)] == ["m-1", "m-2", "m-4", "m-5"]
    orphan = shelf.message(7)
    assert orphan is not None
    assert [m.id for m in messages.thread(shelf.messages(), orphan)] == ["m-7"]


def test_records_that_answer_each_other_do_not_hang_anybody() -> None:
    shelf = Shelf()
    first, second = (shelf.send(n, ALICE, [BOB], reply_to=to) for n, to in ((1, "m-2"), (2, "m-1")))
    assert [m.id for m in messages.thread([first, second], first)] == ["m-1", "m-2"]


# ---------------------------------------------------------------- the law of mail
CAST = (ALICE, BOB, CAROL)

whom = st.sampled_from(["al", "bo", "ca", "all", "all", "front"])
acts = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(CAST), whom, st.booleans(), st.integers(1, 5)),
        st.tuples(
            st.just("tell"), st.sampled_from(CAST), st.sampled_from(["turn", "prompt", "stop"]), st.integers(5, 12)
        ),
        st.tuples(st.just("read"), st.sampled_from(CAST), st.integers(1, 40), st.sampled_from(["read", "acked"])),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=300)
@given(acts)
def test_each_reader_is_told_or_reads_each_message_once_and_in_order(program: list[tuple[Any, ...]]) -> None:
    shelf, board = Shelf(), here(*CAST)
    sizes: dict[int, int] = {}
    owed: set[tuple[str, int]] = set()
    heard: list[tuple[str, int, str, str]] = []  # reader, revision, sender, kind

    def tell(reader: Agent, when: str, room: int) -> int:
        waiting = [copy for _, copy in shelf.inbox(reader.id, later=when == "prompt")]
        due = [copy for copy in waiting if when != "stop" or messages.is_directed(copy)]
        told = delivery.select(due, lambda copy: sizes[messages.revision_of(copy)], room)
        assert told or not due, "something is always told"
        assert sum(sizes[messages.revision_of(copy)] for copy in told) <= room
        shelf.apply(delivery.deliver(told, shelf, reader.id, stamp(999)))
        for copy in told:
            kind = "directed" if messages.is_directed(copy) else "urgent" if copy.urgent else "cast"
            heard.append((reader.id, messages.revision_of(copy), copy.sender, kind))
        return len(told)

    for revision, (verb, who, *rest) in enumerate(program, 1):
        if verb == "send":
            to, urgent, size = rest
            address, readers = (
                messages.recipients(to, board, who) if to != "front" or who != CAROL else ("al", (ALICE,))
            )
            shelf.send(revision, who, readers, address, urgent=urgent)
            sizes[revision] = size
            owed |= {(reader.id, revision) for reader in readers}
        elif verb == "tell":
            tell(who, *rest)
        else:
            number, step = rest
            kept = shelf.message(number)
            if kept is not None:
                was_waiting = any(messages.revision_of(copy) == number for _, copy in shelf.inbox(who.id))
                shelf.apply(delivery.advance(kept, who.id, step, stamp(999)))
                if was_waiting:
                    heard.append((who.id, number, kept.sender, "read"))
    for reader in CAST:
        while tell(reader, "prompt", 5):
            pass
    assert sorted((reader, revision) for reader, revision, _, _ in heard) == sorted(owed)
    for reader in CAST:
        for sender in CAST:
            for kind in ("directed", "urgent", "cast"):
                order = [n for to, n, by, what in heard if (to, by, what) == (reader.id, sender.id, kind)]
                assert order == sorted(order)
    assert all(not shelf.inbox(reader.id) for reader in CAST)
