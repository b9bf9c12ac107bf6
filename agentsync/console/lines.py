"""Lines of text with tones, wrapped at the width there is, or cut."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import cell_len
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView

from agentsync.console.bars import Toned, fitted

if TYPE_CHECKING:
    from textual.strip import Strip

    from agentsync.console.detail import Line


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
