"""What is asked before something is done: texts, and whether it is really meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from agentsync.console.bars import Bar
from agentsync.console.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from agentsync.console.detail import Line
    from agentsync.console.fields import Field

BOX = """
    {name} {{ align: center middle; background: $background 60%; }}
    {name} > #box {{
        width: 72; max-width: 96%; height: auto; max-height: 94%;
        padding: 0 1; background: $surface; border: round $primary;
    }}
    {name} > #box.danger {{ border: round $error; }}
    {name} Lines {{ height: auto; background: $surface; }}
    {name} Bar {{ background: $surface; margin: 1 0 0 0; }}
    {name} Bar#title {{ margin: 0; }}
    {name} Input {{ border: none; height: 1; padding: 0 1; background: $surface-lighten-1; }}
    {name} Input:focus {{ border: none; background: $surface-lighten-2; }}
"""


class Form(ModalScreen[list[str] | None]):
    """Asks for some texts; None when the person thinks better of it."""

    DEFAULT_CSS = BOX.format(name="Form")
    BINDINGS: ClassVar[list[Any]] = [Binding("escape", "dismiss", show=False)]

    def __init__(self, title: str, fields: Sequence[Field], note: Sequence[Line] = (), danger: bool = False) -> None:
        super().__init__()
        self._title = title
        self._fields = fields
        self._note = list(note)
        self._danger = danger

    def compose(self) -> ComposeResult:
        """Title, fields, keys."""
        from textual.suggester import SuggestFromList

        with Vertical(id="box", classes="danger" if self._danger else ""):
            yield Bar(id="title")
            if self._note:
                yield Fixed(self._note)
            for number, field in enumerate(self._fields):
                yield Bar(id=f"label{number}")
                yield Input(
                    value=field.value,
                    placeholder=field.hint,
                    suggester=SuggestFromList(field.known, case_sensitive=False) if field.known else None,
                    id=f"field{number}",
                )
            yield Bar(id="keys")

    def on_mount(self) -> None:
        """Say what is asked, and begin with what is empty."""
        self.query_one("#title", Bar).show([("bad" if self._danger else "title", self._title)])
        for number, field in enumerate(self._fields):
            more = [("dim", " (may be empty)")] if field.optional else []
            self.query_one(f"#label{number}", Bar).show([("head", field.title), *more])
        keys = [("title", "Enter"), ("dim", " next, or do it   "), ("title", "Esc"), ("dim", " leave it")]
        self.query_one("#keys", Bar).show(keys)
        blank = next((n for n, field in enumerate(self._fields) if not field.value), 0)
        self.query_one(f"#field{blank}", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go on to the next field, or be done."""
        number = int((event.input.id or "field0").removeprefix("field"))
        field = self._fields[number]
        if not event.value.strip() and not field.optional:
            return
        if number + 1 < len(self._fields):
            self.query_one(f"#field{number + 1}", Input).focus()
            return
        values = [self.query_one(f"#field{n}", Input).value.strip() for n in range(len(self._fields))]
        missing = next((n for n, f in enumerate(self._fields) if not values[n] and not f.optional), None)
        if missing is None:
            self.dismiss(values)
        else:
            self.query_one(f"#field{missing}", Input).focus()

    async def action_dismiss(self, result: Any = None) -> None:
        """Leave it."""
        self.dismiss(None)


class Fixed(Lines, can_focus=False):
    """Lines as high as they are."""

    def __init__(self, lines: list[Line]) -> None:
        super().__init__()
        self._first = lines

    def on_mount(self) -> None:
        """Say them."""
        self.show(self._first)

    def _wrap(self) -> None:
        super()._wrap()
        self.styles.height = max(len(self._wrapped), 1)


class Confirm(ModalScreen[bool]):
    """Asks whether it is meant. Only `y` says yes."""

    DEFAULT_CSS = BOX.format(name="Confirm")
    BINDINGS: ClassVar[list[Any]] = [
        Binding("y,Y", "answer(True)", show=False),
        Binding("n,N,escape,enter,q", "answer(False)", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[Line]) -> None:
        super().__init__()
        self._title = title
        self._lines = list(lines)

    def compose(self) -> ComposeResult:
        """The question."""
        with Vertical(id="box", classes="danger"):
            yield Bar(id="title")
            yield Fixed(self._lines)
            yield Bar(id="keys")

    def on_mount(self) -> None:
        """Ask."""
        self.query_one("#title", Bar).show([("bad", self._title)])
        keys = [("title", "y"), ("dim", " do it   "), ("title", "n"), ("dim", " or Esc: leave it")]
        self.query_one("#keys", Bar).show(keys)

    def action_answer(self, yes: bool) -> None:
        """Take the answer."""
        self.dismiss(yes)


class Reading(ModalScreen[None]):
    """Something to read."""

    DEFAULT_CSS = BOX.format(name="Reading") + "Reading Lines { height: auto; max-height: 100%; }"
    BINDINGS: ClassVar[list[Any]] = [Binding("escape,enter,q,question_mark", "leave", show=False)]

    def __init__(self, title: str, lines: Sequence[Line]) -> None:
        super().__init__()
        self._title = title
        self._lines = list(lines)

    def compose(self) -> ComposeResult:
        """Title and text."""
        with Vertical(id="box"):
            yield Bar(id="title")
            yield Lines(id="text")

    def on_mount(self) -> None:
        """Show it."""
        self.query_one("#title", Bar).show([("title", self._title)], [("dim", "Esc closes")])
        text = self.query_one("#text", Lines)
        text.show(self._lines)
        text.styles.height = len(self._lines) + 1
        text.focus()

    def action_leave(self) -> None:
        """Close it."""
        self.dismiss()
