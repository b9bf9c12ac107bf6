"""The console on a screen: a table of one view, the story of what is selected, the feed below.

Three threads: this one draws; `live` looks at the board; a worker does what the person asks for or reads a story.
Whatever goes wrong in an operation is said in the last line.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from textual.app import SystemCommand

from agentsync.console import views
from agentsync.console.deeds import KEYS, Deeds
from agentsync.console.live import KEPT, Live
from agentsync.console.moves import Moves
from agentsync.console.table import Choice, chosen
from agentsync.console.views import VIEWS
from agentsync.errors import AgentSyncError
from agentsync.ops.operator import open_operator
from agentsync.render.frame import escape, shorten_path
from agentsync.render.times import span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.screen import Screen

    from agentsync.console.bars import Bar
    from agentsync.console.detail import Line
    from agentsync.console.live import News
    from agentsync.core.records import Event
    from agentsync.runtime import Runtime

FEED_LINES = 40
"""Events in the strip below."""

PATIENCE_S = 2.0
"""Seconds that the end waits at most for a look to end."""

DEBUG = "AGENT_SYNC_DEBUG"


class Console(Deeds, Moves):
    """One console."""

    def __init__(self, runtime: Runtime, theme: str | None = None) -> None:
        super().__init__(runtime, theme)
        self.problem: BaseException | None = None
        self.live = Live(open_operator(runtime), self._news, lambda error: self.here(self._take_trouble, error))
        self._trouble = ""

    def on_mount(self) -> None:
        """Begin to look; what the system asks is done at once."""
        import asyncio

        self.rows.focus()
        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None:
                try:
                    loop.add_signal_handler(number, self.exit, 128 + number)
                except NotImplementedError:
                    pass  # Windows: the process just ends, and what it holds binds nobody
        self.live.look()
        self.live.start()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers."""
        for number, view in enumerate(VIEWS):
            yield SystemCommand(f"Show {view.title.lower()}", f"key {number + 1}", lambda n=number: self.action_view(n))
        for key, deed, title, about in KEYS:
            yield SystemCommand(title, f"key {key}: {about}", lambda d=deed: self.call_later(self.run_action, d))
        yield SystemCommand("Light or dark", "key t", self.action_light_or_dark)
        yield SystemCommand("Quit", "key q", self.exit)

    # ------------------------------------------------------------ what has come in
    def _news(self, news: News) -> None:
        self.beat()
        self.here(self._take, news)

    def _take_trouble(self, error: AgentSyncError) -> None:
        self._trouble = error.message
        self.draw()

    def _take(self, news: News) -> None:
        self._trouble = ""
        self.seen = news.seen
        before = [] if news.anew else self.happened
        self.happened = [*news.older, *before, *news.events][-KEPT:]
        self.tables = {view.name: view.rows(self.seen, self.happened) for view in VIEWS}
        self.draw()

    # ------------------------------------------------------------ drawing
    def draw(self) -> None:
        """Show what is known now."""
        view, choice = self.view, self.choice
        everything = self.tables.get(view.name, [])
        rows = chosen(view, everything, choice, self.seen.now)
        empty = f"nothing has {escape(choice.filter, 40)!r} in it; Esc shows all" if everything else view.empty
        self.rows.show(view, rows, choice, self.seen.now, empty)
        self.feed.show([self._line(event) for event in self.happened[-FEED_LINES:]])
        self._draw_beside()
        self._draw_top()
        self._draw_tabs()
        self.draw_foot()

    def _draw_beside(self) -> None:
        """The agents, or beside themselves what they work on."""
        view = views.TASKS if self.view is views.AGENTS else views.AGENTS
        rows = self.tables.get(view.name, [])
        self.beside.styles.height = min(len(rows) + 1, max(self.size.height // 4, 4)) + 1
        self.beside.show(view, rows, Choice(), self.seen.now, view.empty)

    def _line(self, event: Event) -> Line:
        age = span(self.seen.now - event.at)
        return (views.tone_of(event), f"{age:>6}  \t{escape(event.summary, 300)}")

    def _draw_top(self) -> None:
        where = shorten_path(os.path.basename(self.live.session.place.base.rstrip("/")) or "/", 30)
        frozen: list[Line] = [("alarm", " FROZEN: f thaws ")] if views.is_frozen(self.seen) else []
        if self._trouble:
            self.top.show([("bad", f" {shorten_path(self._trouble, max(self.size.width - 2, 20))}")])
        else:
            self.top.show([*frozen, ("title", f" {where} ")], [("", "  ".join(views.headline(self.seen)) + " ")])

    def _draw_tabs(self) -> None:
        tabs: list[Line] = []
        for number, view in enumerate(VIEWS):
            text = f" {number + 1} {view.title} {len(self.tables.get(view.name, []))} "
            tabs.append(("mark" if view is self.view else "dim", text))
        self.tabs.show(tabs, [("dim", f"  {self.view.gist(self.seen, self.happened)} ")])

    def draw_foot(self) -> None:
        """The last answer, or the keys that there is room for."""
        if self.said is not None:
            self.foot.show([(self.said[0], f" {self.said[1]}")])
            return
        keys = [("?", "help"), ("/", "filter"), ("⏎", "story"), *((key, title) for key, _, title, _ in KEYS)]
        shown: list[Line] = []
        if self.choice.filter:
            shown += [("mark", f" {escape(self.choice.filter, 30)} "), ("dim", " Esc shows all  ")]
        room = self.size.width - len(" q quit ") - sum(cell_len(text) for _, text in shown)
        for key, title in keys:
            room -= len(f" {key} {title} ")
            if room >= 0:
                shown += [("title", f" {key}"), ("dim", f" {title.lower()} ")]
        self.foot.show(shown, [("title", " q"), ("dim", " quit ")])

    def on_resize(self) -> None:
        """There is room for other keys."""
        self.call_after_refresh(self.draw_foot)

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        """A tab was clicked."""
        if event.bar is self.tabs and event.index < len(VIEWS):
            self.action_view(event.index)

    # ------------------------------------------------------------ the end
    def _handle_exception(self, error: Exception) -> None:
        """No person is to see a traceback; who debugs is."""
        if self.runtime.env.get(DEBUG):
            super()._handle_exception(error)
            return
        self.problem = error
        self.exit(1)

    def close(self) -> None:
        """Look no longer, and give back what is held."""
        self.live.close()
        if self.live.ident is not None:
            self.live.join(PATIENCE_S)
        if self.has_steered:
            self.steering.close()


def run(runtime: Runtime, theme: str | None) -> int:
    """Show the console until it is left; the exit code.

    Raises:
        AgentSyncError: It broke.
    """
    console = Console(runtime, theme)
    try:
        code = console.run()
    finally:
        console.close()
    if console.problem is not None:
        name = f"{type(console.problem).__name__}: {console.problem}"
        raise AgentSyncError(f"internal error: {name}", f"{DEBUG}=1 shows where; please report it")
    return code or 0
