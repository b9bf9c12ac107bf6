"""What a task is to the board: how it is found, when it is ready, who may do what with it.

`LEGAL` is the whole life of a task. On top of it come two rules: what somebody owns who is still there, only the owner
changes (others by force, and the owner is told); and a task whose owner is gone is up for grabs, with its checkpoint.
What can be done with one is in `core.progress` (its content and state) and `core.claims` (its owner).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys, locks
from agentsync.core.changes import Drop, Put, Stamp, Write, notices
from agentsync.core.lease import has_left
from agentsync.core.paths import Target, is_valid_id, target_at
from agentsync.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from agentsync.core.lease import Held, Presence
    from agentsync.core.locks import Blocked
    from agentsync.core.records import Agent, Lock, Progress, Task, Waiter

Verb = Literal["claim", "complete", "block", "release", "reopen", "cancel", "checkpoint", "handoff", "note", "edit"]

UNFINISHED: frozenset[Progress] = frozenset({"pending", "in_progress", "blocked"})
EVERY: frozenset[Progress] = UNFINISHED | {"done", "cancelled"}

LEGAL: dict[Verb, frozenset[Progress]] = {
    "claim": UNFINISHED,
    "complete": frozenset({"in_progress", "blocked"}),
    "block": frozenset({"pending", "in_progress"}),
    "release": frozenset({"in_progress", "blocked"}),
    "reopen": frozenset({"blocked", "done", "cancelled"}),
    "cancel": UNFINISHED,
    "checkpoint": frozenset({"in_progress", "blocked"}),
    "handoff": frozenset({"in_progress", "blocked"}),
    "edit": UNFINISHED,
    "note": EVERY,
}
"""From which states a verb is legal."""

COMMANDS: dict[Verb, str] = {
    "claim": "claim-task",
    "complete": "complete-task",
    "block": "block-task",
    "release": "release-task",
    "reopen": "reopen-task",
    "cancel": "cancel-task",
    "checkpoint": "checkpoint",
    "handoff": "handoff",
    "edit": "edit-task",
    "note": "note",
}
"""What to type for it."""

SILENCE = timedelta(minutes=30)
"""How long a claimed task may go without an event or an edit of its owner before it counts as stalled."""

NO_NEWS = frozenset({"ask", "deliver", "sweep", "repair"})
"""Verbs of events that an agent causes without doing anything: by looking, or by being told."""

KEPT = 200
"""Finished tasks that stay in the directory; older ones are in the archive."""


class Board(locks.Board, Protocol):
    """What these decisions ask of the store."""

    def presence(self, agent_id: str) -> Presence | None:
        """An agent as it is now."""
        ...

    def everybody(self) -> list[Presence]:
        """All agents on the board, and those of other machines."""
        ...

    def past_agent(self, agent_id: str) -> Agent | None:
        """Who left the board under this id."""
        ...

    def tasks(self) -> list[Task]:
        """All tasks."""
        ...

    def task(self, task_id: str) -> Task | None:
        """One task, by its whole id."""
        ...

    def locks(self) -> list[Held]:
        """All locks."""
        ...

    def line(self) -> list[Waiter]:
        """Everybody who is in line for something."""
        ...


class Attempt(Struct, frozen=True, gc=False):
    """Somebody wants to do something with a task."""

    board: Board
    me: Agent
    task: Task
    stamp: Stamp
    force: bool = False
    """Whether a living owner is overridden; recorded, and the owner is told."""


class Changed(Struct, frozen=True, kw_only=True, gc=False):
    """The task is what was wanted; `writes` is empty when it was so already."""

    task: Task
    before: Task
    ready: tuple[Task, ...] = ()
    """Tasks that can be claimed now, and could not before."""
    locks: tuple[Lock, ...] = ()
    """Locks that came with it."""
    busy: tuple[Blocked, ...] = ()
    """Its files that could not be had, and who has them."""
    waiting: tuple[Waiter, ...] = ()
    """Who is in line for files of it that could therefore not be had."""
    writes: tuple[Write, ...] = ()


class Refused(Struct, frozen=True, kw_only=True, gc=False):
    """Nothing was changed."""

    task: Task
    why: str
    """A sentence that may hold other agents' words: escape it."""
    hint: str


# ---------------------------------------------------------------- finding
def find(board: Board, words: str) -> Task:
    """The task that somebody means: by id, by a prefix of it that fits only one, or by its exact title in any case.

    Raises:
        NotFoundError: There is none, or several; then they are listed.
    """
    exact = board.task(words) if words.startswith("t-") and is_valid_id(words) else None
    if exact is not None:
        return exact
    tasks = board.tasks()
    found = [task for task in tasks if task.title.casefold() == words.strip().casefold()]
    if len(found) > 1:
        found = [task for task in found if task.status in UNFINISHED] or found
    if not found and words.startswith("t-"):
        found = [task for task in tasks if task.id.startswith(words)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError(f"there is no task {words[:200]!r}", "agent-sync tasks --all lists them")
    listed = ", ".join(f"{task.id} ({task.status}, {task.title[:40]!r})" for task in found[:8])
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    raise NotFoundError(f"{words[:200]!r} fits {len(found)} tasks", "name one by its id", f"{listed}{more}")


def unmet(task: Task, by_id: Mapping[str, Task]) -> tuple[Task, ...]:
    """Its dependencies that are not finished. One that is not in the directory any more was, long ago."""
    needed = (by_id.get(other) for other in task.depends_on)
    return tuple(other for other in needed if other is not None and other.status in UNFINISHED)


def is_abandoned(task: Task, owner: Presence | None) -> bool:
    """Whether it has an owner who is gone."""
    return task.owner is not None and has_left(owner)


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """The greater priority first, then the older."""
    return sorted(tasks, key=lambda task: (-task.priority, task.created_at, task.id))


def available(board: Board, me: str) -> list[Task]:
    """What an agent could claim now, the best first: open ones with nothing in their way, and those of the gone."""
    tasks = board.tasks()
    by_id = {task.id: task for task in tasks}
    found = []
    for task in in_order(tasks):
        free = task.status == "pending" or (
            task.status == "in_progress"
            and task.owner != me
            and is_abandoned(task, board.presence(task.owner) if task.owner else None)
        )
        if free and not unmet(task, by_id):
            found.append(task)
    return found


def current(me: str, hint: str | None, tasks: Iterable[Task]) -> str | None:
    """The id of the task that an agent works on: the one its record names if that is so, else the last it claimed."""
    mine = [task for task in tasks if task.owner == me and task.status == "in_progress"]
    if any(task.id == hint for task in mine):
        return hint
    return max(mine, key=lambda task: (task.claimed_at or task.created_at, task.id)).id if mine else None


def is_silent(task: Task, owner: Presence | None, last_edit: datetime | None, now: datetime) -> bool:
    """Whether the living owner of a claimed task has not edited anything for too long; then its events count."""
    if task.status != "in_progress" or task.owner is None or owner is None or has_left(owner):
        return False
    if owner.agent.machine is not None:
        return False  # what it does is seen there only
    claimed = task.claimed_at or task.created_at
    return now - max(claimed, last_edit or claimed) > SILENCE


def outdated(tasks: Sequence[Task]) -> tuple[Write, ...]:
    """Drop the oldest finished tasks, but none that an unfinished one depends on. The archive keeps them."""
    needed = {other for task in tasks if task.status in UNFINISHED for other in task.depends_on}
    finished = [task for task in tasks if task.status not in UNFINISHED and task.id not in needed]
    finished.sort(key=lambda task: (task.completed_at or task.updated_at, task.id), reverse=True)
    return tuple(Drop(keys.task(task.id)) for task in finished[KEPT:])


def targets(task: Task, worktree: str | None) -> tuple[Target, ...]:
    """What its files are as locks in a worktree."""
    return tuple(target_at(path, worktree) for path in task.files)


# ---------------------------------------------------------------- rules
def refusal(attempt: Attempt, verb: Verb) -> Refused | None:
    """Why this agent may not do this with this task, if so."""
    task, now = attempt.task, attempt.stamp.now
    if task.status not in LEGAL[verb]:
        legal = ", ".join(COMMANDS[other] for other, states in LEGAL.items() if task.status in states)
        return Refused(task=task, why=f"{name(task)} is {task.status}", hint=f"legal now: {legal}")
    if task.owner is None or task.owner == attempt.me.id or task.status not in UNFINISHED or attempt.force:
        return None
    owner = attempt.board.presence(task.owner)
    if is_abandoned(task, owner):
        return None
    since = f" since {task.claimed_at:%H:%M} UTC" if task.claimed_at else ""
    seen = f", last seen {int((now - owner.agent.last_seen).total_seconds())} s ago" if owner else ""
    return Refused(
        task=task,
        why=f"{name(task)} is {task.status} and belongs to {task.owner_name} ({task.owner}){since}{seen}",
        hint=f"ask: agent-sync send --to {task.owner} --message …",
    )


def changed(attempt: Attempt, after: Task, told: str = "") -> Changed:
    """The outcome of a change: the task, who works on it, and its former owner told unless that is who did it."""
    before, me, stamp = attempt.task, attempt.me, attempt.stamp
    answered = before.owner in (None, me.id) or after.owner != before.owner
    task = replace(after, updated_at=stamp.now, asked_at=None if answered else before.asked_at)
    writes: list[Write] = [Put(keys.task(task.id), task)]
    if me.id in (before.owner, task.owner):
        works_on = task.id if task.owner == me.id and task.status == "in_progress" else None
        if works_on != me.task and (works_on is not None or me.task == task.id):
            # Only ever one's own record: to rewrite another's would be a sign of life that it never gave.
            writes.append(Put(keys.agent(me.id), replace(me, task=works_on, last_seen=stamp.now)))
    if told and before.owner not in (None, me.id) and before.status in UNFINISHED:
        owner = attempt.board.presence(before.owner)
        if owner is None or owner.agent.machine is None:  # other machines tell their own
            writes += notices({before.owner: [f"your task {name(task)} {told}"]}, stamp)
    return Changed(task=task, before=before, writes=tuple(writes))


def by(agent: Agent) -> str:
    """`by alice (al)`."""
    return f"by {agent.name} ({agent.id})"


def name(task: Task) -> str:
    """A task in a sentence."""
    return f"{task.id} ({task.title[:80]!r})"
