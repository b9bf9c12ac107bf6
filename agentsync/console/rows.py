"""The rows of a view. Only those that are visible are drawn: two thousand cost what fifty do."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agentsync.console.bars import Toned, fitted
from agentsync.console.table import widths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from textual import events

    from agentsync.console.detail import Line
    from agentsync.console.table import Choice, Row, View


class Rows(Toned, ScrollView, can_focus=True):
    """The rows of a view, one of which is selected; the selection stays on its thing whatever moves."""

    DEFAULT_CSS = "Rows { overflow-x: hidden; scrollbar-size-vertical: 1; }"
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

        def __init__(self, moved: bool) -> None:
            super().__init__()
            self.moved = moved
            """Whether it is another thing."""

    def __init__(self, *, passive: bool = False, **options: Any) -> None:
        """Make one.

        Args:
            passive: Whether it is only to be looked at: nothing in it is selected.
            options: Those of a widget.
        """
        super().__init__(**options)
        self.passive = passive
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
            found = next((i for i, row in enumerate(rows) if row.key == before.key), None)
            at = at if found is None or (view.flows and at == 0) else found
        self._cursor = max(min(at, len(rows) - 1), 0)
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        if not same:
            self.scroll_to(y=0, animate=False, immediate=True)
        elif before is not None:
            self._reveal()
        self.refresh()
        after = self.selected
        if not self.passive:
            self.post_message(self.Selected(not same or before is None or after is None or before.key != after.key))

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
            self.post_message(self.Selected(moved=True))

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
        if event.y >= 1 and not self.passive:
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
        under_cursor = index == self._cursor and not self.passive
        if under_cursor:
            base += self.app.tones["cursor" if self.has_focus else "blurred"]  # type: ignore[attr-defined]
        said = self._row(view, self._rows[index], under_cursor, self._now)
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
