"""The full story of one thing of a view, as lines. May read files: call it where nobody waits.

Each line is a tone and an escaped text; `head` stands over others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentsync.core.lease import is_guest
from agentsync.core.paths import overlap, target_of
from agentsync.errors import AgentSyncError
from agentsync.ops import mail, survey, tasks
from agentsync.render import queue
from agentsync.render import tasks as tell
from agentsync.render.frame import escape
from agentsync.render.locks import reach
from agentsync.render.times import ago, clock, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from agentsync.console.table import Row, View
    from agentsync.console.view_agents import AgentHere
    from agentsync.console.view_locks import LockHere
    from agentsync.console.view_words import Settled
    from agentsync.core.lease import Held
    from agentsync.core.records import Event, Message
    from agentsync.ops.session import Session
    from agentsync.ops.survey import Survey
    from agentsync.ops.tasks import Seen

Line = tuple[str, str]

MANY = 40
"""Entries of a list; more are counted."""

TRAIL = 30
"""Events of a story."""


def story(session: Session, view: View, row: Row, seen: Survey, events: Sequence[Event]) -> list[Line]:
    """All there is to tell about a row."""
    now = session.runtime.now()
    item: Any = row.item
    match view.name:
        case "agents":
            return _agent(item, seen, events, now)
        case "locks":
            return _lock(session, item, seen, now)
        case "tasks":
            return _task(session, item, now)
        case "mail":
            return _message(session, item, now)
        case "decisions":
            return _decision(item, seen, now)
        case _:
            return _event(session, item, now)


# ---------------------------------------------------------------- one thing each
def _agent(here: AgentHere, seen: Survey, events: Sequence[Event], now: datetime) -> list[Line]:
    agent = here.presence.agent
    lines = [
        ("title", f"{_safe(agent.name)} ({agent.id})"),
        _fact("status", f"{here.presence.status}, last seen {ago(agent.last_seen, now)}"),
    ]
    facts = {
        "machine": _machine(agent.machine, agent.host, seen.looked, now),
        "role": agent.role,
        "client": agent.client,
        "task": f"{agent.task}: {here.task}" if agent.task else here.task,
        "branch": agent.branch,
        "worktree": agent.worktree,
        "directory": agent.cwd,
        "process": f"{agent.pid} on {agent.host}" if agent.pid else None,
        "session": agent.session,
        "here since": ago(agent.created_at, now),
    }
    lines += [_fact(name, value) for name, value in facts.items() if value]
    if here.edit is not None:
        lines.append(_fact("last edit", f"{here.edit.path}, {ago(here.edit.at, now)}"))
    held = [one for one in seen.locks if one.lock.holder == agent.id]
    lines += _list("holds", (f"{_safe(one.lock.path)}  {_term(one, now)}{_because(one)}" for one in held), len(held))
    waits = [one for one in seen.waiting if one.agent == agent.id]
    lines += _list(
        "waits for",
        (
            f"{', '.join(_safe(w.path) for w in one.targets) or 'a task'} for {span(now - one.created_at)}"
            for one in waits
        ),
        len(waits),
    )
    told = [m for m in seen.messages if m.sender == agent.id or any(r.agent == agent.id for r in m.readers)][-5:]
    lines += _list(
        "mail",
        (
            f"{m.id} {_safe(m.sender_name)} → {_safe(m.to)}, {ago(m.created_at, now)}: {escape(m.body, 200)}"
            for m in told
        ),
        len(told),
    )
    return lines + _trail([event for event in events if event.actor == agent.id][-TRAIL:], now)


def _lock(session: Session, here: LockHere, seen: Survey, now: datetime) -> list[Line]:
    held, lock = here.held, here.held.lock
    lines = [("title", _safe(lock.path))]
    if not held.live:
        lines.append(("bad", "binds nobody any more: free to take"))
    life = f", {held.holder.status}, last seen {ago(held.holder.agent.last_seen, now)}" if held.holder else ""
    facts = {
        "holder": f"{lock.holder_name} ({lock.holder}){life}",
        "machine": _machine(lock.machine, held.holder.agent.host if held.holder else "", seen.looked, now)
        if is_guest(lock)
        else None,
        "reason": lock.reason or ("it is being edited" if lock.auto else None),
        "task": lock.task,
        "kind": f"{lock.scope}, {lock.mode}, {'by an edit' if lock.auto else 'by hand'}",
        "where": reach(lock) or (f"worktree {lock.worktree}" if lock.worktree else None),
        "branch": lock.branch,
        "since": f"{clock(lock.acquired_at, now)} ({ago(lock.acquired_at, now)})",
        "until": _until(held, now),
        "token": lock.token,
    }
    lines += [_fact(name, value) for name, value in facts.items() if value]
    lines += _list("in line", queue.standing(here.waiters, now), len(here.waiters))
    target = target_of(lock)
    near = [one for one in seen.locks if one is not held and overlap(target_of(one.lock), target)]
    lines += _list("meets", (f"{_safe(one.lock.path)} of {_safe(one.lock.holder_name)}" for one in near), len(near))
    return lines + _trail(survey.about(session, target, TRAIL), now)


def _task(session: Session, seen: Seen, now: datetime) -> list[Line]:
    found, events = tasks.story(session, seen.task.id, TRAIL)
    task = found.task
    owner = (
        f"{task.owner_name} ({task.owner}), since {ago(task.claimed_at, now) if task.claimed_at else '?'}"
        if task.owner
        else None
    )
    facts = {
        "state": tell.word(found),
        "owner": owner,
        "priority": str(task.priority) if task.priority else None,
        "files": ", ".join(task.files),
        "waits for": ", ".join(f"{one.id} ({one.title}, {one.status})" for one in found.unmet),
        "blocked": task.blocked_reason,
        "checkpoint": task.checkpoint,
        "note": task.note,
        "made": f"by {task.created_by}, {ago(task.created_at, now)}",
        "finished": ago(task.completed_at, now) if task.completed_at else None,
    }
    lines = [("title", f"{task.id} {_safe(task.title)}"), *(_fact(n, value) for n, value in facts.items() if value)]
    if task.description:
        lines += [("head", "description"), *_paragraphs(task.description)]
    return lines + _trail(events, now)


def _message(session: Session, message: Message, now: datetime) -> list[Line]:
    kind = "directive" if message.directive else "urgent" if message.urgent else None
    facts = {
        "from": f"{message.sender_name} ({message.sender}), {ago(message.created_at, now)}",
        "to": message.to,
        "kind": kind,
        "asks for": message.request,
        "answers": message.reply_to,
    }
    lines = [("title", message.id), *(_fact(name, value) for name, value in facts.items() if value)]
    lines += [("", ""), *_paragraphs(message.body)]
    known = (f"{_safe(r.name)} ({r.agent}): {_progress(r, now)}" for r in message.readers)
    lines += _list("readers", known, len(message.readers))
    try:
        others = [m for m in mail.thread(session, message.id) if m.id != message.id]
    except AgentSyncError:  # a notice is in no conversation
        others = []
    return lines + _list(
        "conversation",
        (f"{m.id} {_safe(m.sender_name)}, {ago(m.created_at, now)}: {escape(m.body, 300)}" for m in others),
        len(others),
    )


def _decision(settled: Settled, seen: Survey, now: datetime) -> list[Line]:
    one = settled.decision
    later = next((other for other in seen.decisions if other.supersedes == one.id), None)
    earlier = next((other for other in seen.decisions if other.id == one.supersedes), None)
    lines = [
        ("title", one.id),
        _fact("by", f"{one.by_name} ({one.by}), {clock(one.created_at, now)} ({ago(one.created_at, now)})"),
    ]
    lines += [("", ""), *_paragraphs(one.text)]
    if earlier is not None:
        lines += [("head", f"instead of {earlier.id}"), *_paragraphs(earlier.text)]
    if later is not None:
        lines += [("head", f"superseded by {later.id}"), *_paragraphs(later.text)]
    return lines


def _event(session: Session, one: Event, now: datetime) -> list[Line]:
    whole = survey.event(session, one.rev)
    changes = whole.changes if whole is not None else ()
    lines = [
        ("title", f"{one.rev} {_safe(one.verb)}"),
        _fact("who", one.actor),
        _fact("when", f"{one.at:%Y-%m-%d %H:%M:%S} UTC ({ago(one.at, now)})"),
        ("", ""),
        *_paragraphs(one.summary),
    ]
    lines += _list("about", (_safe(path) for path in one.paths), len(one.paths))
    said = (f"{'wrote' if change.put else 'dropped'} {_safe(change.put or change.drop or '')}" for change in changes)
    return lines + _list("changed", said, len(changes))


# ---------------------------------------------------------------- lines
def _fact(name: str, value: str) -> Line:
    return ("fact", f"{name}: {_safe(value)}")


def _list(title: str, entries: Iterable[str], count: int) -> list[Line]:
    if not count:
        return []
    shown = [("item", entry) for entry, _ in zip(entries, range(MANY), strict=False)]
    more = [("dim", f"and {count - MANY} more")] if count > MANY else []
    return [("head", f"{title} ({count})" if count > 1 else title), *shown, *more]


def _trail(events: Sequence[Event], now: datetime) -> list[Line]:
    """The newest first: who looks at a story wants to know where it stands."""
    told = (f"{span(now - e.at)}  {escape(e.summary, 300)}" for e in reversed(events))
    return _list("what happened", told, len(events))


def _paragraphs(text: str) -> list[Line]:
    return [("", _safe(line)) for line in text.splitlines()]


def _machine(machine: str | None, host: str, looked: datetime | None, now: datetime) -> str | None:
    """Where an agent of another machine is, and how old this view of it is."""
    if machine is None:
        return None
    age = f", as seen {ago(looked, now)}" if looked else ""
    return f"{host or 'unknown'} ({machine}){age}: agent-sync sync looks again"


def _until(held: Held, now: datetime) -> str:
    lock = held.lock
    if lock.process is not None:
        return f"its process ends ({lock.process.pid})"
    moves = "the last edit" if lock.auto else "the holder's last sign of life"
    return f"{clock(held.until, now)} (in {span(held.until - now)}, counted from {moves})"


def _term(held: Held, now: datetime) -> str:
    if not held.live:
        return "free to take"
    return "while its process lives" if held.lock.process is not None else f"{span(held.until - now)} left"


def _because(held: Held) -> str:
    return f"  {escape(held.lock.reason, 80)}" if held.lock.reason else ""


def _progress(reader: Any, now: datetime) -> str:
    for word, then in (("acked", reader.acked_at), ("read", reader.read_at), ("told", reader.delivered_at)):
        if then is not None:
            return f"{word} {ago(then, now)}"
    return "waiting"


def _safe(text: str) -> str:
    return escape(text, 4000)
