"""kill -9 before every file-system call of every operation that writes.

After each kill: a reader works and sees the same twice, the next writer works, the records decode, nobody holds what
another holds, every event that was acknowledged is there, what was not acknowledged is there whole or not at all, and
the events explain every record on disk.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from crash.killing import Snapshot, board, check_after, content, kill_before, kill_everywhere, leave_half_done
from invariants import check_replay, check_store, history, plain
from lines import in_line, joins, with_process
from world import World

from agentsync.core.locks import Conflict, Granted
from agentsync.core.tasks import Refused
from agentsync.ops import care, decisions, feed, mail, requests
from agentsync.ops.edits import Allowed
from agentsync.store import log
from agentsync.store.compact import KEEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from world import Player

    from agentsync.core.records import Event


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A working tree without git: nothing here asks git, and every kill needs a whole new look at the tree."""
    return World(tmp_path, git_repo=False)


# ---------------------------------------------------------------- one operation each
def test_a_lock_is_taken_or_not(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    done = kill_everywhere(world, lambda: alice.locks("src/app.py"))
    assert done.kills > 10
    assert alice.holds() == ["src/app.py"]


def test_three_locks_are_taken_together_or_not_at_all(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    kill_everywhere(world, lambda: alice.locks("src/app.py", "docs/", "@db"))
    assert alice.holds() == ["@db", "docs/", "src/app.py"]


def test_a_renewed_lock_is_the_old_or_the_new_one(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py", reason="old")
    kill_everywhere(world, lambda: alice.locks("src/app.py", reason="new"))
    assert [held.lock.reason for held in alice.session.store.state().locks()] == [None, "new"]


def test_an_unlocked_file_is_free_or_still_held(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py", "src/lib/", "src/*.txt")
    kill_everywhere(world, lambda: alice.unlocks("src/app.py", "src/lib/", "src/*.txt"))
    assert alice.holds() == []


def test_a_lapsed_lock_is_taken_over_with_its_notice_or_left_alone(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/")
    world.clock.advance(minutes=61)
    bob.registers()
    kill_everywhere(world, lambda: bob.locks("src/app.py"))
    assert bob.holds() == ["src/app.py"]
    assert alice.holds() == []
    assert list((world.state / "inbox/alice").iterdir())


def test_the_first_command_ever_makes_a_whole_directory_or_one_that_the_next_completes(world: World) -> None:
    alice = world.agent("alice")
    kill_everywhere(world, lambda: alice.locks("src/app.py"))
    assert (world.state / ".gitignore").read_text() == "*\n"
    assert {path.name for path in world.state.iterdir()} >= {"README", "ballast", "format.json", "guard", "python"}


def test_a_new_session_of_a_client_inherits_all_of_its_locks_or_none(world: World) -> None:
    old = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    new = world.client("22222222-2222-4222-8222-00000000bbbb", pid=4242)
    old.locks("src/app.py", "src/lib/")
    old.ends(continues=True)
    kill_everywhere(world, new.registers)
    assert old.holds() == []
    assert new.holds() == ["src/app.py", "src/lib/"]


def test_a_session_that_ends_releases_all_of_its_locks_or_none(world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py", "src/lib/", "@db")
    kill_everywhere(world, lambda: alice.ends(release_all=True))
    assert alice.holds() == []
    assert not (world.state / "agents/alice.json").exists()


def test_a_recovery_that_is_killed_too_is_finished_by_the_next(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    bob.registers()
    leave_half_done(
        world,
        lambda: alice.locks("src/a.py", "src/b.py", "src/c.py"),
        until=lambda: len(alice.holds()) == 1 and (world.state / "intent.json").exists(),
    )
    kill_everywhere(world, lambda: bob.locks("docs/"))
    assert alice.holds() == ["src/a.py", "src/b.py", "src/c.py"]
    assert bob.holds() == ["docs/"]


def test_an_edit_takes_its_lock_or_not(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    bob.registers()
    kill_everywhere(world, lambda: alice.edits("src/app.py"))
    assert alice.holds() == ["src/app.py"]
    assert isinstance(alice.edits("src/app.py"), Allowed)
    assert not bob.may_edit("src/app.py")


def test_a_forced_unlock_comes_with_its_notice(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    bob.registers()
    kill_everywhere(world, lambda: bob.unlocks("src/app.py", force=True))
    assert list((world.state / "inbox/alice").iterdir())


# ---------------------------------------------------------------- mail
def correspondents(world: World) -> tuple[Player, Player, Player]:
    players = world.agent("alice"), world.agent("bob"), world.agent("carol")
    for player in players:
        player.registers()
    return players


def hear(player: Player, heard: Path, when: mail.When = "prompt") -> None:
    """A hook that hands over what is due; what the client got is in `heard`."""
    with mail.delivery(player.session, when, lambda _: 1, 2) as delivery, heard.open("a") as told:
        told.writelines(f"{message.id}\n" for message in delivery.messages)  # of no store: nobody is killed at it


def test_a_message_reaches_all_of_its_readers_or_none(world: World) -> None:
    alice, bob, carol = correspondents(world)
    done = kill_everywhere(world, lambda: mail.send(alice.session, "all", "hello"))
    assert done.kills > 10
    (message,) = mail.inbox(bob.session)
    assert mail.inbox(carol.session) == [message]
    readers = [reader.agent for reader in mail.sent(alice.session)[0].readers]
    assert readers == ["bob", "carol", "next"], "the next writer joined later"


def test_a_delivery_is_done_or_comes_again(world: World) -> None:
    """However far the killed hook got, each message is waiting, or was handed over and is marked so."""
    alice, bob, _ = correspondents(world)
    heard = world.root / "heard"
    one, two, three = (mail.send(alice.session, to, "hello").id for to in ("bob", "all", "bob"))
    kill_everywhere(world, lambda: hear(bob, heard))
    start = Snapshot(world.state)
    assert [message.id for message in mail.inbox(bob.session)] == [two], "the directed ones came first"
    for call in count(1):
        start.restore()
        heard.write_text("")
        killed = kill_before(call, lambda: hear(bob, heard), only_changing=True)
        world.agent("next").beats()  # finishes what was left over
        waiting = [message.id for message in mail.inbox(bob.session)]
        marked = [m.id for m in mail.sent(alice.session) if m.readers[0].delivered_at is not None]
        assert (waiting, marked) in (([two], [one, three]), ([], [one, two, three])), f"killed before call {call}"
        told = heard.read_text().split()
        assert waiting or told == [two], f"marked, but never handed over: killed before call {call}"
        hear(bob, heard)
        assert two in heard.read_text().split()
        assert mail.inbox(bob.session) == []
        if not killed:
            assert heard.read_text().split() == [two], "what was not killed is told once"
            return


def test_a_message_is_acknowledged_and_out_of_the_inbox_or_neither(world: World) -> None:
    alice, bob, _ = correspondents(world)
    message = mail.send(alice.session, "bob", "hello")
    kill_everywhere(world, lambda: mail.ack(bob.session, message.id))
    (reader,) = mail.sent(alice.session)[0].readers
    assert reader.acked_at is not None
    assert mail.inbox(bob.session) == []


def test_a_new_session_inherits_all_of_the_mail_or_none(world: World) -> None:
    alice = world.agent("alice")
    old = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    new = world.client("22222222-2222-4222-8222-00000000bbbb", pid=4242)
    old.registers()
    sent = [mail.send(alice.session, to, "hello").id for to in (old.id, "all")]
    old.ends(continues=True)
    kill_everywhere(world, new.registers)
    assert [message.id for message in mail.inbox(new.session)] == sent


def test_a_newcomer_hears_the_last_broadcast_however_often_it_was_killed_on_arrival(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    message = mail.send(alice.session, "all", "hello")
    kill_everywhere(world, bob.registers)
    assert [waiting.id for waiting in mail.inbox(bob.session)] == [message.id]


def test_a_damaged_lock_that_is_being_restored_protects_its_file_again(world: World) -> None:
    alice, bob, carol = world.agent("alice"), world.agent("bob"), world.agent("carol")
    alice.locks("src/app.py")
    bob.registers()
    carol.registers()
    (world.state / "locks/src%2Fapp.py.json").write_bytes(b"{torn")
    start = Snapshot(world.state)
    for call in range(1, 400):
        start.restore()
        killed = kill_before(call, lambda: bob.locks("src/app.py"))
        assert isinstance(carol.locks("src/app.py"), Conflict), f"killed before call {call}, and the lock is gone"
        if not killed:
            return
    pytest.fail("it never finished")


def test_what_was_edited_alone_is_held_for_its_editor_although_the_newcomer_was_killed_on_arrival(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers()
    assert alice.has_edited("src/app.py") is None
    start = Snapshot(world.state)
    for call in count(1):
        start.restore()
        killed = kill_before(call, bob.registers, only_changing=True)
        assert bob.is_refused("src/app.py"), f"killed before call {call}"
        if not killed:
            return


# ---------------------------------------------------------------- waiting
def test_who_joins_the_line_is_in_it_or_not(world: World) -> None:
    alice, bob = world.agent("alice"), with_process(world.agent("bob"), 70)
    alice.locks("src/app.py")
    bob.registers()
    kill_everywhere(world, lambda: joins(bob, "src/app.py"))
    assert in_line(world) == ["bob"]


def test_who_is_granted_has_left_the_line_and_who_is_in_it_holds_nothing(world: World) -> None:
    alice, bob = world.agent("alice"), with_process(world.agent("bob"), 70)
    alice.locks("a", "b")
    place = joins(bob, "a", "b")
    alice.unlocks("a", "b")
    start = Snapshot(world.state)
    for call in count(1):
        start.restore()
        killed = kill_before(call, place.look)
        board(world)
        world.agent("next").locks("a-file-of-the-next-writer")
        check_replay(world.state)
        assert (bob.holds(), in_line(world)) in ((["a", "b"], []), ([], ["bob"])), f"killed before call {call}"
        if not killed:
            break
    start.restore()
    kill_everywhere(world, place.look)
    assert (bob.holds(), in_line(world)) == (["a", "b"], [])


def test_who_gives_up_is_in_line_or_not(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("a")
    place = joins(bob, "a", pid=70)
    kill_everywhere(world, place.leave)
    assert in_line(world) == []


def test_a_request_reaches_its_holder_or_was_never_made(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("a")
    bob.registers()
    kill_everywhere(world, lambda: requests.request(bob.session, "a"))
    assert in_line(world) == ["bob"]
    assert list((world.state / "inbox/alice").glob("*.json"))
    assert list((world.state / "messages").glob("*.json"))


def test_a_refusal_ends_the_request_and_reaches_the_asker_or_neither(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("a")
    asked = requests.request(bob.session, "a")
    assert isinstance(asked, requests.Asked)
    kill_everywhere(world, lambda: requests.refuse(alice.session, asked.request.id, "not yet"))
    assert in_line(world) == []
    assert list((world.state / "inbox/bob").glob("*.json"))


def test_a_lock_that_goes_answers_its_request_or_stays(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("a")
    requests.request(bob.session, "a")
    kill_everywhere(world, lambda: alice.unlocks("a"))
    assert (alice.holds(), in_line(world)) == ([], [])
    assert list((world.state / "inbox/bob").glob("*.json"))


# ---------------------------------------------------------------- tasks and decisions
def test_a_task_is_made_or_not(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    alice.runtime.next_id = "7k3f"
    done = kill_everywhere(world, lambda: alice.makes("T", "src/app.py"))
    assert done.kills > 10
    assert list(alice.sees()) == ["T"]


def test_a_task_is_claimed_with_its_locks_and_ones_own_record_or_not_at_all(world: World) -> None:
    alice = world.agent("alice")
    task = alice.makes("T", "src/app.py", "docs/", "@db")
    kill_everywhere(world, lambda: alice.claims("T", lock=True))
    assert alice.holds() == ["@db", "docs/", "src/app.py"]
    assert alice.works_on() == "T"
    assert json.loads((world.state / "agents/alice.json").read_bytes())["task"] == task.id


def test_a_task_of_somebody_gone_is_taken_over_with_its_locks_and_the_notice_or_left_alone(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.makes("T", "src/app.py")
    alice.claims("T", lock=True)
    world.clock.advance(minutes=16)
    bob.registers()
    kill_everywhere(world, lambda: bob.claims("T", lock=True))
    assert (bob.works_on(), bob.holds(), alice.holds()) == ("T", ["src/app.py"], [])
    assert len(alice.was_told()) == 1


def test_a_task_is_completed_or_not(world: World) -> None:
    alice = world.agent("alice")
    alice.makes("T")
    alice.makes("next", depends_on=("T",))
    alice.claims("T")
    kill_everywhere(world, lambda: alice.does("complete", "T"))
    assert [seen.is_ready for seen in alice.sees().values()] == [True, False]
    assert alice.works_on() is None


def test_a_task_is_handed_on_with_all_its_locks_or_stays_where_it_was(world: World) -> None:
    alice, bob = _about_to_hand_on(world)
    kill_everywhere(world, lambda: alice.does("handoff", "T", "bob"))
    assert (bob.works_on(), bob.holds(), alice.holds()) == ("T", ["docs/", "src/app.py", "src/lib/"], [])
    assert len(bob.was_told()) == 1


def _about_to_hand_on(world: World) -> tuple[Player, Player]:
    alice, bob = world.agent("alice"), world.agent("bob")
    bob.registers()
    alice.makes("T", "src/app.py", "src/lib/")
    alice.claims("T", lock=True)
    alice.locks("docs/", task=alice.sees()["T"].task.id)
    return alice, bob


def test_nobody_else_can_edit_or_lock_or_claim_what_is_being_handed_on_at_any_moment(world: World) -> None:
    """Without auto-locks an edit is judged by what lies on disk alone; nobody finishes the intent first."""
    (world.root / ".claude").mkdir()
    (world.root / ".claude/agent-sync.toml").write_text("auto_lock = false\n")
    alice, _ = _about_to_hand_on(world)
    carol = world.agent("carol")
    carol.registers()
    start = Snapshot(world.state)
    for call in count(1):
        start.restore()
        killed = kill_before(call, lambda: alice.does("handoff", "T", "bob"), only_changing=True)
        for path in ("src/app.py", "src/lib/x.py", "docs/a.md"):
            assert not carol.may_edit(path), f"killed before call {call}, and {path} looks free"
        owner = alice.sees()["T"].task.owner
        assert owner in ("alice", "bob")
        assert isinstance(carol.claims("T"), Refused)
        assert carol.is_refused("src/app.py")
        if not killed:
            return


def test_a_decision_is_made_or_not(world: World) -> None:
    alice = world.agent("alice")
    first = decisions.decide(alice.session, "Times are UTC")
    kill_everywhere(world, lambda: decisions.decide(alice.session, "Times are local", first.id))
    assert [one.text for one in decisions.listing(alice.session)] == ["Times are local"]


def test_an_entry_is_in_the_feed_once_or_not(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    kill_everywhere(world, lambda: feed.record(alice.session, "migrated", "ops"))
    assert [event.verb for event in log.since(alice.session.store.files, 0)].count("ops") == 1


# ---------------------------------------------------------------- what stays held is never free
def _renewal(world: World) -> Callable[[], object]:
    world.agent("alice").locks("src/app.py")
    return lambda: world.agent("alice").locks("src/app.py", reason="once more")


def _from_shared_to_exclusive(world: World) -> Callable[[], object]:
    world.agent("alice").locks("src/app.py", shared=True)
    return lambda: world.agent("alice").locks("src/app.py")


def _from_exclusive_to_shared(world: World) -> Callable[[], object]:
    world.agent("alice").locks("src/app.py")
    return lambda: world.agent("alice").locks("src/app.py", shared=True)


def _succession(world: World) -> Callable[[], object]:
    old = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    old.locks("src/app.py")
    old.ends(continues=True)
    return lambda: world.client("22222222-2222-4222-8222-00000000bbbb", pid=4242).registers()


def _succession_of_a_shared_lease(world: World) -> Callable[[], object]:
    old = world.client("11111111-1111-4111-8111-00000000aaaa", pid=4242)
    old.locks("src/app.py", shared=True)
    old.ends(continues=True)
    return lambda: world.client("22222222-2222-4222-8222-00000000bbbb", pid=4242).registers()


@pytest.mark.parametrize(
    "change",
    [_renewal, _from_shared_to_exclusive, _from_exclusive_to_shared, _succession, _succession_of_a_shared_lease],
)
def test_a_path_that_stays_held_is_free_for_nobody_at_any_moment(
    change: Callable[[World], Callable[[], object]], world: World
) -> None:
    """Without auto-locks an edit is judged by what lies on disk alone; nobody finishes the intent first."""
    (world.root / ".claude").mkdir()
    (world.root / ".claude/agent-sync.toml").write_text("auto_lock = false\n")
    act = change(world)
    bob = world.agent("bob")
    bob.registers()
    start = Snapshot(world.state)
    for call in count(1):
        start.restore()
        killed = kill_before(call, act, only_changing=True)
        assert not bob.may_edit("src/app.py"), f"killed before call {call}, and src/app.py looks free"
        if not killed:
            return


def test_a_killed_takeover_never_leaves_two_live_holders(world: World) -> None:
    """Whatever the killed process left, a sign of life of the old holder must not bring a second one to life."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/")
    world.clock.advance(minutes=61)
    bob.registers()
    start = Snapshot(world.state)
    for call in count(1):
        start.restore()
        killed = kill_before(call, lambda: bob.locks("src/app.py"), only_changing=True)
        alice.session.store.touch("alice")
        board(world)
        if not killed:
            return


# ---------------------------------------------------------------- compaction
@pytest.fixture
def long_history(world: World) -> World:
    """About 600 events; none was compacted yet."""
    alice = world.agent("alice")
    alice.registers()
    session = alice.session
    for number in range(600):
        with session.store.transaction("alice") as tx:
            record = tx.state.presence("alice")
            assert record is not None
            tx.commit("note", f"event {number}", _touch_up(record.agent, number), durability="E")
    return world


def _touch_up(agent: object, number: int) -> list[object]:
    from msgspec.structs import replace

    from agentsync.core.changes import Put

    return [Put("agents/alice.json", replace(agent, task=f"t-{number}"))]  # type: ignore[type-var]


@pytest.mark.slow
def test_compaction_never_makes_a_hole(long_history: World) -> None:
    world, alice = long_history, long_history.agent("alice")
    start, before = Snapshot(world.state), _plain(history(world.state))

    def killed_before(call: int, thoroughly: bool) -> bool:
        start.restore()
        killed = kill_before(call, lambda: care.gc(alice.session), only_changing=True)
        assert _plain(history(world.state)) == before
        if thoroughly or not killed:
            check_after(world, before, before, acknowledged=not killed)
        return killed

    call = 1
    while killed_before(call, thoroughly=call % 64 < 16):
        unlinked = 601 - len(log.revisions(alice.session.store.files))
        call += 16 if unlinked > 2 else 1  # one unlink is like the other
    for before_the_end in range(call - 15, call):
        killed_before(before_the_end, thoroughly=False)
    killed_before(call, thoroughly=True)
    assert call > 601 - KEEP
    assert len(log.revisions(alice.session.store.files)) == KEEP + 2  # and the two events of `check_after`


def test_compaction_after_a_killed_compaction_clears_what_is_archived_twice(long_history: World) -> None:
    world, alice = long_history, long_history.agent("alice")
    before = _plain(history(world.state))
    assert kill_before(50, lambda: care.gc(alice.session), only_changing=True)
    assert list((world.state / "archive").iterdir())
    assert len(list((world.state / "log").iterdir())) > KEEP + 1
    care.gc(alice.session)
    assert len(list((world.state / "log").iterdir())) == KEEP
    assert _plain(history(world.state)) == before


def _plain(events: list[Event]) -> list[dict[str, Any]]:
    return [plain(event) for event in events]


# ---------------------------------------------------------------- the same with strace on real processes
STRACE_CALLS = (
    "?open,openat,write,fsync,?link,linkat,?rename,renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,?rmdir,flock,"
    "utimensat"
)
_ONLY_READS = re.compile(r"open(?:at)?\((?!.*O_CREAT)")
"""A kill before a call that changes nothing leaves the disk as a kill before the next one that does."""


@pytest.fixture(scope="module")
def strace() -> None:
    """Skip where strace is missing or may not trace."""
    try:
        subprocess.run(["strace", "-o", os.devnull, "true"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("strace is not installed: apt-get install strace")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"strace may not trace here: {error.stderr.decode()[-200:]}")


class RealProcesses:
    """`python -m agentsync` as somebody, in one repository, under strace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".claude/coordination"
        self.trace = root.parent / "trace"

    def command(self, agent: str, *words: str) -> tuple[list[str], dict[str, str]]:
        env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "AGENT_SYNC_ID": agent}
        env["PYTHONPATH"] = str(Path(__file__).parents[2])
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        return [sys.executable, "-m", "agentsync", *words], env

    def run(self, agent: str, *words: str, under: tuple[str, ...] = ()) -> int:
        command, env = self.command(agent, *words)
        return subprocess.run([*under, *command], env=env, cwd=self.root, capture_output=True).returncode

    def calls(self, agent: str, *words: str) -> list[tuple[str, int]]:
        """Calls that a run changes the state directory by, each with its number among the calls of that name."""
        under = ("strace", "-f", "-qq", "-y", "-o", str(self.trace), "-e", f"trace={STRACE_CALLS}")
        assert self.run(agent, *words, under=under) == 0
        seen: dict[str, int] = {}
        found = []
        for line in self.trace.read_text(errors="replace").splitlines():
            name = line.split(maxsplit=1)[1].partition("(")[0]
            seen[name] = seen.get(name, 0) + 1
            if str(self.state) in line and not _ONLY_READS.search(line):
                found.append((name, seen[name]))
        return found

    def kill_at(self, call: str, number: int, agent: str, *words: str) -> int:
        under = ("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}")
        return self.run(agent, *words, under=(*under, "-e", f"inject={call}:signal=KILL:when={number}"))


def _lapsed_by_death(world: World, real: RealProcesses) -> None:
    """Alice's client is dead, so what she holds is free."""
    alice = subprocess.Popen(["sleep", "60"])
    command, env = real.command("alice", "lock", "src/")
    session = {"CLAUDE_CODE_SESSION_ID": "11111111-1111-4111-8111-00000000aaaa", "CLAUDE_PID": str(alice.pid)}
    assert subprocess.run(command, env={**env, **session}, cwd=world.root, capture_output=True).returncode == 0
    alice.kill()
    alice.wait()


def _some_history(world: World, real: RealProcesses) -> None:
    alice = world.agent("carol")
    for _ in range((KEEP + 6) // 2):
        alice.locks("src/b.py")
        alice.unlocks("src/b.py")


STRACED: dict[str, tuple[Callable[[World, RealProcesses], object], tuple[str, ...]]] = {
    "lock": (lambda _, real: real.run("bob", "lock", "src/a.py"), ("lock", "src/c.py", "docs/")),
    "unlock": (lambda _, real: real.run("bob", "lock", "src/a.py", "docs/"), ("unlock", "--all")),
    "takeover": (_lapsed_by_death, ("lock", "src/app.py")),
    "gc": (_some_history, ("gc",)),
    "send": (lambda _, real: real.run("alice", "heartbeat"), ("send", "--to", "all", "--message", "hello")),
    "read-message": (
        lambda _, real: real.run("bob", "send", "--to", "bob", "--message", "to myself"),
        ("read-message", "m-2"),
    ),
}


@pytest.mark.slow
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("name", STRACED)
def test_a_real_process_killed_at_any_system_call_leaves_a_whole_state(name: str, world: World) -> None:
    prepare, words = STRACED[name]
    real = RealProcesses(world.root)
    prepare(world, real)
    assert real.run("bob", "heartbeat") == 0
    start = Snapshot(world.state)
    known = _verbs(world.state)
    calls = real.calls("bob", *words)
    whole = _verbs(world.state)
    checked = []
    for call, number in calls:
        start.restore()
        assert real.kill_at(call, number, "bob", *words) in (137, -9), f"{call} number {number} never came"
        left = content(world.state)
        if left not in checked:
            checked.append(left)
            _check_real(world, real, known, whole)
    start.restore()
    assert real.run("bob", *words) == 0
    assert _verbs(world.state) == whole
    assert len(calls) > 8


def _check_real(world: World, real: RealProcesses, known: list[object], whole: list[object]) -> None:
    assert board(world) == board(world)
    assert real.run("next", "lock", "a-file-of-the-next-writer") == 0
    done = [event for event in _verbs(world.state) if event[2] != "next"]  # type: ignore[index]
    assert done[: len(known)] == known
    assert done == whole[: len(done)]
    assert isinstance(world.agent("another").locks("a-file-of-another"), Granted)


def _verbs(state: Path) -> list[object]:
    check_store(state)
    changes = [(e.rev, e.verb, e.actor, [c.put or c.drop for c in e.changes]) for e in check_replay(state)]
    return list(changes)
