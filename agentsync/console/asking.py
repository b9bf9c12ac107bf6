"""How a deed is done: what is missing is asked, what hurts confirmed, a worker does it, the last line says the rest."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agentsync.console.frame import Frame
from agentsync.errors import AgentSyncError, HeldError, explained
from agentsync.ops.operator import open_operator
from agentsync.render.frame import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.console.detail import Line
    from agentsync.console.fields import Field
    from agentsync.console.steering import Done, Operator
    from agentsync.console.table import Row


class Asking(Frame):
    """A console that can do things."""

    @cached_property
    def steering(self) -> Operator:
        """Who does them: there from the first deed on, so that looking on loads nothing of it."""
        from agentsync.console.steering import Operator

        return Operator(open_operator(self.runtime))

    @property
    def has_steered(self) -> bool:
        """Whether anything was done."""
        return "steering" in self.__dict__

    def ask(
        self,
        title: str,
        fields: Sequence[Field],
        do: Callable[..., Done],
        note: Sequence[Line] = (),
        refused: Callable[..., None] | None = None,
        *,
        danger: bool = False,
    ) -> None:
        """Ask for some texts, and do something with them.

        Args:
            title: What it is.
            fields: What is asked for.
            do: Called with one text for each.
            note: What to know before.
            refused: Called with the error and the texts when somebody else holds it.
            danger: Whether it hurts somebody.
        """
        from agentsync.console.dialogs import Form

        def answered(values: list[str] | None) -> None:
            if values is not None:
                self.do(lambda: do(*values), None if refused is None else lambda error: refused(error, *values))

        self.push_screen(Form(title, fields, note, danger), answered)

    def confirm(self, title: str, lines: Sequence[Line], do: Callable[[], Done]) -> None:
        """Do something if it is really meant."""
        from agentsync.console.dialogs import Confirm

        self.push_screen(Confirm(title, lines), lambda yes: self.do(do) if yes else None)

    def do(self, what: Callable[[], Done], refused: Callable[[HeldError], None] | None = None) -> None:
        """Do something where nobody waits for it, and say how it went."""
        assert self.steering  # made in this thread

        def work() -> None:
            try:
                done = what()
            except HeldError as error:
                self.here(refused or self._complain, error)
            except AgentSyncError as error:
                self.here(self._complain, error)
            except OSError as error:
                self.here(self._complain, explained(error))
            except Exception as error:
                self.here(self._complain, AgentSyncError(f"internal error: {type(error).__name__}: {error}"))
            else:
                self.here(self._tell, done)

        self.run_worker(work, thread=True, group="deeds", exit_on_error=False)

    def _tell(self, done: Done) -> None:
        if done.warning:
            self.say(f"{done.sentence} · {done.warning}", "warn")
        else:
            self.say(done.sentence)

    def _complain(self, error: AgentSyncError) -> None:
        others = f": {error.others}" if error.others else ""
        hint = f" · {error.hint}" if error.hint else ""
        self.say(escape(f"{error.message}{others}{hint}", 600), "bad")

    def was_read(self, view: str, row: Row) -> None:
        """What was written to the operator and is read counts as read."""
        message: Any = row.item
        if view == "mail" and any(waiting.id == message.id for waiting in self.seen.inbox):
            try:
                self.steering.read(message.id)
            except (AgentSyncError, OSError):
                pass  # it stays unread, and the next look tries again

    def beat(self) -> None:
        """Give a sign of life for what is held; called in any thread."""
        if self.has_steered:
            try:
                self.steering.beat()
            except OSError:
                pass  # the next one may work, and a process that is seen to live needs none
