"""Two versions of a task become one, whoever merges first; names go out and come back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from world import NOON

from agentsync.core import replicas
from agentsync.core.records import Decision, Message, Reader, Task
from agentsync.core.replicas import STANDING, Names, is_sound_task, merged

BASE = Task(id="t-k302", title="Login form", created_by="al.east", created_at=NOON, updated_at=NOON)
EAST, WEST = Names("east", ["west"]), Names("west", ["east"])


def claimed(owner: str, base: Task = BASE, minutes: int = 1) -> Task:
    at = NOON + timedelta(minutes=minutes)
    return replace(base, status="in_progress", owner=owner, owner_name=owner, claimed_at=at, updated_at=at)


versions = st.builds(
    lambda status, owner, note, priority, files, minutes: replace(
        BASE,
        status=status,
        owner=owner,
        owner_name=owner,
        note=note,
        priority=priority,
        files=files,
        updated_at=NOON + timedelta(minutes=minutes),
    ),
    st.sampled_from(["pending", "in_progress", "done"]),
    st.sampled_from([None, "al.east", "bo.west"]),
    st.sampled_from([None, "seen", "hurry"]),
    st.integers(0, 2),
    st.sampled_from([(), ("a.py",), ("b.py", "a.py")]),
    st.integers(1, 3),
)
maybe = st.none() | versions


@given(maybe, maybe)
def test_what_one_side_alone_has_changed_is_changed(base: Task | None, changed: Task | None) -> None:
    assert merged(base, changed, base) == changed
    assert merged(base, base, changed) == changed
    assert merged(base, changed, changed) == changed


@given(maybe, versions, versions, versions)
def test_all_agree_after_each_has_looked_once_more(base: Task | None, first: Task, second: Task, third: Task) -> None:
    """The first to push puts its own version; the others merge, push what comes of it, and everybody takes that."""
    board = first
    states = []
    for mine in (second, third):
        found = merged(base, mine, board)
        assert found is not None
        states.append((found, found))  # what it has merged, which is what it pushed, and what it has
        board = found
    for seen, mine in [(first, first), *states]:
        assert merged(seen, mine, board) == board


@given(versions, versions, versions)
def test_who_owns_it_and_how_far_it_is_is_never_a_mixture(base: Task, mine: Task, theirs: Task) -> None:
    found = merged(base, mine, theirs)
    assert found is not None
    standing = [tuple(getattr(task, name) for name in STANDING) for task in (found, mine, theirs)]
    assert standing[0] in standing[1:]
    assert {*found.files} <= {*mine.files, *theirs.files}


def test_of_two_claims_the_one_on_the_board_stands() -> None:
    assert merged(BASE, claimed("al.east"), claimed("bo.west", minutes=2)) == claimed("bo.west", minutes=2)
    assert merged(BASE, claimed("al.east", minutes=2), claimed("bo.west")) == claimed("bo.west")


def test_a_claim_and_a_note_stand_beside_each_other() -> None:
    found = merged(BASE, claimed("al.east"), replace(BASE, note="hurry"))
    assert found is not None
    assert (found.owner, found.note) == ("al.east", "hurry")


def test_of_two_long_lists_no_more_comes_than_a_task_may_have() -> None:
    mine, theirs = (replace(BASE, files=tuple(f"{side}{n}.py" for n in range(150))) for side in "ab")
    found = merged(BASE, mine, replace(theirs, created_by="al.east"))
    assert found is not None
    assert is_sound_task(f"tasks/{found.id}.json", replace(found, created_by="al.east"))
    assert {*theirs.files} <= {*found.files}


def test_who_goes_on_with_what_the_other_has_cleared_away_keeps_it() -> None:
    assert merged(BASE, None, claimed("bo.west")) == claimed("bo.west")
    assert merged(BASE, claimed("al.east"), None) == claimed("al.east")
    assert merged(BASE, BASE, None) is None


def test_a_version_that_this_machine_pushed_and_does_not_remember_is_no_rival() -> None:
    pushed, later = claimed("al.east"), replace(BASE, updated_at=NOON + timedelta(minutes=2))
    assert merged(BASE, later, pushed, is_echo=True) == later


def test_without_a_common_version_the_later_one_is_the_first() -> None:
    old, new = claimed("al.east"), replace(claimed("al.east"), status="done", updated_at=NOON + timedelta(minutes=9))
    for mine, theirs in ((old, new), (new, old)):
        found = merged(None, mine, theirs)
        assert found is not None
        assert found.status == "done"


# ---------------------------------------------------------------- names
@given(st.sampled_from(["al", "al.v2", "bo.west", "x.y.west"]))
def test_a_name_that_goes_out_comes_back(agent_id: str) -> None:
    assert EAST.here(EAST.abroad(agent_id)) == agent_id
    assert WEST.is_ours(EAST.abroad(agent_id)) is agent_id.endswith(".west")


def test_a_task_that_goes_out_comes_back() -> None:
    mine = replace(BASE, created_by="al", owner="bo.west", files=("/etc/hosts", "a.py"), asked_at=NOON)
    out = replicas.task_abroad(mine, EAST)
    assert out is not None
    assert (out.created_by, out.owner, out.files, out.asked_at) == ("al.east", "bo.west", ("a.py",), None)
    back = replicas.task_here(out, mine, EAST)
    assert (back.created_by, back.owner, back.asked_at) == ("al", "bo.west", NOON)
    assert {*back.files} == {*mine.files}
    assert replicas.task_abroad(back, EAST) == out
    assert replicas.task_here(out, None, WEST).owner == "bo"


def test_what_cannot_be_named_elsewhere_stays_here() -> None:
    long = "a" * 60
    assert replicas.task_abroad(replace(BASE, created_by=long), EAST) is None
    message = Message(id="m-1", sender=long, sender_name="x", to="all", body="hi", created_at=NOON)
    assert replicas.message_abroad(message, {}, EAST) is None
    decision = Decision(id="d-1", by=long, by_name="x", text="tabs", created_at=NOON)
    assert replicas.decision_abroad(decision, {}, EAST) is None


@pytest.mark.parametrize(
    "key", ["messages/1.east.json", "messages/000000000012.json", "messages/../x", "tasks/t-1.json"]
)
def test_a_key_of_another_shape_is_nobodys(key: str) -> None:
    assert replicas.machine_of(key) is None


def test_a_place_and_a_name_mean_each_other() -> None:
    assert replicas.place_of("m-12.east") == "messages/000000000012.east.json"
    assert replicas.place_of("d-7.west") == "decisions/000000000007.west.json"
    assert replicas.machine_of(replicas.place_of("d-7.west")) == "west"


# ---------------------------------------------------------------- receipts
times = st.none() | st.integers(0, 3).map(lambda minutes: NOON + timedelta(minutes=minutes))
readers = st.lists(
    st.builds(
        Reader, agent=st.sampled_from(["a.x", "b.x", "c.y"]), name=st.just("n"), delivered_at=times, read_at=times
    ),
    unique_by=lambda reader: reader.agent,
    max_size=3,
).map(tuple)


@given(readers, readers, readers)
def test_receipts_come_to_the_same_in_whatever_order(
    one: tuple[Reader, ...], two: tuple[Reader, ...], three: tuple[Reader, ...]
) -> None:
    join = replicas.receipts

    def plain(found: tuple[Reader, ...]) -> list[Reader]:
        return sorted(found, key=lambda reader: reader.agent)

    assert plain(join(one, two)) == plain(join(two, one))
    assert plain(join(join(one, two), three)) == plain(join(one, join(two, three)))
    assert join(one, one) == one
