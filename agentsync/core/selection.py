"""Which events somebody wants: the filters of `watch` and `log`, and what `watch --until` waits for.

An expression is a list of `field=value`, as in `verb=unlock path=src/a.py`. All fields that it names must fit; of
several values of one field, any.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.core import keys
from agentsync.errors import UsageError

if TYPE_CHECKING:
    from agentsync.core.records import Event

FOLDERS = {
    "agents": "agent",
    "locks": "lock",
    "tasks": "task",
    "messages": "message",
    "decisions": "decision",
    "queue": "waiter",
    "installed": "installation",
}
"""Kinds of records that an event changed, by folder. Copies in an inbox do not count: they come with most events."""

ENTRY = "entry"
"""The kind of an event that changed nothing: somebody wrote it into the log."""

KINDS = (*FOLDERS.values(), ENTRY)


class Selection(Struct, frozen=True, kw_only=True, gc=False):
    """Which events. Each field: any of these values; empty = whatever."""

    agent: tuple[str, ...] = ()
    """Ids of who did it."""
    kind: tuple[str, ...] = ()
    """Kinds of the records that it changed, out of `KINDS`."""
    path: tuple[str, ...] = ()
    """Paths that it is about, as typed: what they mean, only the store's neighbours know (see `fits`)."""
    task: tuple[str, ...] = ()
    """Ids of tasks that it changed."""
    verb: tuple[str, ...] = ()


_TERM = re.compile(r"\s+(?=[a-z]+=)")


def parse(expression: str) -> Selection:
    """What an expression like `verb=unlock path=src/a.py` selects. A value ends where the next `field=` begins.

    Raises:
        UsageError: It is no such expression.
    """
    fields: dict[str, tuple[str, ...]] = {}
    for term in _TERM.split(expression.strip()):
        field, equals, value = term.partition("=")
        if not equals or not value or field not in Selection.__struct_fields__:
            known = ", ".join(Selection.__struct_fields__)
            raise UsageError(
                f"{term[:80]!r} is not FIELD=VALUE with a field out of {known}", "verb=unlock path=src/a.py"
            )
        fields[field] = (*fields.get(field, ()), value)
    return checked(Selection(**fields))


def checked(selection: Selection) -> Selection:
    """The same selection.

    Raises:
        UsageError: It names a kind that there is not, so nothing would ever fit.
    """
    for kind in selection.kind:
        if kind not in KINDS:
            raise UsageError(f"{kind[:80]!r} is no kind of record", f"one of {', '.join(KINDS)}")
    return selection


def kinds(event: Event) -> set[str]:
    """The kinds of the records that an event changed; `entry` when there are none."""
    folders = {(change.put or change.drop or "").partition("/")[0] for change in event.changes}
    return {FOLDERS[folder] for folder in folders if folder in FOLDERS} if event.changes else {ENTRY}


def fits(selection: Selection, event: Event) -> bool:
    """Whether an event is selected, as far as its paths do not matter."""
    return (
        (not selection.agent or event.actor in selection.agent)
        and (not selection.verb or event.verb in selection.verb)
        and (not selection.kind or not kinds(event).isdisjoint(selection.kind))
        and (not selection.task or _changes(event, {keys.task(task) for task in selection.task}))
    )


def _changes(event: Event, places: set[str]) -> bool:
    return any(place in places for change in event.changes for place in (change.put, change.drop))
