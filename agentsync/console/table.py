"""Tables as the console shows them: rows, columns, and which of them a person wants to see.

A row is one thing of the board under a key that stays the same while the thing does, so that a selection outlives a
refresh. Cells are made when they are looked at: of two thousand rows a screen shows fifty. All cells are escaped:
nothing in them steers a terminal, and whoever shows them must not read markup into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from rich.cells import cell_len

from agentsync.render.frame import escape
from agentsync.render.times import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from agentsync.core.records import Event
    from agentsync.ops.survey import Survey

SAMPLE = 64
"""Rows by which the widths of the columns are judged."""


NARROW = 4
"""Characters that a column is left with at least."""


class Row(NamedTuple):
    """One thing."""

    key: str
    item: Any


class Made(Sequence[Row]):
    """Rows that are made of things when somebody looks at them: thousands of them cost nothing until then."""

    def __init__(self, things: Sequence[Any], make: Callable[[Any], Row], backwards: bool = False) -> None:
        self._things = things
        self._make = make
        self._backwards = backwards

    def __len__(self) -> int:
        return len(self._things)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return self._make(self._things[-1 - at if self._backwards else at])

    def __reversed__(self) -> Iterator[Row]:
        return (self[i] for i in range(len(self) - 1, -1, -1))


class Column(NamedTuple):
    """One fact about each thing of a view."""

    title: str
    width: int
    """Characters that it needs."""
    text: Callable[[Any, datetime], str]
    order: Callable[[Any], Any]
    """What to sort by."""
    grows: int = 0
    """Its share of the room that is left."""
    rank: int = 0
    """Where there is too little room, the highest go first; 0 stays."""
    tone: Callable[[Any], str] = lambda _: ""
    tail: bool = False
    """Whether the end tells more than the beginning, as of a path."""


class View(NamedTuple):
    """One table."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Callable[[Survey, Sequence[Event]], Sequence[Row]]
    empty: str
    """What to say when there is nothing."""
    gist: Callable[[Survey, Sequence[Event]], str]
    """All of it in a few words."""
    agent: Callable[[Any], str | None]
    """The id of the agent that a thing is about."""
    flows: bool = False
    """Whether new things come at the top, and a cursor that stands there stays there."""


class Choice(NamedTuple):
    """How a person wants a view."""

    filter: str = ""
    """Words that must all be in a row."""
    column: int | None = None
    """By which to sort; None = as the view comes."""
    reverse: bool = False


def chosen(view: View, rows: Sequence[Row], choice: Choice, now: datetime) -> Sequence[Row]:
    """The rows that are wanted, as they are wanted."""
    words = choice.filter.casefold().split()
    if words:
        rows = [row for row in rows if _has(view, row, words, now)]
    if choice.column is not None:
        order = view.columns[choice.column].order
        rows = sorted(rows, key=lambda row: order(row.item))
    return Made(rows, lambda row: row, backwards=True) if choice.reverse else rows


def _has(view: View, row: Row, words: Sequence[str], now: datetime) -> bool:
    text = " ".join(column.text(row.item, now) for column in view.columns).casefold()
    text = f"{text} {row.key.casefold()}"
    return all(word in text for word in words)


def widths(view: View, rows: Sequence[Row], now: datetime, room: int) -> list[int]:
    """Characters of each column in a line of `room`; 0 = there is no room for it. One blank stands between two.

    A column takes no more than its cells need, as far as a sample of the rows tells, and what is left goes to those
    that need more.
    """
    sample = rows[:: max(len(rows) // SAMPLE, 1)]
    wanted = [
        max([len(column.title) + 1, *(cell_len(column.text(row.item, now)) for row in sample)])
        for column in view.columns
    ]
    least = [min(column.width, want) for column, want in zip(view.columns, wanted, strict=True)]
    shown = [True] * len(least)
    while (left := room - sum(width + 1 for width, there in zip(least, shown, strict=True) if there) + 1) < 0:
        droppable = [i for i, column in enumerate(view.columns) if shown[i] and column.rank]
        if not droppable:
            break
        shown[max(droppable, key=lambda i: view.columns[i].rank)] = False
    found = [width if there else 0 for width, there in zip(least, shown, strict=True)]
    while left < 0 and max(found) > NARROW:  # the widest gives way
        found[found.index(max(found))] -= 1
        left += 1
    while left > 0 and (short := [i for i, width in enumerate(found) if 0 < width < wanted[i]]):
        for i in short:  # some characters each, in turn: nobody gets all
            more = max(min(view.columns[i].grows or 1, wanted[i] - found[i], left), 0)
            found[i] += more
            left -= more
    growing = [i for i, column in enumerate(view.columns) if found[i] and column.grows]
    for i in growing[-1:]:
        found[i] += max(left, 0)
    return found


# ---------------------------------------------------------------- what cells are made of
LONGEST = 400
"""Characters of a cell."""


def line(text: str) -> str:
    """Anybody's words in one line that steers nothing."""
    return escape(text, LONGEST)


def age(then: datetime, now: datetime) -> str:
    """How long ago, in few characters."""
    return span(now - then)


def newest(then: datetime) -> float:
    """To sort by, the newest first."""
    return -then.timestamp()


def some(number: int) -> str:
    """A number, or nothing."""
    return str(number) if number else ""


def counted(words: Any) -> str:
    """`3 active · 1 idle`."""
    found: dict[str, int] = {}
    for each in words:
        found[each] = found.get(each, 0) + 1
    return parts(*((count, each) for each, count in found.items()))


def parts(*found: tuple[int, str]) -> str:
    """The same of what was counted already."""
    return " · ".join(f"{count} {what}" for count, what in found if count)
