"""The screen as it is put together: what it is made of, what it knows, and how it answers.

What is kept here is what the keys (`moves`, `deeds`) and the drawing (`app`) share. The widgets are held by name: a
query would ask the dialog that may be open.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.containers import Container

from agentsync.console import look
from agentsync.console.bars import Bar
from agentsync.console.lines import Lines
from agentsync.console.rows import Rows
from agentsync.console.table import Choice
from agentsync.console.views import VIEWS
from agentsync.ops.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.timer import Timer

    from agentsync.console.detail import Line
    from agentsync.console.live import Live
    from agentsync.console.table import Row
    from agentsync.core.records import Event
    from agentsync.runtime import Runtime

SAID_S = 8.0
"""Seconds that an answer stays in the last line."""


class Frame(App[int]):
    """The parts of a console."""

    TITLE = "agent-sync"
    CSS = look.CSS
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (look.WIDE, "-wide")]  # noqa: RUF012 # as the base class has it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (look.TALL, "-tall")]  # noqa: RUF012 # as the base class has it

    live: Live

    def __init__(self, runtime: Runtime, theme: str | None = None) -> None:
        super().__init__()
        self.runtime = runtime
        self.seen = Survey(now=runtime.now(), revision=0)
        self.happened: list[Event] = []
        """Oldest first."""
        self.view = VIEWS[0]
        self.tables: dict[str, Sequence[Row]] = {}
        """All rows of each view."""
        self.choices: dict[str, Choice] = {}
        self.said: Line | None = None
        self._silence: Timer | None = None
        for known in look.THEMES.values():
            self.register_theme(known)
        self.wear(look.theme_for(theme, runtime.env))

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        self.top = Bar(id="top")
        self.tabs = Bar(left_first=True, id="tabs")
        self.rows = Rows(id="rows")
        self.beside = Rows(passive=True, id="beside")
        """Where there is room: what one wants to see besides."""
        self.story = Lines(id="story")
        self.feed = Lines(cut=True, at_end=True, id="feed")
        self.foot = Bar(id="foot")
        self.feed.can_focus = self.beside.can_focus = False
        yield self.top
        yield self.tabs
        yield Container(Container(self.rows, self.beside, id="left"), self.story, id="main")
        yield self.feed
        yield self.foot

    def wear(self, theme: str) -> None:
        """Take on a theme."""
        self.tones = look.tones(look.THEMES[theme])
        self.theme = theme

    @property
    def choice(self) -> Choice:
        """How the present view is wanted."""
        return self.choices.get(self.view.name, Choice())

    # ------------------------------------------------------------ for those who fill it
    def draw(self) -> None:
        """Show what is known now."""
        raise NotImplementedError

    def draw_foot(self) -> None:
        """Show the last line."""
        raise NotImplementedError

    def say(self, text: str, tone: str = "good") -> None:
        """Answer in the last line, with an escaped text."""
        self.said = (tone, text)
        if self._silence is not None:
            self._silence.stop()
        self._silence = self.set_timer(SAID_S, self._be_silent)
        self.draw_foot()

    def _be_silent(self) -> None:
        self.said = None
        self.draw_foot()

    def here(self, what: Callable[[Any], object], value: Any) -> None:
        """Call something in the thread that draws, from whatever thread."""
        try:
            if self._thread_id == threading.get_ident():
                what(value)
            else:
                self.call_from_thread(what, value)
        except RuntimeError:
            pass  # the screen has gone meanwhile: nobody looks any more
