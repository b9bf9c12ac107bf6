"""What a task says and how far it is: bounds, cycles, what finishing sets free, the way back."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from core.boards import NOW, STAMP, Table, agent, owned, task
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsync.core import progress, tasks
from agentsync.core.progress import MAX_FILES, MAX_PRIORITY, MAX_TEXT, MAX_TITLE, Says
from agentsync.core.records import Task
from agentsync.core.tasks import Changed, Refused
from agentsync.errors import NotFoundError, UsageError


def made(says: Says, *others: Task) -> Task:
    return progress.create(Table(others), agent("me"), "t-new", says, STAMP)


# ---------------------------------------------------------------- making
def test_a_new_task_says_what_it_was_told_and_is_open() -> None:
    says = Says(title=" Login ", description="D", files=("a.py", "b/", "a.py"), priority=3, depends_on=("T-A", "t-a"))
    new = made(says, task("t-a"))
    assert (new.title, new.description, new.files, new.priority) == ("Login", "D", ("a.py", "b/"), 3)
    assert new.depends_on == ("t-a",)
    assert (new.status, new.owner, new.created_by, new.created_at) == ("pending", None, "me", NOW)


@pytest.mark.parametrize(
    "says",
    [
        Says(),
        Says(title=""),
        Says(title=" \n "),
        Says(title="x" * (MAX_TITLE + 1)),
        Says(title="x", description="x" * (MAX_TEXT + 1)),
        Says(title="x", files=tuple(f"{n}.py" for n in range(MAX_FILES + 1))),
        Says(title="x", priority=MAX_PRIORITY + 1),
        Says(title="x", priority=-MAX_PRIORITY - 1),
    ],
)
def test_what_is_out_of_bounds_is_refused(says: Says) -> None:
    with pytest.raises(UsageError) as caught:
        made(says)
    assert caught.value.hint


def test_the_bounds_themselves_are_fine() -> None:
    files = tuple(f"{n}.py" for n in range(MAX_FILES))
    made(Says(title="x" * MAX_TITLE, description="x" * MAX_TEXT, files=files, priority=MAX_PRIORITY))


def test_a_dependency_that_is_not_there_or_fits_several_is_refused() -> None:
    with pytest.raises(NotFoundError):
        made(Says(title="x", depends_on=("no such",)))
    with pytest.raises(NotFoundError, match="fits 2 tasks"):
        made(Says(title="x", depends_on=("same",)), task("t-a", title="same"), task("t-b", title="same"))


@pytest.mark.parametrize("verb", [progress.checkpoint, progress.note, progress.block])
@pytest.mark.parametrize("text", ["", "x" * (MAX_TEXT + 1)])
def test_texts_have_bounds(verb: object, text: str) -> None:
    one = owned("me")
    with pytest.raises(UsageError):
        verb(Table([one]).attempt(one), text)  # type: ignore[operator]


# ---------------------------------------------------------------- editing
def test_an_edit_changes_what_it_says_and_adds_files_and_dependencies() -> None:
    one = task("t-x", title="X", description="D", files=("a.py",), depends_on=("t-a",), priority=4)
    board = Table([one, task("t-a"), task("t-b")])
    outcome = progress.edit(board.attempt(one), Says(title="Y", files=("b.py", "a.py"), depends_on=("t-b",)))
    assert isinstance(outcome, Changed)
    after = outcome.task
    assert (after.title, after.description, after.priority) == ("Y", "D", 4)
    assert (after.files, after.depends_on) == (("a.py", "b.py"), ("t-a", "t-b"))
    cleared = progress.edit(board.attempt(one), Says(description="", priority=0))
    assert isinstance(cleared, Changed)
    assert (cleared.task.description, cleared.task.priority) == (None, 0)


def test_a_cycle_is_refused_and_printed() -> None:
    board = Table([one := task("t-a"), task("t-b", depends_on=("t-a",)), task("t-c", depends_on=("t-b",))])
    with pytest.raises(UsageError, match=r"t-a -> t-c -> t-b -> t-a"):
        progress.edit(board.attempt(one), Says(depends_on=("t-c",)))
    with pytest.raises(UsageError, match="t-a -> t-a"):
        progress.edit(board.attempt(one), Says(depends_on=("t-a",)))


NODES = "abcdef"
graphs = st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES), max_size=3, unique=True))


def _reaches(graph: dict[str, list[str]], start: str, goal: str) -> bool:
    """By brute force: whether some way of one step or more leads there."""
    seen: set[str] = set()
    edge = set(graph.get(start, []))
    while edge - seen:
        seen |= edge
        edge = {after for node in edge for after in graph.get(node, [])}
    return goal in seen


@settings(deadline=None)
@given(graphs, st.sampled_from(NODES), st.lists(st.sampled_from(NODES), min_size=1, max_size=3, unique=True))
def test_exactly_the_edits_that_close_a_cycle_are_refused(
    graph: dict[str, list[str]], node: str, new: list[str]
) -> None:
    for start in NODES:  # what is there has no cycles: whatever would close one was refused
        graph[start] = [end for end in graph.get(start, []) if end > start]
    board = Table([task(f"t-{n}", depends_on=tuple(f"t-{end}" for end in graph[n])) for n in NODES])
    one = board.task(f"t-{node}")
    assert one is not None
    after = {**graph, node: [*graph[node], *new]}
    try:
        progress.edit(board.attempt(one), Says(depends_on=tuple(f"t-{end}" for end in new)))
        trail = []
    except UsageError as error:
        trail = error.message.rpartition(": ")[2].replace("t-", "").split(" -> ")
    assert bool(trail) == _reaches(after, node, node)
    if trail:
        assert trail[0] == trail[-1] == node
        assert all(end in after[start] for start, end in itertools.pairwise(trail)), "it is really there"
        assert len(set(trail)) == len(trail) - 1


# ---------------------------------------------------------------- finishing
@pytest.mark.parametrize(("verb", "status"), [(progress.complete, "done"), (progress.cancel, "cancelled")])
def test_finishing_tells_what_became_ready(verb: object, status: str) -> None:
    one = owned("me", "t-a", blocked_reason="x")
    board = Table(
        [
            one,
            task("t-open"),
            task("t-now", depends_on=("t-a",)),
            task("t-first", depends_on=("t-a", "t-done"), priority=2),
            task("t-done", status="done"),
            task("t-not-yet", depends_on=("t-a", "t-open")),
            task("t-blocked", depends_on=("t-a",), status="blocked"),
            task("t-finished", depends_on=("t-a",), status="cancelled"),
            owned("other", "t-taken", depends_on=("t-a",)),
            task("t-unrelated"),
        ]
    )
    outcome = verb(board.attempt(one))  # type: ignore[operator]
    assert isinstance(outcome, Changed)
    assert [found.id for found in outcome.ready] == ["t-first", "t-now"]
    assert (outcome.task.status, outcome.task.completed_at, outcome.task.blocked_reason) == (status, NOW, None)
    assert outcome.task.owner == "me", "who did it stays known"


@pytest.mark.parametrize("status", ["blocked", "done", "cancelled"])
def test_what_is_reopened_is_as_open_as_on_the_first_day_but_keeps_what_was_learnt(status: str) -> None:
    then = NOW - timedelta(hours=1)
    one = owned("me", status=status, blocked_reason="b", completed_at=then, claimed_at=then, checkpoint="c", note="n")
    outcome = progress.reopen(Table([one]).attempt(one))
    assert isinstance(outcome, Changed)
    after = outcome.task
    assert (after.status, after.owner, after.owner_name, after.blocked_reason) == ("pending", None, None, None)
    assert (after.completed_at, after.claimed_at) == (None, None)
    assert (after.checkpoint, after.note) == ("c", "n")
    assert [found.id for found in tasks.available(Table([after]), "me")] == ["t-a"]


def test_what_is_given_back_keeps_its_checkpoint() -> None:
    one = owned("me", checkpoint="half")
    outcome = progress.release(Table([one]).attempt(one))
    assert isinstance(outcome, Changed)
    assert (outcome.task.status, outcome.task.owner, outcome.task.checkpoint) == ("pending", None, "half")


def test_what_is_blocked_stays_its_owners_and_says_why() -> None:
    one = owned("me")
    outcome = progress.block(Table([one]).attempt(one), "a key is missing")
    assert isinstance(outcome, Changed)
    assert (outcome.task.status, outcome.task.owner) == ("blocked", "me")
    assert outcome.task.blocked_reason == "a key is missing"
    assert tasks.available(Table([outcome.task]), "other") == []


def test_a_note_is_anybodys_and_changes_nothing_else() -> None:
    one = owned("other", checkpoint="c")
    outcome = progress.note(Table([one]).attempt(one), "look at #12")
    assert (outcome.task.note, outcome.task.owner, outcome.task.checkpoint) == ("look at #12", "other", "c")


def test_a_checkpoint_is_its_owners() -> None:
    one = owned("other")
    board = Table([one])
    assert isinstance(progress.checkpoint(board.attempt(one), "x"), Refused)
    assert isinstance(progress.checkpoint(board.attempt(one, "other"), "x"), Changed)
