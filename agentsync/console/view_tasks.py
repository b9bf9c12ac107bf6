"""The tasks by state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.console.table import Column, Row, View, age, counted, line, newest
from agentsync.render.tasks import word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.records import Event
    from agentsync.ops.survey import Survey
    from agentsync.ops.tasks import Seen


def _state(seen: Seen) -> int:
    return _STATES.index(word(seen)) if word(seen) in _STATES else len(_STATES)


def _why(seen: Seen) -> str:
    if seen.unmet:
        return f"waits for {', '.join(other.id for other in seen.unmet)}"
    task = seen.task
    return line(task.blocked_reason or task.checkpoint or task.note or "")


_STATES = ("stalled", "up for grabs", "in progress", "blocked", "ready", "waiting", "done", "cancelled")
_STATE_TONE = {
    "stalled": "bad",
    "up for grabs": "warn",
    "in progress": "good",
    "blocked": "bad",
    "ready": "calm",
    "done": "dim",
    "cancelled": "dim",
}


def _tasks(seen: Survey, _events: Sequence[Event]) -> list[Row]:
    return sorted((Row(one.task.id, one) for one in seen.tasks), key=lambda row: _state(row.item))


TASKS = View(
    "tasks",
    "Tasks",
    (
        Column(
            "STATE",
            12,
            lambda one, _: word(one),
            _state,
            tone=lambda one: _STATE_TONE.get(word(one), ""),
        ),
        Column("TASK", 6, lambda one, _: one.task.id, lambda one: one.task.id, tone=lambda _: "dim"),
        Column("TITLE", 20, lambda one, _: line(one.task.title), lambda one: one.task.title.casefold(), grows=5),
        Column("PRI", 3, lambda one, _: str(one.task.priority or ""), lambda one: -one.task.priority, rank=1),
        Column(
            "OWNER",
            13,
            lambda one, _: line(one.task.owner_name or ""),
            lambda one: (not one.task.owner, one.task.owner_name or ""),
            grows=1,
        ),
        Column("WHY", 10, lambda one, _: _why(one), _why, grows=3, tone=lambda _: "dim"),
        Column("AGE", 6, lambda one, now: age(one.task.updated_at, now), lambda one: newest(one.task.updated_at)),
    ),
    _tasks,
    "No tasks. Press n to make one; agents take the best with `agent-sync claim-next`.",
    lambda seen, _: counted(word(one) for one in sorted(seen.tasks, key=_state)),
    lambda one: one.task.owner,
)
