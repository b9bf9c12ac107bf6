"""The line: its order, who is in whose way, and circles of waits. Nothing here waits."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise, permutations
from typing import Any, Literal

import pytest
from core.test_locks import Board, target
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from world import NOON

from agentsync.core import keys, queue
from agentsync.core.changes import Drop, Put, Stamp, notices
from agentsync.core.lease import Life, Presence
from agentsync.core.locks import Conflict, Granted, Request
from agentsync.core.records import Agent, Lock, Message, Mode, Waiter

TTL = 3600
AGENTS = ("al", "bo", "cy", "di")


def waiter(
    agent: str,
    number: int,
    *paths: str,
    at: float | None = None,
    priority: int = 0,
    mode: Mode = "exclusive",
    wants: Literal["locks", "task", "release"] = "locks",
    until: float | None = None,
    worktree: str | None = None,
    everywhere: bool = False,
) -> Waiter:
    """Somebody who joined as revision `number`, at that minute unless told otherwise."""
    return Waiter(
        id=f"{'m' if wants == 'release' else 'w'}-{number}",
        wants=wants,
        agent=agent,
        agent_name=agent.title(),
        targets=tuple(queue.wanted(target(path, worktree, everywhere)) for path in paths),
        mode=mode,
        priority=priority,
        created_at=minute(number if at is None else at),
        until=None if until is None else minute(until),
    )


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def agent(agent_id: str) -> Agent:
    return Agent(id=agent_id, name=agent_id.title(), created_at=NOON, last_seen=NOON)


def holding(board: Board, agent_id: str, *paths: str, mode: Mode = "exclusive") -> None:
    for path in paths:
        where = target(path)
        board.revision += 1
        lock = Lock(
            path=path,
            scope=where.scope,
            mode=mode,
            holder=agent_id,
            holder_name=agent_id.title(),
            token=f"s:{board.revision}",
            acquired_at=NOON,
            expires_at=minute(60),
            ttl_s=TTL,
        )
        board.records[keys.lock(lock)] = lock


def request(*paths: str, mode: Mode = "exclusive") -> Request:
    return Request(targets=tuple(map(target, paths)), ttl_s=TTL, mode=mode)


# ---------------------------------------------------------------- order
def test_first_come_first() -> None:
    line = [waiter("cy", 3, "a"), waiter("al", 1, "a"), waiter("bo", 2, "a")]
    assert [w.agent for w in queue.ahead(line, waiter("di", 4, "a"), False)] == ["al", "bo", "cy"]
    assert [w.agent for w in queue.ahead(line, line[2], False)] == ["al"]


def test_of_two_in_the_same_moment_the_earlier_revision_is_first() -> None:
    first, second = waiter("bo", 9, "a", at=0), waiter("al", 10, "a", at=0)
    assert queue.ahead([first, second], second, False) == [first]
    assert queue.ahead([first, second], first, False) == []


def test_a_point_of_priority_is_a_minute() -> None:
    old, urgent = waiter("al", 1, "a", at=0), waiter("bo", 2, "a", at=5, priority=5)
    assert queue.ahead([old], urgent, False) == [old], "equal: the earlier revision is first"
    assert queue.ahead([old], replace(urgent, priority=6), False) == []
    assert queue.ahead([urgent], replace(old, priority=-1), False) == [urgent]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-(10**30), 10**30)), max_size=12), st.integers(0, 50))
def test_nobody_starves(others: list[tuple[int, int]], come: int) -> None:
    """Whoever comes later than the longest advance that priority can give does not overtake, whatever it says."""
    me = waiter("al", 1, "a", at=come)
    line = [waiter("bo", n, "a", at=come + at, priority=p) for n, (at, p) in enumerate(others, 2)]
    for one in queue.ahead(line, me, False):
        assert one.created_at - me.created_at <= timedelta(minutes=queue.MAX_PRIORITY)
    late = waiter("cy", 99, "a", at=come + queue.MAX_PRIORITY, priority=queue.MAX_PRIORITY)
    assert queue.ahead([late], me, False) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3)), min_size=2, max_size=8))
def test_the_order_is_one_line(places: list[tuple[int, int]]) -> None:
    line = [waiter(f"a{n}", n, "x", at=at, priority=p) for n, (at, p) in enumerate(places, 1)]
    assert sorted(len(queue.ahead(line, one, False)) for one in line) == list(range(len(line)))


# ---------------------------------------------------------------- who excludes whom
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (waiter("al", 1, "a"), waiter("bo", 2, "a"), True),
        (waiter("al", 1, "a"), waiter("bo", 2, "b"), False),
        (waiter("al", 1, "src/"), waiter("bo", 2, "src/a"), True),
        (waiter("al", 1, "src/*.py"), waiter("bo", 2, "src/a.py"), True),
        (waiter("al", 1, "b", "a"), waiter("bo", 2, "c", "a"), True),
        (waiter("al", 1, "a"), waiter("al", 2, "a"), False),
        (waiter("al", 1, "a", mode="shared"), waiter("bo", 2, "a", mode="shared"), False),
        (waiter("al", 1, "a", mode="shared"), waiter("bo", 2, "a"), True),
        (waiter("al", 1, "a", worktree="w"), waiter("bo", 2, "a"), False),
        (waiter("al", 1, "a", worktree="w", everywhere=True), waiter("bo", 2, "a"), True),
        (waiter("al", 1, wants="task"), waiter("bo", 2, wants="task"), True),
        (waiter("al", 1, wants="task"), waiter("bo", 2, "a"), False),
        (waiter("al", 1, "a", wants="release"), waiter("bo", 2, "a"), False),
        (waiter("al", 1, "a", wants="release"), waiter("bo", 2, "a", wants="release"), False),
    ],
)
def test_who_excludes_whom(first: Waiter, second: Waiter, expected: bool) -> None:
    assert queue.contends(first, second, False) is expected
    assert queue.contends(second, first, False) is expected


def test_where_worktrees_exclude_each_other_so_do_those_who_wait() -> None:
    assert queue.contends(waiter("al", 1, "a", worktree="w"), waiter("bo", 2, "a"), True)


# ---------------------------------------------------------------- who is there
@pytest.mark.parametrize(
    ("life", "silent_s", "expected"),
    [("alive", 3600, True), ("dead", 0, False), ("unknown", 29, True), ("unknown", 30, False)],
)
def test_who_is_there(life: Life, silent_s: int, expected: bool) -> None:
    one = waiter("al", 1, "a", at=0)
    now = NOON + timedelta(hours=2)
    seen = now - timedelta(seconds=silent_s)
    assert queue.is_live(one, seen, life, Presence(agent("al"), "active"), now) is expected


@pytest.mark.parametrize(
    "presence", [None, Presence(agent("al"), "dead"), Presence(agent("al"), "offline", ended=True)]
)
def test_nobody_waits_for_an_agent_that_has_left(presence: Presence | None) -> None:
    assert not queue.is_live(waiter("al", 1, "a"), NOON, "alive", presence, NOON)


def test_who_has_given_up_is_not_in_line() -> None:
    one, there = waiter("al", 1, "a", until=5), Presence(agent("al"), "active")
    assert queue.is_live(one, NOON, "alive", there, minute(4.9))
    assert not queue.is_live(one, NOON, "alive", there, minute(5))


def test_a_request_is_in_no_line() -> None:
    asked = waiter("al", 1, "a", wants="release")
    assert not queue.is_live(asked, NOON, "alive", Presence(agent("al"), "active"), NOON)


# ---------------------------------------------------------------- asking without waiting
def test_who_does_not_wait_does_not_pass_those_who_do() -> None:
    board, bo = Board(), waiter("bo", 1, "src/", at=0)
    decision = queue.decide(board, [bo], agent("al"), request("src/a", "b"), board.stamp)
    assert decision == Conflict(blocked=(), waiting=(bo,))
    assert isinstance(queue.decide(board, [bo], agent("al"), request("b"), board.stamp), Granted)
    assert isinstance(queue.decide(board, [bo], agent("bo"), request("src/a"), board.stamp), Granted)


def test_even_the_least_important_waiter_is_not_passed() -> None:
    board, bo = Board(), waiter("bo", 1, "a", at=0, priority=-queue.MAX_PRIORITY)
    assert isinstance(queue.decide(board, [bo], agent("al"), request("a"), board.stamp), Conflict)


def test_renewing_what_one_holds_never_looks_at_the_line() -> None:
    board, bo = Board(), waiter("bo", 1, "src/a", "@db", at=0)
    holding(board, "al", "src/", "@db")
    for paths in (["src/"], ["src/a"], ["@db"], ["src/a", "src/b", "@db"]):
        assert isinstance(queue.decide(board, [bo], agent("al"), request(*paths), board.stamp), Granted), paths


def test_wanting_more_than_one_holds_is_no_renewal() -> None:
    board, bo = Board(), waiter("bo", 1, "src/", at=0)
    holding(board, "al", "src/a", mode="shared")
    for wish in (request("src/a"), request("src/"), request("src/b")):
        assert isinstance(queue.decide(board, [bo], agent("al"), wish, board.stamp), Conflict), wish


# ---------------------------------------------------------------- the whole line, played through
class Wish:
    """A waiter of the model, who wants some of `abc` for itself or shared, and lets go a step after it was granted."""

    def __init__(self, agent_id: str, number: int, paths: frozenset[str], mode: Mode, priority: int) -> None:
        self.agent = agent(agent_id)
        self.record = waiter(agent_id, number, *sorted(paths), priority=priority, mode=mode, at=number / 60)
        self.request = request(*sorted(paths), mode=mode)


wishes = st.lists(
    st.tuples(
        st.frozensets(st.sampled_from("abc"), min_size=1), st.sampled_from(["exclusive", "shared"]), st.integers(0, 2)
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=200)
@given(wishes, st.data())
def test_each_is_granted_once_in_order_and_whole(drawn: list[tuple[Any, Any, Any]], data: st.DataObject) -> None:
    """Whoever happens to look when, nobody is granted before a contender ahead, or a part, and all are in the end."""
    board = Board()
    line = [Wish(f"w{n}", n, *said) for n, said in enumerate(drawn, 1)]
    waiting, granted = list(line), []
    while waiting:
        ready = [one for one in waiting if _has_its_turn(board, waiting, one)]
        assert ready or board.records, "nobody holds anything, and nobody may go on"
        actions: list[Any] = [*ready, *sorted({lock.holder for lock in board.records.values()})]
        action = data.draw(st.sampled_from(actions))
        if isinstance(action, str):
            board.apply([Drop(key) for key, lock in board.records.items() if lock.holder == action])
            continue
        decision = queue.decide(board, [], action.agent, action.request, board.stamp)
        assert isinstance(decision, Granted)
        board.apply(decision.writes)
        assert {lock.path for lock in board.records.values() if lock.holder == action.agent.id} == {
            wanted.path for wanted in action.record.targets
        }
        assert not queue.ahead([other.record for other in waiting], action.record, False)
        waiting.remove(action)
        granted.append(action)
    assert sorted(one.agent.id for one in granted) == sorted(one.agent.id for one in line)


def _has_its_turn(board: Board, waiting: list[Wish], one: Wish) -> bool:
    if queue.ahead([other.record for other in waiting], one.record, False):
        return False
    return isinstance(queue.decide(board, [], one.agent, one.request, board.stamp), Granted)


# ---------------------------------------------------------------- circles
def test_two_who_want_what_the_other_holds_are_a_circle() -> None:
    board = Board()
    holding(board, "al", "b")
    holding(board, "bo", "a")
    line = [waiter("bo", 1, "b"), waiter("al", 2, "a")]
    found = queue.cycle(board, line, "al", False)
    assert [(link.agent, link.path, link.of, link.held) for link in found] == [
        ("al", "a", "bo", True),
        ("bo", "b", "al", True),
    ]


def test_a_circle_may_go_through_the_line() -> None:
    """Al stands behind Bo, who waits for what Al holds."""
    board = Board()
    holding(board, "al", "x")
    holding(board, "cy", "a")
    line = [waiter("bo", 1, "x", "a"), waiter("al", 2, "a")]
    assert [(link.of, link.held) for link in queue.cycle(board, line, "al", False)] == [("bo", False), ("al", True)]


def test_an_upgrade_that_somebody_waits_for_is_a_circle() -> None:
    board = Board()
    holding(board, "al", "a", mode="shared")
    assert queue.cycle(board, [waiter("bo", 1, "a"), waiter("al", 2, "a")], "al", False) != ()


def test_waiting_in_a_row_is_no_circle() -> None:
    board = Board()
    holding(board, "al", "a")
    holding(board, "bo", "b")
    assert queue.cycle(board, [waiter("bo", 1, "a"), waiter("cy", 2, "b", "a")], "cy", False) == ()


def test_a_wait_for_a_task_is_for_nobody_in_particular() -> None:
    board = Board()
    holding(board, "al", "a")
    line = [waiter("bo", 1, "a"), waiter("bo", 2, wants="task"), waiter("al", 3, wants="task")]
    assert queue.cycle(board, line, "al", False) == ()


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from("uvwxyz"), st.sampled_from(AGENTS)),
    st.lists(
        st.tuples(
            st.sampled_from(AGENTS),
            st.frozensets(st.sampled_from("uvwxyz"), min_size=1, max_size=3),
            st.sampled_from(["exclusive", "shared"]),
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_a_circle_is_found_iff_there_is_one(held: dict[str, str], waits: list[tuple[str, Any, Any]]) -> None:
    board = Board()
    for path, owner in held.items():
        holding(board, owner, path)
    line = [waiter(who, n, *sorted(paths), mode=mode) for n, (who, paths, mode) in enumerate(waits, 1)]
    me = line[-1].agent
    edges = set()
    for one in line:
        for path in (wanted.path for wanted in one.targets):
            edges |= {(one.agent, held[path])} if path in held else set()
            for other in line[: line.index(one)]:
                if path in [w.path for w in other.targets] and not one.mode == other.mode == "shared":
                    edges.add((one.agent, other.agent))
    edges = {(a, b) for a, b in edges if a != b}
    circles = [
        round_trip
        for length in range(1, len(AGENTS))
        for middle in permutations([a for a in AGENTS if a != me], length)
        if all(step in edges for step in zip((me, *middle), (*middle, me), strict=True))
        for round_trip in [(me, *middle)]
    ]
    found = queue.cycle(board, line, me, False)
    assert bool(found) == bool(circles)
    if found:
        assert found[0].agent == found[-1].of == me
        assert all(a.of == b.agent for a, b in pairwise(found))
        assert {(link.agent, link.of) for link in found} <= edges
        assert len(found) == min(map(len, circles))


# ---------------------------------------------------------------- requests
STAMP = Stamp(NOON, 7, "s")


def lock_of(agent_id: str, path: str) -> Lock:
    board = Board()
    holding(board, agent_id, path)
    return next(iter(board.records.values()))


def told(writes: tuple[Any, ...]) -> list[tuple[str, str]]:
    puts = [write.record for write in writes if isinstance(write, Put)]
    return [(record.to, line) for record in puts if isinstance(record, Message) for line in record.body.splitlines()]


def test_a_lock_that_goes_answers_the_requests_for_it_and_no_others() -> None:
    asked = [
        ("q/1", waiter("bo", 1, "src/", wants="release")),
        ("q/2", waiter("cy", 2, "docs/", wants="release")),
        ("q/3", waiter("di", 3, "src/a")),
        ("q/4", waiter("al", 4, "src/a", wants="release")),
    ]
    writes = queue.answered(asked, [lock_of("al", "src/a")], [Drop("l")], STAMP, False)
    assert [write for write in writes if isinstance(write, Drop)] == [Drop("l"), Drop("q/1")]
    assert told(writes) == [("bo", "Al (al) let go of src/a: agent-sync lock src/")]


def test_what_the_asker_is_told_anyway_is_not_lost() -> None:
    """Two notices to one agent in one event have one place."""
    before = notices({"bo": ["your lock on x was released by Al (al)"]}, STAMP)
    asked = [("q/1", waiter("bo", 1, "a", wants="release"))]
    writes = queue.answered(asked, [lock_of("al", "a")], before, STAMP, False)
    last = {write.key: write for write in writes}
    assert [line for _, line in told(tuple(last.values()))] == [
        "your lock on x was released by Al (al)",
        "Al (al) let go of a: agent-sync lock a",
    ]


def test_compaction_clears_what_nobody_is_behind() -> None:
    now = NOON + timedelta(days=1, minutes=1)
    found = [
        ("live", waiter("bo", 1, "a"), True),
        ("dead", waiter("bo", 2, "a"), False),
        ("open", waiter("bo", 2, "a", wants="release", at=60), False),
        ("old", waiter("bo", 3, "a", wants="release", at=0), False),
        ("left", waiter("cy", 4, "a", wants="release", at=60), False),
    ]
    assert queue.lapsed(found, ["bo"], now) == (Drop("dead"), Drop("old"), Drop("left"))
