"""Compaction: the directories stay small, and whoever follows the log notices nothing."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invariants import check_replay, check_store, history, plain
from msgspec.structs import replace
from world import ClockFiles, World

from agentsync.core import agents as agents_
from agentsync.core import decisions, tasks
from agentsync.core.changes import Put
from agentsync.core.locks import Granted
from agentsync.ops import agents, care
from agentsync.ops.decisions import decide, listing
from agentsync.ops.session import open_session
from agentsync.store import inspect, log
from agentsync.store.compact import ACTIVITY_BYTES, KEEP, KEEP_ON_FULL_DISK, ORPHAN_S, Compacted
from agentsync.store.files import MAX_RECORD
from agentsync.store.setup import BALLAST, BALLAST_BYTES
from agentsync.store.transaction import COMPACT_EVERY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from world import Clock, Player

    from agentsync.store.files import Content


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, git_repo=False)


def write_events(player: Player, count: int) -> None:
    """Commit so many events, nothing synced."""
    store = player.session.store
    for _ in range(count):
        with store.transaction(player.id) as tx:
            agent = agents.ensure(player.session, tx) if tx.stamp.revision == 1 else None
            known = tx.state.presence(player.id) if agent is None else None
            if known is not None:
                changed = replace(known.agent, task=f"t-{tx.stamp.revision}")
                tx.commit("note", f"event {tx.stamp.revision}", [Put(f"agents/{player.id}.json", changed)], "E")


def put_archive(world: World, number: int, mebibytes: int, days: float) -> str:
    """An archive of so many (empty) bytes, written so long ago."""
    path = world.state / f"archive/{number * 10:012}-{number * 10 + 9:012}.ndjson"
    path.touch()
    os.truncate(path, mebibytes << 20)
    then = path.stat().st_mtime - days * 86400
    os.utime(path, (then, then))
    return path.name


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([(15, 9999)], 1),
        ([(15, 9999), (15, 9998)], 1),
        ([(15, 366), (15, 364), (1, 0)], 2),
        ([(15, 360), (15, 300), (1, 0)], 3),
        ([(100, 50), (100, 40), (100, 30)], 2),
        ([(250, 1)], 1),
        ([(300, 9999)], 1),
    ],
)
def test_archives_go_when_they_are_old_or_many_the_oldest_first(
    found: list[tuple[int, float]], kept: int, world: World
) -> None:
    alice = world.agent("alice")
    alice.registers()
    names = [put_archive(world, number, *one) for number, one in enumerate(found, 1)]
    care.gc(alice.session)
    assert archives(world) == names[len(names) - kept :]


def test_what_is_read_from_the_beginning_begins_with_the_oldest_archive_there_is(world: World) -> None:
    alice = world.agent("alice")
    for _ in range(3):
        write_events(alice, KEEP + 10)
        care.gc(alice.session)
    first = min((world.state / "archive").iterdir())
    first.unlink()
    revisions = [event.rev for event in log.since(alice.session.store.files, 0)]
    assert revisions == list(range(int(first.stem[13:]) + 1, alice.session.store.revision() + 1))
    assert inspect.gaps(alice.session.store) == []


def logged(world: World) -> list[int]:
    return sorted(int(path.stem) for path in (world.state / "log").iterdir())


def archives(world: World) -> list[str]:
    return sorted(path.name for path in (world.state / "archive").iterdir())


# ---------------------------------------------------------------- folding
class Overlooked(ClockFiles):
    """Listings of the log leave one event out, as some file systems do while names change."""

    def __init__(self, root: str, clock: Clock, revision: int) -> None:
        super().__init__(root, clock)
        self.revision = revision

    def names(self, key: str) -> list[str]:
        return [name for name in super().names(key) if key != "log" or int(name[:12]) != self.revision]


@pytest.mark.parametrize("revision", [1, 7, 344, 345, 600])
def test_an_event_that_a_listing_leaves_out_is_not_lost(revision: int, world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 600)
    files = Overlooked(str(world.state), world.clock, revision)
    care.gc(world.agent("alice", files=files).session)
    care.gc(alice.session)
    write_events(alice, 10)
    care.gc(alice.session)
    assert [event.rev for event in history(world.state)] == list(range(1, alice.session.store.revision() + 1))
    check_replay(world.state)


def test_what_is_older_than_the_newest_events_moves_to_the_archive_and_nothing_is_lost(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 600)
    before = [plain(event) for event in history(world.state)]
    done = care.gc(alice.session)
    assert done == Compacted(archived=600 - KEEP, departed=0, orphans=0, forgotten=0, revision=600)
    assert logged(world) == list(range(601 - KEEP, 601))
    assert archives(world) == [f"{1:012}-{600 - KEEP:012}.ndjson"]
    assert [plain(event) for event in history(world.state)] == before
    check_replay(world.state)


def test_a_second_run_continues_where_the_first_ended(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)
    care.gc(alice.session)
    write_events(alice, 300)
    care.gc(alice.session)
    assert archives(world) == ["000000000001-000000000044.ndjson", "000000000045-000000000344.ndjson"]
    assert care.gc(alice.session).archived == 0
    assert len(history(world.state)) == 600


def test_a_short_log_is_left_as_it_is(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, KEEP)
    assert care.gc(alice.session).archived == 0
    assert archives(world) == []


def test_revisions_go_on_after_the_log_was_folded(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)
    care.gc(alice.session)
    granted = alice.locks("src/app.py")
    assert isinstance(granted, Granted)
    assert granted.locks[0].token.endswith(":301")
    assert alice.session.store.revision() == 301


@pytest.mark.parametrize("name", ["000000000001-999999999999", "000000000001-000000000300"])
@pytest.mark.parametrize("torn", [True, False])
def test_an_archive_that_holds_less_than_its_name_says_costs_no_event(name: str, torn: bool, world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)
    before = history(world.state)
    lines = b"".join(path.read_bytes().replace(b"\n", b" ") + b"\n" for path in sorted((world.state / "log").iterdir()))
    (world.state / "archive" / f"{name}.ndjson").write_bytes(lines[: len(lines) // 2] if torn else b"")
    care.gc(alice.session)
    there = [event.rev for event in log.since(alice.session.store.files, 0)]
    assert there == [event.rev for event in before]


def test_a_gap_between_two_archives_hides_nothing_of_the_second(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, KEEP + 20)
    care.gc(alice.session)
    oldest = logged(world)[0]
    (world.state / f"log/{oldest:012}.json").unlink()
    write_events(alice, 20)
    care.gc(alice.session)
    assert len(archives(world)) == 2
    files = alice.session.store.files
    assert [event.rev for event in log.since(files, 0)] == [r for r in range(1, log.head(files) + 1) if r != oldest]


def test_the_head_is_known_from_the_archive_when_the_log_is_gone(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)
    care.gc(alice.session)
    for path in (world.state / "log").iterdir():
        path.unlink()
    assert alice.session.store.revision() == 44


def test_every_256th_event_makes_compaction_due(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, COMPACT_EVERY - 1)
    session = alice.session
    agents.register(session, name="last but one")
    assert session.store.due_for_compaction
    agents.register(session, name="the one after")
    care.compact_if_free(session)
    assert not session.store.due_for_compaction


def test_compaction_on_the_side_does_not_wait_for_a_busy_guard(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    write_events(alice, 300)
    with bob.session.store.transaction("bob"):
        care.compact_if_free(alice.session)
    assert len(logged(world)) == 300
    care.compact_if_free(alice.session)
    assert len(logged(world)) == KEEP


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b"{torn\nin two", b'{"kind": "event", "v": 1}'])
def test_a_damaged_event_is_kept_as_it_is_and_costs_no_other(damage: bytes, world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)
    (world.state / "log/000000000010.json").write_bytes(damage)
    care.gc(alice.session)
    found = [event.rev for event in log.since(alice.session.store.files, 0)]
    assert found == [revision for revision in range(1, 301) if revision != 10]
    lines = (world.state / "archive" / archives(world)[0]).read_bytes().split(b"\n")
    assert len(lines) == 300 - KEEP + 1
    assert lines[9].translate(None, b" ") == damage.translate(None, b" \n")


def write_a_large_event(world: World) -> None:
    """A client with 2400 locks goes on as a new session: all of them change hands in one event."""
    old = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    for part in range(6):
        old.locks(*(f"src/part{part}/module_{number:03}.py" for number in range(400)))
    old.ends(continues=True)
    world.client("22222222-2222-4222-8222-00000000bbbb", pid=4242).registers()
    newest = max((world.state / "log").iterdir(), key=lambda path: path.name)
    assert newest.stat().st_size > MAX_RECORD


def test_an_event_larger_than_a_record_can_be_followed_folded_and_examined(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    write_a_large_event(world)
    events = [event.rev for event in log.since(alice.session.store.files, 0)]
    assert events == list(range(1, alice.session.store.revision() + 1))
    assert inspect.damaged_records(alice.session.store) == {}
    write_events(alice, 300)
    assert care.gc(alice.session).archived > 0
    assert [event.rev for event in log.since(alice.session.store.files, 0)][: len(events)] == events
    check_replay(world.state)


class Overlooking(ClockFiles):
    """A listing of the log does not show one name: absence in a listing proves nothing."""

    def names(self, key: str) -> list[str]:
        return [name for name in super().names(key) if key != "log" or name != f"{7:012}.json"]


def test_an_event_that_a_listing_did_not_show_is_not_lost(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)
    overlooking = world.agent("alice", files=Overlooking(str(world.state), world.clock))
    care.gc(overlooking.session)
    care.gc(alice.session)
    assert [event.rev for event in log.since(alice.session.store.files, 0)] == list(range(1, 301))


# ---------------------------------------------------------------- whoever follows
class Interrupted(ClockFiles):
    """Before some of its reads something else happens: others write, and compact."""

    def __init__(self, root: str, clock: Clock, acts: Mapping[int, Callable[[], object]]) -> None:
        super().__init__(root, clock)
        self._acts = acts
        self.reads = 0

    def _count(self) -> None:
        self.reads += 1
        if self.reads in self._acts:
            self._acts[self.reads]()

    def read(self, key: str, cap: int = 1 << 20) -> Content | None:
        self._count()
        return super().read(key, cap)

    def names(self, key: str) -> list[str]:
        self._count()
        return super().names(key)

    def status(self, key: str) -> os.stat_result | None:
        self._count()
        return super().status(key)


def test_a_follower_gets_every_revision_in_order_whenever_the_log_is_folded_under_it(world: World) -> None:
    """The fold happens once, before each read in turn that a follower makes from revision 40 of 300."""
    alice = world.agent("alice")
    write_events(alice, 300)
    start = {path: path.read_bytes() for path in (world.state / "log").iterdir()}
    for at in range(1, 1000):
        for path in (world.state / "archive").iterdir():
            path.unlink()
        for path, data in start.items():
            if not path.exists():
                path.write_bytes(data)
        files = Interrupted(str(world.state), world.clock, {at: lambda: care.gc(alice.session)})
        assert [event.rev for event in log.since(files, 30)] == list(range(31, 301)), f"folded before read {at}"
        if at > 20:  # beyond, each event is one read like the one before
            break
    assert files.reads > at


def test_a_follower_at_the_head_misses_nothing_of_a_burst_that_is_folded_at_once(world: World) -> None:
    """A follower that was suspended between two reads: meanwhile 300 events came, and the oldest were archived."""
    alice = world.agent("alice")
    write_events(alice, 3)
    at = 0
    while True:
        at += 1
        cursor = alice.session.store.revision()

        def burst() -> None:
            write_events(alice, 300)
            care.gc(alice.session)

        files = Interrupted(str(world.state), world.clock, {at: burst})
        found = [event.rev for event in log.since(files, cursor)]
        if files.reads < at:
            break
        found += [event.rev for event in log.since(alice.session.store.files, found[-1] if found else cursor)]
        assert found == list(range(cursor + 1, cursor + 301)), f"it came before read {at}"
    assert at > 3


@pytest.mark.parametrize(("first", "second"), list(combinations(range(2, 6), 2)))
def test_a_follower_at_the_head_misses_nothing_of_a_burst_that_is_folded_later(
    first: int, second: int, world: World
) -> None:
    """It was suspended twice: before one read 300 events came, and before a later one the oldest were archived."""
    alice = world.agent("alice")
    write_events(alice, 3)
    acts = {first: lambda: write_events(alice, 300), second: lambda: care.gc(alice.session)}
    found = [event.rev for event in log.since(Interrupted(str(world.state), world.clock, acts), 3)]
    found += [event.rev for event in log.since(alice.session.store.files, found[-1] if found else 3)]
    assert found == list(range(4, alice.session.store.revision() + 1))


def test_a_follower_goes_on_after_a_gap_that_somebody_made_by_hand(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 10)
    for revision in (4, 5):
        (world.state / f"log/{revision:012}.json").unlink()
    assert [event.rev for event in log.since(alice.session.store.files, 0)] == [1, 2, 3, 6, 7, 8, 9, 10]
    for revision in (1, 2, 3):
        (world.state / f"log/{revision:012}.json").unlink()  # so that the world finds a dense log


def test_the_tail_is_the_newest_first_and_goes_on_in_the_archive(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)
    care.gc(alice.session)
    files = alice.session.store.files
    assert [event.rev for event in log.tail(files, 3)] == [300, 299, 298]
    assert [event.rev for event in log.tail(files, 1000)] == list(range(300, 0, -1))


# ---------------------------------------------------------------- tidying
def test_orphans_in_tmp_go_after_an_hour_by_the_file_systems_clock(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    for name, age in (("old", ORPHAN_S + 60), ("young", ORPHAN_S - 60)):
        path = world.state / "tmp" / name
        path.write_bytes(b"left over")
        then = path.stat().st_mtime - age
        os.utime(path, (then, then))
    world.clock.advance(minutes=600)  # our own clock may be wrong by hours
    assert care.gc(alice.session).orphans == 1
    assert [path.name for path in (world.state / "tmp").iterdir()] == ["young"]


def test_a_long_activity_file_keeps_its_newer_half_whole_lines_and_its_time(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    path = world.state / "activity/alice.ndjson"
    line = b'{"at":"2030-01-01T12:00:00Z","verb":"edit","path":"src/%06d.py"}\n'
    path.write_bytes(b"".join(line % number for number in range(6000)))
    os.utime(path, (1_000_000, 1_000_000))
    care.gc(alice.session)
    lines = path.read_bytes().splitlines(keepends=True)
    assert 2900 < len(lines) < 3001
    assert lines == [line % number for number in range(6000 - len(lines), 6000)]
    assert path.stat().st_mtime == 1_000_000
    assert path.stat().st_size <= ACTIVITY_BYTES


def test_a_short_activity_file_is_left_alone(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    path = world.state / "activity/alice.ndjson"
    path.write_bytes(b"{}\n" * 100)
    before = path.stat()
    care.gc(alice.session)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_who_is_gone_goes_with_the_locks_that_bind_no_more(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py", "src/*.py")
    bob.registers()
    world.clock.advance(minutes=121)
    bob.beats()
    assert care.gc(bob.session).departed > 0
    assert not list((world.state / "locks").rglob("*.json"))
    assert [path.name for path in (world.state / "agents").glob("*.json")] == ["bob.json"]
    assert (world.state / "agents/past/alice.json").exists()
    check_replay(world.state)


def test_who_is_gone_stays_on_the_board_while_a_lock_of_its_binds(world: World) -> None:
    """Whoever finds itself alone on the board takes no locks: so nobody may leave who still holds something."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py", ttl_minutes=600)
    bob.registers()
    alice.ends()
    world.clock.advance(minutes=121)
    care.gc(bob.session)
    assert (world.state / "agents/alice.json").exists()
    assert bob.is_refused("src/app.py")


def test_the_ballast_is_there_again_after_compaction(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    (world.state / BALLAST).unlink()
    care.gc(alice.session)
    assert (world.state / BALLAST).stat().st_size == BALLAST_BYTES


def test_the_ballast_is_given_up_before_anything_is_written(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)
    there: list[bool] = []

    class Looking(ClockFiles):
        def write_temp(self, data: bytes, sync: bool) -> str:
            there.append((world.state / BALLAST).exists())
            return super().write_temp(data, sync)

    care.gc(open_session(alice.runtime, files=Looking(str(world.state), world.clock)))
    assert there
    assert not any(there)


def test_a_disk_too_full_for_the_ballast_is_only_a_warning(world: World) -> None:
    alice = world.agent("alice")
    write_events(alice, 300)

    class Full(ClockFiles):
        def write_temp(self, data: bytes, sync: bool) -> str:
            if not any(data) and data:
                raise OSError(28, "No space left on device")
            return super().write_temp(data, sync)

    session = open_session(alice.runtime, files=Full(str(world.state), world.clock))
    assert care.gc(session).archived == 300 - KEEP_ON_FULL_DISK
    assert any("full" in warning for warning in session.store.warnings)
    check_store(world.state)


def test_a_disk_too_full_to_compact_does_not_spoil_what_was_answered_already(world: World) -> None:
    """Compaction on the side comes after the answer: whatever fails there, the lock was granted."""
    alice = world.agent("alice")
    write_events(alice, 300)

    class Full(ClockFiles):
        def write_temp(self, data: bytes, sync: bool) -> str:
            raise OSError(28, "No space left on device")

    session = open_session(alice.runtime, files=Full(str(world.state), world.clock))
    care.compact_if_free(session)
    assert any("No space left" in warning for warning in session.store.warnings)
    assert len(history(world.state)) == 300


# ---------------------------------------------------------------- who and what is long gone
def test_of_those_who_left_the_newest_are_remembered_with_their_edits(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    for number in range(agents_.KEPT + 5):
        world.clock.advance(seconds=1)
        visitor = world.agent(f"visitor-{number:03}")
        visitor.registers()
        visitor.has_edited("src/app.py")
        visitor.ends()
    care.gc(alice.session)
    left = sorted(path.stem for path in (world.state / "agents/past").iterdir())
    assert left == [f"visitor-{number:03}" for number in range(5, agents_.KEPT + 5)]
    edits = {path.stem for path in (world.state / "activity").iterdir()}
    assert edits == set(left), "alice was in company and edited nothing"
    events = check_replay(world.state)
    assert "visitor-000" in {event.actor for event in events}, "the log has not forgotten anybody"
    world.agent("visitor-000").registers()
    assert (world.state / "agents/visitor-000.json").exists()


def test_who_is_on_the_board_keeps_its_edits_whatever_lies_among_the_past(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    alice.has_edited("src/app.py")
    care.gc(alice.session)
    assert (world.state / "activity/alice.ndjson").exists()


def test_finished_tasks_and_superseded_decisions_move_out_and_can_be_found_in_the_archive(world: World) -> None:
    alice = world.agent("alice")
    made = [alice.makes(f"task {number}").id for number in range(tasks.KEPT + 3)]
    alice.makes("open", depends_on=(made[0],))
    for task_id in made:
        world.clock.advance(seconds=1)
        alice.does("cancel", task_id)
    for number in range(decisions.KEPT + 3):
        decide(alice.session, f"decision {number}", f"d-{alice.session.store.revision()}" if number else None)
    care.gc(alice.session)
    left = {path.stem for path in (world.state / "tasks").iterdir()}
    assert len(left) == tasks.KEPT + 2, "one is needed, one is open"
    assert {made[0], made[-1]} < left
    assert made[1] not in left
    assert len(list((world.state / "decisions").iterdir())) == decisions.KEPT + 1
    assert [one.text for one in listing(alice.session)] == [f"decision {decisions.KEPT + 2}"]
    events = check_replay(world.state)
    assert any(made[1] in event.summary for event in events)


def test_a_task_of_a_newer_version_is_left_alone_and_stops_nothing(world: World) -> None:
    alice = world.agent("alice")
    made = [alice.makes(f"task {number}").id for number in range(tasks.KEPT + 2)]
    for task_id in made:
        world.clock.advance(seconds=1)
        alice.does("cancel", task_id)
    path = world.state / f"tasks/{made[0]}.json"
    path.write_text(path.read_text().replace('"v": 1', '"v": 2'))
    care.gc(alice.session)
    assert path.exists()
    assert not (world.state / f"tasks/{made[1]}.json").exists()
