"""Which events are selected: expressions, fields, kinds."""

from __future__ import annotations

import pytest
from core.boards import NOW
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from agentsync.core.records import Change, Event
from agentsync.core.selection import KINDS, Selection, checked, fits, kinds, parse
from agentsync.errors import UsageError


def event(verb: str = "lock", actor: str = "alice", *places: str) -> Event:
    changes = tuple(Change(drop=p[1:]) if p[0] == "-" else Change(put=p, record=Raw(b"{}")) for p in places)
    return Event(rev=1, at=NOW, actor=actor, verb=verb, summary="s", changes=changes)


PARSED = [
    ("verb=unlock path=src/a.py", Selection(verb=("unlock",), path=("src/a.py",))),
    ("  kind=lock\tkind=task ", Selection(kind=("lock", "task"))),
    ("path=my file.py agent=bob", Selection(path=("my file.py",), agent=("bob",))),
    ("path=a=b.py task=t-7k3f", Selection(path=("a=b.py",), task=("t-7k3f",))),
]


@pytest.mark.parametrize(("expression", "selection"), PARSED)
def test_an_expression_names_fields_and_values(expression: str, selection: Selection) -> None:
    assert parse(expression) == selection


@pytest.mark.parametrize(
    "expression", ["", " ", "unlock", "verb=", "verb = lock", "colour=red", "verb=lock kind=cat", "="]
)
def test_what_is_no_expression_is_a_usage_error(expression: str) -> None:
    with pytest.raises(UsageError):
        parse(expression)


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_a_usage_error(text: str) -> None:
    try:
        assert any(parse(text).__getattribute__(field) for field in Selection.__struct_fields__)
    except UsageError:
        pass


def test_the_kinds_of_an_event_are_those_of_the_records_it_changed() -> None:
    assert kinds(event("log")) == {"entry"}
    assert kinds(event("unlock", "a", "-locks/a.py.json", "inbox/bob/000000000001.json")) == {"lock"}
    places = ("agents/a.json", "tasks/t-1.json", "messages/000000000001.json", "decisions/000000000001.json")
    assert kinds(event("x", "a", *places, "-queue/000000000001-a.json")) == {
        *("agent", "task", "message", "decision", "waiter")
    }
    for kind in KINDS:
        checked(Selection(kind=(kind,)))


def test_all_fields_must_fit_and_of_a_field_any_value() -> None:
    one = event("claim-task", "alice", "tasks/t-7k3f.json", "locks/a.py.json")
    assert fits(Selection(), one)
    assert fits(Selection(agent=("bob", "alice"), verb=("claim-task",), kind=("lock",), task=("t-7k3f",)), one)
    for other in (
        Selection(agent=("bob",)),
        Selection(verb=("lock",)),
        Selection(kind=("message", "agent")),
        Selection(task=("t-7k3",)),
        Selection(agent=("alice",), verb=("lock",)),
    ):
        assert not fits(other, one)
