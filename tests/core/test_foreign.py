"""Rows of somebody else's tables as records: names of columns, words for states, times, ids, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from core.boards import NOW
from hypothesis import given
from hypothesis import strategies as st

from agentsync.core import keys
from agentsync.core.foreign import TABLES, Found
from agentsync.core.records import Agent, Decision, Message, Record, Task
from agentsync.core.rows import Row, path_of
from agentsync.core.transfer import belongs
from agentsync.store import codec


def found(**tables: list[dict[str, Any]]) -> Found:
    return Found(tables, NOW)


def only(what: Found, kind: type[Any]) -> Any:
    (one,) = (record for record in what.records.values() if isinstance(record, kind))
    return one


def test_agents_are_past_ones_and_known_by_id_and_name() -> None:
    what = found(
        agents=[
            {"id": 1, "name": "Back End", "role": "api", "created_at": "2026-01-02 10:00:00"},
            {"agent_id": "claude-1"},
        ],
        tasks=[
            {"id": "a", "title": "x", "status": "claimed", "owner": 1},
            {"id": "b", "title": "y", "status": "claimed", "owner": "Back End"},
        ],
    )
    assert what.records.keys() >= {"agents/past/back-end.json", "agents/past/claude-1.json"}
    agent = what.records["agents/past/back-end.json"]
    assert isinstance(agent, Agent)
    assert (agent.name, agent.role, agent.status) == ("Back End", "api", "offline")
    assert agent.created_at == agent.last_seen == datetime(2026, 1, 2, 10, tzinfo=UTC)
    assert [r.owner for r in what.records.values() if isinstance(r, Task)] == ["back-end"] * 2


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("todo", "pending"),
        ("Claimed", "in_progress"),
        ("BLOCKED", "blocked"),
        ("completed", "done"),
        ("canceled", "cancelled"),
        ("strange", "pending"),
        (None, "pending"),
    ],
)
def test_states_of_tasks(there: str | None, here: str) -> None:
    what = found(tasks=[{"id": "t-1", "title": "T", "status": there, "assigned_to": "al", "updated_at": 1_700_000_000}])
    task = only(what, Task)
    assert (task.status, task.owner is not None) == (here, here != "pending")
    assert (task.completed_at is not None) == (here in ("done", "cancelled"))
    assert bool(what.left_out["states of tasks that are not known: they are open now"]) == (there == "strange")


def test_a_task_that_nobody_works_on_is_open() -> None:
    assert only(found(tasks=[{"id": 7, "name": "T", "status": "in_progress"}]), Task).status == "pending"


def test_a_task_brings_its_files_its_priority_and_what_it_waits_for() -> None:
    what = found(
        tasks=[
            {"id": 1, "title": "A"},
            {"id": 2, "title": "B" * 300, "priority": "high", "depends_on": "[1, 9]", "files": "docs/a.md, ../x"},
        ],
        task_files=[
            {"task_id": 2, "file_path": "./src//a.py"},
            {"task_id": 2, "path": "/etc/hosts"},
            {"task_id": 9, "path": "x"},
        ],
    )
    task = what.records[keys.task("2")]
    assert isinstance(task, Task)
    assert task.files == ("src/a.py", "/etc/hosts", "docs/a.md")
    assert (task.priority, task.depends_on) == (1, ("1",))
    assert (len(task.title), task.description) == (200, "B" * 300)
    assert what.left_out["files of tasks: no such task, or no path"] == 1


def test_ids_that_cannot_be_ids_here_become_some_and_stay_different() -> None:
    what = found(
        tasks=[
            {"id": "Task A", "title": "1"},
            {"id": "task/a", "title": "2"},
            {"id": "Task A", "title": "again"},
            {"title": "none"},
        ]
    )
    assert [r.id for r in what.records.values() if isinstance(r, Task)] == ["task-a", "task-a-2"]
    assert what.left_out["tasks without an id of their own"] == 2


def test_messages_keep_their_numbers_and_how_far_they_got() -> None:
    what = found(
        messages=[
            {"id": 3, "from_agent": "al", "to_agent": "bo", "body": "hi", "created_at": 1_767_348_000_000},
            {
                "id": 8,
                "sender": "bo",
                "recipient": "all",
                "subject": "S",
                "content": "yo",
                "reply_to": 3,
                "priority": "urgent",
            },
        ],
        message_deliveries=[
            {"message_id": 3, "recipient": "bo", "read_at": "2026-01-02T10:00:00+02:00"},
            {"message_id": 8, "agent": "al"},
            {"agent": "al"},
        ],
    )
    one, other = (what.records[keys.message(number)] for number in (3, 8))
    assert isinstance(one, Message)
    assert isinstance(other, Message)
    assert one.created_at == datetime(2026, 1, 2, 10, tzinfo=UTC)
    assert one.readers[0].read_at == one.readers[0].delivered_at == datetime(2026, 1, 2, 8, tzinfo=UTC)
    assert (other.to, other.body, other.reply_to, other.urgent) == ("all", "S\nyo", "m-3", True)
    assert [key for key in what.records if key.startswith("inbox/")] == ["inbox/al/000000000008.json"], "not told yet"
    assert what.revision == 8
    assert what.left_out["deliveries without a message or a reader"] == 1


def test_where_not_all_have_numbers_their_places_count() -> None:
    what = found(messages=[{"id": "x-1", "sender": "a", "body": "1"}, {"id": 9, "sender": "a", "body": "2"}])
    assert [r.id for r in what.records.values() if isinstance(r, Message)] == ["m-1", "m-2"]


def test_decisions_and_activity() -> None:
    what = found(
        decisions=[{"id": 40, "title": "Tabs", "rationale": "they align", "made_by": "al"}, {"id": 41}],
        activity=[
            {"id": 1, "agent": "al", "action": "edit", "detail": "edited", "path": "a.py", "ip": "x"},
            {"agent": "al"},
        ],
        locks=[{"path": "a"}],
    )
    decision = only(what, Decision)
    assert (decision.id, decision.text, decision.by) == ("d-40", "Tabs\nthey align", "al")
    assert [(e.rev, e.actor, e.verb, e.summary, e.paths) for e in what.events] == [
        (40, "al", "edit", "edited", ("a.py",)),
        (41, "al", "activity", "activity", ()),
    ]
    assert what.revision == 41, "what comes next has a greater number than all that came"
    assert what.left_out["decisions without words"] == 1
    assert what.left_out["locks: whoever goes on takes them again"] == 1
    assert "column: activity.ip" in what.left_out
    assert "column: activity.detail" not in what.left_out


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("./a//b.py", "a/b.py"),
        ("a\\b", "a/b"),
        ("src/", "src/"),
        ("/x", "/x"),
        ("..", None),
        ("a/../../b", None),
        ("", None),
        (None, None),
    ],
)
def test_paths(text: str | None, path: str | None) -> None:
    assert path_of(text) == path


@pytest.mark.parametrize("text", ["yesterday", "", "99999999999999", "-5", "0001-01-01T00:00+05:00", b"2026-01-01"])
def test_what_is_no_time_is_none(text: object) -> None:
    row = Row({"at": text}, set())
    time = row.time("at")
    assert time is None or time.tzinfo is not None


CELL = (
    st.none()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.sampled_from(["1", "al", "[1]", "done", "2026-01-01"])
)
COLUMN = st.sampled_from(
    [
        "id",
        "name",
        "title",
        "status",
        "owner",
        "sender",
        "recipient",
        "body",
        "message_id",
        "agent_id",
        "path",
        "created_at",
        "depends_on",
        "priority",
        "text",
    ]
)


@given(st.dictionaries(st.sampled_from(TABLES), st.lists(st.dictionaries(COLUMN, CELL, max_size=6), max_size=4)))
def test_any_rows_make_records_at_their_places_or_are_left_out(tables: dict[str, list[dict[str, Any]]]) -> None:
    what = Found(tables, NOW)
    for key, record in what.records.items():
        assert belongs(key, record)
        number = getattr(record, "id", "").partition("-")[2]
        assert isinstance(record, Record)
        if isinstance(record, Message | Decision):
            assert int(number) <= what.revision
    assert [event.rev for event in what.events] == list(range(what.revision - len(what.events) + 1, what.revision + 1))
    for record in what.records.values():
        if all(text.isascii() for text in map(str, [*tables.values()])):
            codec.decode(codec.compact(record), type(record), "a record")
