"""What was settled: what holds, what took whose place, what is forgotten."""

from __future__ import annotations

import pytest
from core.boards import NOW, agent
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsync.core import decisions, keys
from agentsync.core.changes import Drop, Put, Stamp
from agentsync.core.decisions import KEPT, MAX_TEXT
from agentsync.core.records import Decision
from agentsync.errors import NotFoundError, UsageError


def decided(known: list[Decision], text: str = "x", supersedes: str | None = None, revision: int = 0) -> Decision:
    stamp = Stamp(NOW, revision or len(known) + 1, "s")
    made = decisions.decide(known, agent("me"), text, supersedes, stamp)
    (put,) = decisions.publish(made, (), stamp)
    assert put == Put(keys.decision(stamp.revision), made)
    return made


def test_a_decision_says_who_what_and_has_its_revision_as_id() -> None:
    made = decided([], " All times are UTC ", revision=12)
    assert (made.id, made.by, made.by_name, made.text) == ("d-12", "me", "Me", "All times are UTC")
    assert (made.created_at, made.supersedes) == (NOW, None)


@pytest.mark.parametrize("text", ["", " \n ", "x" * (MAX_TEXT + 1)])
def test_a_text_has_bounds(text: str) -> None:
    with pytest.raises(UsageError):
        decided([], text)
    decided([], "x" * MAX_TEXT)


def test_what_was_superseded_holds_no_longer_and_cannot_be_superseded_again() -> None:
    first = decided([])
    second = decided([first], supersedes="d-1")
    assert decisions.current([first, second]) == [second]
    with pytest.raises(NotFoundError, match="d-1 was superseded by d-2") as caught:
        decided([first, second], supersedes="d-1")
    assert "--supersedes d-2" in caught.value.hint


@pytest.mark.parametrize("name", ["d-9", "", "1", "D-1", "x" * 5000])
def test_only_a_decision_can_be_superseded(name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        decided([decided([])], supersedes=name)
    assert len(caught.value.message) < 200


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 400)), max_size=400))
def test_forgetting_never_brings_back_what_was_superseded(choices: list[int | None]) -> None:
    known: list[Decision] = []
    for choice in choices:
        holding = decisions.current(known)
        target = holding[choice % len(holding)].id if choice is not None and holding else None
        known.append(decided(known, supersedes=target))
    before = decisions.current(known)
    dropped = [write.key for write in decisions.outdated(known)]
    left = list(known)
    for key in dropped:  # one after the other, as a reader may see it
        left = [decision for decision in left if keys.decision(int(decision.id[2:])) != key]
        assert decisions.current(left) == before
    assert len(left) == min(len(known), len(before) + min(KEPT, len(known) - len(before)))


def test_the_oldest_superseded_go_and_what_holds_stays() -> None:
    known = [decided([], "the first of all, which still holds")]
    for _ in range(KEPT + 20):
        known.append(decided(known, supersedes=known[-1].id if len(known) > 1 else None))
    dropped = decisions.outdated(known)
    assert dropped == tuple(Drop(keys.decision(revision)) for revision in range(2, 21))
