"""Who gets which lock. The board is a dict here, and liveness is what a test says it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import combinations
from typing import Any, Literal

import pytest
from core.boards import lock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from world import NOON

from agentsync.core import keys, locks
from agentsync.core.changes import Drop, Put, Stamp, Write
from agentsync.core.lease import Held
from agentsync.core.locks import Conflict, Granted, Released, Request, Verdict, conflicting
from agentsync.core.paths import Target, looks_like_glob, overlap, reach_overlap, target_of
from agentsync.core.records import Agent, Lock, Message, Mode

TTL = 3600


class Board:
    """All there is to know for a decision; what a decision writes is carried out at once."""

    def __init__(self) -> None:
        self.records: dict[str, Lock] = {}
        self.gone: set[str] = set()
        self.told: list[tuple[str, str]] = []
        self.minutes = 0
        self.revision = 0
        self.writes: tuple[Write, ...] = ()

    @property
    def stamp(self) -> Stamp:
        return Stamp(NOON + timedelta(minutes=self.minutes), self.revision + 1, "s")

    def held(self) -> list[Held]:
        return [Held(lock, lock.expires_at, None, lock.holder not in self.gone) for lock in self.records.values()]

    def touching(self, target: Target) -> list[Held]:
        return [held for held in self.held() if overlap(target_of(held.lock), target)]

    def at(self, target: Target) -> list[Held]:
        return [
            held
            for held in self.held()
            if (held.lock.scope, held.lock.path) == (target.scope, target.path)
            and (held.lock.worktree == target.worktree or held.lock.everywhere)
        ]

    def apply(self, writes: Iterable[Write]) -> None:
        self.writes = tuple(writes)
        self.revision += bool(self.writes)
        for write in self.writes:
            match write:
                case Put(key, Lock() as lock):
                    assert key == keys.lock(lock)
                    self.records[key] = lock
                case Put(_, Message() as message):
                    self.told += [(message.to, line) for line in message.body.splitlines()]
                case Drop(key):
                    self.records.pop(key, None)

    def table(self) -> list[tuple[str, str, str]]:
        return sorted((lock.path, lock.mode, lock.holder) for lock in self.records.values())


def target(text: str, worktree: str | None = None, everywhere: bool = False) -> Target:
    if text.startswith("@"):
        return Target(scope="resource", path=text)
    scope: Literal["file", "dir", "glob"] = "glob" if looks_like_glob(text) else "dir" if text[-1] == "/" else "file"
    inside = not text.startswith("/")
    return Target(scope=scope, path=text, worktree=worktree if inside else None, everywhere=everywhere and inside)


class Player:
    """An agent at the board."""

    def __init__(self, board: Board, agent_id: str, worktree: str | None = None) -> None:
        self.board, self.worktree = board, worktree
        self.agent = Agent(id=agent_id, name=agent_id.title(), created_at=NOON, last_seen=NOON, session=f"{agent_id}-s")

    def locks(
        self,
        *paths: str,
        mode: Mode = "exclusive",
        everywhere: bool = False,
        reason: str | None = None,
        task: str | None = None,
        auto: bool = False,
        deny: bool = False,
    ) -> Granted | Conflict:
        request = Request(
            targets=tuple(target(path, self.worktree, everywhere) for path in paths),
            ttl_s=TTL,
            mode=mode,
            reason=reason,
            task=task,
            auto=auto,
            all_worktrees=deny,
        )
        decision = locks.decide(self.board, self.agent, request, self.board.stamp)
        if isinstance(decision, Granted):
            self.board.apply(decision.writes)
        return decision

    def takes(self, *paths: str, mode: Mode = "exclusive", everywhere: bool = False, **said: str | bool) -> Granted:
        decision = self.locks(*paths, mode=mode, everywhere=everywhere, **said)  # type: ignore[arg-type]
        assert isinstance(decision, Granted)
        return decision

    def is_refused(self, *paths: str, mode: Mode = "exclusive", everywhere: bool = False, deny: bool = False) -> bool:
        return isinstance(self.locks(*paths, mode=mode, everywhere=everywhere, deny=deny), Conflict)

    def unlocks(self, *paths: str, force: bool = False) -> Released | Conflict:
        wanted = [target(path, self.worktree) for path in paths]
        decision = locks.release(self.board, self.agent, wanted, force, self.board.stamp)
        if isinstance(decision, Released):
            self.board.apply(decision.writes)
        return decision

    def edits(self, path: str, deny: bool = False) -> Verdict:
        return locks.judge_edit(self.board, self.agent.id, target(path, self.worktree), deny)

    def may_edit(self, path: str, deny: bool = False) -> bool:
        return not self.edits(path, deny).blocked

    def goes(self) -> None:
        self.board.gone.add(self.agent.id)

    def returns(self) -> None:
        self.board.gone.discard(self.agent.id)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def alice(board: Board) -> Player:
    return Player(board, "alice")


@pytest.fixture
def bob(board: Board) -> Player:
    return Player(board, "bob")


@pytest.fixture
def carol(board: Board) -> Player:
    return Player(board, "carol")


def revision(lock: Lock) -> int:
    return int(lock.token.rpartition(":")[2])


# ---------------------------------------------------------------- who gets it
@pytest.mark.parametrize(
    ("held", "asked", "granted"),
    [
        ("exclusive", "exclusive", False),
        ("exclusive", "shared", False),
        ("shared", "exclusive", False),
        ("shared", "shared", True),
    ],
)
def test_only_shared_leases_go_together(held: Mode, asked: Mode, granted: bool, alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", mode=held)
    assert bob.is_refused("src/a.py", mode=asked) != granted
    assert len(alice.board.records) == 1 + granted


@pytest.mark.parametrize("mode", ["exclusive", "shared"])
@pytest.mark.parametrize("asked", ["exclusive", "shared"])
def test_ones_own_lock_is_never_in_the_way(mode: Mode, asked: Mode, alice: Player) -> None:
    alice.takes("src/a.py", "src/", "src/*.py", mode=mode)
    alice.takes("src/a.py", "src/", "**/a.py", mode=asked)
    assert not alice.edits("src/a.py").blocked


@pytest.mark.parametrize(
    ("held", "asked", "granted"),
    [
        ("src/a.py", "src/a.py", False),
        ("src/a.py", "src/b.py", True),
        ("src/", "src/a.py", False),
        ("src/a.py", "src/", False),
        ("src/", "src/x/", False),
        ("src/", "srcs/", True),
        ("src/*.py", "src/a.py", False),
        ("src/*.py", "src/x/a.py", True),
        ("src/*.py", "**/a.*", False),
        ("./", "a.py", False),
        ("./", "/etc/hosts", True),
        ("/etc/", "/etc/hosts", False),
        ("@db", "@db", False),
        ("@db", "@cache", True),
        ("@db", "db", True),
        ("./", "@db", True),
    ],
)
def test_what_overlaps_is_refused(held: str, asked: str, granted: bool, alice: Player, bob: Player) -> None:
    alice.takes(held)
    assert bob.is_refused(asked) != granted


def test_a_lock_says_who_why_and_until_when(alice: Player) -> None:
    (lock,) = alice.takes("src/a.py", reason="refactoring", task="t-7k3f").locks
    assert lock == Lock(
        path="src/a.py",
        scope="file",
        mode="exclusive",
        holder="alice",
        holder_name="Alice",
        session="alice-s",
        token="s:1",
        reason="refactoring",
        task="t-7k3f",
        acquired_at=NOON,
        expires_at=NOON + timedelta(seconds=TTL),
        ttl_s=TTL,
    )
    assert alice.board.records == {"locks/src%2Fa.py.json": lock}


def test_all_or_nothing(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", "src/b.py")
    decision = bob.locks("src/c.py", "src/a.py", "src/d.py", "src/b.py")
    assert isinstance(decision, Conflict)
    assert [b.target.path for b in decision.blocked] == ["src/a.py", "src/b.py"]
    assert [b.held.lock.holder for b in decision.blocked] == ["alice", "alice"]
    assert bob.board.table() == [("src/a.py", "exclusive", "alice"), ("src/b.py", "exclusive", "alice")]
    assert bob.board.revision == 1


def test_a_refusal_names_everybody_in_the_way(alice: Player, bob: Player, carol: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    bob.takes("src/", mode="shared")
    decision = carol.locks("src/a.py")
    assert isinstance(decision, Conflict)
    assert sorted(b.held.lock.holder for b in decision.blocked) == ["alice", "bob"]


# ---------------------------------------------------------------- renewing
def test_renewing_keeps_what_was_not_said_again(alice: Player) -> None:
    (first,) = alice.takes("src/a.py", reason="refactoring", task="t-7k3f").locks
    alice.board.minutes = 30
    (again,) = alice.takes("src/a.py").locks
    assert (again.token, again.acquired_at) == (first.token, first.acquired_at)
    assert (again.reason, again.task) == ("refactoring", "t-7k3f")
    assert again.expires_at == NOON + timedelta(minutes=30, seconds=TTL)
    assert list(alice.board.records.values()) == [again]


def test_renewing_says_what_is_new(alice: Player) -> None:
    alice.takes("src/a.py", reason="refactoring", task="t-7k3f")
    (again,) = alice.takes("src/a.py", reason="tests", task="t-9999").locks
    assert (again.reason, again.task) == ("tests", "t-9999")


@pytest.mark.parametrize(("first", "second", "auto"), [(True, True, True), (True, False, False), (False, True, False)])
def test_a_lock_by_hand_never_becomes_an_auto_lock(first: bool, second: bool, auto: bool, alice: Player) -> None:
    alice.takes("src/a.py", auto=first)
    (lock,) = alice.takes("src/a.py", auto=second).locks
    assert lock.auto is auto


def test_renewing_what_had_lapsed_is_a_new_lock(alice: Player) -> None:
    (first,) = alice.takes("src/a.py", reason="refactoring").locks
    alice.goes()
    (again,) = alice.takes("src/a.py").locks
    assert revision(again) > revision(first)
    assert again.reason is None
    assert alice.board.told == []


@pytest.mark.parametrize("worktree", [None, "feature"])
def test_a_lock_that_binds_everywhere_still_does_after_renewing(worktree: str | None, board: Board) -> None:
    alice, bob = Player(board, "alice", worktree), Player(board, "bob", "other")
    alice.takes("src/a.py", everywhere=True)
    alice.takes("src/a.py")
    assert not bob.may_edit("src/a.py")


# ---------------------------------------------------------------- from shared to exclusive, and back
def test_the_only_one_who_shares_may_become_exclusive(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    alice.takes("src/a.py")
    assert alice.board.table() == [("src/a.py", "exclusive", "alice")]
    assert bob.is_refused("src/a.py", mode="shared")


def test_nobody_becomes_exclusive_while_others_share(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    bob.takes("src/a.py", mode="shared")
    assert alice.is_refused("src/a.py")
    assert alice.board.table() == [("src/a.py", "shared", "alice"), ("src/a.py", "shared", "bob")]


def test_an_exclusive_lock_can_be_opened_to_others(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py")
    alice.takes("src/a.py", mode="shared")
    bob.takes("src/a.py", mode="shared")
    assert alice.board.table() == [("src/a.py", "shared", "alice"), ("src/a.py", "shared", "bob")]


def test_becoming_exclusive_is_a_later_grant_than_all_shared_ones(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    (bobs,) = bob.takes("src/a.py", mode="shared").locks
    bob.unlocks("src/a.py")
    (lock,) = alice.takes("src/a.py").locks
    assert revision(lock) > revision(bobs)


def test_reaching_everywhere_is_a_later_grant_than_all_in_other_worktrees(board: Board) -> None:
    alice, bob = Player(board, "alice"), Player(board, "bob", "feature")
    alice.takes("src/a.py")
    (bobs,) = bob.takes("src/a.py").locks
    bob.unlocks("src/a.py")
    (lock,) = alice.takes("src/a.py", everywhere=True).locks
    assert revision(lock) > revision(bobs)


@pytest.mark.parametrize(("first", "second"), [("shared", "exclusive"), ("exclusive", "shared")])
def test_changing_the_mode_leaves_no_moment_without_a_lock(first: Mode, second: Mode, alice: Player) -> None:
    alice.takes("src/a.py", mode=first)
    alice.takes("src/a.py", mode=second)
    kinds = [type(write) for write in alice.board.writes]
    assert kinds == [Put, Drop]  # readers take no guard: between the two writes the path must read as held


# ---------------------------------------------------------------- taking over
def test_what_is_no_longer_live_is_taken_over(alice: Player, bob: Player) -> None:
    (old,) = alice.takes("src/a.py", reason="refactoring").locks
    alice.goes()
    granted = bob.takes("src/a.py")
    (new,) = granted.locks
    assert granted.taken_over == (old,)
    assert revision(new) > revision(old)
    assert (new.holder, new.reason) == ("bob", None)
    assert list(bob.board.records.values()) == [new]


def test_a_takeover_drops_every_lapsed_lock_in_the_way(alice: Player, bob: Player, carol: Player) -> None:
    alice.takes("src/", "src/**/*.py", "src/a.py", "docs/")
    alice.goes()
    carol.takes("src/a.py", mode="shared")
    carol.goes()
    bob.takes("src/a.py")
    assert bob.board.table() == [("docs/", "exclusive", "alice"), ("src/a.py", "exclusive", "bob")]


def test_old_holders_are_told_once_what_each_of_them_lost(alice: Player, bob: Player, carol: Player) -> None:
    alice.takes("src/a.py", "src/b.py")
    carol.takes("src/c.py")
    alice.goes()
    carol.goes()
    bob.takes("src/")
    records = [write.record for write in bob.board.writes if isinstance(write, Put)]
    assert sorted(record.to for record in records if isinstance(record, Message)) == ["alice", "carol"]
    assert {(to, line.split()[3]) for to, line in bob.board.told} == {
        ("alice", "src/a.py"),
        ("alice", "src/b.py"),
        ("carol", "src/c.py"),
    }
    assert all("Bob (bob)" in line for _, line in bob.board.told)


def test_nothing_is_taken_over_by_who_is_refused(alice: Player, bob: Player, carol: Player) -> None:
    alice.takes("src/a.py")
    carol.takes("src/b.py")
    alice.goes()
    assert bob.is_refused("src/a.py", "src/b.py")
    assert bob.board.table() == [("src/a.py", "exclusive", "alice"), ("src/b.py", "exclusive", "carol")]
    assert bob.board.told == []


@pytest.mark.parametrize(
    ("held", "asked"), [("exclusive", "exclusive"), ("exclusive", "shared"), ("shared", "exclusive")]
)
def test_whoever_returns_finds_its_lapsed_lock_taken(held: Mode, asked: Mode, alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", mode=held)
    alice.goes()
    bob.takes("src/a.py", mode=asked)
    alice.returns()
    assert alice.is_refused("src/a.py")
    assert alice.board.table() == [("src/a.py", asked, "bob")]


def test_a_shared_lease_takes_nothing_from_a_lapsed_shared_one(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    alice.goes()
    assert bob.takes("src/a.py", mode="shared").taken_over == ()
    assert bob.board.table() == [("src/a.py", "shared", "alice"), ("src/a.py", "shared", "bob")]
    assert bob.board.told == []


def test_what_has_lapsed_in_another_worktree_is_left_there(board: Board) -> None:
    alice, bob = Player(board, "alice", "feature"), Player(board, "bob")
    alice.takes("src/a.py")
    alice.goes()
    granted = bob.takes("src/a.py")
    assert (granted.taken_over, granted.elsewhere) == ((), ())
    assert len(board.records) == 2


# ---------------------------------------------------------------- giving up
def test_what_is_released_is_free(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", "src/b.py")
    decision = alice.unlocks("src/a.py")
    assert isinstance(decision, Released)
    assert [lock.path for lock in decision.locks] == ["src/a.py"]
    bob.takes("src/a.py")
    assert bob.is_refused("src/b.py")


def test_releasing_what_nobody_holds_is_fine_and_writes_nothing(alice: Player) -> None:
    assert alice.unlocks("src/a.py", "@db") == Released(locks=())
    assert alice.board.revision == 0


@pytest.mark.parametrize(
    ("live", "force", "released", "told"),
    [(True, False, False, False), (True, True, True, True), (False, False, True, True), (False, True, True, True)],
)
def test_a_live_lock_of_somebody_else_goes_only_by_force(
    live: bool, force: bool, released: bool, *, told: bool, alice: Player, bob: Player
) -> None:
    alice.takes("src/a.py")
    if not live:
        alice.goes()
    decision = bob.unlocks("src/a.py", force=force)
    assert isinstance(decision, Released) == released
    assert len(bob.board.records) == 1 - released
    assert [to for to, _ in bob.board.told] == ["alice"] * told


def test_releasing_is_all_or_nothing(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py")
    bob.takes("src/b.py")
    decision = bob.unlocks("src/b.py", "src/a.py")
    assert isinstance(decision, Conflict)
    assert [(b.target.path, b.held.lock.holder) for b in decision.blocked] == [("src/a.py", "alice")]
    assert len(bob.board.records) == 2


@pytest.mark.parametrize(
    ("path", "holder", "meets"),
    [("**", "operator", False), ("**", "alice", True), ("src/a.py", "operator", True), ("src/**", "operator", True)],
)
def test_only_a_freeze_and_what_other_machines_hold_leave_each_other_alone(
    path: str, holder: str, *, meets: bool
) -> None:
    mine = lock(path, holder, everywhere=True)
    theirs = lock("src/a.py", "bob.m1", everywhere=True, machine="m1")
    assert locks.conflicting(mine, theirs) is locks.conflicting(theirs, mine) is meets
    assert locks.conflicting(mine, lock("src/a.py", "bob", everywhere=True))


@pytest.mark.parametrize("force", [False, True])
def test_whoever_shares_gives_up_only_its_own_part(force: bool, alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    bob.takes("src/a.py", mode="shared")
    bob.unlocks("src/a.py", force=force)
    assert bob.board.table() == [("src/a.py", "shared", "alice")]
    assert bob.board.told == []


def test_force_takes_all_shares_of_others(alice: Player, bob: Player, carol: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    bob.takes("src/a.py", mode="shared")
    carol.unlocks("src/a.py", force=True)
    assert carol.board.records == {}
    assert sorted(to for to, _ in carol.board.told) == ["alice", "bob"]


@pytest.mark.parametrize("wider", ["src/", "src/*.py", "./"])
def test_only_exactly_what_is_named_is_released(wider: str, alice: Player) -> None:
    alice.takes("src/a.py", wider)
    alice.unlocks(wider)
    assert alice.board.table() == [("src/a.py", "exclusive", "alice")]


# ---------------------------------------------------------------- worktrees
MAIN, LINKED, OTHER = None, "feature", "other"


@pytest.mark.parametrize(
    ("held_in", "everywhere", "asked_in", "deny", "granted"),
    [
        (MAIN, False, MAIN, False, False),
        (MAIN, False, LINKED, False, True),
        (LINKED, False, MAIN, False, True),
        (LINKED, False, LINKED, False, False),
        (LINKED, False, OTHER, False, True),
        (MAIN, True, LINKED, False, False),
        (LINKED, True, MAIN, False, False),
        (LINKED, True, OTHER, False, False),
        (MAIN, False, LINKED, True, False),
        (LINKED, False, OTHER, True, False),
    ],
)
def test_how_far_a_lock_reaches(
    held_in: str | None, everywhere: bool, asked_in: str | None, *, deny: bool, granted: bool, board: Board
) -> None:
    alice, bob = Player(board, "alice", held_in), Player(board, "bob", asked_in)
    alice.takes("src/a.py", everywhere=everywhere)
    assert bob.may_edit("src/a.py", deny=deny) == granted
    assert bob.may_edit("src/b.py", deny=deny)
    decision = bob.locks("src/a.py", deny=deny)
    assert isinstance(decision, Granted) == granted
    if isinstance(decision, Granted):
        assert [held.lock.holder for held in decision.elsewhere] == ["alice"]


@pytest.mark.parametrize("asked_in", [MAIN, LINKED, OTHER])
def test_what_binds_everywhere_must_be_free_everywhere(asked_in: str | None, board: Board) -> None:
    Player(board, "alice", LINKED).takes("src/a.py")
    assert Player(board, "bob", asked_in).is_refused("src/a.py", everywhere=True)


@pytest.mark.parametrize("path", ["/etc/hosts", "@db"])
def test_worktrees_make_no_difference_outside_of_them(path: str, board: Board) -> None:
    Player(board, "alice", LINKED).takes(path)
    assert Player(board, "bob").is_refused(path)
    assert Player(board, "carol", OTHER).is_refused(path)


def test_one_holder_may_have_a_path_in_several_worktrees(board: Board) -> None:
    here, there = Player(board, "alice"), Player(board, "alice", LINKED)
    here.takes("src/a.py")
    there.takes("src/a.py")
    assert len(board.records) == 2
    there.unlocks("src/a.py")
    assert [lock.worktree for lock in board.records.values()] == [MAIN]


def test_a_lock_that_binds_everywhere_is_released_from_anywhere(board: Board) -> None:
    Player(board, "alice", LINKED).takes("src/a.py", everywhere=True)
    Player(board, "alice", OTHER).unlocks("src/a.py")
    assert board.records == {}


def test_a_takeover_under_the_policy_that_worktrees_exclude_each_other(board: Board) -> None:
    alice, bob = Player(board, "alice", LINKED), Player(board, "bob")
    alice.takes("src/a.py")
    alice.goes()
    bob.locks("src/a.py", deny=True)
    assert board.table() == [("src/a.py", "exclusive", "bob")]


# ---------------------------------------------------------------- edits
@pytest.mark.parametrize(
    ("own", "others", "allowed", "covered"),
    [
        ((), (), True, False),
        (("src/a.py",), (), True, True),
        (("src/",), (), True, True),
        (("src/*.py",), (), True, True),
        (("src/b.py", "@db"), (), True, False),
        ((), ("src/a.py",), False, False),
        ((), ("src/",), False, False),
        ((), ("./",), False, False),
        ((), ("**/*.py",), False, False),
        ((), ("src/b.py", "docs/", "*.py", "@src/a.py"), True, False),
    ],
)
def test_an_edit_meets_what_covers_its_file(
    own: tuple[str, ...], others: tuple[str, ...], *, allowed: bool, covered: bool, alice: Player, bob: Player
) -> None:
    for path in own:
        alice.takes(path)
    for path in others:
        bob.takes(path)
    verdict = alice.edits("src/a.py")
    assert (not verdict.blocked, verdict.covered) == (allowed, covered)


def test_those_who_share_may_edit_and_nobody_else(alice: Player, bob: Player, carol: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    bob.takes("src/", mode="shared")
    assert alice.may_edit("src/a.py")
    assert bob.may_edit("src/a.py")
    verdict = carol.edits("src/a.py")
    assert sorted(b.held.lock.holder for b in verdict.blocked) == ["alice", "bob"]


def test_a_lapsed_lock_neither_blocks_nor_covers(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py")
    alice.goes()
    assert bob.may_edit("src/a.py")
    assert not alice.edits("src/a.py").covered


def test_a_lapsed_share_does_not_let_its_holder_edit(alice: Player, bob: Player) -> None:
    alice.takes("src/a.py", mode="shared")
    bob.takes("src/a.py", mode="shared")
    alice.goes()
    assert not alice.may_edit("src/a.py")


def test_a_lock_in_another_worktree_is_mentioned(board: Board) -> None:
    alice, bob = Player(board, "alice", LINKED), Player(board, "bob")
    alice.takes("src/")
    verdict = bob.edits("src/a.py")
    assert [held.lock.path for held in verdict.elsewhere] == ["src/"]
    assert not verdict.covered
    alice.goes()
    assert bob.edits("src/a.py").elsewhere == ()


def test_ones_own_lock_in_another_worktree_does_not_cover(board: Board) -> None:
    Player(board, "alice", LINKED).takes("src/a.py")
    verdict = Player(board, "alice").edits("src/a.py")
    assert verdict == Verdict()


# ---------------------------------------------------------------- always
AGENTS = ("alice", "bob", "carol")
WORKTREES = (MAIN, LINKED)

agents = st.sampled_from(AGENTS)
worktrees = st.sampled_from(WORKTREES)
somethings = st.sampled_from(["d/x", "d/", "d/*", "**/x", "a", "./", "/o", "@r"])
modes = st.sampled_from(["exclusive", "shared"])

asks = st.tuples(
    st.just("lock"),
    agents,
    worktrees,
    st.lists(somethings, min_size=1, max_size=3),
    modes,
    st.booleans(),  # everywhere
    st.booleans(),  # worktrees exclude each other
)
releases = st.tuples(st.just("unlock"), agents, worktrees, st.lists(somethings, min_size=1, max_size=2), st.booleans())
turns = st.tuples(st.sampled_from(["goes", "returns"]), agents)
histories = st.lists(st.one_of(asks, asks, releases, turns), min_size=3, max_size=25)


Step = tuple[Any, ...]
History = list[Step]


def play(board: Board, step: Step) -> Granted | Released | Conflict | None:
    match step:
        case ("lock", who, where, paths, mode, everywhere, deny):
            return Player(board, who, where).locks(*paths, mode=mode, everywhere=everywhere, deny=deny)
        case ("unlock", who, where, paths, force):
            return Player(board, who, where).unlocks(*paths, force=force)
        case (turn, who):
            getattr(Player(board, who), turn)()
    return None


@settings(max_examples=250, deadline=None)
@given(histories)
def test_no_two_records_ever_conflict(history: History) -> None:
    board = Board()
    for step in history:
        play(board, step)
        for a, b in combinations(board.records.values(), 2):
            assert not conflicting(a, b), step


@settings(max_examples=150, deadline=None)
@given(histories)
def test_whoever_is_granted_something_has_all_of_it(history: History) -> None:
    board = Board()
    for step in history:
        before = dict(board.records)
        decision = play(board, step)
        if isinstance(decision, Granted):
            _, who, where, paths, mode, everywhere, _ = step
            for path in paths:
                wanted = target(path, where, everywhere)
                (mine,) = [h.lock for h in board.at(wanted) if h.lock.holder == who]
                assert mine.mode == mode
                assert mine.everywhere or not wanted.everywhere
        elif isinstance(decision, Conflict):
            assert board.records == before


@settings(max_examples=150, deadline=None)
@given(histories)
@example(
    [
        ("lock", "alice", MAIN, ["a"], "shared", False, False),
        ("lock", "bob", MAIN, ["a"], "shared", False, False),
        ("unlock", "bob", MAIN, ["a"], False),
        ("lock", "alice", MAIN, ["a"], "exclusive", False, False),
    ]
)
def test_a_token_is_greater_than_all_that_were_granted_to_others_before(history: History) -> None:
    board = Board()
    granted: list[Lock] = []
    for step in history:
        decision = play(board, step)
        if isinstance(decision, Granted):
            for lock in decision.locks:
                older = [old for old in granted if conflicting(old, lock)]
                assert all(revision(old) < revision(lock) for old in older), step
            granted += decision.locks


@settings(max_examples=150, deadline=None)
@given(histories)
@example(
    [
        ("lock", "alice", LINKED, ["a"], "exclusive", False, False),
        ("lock", "alice", MAIN, ["a"], "exclusive", True, False),
        ("lock", "alice", LINKED, ["a"], "exclusive", False, False),
    ]
)
def test_locking_more_never_protects_less(history: History) -> None:
    board = Board()
    for step in history:
        protected = [(h.lock, w) for h in board.held() if h.live for w in WORKTREES if _binds(h.lock, w)]
        decision = play(board, step)
        if isinstance(decision, Granted):
            for lock, where in protected:
                still = [r for r in board.records.values() if r.holder == lock.holder and _binds(r, where)]
                assert any((r.scope, r.path) == (lock.scope, lock.path) for r in still), (lock, where, step)


def _binds(lock: Lock, worktree: str | None) -> bool:
    inside = lock.scope != "resource" and not lock.path.startswith("/")
    return not inside or reach_overlap(target_of(lock), Target(scope="file", path="x", worktree=worktree))


@settings(max_examples=100, deadline=None)
@given(histories, agents, worktrees)
def test_an_edit_is_judged_as_a_lock_would_be(history: History, who: str, where: str | None) -> None:
    board = Board()
    for step in history:
        play(board, step)
    player = Player(board, who, where)
    for path in ("a", "d/x", "/o"):
        verdict = player.edits(path)
        if not verdict.covered:
            assert bool(verdict.blocked) == player.is_refused(path)
