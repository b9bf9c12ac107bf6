"""Decisions about what a task says and how far it is: making, editing, finishing, blocking, giving back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core.records import Task
from agentsync.core.tasks import Attempt, Changed, Refused, by, changed, find, in_order, refusal, unmet
from agentsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentsync.core.changes import Stamp
    from agentsync.core.records import Agent, Progress
    from agentsync.core.tasks import Board, Verb

MAX_TITLE = 200
MAX_TEXT = 4000
"""Characters of a description, a checkpoint, a note or a reason."""
MAX_FILES = 200
MAX_PRIORITY = 1000


class Says(Struct, frozen=True, kw_only=True, gc=False):
    """What somebody wants a task to say. None or nothing = as it is."""

    title: str | None = None
    description: str | None = None
    files: tuple[str, ...] = ()
    priority: int | None = None
    depends_on: tuple[str, ...] = ()
    """Ids, prefixes or titles of other tasks."""


def create(board: Board, me: Agent, task_id: str, says: Says, stamp: Stamp) -> Task:
    """A new task.

    Raises:
        UsageError: A text or number is out of bounds.
        NotFoundError: A dependency does not exist, or fits several.
    """
    blank = Task(id=task_id, title="", created_by=me.id, created_at=stamp.now, updated_at=stamp.now)
    return _with(board, blank, says)


def edit(attempt: Attempt, says: Says) -> Changed | Refused:
    """Say something else, or more: files and dependencies are added.

    Raises:
        UsageError: A text or number is out of bounds, or tasks would wait for each other: the cycle is printed.
        NotFoundError: A dependency does not exist, or fits several.
    """
    refused = refusal(attempt, "edit")
    if refused is not None:
        return refused
    edited = _with(attempt.board, attempt.task, says)
    loop = _cycle(edited, {other.id: other for other in attempt.board.tasks()})
    if loop:
        raise UsageError(f"these tasks would wait for each other: {' -> '.join(loop)}", "leave one of them out")
    return changed(attempt, edited, f"was edited {by(attempt.me)}")


def _with(board: Board, task: Task, says: Says) -> Task:
    needed = (find(board, words).id for words in says.depends_on)
    task = replace(
        task,
        title=task.title if says.title is None else says.title.strip(),
        description=task.description if says.description is None else says.description or None,
        priority=task.priority if says.priority is None else says.priority,
        files=tuple(dict.fromkeys((*task.files, *says.files))),
        depends_on=tuple(dict.fromkeys((*task.depends_on, *needed))),
    )
    if not 0 < len(task.title) <= MAX_TITLE:
        raise UsageError(f"a title has 1 to {MAX_TITLE} characters", 'for example: agent-sync create-task "Login form"')
    _check_text("the description", task.description or "-")
    if len(task.files) > MAX_FILES:
        raise UsageError(f"{len(task.files)} files are too many", f"name at most {MAX_FILES}, or their directory")
    if abs(task.priority) > MAX_PRIORITY:
        raise UsageError(f"{task.priority} is no priority", f"give a number between -{MAX_PRIORITY} and {MAX_PRIORITY}")
    return task


def _check_text(what: str, text: str) -> None:
    if not 0 < len(text) <= MAX_TEXT:
        raise UsageError(f"{what} has {len(text)} characters", f"say it in 1 to {MAX_TEXT}, and put more into a file")


def _cycle(task: Task, by_id: Mapping[str, Task]) -> list[str]:
    """The way from a task along dependencies back to itself, or nothing."""
    came_from: dict[str, str] = {}
    todo = [task.id]
    while todo:
        here = todo.pop()
        needed = task.depends_on if here == task.id else by_id[here].depends_on if here in by_id else ()
        for other in needed:
            if other == task.id:
                trail = [task.id, here]
                while trail[-1] != task.id:
                    trail.append(came_from[trail[-1]])
                return trail[::-1] if here != task.id else [task.id, task.id]
            if other not in came_from:
                came_from[other] = here
                todo.append(other)
    return []


# ---------------------------------------------------------------- how far it is
def complete(attempt: Attempt) -> Changed | Refused:
    """It is done. The outcome tells what became ready."""
    return _finish(attempt, "complete", "done")


def cancel(attempt: Attempt) -> Changed | Refused:
    """It will not be done. Those that depended on it are free of it."""
    return _finish(attempt, "cancel", "cancelled")


def _finish(attempt: Attempt, verb: Verb, status: Progress) -> Changed | Refused:
    refused = refusal(attempt, verb)
    if refused is not None:
        return refused
    task = attempt.task
    finished = replace(task, status=status, blocked_reason=None, completed_at=attempt.stamp.now)
    before = {other.id: other for other in attempt.board.tasks()}
    after = {**before, task.id: finished}
    dependents = [other for other in before.values() if task.id in other.depends_on and other.status == "pending"]
    ready = tuple(other for other in in_order(dependents) if not unmet(other, after))
    return replace(changed(attempt, finished, f"was {status} {by(attempt.me)}"), ready=ready)


def block(attempt: Attempt, reason: str) -> Changed | Refused:
    """It cannot go on; its owner keeps it, and nobody is given it.

    Raises:
        UsageError: The reason is empty or too long.
    """
    _check_text("the reason", reason)
    refused = refusal(attempt, "block")
    if refused is not None:
        return refused
    blocked = replace(attempt.task, status="blocked", blocked_reason=reason)
    return changed(attempt, blocked, f"was blocked {by(attempt.me)}: {reason[:200]}")


def release(attempt: Attempt) -> Changed | Refused:
    """Give it back to the board, with its checkpoint."""
    return _back(attempt, "release")


def reopen(attempt: Attempt) -> Changed | Refused:
    """A finished or blocked task is open again."""
    return _back(attempt, "reopen")


def _back(attempt: Attempt, verb: Verb) -> Changed | Refused:
    refused = refusal(attempt, verb)
    if refused is not None:
        return refused
    opened = replace(
        attempt.task,
        status="pending",
        owner=None,
        owner_name=None,
        blocked_reason=None,
        claimed_at=None,
        completed_at=None,
    )
    return changed(attempt, opened, f"is open again, {by(attempt.me)}")


def checkpoint(attempt: Attempt, text: str) -> Changed | Refused:
    """Keep where the work stands, for whoever takes it over.

    Raises:
        UsageError: The text is empty or too long.
    """
    _check_text("the checkpoint", text)
    kept = replace(attempt.task, checkpoint=text)
    return refusal(attempt, "checkpoint") or changed(attempt, kept, f"got another checkpoint {by(attempt.me)}")


def note(attempt: Attempt, text: str) -> Changed:
    """Add to the trail of a task; anybody may.

    Raises:
        UsageError: The text is empty or too long.
    """
    _check_text("the note", text)
    return changed(attempt, replace(attempt.task, note=text))
