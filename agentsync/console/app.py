"""The screen: a table of one view, the story of what is selected, the feed below.

Three threads: this one draws; `live` looks at the board; a worker does what the person asks for or reads a story.
Whatever goes wrong in an operation is said in the last line.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.containers import Container

from agentsync.console import look, views
from agentsync.console.deeds import KEYS, Deeds
from agentsync.console.live import KEPT, Live
from agentsync.console.table import Choice, cells, chosen
from agentsync.console.views import VIEWS
from agentsync.console.widgets import Bar, Lines, Table
from agentsync.errors import AgentSyncError
from agentsync.ops.operator import open_operator
from agentsync.ops.survey import Survey
from agentsync.render.frame import escape, shorten_path
from agentsync.render.times import span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult
    from textual.screen import Screen
    from textual.timer import Timer
    from textual.widgets import Input

    from agentsync.console.detail import Line
    from agentsync.console.live import News
    from agentsync.console.table import Row
    from agentsync.core.records import Event
    from agentsync.runtime import Runtime

REST_S = 0.12
"""Seconds that a selection must rest before its story is read."""

SAID_S = 8.0
"""Seconds that an answer stays in the last line."""

FEED_LINES = 40
"""Events in the strip below."""

DEBUG = "AGENT_SYNC_DEBUG"


class Console(Deeds, App[int]):
    """One console."""

    TITLE = "agent-sync"
    CSS = look.CSS
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (look.WIDE, "-wide")]  # noqa: RUF012 # as the base class has it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (look.TALL, "-tall")]  # noqa: RUF012 # as the base class has it
    BINDINGS: ClassVar[list[Any]] = [
        *(Binding(str(n + 1), f"view({n})", show=False) for n in range(len(VIEWS))),
        Binding("right,tab", "next(1)", show=False, priority=False),
        Binding("left,shift+tab", "next(-1)", show=False),
        Binding("slash", "filter", show=False),
        Binding("s", "sort(1)", show=False),
        Binding("S", "reverse", show=False),
        Binding("enter", "story", show=False),
        Binding("escape", "step_back", show=False),
        Binding("t", "theme", show=False),
        Binding("question_mark", "help", show=False),
        Binding("q,ctrl+c", "quit", show=False, priority=False),
        *(Binding(key, deed, show=False) for key, deed, _, _ in KEYS),
    ]

    def __init__(self, runtime: Runtime, theme: str | None = None) -> None:
        super().__init__()
        self.runtime = runtime
        self.seen = Survey(now=runtime.now(), revision=0)
        self.happened: list[Event] = []
        self.problem: BaseException | None = None
        self.live = Live(open_operator(runtime), self._news_in, self._fail_in)
        self._view = VIEWS[0]
        self._choices: dict[str, Choice] = {}
        self._rows: list[Row] = []
        self._said: Line | None = None
        self._silence: Timer | None = None
        self._rest: Timer | None = None
        self._trouble = ""
        for known in look.THEMES.values():
            self.register_theme(known)
        self._wear(look.theme_for(theme, runtime.env))

    # ------------------------------------------------------------ the screen
    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Bar(id="top")
        yield Bar(id="tabs", left_first=True)
        with Container(id="main"):
            yield Table(id="table")
            yield Lines(id="story")
        yield Lines(id="feed", cut=True, at_end=True)
        yield Bar(id="foot")

    def on_mount(self) -> None:
        """Begin to look; what the system asks is done at once."""
        self.query_one("#feed", Lines).can_focus = False
        self.query_one("#table", Table).focus()
        import asyncio

        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None:
                loop.add_signal_handler(number, self.exit, 128 + number)
        self.live.look()
        self.live.start()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers."""
        for number, view in enumerate(VIEWS):
            yield SystemCommand(f"Show {view.title.lower()}", f"key {number + 1}", lambda n=number: self.action_view(n))
        for key, deed, title, about in KEYS:
            yield SystemCommand(title, f"key {key}: {about}", lambda d=deed: self.call_later(self.run_action, d))
        yield SystemCommand("Light or dark", "key t", self.action_theme)
        yield SystemCommand("Quit", "key q", self.exit)

    # ------------------------------------------------------------ what has come in
    def _news_in(self, news: News) -> None:
        self._from_thread(self._take, news)

    def _fail_in(self, error: AgentSyncError) -> None:
        self._from_thread(self._take_trouble, error)

    def _from_thread(self, what: Any, value: Any) -> None:
        try:
            if self._thread_id == threading.get_ident():
                what(value)
            else:
                self.call_from_thread(what, value)
        except RuntimeError:
            pass  # the screen has gone meanwhile: nobody looks any more

    def _take_trouble(self, error: AgentSyncError) -> None:
        self._trouble = escape(error.message, 200)
        self._draw()

    def _take(self, news: News) -> None:
        self._trouble = ""
        self.seen = news.seen
        before = [] if news.anew else self.happened
        self.happened = [*news.older, *before, *news.events][-KEPT:]
        if "steering" in self.__dict__:
            self.steering.beat()
        self._draw()

    def _draw(self) -> None:
        """Show what is known now."""
        self._draw_bars()
        view, choice = self._view, self._choices.get(self._view.name, Choice())
        everything = view.rows(self.seen, self.happened)
        self._rows = chosen(view, everything, choice, self.seen.now)
        empty = view.empty if not everything else f"nothing has {choice.filter!r} in it; Esc shows all"
        self.query_one("#table", Table).show(view, self._rows, choice, self.seen.now, escape(empty))
        feed = [self._told(event) for event in self.happened[-FEED_LINES:]]
        self.query_one("#feed", Lines).show(feed)
        self._draw_foot()

    def _told(self, event: Event) -> Line:
        age = span(self.seen.now - event.at)
        return (views.tone_of(event), f"{age:>6}  \t{escape(event.summary, 300)}")

    def _draw_bars(self) -> None:
        session = self.live.session
        where = shorten_path(os.path.basename(session.place.base.rstrip("/")) or "/", 40)
        left: list[Line] = [("title", f" {where} "), ("dim", " agent-sync console")]
        if views.is_frozen(self.seen):
            left.insert(0, ("alarm", " FROZEN "))
        right = [("", "  ".join(views.headline(self.seen)) + " ")]
        if self._trouble:
            right = [("bad", f" {self._trouble} ")]
        self.query_one("#top", Bar).show(left, right)
        tabs: list[Line] = []
        for number, view in enumerate(VIEWS):
            count = len(view.rows(self.seen, self.happened)) if view is not views.FEED else len(self.happened)
            text = f" {number + 1} {view.title} {count} "
            tabs.append(("mark" if view is self._view else "dim", text))
        gist = self._view.gist(self._view.rows(self.seen, self.happened))
        self.query_one("#tabs", Bar).show(tabs, [("dim", f"  {gist} ")])

    def _draw_foot(self) -> None:
        foot = self.query_one("#foot", Bar)
        if self._said is not None:
            foot.show([(self._said[0], f" {self._said[1]}")])
            return
        choice = self._choices.get(self._view.name, Choice())
        keys = [("?", "help"), ("/", "filter"), ("⏎", "story"), *((key, title) for key, _, title, _ in KEYS)]
        shown: list[Line] = []
        if choice.filter:
            shown += [("mark", f" {escape(choice.filter, 30)} "), ("dim", " Esc shows all  ")]
        room = foot.size.width - len(" q quit ") - sum(cells(text) for _, text in shown)
        for key, title in keys:
            room -= len(f" {key} {title} ")
            if room >= 0:
                shown += [("title", f" {key}"), ("dim", f" {title.lower()} ")]
        foot.show(shown, [("title", " q"), ("dim", " quit ")])

    def on_resize(self) -> None:
        """Other keys have room."""
        self.call_after_refresh(self._draw_foot)

    def say(self, text: str, tone: str = "good") -> None:
        """Answer in the last line."""
        self._said = (tone, text)
        if self._silence is not None:
            self._silence.stop()
        self._silence = self.set_timer(SAID_S, self._be_silent)
        self._draw_foot()

    def _be_silent(self) -> None:
        self._said = None
        self._draw_foot()

    # ------------------------------------------------------------ the story of what is selected
    def on_table_selected(self) -> None:
        """Read its story once the selection rests."""
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST_S, self._read_story)

    def _read_story(self) -> None:
        row = self.query_one("#table", Table).selected
        pane = self.query_one("#story", Lines)
        if row is None:
            pane.show([])
            return
        if not pane.display:
            return
        view, seen, happened = self._view, self.seen, list(self.happened)

        def read() -> None:
            from agentsync.console import detail

            try:
                lines = detail.story(self.live.session, view, row, seen, happened)
            except (AgentSyncError, OSError) as error:
                lines = [("dim", escape(str(error), 400))]  # it has gone meanwhile, most likely
            self._from_thread(lambda found: pane.show(found, f"{view.name} {row.key}"), lines)

        self.run_worker(read, thread=True, exclusive=True, group="story", exit_on_error=False)

    # ------------------------------------------------------------ keys
    def action_view(self, number: int) -> None:
        """Show another view."""
        self._view = VIEWS[number]
        self.screen.set_class(self._view is views.FEED, "feed")
        self._draw()

    def action_next(self, by: int) -> None:
        """Show the next view."""
        self.action_view((VIEWS.index(self._view) + by) % len(VIEWS))

    def on_bar_pressed(self, event: Bar.Pressed) -> None:
        """A tab was clicked."""
        if event.bar.id == "tabs":
            self.action_view(event.index)

    def action_filter(self) -> None:
        """Type words to filter by."""
        from textual.widgets import Input

        self.screen.add_class("filter")
        words = self._choices.get(self._view.name, Choice()).filter
        box = Input(words, placeholder="words that must be in it", id="filter")
        self.mount(box, before="#foot")
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        if event.input.id == "filter":
            self._choose(filter=event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        if event.input.id == "filter":
            self._leave_filter()

    def _leave_filter(self) -> None:
        self.screen.remove_class("filter")
        self.query("#filter").remove()
        self.query_one("#table", Table).focus()

    def action_sort(self, by: int) -> None:
        """Sort by the next column."""
        choice = self._choices.get(self._view.name, Choice())
        column = by - 1 if choice.column is None else choice.column + by
        self._choose(column=column if column < len(self._view.columns) else None)

    def action_reverse(self) -> None:
        """The other way round."""
        self._choose(reverse=not self._choices.get(self._view.name, Choice()).reverse)

    def _choose(self, **what: Any) -> None:
        self._choices[self._view.name] = self._choices.get(self._view.name, Choice())._replace(**what)
        self._draw()

    def action_story(self) -> None:
        """Show the story, or go into it, or close it."""
        pane, table = self.query_one("#story", Lines), self.query_one("#table", Table)
        if pane.display and table.has_focus:
            pane.focus()
        else:
            self.screen.add_class("story")
            self.call_after_refresh(self._read_story)

    def action_step_back(self) -> None:
        """One step back: out of the filter, out of the story, to all rows."""
        if self.screen.has_class("filter"):
            self._choose(filter="")
            self._leave_filter()
        elif self.query_one("#story", Lines).has_focus:
            self.query_one("#table", Table).focus()
        elif self.screen.has_class("story"):
            self.screen.remove_class("story")
        else:
            self._choose(filter="")

    def action_theme(self) -> None:
        """Light or dark."""
        self._wear(look.LIGHT.name if self.theme == look.DARK.name else look.DARK.name)

    def _wear(self, theme: str) -> None:
        self.tones = look.tones(look.THEMES[theme])
        self.theme = theme

    async def action_quit(self) -> None:
        """End."""
        self.exit(0)

    # ------------------------------------------------------------ the end
    def _handle_exception(self, error: Exception) -> None:
        """No person is to see a traceback; who debugs is."""
        if self.runtime.env.get(DEBUG):
            super()._handle_exception(error)
            return
        self.problem = error
        self.exit(1)


def run(runtime: Runtime, theme: str | None) -> int:
    """Show the console until it is left; the exit code.

    Raises:
        AgentSyncError: It broke.
    """
    console = Console(runtime, theme)
    try:
        code = console.run()
    finally:
        console.live.close()
        if "steering" in console.__dict__:
            console.steering.close()
    if console.problem is not None:
        name = f"{type(console.problem).__name__}: {console.problem}"
        raise AgentSyncError(f"internal error: {name}", f"{DEBUG}=1 shows where; please report it")
    return code or 0
