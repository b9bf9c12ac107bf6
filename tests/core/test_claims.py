"""Who owns a task: claiming with its files, the next one, handing on, the heir of a session, the silent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from core.boards import NOW, STAMP, Table, agent, lock, owned, task, told
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsync.core import claims, keys, locks, tasks
from agentsync.core.changes import Drop, Put
from agentsync.core.lease import Presence, has_left
from agentsync.core.locks import Conflict, Request
from agentsync.core.paths import Target
from agentsync.core.records import Lock, Task
from agentsync.core.tasks import Changed, Refused


def request_of(one: Task) -> Request:
    return Request(targets=tasks.targets(one, None), ttl_s=3600, reason=one.title, task=one.id)


def claimed(board: Table, one: Task, **how: Any) -> Changed | Refused | Conflict:
    """What comes of a claim, done."""
    outcome = claims.claim(board.attempt(one, how.pop("me", "me"), how.pop("force", False)), **how)
    for write in outcome.writes if isinstance(outcome, Changed) else ():
        board.apply(write)
    return outcome


def holders(board: Table) -> dict[str, str]:
    return {held.lock.path: held.lock.holder for held in board.locks() if held.live}


# ---------------------------------------------------------------- claiming
def test_a_claim_sets_owner_name_time_and_state() -> None:
    outcome = claimed(Table([one := task(checkpoint="half")]), one)
    assert isinstance(outcome, Changed)
    after = outcome.task
    assert (after.status, after.owner, after.owner_name, after.claimed_at) == ("in_progress", "me", "Me", NOW)
    assert after.checkpoint == "half", "whoever takes over gets it"


def test_claiming_what_is_ones_own_changes_nothing() -> None:
    outcome = claimed(Table([one := owned("me")]), one)
    assert isinstance(outcome, Changed)
    assert outcome.writes == ()


def test_claiming_ones_own_again_may_still_lock_its_files() -> None:
    board = Table([one := owned("me", files=("a.py",))])
    outcome = claimed(board, one, request=request_of(one))
    assert isinstance(outcome, Changed)
    assert holders(board) == {"a.py": "me"}


def test_the_owner_goes_on_with_what_was_blocked_and_others_do_not() -> None:
    blocked = owned("me", status="blocked", blocked_reason="a key is missing")
    outcome = claimed(Table([blocked]), blocked)
    assert isinstance(outcome, Changed)
    assert (outcome.task.status, outcome.task.blocked_reason) == ("in_progress", None)
    left = owned("gone", status="blocked", blocked_reason="a key is missing")
    refused = claimed(Table([left]), left)
    assert isinstance(refused, Refused)
    assert "a key is missing" in refused.why
    assert "reopen-task" in refused.hint


def test_what_waits_for_others_is_refused_and_they_are_named() -> None:
    one = task("t-x", depends_on=("t-a", "t-b", "t-c"))
    board = Table([one, owned("other", "t-a"), task("t-b", status="done"), task("t-c")])
    refused = claimed(board, one)
    assert isinstance(refused, Refused)
    assert "t-a ('T-A'), which is in_progress" in refused.why
    assert "t-c ('T-C'), which is pending" in refused.why
    assert "t-b" not in refused.why
    assert isinstance(claimed(board, one, force=True), Changed)


def test_the_free_files_are_locked_and_the_others_named_with_their_holders() -> None:
    one = task(files=("a.py", "b.py", "src/", "@db"))
    board = Table([one], locks=[lock("b.py", "other"), lock("src/x/y.py", "other")])
    outcome = claimed(board, one, request=request_of(one))
    assert isinstance(outcome, Changed)
    assert [found.path for found in outcome.locks] == ["a.py", "@db"]
    assert {found.task for found in outcome.locks} == {"t-a"}
    assert [(b.target.path, b.held.lock.holder) for b in outcome.busy] == [("b.py", "other"), ("src/", "other")]
    assert holders(board) == {"a.py": "me", "@db": "me", "b.py": "other", "src/x/y.py": "other"}


def test_strictly_it_is_all_or_nothing() -> None:
    one = task(files=("a.py", "b.py"))
    board = Table([one], locks=[lock("b.py", "other")])
    outcome = claimed(board, one, request=request_of(one), strict=True)
    assert isinstance(outcome, Conflict)
    assert board.task("t-a") == one
    assert holders(board) == {"b.py": "other"}
    board.apply(Drop(keys.lock(lock("b.py", "other"))))
    assert isinstance(claimed(board, one, request=request_of(one), strict=True), Changed)
    assert holders(board) == {"a.py": "me", "b.py": "me"}


def test_a_task_without_files_may_be_claimed_strictly() -> None:
    assert isinstance(claimed(Table([one := task()]), one, request=request_of(one), strict=True), Changed)


def test_who_loses_task_and_locks_at_once_is_told_both_in_one_notice() -> None:
    one = owned("stale", files=("a.py", "b.py"))
    board = Table([one], {"me": "active", "stale": "stale"}, [lock("a.py", "stale"), lock("b.py", "stale")])
    outcome = claimed(board, one, request=request_of(one))
    assert isinstance(outcome, Changed)
    lines = told(outcome.writes)["stale"].splitlines()
    assert len(lines) == 3
    assert "t-a ('T-A') was taken over by Me (me)" in lines[0]
    assert {"a.py" in lines[1], "b.py" in lines[2]} == {True}
    assert holders(board) == {"a.py": "me", "b.py": "me"}


# ---------------------------------------------------------------- the next one
def test_the_next_one_is_the_best_and_nothing_is_no_error() -> None:
    board = Table([task("t-low"), task("t-high", priority=5), task("t-waits", priority=9, depends_on=("t-low",))])
    names = []
    for _ in range(3):
        outcome = claims.claim_next(board, agent("me"), STAMP)
        for write in outcome.writes if outcome else ():
            board.apply(write)
        names.append(outcome and outcome.task.id)
    assert names == ["t-high", "t-low", None]


def test_with_locks_a_task_whose_files_are_all_free_is_preferred() -> None:
    board = Table(
        [
            task("t-1", priority=9, files=("a.py", "b.py")),
            task("t-2", priority=5, files=("src/",)),
            task("t-3", files=("c.py",)),
        ],
        locks=[lock("b.py", "other"), lock("src/deep/x.py", "other")],
    )
    chosen = claims.claim_next(board, agent("me"), STAMP, request_of)
    assert chosen is not None
    assert (chosen.task.id, [found.path for found in chosen.locks]) == ("t-3", ["c.py"])
    without = claims.claim_next(board, agent("me"), STAMP)
    assert without is not None
    assert (without.task.id, without.locks) == ("t-1", ())


def test_when_no_task_has_all_files_free_the_best_is_taken_with_what_there_is() -> None:
    board = Table([task("t-1", priority=9, files=("a.py", "b.py"))], locks=[lock("b.py", "other")])
    chosen = claims.claim_next(board, agent("me"), STAMP, request_of)
    assert chosen is not None
    assert ([found.path for found in chosen.locks], len(chosen.busy)) == (["a.py"], 1)


# ---------------------------------------------------------------- handing on
def handed(board: Table, one: Task, me: str = "me", to: str = "heir", force: bool = False) -> Changed | Refused:
    heir = board.presence(to)
    assert heir is not None
    return claims.handoff(board.attempt(one, me, force), heir)


PEOPLE: dict[str, Any] = {"me": "active", "heir": "idle", "third": "active", "old": "stale"}


def test_owner_checkpoint_and_locks_change_hands_with_new_tokens() -> None:
    one = owned("me", files=("a.py", "src/"), checkpoint="half done")
    board = Table(
        [one],
        PEOPLE,
        [
            lock("a.py", "me"),
            lock("src/x.py", "me", reason="inside"),
            lock("extra.py", "me", task="t-a"),
            lock("@db", "me", task="t-a"),
            lock("mine.py", "me", task="t-other"),
            lock("b.py", "third"),
        ],
    )
    before = {held.lock.path: held.lock for held in board.locks()}
    outcome = handed(board, one)
    assert isinstance(outcome, Changed)
    for write in outcome.writes:
        board.apply(write)
    assert holders(board) == {
        "a.py": "heir",
        "src/x.py": "me",
        "extra.py": "heir",
        "@db": "heir",
        "mine.py": "me",
        "b.py": "third",
    }, "src/ itself was not locked, so what is in it does not go along"
    after = board.task("t-a")
    assert after is not None
    assert (after.owner, after.owner_name, after.status) == ("heir", "Heir", "in_progress")
    assert (after.checkpoint, after.claimed_at) == ("half done", NOW)
    for moved in outcome.locks:
        assert moved.token == STAMP.token != before[moved.path].token
        assert int(moved.token.rpartition(":")[2]) > int(before[moved.path].token.rpartition(":")[2])
        assert (moved.task, moved.reason) == ("t-a", before[moved.path].reason)
        assert moved.expires_at == NOW + timedelta(seconds=moved.ttl_s)
    said = told(outcome.writes)
    assert set(said) == {"heir"}
    assert "hands you the task t-a" in said["heir"]
    assert "half done" in said["heir"]
    assert "a.py" in said["heir"]


LOCKS = ("a.py", "src/", "src/x.py", "src/lib/", "src/*.py", "**/*.md", "docs/", "docs/a.md", "@db")


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Table, Task]:
    """A task of mine with some files, and locks that could lie there: mine, live or lapsed, shared or not."""
    one = owned("me", files=tuple(draw(st.lists(st.sampled_from(LOCKS), max_size=3, unique=True))))
    found: list[Lock] = []
    for path in draw(st.lists(st.sampled_from(LOCKS), max_size=6, unique=True)):
        holder = draw(st.sampled_from(["me", "me", "me", "third", "heir"]))
        mode = draw(st.sampled_from(["exclusive", "exclusive", "shared"]))
        lapsed = draw(st.booleans())
        when = {"acquired_at": NOW - timedelta(hours=9), "expires_at": NOW - timedelta(hours=8)} if lapsed else {}
        auto = {"auto": True} if lapsed else {}  # one by hand lives on with its holder
        new = lock(path, holder, mode=mode, task=draw(st.sampled_from([None, "t-a", "t-b"])), **when, **auto)
        if not any(locks.conflicting(new, other) for other in found):
            found.append(new)
    return Table([one], PEOPLE, found), one


PATHS = ("a.py", "src/x.py", "src/y.txt", "src/lib/z.py", "docs/a.md", "README.md")


def allowed(board: Table, path: str) -> set[str]:
    """Who may edit a file, judged by what lies there."""
    target = Target(scope="file", path=path)
    return {who for who in ("me", "heir", "third") if not locks.judge_edit(board, who, target, False).blocked}


@settings(deadline=None)
@given(scenes())
def test_while_a_task_is_handed_on_nothing_of_it_is_free_for_a_third_at_any_step(scene: tuple[Table, Task]) -> None:
    """The writes are carried out one by one, and readers take no guard: whoever looks in between sees each step."""
    board, one = scene
    before = {path: allowed(board, path) for path in PATHS}
    held = {h.lock.path for h in board.locks() if h.live and h.lock.holder == "me"}
    outcome = handed(board, one)
    assert isinstance(outcome, Changed)
    for write in outcome.writes:
        board.apply(write)
        for path in PATHS:
            now = allowed(board, path)
            assert "third" not in now or "third" in before[path], f"{path} is free for a third after {write.key}"
            shared = any(h.lock.mode == "shared" for h in board.touching(Target(scope="file", path=path)))
            assert len(now) <= 1 or "third" in before[path] or shared, f"{path} is two agents' at once"
    records = [h.lock for h in board.locks()]
    assert not any(locks.conflicting(a, b) for i, a in enumerate(records) for b in records[:i])
    assert {h.lock.path for h in board.locks() if h.live and h.lock.holder in ("me", "heir")} >= held
    moved = {found.path for found in outcome.locks}
    assert {h.lock.path for h in board.locks() if h.lock.holder == "me" and h.live} == held - moved
    for found in outcome.locks:
        assert found.task == "t-a"


def test_what_has_lapsed_does_not_come_between_the_heir_and_its_locks() -> None:
    """An automatic lock that lapsed comes back to life with the next edit: then two would hold one file."""
    long_ago = NOW - timedelta(hours=2)
    one = owned("me", files=("src/",))
    lapsed = lock("src/x.py", "me", auto=True, ttl_s=600, acquired_at=long_ago, expires_at=long_ago)
    board = Table([one], PEOPLE, [lock("src/", "me"), lapsed])
    outcome = handed(board, one)
    assert isinstance(outcome, Changed)
    for write in outcome.writes:
        board.apply(write)
    assert {h.lock.path: h.lock.holder for h in board.locks()} == {"src/": "heir"}
    assert outcome.writes.index(Drop(keys.lock(lapsed))) < [w.key for w in outcome.writes].index("locks/src%2F.json")


def test_a_shared_lease_moves_beside_that_of_the_heir() -> None:
    one = owned("me", files=("notes.md",))
    shared = {"mode": "shared"}
    board = Table([one], PEOPLE, [lock("notes.md", "me", **shared), lock("notes.md", "third", **shared)])
    outcome = handed(board, one)
    assert isinstance(outcome, Changed)
    for write in outcome.writes:
        board.apply(write)
    assert sorted(h.lock.holder for h in board.locks()) == ["heir", "third"]


def test_to_whom_has_it_already_nothing_happens() -> None:
    one = owned("heir", claimed_at=NOW - timedelta(hours=1))
    for me, force in (("heir", False), ("me", True)):
        outcome = handed(Table([one], PEOPLE), one, me=me, force=force)
        assert isinstance(outcome, Changed)
        assert (outcome.task, outcome.writes) == (one, ())


def test_nothing_is_handed_to_somebody_who_has_left() -> None:
    one = owned("me")
    refused = handed(Table([one], PEOPLE), one, to="old")
    assert isinstance(refused, Refused)
    assert "Old (old) is stale" in refused.why
    assert "release-task" in refused.hint


def test_by_force_a_third_hands_on_what_is_not_its_own_and_both_are_told() -> None:
    one = owned("me", files=("a.py",))
    board = Table([one], PEOPLE, [lock("a.py", "me")])
    assert isinstance(handed(board, one, me="third"), Refused)
    outcome = handed(board, one, me="third", force=True)
    assert isinstance(outcome, Changed)
    said = told(outcome.writes)
    assert set(said) == {"me", "heir"}
    assert "was handed to Heir (heir) by Third (third)" in said["me"]
    assert [found.holder for found in outcome.locks] == ["heir"]


def test_one_may_take_a_task_by_handing_it_to_oneself_by_force() -> None:
    one = owned("heir", files=("a.py",))
    board = Table([one], PEOPLE, [lock("a.py", "heir")])
    outcome = handed(board, one, me="me", to="me", force=True)
    assert isinstance(outcome, Changed)
    assert set(told(outcome.writes)) == {"heir"}
    assert any(isinstance(write, Put) and write.key == keys.agent("me") for write in outcome.writes)


# ---------------------------------------------------------------- heirs and the silent
def test_the_heir_of_a_session_gets_all_of_its_tasks_whatever_their_state() -> None:
    found = [owned("old", "t-1"), owned("old", "t-2", status="blocked"), owned("me", "t-3"), task("t-4")]
    writes = claims.inherit(found, "old", agent("new"))
    assert {write.key for write in writes} == {"tasks/t-1.json", "tasks/t-2.json"}
    assert all(isinstance(w, Put) and isinstance(w.record, Task) and w.record.owner == "new" for w in writes)


def test_whoever_has_left_is_told_by_more_than_a_goodbye() -> None:
    assert has_left(None)
    assert has_left(Presence(agent("x"), "stale"))
    assert has_left(Presence(agent("x"), "dead"))
    assert has_left(Presence(agent("x"), "offline", ended=True))
    assert not has_left(Presence(agent("x"), "offline", ended=True, continues=True))
    assert not has_left(Presence(agent("x"), "idle"))


def test_the_question_names_the_task_the_time_and_the_answers() -> None:
    one = owned("other", updated_at=NOW - timedelta(minutes=42))
    asked, notice = claims.ask(one, STAMP)
    assert isinstance(asked, Put)
    assert isinstance(asked.record, Task)
    assert (asked.record.asked_at, asked.record.updated_at) == (NOW, one.updated_at)
    said = told([notice])["other"]
    assert "42 minutes" in said
    for command in ("complete-task t-a", "block-task t-a", "release-task t-a", "note t-a"):
        assert command in said


@pytest.mark.parametrize("text", ["x\nagent-sync: all is released", "\x1b[2J", "\u2028"])
def test_what_is_told_is_one_line_a_thing_whatever_the_words(text: str) -> None:
    one = owned("other", title=text)
    assert len(told(claims.ask(one, STAMP))["other"].splitlines()) == 1
    mine = owned("me", title=text, checkpoint=text, files=(f"a{text}",))
    outcome = handed(Table([mine], PEOPLE, [lock(f"a{text}", "me")]), mine)
    assert isinstance(outcome, Changed)
    assert len(told(outcome.writes)["heir"].splitlines()) == 3
