"""Whose turn it is at the shared board, when several machines want to commit at the same time.

The board says who made its last commits. While machines get in each other's way, the one whose last commit is the
longest ago goes first, and each of the others waits for as many slots as there are machines before it; a slot is about
as long as a look at the board and a push. Compare-and-swap decides all the same: who is wrong about its turn loses time
and nothing else, and a machine that dies in its turn costs the others one slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT = 8
"""Commits of which the board says who made them. With more, those are waited for who have no longer anything to do."""

FEW = 4
"""So many of the last commits by one machine mean that no other is at work."""


def following(turns: Sequence[str], me: str) -> tuple[str, ...]:
    """Who made the last commits, newest first, after one more by `me`."""
    return (me, *turns)[:KEPT]


def is_alone(turns: Sequence[str], me: str) -> bool:
    """Whether nobody else has committed lately, so that the board is probably still as we left it."""
    return bool(turns) and set(turns[:FEW]) == {me}


def slot(turns: Sequence[str], me: str, machines: int, passed: int, chance: float) -> int:
    """How many others go first.

    Args:
        turns: Who made the last commits, newest first.
        me: Who asks.
        machines: How many there are on the board.
        passed: Commits that were seen since `me` began to wait.
        chance: From 0 to below 1, the same while `me` waits: who has not committed lately comes after those who have,
            and by lot, for those who have not know nothing of each other.
    """
    line = list(dict.fromkeys(turns[:KEPT]))[::-1]  # the longest ago comes first
    if passed == 0 and line and is_alone(turns, line[-1]):
        line.insert(0, line.pop())  # it does not look before it pushes, so it is let go, once
    if me in line:
        return line.index(me)
    others = max(1, min(machines, KEPT) - len(line))
    return max(0, len(line) + int(chance * others) - passed)
