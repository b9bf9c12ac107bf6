"""What the screen is made of. Every line is put together from segments, so no text is ever read as markup.

Only what is visible is drawn: a table of two thousand rows costs what its fifty visible ones do.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from agentsync.console.table import widths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from textual import events

    from agentsync.console.detail import Line
    from agentsync.console.table import Choice, Row, View

NONE = Style()


def fitted(text: str, width: int, tail: bool = False) -> str:
    """A text in exactly so many cells; what does not fit is an ellipsis, at the end or before the end."""
    length = len(text) if text.isascii() else cell_len(text)
    if length <= width:
        return text + " " * (width - length)
    if width < 2:
        return "…"[:width]
    if not tail:
        return set_cell_size(text, width - 1) + "…"
    while cell_len(text) > width - 1:
        text = text[max(1, (cell_len(text) - width + 1) // 2) :]
    return "…" + set_cell_size(text, width - 1)


class Toned:
    """A widget that says things in tones, which the application knows as styles."""

    def segment(self: Any, text: str, tone: str, base: Style) -> Segment:
        """A text in a tone, over the widget's own style."""
        return Segment(text, base + self.app.tones.get(tone, NONE))

    def strip(self, said: Iterable[Line], base: Style) -> Strip:
        """Several of them in a row."""
        return Strip([self.segment(text, tone, base) for tone, text in said])


class Bar(Toned, Widget):
    """One line of texts with tones: from the left, and from the right."""

    DEFAULT_CSS = "Bar { height: 1; }"

    class Pressed(Message):
        """A text was clicked."""

        def __init__(self, bar: Bar, index: int) -> None:
            super().__init__()
            self.bar = bar
            self.index = index

    def __init__(self, *, left_first: bool = False, **options: Any) -> None:
        """Make one.

        Args:
            left_first: Whether what is on the right goes where there is too little room; else the left is cut.
            options: Those of a widget.
        """
        super().__init__(**options)
        self._left_first = left_first
        self._left: list[Line] = []
        self._right: list[Line] = []

    def show(self, left: list[Line], right: Sequence[Line] = ()) -> None:
        """Say something else."""
        if (left, list(right)) != (self._left, self._right):
            self._left, self._right = left, list(right)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line; where there is too little room, one side gives way."""
        width, base = self.size.width, self.rich_style
        left, right = self.strip(self._left, base), self.strip(self._right, base)
        if self._left_first and left.cell_length + right.cell_length > width:
            right = Strip([])
        left = left.adjust_cell_length(max(width - right.cell_length, 0), base)
        return Strip([*left, *right]).adjust_cell_length(width, base)

    def on_click(self, event: events.Click) -> None:
        """Tell which text was meant."""
        x = 0
        for index, (_, text) in enumerate(self._left):
            x += cell_len(text)
            if event.x < x:
                self.post_message(self.Pressed(self, index))
                return


class Table(Toned, ScrollView, can_focus=True):
    """The rows of a view, one of which is selected; the selection stays on its thing whatever moves."""

    DEFAULT_CSS = "Table { overflow-x: hidden; scrollbar-size-vertical: 1; }"
    BINDINGS: ClassVar[list[Any]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup,ctrl+b", "page(-1)", show=False),
        Binding("pagedown,ctrl+f", "page(1)", show=False),
        Binding("home,g", "move(-1000000)", show=False),
        Binding("end,G", "move(1000000)", show=False),
    ]

    class Selected(Message):
        """Another thing is selected, or what is selected has changed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.view: View | None = None
        self._rows: Sequence[Row] = ()
        self._cursor = 0
        self._choice: Choice | None = None
        self._now: datetime | None = None
        self._empty = ""
        self._widths: list[int] = []

    @property
    def selected(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    def show(self, view: View, rows: Sequence[Row], choice: Choice, now: datetime, empty: str) -> None:
        """Show these rows."""
        before = self.selected
        same = view is self.view
        self.view, self._rows, self._choice, self._now, self._empty = view, rows, choice, now, empty
        self._fit()
        at = self._cursor if same else 0
        if same and before is not None and not (at < len(rows) and rows[at].key == before.key):
            # New rows at the top push a cursor that stands there only when it was moved away from the top.
            found = next((i for i, row in enumerate(rows) if row.key == before.key), None)
            at = at if found is None or at == 0 else found
        self._cursor = max(min(at, len(rows) - 1), 0)
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        if not same:
            self.scroll_to(y=0, animate=False, immediate=True)
        elif before is not None:
            self._reveal()
        self.refresh()
        self.post_message(self.Selected())

    def on_resize(self) -> None:
        """Other widths."""
        if self.view is not None:
            self._fit()
            self.virtual_size = Size(self.size.width, len(self._rows) + 1)
            self._reveal()

    def _fit(self) -> None:
        assert self.view is not None
        assert self._now is not None
        self._widths = widths(self.view, self._rows, self._now, max(self.size.width - 3, 10))

    def action_move(self, by: int) -> None:
        """Select another row."""
        if not self._rows:
            return
        at = max(min(self._cursor + by, len(self._rows) - 1), 0)
        if at != self._cursor:
            self._cursor = at
            self._reveal()
            self.refresh()
            self.post_message(self.Selected())

    def action_page(self, direction: int) -> None:
        """A screen further."""
        self.action_move(direction * max(self.size.height - 2, 1))

    def _reveal(self) -> None:
        top, room = round(self.scroll_offset.y), max(self.size.height - 1, 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, immediate=True)
        elif self._cursor >= top + room:
            self.scroll_to(y=self._cursor - room + 1, animate=False, immediate=True)

    def on_click(self, event: events.Click) -> None:
        """Select what was clicked."""
        if event.y >= 1:
            self.action_move(round(self.scroll_offset.y) + event.y - 1 - self._cursor)

    def render_line(self, y: int) -> Strip:
        """The header, which stays, or a row."""
        width, view = self.size.width, self.view
        base = self.rich_style
        if view is None or self._now is None:
            return Strip.blank(width, base)
        if y == 0:
            return self.strip(self._header(view), base).adjust_cell_length(width, base)
        index = round(self.scroll_offset.y) + y - 1
        if not self._rows:
            lines = textwrap.wrap(self._empty, max(width - 4, 10))
            text = lines[y - 2] if 0 <= y - 2 < len(lines) else ""
            return self.strip([("dim", f"  {text}")], base).adjust_cell_length(width, base)
        if index >= len(self._rows):
            return Strip.blank(width, base)
        if index == self._cursor:
            base += self.app.tones["cursor" if self.has_focus else "blurred"]  # type: ignore[attr-defined]
        said = self._row(view, self._rows[index], index == self._cursor, self._now)
        return self.strip(said, base).adjust_cell_length(width, base)

    def _header(self, view: View) -> Iterator[Line]:
        yield "head", "  "
        for number, (column, width) in enumerate(zip(view.columns, self._widths, strict=True)):
            if width:
                choice = self._choice
                mark = ("▲" if choice.reverse else "▼") if choice is not None and choice.column == number else ""
                yield "head", fitted(column.title + mark, width) + " "

    def _row(self, view: View, row: Row, under_cursor: bool, now: datetime) -> Iterator[Line]:
        yield "calm", "▌ " if under_cursor else "  "
        for column, width in zip(view.columns, self._widths, strict=True):
            if width:
                tone = "" if under_cursor else column.tone(row.item)
                yield tone, fitted(column.text(row.item, now), width, column.tail) + " "


class Lines(Toned, ScrollView, can_focus=True):
    """Lines with tones, wrapped at the width there is."""

    DEFAULT_CSS = "Lines { overflow-x: hidden; scrollbar-size-vertical: 1; }"
    BINDINGS: ClassVar[list[Any]] = [
        Binding("up,k", "scroll_up", show=False),
        Binding("down,j", "scroll_down", show=False),
        Binding("pageup,ctrl+b", "page_up", show=False),
        Binding("pagedown,ctrl+f", "page_down", show=False),
        Binding("home,g", "scroll_home", show=False),
        Binding("end,G", "scroll_end", show=False),
    ]

    def __init__(self, *, cut: bool = False, at_end: bool = False, **options: Any) -> None:
        """Make one.

        Args:
            cut: Whether a line that is too long is cut instead of wrapped; what is before a tab is dim.
            at_end: Whether the last lines are the ones to see.
            options: Those of a widget.
        """
        super().__init__(**options)
        self._cut = cut
        self._at_end = at_end
        self._said: list[Line] = []
        self._wrapped: list[list[Line]] = []
        self.key = ""
        """What the lines are about: another one begins at the top."""

    def show(self, lines: list[Line], key: str = "") -> None:
        """Show these lines."""
        if lines == self._said and key == self.key:
            return
        anew, self.key, self._said = key != self.key, key, lines
        self._wrap()
        if self._at_end:
            self.scroll_end(animate=False, immediate=True)
        elif anew:
            self.scroll_home(animate=False, immediate=True)

    def on_resize(self) -> None:
        """Wrap anew."""
        self._wrap()
        if self._at_end:
            self.scroll_end(animate=False, immediate=True)

    def _wrap(self) -> None:
        width = max(self.size.width - 1, 8)
        self._wrapped = [line for tone, text in self._said for line in self._lines(tone, text, width)]
        self.virtual_size = Size(self.size.width, len(self._wrapped))
        self.refresh()

    def _lines(self, tone: str, text: str, width: int) -> list[list[Line]]:
        if self._cut:
            before, _, after = text.rpartition("\t")  # there is no other: an escaped text has none
            return [[("dim", before), (tone, fitted(after, width - len(before)))]]
        first, rest = ("", "")
        if tone == "item":
            first, rest, tone = ("  ", "    ", "")
        wide = 1 if text.isascii() else max(1, round(cell_len(text) / max(len(text), 1)))
        parts = textwrap.wrap(text, max(width // wide, 8), initial_indent=first, subsequent_indent=rest) or [""]
        if tone == "fact":
            name, colon, value = parts[0].partition(": ")
            return [[("dim", f"{name}{colon}"), ("", value)], *([("", f"  {part}")] for part in parts[1:])]
        return [[(tone, part)] for part in parts]

    def render_line(self, y: int) -> Strip:
        """One of them."""
        index = round(self.scroll_offset.y) + y
        base = self.rich_style
        said = self._wrapped[index] if index < len(self._wrapped) else []
        return self.strip(said, base).adjust_cell_length(self.size.width, base)
