"""A whole SQLite database, made as another agent-sync might have, imported."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from faults.operations import fenced
from invariants import check_store

from agentsync.core.transfer import Collision
from agentsync.errors import UsageError
from agentsync.ops import decisions, feed, foreign, mail, transfer
from agentsync.store import inspect

if TYPE_CHECKING:
    from pathlib import Path

    from world import World

TABLES = """
CREATE TABLE Agents (id INTEGER PRIMARY KEY, name TEXT, role TEXT, last_seen TEXT);
CREATE TABLE tasks (id TEXT PRIMARY KEY, title TEXT, status TEXT, owner INTEGER, secret BLOB);
CREATE TABLE task_files (task_id TEXT, path TEXT);
CREATE TABLE locks (path TEXT, agent_id INTEGER);
CREATE TABLE messages (id INTEGER PRIMARY KEY, from_agent INTEGER, to_agent INTEGER, body TEXT, created_at TEXT);
CREATE TABLE message_deliveries (message_id INTEGER, agent_id INTEGER, delivered_at TEXT);
CREATE TABLE decisions (id INTEGER PRIMARY KEY, text TEXT, agent_id INTEGER);
CREATE TABLE activity (id INTEGER PRIMARY KEY, agent_id INTEGER, action TEXT, detail TEXT, created_at TEXT);
CREATE TABLE "odd ""name" (x);
INSERT INTO Agents VALUES (1, 'backend', 'api', '2026-01-02 10:00:00'), (2, 'frontend', NULL, NULL);
INSERT INTO tasks VALUES ('t-1', 'Login', 'in_progress', 1, x'00ff'), ('t-2', 'Logout', 'todo', NULL, NULL);
INSERT INTO task_files VALUES ('t-1', 'src/app.py');
INSERT INTO locks VALUES ('src/app.py', 1);
INSERT INTO messages VALUES (12, 1, 2, 'hello', '2026-01-02 10:00:00');
INSERT INTO message_deliveries VALUES (12, 2, NULL);
INSERT INTO decisions VALUES (3, 'Tabs', 1);
INSERT INTO activity VALUES (1, 1, 'claim', 'took Login', '2026-01-02 10:00:00');
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "agent sync.db"
    connection = sqlite3.connect(path)
    connection.executescript(TABLES)
    connection.close()
    return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return fenced(tmp_path)


def test_a_database_comes_whole_and_is_left_as_it_is(database: Path, world: World) -> None:
    before = database.read_bytes()
    dora = world.agent("dora")
    done = transfer.bring_in(dora.session, foreign.bundle(dora.session, str(database)))
    assert isinstance(done, transfer.Imported)
    assert (done.revision, done.history) == (13, 1)
    assert {
        "locks: whoever goes on takes them again",
        'table that is not known: odd "name',
        "column: tasks.secret",
    } <= {*done.left_out}
    assert {task.title: task.id for task in dora.session.store.state().tasks()} == {"Login": "t-1", "Logout": "t-2"}
    assert [one.text for one in decisions.listing(dora.session)] == ["Tabs"]
    frontend = world.agent("frontend")
    frontend.registers()
    assert [message.body for message in mail.inbox(frontend.session)] == ["hello"]
    events = feed.events(dora.session, 0, lambda _: True, 0)
    assert [event.summary for event in events if event.actor == "backend"] == ["took Login"]
    assert inspect.gaps(dora.session.store) == []
    assert inspect.damaged_records(dora.session.store) == {}
    check_store(world.state)
    assert database.read_bytes() == before


def test_again_nothing_comes_and_what_changed_there_is_refused(database: Path, world: World) -> None:
    dora = world.agent("dora")
    transfer.bring_in(dora.session, foreign.bundle(dora.session, str(database)))
    again = transfer.bring_in(dora.session, foreign.bundle(dora.session, str(database)))
    assert isinstance(again, transfer.Imported)
    assert again.again
    connection = sqlite3.connect(database)
    connection.execute("UPDATE tasks SET title = 'Sign in' WHERE id = 't-1'")
    connection.commit()
    connection.close()
    refused = transfer.bring_in(dora.session, foreign.bundle(dora.session, str(database)))
    assert isinstance(refused, Collision)
    assert "tasks/t-1.json" in refused.different


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\0" + b"\xff" * 200])
def test_what_is_no_database_of_ours_is_a_usage_error(content: bytes | None, world: World, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError):
        foreign.bundle(world.agent("dora").session, str(path))
    assert not world.state.exists()
