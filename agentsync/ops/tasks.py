"""The task board: making tasks, claiming them, working on them, passing them on."""

from __future__ import annotations

import os
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import claims, keys, progress, tasks
from agentsync.core.agents import named, nobody
from agentsync.core.changes import Put, Stamp, merged
from agentsync.core.locks import Conflict, Request
from agentsync.core.tasks import Attempt, Changed, Refused
from agentsync.errors import AgentSyncError, NotFoundError
from agentsync.ops import agents

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from agentsync.core.changes import Write
    from agentsync.core.lease import Presence
    from agentsync.core.progress import Says
    from agentsync.core.records import Agent, Event, Task
    from agentsync.core.tasks import Verb
    from agentsync.ops.session import Session
    from agentsync.store.state import State
    from agentsync.store.transaction import Transaction

ASK_TIMEOUT = 0.05
"""Seconds that somebody who looks at the tasks waits for the guard, to ask who is silent."""


class Seen(Struct, frozen=True, kw_only=True, gc=False):
    """A task as it is now."""

    task: Task
    owner: Presence | None
    unmet: tuple[Task, ...] = ()
    """The dependencies that it waits for."""
    abandoned: bool = False
    """Its owner is gone: it can be claimed."""
    stalled: bool = False
    """Its owner is there, and has been silent about it for too long."""

    @property
    def is_ready(self) -> bool:
        """Whether somebody could claim it now."""
        return (self.task.status == "pending" or self.abandoned) and not self.unmet


# ---------------------------------------------------------------- looking
def board(session: Session) -> list[Seen]:
    """All tasks, the best first: unfinished by priority and age, then finished ones, the newest first.

    Whoever has been silent over a claimed task for too long is asked about it, once.
    """
    if not session.store.exists():
        return []
    state = session.store.state()
    seen = look(session, state)
    if any(found.stalled and found.task.asked_at is None for found in seen):
        try:
            _ask(session)
        except (AgentSyncError, OSError):
            pass  # whoever may only read can still look, and nobody who looks waits; somebody else will ask
    return seen


def look(session: Session, state: State) -> list[Seen]:
    """The same, judged from one state, and nobody is asked anything."""
    found = state.tasks()
    by_id = {task.id: task for task in found}
    finished = [task for task in found if task.status not in tasks.UNFINISHED]
    finished.sort(key=lambda task: task.completed_at or task.updated_at, reverse=True)
    open_ones = tasks.in_order(task for task in found if task.status in tasks.UNFINISHED)
    stalled = _stalled(session, state, open_ones)
    return [_see(state, task, by_id, stalled) for task in (*open_ones, *finished)]


def _see(state: State, task: Task, by_id: dict[str, Task], stalled: Container[str]) -> Seen:
    owner = state.presence(task.owner) if task.owner else None
    unfinished = task.status in tasks.UNFINISHED
    return Seen(
        task=task,
        owner=owner,
        unmet=tasks.unmet(task, by_id) if unfinished else (),
        abandoned=task.status == "in_progress" and tasks.is_abandoned(task, owner),
        stalled=task.id in stalled,
    )


def _stalled(session: Session, state: State, found: Iterable[Task]) -> set[str]:
    """Ids of the tasks whose owners are there and have done nothing for too long."""
    silent = {
        task.id: task.owner
        for task in found
        if task.owner and tasks.is_silent(task, state.presence(task.owner), state.last_edit(task.owner), state.now)
    }
    if not silent:
        return set()  # nobody pays for reading the log
    from agentsync.store import log

    active = set()
    for event in log.backwards(session.store.files):
        if state.now - event.at > tasks.SILENCE:
            break
        if event.verb not in tasks.NO_NEWS:
            active.add(event.actor)
    return {task_id for task_id, owner in silent.items() if owner not in active}


def _ask(session: Session) -> None:
    """Ask all owners who are to be asked, in one event."""
    with session.store.transaction(session.me.id, ASK_TIMEOUT) as tx:
        stalled = _stalled(session, tx.state, tx.state.tasks())
        asked = [task for task in tx.state.tasks() if task.id in stalled and task.asked_at is None]
        writes = merged(write for task in asked for write in claims.ask(task, tx.stamp))
        tx.commit("ask", f"asked about {', '.join(task.id for task in asked)}", writes, "D")


def story(session: Session, words: str, count: int = 20) -> tuple[Seen, list[Event]]:
    """A task, and its last events, oldest first.

    Raises:
        NotFoundError: There is no such task, or several.
    """
    from agentsync.store import log

    _must_exist(session, words)
    state = session.store.state()
    task = tasks.find(state, words)
    key = keys.task(task.id)
    its_life = takewhile(lambda event: event.at >= task.created_at, log.backwards(session.store.files))
    events = (event for event in its_life if any(key in (change.put, change.drop) for change in event.changes))
    by_id = {other.id: other for other in state.tasks()}
    return _see(state, task, by_id, _stalled(session, state, [task])), list(islice(events, count))[::-1]


def mine(session: Session) -> Task | None:
    """The task that the caller works on."""
    state = session.store.state()
    found = state.presence(session.me.id)
    known = state.tasks()
    task_id = tasks.current(session.me.id, found.agent.task if found else None, known)
    return next((task for task in known if task.id == task_id), None)


# ---------------------------------------------------------------- making
def create(session: Session, says: Says) -> Task:
    """Put a task on the board; its files are as typed.

    Raises:
        UsageError: A text or number is out of bounds.
        NotFoundError: A dependency does not exist, or fits several.
    """
    session, says = _resolved(session, says)
    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        task_id = _fresh_id(session, tx)
        task = tx.ask(lambda state, stamp: progress.create(state, me, task_id, says, stamp))
        _commit(tx, me, None, Changed(task=task, before=task, writes=(Put(keys.task(task.id), task),)))
        return task


def _fresh_id(session: Session, tx: Transaction) -> str:
    while True:
        task_id = f"t-{session.runtime.random_id(4)}"
        if tx.state.task(task_id) is None:
            return task_id


def _resolved(session: Session, says: Says) -> tuple[Session, Says]:
    """With its files as the board names them, and the session at the board that they belong to."""
    if not says.files:
        return session, says
    from agentsync.ops.session import resolve_targets

    session, targets = resolve_targets(session, says.files)
    return session, replace(says, files=tuple(target.path for target in targets))


def edit(session: Session, words: str, says: Says, *, force: bool = False) -> Changed | Refused:
    """Change what a task says; files and dependencies are added.

    Raises:
        UsageError: A text or number is out of bounds, or tasks would wait for each other; the cycle is printed.
        NotFoundError: There is no such task or dependency, or several.
    """
    session, says = _resolved(session, says)
    return _change(session, words, "edit", lambda attempt: progress.edit(attempt, says), force=force)


# ---------------------------------------------------------------- claiming
def claim(
    session: Session, words: str, *, lock: bool = False, strict: bool = False, force: bool = False
) -> Changed | Refused | Conflict:
    """Claim one task.

    Args:
        session: Whose.
        words: Which: id, prefix of one, or title.
        lock: Whether its files are locked in the same transaction, those that are free.
        strict: Whether one busy file means that nothing is taken.
        force: Whether a living owner, a blocker or unmet dependencies are overridden.

    Raises:
        NotFoundError: There is no such task, or several.
    """
    _must_exist(session, words)
    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)

        def decide(state: State, stamp: Stamp) -> Changed | Refused | Conflict:
            task = tasks.find(state, words)
            request = _request(session, task) if lock or strict else None
            return claims.claim(Attempt(state, me, task, stamp, force), request, strict)

        decision = tx.ask(decide)
        if isinstance(decision, Changed):
            _commit(tx, me, "claim", decision)
    return _confirmed(session, decision) if isinstance(decision, Changed) else decision


def _confirmed(session: Session, claimed: Changed) -> Changed | Refused:
    """What came of a claim where claims are for all machines."""
    if session.store.config.reach != "remote" or session.store.files.status(keys.LINK) is None or not claimed.writes:
        return claimed
    from agentsync.ops import claiming

    return claiming.confirm(session, claimed)


def claim_next(
    session: Session, *, lock: bool = False, wait: float = 0, priority: int = 0, confirm: bool = True
) -> Changed | None:
    """Claim the best available task; None when there is none.

    Args:
        session: Whose.
        lock: Whether its files are locked in the same transaction; then one whose files are all free is preferred.
        wait: Seconds to stand in line for one.
        priority: In that line, a point counts like a minute of waiting.
        confirm: Whether to wait for the network where the configuration wants claims to hold on all machines.
    """
    from agentsync.ops import waiting

    request_of = (lambda task: _request(session, task)) if lock else None

    def decide(state: State, stamp: Stamp, me: Agent) -> Changed | None:
        return claims.claim_next(state, me, stamp, request_of)

    def commit(tx: Transaction, me: Agent, changed: Changed, leaving: tuple[Write, ...]) -> None:
        _commit(tx, me, "claim", replace(changed, writes=(*changed.writes, *leaving)))

    while True:  # one that another machine had first is no longer available, so this ends
        outcome = waiting.wait(session, waiting.Want(priority=priority, decide=decide, commit=commit), wait)
        if isinstance(outcome, waiting.GaveUp):
            return None
        claimed = _confirmed(session, outcome) if confirm else outcome
        if isinstance(claimed, Changed):
            return claimed


def _request(session: Session, task: Task) -> Request:
    config = session.store.config
    targets = tasks.targets(task, session.place.worktree)
    # A file that exists wins over a pattern that looks like it: `pages/[id].tsx`.
    named = {t for t in targets if t.scope == "glob" and os.path.lexists(os.path.join(session.place.base, t.path))}
    return Request(
        targets=tuple(replace(t, scope="file") if t in named else t for t in targets),
        ttl_s=config.ttl_minutes * 60,
        reason=task.title,
        task=task.id,
        all_worktrees=config.worktrees == "deny",
    )


def handoff(session: Session, words: str, to: str, *, force: bool = False) -> Changed | Refused:
    """Give a task to another agent, with its locks and checkpoint, at one stroke.

    Args:
        session: Whose.
        words: Which task.
        to: The agent's id or name.
        force: Whether a living owner is overridden.

    Raises:
        NotFoundError: There is no such task or agent, or several.
    """

    def decide(attempt: Attempt) -> Changed | Refused:
        there = attempt.board.everybody()
        heir = named(to, there, attempt.board.past_agent(to))
        if heir is None:
            raise nobody(to, (presence.agent for presence in there))
        return claims.handoff(attempt, heir)

    return _change(session, words, "handoff", decide, force=force)


# ---------------------------------------------------------------- working
def complete(session: Session, words: str, *, force: bool = False) -> Changed | Refused:
    """It is done. The outcome tells what became ready."""
    return _change(session, words, "complete", progress.complete, force=force)


def cancel(session: Session, words: str, *, force: bool = False) -> Changed | Refused:
    """It will not be done."""
    return _change(session, words, "cancel", progress.cancel, force=force)


def block(session: Session, words: str, reason: str, *, force: bool = False) -> Changed | Refused:
    """It cannot go on."""
    return _change(session, words, "block", lambda attempt: progress.block(attempt, reason), force=force)


def release(session: Session, words: str, *, force: bool = False) -> Changed | Refused:
    """Give it back to the board."""
    return _change(session, words, "release", progress.release, force=force)


def reopen(session: Session, words: str, *, force: bool = False) -> Changed | Refused:
    """A finished or blocked task is open again."""
    return _change(session, words, "reopen", progress.reopen, force=force)


def checkpoint(session: Session, words: str, text: str, *, force: bool = False) -> Changed | Refused:
    """Keep where the work stands."""
    return _change(session, words, "checkpoint", lambda attempt: progress.checkpoint(attempt, text), force=force)


def note(session: Session, words: str, text: str) -> Changed | Refused:
    """Add to its trail; anybody may."""
    return _change(session, words, "note", lambda attempt: progress.note(attempt, text))


def _must_exist(session: Session, words: str) -> None:
    """Looking for a task makes no board."""
    if not session.store.exists():
        raise NotFoundError(f"there is no task {words[:200]!r}", "agent-sync create-task TITLE makes one")


def _change(
    session: Session,
    words: str,
    verb: Verb,
    decide: Callable[[Attempt], Changed | Refused],
    *,
    force: bool = False,
) -> Changed | Refused:
    _must_exist(session, words)
    with session.store.transaction(session.me.id, session.timeout) as tx:
        me = agents.ensure(session, tx)
        decision = tx.ask(lambda state, stamp: decide(Attempt(state, me, tasks.find(state, words), stamp, force)))
        if isinstance(decision, Changed):
            _commit(tx, me, verb, decision)
        return decision


_DID: dict[Verb | None, str] = {
    None: "created",
    "claim": "claimed",
    "complete": "completed",
    "block": "blocked",
    "release": "released",
    "reopen": "reopened",
    "cancel": "cancelled",
    "checkpoint": "left a checkpoint of",
    "handoff": "handed on",
    "note": "noted on",
    "edit": "edited",
}


def _commit(tx: Transaction, me: Agent, verb: Verb | None, changed: Changed) -> None:
    """Commit a change with a sentence for the log. No verb: the task is new."""
    task, before = changed.task, changed.before
    of_another = before.owner not in (None, me.id) and before.status in tasks.UNFINISHED
    whose = f" of {before.owner_name} ({before.owner})" if of_another else ""
    whom = f" to {task.owner_name} ({task.owner})" if verb == "handoff" else ""
    said = {"note": task.note, "checkpoint": task.checkpoint, "block": task.blocked_reason}.get(verb or "")
    locked = f", with {', '.join(lock.path for lock in changed.locks)}" if changed.locks else ""
    summary = f"{me.name} ({me.id}) {_DID[verb]} {task.id}{whose}{whom}{locked}: {said or task.title}"
    tx.commit(tasks.COMMANDS[verb] if verb else "create-task", summary, changed.writes, "D", paths=task.files)
