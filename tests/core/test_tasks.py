"""What may be done with a task by whom, how one is found, which are ready, and which are forgotten."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, get_args

import pytest
from core.boards import NOW, STAMP, Table, agent, lock, owned, task, told

from agentsync.core import claims, keys, progress, tasks
from agentsync.core.changes import Put
from agentsync.core.lease import Presence
from agentsync.core.paths import Target
from agentsync.core.records import Agent, Progress, Task
from agentsync.core.tasks import COMMANDS, KEPT, LEGAL, SILENCE, Changed, Refused, Verb
from agentsync.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.core.tasks import Attempt

VERBS: dict[Verb, Callable[[Attempt], object]] = {
    "claim": claims.claim,
    "complete": progress.complete,
    "block": lambda attempt: progress.block(attempt, "why"),
    "release": progress.release,
    "reopen": progress.reopen,
    "cancel": progress.cancel,
    "checkpoint": lambda attempt: progress.checkpoint(attempt, "half"),
    "handoff": lambda attempt: claims.handoff(attempt, Presence(agent("heir"), "active")),
    "note": lambda attempt: progress.note(attempt, "hm"),
    "edit": lambda attempt: progress.edit(attempt, progress.Says(priority=3)),
}

TABLE = """
              pending  in_progress  blocked  done  cancelled
claim         owner    owner        owner    -     -
complete      -        owner        owner    -     -
block         owner    owner        -        -     -
release       -        owner        owner    -     -
reopen        -        -            owner    yes   yes
cancel        owner    owner        owner    -     -
checkpoint    -        owner        owner    -     -
handoff       -        owner        owner    -     -
edit          owner    owner        owner    -     -
note          yes      yes          yes      yes   yes
"""
"""The whole of it: illegal, only for its owner (whoever wants, when that is nobody or gone), or for everybody."""

OWNERS = {"nobody": None, "me": "me", "another": "other", "somebody stale": "stale", "somebody gone": "gone"}
STATUSES: tuple[Progress, ...] = get_args(Progress)


def rules() -> dict[tuple[str, str], str]:
    first, *rows = TABLE.strip().splitlines()
    return {
        (verb, status): word
        for row in rows
        for verb, *words in [row.split()]
        for status, word in zip(first.split(), words, strict=True)
    }


def test_the_table_says_what_the_code_says() -> None:
    assert {cell for cell, word in rules().items() if word != "-"} == {
        (verb, status) for verb, statuses in LEGAL.items() for status in statuses
    }
    assert set(VERBS) == set(LEGAL) == set(COMMANDS) == set(get_args(Verb))


@pytest.mark.parametrize("force", [False, True], ids=["", "by force"])
@pytest.mark.parametrize("whose", OWNERS)
@pytest.mark.parametrize(("verb", "status"), list(product(VERBS, STATUSES)))
def test_every_verb_in_every_state_by_every_agent(verb: Verb, status: Progress, whose: str, force: bool) -> None:
    one = owned(OWNERS[whose], status=status, blocked_reason="a key is missing" if status == "blocked" else None)
    board = Table([one], {"me": "active", "other": "idle", "heir": "active", "stale": "stale"})
    outcome = VERBS[verb](board.attempt(one, force=force))
    rule = rules()[verb, status]
    blocked = verb == "claim" and status == "blocked" and whose != "me"
    allowed = rule == "yes" or (rule == "owner" and (force or (whose != "another" and not blocked)))
    if not allowed:
        assert isinstance(outcome, Refused)
        assert outcome.task == one
        return
    assert isinstance(outcome, Changed)
    assert outcome.before == one
    for write in outcome.writes:
        board.apply(write)
    assert board.task("t-a") == outcome.task
    is_noop = verb == "claim" and status == "in_progress" and whose == "me"
    assert bool(outcome.writes) != is_noop
    others = OWNERS[whose] not in (None, "me") and status in tasks.UNFINISHED and verb != "note"
    assert (OWNERS[whose] in told(outcome.writes)) == others, "whoever is overridden hears of it, and only they"


@pytest.mark.parametrize("status", STATUSES)
def test_what_is_illegal_says_what_is_legal(status: Progress) -> None:
    one = owned("me", status=status)
    for verb in (verb for verb in VERBS if status not in LEGAL[verb]):
        outcome = VERBS[verb](Table([one]).attempt(one))
        assert isinstance(outcome, Refused)
        legal = {COMMANDS[other] for other in VERBS if status in LEGAL[other]}
        assert set(outcome.hint.removeprefix("legal now: ").split(", ")) == legal
        assert status in outcome.why


def test_a_refusal_says_whose_since_when_and_what_to_do() -> None:
    one = owned("other", claimed_at=NOW - timedelta(minutes=90))
    outcome = tasks.refusal(Table([one]).attempt(one), "complete")
    assert outcome is not None
    assert outcome.why == ("t-a ('T-A') is in_progress and belongs to Other (other) since 10:30 UTC, last seen 0 s ago")
    assert "send --to other" in outcome.hint
    assert "--force" not in outcome.hint


# ---------------------------------------------------------------- one's own record
def record_of(changed: object, agent_id: str) -> Agent | None:
    assert isinstance(changed, Changed)
    found = [w.record for w in changed.writes if isinstance(w, Put) and w.key == keys.agent(agent_id)]
    assert all(isinstance(record, Agent) for record in found)
    return found[0] if found else None  # type: ignore[return-value]


def test_a_claim_says_on_ones_record_what_one_works_on_and_the_end_takes_it_away() -> None:
    one = task()
    mine = record_of(claims.claim(Table([one]).attempt(one)), "me")
    assert mine is not None
    assert mine.task == "t-a"
    for verb in ("complete", "block", "release", "cancel", "handoff"):
        attempt = tasks.Attempt(Table([owned("me")]), agent("me", task="t-a"), owned("me"), STAMP)
        mine = record_of(VERBS[verb](attempt), "me")
        assert mine is not None
        assert mine.task is None, verb


def test_nobody_writes_the_record_of_another_as_that_would_be_a_sign_of_life() -> None:
    for verb, whose in product(VERBS, ("other", "gone")):
        one = owned(whose)
        outcome = VERBS[verb](Table([one]).attempt(one, force=True))
        if isinstance(outcome, Changed):
            assert record_of(outcome, whose) is None, verb
            assert record_of(outcome, "heir") is None, verb


def test_finishing_another_of_ones_tasks_keeps_what_one_works_on() -> None:
    one = owned("me", "t-b")
    attempt = tasks.Attempt(Table([one, owned("me")]), agent("me", task="t-a"), one, STAMP)
    assert record_of(progress.complete(attempt), "me") is None


# ---------------------------------------------------------------- finding
BOARD = Table(
    [
        task("t-aa11", title="Login form"),
        task("t-aa22", title="Its tests"),
        task("t-bb33", title="Logout", status="done"),
        task("t-cc44", title="Logout"),
        task("t-dd55", title="Twice"),
        task("t-dd66", title="Twice"),
        task("t-ee77", title="t-aa"),
        task("t-ff88", title="Straße 7"),
        task("t-ff99", title="Both done", status="done"),
        task("t-ff9a", title="Both done", status="cancelled"),
    ]
)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("t-aa11", "t-aa11"),
        ("t-aa1", "t-aa11"),
        ("t-bb", "t-bb33"),
        ("Login form", "t-aa11"),
        ("lOGIN FORM", "t-aa11"),
        ("  Login form ", "t-aa11"),
        ("Logout", "t-cc44"),
        ("STRASSE 7", "t-ff88"),
        ("t-aa", "t-ee77"),
    ],
)
def test_a_task_is_found_by_id_prefix_or_title(words: str, found: str) -> None:
    assert tasks.find(BOARD, words).id == found


@pytest.mark.parametrize("words", ["", "Login", "form", "aa11", "T-AA11", "t-zz", "../t-aa11", "x" * 100_000, "t-\0"])
def test_what_is_not_there_says_where_to_look(words: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        tasks.find(BOARD, words)
    assert "there is no task" in caught.value.message
    assert len(caught.value.message) < 1000
    assert "agent-sync tasks --all" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "candidates"),
    [("Twice", {"t-dd55", "t-dd66"}), ("t-d", {"t-dd55", "t-dd66"}), ("Both done", {"t-ff99", "t-ff9a"})],
)
def test_what_fits_several_lists_them(words: str, candidates: set[str]) -> None:
    with pytest.raises(NotFoundError) as caught:
        tasks.find(BOARD, words)
    assert {one.id for one in BOARD.tasks() if one.id in caught.value.others} == candidates
    assert "id" in caught.value.hint


def test_many_candidates_are_counted() -> None:
    with pytest.raises(NotFoundError, match=r"fits 40 tasks: .* and 32 more"):
        tasks.find(Table([task(f"t-{n:02}") for n in range(40)]), "t-")


# ---------------------------------------------------------------- order and readiness
def test_the_greater_priority_comes_first_then_the_older_then_the_lesser_id() -> None:
    def made(task_id: str, priority: int, minutes: int) -> Task:
        return task(task_id, priority=priority, created_at=NOW + timedelta(minutes=minutes))

    wanted = [made("t-1", 9, 50), made("t-2", 1, 10), made("t-3", 1, 20), made("t-4", 0, 0), made("t-5", -3, 0)]
    wanted.insert(4, made("t-41", 0, 0))
    assert tasks.in_order(wanted[::-1]) == wanted


STATES = {"pending": False, "in_progress": False, "blocked": False, "done": True, "cancelled": True, "archived": True}


@pytest.mark.parametrize("status", STATES)
def test_a_dependency_is_met_when_it_is_done_or_cancelled(status: str) -> None:
    dependent = task("t-x", depends_on=("t-a",))
    others = [task("t-a", status=status)] if status != "archived" else []
    assert (tasks.unmet(dependent, {one.id: one for one in others}) == ()) == STATES[status]
    found = [one.id for one in tasks.available(Table([*others, dependent]), "me")]
    assert ("t-x" in found) == STATES[status]


def test_what_can_be_claimed_next_is_open_and_ready_or_left_behind() -> None:
    board = Table(
        [
            task("t-open"),
            task("t-waits", depends_on=("t-open",)),
            task("t-blocked", status="blocked"),
            owned("other", "t-others"),
            owned("me", "t-mine"),
            owned("gone", "t-left"),
            owned("stale", "t-stale", priority=1),
            owned("gone", "t-left-waits", depends_on=("t-open",)),
            owned("gone", "t-left-blocked", status="blocked"),
            owned("gone", "t-done", status="done"),
        ],
        {"me": "active", "other": "idle", "stale": "stale"},
    )
    assert [one.id for one in tasks.available(board, "me")] == ["t-stale", "t-left", "t-open"]


def test_a_session_that_is_about_to_go_on_keeps_its_task() -> None:
    one = owned("other")
    for continues in (False, True):
        left = Presence(agent("other"), "offline", ended=True, continues=continues)
        assert tasks.is_abandoned(one, left) != continues


# ---------------------------------------------------------------- what somebody works on
def test_one_works_on_what_ones_record_says_else_on_the_last_claimed() -> None:
    early, late = NOW - timedelta(minutes=9), NOW - timedelta(minutes=1)
    found = [owned("me", "t-a", claimed_at=late), owned("me", "t-b", claimed_at=early), owned("other", "t-c")]
    assert tasks.current("me", "t-b", found) == "t-b"
    assert tasks.current("me", None, found) == "t-a"
    assert tasks.current("me", "t-c", found) == "t-a"
    assert tasks.current("me", "t-a", [owned("me", "t-a", status="done")]) is None


@pytest.mark.parametrize("minutes", [29, 30, 31])
def test_silence_counts_from_the_claim_or_the_last_edit(minutes: int) -> None:
    then = NOW - timedelta(minutes=minutes)
    other = Presence(agent("other"), "idle")
    long_ago = NOW - timedelta(hours=9)
    is_silent = timedelta(minutes=minutes) > SILENCE
    assert tasks.is_silent(owned("other", claimed_at=then), other, None, NOW) == is_silent
    assert tasks.is_silent(owned("other", claimed_at=then), other, long_ago, NOW) == is_silent
    assert tasks.is_silent(owned("other", claimed_at=long_ago), other, then, NOW) == is_silent


def test_whoever_is_gone_or_has_stopped_is_not_silent() -> None:
    then = NOW - timedelta(hours=9)
    assert not tasks.is_silent(owned("other", claimed_at=then), None, None, NOW)
    assert not tasks.is_silent(owned("other", claimed_at=then), Presence(agent("other"), "stale"), None, NOW)
    blocked = owned("other", claimed_at=then, status="blocked")
    assert not tasks.is_silent(blocked, Presence(agent("other"), "idle"), None, NOW)


def test_the_question_is_forgotten_when_the_owner_says_something_and_not_when_others_do() -> None:
    asked = owned("other", asked_at=NOW)
    assert progress.note(Table([asked]).attempt(asked, "other"), "going on").task.asked_at is None
    assert progress.note(Table([asked]).attempt(asked, "me"), "hurry").task.asked_at == NOW
    taken = claims.claim(Table([asked]).attempt(asked, "me", force=True))
    assert isinstance(taken, Changed)
    assert taken.task.asked_at is None


# ---------------------------------------------------------------- forgetting
def test_the_oldest_finished_tasks_are_dropped_and_none_that_is_needed() -> None:
    def finished(number: int) -> Task:
        at = NOW - timedelta(minutes=number)
        return task(f"t-{number:04}", status="cancelled" if number % 2 else "done", completed_at=at)

    many = [finished(number) for number in range(KEPT + 50)]
    waiting = task("t-open", depends_on=(f"t-{KEPT + 20:04}", "t-0000"))
    done = task("t-done", status="done", completed_at=NOW, depends_on=(f"t-{KEPT + 30:04}",))
    dropped = {write.key for write in tasks.outdated([*many, waiting, done])}
    oldest = {keys.task(f"t-{number:04}") for number in range(KEPT, KEPT + 50)}
    assert dropped == oldest - {keys.task(f"t-{KEPT + 20:04}")}  # 248 are left that nobody needs, and t-done
    assert tasks.outdated([*many[:KEPT], waiting]) == ()
    assert tasks.outdated([task(f"t-{n}") for n in range(KEPT * 3)]) == (), "what is open stays, however much it is"


# ---------------------------------------------------------------- files
@pytest.mark.parametrize(
    ("path", "scope", "worktree"),
    [
        ("src/a.py", "file", "w"),
        ("src/", "dir", "w"),
        ("src/**/*.py", "glob", "w"),
        ("@db", "resource", None),
        ("@types/node.d.ts", "file", "w"),
        ("/etc/hosts", "file", None),
        ("/etc/", "dir", None),
    ],
)
def test_a_path_of_a_task_becomes_a_target_where_its_claimer_works(path: str, scope: str, worktree: str | None) -> None:
    (target,) = tasks.targets(task(files=(path,)), "w")
    assert target == Target(scope=scope, path=path, worktree=worktree)  # type: ignore[arg-type]
    assert lock(path, "me").scope in (scope, "resource")
