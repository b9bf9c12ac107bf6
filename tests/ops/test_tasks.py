"""Tasks among agents who come, go, fall silent and take over. The clock moves by hand."""

from __future__ import annotations

import errno
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from lines import joins
from world import NOON, ClockFiles, World, git

from agentsync.core.locks import Conflict
from agentsync.core.progress import Says
from agentsync.core.tasks import Changed, Refused
from agentsync.errors import NotFoundError, UsageError
from agentsync.ops import care, tasks
from agentsync.ops.mail import delivery
from agentsync.store import log

if TYPE_CHECKING:
    from world import Player


def ok(outcome: object) -> Changed:
    assert isinstance(outcome, Changed), outcome
    return outcome


def no(outcome: object) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


def verbs(world: World) -> list[str]:
    return [event.verb for event in log.since(world.agent("reader").session.store.files, 0)]


def last(world: World) -> str:
    """The summary of the newest event."""
    return log.tail(world.agent("reader").session.store.files, 1)[0].summary


def is_told(player: Player) -> list[str]:
    """What the next hook of this agent tells it."""
    with delivery(player.session, "prompt", lambda _message: 1, 100) as now:
        return [message.body for message in now.messages]


@pytest.fixture
def pair(world: World) -> tuple[Player, Player]:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers("Alice")
    bob.registers("Bob")
    return alice, bob


# ---------------------------------------------------------------- making
def test_files_are_named_from_the_root_wherever_they_are_typed(world: World) -> None:
    made = world.agent("alice", cwd=world.root / "src").makes("T", "app.py", "../docs/", "**/*.ts", "@db", ".")
    assert made.files == ("src/app.py", "docs/", "src/**/*.ts", "@db", "src/")


def test_who_makes_a_task_is_on_the_board(world: World) -> None:
    made = world.agent("alice").makes("T")
    assert (made.created_by, made.id[:2], len(made.id)) == ("alice", "t-", 6)
    assert (world.state / f"tasks/{made.id}.json").exists()
    assert (world.state / "agents/alice.json").exists()


def test_looking_for_a_task_where_there_is_no_board_makes_none(world: World) -> None:
    alice = world.agent("alice")
    for ask in (
        lambda: alice.claims("x"),
        lambda: alice.does("complete", "x"),
        lambda: tasks.story(alice.session, "x"),
    ):
        with pytest.raises(NotFoundError, match="there is no task 'x'"):
            ask()
    assert alice.sees() == {}
    assert not world.state.exists()


def test_what_is_refused_is_not_committed(pair: tuple[Player, Player], world: World) -> None:
    alice, bob = pair
    alice.makes("T")
    alice.claims("T")
    before = verbs(world)
    no(bob.claims("T"))
    no(bob.does("complete", "T"))
    with pytest.raises(UsageError):
        alice.does("note", "T", "")
    assert verbs(world) == before


# ---------------------------------------------------------------- claiming
def test_a_claim_is_ones_own_and_on_ones_record(pair: tuple[Player, Player], world: World) -> None:
    alice, bob = pair
    made = alice.makes("T")
    ok(alice.claims("T"))
    assert (alice.works_on(), bob.works_on()) == ("T", None)
    there = alice.session.store.state().presence("alice")
    assert there is not None
    assert there.agent.task == made.id
    assert "belongs to Alice (alice)" in no(bob.claims("T")).why
    before = verbs(world)
    assert ok(alice.claims("T")).writes == ()
    assert verbs(world) == before


def test_locks_that_come_with_a_claim_name_the_task_and_refuse_edits(pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    made = alice.makes("T", "src/app.py", "src/lib/")
    outcome = ok(alice.claims("T", lock=True))
    assert {(found.path, found.task, found.auto) for found in outcome.locks} == {
        ("src/app.py", made.id, False),
        ("src/lib/", made.id, False),
    }
    assert not bob.may_edit("src/app.py")
    assert not bob.may_edit("src/lib/new.py")


def test_a_claim_locks_what_is_free_and_names_the_rest(pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.locks("src/app.py")
    bob.makes("T", "src/app.py", "src/b.py")
    outcome = ok(bob.claims("T", lock=True))
    assert bob.holds() == ["src/b.py"]
    assert [(b.target.path, b.held.lock.holder) for b in outcome.busy] == [("src/app.py", "alice")]
    assert bob.works_on() == "T"


def test_a_claim_leaves_a_file_to_those_in_line_for_it(pair: tuple[Player, Player], world: World) -> None:
    """As `lock` does: who waits would otherwise wait for whoever claims."""
    alice, bob = pair
    alice.locks("src/app.py")
    joins(bob, "src/app.py")
    alice.makes("T", "src/app.py", "src/b.py")
    alice.unlocks("src/app.py")
    outcome = ok(alice.claims("T", lock=True))
    assert alice.holds() == ["src/b.py"]
    assert (outcome.busy, [waiter.agent for waiter in outcome.waiting]) == ((), ["bob"])
    alice.does("release", "T")
    strict = alice.claims("T", strict=True)
    assert isinstance(strict, Conflict)
    assert [waiter.agent for waiter in strict.waiting] == ["bob"]


def test_a_claim_renews_a_lock_although_somebody_is_in_line_for_it(pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.locks("src/app.py")
    joins(bob, "src/app.py")
    alice.makes("T", "src/app.py")
    outcome = ok(alice.claims("T", strict=True))
    assert [found.path for found in outcome.locks] == ["src/app.py"]


def test_a_lock_is_not_shortened_by_a_renewal_that_says_nothing_of_its_time(pair: tuple[Player, Player]) -> None:
    alice, _ = pair
    alice.locks("src/app.py", ttl_minutes=300)
    alice.makes("T", "src/app.py")
    for renew in (lambda: alice.locks("src/app.py", reason="more"), lambda: alice.claims("T", lock=True)):
        renew()
        (held,) = alice.session.store.state().locks()
        assert held.lock.ttl_s == 300 * 60
    alice.locks("src/app.py", ttl_minutes=5)
    (held,) = alice.session.store.state().locks()
    assert held.lock.ttl_s == 5 * 60, "but whoever names a time means it"
    assert held.lock.expires_at == NOON + timedelta(minutes=5)
    alice.locks("src/app.py")
    (held,) = alice.session.store.state().locks()
    assert held.lock.ttl_s == 60 * 60


def test_the_next_task_with_locks_is_one_whose_files_nobody_is_in_line_for(pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.locks("src/app.py")
    joins(bob, "src/app.py")
    alice.unlocks("src/app.py")
    alice.makes("awaited", "src/app.py", priority=9)
    alice.makes("free", "docs/a.md")
    assert alice.claims_next(lock=True) == "free"


def test_a_strict_claim_takes_all_or_leaves_the_task(pair: tuple[Player, Player], world: World) -> None:
    alice, bob = pair
    alice.locks("src/app.py")
    bob.makes("T", "src/app.py", "src/b.py")
    before = verbs(world)
    assert isinstance(bob.claims("T", strict=True), Conflict)
    assert (bob.holds(), bob.works_on(), verbs(world)) == ([], None, before)
    alice.unlocks("src/app.py")
    ok(bob.claims("T", strict=True))
    assert bob.holds() == ["src/app.py", "src/b.py"]


def test_the_next_task_with_locks_is_one_whose_files_are_free(pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    bob.locks("src/")
    alice.makes("busy", "src/app.py", priority=9)
    alice.makes("free", "docs/a.md")
    assert alice.claims_next(lock=True) == "free"
    assert alice.holds() == ["docs/a.md"]
    assert alice.claims_next(lock=True) == "busy"
    assert alice.holds() == ["docs/a.md"]
    assert alice.claims_next(lock=True) is None


def test_a_file_that_exists_is_locked_although_its_name_is_a_pattern_too(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    (world.root / "pages").mkdir()
    (world.root / "pages/[id].tsx").write_text("x\n")
    bob.registers()
    made = alice.makes("T", "pages/[id].tsx", "pages/*.css")
    assert made.files == ("pages/[id].tsx", "pages/*.css")
    ok(alice.claims("T", lock=True))
    assert not bob.may_edit("pages/[id].tsx")
    assert bob.may_edit("pages/i.tsx")
    assert not bob.may_edit("pages/a.css")


def test_locks_are_taken_in_the_worktree_of_whoever_claims(world: World) -> None:
    alice = world.agent("alice")
    alice.makes("T", "src/app.py")
    linked = world.root.parent / "linked"
    git("worktree", "add", "-q", str(linked), cwd=world.root)
    bob = world.agent("bob", cwd=linked)
    (found,) = ok(bob.claims("T", lock=True)).locks
    assert (found.path, found.worktree) == ("src/app.py", "linked")


# ---------------------------------------------------------------- from one to the next
def test_completing_tells_what_became_ready_and_clears_ones_record(pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.makes("API")
    alice.makes("UI", depends_on=("API",))
    assert "waits for" in no(bob.claims("UI")).why
    assert alice.claims_next() == "API"
    assert bob.claims_next() is None
    assert [one.title for one in ok(alice.does("complete", "API")).ready] == ["UI"]
    assert alice.works_on() is None
    there = alice.session.store.state().presence("alice")
    assert there is not None
    assert there.agent.task is None
    assert bob.claims_next() == "UI"


@pytest.mark.parametrize(
    ("verb", "more"),
    [("complete", ()), ("block", ("why",)), ("release", ()), ("cancel", ()), ("checkpoint", ("half",))],
)
def test_what_is_done_by_force_is_recorded_and_the_owner_told(
    verb: str, more: tuple[str, ...], pair: tuple[Player, Player], world: World
) -> None:
    alice, bob = pair
    made = alice.makes("T")
    alice.claims("T")
    no(bob.does(verb, "T", *more))
    ok(bob.does(verb, "T", *more, force=True))
    assert "Bob (bob)" in last(world)
    assert f"{made.id} of Alice (alice)" in last(world), "that it was another's is in the log"
    (said,) = is_told(alice)
    assert made.id in said
    assert "Bob (bob)" in said
    assert is_told(bob) == []


def test_an_edit_by_force_is_told_too_and_a_note_needs_none(pair: tuple[Player, Player], world: World) -> None:
    alice, bob = pair
    alice.makes("T")
    alice.claims("T")
    no(tasks.edit(bob.session, "T", Says(priority=9)))
    ok(tasks.edit(bob.session, "T", Says(priority=9), force=True))
    assert "was edited by Bob (bob)" in is_told(alice)[0]
    ok(bob.does("note", "T", "look at #12"))
    assert is_told(alice) == []
    assert last(world) == f"Bob (bob) noted on {alice.sees()['T'].task.id} of Alice (alice): look at #12"


def test_the_trail_of_a_task_outlives_the_fold_of_the_log(pair: tuple[Player, Player]) -> None:
    alice, bob = pair
    alice.makes("T")
    for number in range(3):
        alice.does("note", "T", f"step {number}")
    for _ in range(300):
        bob.locks("src/app.py")
        bob.unlocks("src/app.py")
    care.gc(bob.session)
    alice.does("note", "T", "step 3")
    _, events = tasks.story(alice.session, "T")
    assert [event.verb for event in events] == ["create-task", "note", "note", "note", "note"]
    assert [event.summary.rpartition(": ")[2] for event in events] == ["T", "step 0", "step 1", "step 2", "step 3"]
    _, events = tasks.story(alice.session, "T", count=2)
    assert [event.summary.rpartition(": ")[2] for event in events] == ["step 2", "step 3"]


# ---------------------------------------------------------------- an owner who is gone
def test_the_task_of_somebody_who_vanished_is_taken_over_with_its_checkpoint(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    bob.registers("Bob")
    alice.makes("T", "src/app.py")
    alice.claims("T", lock=True)
    alice.does("checkpoint", "T", "form done, validation missing")
    assert bob.claims_next() is None
    world.clock.advance(minutes=16)
    assert bob.sees()["T"].abandoned
    outcome = ok(tasks.claim_next(bob.session, lock=True))
    assert outcome.before.owner == "alice"
    assert outcome.task.checkpoint == "form done, validation missing"
    assert (bob.holds(), alice.holds()) == (["src/app.py"], [])
    assert any("of alice (alice)" in event.summary for event in log.tail(bob.session.store.files, 3))
    (said,) = is_told(alice)
    assert "was taken over by Bob (bob)" in said
    assert "src/app.py" in said
    assert alice.works_on() is None


def test_a_dead_process_gives_its_task_free_at_once(world: World) -> None:
    alice, bob = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242), world.agent("bob")
    alice.makes("T")
    alice.claims("T")
    no(bob.claims("T"))
    world.machine.kill(4242)
    ok(bob.claims("T"))


def test_a_session_that_ended_gives_its_task_free_at_once(world: World) -> None:
    alice, bob = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242), world.agent("bob")
    alice.makes("T")
    alice.claims("T")
    alice.ends()
    assert bob.sees()["T"].abandoned
    ok(bob.claims("T"))


def cleared(world: World) -> tuple[Player, Player]:
    """A session, and the one that its client begins in the same process after `/clear`."""
    old = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    return old, world.client("22222222-2222-4222-8222-00000000bbbb", pid=4242)


def test_after_clear_the_new_session_goes_on_with_the_task_and_its_locks(world: World) -> None:
    old, new = cleared(world)
    old.makes("T", "src/app.py")
    old.makes("stuck")
    old.claims("stuck")
    old.does("block", "stuck", "why")
    old.claims("T", lock=True)
    old.ends(continues=True)
    new.registers()
    assert (new.works_on(), new.holds()) == ("T", ["src/app.py"])
    assert {seen.task.owner for seen in new.sees().values()} == {new.id}
    assert {seen.task.owner_name for seen in new.sees().values()} == {new.id}
    ok(new.does("complete", "T"))


def test_between_clear_and_the_new_session_nobody_gets_the_task(world: World) -> None:
    """Another agent comes on the board just then, which tidies up after those who are gone."""
    old, new = cleared(world)
    old.registers("Alice", "ui")
    old.makes("T")
    old.claims("T")
    old.ends(continues=True)
    bob = world.agent("bob")
    bob.registers()
    care.gc(bob.session)
    assert bob.claims_next() is None
    no(bob.claims("T"))
    new.registers()
    assert new.works_on() == "T"
    there = new.session.store.state().presence(new.id)
    assert there is not None
    assert (there.agent.name, there.agent.role) == ("Alice", "ui")


def test_a_client_that_died_after_clear_keeps_nothing(world: World) -> None:
    old, _ = cleared(world)
    bob = world.agent("bob")
    bob.registers()
    old.makes("T")
    old.claims("T")
    old.ends(continues=True)
    world.machine.kill(4242)
    assert bob.sees()["T"].abandoned
    ok(bob.claims("T"))


# ---------------------------------------------------------------- an owner who is silent
@pytest.fixture
def silent(world: World) -> tuple[Player, Player]:
    """Alice's client runs, she claimed T half an hour and a bit ago, and nothing was heard since. Bob is there."""
    alice, bob = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242), world.agent("bob")
    alice.makes("T")
    alice.claims("T")
    world.clock.advance(minutes=31)
    bob.registers()
    return alice, bob


def test_who_is_silent_is_shown_as_stalled_and_asked_once_at_the_next_hook(
    silent: tuple[Player, Player], world: World
) -> None:
    alice, bob = silent
    seen = bob.sees()["T"]
    assert (seen.stalled, seen.abandoned) == (True, False)
    bob.sees()
    assert verbs(world).count("ask") == 1
    (said,) = is_told(alice)
    assert "is it done" in said.lower()
    assert bob.sees()["T"].stalled, "to have been asked is no answer"
    world.clock.advance(minutes=60)
    bob.sees()
    assert is_told(alice) == []
    no(bob.claims("T"))


def test_a_task_is_not_stalled_before_its_time(world: World) -> None:
    alice, bob = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242), world.agent("bob")
    alice.makes("T")
    alice.claims("T")
    world.clock.advance(minutes=29)
    assert not bob.sees()["T"].stalled
    assert "ask" not in verbs(world)


def test_an_edit_is_news(silent: tuple[Player, Player], world: World) -> None:
    alice, bob = silent
    alice.has_edited("src/app.py")
    assert not bob.sees()["T"].stalled
    world.clock.advance(minutes=31)
    assert bob.sees()["T"].stalled


def test_an_event_of_the_owner_is_news_whatever_it_is(silent: tuple[Player, Player], world: World) -> None:
    alice, bob = silent
    alice.locks("docs/")
    assert not bob.sees()["T"].stalled
    world.clock.advance(minutes=31)
    assert bob.sees()["T"].stalled


def test_what_others_say_about_a_task_is_no_news_of_its_owner(silent: tuple[Player, Player]) -> None:
    alice, bob = silent
    bob.does("note", "T", "how far is it?")
    assert bob.sees()["T"].stalled
    assert len(is_told(alice)) == 1
    bob.does("note", "T", "well?")
    bob.sees()
    assert is_told(alice) == []


def test_to_look_at_ones_own_stalled_task_is_no_news_either(silent: tuple[Player, Player]) -> None:
    alice, bob = silent
    assert alice.sees()["T"].stalled
    assert alice.sees()["T"].stalled
    assert bob.sees()["T"].stalled
    assert len(is_told(alice)) == 1


def test_after_an_answer_it_may_be_asked_again_when_it_falls_silent_again(
    silent: tuple[Player, Player], world: World
) -> None:
    alice, bob = silent
    bob.sees()
    is_told(alice)
    alice.does("note", "T", "under way")
    assert not bob.sees()["T"].stalled
    world.clock.advance(minutes=31)
    assert bob.sees()["T"].stalled
    assert len(is_told(alice)) == 1


def test_who_has_several_silent_tasks_is_told_of_all_in_one_notice(world: World) -> None:
    alice, bob = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242), world.agent("bob")
    for title in ("one", "two", "three"):
        alice.makes(title)
        alice.claims(title)
    world.clock.advance(minutes=31)
    bob.sees()
    (said,) = is_told(alice)
    assert len(said.splitlines()) == 3
    assert verbs(world).count("ask") == 1


def test_who_looks_while_somebody_writes_does_not_wait(silent: tuple[Player, Player]) -> None:
    alice, bob = silent
    with alice.session.store.transaction("alice"):
        started = time.monotonic()
        assert bob.sees()["T"].stalled
        assert time.monotonic() - started < 5, "ten seconds is what a command waits for the guard"
    bob.sees()
    assert len(is_told(alice)) == 1


# ---------------------------------------------------------------- handing on
def test_a_task_is_handed_on_with_locks_and_checkpoint(pair: tuple[Player, Player], world: World) -> None:
    alice, bob = pair
    carol = world.agent("carol")
    alice.makes("T", "src/app.py", "docs/")
    before = {found.path: found.token for found in ok(alice.claims("T", lock=True)).locks}
    alice.does("checkpoint", "T", "half done")
    outcome = ok(alice.does("handoff", "T", "Bob"))
    assert (alice.holds(), bob.holds()) == ([], ["docs/", "src/app.py"])
    assert (alice.works_on(), bob.works_on()) == (None, "T")
    for found in outcome.locks:
        assert int(found.token.rpartition(":")[2]) > int(before[found.path].rpartition(":")[2])
    assert bob.may_edit("src/app.py")
    assert not alice.may_edit("src/app.py")
    assert not carol.may_edit("docs/x.md")
    no(carol.claims("T"))
    (said,) = is_told(bob)
    assert all(word in said for word in ("Alice (alice)", "half done", "src/app.py", "docs/"))
    assert [verb for verb in verbs(world) if verb in ("handoff", "deliver")] == ["handoff", "deliver"]


def test_an_heir_is_found_by_name_or_id_and_nobody_else_is_guessed(pair: tuple[Player, Player], world: World) -> None:
    alice, _ = pair
    world.agent("bob2").registers("Bob")
    alice.makes("T")
    alice.claims("T")
    with pytest.raises(NotFoundError, match="bob2"):
        alice.does("handoff", "T", "Bob")
    with pytest.raises(NotFoundError, match="no agent here has the id or name 'Carol'"):
        alice.does("handoff", "T", "Carol")
    ok(alice.does("handoff", "T", "bob2"))


def test_to_who_is_gone_nothing_is_handed(pair: tuple[Player, Player], world: World) -> None:
    alice, bob = pair
    bob.locks("x.py", ttl_minutes=600)  # keeps him on the board
    alice.makes("T")
    alice.claims("T")
    bob.ends()
    assert "Bob (bob) is offline" in no(alice.does("handoff", "T", "bob")).why
    assert alice.works_on() == "T"


# ---------------------------------------------------------------- who may only read
class ReadOnly(ClockFiles):
    """A disk that is mounted read-only."""

    def write_temp(self, data: bytes, sync: bool) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    def touch(self, key: str) -> bool:
        raise OSError(errno.EROFS, "Read-only file system")


def test_a_board_that_may_only_be_read_is_listed_and_nobody_is_asked(
    silent: tuple[Player, Player], world: World
) -> None:
    reader = world.agent("bob", files=ReadOnly(str(world.state), world.clock))
    assert reader.sees()["T"].stalled
    assert tasks.story(reader.session, "T")[0].task.title == "T"
    assert "ask" not in verbs(world)
    with pytest.raises(OSError, match="Read-only"):
        reader.makes("another")


def test_a_damaged_task_comes_back_from_the_log(pair: tuple[Player, Player], world: World) -> None:
    alice, bob = pair
    made = alice.makes("T", "src/app.py")
    alice.claims("T")
    (world.state / f"tasks/{made.id}.json").write_bytes(b"{torn")
    assert alice.sees() == {}, "a look repairs nothing"
    no(bob.claims("T"))
    assert alice.sees()["T"].task.owner == "alice"
    (world.state / f"tasks/{made.id}.json").write_bytes(b"")
    assert bob.claims_next() is None
    assert alice.works_on() == "T"


def test_times_in_a_task_are_those_of_the_clock(world: World) -> None:
    alice = world.agent("alice")
    made = alice.makes("T")
    assert made.created_at == datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
    world.clock.advance(minutes=5)
    assert ok(alice.claims("T")).task.claimed_at == made.created_at + timedelta(minutes=5)
    world.clock.advance(minutes=5)
    assert ok(alice.does("complete", "T")).task.completed_at == made.created_at + timedelta(minutes=10)
