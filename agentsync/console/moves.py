"""Keys that change what is looked at, and nothing on the board: views, filter, order, the story of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding

from agentsync.console import look, views
from agentsync.console.frame import Frame
from agentsync.console.views import VIEWS
from agentsync.errors import AgentSyncError
from agentsync.render.frame import escape

if TYPE_CHECKING:
    from textual.timer import Timer
    from textual.widgets import Input

REST_S = 0.12
"""Seconds that a selection must rest before its story is read."""

OLD_S = 30
"""Seconds after which a story is read anew although nothing has happened: there are ages in it."""


class Moves(Frame):
    """A console that can be looked around in."""

    BINDINGS: ClassVar[list[Any]] = [
        *(Binding(str(n + 1), f"view({n})", show=False) for n in range(len(VIEWS))),
        Binding("right,tab", "next(1)", show=False),
        Binding("left,shift+tab", "next(-1)", show=False),
        Binding("slash", "filter", show=False),
        Binding("s", "sort", show=False),
        Binding("S", "reverse", show=False),
        Binding("enter", "story", show=False),
        Binding("escape", "step_back", show=False),
        Binding("t", "light_or_dark", show=False),
        Binding("q,ctrl+c", "quit", show=False),
    ]
    _rest: Timer | None = None
    _told: tuple[object, ...] = ()
    """What the story that is shown is of."""

    # ------------------------------------------------------------ views
    def action_view(self, number: int) -> None:
        """Show another view."""
        self.view = VIEWS[number]
        self.screen_stack[0].set_class(self.view is views.FEED, "feed")
        self.draw()

    def action_next(self, by: int) -> None:
        """Show the next view."""
        self.action_view((VIEWS.index(self.view) + by) % len(VIEWS))

    def action_sort(self) -> None:
        """Sort by the next column; after the last, as the view comes."""
        at = self.choice.column
        after = 0 if at is None else at + 1
        self._choose(column=after if after < len(self.view.columns) else None)

    def action_reverse(self) -> None:
        """The other way round."""
        self._choose(reverse=not self.choice.reverse)

    def _choose(self, **what: Any) -> None:
        self.choices[self.view.name] = self.choice._replace(**what)
        self.draw()

    def action_light_or_dark(self) -> None:
        """Wear the other theme."""
        self.wear(look.LIGHT.name if self.theme == look.DARK.name else look.DARK.name)

    async def action_quit(self) -> None:
        """End."""
        self.exit(0)

    # ------------------------------------------------------------ the filter
    def action_filter(self) -> None:
        """Type words to filter by."""
        from textual.widgets import Input

        screen = self.screen_stack[0]
        screen.add_class("filter")
        box = Input(self.choice.filter, placeholder="words that must be in it", id="filter")
        screen.mount(box, before="#foot")
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
        screen = self.screen_stack[0]
        screen.remove_class("filter")
        screen.query("#filter").remove()
        self.rows.focus()

    # ------------------------------------------------------------ the story
    def action_story(self) -> None:
        """Show the story; once it is there, go into it."""
        if self.story.display:
            self.story.focus()
        else:
            self.screen_stack[0].add_class("story")
            self.call_after_refresh(self._read_story)

    def action_step_back(self) -> None:
        """Out of the filter, out of the story, to all rows."""
        screen = self.screen_stack[0]
        if screen.has_class("filter"):
            self._choose(filter="")
            self._leave_filter()
        elif self.story.has_focus:
            self.rows.focus()
        elif screen.has_class("story"):
            screen.remove_class("story")
        else:
            self._choose(filter="")

    def on_rows_selected(self, event: Any) -> None:
        """Read the story of what is selected once the selection rests."""
        if self._rest is not None and event.moved:
            self._rest.stop()
            self._rest = None
        if self._rest is None:
            self._rest = self.set_timer(REST_S, self._read_story)

    def _read_story(self) -> None:
        self._rest = None
        row = self.rows.selected
        if row is None:
            self.story.show([])
            self._told = ()
            return
        view, seen, happened = self.view, self.seen, list(self.happened)
        about = (view.name, row.key, seen.revision, seen.now.timestamp() // OLD_S)
        if not self.story.display or about == self._told:
            return
        self._told = about

        def read() -> None:
            from agentsync.console import detail

            try:
                lines = detail.story(self.live.session, view, row, seen, happened)
            except (AgentSyncError, OSError) as error:
                lines = [("dim", escape(str(error), 400))]  # it has gone meanwhile, most likely
            self.here(lambda found: self.story.show(found, f"{view.name} {row.key}"), lines)
            self.was_read(view.name, row)

        self.run_worker(read, thread=True, exclusive=True, group="story", exit_on_error=False)

    def was_read(self, view: str, row: Any) -> None:
        """A story was shown; called in another thread."""
