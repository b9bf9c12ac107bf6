"""Lines of the screen. Each is put together from segments, so no text is ever read as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual import events

    from agentsync.console.detail import Line

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
