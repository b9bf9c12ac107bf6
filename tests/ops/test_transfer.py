"""A board as a file and back: what comes, what stays behind, what is refused; killed anywhere, it is run again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from core.boards import NOW
from crash.killing import Snapshot, kill_before
from faults.operations import fenced
from faults.test_machine import environment
from invariants import check_replay, check_store, records, replayed
from world import World

from agentsync.clients import claude
from agentsync.core import keys
from agentsync.core.changes import Drop, Put
from agentsync.core.locks import Granted
from agentsync.core.records import Agent, Decision, Event, Lock, Message, Record, Task
from agentsync.core.transfer import Bundle, Collision, belongs, plan
from agentsync.errors import NewerRecordError, NotFoundError, UsageError
from agentsync.ops import decisions, feed, install, mail, requests, transfer
from agentsync.ops.session import open_session
from agentsync.runtime import Runtime
from agentsync.store import codec, inspect
from agentsync.store.compact import KEEP

if TYPE_CHECKING:
    from pathlib import Path

    from world import Player

COMES = ("tasks/", "messages/", "inbox/", "decisions/")


@pytest.fixture
def here(tmp_path: Path) -> World:
    """A board with something of everything."""
    (tmp_path / "here").mkdir()
    world = fenced(tmp_path / "here")
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers(name="Alice", role="api")
    bob.registers()
    world.agent("carol").registers()
    world.agent("carol").ends()
    alice.locks("src/app.py", "docs/**")
    bob.locks("shared.md", shared=True)
    requests.request(bob.session, "src/app.py", "please")
    login = alice.makes("Login", "src/app.py")
    bob.makes("Logout", depends_on=(login.id,))
    alice.claims("Login")
    mail.send(bob.session, "alice", "hello")
    mail.send(alice.session, "all", "to all")
    decisions.decide(alice.session, "Tabs")
    feed.record(bob.session, "built", "build", ["src/app.py"])
    return world


@pytest.fixture
def there(tmp_path: Path) -> World:
    """A place without a board."""
    (tmp_path / "there").mkdir()
    return fenced(tmp_path / "there")


def exported(world: World) -> bytes:
    return transfer.export(world.agent("alice").session).data


def imported(world: World, data: bytes) -> transfer.Imported:
    outcome = transfer.bring_in(world.agent("dora").session, transfer.bundle(data))
    assert isinstance(outcome, transfer.Imported)
    return outcome


def what_comes(world: World) -> dict[str, Record]:
    return {key: record for key, record in records(world.state).items() if key.startswith(COMES)}


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


# ---------------------------------------------------------------- there and back
def test_what_is_exported_and_imported_is_the_same_with_its_ids_and_its_history(here: World, there: World) -> None:
    data = exported(here)
    head = here.agent("alice").session.store.revision()
    done = imported(there, data)
    assert what_comes(there) == what_comes(here)
    assert len(what_comes(here)) > 6
    assert (done.revision, done.history, done.again) == (head + 1, head, False)
    before = feed.events(here.agent("x").session, 0, lambda _: True, 0)
    after = feed.events(there.agent("x").session, 0, lambda _: True, 0)
    assert [(e.rev, e.at, e.actor, e.verb, e.summary, e.paths) for e in after[:-1]] == [
        (e.rev, e.at, e.actor, e.verb, e.summary, e.paths) for e in before
    ]
    assert (after[-1].verb, after[-1].actor) == ("import", "dora")
    check_store(there.state)
    check_replay(there.state)
    assert inspect.gaps(there.agent("x").session.store) == []


def test_exporting_changes_nothing_and_twice_is_the_same(here: World) -> None:
    before = records(here.state)
    one, other = exported(here), exported(here)
    assert one == other
    assert records(here.state) == before


def test_an_import_holds_nothing_and_nobody_is_here_but_known_by_name(here: World, there: World) -> None:
    imported(there, exported(here))
    assert {key for key in records(there.state) if key.startswith(("locks/", "queue/"))} == set()
    state = there.agent("x").session.store.state()
    assert state.agent_ids() == []
    assert sorted(agent.id for agent in state.past_agents()) == ["alice", "bob", "carol"]
    assert isinstance(there.agent("dora").locks("src/app.py"), Granted), "a copy of a lock would be held for ever"
    alice = there.agent("alice")
    alice.registers()
    found = alice.session.store.state().presence("alice")
    assert found is not None
    assert (found.agent.name, found.agent.role) == ("Alice", "api")
    assert there.agent("dora").sees()["Login"].task.status == "in_progress"


def test_what_comes_after_an_import_has_new_numbers(here: World, there: World) -> None:
    done = imported(there, exported(here))
    alice = there.agent("alice")
    alice.registers()
    message = mail.send(there.agent("dora").session, "alice", "new")
    assert message.id == f"m-{alice.session.store.revision()}"
    assert keys.revision_of(message.id, "m") > done.revision  # type: ignore[operator]
    decision = decisions.decide(alice.session, "Spaces", next(iter(decisions.listing(alice.session))).id)
    assert [one.id for one in decisions.listing(alice.session)] == [decision.id]
    assert {"hello", "new"} <= {message.body for message in mail.inbox(alice.session)}
    check_replay(there.state)


def test_an_import_goes_on_into_compaction_and_another_export(here: World, there: World, tmp_path: Path) -> None:
    imported(there, exported(here))
    dora = there.agent("dora")
    for number in range(KEEP + 20):
        feed.record(dora.session, f"note {number}")
    from agentsync.ops import care

    care.gc(dora.session)
    check_replay(there.state)
    (tmp_path / "third").mkdir()
    third = fenced(tmp_path / "third")
    imported(third, exported(there))
    assert what_comes(third).keys() >= what_comes(there).keys()
    check_replay(third.state)


# ---------------------------------------------------------------- one moment
def test_an_export_needs_no_guard_where_nobody_writes(here: World) -> None:
    """So it can be made of a board that is read-only, and keeps nobody waiting."""
    with here.agent("bob").session.store.transaction("bob"):
        assert len(exported(here)) > 1000


WRITER = """
import sys
from agentsync.board import open as board
here = board(sys.argv[1], agent="writer")
here._session.store._durable = False
while True:
    task = here.create_task("T", files=["a.py"])
    here.send("all", "about " + task.id)
    here.complete_task(task.id)
"""


def test_while_others_write_an_export_is_still_one_moment(here: World) -> None:
    """Its records are what its events say, neither more nor less."""
    env = {**environment("writer"), "AGENT_SYNC_DIR": str(here.state)}
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(here.root)], env=env)
    revisions = set()
    try:
        end = time.monotonic() + 60
        while len(revisions) < 10 and time.monotonic() < end:
            header, *rest = lines(transfer.export(open_session(Runtime({"AGENT_SYNC_ID": "x"}, str(here.root)))).data)
            events = [codec.decode(json.dumps(one).encode(), Event, "event") for one in rest[header["records"] :]]
            said = {key: value for key, value in replayed(events).items() if key.startswith(COMES)}
            assert {
                one["put"]: one["record"] for one in rest[: header["records"]] if one["put"].startswith(COMES)
            } == said
            assert [event.rev for event in events] == list(range(1, header["revision"] + 1))
            revisions.add(header["revision"])
    finally:
        writer.kill()
        writer.wait()
    assert len(revisions) == 10, "it wrote meanwhile"


# ---------------------------------------------------------------- secrets
def test_what_settings_files_held_before_us_is_not_exported(here: World) -> None:
    settings = here.root / ".claude/settings.json"
    settings.write_text('{"env": {"TOKEN": "s3cr3t"}}')
    install.install(here.agent("alice").session, claude)
    assert any(b"s3cr3t" in path.read_bytes() for path in here.state.rglob("*.json")), "it is there"
    data = exported(here)
    assert b"s3cr3t" not in data
    assert b"installed/" not in data
    assert any(event.get("verb") == "install" for event in lines(data)), "that it happened is told"


# ---------------------------------------------------------------- again, and into a board that is used
def test_again_it_does_nothing(here: World, there: World) -> None:
    data = exported(here)
    first = imported(there, data)
    before = records(there.state)
    again = imported(there, data)
    assert (again.again, again.revision, again.records, again.history) == (True, first.revision, 0, 0)
    assert records(there.state) == before
    there.agent("dora").makes("More")
    assert imported(there, data).again, "also when it was worked on meanwhile"


def test_into_a_used_board_comes_what_is_in_nobodys_way(here: World, there: World) -> None:
    dora = there.agent("dora")
    mine = dora.makes("Mine")
    for number in range(40):
        feed.record(dora.session, f"note {number}")
    done = imported(there, exported(here))
    assert done.history == 0
    assert any("history" in reason for reason in done.left_out)
    assert {task.title for task in dora.session.store.state().tasks()} == {"Mine", "Login", "Logout"}
    assert dora.session.store.state().task(mine.id) == mine
    check_store(there.state)
    check_replay(there.state)


def test_what_is_in_the_way_refuses_all_of_it(here: World, there: World) -> None:
    data = exported(here)
    imported(there, data)
    alice = here.agent("alice")
    alice.does("complete", "Login")
    before = records(there.state)
    outcome = transfer.bring_in(there.agent("dora").session, transfer.bundle(exported(here)))
    assert isinstance(outcome, Collision)
    (login,) = (task for task in alice.session.store.state().tasks() if task.title == "Login")
    assert keys.task(login.id) in outcome.different
    assert records(there.state) == before


def test_numbers_that_a_board_has_yet_to_use_are_refused(here: World, there: World) -> None:
    """A message that is written later would take the place of an imported one."""
    there.agent("dora").registers()
    outcome = transfer.bring_in(there.agent("dora").session, transfer.bundle(exported(here)))
    assert isinstance(outcome, Collision)
    assert outcome.different == ()
    assert any(key.startswith("messages/") for key in outcome.ahead)
    assert what_comes(there) == {}


# ---------------------------------------------------------------- files that are no export
def damaged(data: bytes, how: str) -> bytes:
    first, *rest = data.splitlines(keepends=True)
    return {
        "empty": b"",
        "something else": b'{"kind":"task"}\n',
        "no text": b"\xff\xfe\n",
        "cut": b"".join([first, *rest[:-1]]),
        "cut in a line": data[:-40],
        "longer": data + rest[-1],
        "a line that is no record": b"".join([first, b"{}\n", *rest[1:]]),
        "newer": data.replace(b'"v":1', b'"v":9', 1),
        "newer record": b"".join([first, rest[0].replace(b'"v":1', b'"v":9'), *rest[1:]]),
        "shuffled": b"".join([first, *rest[:-2], rest[-1], rest[-2]]),
        "another place": data.replace(b'"put":"tasks/', b'"put":"tasks/../', 1),
        "settings": data.replace(b'"put":"tasks/', b'"put":"installed/', 1),
    }[how]


HOW = [
    *("empty", "something else", "no text", "cut", "cut in a line", "longer", "a line that is no record"),
    *("newer", "newer record", "shuffled", "another place", "settings"),
]


@pytest.mark.parametrize("how", HOW)
def test_what_is_no_whole_export_is_refused_before_anything_is_done(how: str, here: World) -> None:
    with pytest.raises(NewerRecordError if how.startswith("newer") else UsageError):
        transfer.bundle(damaged(exported(here), how))


def test_records_that_cannot_be_read_are_named_and_left_out(here: World, there: World) -> None:
    (login,) = (task for task in here.agent("x").session.store.state().tasks() if task.title == "Login")
    (here.state / keys.task(login.id)).write_bytes(b"{")
    made = transfer.export(here.agent("alice").session)
    assert made.left_out == (keys.task(login.id),)
    imported(there, made.data)


def test_there_must_be_a_board(there: World) -> None:
    with pytest.raises(NotFoundError):
        transfer.export(there.agent("alice").session)
    assert not there.state.exists()


# ---------------------------------------------------------------- places
AGENT = Agent(id="al", name="al", created_at=NOW, last_seen=NOW)
TASK = Task(id="t-1", title="T", created_by="al", created_at=NOW, updated_at=NOW)
MESSAGE = Message(id="m-7", sender="al", sender_name="al", to="bo", body="hi", created_at=NOW)
DECISION = Decision(id="d-7", by="al", by_name="al", text="x", created_at=NOW)
LOCK = Lock(path="a.py", scope="file", mode="exclusive", holder="al", holder_name="al", token="s:1", acquired_at=NOW, expires_at=NOW, ttl_s=60)  # fmt: skip

PLACES: list[tuple[str, Record, bool]] = [
    ("agents/al.json", AGENT, True),
    ("agents/past/al.json", AGENT, True),
    ("agents/bo.json", AGENT, False),
    ("tasks/t-1.json", TASK, True),
    ("tasks/t-2.json", TASK, False),
    ("agents/t-1.json", TASK, False),
    ("messages/000000000007.json", MESSAGE, True),
    ("messages/7.json", MESSAGE, False),
    ("inbox/bo/000000000007.json", MESSAGE, True),
    ("inbox/bo/later/000000000007.json", MESSAGE, True),
    ("inbox/../000000000007.json", MESSAGE, False),
    ("inbox/bo/x/000000000007.json", MESSAGE, False),
    ("decisions/000000000007.json", DECISION, True),
    ("decisions/000000000008.json", DECISION, False),
    ("locks/a.py.json", LOCK, True),
    ("locks/b.py.json", LOCK, False),
    ("log/000000000007.json", DECISION, False),
]


@pytest.mark.parametrize(("key", "record", "fits"), PLACES, ids=[key for key, _, _ in PLACES])
def test_a_record_has_its_places(key: str, record: Record, fits: bool) -> None:
    assert belongs(key, record) is fits


class Nothing:
    """A board without anything."""

    def knows_agent(self, _agent_id: str) -> bool:
        return False

    def record(self, _key: str, _kind: type[Record]) -> Record | None:
        return None


def test_a_plan_for_an_empty_board_undoes_what_the_history_says_of_locks_and_presence() -> None:
    records_of: dict[str, Record] = {
        "agents/al.json": AGENT,
        "locks/a.py.json": LOCK,
        "messages/000000000007.json": MESSAGE,
    }
    what = Bundle(mark="s:9", revision=9, records=records_of)
    for head, drops in ((0, {"agents/al.json", "locks/a.py.json"}), (20, set())):
        made = plan(what, Nothing(), head)  # type: ignore[arg-type]
        assert not isinstance(made, Collision)
        assert {write.key for write in made.writes if isinstance(write, Drop)} == drops
        assert {write.key for write in made.writes if isinstance(write, Put)} == {
            *("agents/past/al.json", "messages/000000000007.json")
        }
    assert plan(what, Nothing(), 6) == Collision(different=(), ahead=("messages/000000000007.json",))  # type: ignore[arg-type]


# ---------------------------------------------------------------- killed
def test_killed_anywhere_nothing_or_all_came_and_the_same_command_completes_it(here: World, there: World) -> None:
    what = transfer.bundle(exported(here))
    dora: Player = there.agent("dora")
    start, wanted, calls = Snapshot(there.state), what_comes(here), 0
    seen: set[int] = set()
    while True:
        start.restore()
        killed = kill_before(calls + 1, lambda: transfer.bring_in(dora.session, what), only_changing=True)
        with dora.session.store.transaction("eve"):
            pass  # whoever comes next finishes what was begun
        left = what_comes(there)
        assert left in ({}, wanted), f"killed before call {calls + 1}"
        seen.add(len(left))
        done = transfer.bring_in(dora.session, what)
        assert isinstance(done, transfer.Imported)
        assert what_comes(there) == wanted
        check_store(there.state)
        assert [event.verb for event in check_replay(there.state)].count("import") == 1
        if not killed:
            assert done.again
            break
        calls += 1
    assert calls > 30
    assert seen == {0, len(wanted)}
