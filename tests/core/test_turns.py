"""Whose turn it is: who has waited longest goes first, and nobody is waited for without end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsync.core import turns

MACHINES = st.sampled_from("abcdefgh")
TURNS = st.lists(MACHINES, max_size=20)


@pytest.mark.parametrize(
    ("made", "me", "expected"),
    [
        ("", "a", False),
        ("a", "a", True),
        ("aaaa", "a", True),
        ("aaaab", "a", True),
        ("aaab", "a", False),
        ("baaaa", "a", False),
    ],
)
def test_who_made_the_last_few_commits_is_alone(made: str, me: str, expected: bool) -> None:
    assert turns.is_alone(tuple(made), me) is expected


@pytest.mark.parametrize(
    ("made", "me", "passed", "expected"),
    [
        ("abc", "c", 0, 0),
        ("abc", "b", 0, 1),
        ("abc", "a", 0, 2),
        ("aabab", "a", 0, 1),
        ("a", "a", 0, 0),
        ("aaaabc", "a", 0, 0),
        ("aaaabc", "c", 0, 1),
        ("aaaabc", "c", 1, 0),
        ("aaaabc", "a", 1, 2),
    ],
)
def test_the_longest_ago_goes_first_but_who_is_alone_is_let_go_once(
    made: str, me: str, passed: int, expected: int
) -> None:
    assert turns.slot(tuple(made), me, machines=3, passed=passed, chance=0.5) == expected


@pytest.mark.parametrize(
    ("made", "machines", "passed", "chance", "expected"),
    [
        ("ab", 3, 0, 0.9, 2),
        ("ab", 6, 0, 0.0, 2),
        ("ab", 6, 0, 0.9, 5),
        ("ab", 6, 3, 0.9, 2),
        ("ab", 6, 9, 0.9, 0),
        ("", 1, 0, 0.9, 0),
        ("ab", 900, 0, 0.99, 7),
    ],
)
def test_a_newcomer_comes_behind_by_lot_and_moves_up(
    made: str, machines: int, passed: int, chance: float, expected: int
) -> None:
    assert turns.slot(tuple(made), "new", machines, passed, chance) == expected


@given(TURNS, MACHINES)
def test_only_the_last_commits_are_remembered(made: list[str], me: str) -> None:
    after = turns.following(made, me)
    assert after == (me, *made)[: turns.KEPT]


@given(TURNS, st.integers(0, 2))
def test_no_two_of_those_at_work_have_the_same_turn(made: list[str], passed: int) -> None:
    line = set(made[: turns.KEPT])
    assert sorted(turns.slot(made, me, 8, passed, 0.5) for me in line) == list(range(len(line)))


@given(TURNS, MACHINES)
def test_who_commits_goes_to_the_end_of_the_line(made: list[str], me: str) -> None:
    after = turns.following(made, me)
    assert turns.slot(after, me, 8, 1, 0.5) == len(set(after)) - 1


@given(TURNS, MACHINES, MACHINES)
def test_a_commit_by_another_puts_nobody_back(made: list[str], me: str, other: str) -> None:
    if me != other and me in made[: turns.KEPT - 1]:
        before, after = (turns.slot(t, me, 8, 1, 0.5) for t in (made, turns.following(made, other)))
        assert after <= before


@given(TURNS, MACHINES, st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_turn_comes_soon_whatever_the_board_says(made: list[str], me: str, machines: int, chance: float) -> None:
    assert 0 <= turns.slot(made * 9, me, machines, 0, chance) < 2 * turns.KEPT
