"""Tasks as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.render.frame import escape, named, shorten_path
from agentsync.render.locks import sentence
from agentsync.render.table import state
from agentsync.render.times import ago

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.records import Event, Task
    from agentsync.core.tasks import Changed, Refused
    from agentsync.ops.tasks import Seen

_LISTED = 12
"""Files, dependencies or freed tasks that are named; the rest are counted."""


def row(seen: Seen, now: datetime, colour: bool = False) -> list[str]:
    """Cells for a table: id, status, title, owner, age, priority, what it waits for."""
    task = seen.task
    owner = named(task.owner_name or "", task.owner, 32) if task.owner else ""
    priority = f"priority {task.priority}" if task.priority else ""
    waits = f"waits for {', '.join(other.id for other in seen.unmet[:4])}" if seen.unmet else ""
    reason = f"because: {escape(task.blocked_reason, 60)}" if task.blocked_reason else ""
    stands, age = state(word(seen), colour), ago(task.updated_at, now)
    return [task.id, stands, escape(task.title, 60), owner, age, priority, waits or reason]


def word(seen: Seen) -> str:
    """Where it stands, in a word or two."""
    if seen.abandoned:
        return "up for grabs"
    if seen.stalled:
        return "stalled"
    if seen.task.status == "pending":
        return "waiting" if seen.unmet else "ready"
    return "in progress" if seen.task.status == "in_progress" else seen.task.status


def line(seen: Seen, now: datetime) -> str:
    """One line for a model."""
    task = seen.task
    whose = f", {escape(task.owner_name or '', 64)} ({task.owner})" if task.owner else ""
    waits = f", waits for {', '.join(other.id for other in seen.unmet[:4])}" if seen.unmet else ""
    return f"- task {task.id} {word(seen)}{whose}{waits}, {ago(task.updated_at, now)}: {escape(task.title, 80)}"


def details(task: Task) -> list[str]:
    """All that somebody who works on it must know, one value a line."""
    lines = [f"task: {task.id} {escape(task.title)}"]
    lines += [f"description: {escape(task.description)}"] if task.description else []
    lines += [f"files: {_some([shorten_path(path) for path in task.files])}"] if task.files else []
    lines += [f"depends on: {_some(task.depends_on)}"] if task.depends_on else []
    lines += [f"priority: {task.priority}"] if task.priority else []
    lines += [f"checkpoint: {escape(task.checkpoint)}"] if task.checkpoint else []
    lines += [f"note: {escape(task.note)}"] if task.note else []
    lines += [f"blocked because: {escape(task.blocked_reason)}"] if task.blocked_reason else []
    return lines


def story(seen: Seen, events: Sequence[Event], now: datetime) -> list[str]:
    """A task with its trail."""
    task = seen.task
    owner = f", {escape(task.owner_name or '', 64)} ({task.owner})" if task.owner else ""
    lines = [*details(task), f"status: {word(seen)}{owner}, {ago(task.updated_at, now)}"]
    if seen.unmet:
        lines.append(f"waits for: {_some([f'{other.id} ({escape(other.title, 40)})' for other in seen.unmet])}")
    if events:
        lines.append("trail:")
        lines += [f"  {event.rev}  {ago(event.at, now)}  {escape(event.summary, 240)}" for event in events]
    return lines


def claimed(outcome: Changed, now: datetime) -> list[str]:
    """What came with a claim: the task, its locks, and the files that somebody else has."""
    lines = details(outcome.task)
    if outcome.before.owner not in (None, outcome.task.owner):
        lines.append(f"taken over from: {escape(outcome.before.owner_name or '', 64)} ({outcome.before.owner})")
    if outcome.locks:
        lines.append(f"locked: {_some([shorten_path(lock.path) for lock in outcome.locks])}")
    lines += [f"not locked: {sentence(blocked, now)}" for blocked in outcome.busy[:_LISTED]]
    if outcome.waiting:
        from agentsync.render.queue import standing

        lines += [f"not locked: {line}" for line in standing(outcome.waiting, now)]
    return lines


def refusal(refused: Refused) -> list[str]:
    """Why not, one line."""
    return [escape(refused.why, 600)]


def freed(tasks: Sequence[Task]) -> list[str]:
    """Tasks that became ready."""
    lines = [f"ready now: {task.id} {escape(task.title, 80)}" for task in tasks[:_LISTED]]
    return [*lines, f"and {len(tasks) - _LISTED} more"] if len(tasks) > _LISTED else lines


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return ", ".join(words[:_LISTED]) + more
