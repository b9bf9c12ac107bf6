"""Standing in line, requests, and what is said of them. The clock moves by hand, and nobody really waits: a place in
line is looked at when the test says so. Real waiting is in `tests/processes/test_waiting.py`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from lines import in_line, joins
from world import ClockFiles, Player, World, git

from agentsync.core import keys
from agentsync.core.locks import Conflict, Granted
from agentsync.errors import GaveUpError, NotFoundError, UsageError
from agentsync.ops import care, locks, requests
from agentsync.ops.requests import Asked, Yours
from agentsync.ops.waiting import FOREVER, GaveUp, Place

if TYPE_CHECKING:
    from collections.abc import Callable


def told(player: Player) -> list[str]:
    return [message.body for _, message in player.session.store.state().inbox(player.id)]


@pytest.fixture
def al(world: World) -> Player:
    player = world.agent("al")
    player.registers("Al")
    return player


@pytest.fixture
def bo(world: World) -> Player:
    player = world.agent("bo")
    player.registers("Bo")
    return player


@pytest.fixture
def cy(world: World) -> Player:
    player = world.agent("cy")
    player.registers("Cy")
    return player


# ---------------------------------------------------------------- turns
def test_what_is_free_is_granted_at_once_and_nobody_stands_in_line(world: World, al: Player) -> None:
    assert isinstance(joins(al, "a"), Granted)
    assert in_line(world) == []


def test_who_waits_is_granted_when_the_holder_lets_go_and_leaves_the_line(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    place = joins(bo, "a")
    assert place.look() is None
    al.unlocks("a")
    assert in_line(world) == ["bo"], "nobody grants it for him"
    assert isinstance(place.look(), Granted)
    assert (bo.holds(), in_line(world)) == (["a"], [])


def test_the_grant_and_the_end_of_the_waiting_are_one_event(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    place = joins(bo, "a")
    al.unlocks("a")
    place.look()
    newest = json.loads(max((world.state / "log").iterdir()).read_text())
    assert newest["verb"] == "lock"
    assert [next(iter(change)) for change in newest["changes"]] == ["put", "drop"]


def test_first_come_first_served_however_late_they_look(world: World, al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    first, second = joins(bo, "a"), joins(cy, "a")
    al.unlocks("a")
    assert second.look() is None
    assert isinstance(first.look(), Granted)
    assert second.look() is None
    bo.unlocks("a")
    assert isinstance(second.look(), Granted)
    assert cy.holds() == ["a"]


def test_who_is_more_important_comes_first(al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    old, urgent = joins(bo, "a"), joins(cy, "a", priority=1)
    al.unlocks("a")
    assert old.look() is None
    assert isinstance(urgent.look(), Granted)


def test_after_a_minute_a_point_of_priority_is_no_advantage(world: World, al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    old = joins(bo, "a", pid=70)
    world.clock.advance(minutes=1)
    urgent = joins(cy, "a", priority=1)
    al.unlocks("a")
    assert urgent.look() is None
    assert isinstance(old.look(), Granted)


def test_a_batch_is_granted_whole_or_not_at_all(world: World, al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    cy.locks("b")
    place = joins(bo, "a", "b")
    al.unlocks("a")
    assert place.look() is None
    assert bo.holds() == []
    cy.unlocks("b")
    place.look()
    assert bo.holds() == ["a", "b"]


def test_who_waits_for_something_else_is_not_in_the_way(al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    joins(bo, "a")
    assert isinstance(joins(cy, "b"), Granted)


def test_who_waits_for_several_keeps_its_place_for_each(al: Player, bo: Player, cy: Player) -> None:
    """Or it would wait for ever while others take turns with the parts."""
    al.locks("a")
    joins(bo, "a", "b")
    assert isinstance(joins(cy, "b"), Place)
    assert isinstance(cy.locks("b"), Conflict)


def test_an_edit_may_win_and_then_they_wait_for_its_holder(world: World, al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    place = joins(bo, "a", pid=70)
    al.unlocks("a")
    assert cy.may_edit("a")
    assert place.look() is None
    assert in_line(world) == ["bo"]
    world.clock.advance(minutes=11)
    assert isinstance(place.look(), Granted)


def test_a_plain_lock_does_not_pass_those_in_line(al: Player, bo: Player, cy: Player) -> None:
    al.locks("src/")
    joins(bo, "src/a")
    al.unlocks("src/")
    refused = cy.locks("src/")
    assert isinstance(refused, Conflict)
    assert (refused.blocked, [w.agent for w in refused.waiting]) == ((), ["bo"])


def test_renewing_a_lock_never_looks_at_the_line(al: Player, bo: Player) -> None:
    al.locks("a")
    joins(bo, "a")
    assert isinstance(al.locks("a", reason="still"), Granted)
    assert isinstance(al.locks("a", wait=FOREVER), Granted), "or he would wait for himself"


def test_a_lapsed_lock_goes_to_who_waits_for_it(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    place = joins(bo, "a", pid=70)
    assert place.look() is None
    world.clock.advance(minutes=61)
    granted = place.look()
    assert isinstance(granted, Granted)
    assert [lock.holder for lock in granted.taken_over] == ["al"]


def test_the_dead_holder_s_lock_goes_to_who_waits_for_it(world: World, bo: Player) -> None:
    al = world.client("11111111-1111-4111-8111-000000000001", pid=50)
    al.locks("a")
    place = joins(bo, "a")
    world.machine.kill(50)
    assert isinstance(place.look(), Granted)


def test_who_waits_in_a_worktree_waits_for_its_own_file(world: World, al: Player) -> None:
    git("worktree", "add", "-q", "../linked", cwd=world.root)
    there = world.agent("bo", cwd=world.root.parent / "linked")
    third = world.agent("cy", cwd=world.root.parent / "linked")
    al.locks("a")
    there.locks("a")
    assert isinstance(joins(third, "a"), Place)
    al.unlocks("a")
    assert isinstance(al.locks("a"), Granted), "nobody is in line for the one in the main worktree"


# ---------------------------------------------------------------- losing a lock meanwhile
class Meanwhile(ClockFiles):
    """Files of somebody in whose way others come at the last instant before it asks for the guard."""

    def __init__(self, world: World, others: Callable[[], object]) -> None:
        super().__init__(str(world.state), world.clock)
        self.others: Callable[[], object] | None = others

    def status(self, key: str) -> os.stat_result | None:
        if key == keys.FORMAT and self.others is not None:
            others, self.others = self.others, None
            others()
        return super().status(key)


def test_who_loses_a_lock_just_before_it_waits_stands_in_line_for_it(
    world: World, al: Player, bo: Player, cy: Player
) -> None:
    """Al holds it, so there is nothing to stand in line for. Bo takes it away. Then Al gets the guard."""
    al.locks("a")
    joins(cy, "a")
    late = Player(al.runtime, Meanwhile(world, lambda: bo.unlocks("a", force=True)))
    refused = late.locks("a", wait=0)
    assert isinstance(refused, Conflict)
    assert [waiter.agent for waiter in refused.waiting] == ["cy"]
    assert al.holds() == []


def test_who_loses_a_lock_while_it_waits_for_another_passes_nobody(
    world: World, al: Player, bo: Player, cy: Player
) -> None:
    al.locks("a")
    bo.locks("b")
    first, second = joins(cy, "a"), joins(al, "a", "b")
    bo.unlocks("a", force=True)
    bo.unlocks("b")
    assert second.look() is None
    assert isinstance(first.look(), Granted)
    cy.unlocks("a")
    assert isinstance(second.look(), Granted)


# ---------------------------------------------------------------- leaving
def test_a_waiter_that_died_is_skipped_and_its_record_goes(world: World, al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    joins(bo, "a", pid=70)
    place = joins(cy, "a", pid=71)
    world.machine.kill(70)
    al.unlocks("a")
    assert isinstance(place.look(), Granted)
    assert (bo.holds(), in_line(world)) == ([], [])


def test_a_waiter_that_was_stopped_is_skipped_and_keeps_its_place(
    world: World, al: Player, bo: Player, cy: Player
) -> None:
    """Ctrl-Z: it lives, and takes nothing."""
    al.locks("a")
    stopped, place = joins(bo, "a", pid=70), joins(cy, "a", pid=71)
    world.machine.stopped.add(70)
    al.unlocks("a")
    assert isinstance(place.look(), Granted)
    assert in_line(world) == ["bo"]
    care.gc(al.session)
    assert in_line(world) == ["bo"]
    cy.unlocks("a")
    assert isinstance(al.locks("a"), Granted), "a lock by hand does not wait for it either"
    world.machine.stopped.clear()
    al.unlocks("a")
    assert isinstance(stopped.look(), Granted)


def test_a_stopped_client_keeps_its_locks(world: World, al: Player) -> None:
    bo = world.client("11111111-1111-4111-8111-000000000001", pid=50)
    bo.locks("a", ttl_minutes=300)
    world.machine.stopped.add(50)
    world.clock.advance(minutes=200)
    assert al.is_refused("a")


def test_a_plain_lock_clears_the_dead_out_of_the_line(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    joins(bo, "a", pid=70)
    world.machine.kill(70)
    assert isinstance(al.locks("b"), Granted)
    assert in_line(world) == []


def test_a_waiter_that_nobody_can_see_counts_for_half_a_minute(
    world: World, al: Player, bo: Player, cy: Player
) -> None:
    al.locks("a")
    unseen, place = joins(bo, "a"), joins(cy, "a", pid=71)
    al.unlocks("a")
    world.clock.advance(seconds=25)
    assert unseen._seems_ours()
    unseen._beat()
    world.clock.advance(seconds=25)
    assert place.look() is None, "it touched its record 25 s ago"
    world.clock.advance(seconds=6)
    assert isinstance(place.look(), Granted)


def test_who_waits_gives_signs_of_life_for_its_locks_too(world: World, al: Player, bo: Player) -> None:
    al.locks("a", ttl_minutes=300)
    bo.locks("b")
    place = joins(bo, "a", pid=70)
    before = len(list((world.state / "log").iterdir()))
    for _ in range(13):
        world.clock.advance(minutes=10)
        al.beats()
        assert place.look() is None
    assert not al.may_edit("b")
    assert len(list((world.state / "log").iterdir())) == before, "a sign of life is no event"


def test_nothing_is_granted_to_who_has_left_the_board(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    place = joins(bo, "a")
    bo.ends()
    assert in_line(world) == []
    al.unlocks("a")
    with pytest.raises(GaveUpError, match="left the board"):
        place.look()
    assert bo.holds() == []


def test_an_orphan_takes_nothing_for_a_client_that_died(world: World, al: Player) -> None:
    bo = world.client("11111111-1111-4111-8111-000000000001", pid=50)
    al.locks("a")
    place = joins(bo, "a", pid=70)
    world.machine.kill(50)
    al.unlocks("a")
    with pytest.raises(GaveUpError, match="left the board"):
        place.look()
    assert (bo.holds(), in_line(world)) == ([], [])


def test_who_gives_up_leaves_the_line(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    place = joins(bo, "a", seconds=5)
    assert place.left() == 5
    place.leave()
    place.leave()
    assert in_line(world) == []


def test_who_should_have_given_up_is_not_waited_for(world: World, al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    late = joins(bo, "a", pid=70, seconds=5)
    al.unlocks("a")
    world.clock.advance(seconds=5)
    assert isinstance(cy.locks("a"), Granted)
    assert late.look() is None or isinstance(late.look(), GaveUp)
    assert bo.holds() == []


def test_a_place_in_a_state_that_was_deleted_is_lost(world: World, al: Player, bo: Player) -> None:
    import shutil

    al.locks("a")
    place = joins(bo, "a")
    shutil.rmtree(world.state)
    with pytest.raises(GaveUpError, match="deleted"):
        place.look()
    assert not world.state.exists()


def test_a_record_that_was_removed_ends_the_waiting(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    place = joins(bo, "a")
    os.unlink(world.state / place.key)
    with pytest.raises(GaveUpError, match="record is gone"):
        place.look()


def test_a_damaged_record_is_brought_back(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    place = joins(bo, "a")
    (world.state / place.key).write_bytes(b"")
    assert place.look() is None
    al.unlocks("a")
    assert isinstance(place.look(), Granted)


# ---------------------------------------------------------------- not waiting at all
def test_a_wait_of_no_time_is_an_attempt(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    refused = bo.locks("a", wait=0)
    assert isinstance(refused, Conflict)
    assert [blocked.held.lock.holder for blocked in refused.blocked] == ["al"]
    assert in_line(world) == []
    assert isinstance(bo.locks("b", wait=0), Granted)


def test_a_wait_that_would_close_a_circle_is_refused_at_once(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    bo.locks("b")
    joins(bo, "a")
    refused = al.locks("b", wait=FOREVER)
    assert isinstance(refused, Conflict)
    assert [(link.agent, link.path, link.of) for link in refused.cycle] == [("al", "b", "bo"), ("bo", "a", "al")]
    assert in_line(world) == ["bo"]


def test_a_circle_with_somebody_who_is_not_there_any_more_is_none(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    bo.locks("b")
    joins(bo, "a", pid=70)
    world.machine.kill(70)
    assert isinstance(joins(al, "b"), Place)


@pytest.mark.parametrize(("seconds", "priority"), [(-1, 0), (float("nan"), 0), (10**9, 0), (1, 1001), (1, -1001)])
def test_times_and_priorities_that_make_no_sense(seconds: float, priority: int, al: Player) -> None:
    with pytest.raises(UsageError):
        al.locks("a", wait=seconds, priority=priority)


# ---------------------------------------------------------------- requests
def test_a_request_reaches_the_holder_and_its_answer_the_asker(world: World, al: Player, bo: Player) -> None:
    al.locks("src/")
    asked = requests.request(bo.session, "src/a", "two lines")
    assert isinstance(asked, Asked)
    (message,) = [message for _, message in al.session.store.state().inbox("al")]
    assert (message.id, message.sender, message.body, message.request) == (asked.request.id, "bo", "two lines", "src/")
    assert (message.directive, message.readers) == (True, ())
    al.unlocks("src/")
    assert told(bo) == ["Al (al) let go of src/: agent-sync lock src/a"]
    assert in_line(world) == []


def test_asking_again_for_the_same_tells_nobody_twice(al: Player, bo: Player) -> None:
    al.locks("a")
    first, again = (requests.request(bo.session, "a") for _ in range(2))
    assert isinstance(first, Asked)
    assert isinstance(again, Asked)
    assert (again.request, again.again) == (first.request, True)
    assert len(told(al)) == 1


def test_all_who_share_it_are_asked(al: Player, bo: Player, cy: Player) -> None:
    for player in (al, bo):
        player.locks("a", shared=True)
    asked = requests.request(cy.session, "a")
    assert isinstance(asked, Asked)
    message = cy.session.store.state().message(int(asked.request.id[2:]))
    assert message is not None
    assert (message.to, [reader.agent for reader in message.readers]) == ("al, bo", ["al", "bo"])
    assert (len(told(al)), len(told(bo))) == (1, 1)


def test_there_is_nothing_to_ask_for_what_nobody_else_holds(al: Player) -> None:
    with pytest.raises(NotFoundError, match="nobody holds") as error:
        requests.request(al.session, "a")
    assert error.value.hint == "agent-sync lock a"
    al.locks("a")
    assert requests.request(al.session, "a") == Yours("a")


@pytest.mark.parametrize("words", ["", "  ", "x" * 501])
def test_words_that_cannot_be_said(words: str, al: Player, bo: Player) -> None:
    al.locks("a")
    with pytest.raises(UsageError):
        requests.refuse(al.session, "m-1", words)
    if words:
        with pytest.raises(UsageError):
            requests.request(bo.session, "a", words)


def test_a_refusal_reaches_the_asker_and_ends_the_request(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    asked = requests.request(bo.session, "a")
    assert isinstance(asked, Asked)
    requests.refuse(al.session, asked.request.id, "until the tests are green")
    (message,) = [message for _, message in bo.session.store.state().inbox("bo")]
    assert message.body == "I keep a: until the tests are green"
    assert (message.sender, message.reply_to, message.to) == ("al", asked.request.id, "bo")
    assert in_line(world) == []
    with pytest.raises(NotFoundError):
        requests.refuse(al.session, asked.request.id, "again")
    again = requests.request(bo.session, "a")
    assert isinstance(again, Asked)
    assert not again.again


def test_only_the_holder_refuses(al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    asked = requests.request(bo.session, "a")
    assert isinstance(asked, Asked)
    for player in (bo, cy):
        with pytest.raises(NotFoundError):
            requests.refuse(player.session, asked.request.id, "no")


def _ends(al: Player, _bo: Player, _world: World) -> None:
    al.ends(release_all=True)


def _is_forced(_al: Player, bo: Player, _world: World) -> None:
    bo.unlocks("a", force=True)


def _is_taken_over(_al: Player, _bo: Player, world: World) -> None:
    world.clock.advance(minutes=61)
    world.agent("di").locks("a")


def _is_swept(_al: Player, bo: Player, world: World) -> None:
    world.clock.advance(minutes=125)
    bo.beats()
    care.gc(bo.session)


def _is_swept_by_a_newcomer(_al: Player, bo: Player, world: World) -> None:
    world.clock.advance(minutes=125)
    bo.session.store.touch("bo")
    world.agent("di").registers()


@pytest.mark.parametrize("goes", [_ends, _is_forced, _is_taken_over, _is_swept, _is_swept_by_a_newcomer])
def test_however_the_lock_goes_the_asker_is_told(goes: Any, world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    requests.request(bo.session, "a")
    goes(al, bo, world)
    assert [line for body in told(bo) for line in body.splitlines()] == ["Al (al) let go of a: agent-sync lock a"]
    assert in_line(world) == []


def test_an_end_that_keeps_the_lock_answers_nothing(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    requests.request(bo.session, "a")
    al.ends()
    assert (told(bo), in_line(world)) == ([], ["bo"])


def test_the_requests_of_who_leaves_go(world: World, al: Player, bo: Player) -> None:
    al.locks("a")
    requests.request(bo.session, "a")
    bo.ends()
    assert in_line(world) == []


def test_compaction_drops_requests_that_nobody_answered_in_a_day(world: World, al: Player, bo: Player) -> None:
    al.locks("a", ttl_minutes=60 * 24 * 3)
    requests.request(bo.session, "a")
    for _ in range(25):
        world.clock.advance(minutes=60)
        al.beats()
        bo.beats()
    assert in_line(world) == ["bo"]
    care.gc(al.session)
    assert in_line(world) == []


# ---------------------------------------------------------------- looking
def test_the_queue_tells_who_waits_for_whom(al: Player, bo: Player, cy: Player) -> None:
    al.locks("a")
    joins(bo, "a")
    joins(cy, "a", priority=3)
    requests.request(cy.session, "a")
    found = requests.listing(al.session)
    assert [(one.waiter.agent, one.waiter.wants, one.live) for one in found] == [
        ("cy", "locks", True),
        ("bo", "locks", True),
        ("cy", "release", False),
    ]
    behind = [[(link.of, link.held) for link in one.behind] for one in found]
    assert behind == [[("al", True)], [("al", True), ("cy", False)], [("al", True)]]


def test_the_story_of_a_path_and_the_status_know_who_waits(al: Player, bo: Player) -> None:
    from agentsync.ops import status

    al.locks("src/")
    joins(bo, "src/a")
    assert [w.agent for w in locks.explain(al.session, "src/").waiting] == ["bo"]
    assert status.overview(al.session).waiting == 1
