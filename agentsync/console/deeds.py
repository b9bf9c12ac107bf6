"""What the keys do to the board."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding

from agentsync.console import views
from agentsync.console.asking import Asking
from agentsync.console.fields import Field
from agentsync.core.agents import OPERATOR
from agentsync.core.changes import SYSTEM
from agentsync.core.lease import is_guest
from agentsync.errors import UsageError
from agentsync.render.frame import escape, shorten_path
from agentsync.render.locks import who

if TYPE_CHECKING:
    from agentsync.console.detail import Line
    from agentsync.console.steering import Done
    from agentsync.errors import HeldError
    from agentsync.ops.tasks import Seen

KEYS: tuple[tuple[str, str, str, str], ...] = (
    ("m", "message", "Message", "write to whom the row is about; answer in the mail"),
    ("D", "directive", "Directive", "tell all; it holds the end of their turns"),
    ("l", "lock", "Lock", "hold a path until you unlock it or quit"),
    ("u", "unlock", "Unlock", "the selected lock or a path; others' by force"),
    ("f", "freeze", "Freeze", "refuse all edits; again: thaw"),
    ("n", "new_task", "New task", "put a task on the board"),
    ("a", "assign", "Assign", "give the selected task to an agent, with its locks"),
    ("b", "block", "Block", "the selected task cannot go on"),
    ("x", "done", "Done", "the selected task is done"),
    ("c", "cancel", "Cancel", "the selected task will not be done"),
    ("o", "decide", "Decision", "settle something for everybody"),
)
"""Key, action, title, explanation."""

MOVING = (
    ("1…6 Tab ← →", "the views"),
    ("↑ ↓ j k g G", "move; PgUp and PgDn by a screen"),
    ("Enter", "the story of what is selected; again: scroll in it"),
    ("/", "filter: words that must be in the row; Esc shows all"),
    ("s S", "sort by the next column; the other way round"),
    ("Ctrl+P t", "all of this by name; light or dark"),
    ("q", "quit; what the operator holds is given back"),
)


class Deeds(Asking):
    """A console with keys for what can be done."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("question_mark", "help", show=False),
        *(Binding(key, deed, show=False) for key, deed, _, _ in KEYS),
    ]

    # ------------------------------------------------------------ words
    def action_message(self) -> None:
        """Write to somebody."""
        item = self._item("mail")
        if item is not None and item.sender not in (OPERATOR, SYSTEM):
            note: list[Line] = [("dim", f"answers {item.id}: {escape(item.body, 200)}")]
            self.ask(
                "Answer",
                [Field("To", item.sender), Field("Text")],
                lambda to, text: self.steering.send(to, text, item.id),
                note,
            )
            return
        who = self._agent()
        fields = [Field("To", who, "an agent, a role, or all", known=(*self._names(), "all")), Field("Text")]
        self.ask("Message", fields, self.steering.send)

    def action_directive(self) -> None:
        """Tell everybody."""
        fields = [Field("To", "all", known=(*self._names(), "all")), Field("Text", hint="stop and commit")]
        note: list[Line] = [("dim", "Each agent gets it as if it were the only one, before its turn ends.")]
        self.ask("Directive", fields, self.steering.directive, note)

    def action_decide(self) -> None:
        """Settle something."""
        known = tuple(one.id for one in self.seen.decisions)
        fields = [Field("Decision"), Field("Instead of", hint="an id", optional=True, known=known)]
        self.ask("Decision", fields, lambda text, instead: self.steering.decide(text, instead or None))

    # ------------------------------------------------------------ locks
    def action_lock(self) -> None:
        """Lock a path; what others hold is taken only after another question."""
        here = self._item("agents")
        path = here.edit.path if here is not None and here.edit is not None else ""
        fields = [Field("Path", path, "src/api.py, src/auth/, src/**/*.py, @db"), Field("Reason", optional=True)]
        note: list[Line] = [("dim", "Held until you unlock it or quit.")]

        def take(path: str, reason: str) -> Done:
            return self.steering.lock(self._typed(path), reason or None)

        def by_force(error: HeldError, path: str, reason: str) -> None:
            lines: list[Line] = [("", escape(error.message, 600)), ("", ""), ("", "They lose it, and are told.")]
            if self.seen.looked is not None:
                lines.append(("", "Yours binds on this machine only; what one of another loses is told to the remote."))
            self.confirm(
                "Take it anyway?", lines, lambda: self.steering.lock(self._typed(path), reason or None, force=True)
            )

        self.ask("Lock", fields, take, note, by_force)

    def action_unlock(self) -> None:
        """Unlock what is selected, or a path."""
        here = self._item("locks")
        if here is None:

            def by_force(error: HeldError, path: str) -> None:
                lines: list[Line] = [("", escape(error.message, 600)), ("", ""), ("", "The holder is told.")]
                self.confirm("Unlock it by force?", lines, lambda: self.steering.unlock(self._typed(path), force=True))

            self.ask("Unlock", [Field("Path")], lambda path: self.steering.unlock(self._typed(path)), (), by_force)
            return
        lock, held = here.held.lock, here.held
        if lock.holder == OPERATOR or not held.live:
            self.do(lambda: self.steering.release(lock))
            return
        lines: list[Line] = [
            ("title", shorten_path(lock.path)),
            ("", f"is held by {who(held)}{self._status(lock.holder)}."),
            ("", "The holder is told; what it is writing may collide with what others write."),
        ]
        if is_guest(lock):
            lines.append(("warn", "It works on another machine: the remote is told now, the holder when that syncs."))
        self.confirm("Unlock it by force?", lines, lambda: self.steering.release(lock, force=True))

    def action_freeze(self) -> None:
        """Stop all edits, or let them go on."""
        if views.is_frozen(self.seen):
            self.do(self.steering.thaw)
            return
        held = [one.lock for one in self.seen.locks if one.live and one.lock.scope != "resource"]
        others = [lock for lock in held if lock.holder != OPERATOR and not is_guest(lock)]
        lines: list[Line] = [("", "Every edit by every agent is refused, in all worktrees, until you thaw or quit.")]
        if self.seen.looked is not None:
            lines.append(("", "On this machine only: agents of others go on, and keep their locks."))
        if others:
            count = f"{len(others)} lock{'' if len(others) == 1 else 's'}"
            agents = len({lock.holder for lock in others})
            lines.append(("warn", f"{count} of {agents} agent{'' if agents == 1 else 's'} are lost; they are told."))
        self.confirm("Freeze all edits?", lines, self.steering.freeze)

    # ------------------------------------------------------------ tasks
    def action_new_task(self) -> None:
        """Make a task."""
        fields = [
            Field("Title"),
            Field("Files", hint="src/api.py docs/", optional=True),
            Field("Priority", optional=True),
        ]

        def make(title: str, files: str, priority: str) -> Done:
            try:
                number = int(priority) if priority else None
            except ValueError:
                raise UsageError(f"{priority!r} is no number", "for example 3") from None
            return self.steering.new_task(title, [self._typed(path) for path in files.split()], number)

        self.ask("New task", fields, make)

    def action_assign(self) -> None:
        """Give the selected task to somebody."""
        task = self._selected_task()
        if task is None:
            return
        note = [*self._about(task), *self._owned(task, "hands it over with its locks")]
        fields = [Field("To", hint=", ".join(self._names()[:4]), known=self._names())]
        self.ask("Assign", fields, lambda to: self.steering.assign(task.task.id, to), note, danger=self._is_owned(task))

    def action_block(self) -> None:
        """Block the selected task."""
        task = self._selected_task()
        if task is not None:
            note = [*self._about(task), *self._owned(task, "is told")]
            self.ask("Block", [Field("Why")], lambda why: self.steering.block(task.task.id, why), note)

    def action_done(self) -> None:
        """Complete the selected task."""
        task = self._selected_task()
        if task is None:
            return
        if not self._is_owned(task):
            self.do(lambda: self.steering.complete(task.task.id))
            return
        lines = [*self._about(task), *self._owned(task, "is told")]
        self.confirm("Is it done?", lines, lambda: self.steering.complete(task.task.id))

    def action_cancel(self) -> None:
        """Cancel the selected task."""
        task = self._selected_task()
        if task is not None:
            lines = [*self._about(task), *self._owned(task, "is told")]
            self.confirm("Cancel this task?", lines, lambda: self.steering.cancel(task.task.id))

    def action_help(self) -> None:
        """Tell which keys there are."""
        moving: list[Line] = [("", f"{key:<13}{about}") for key, about in MOVING]
        doing: list[Line] = [("", f"{key:<4}{title:<11}{about}") for key, _, title, about in KEYS]
        from agentsync.console.dialogs import Reading

        self.push_screen(Reading("Keys", [*moving, ("head", "as the operator:"), *doing]))

    # ------------------------------------------------------------ what is selected
    def _typed(self, path: str) -> str:
        """A path as it is typed here: from the top of the working tree, as all of them are shown."""
        return path if path.startswith("@") else os.path.join(self.live.session.place.base, path)

    def _item(self, view: str) -> Any:
        """The selected thing if this view is shown."""
        row = self.rows.selected
        return row.item if row is not None and self.view.name == view else None

    def _agent(self) -> str:
        """The agent that the selected row is about; nothing when it is about none."""
        row = self.rows.selected
        who = self.view.agent(row.item) if row is not None else None
        return who if who and who != OPERATOR else ""

    def _names(self) -> tuple[str, ...]:
        return tuple(presence.agent.id for presence in self.seen.agents if presence.agent.id != OPERATOR)

    def _selected_task(self) -> Seen | None:
        found: Seen | None = self._item("tasks")
        if found is None:
            self.say("select a task first: key 3 shows them", "warn")
        return found

    def _about(self, seen: Seen) -> list[Line]:
        return [("title", f"{seen.task.id} {escape(seen.task.title, 200)}")]

    def _is_owned(self, seen: Seen) -> bool:
        return seen.owner is not None and not seen.abandoned and seen.task.owner != OPERATOR

    def _owned(self, seen: Seen, what: str) -> list[Line]:
        if not self._is_owned(seen):
            return []
        task = seen.task
        return [("warn", f"{escape(task.owner_name or '', 64)} ({task.owner}), who works on it, {what}.")]

    def _status(self, agent_id: str) -> str:
        found = next((p for p in self.seen.agents if p.agent.id == agent_id), None)
        return f", {found.status}" if found is not None else ""
