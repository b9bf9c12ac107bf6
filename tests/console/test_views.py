"""The tables: what is in them, in which order, at which width, and that no text in them does anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from console.conftest import operator_at
from hypothesis import given
from hypothesis import strategies as st

from agentsync.console import detail
from agentsync.console.table import Choice, chosen, widths
from agentsync.console.views import AGENTS, FEED, LOCKS, MAIL, TASKS, VIEWS, headline, is_frozen
from agentsync.core.visible import is_visible
from agentsync.ops import decisions, mail
from agentsync.ops.survey import recent, survey

if TYPE_CHECKING:
    from world import World

    from agentsync.console.table import View

HOSTILE = "\x1b[31m[bold]a[/] [link=x]\u202e\n</agent-sync-state>"


def texts(world: World, view: View, choice: Choice | None = None) -> list[list[str]]:
    """The cells of a view as the operator sees it now."""
    session = operator_at(world)
    seen, happened = survey(session), recent(session, 1000)
    rows = chosen(view, view.rows(seen, happened), choice or Choice(), seen.now)
    return [[column.text(row.item, seen.now) for column in view.columns] for row in rows]


@pytest.fixture
def busy(world: World) -> World:
    """A board with something in every view."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.registers("backend")
    bob.registers("frontend")
    alice.makes("Login", "src/app.py", priority=3)
    alice.makes("Logout", depends_on=("Login",))
    alice.claims("Login", lock=True)
    alice.edits("src/b.py")
    alice.has_edited("src/b.py")
    bob.locks("docs/", reason="rewriting")
    mail.send(alice.session, "bob", "the schema is final")
    decisions.decide(bob.session, "All times are UTC")
    return world


def test_agents_come_with_what_they_are_at(busy: World) -> None:
    busy.clock.advance(minutes=3)
    backend, frontend = texts(busy, AGENTS)
    assert backend == ["backend", "active", "shell", "main", "Login", "src/b.py", "2", "3 min"]
    assert frontend == ["frontend", "active", "shell", "main", "", "", "1", "3 min"]


def test_locks_come_with_holder_age_and_end(busy: World) -> None:
    busy.clock.advance(minutes=3)
    assert texts(busy, LOCKS) == [
        ["docs/", "frontend", "dir", "rewriting", "3 min", "57 min", ""],
        ["src/app.py", "backend", "", "Login", "3 min", "57 min", ""],
        ["src/b.py", "backend", "edit", "", "3 min", "7 min", ""],
    ]
    busy.clock.advance(minutes=200)
    assert all(cells[5] == "free" for cells in texts(busy, LOCKS))


def test_tasks_come_by_state(busy: World) -> None:
    found = [(cells[0], cells[2]) for cells in texts(busy, TASKS)]
    assert found == [("in progress", "Login"), ("waiting", "Logout")]


def test_mail_and_decisions_come_newest_first_and_the_feed_too(busy: World) -> None:
    assert texts(busy, MAIL)[0][1:] == ["backend", "frontend", "no", "the schema is final"]
    assert [cells[4] for cells in texts(busy, VIEWS[4])] == ["All times are UTC"]
    feed = texts(busy, FEED)
    assert feed[0][2:] == ["frontend", "decision", "decided d-11: All times are UTC"] or feed[0][3] == "decision"
    assert [int(cells[0]) for cells in feed] == sorted((int(cells[0]) for cells in feed), reverse=True)


def test_a_filter_takes_all_its_words_and_an_order_goes_both_ways(busy: World) -> None:
    assert [c[0] for c in texts(busy, LOCKS, Choice("BACKEND src"))] == ["src/app.py", "src/b.py"]
    assert texts(busy, LOCKS, Choice("nowhere")) == []
    by_holder = [c[1] for c in texts(busy, LOCKS, Choice(column=1))]
    assert by_holder == ["backend", "backend", "frontend"]
    assert [c[1] for c in texts(busy, LOCKS, Choice(column=1, reverse=True))] == by_holder[::-1]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_column_of_every_view_sorts(view: View, busy: World) -> None:
    busy.agent("eve").locks("x.py")
    busy.agent("eve").makes("Third")
    for column in range(len(view.columns)):
        assert len(texts(busy, view, Choice(column=column))) == len(texts(busy, view))


def test_the_board_in_a_few_words(busy: World) -> None:
    seen = survey(operator_at(busy))
    assert headline(seen)[:3] == ["2 agents", "3 locks", "2 open tasks"]
    assert not is_frozen(seen)


def test_an_empty_board_is_shown_as_such(world: World) -> None:
    seen = survey(operator_at(world))
    assert all(not view.rows(seen, []) and view.empty and not view.gist(seen, []) for view in VIEWS)
    assert headline(seen) == ["0 agents", "0 locks", "0 open tasks", "rev 0"]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_no_text_in_a_cell_or_a_story_steers_a_terminal(view: View, world: World) -> None:
    eve = world.agent("eve")
    eve.registers(HOSTILE, HOSTILE)
    eve.makes(HOSTILE, description=HOSTILE)
    eve.claims(HOSTILE)
    eve.does("checkpoint", HOSTILE, HOSTILE)
    eve.locks("[bold]x", reason=HOSTILE)
    mail.send(eve.session, "all", HOSTILE)
    decisions.decide(eve.session, HOSTILE)
    for row in texts(world, view):
        assert all(is_visible(char) for cell in row for char in cell)
    session = operator_at(world)
    seen, happened = survey(session), recent(session, 1000)
    for row in view.rows(seen, happened):
        lines = detail.story(session, view, row, seen, happened)
        assert lines
        assert all(is_visible(char) for _, line in lines for char in line)


def test_a_story_tells_what_happened_to_a_thing(busy: World) -> None:
    session = operator_at(busy)
    seen, happened = survey(session), recent(session, 1000)
    told = {}
    for view in VIEWS:
        row = view.rows(seen, happened)[0]
        told[view.name] = "\n".join(text for _, text in detail.story(session, view, row, seen, happened))
    assert "holds (2)" in told["agents"]
    assert "last edit: src/b.py" in told["agents"]
    assert "holder: frontend (bob), active" in told["locks"]
    assert "locked docs/" in told["locks"]
    assert "state: in progress" in told["tasks"]
    assert "claimed" in told["tasks"]
    assert "frontend (bob): waiting" in told["mail"]
    assert "All times are UTC" in told["decisions"]
    assert "wrote decisions/" in told["feed"]


@given(room=st.integers(10, 300), names=st.lists(st.text(max_size=40), max_size=5))
def test_columns_never_need_more_room_than_there_is(room: int, names: list[str]) -> None:
    from datetime import UTC, datetime

    from agentsync.console.table import Row
    from agentsync.console.view_agents import AgentHere
    from agentsync.core.lease import Presence
    from agentsync.core.records import Agent

    now = datetime(2030, 1, 1, tzinfo=UTC)
    rows = [
        Row(str(n), AgentHere(Presence(Agent(id="a", name=name, created_at=now, last_seen=now), "active"), None, "", 0))
        for n, name in enumerate(names)
    ]
    found = widths(AGENTS, rows, now, room)
    taken = sum(width + 1 for width in found if width) - 1
    assert taken <= max(room, len(found) * 5)
    assert all(width >= 0 for width in found)
