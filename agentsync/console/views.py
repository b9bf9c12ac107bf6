"""What the console shows, as tables: pure functions of a survey and the events so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agentsync.console.table import Column, Row, View
from agentsync.core.paths import overlap, target_of
from agentsync.core.queue import target_from
from agentsync.core.tasks import UNFINISHED
from agentsync.ops.operator import freezing
from agentsync.render.frame import escape
from agentsync.render.tasks import word
from agentsync.render.times import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.lease import Held, Presence
    from agentsync.core.records import Decision, Event, Message, Waiter
    from agentsync.ops.survey import Survey
    from agentsync.ops.tasks import Seen
    from agentsync.store.activity import Line


LONGEST = 400
"""Characters of a cell."""


# ---------------------------------------------------------------- cells
def _line(text: str) -> str:
    return escape(text, LONGEST)


def _name(agent: Any) -> str:
    return _line(agent.name)


def _holder(held: Held) -> str:
    return _line(held.lock.holder_name)


def _branch(presence: Presence) -> str:
    agent = presence.agent
    where = f"[{agent.worktree}]" if agent.worktree else ""
    return _line(" ".join(part for part in (agent.branch, where) if part))


def _file(here: AgentHere) -> str:
    return _line(here.edit.path) if here.edit is not None else ""


def _kind(held: Held) -> str:
    lock = held.lock
    words = [lock.scope if lock.scope != "file" else "", "shared" if lock.mode == "shared" else ""]
    words += [
        "edit" if lock.auto else "",
        "everywhere" if lock.everywhere else f"[{lock.worktree}]" if lock.worktree else "",
    ]
    return _line(" ".join(word for word in words if word))


def _left(held: Held, now: datetime) -> str:
    if not held.live:
        return "free"
    return "process" if held.lock.process is not None else span(held.until - now)


def _state(seen: Seen) -> int:
    return _STATES.index(word(seen)) if word(seen) in _STATES else len(_STATES)


def _why(seen: Seen) -> str:
    if seen.unmet:
        return f"waits for {', '.join(other.id for other in seen.unmet)}"
    task = seen.task
    return _line(task.blocked_reason or task.checkpoint or task.note or "")


def _to(message: Message) -> str:
    if len(message.readers) == 1 and message.to != "all":
        return _line(message.readers[0].name)
    return _line(message.to)


def _is_known(message: Message) -> bool:
    return all(reader.delivered_at or reader.read_at or reader.acked_at for reader in message.readers)


def _known(message: Message) -> str:
    readers = message.readers
    if not readers:
        return "-" if message.id.startswith("m") else "notice"
    if all(reader.acked_at for reader in readers):
        return "acked"
    told = sum(bool(reader.delivered_at or reader.read_at or reader.acked_at) for reader in readers)
    if len(readers) == 1:
        return "yes" if told else "no"
    return f"{told} of {len(readers)}"


def _body(message: Message) -> str:
    marks = [word for word, there in (("directive:", message.directive), ("urgent:", message.urgent)) if there]
    return _line(" ".join([*marks, message.body]))


def _age(then: datetime, now: datetime) -> str:
    return span(now - then)


def _newest(then: datetime) -> float:
    return -then.timestamp()


def _some(number: int) -> str:
    return str(number) if number else ""


def _counted(words: Any) -> str:
    found: dict[str, int] = {}
    for each in words:
        found[each] = found.get(each, 0) + 1
    return _parts(*((count, each) for each, count in found.items()))


def _parts(*found: tuple[int, str]) -> str:
    return " · ".join(f"{count} {what}" for count, what in found if count)


# ---------------------------------------------------------------- agents
class AgentHere(NamedTuple):
    """An agent with what it is at."""

    presence: Presence
    edit: Line | None
    task: str
    locks: int


def _agents(seen: Survey, _events: Sequence[Event]) -> list[Row]:
    titles = {one.task.id: one.task.title for one in seen.tasks}
    working = {one.task.owner: one.task.title for one in seen.tasks if one.task.status == "in_progress"}
    held: dict[str, int] = {}
    for one in seen.locks:
        held[one.lock.holder] = held.get(one.lock.holder, 0) + 1
    rows = []
    for presence in seen.agents:
        agent = presence.agent
        task = titles.get(agent.task or "", "") or working.get(agent.id, "")
        here = AgentHere(presence, seen.edits.get(agent.id), task, held.get(agent.id, 0))
        rows.append(Row(agent.id, here))
    return sorted(rows, key=lambda row: (_LIVELY.get(row.item.presence.status, 9), row.item.presence.agent.name))


_LIVELY = {"active": 0, "idle": 1, "stale": 2, "offline": 3, "dead": 4}
_STATUS_TONE = {"active": "good", "idle": "calm", "stale": "warn", "offline": "dim", "dead": "bad"}

AGENTS = View(
    "agents",
    "Agents",
    (
        Column("AGENT", 13, lambda a, _: _name(a.presence.agent), lambda a: a.presence.agent.name.casefold(), grows=2),
        Column(
            "STATUS",
            7,
            lambda a, _: a.presence.status,
            lambda a: _LIVELY.get(a.presence.status, 9),
            tone=lambda a: _STATUS_TONE.get(a.presence.status, ""),
        ),
        Column("CLIENT", 8, lambda a, _: _line(a.presence.agent.client), lambda a: a.presence.agent.client),
        Column("BRANCH", 9, lambda a, _: _branch(a.presence), lambda a: _branch(a.presence), grows=1, tail=True),
        Column("TASK", 11, lambda a, _: _line(a.task), lambda a: (not a.task, a.task), grows=4),
        Column("FILE", 11, lambda a, _: _file(a), lambda a: (not a.edit, _file(a)), grows=4, tail=True),
        Column("LOCKS", 5, lambda a, _: str(a.locks or ""), lambda a: -a.locks, rank=1),
        Column(
            "SEEN",
            6,
            lambda a, now: _age(a.presence.agent.last_seen, now),
            lambda a: _newest(a.presence.agent.last_seen),
        ),
    ),
    _agents,
    "Nobody is here. Agents come by themselves once `agent-sync install` has set up their hooks.",
    lambda rows: _counted(row.item.presence.status for row in rows),
)


# ---------------------------------------------------------------- locks
class LockHere(NamedTuple):
    """A lock with those who wait for it."""

    held: Held
    waiters: tuple[Waiter, ...]


def _locks(seen: Survey, _events: Sequence[Event]) -> list[Row]:
    wanted = [(target_from(one), waiter) for waiter in seen.waiting for one in waiter.targets]
    rows = []
    for held in seen.locks:
        lock = held.lock
        waiters: tuple[Waiter, ...] = ()
        if wanted:
            target = target_of(lock)
            waiters = tuple(dict.fromkeys(waiter for goal, waiter in wanted if overlap(goal, target)))
        rows.append(Row(f"{lock.worktree or ''}:{lock.path}:{lock.holder}", LockHere(held, waiters)))
    return rows


LOCKS = View(
    "locks",
    "Locks",
    (
        Column(
            "PATH", 22, lambda one, _: _line(one.held.lock.path), lambda one: one.held.lock.path, grows=4, tail=True
        ),
        Column(
            "HOLDER", 13, lambda one, _: _holder(one.held), lambda one: one.held.lock.holder_name.casefold(), grows=1
        ),
        Column("KIND", 9, lambda one, _: _kind(one.held), lambda one: _kind(one.held), rank=2),
        Column(
            "REASON",
            9,
            lambda one, _: _line(one.held.lock.reason or ""),
            lambda one: one.held.lock.reason or "",
            grows=4,
        ),
        Column(
            "AGE",
            6,
            lambda one, now: _age(one.held.lock.acquired_at, now),
            lambda one: _newest(one.held.lock.acquired_at),
        ),
        Column(
            "LEFT",
            7,
            lambda one, now: _left(one.held, now),
            lambda one: one.held.until.timestamp(),
            tone=lambda one: "" if one.held.live else "bad",
        ),
        Column(
            "WAITING",
            7,
            lambda one, _: _some(len(one.waiters)),
            lambda one: -len(one.waiters),
            tone=lambda _: "warn",
        ),
    ),
    _locks,
    "Nothing is locked. Edits of hooked agents lock their files by themselves, once there are two of them.",
    lambda rows: _parts(
        (sum(row.item.held.live for row in rows), "held"),
        (sum(not row.item.held.live for row in rows), "free to take"),
        (sum(bool(row.item.waiters) for row in rows), "waited for"),
    ),
)


# ---------------------------------------------------------------- tasks
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
        Column("TITLE", 20, lambda one, _: _line(one.task.title), lambda one: one.task.title.casefold(), grows=5),
        Column("PRI", 3, lambda one, _: str(one.task.priority or ""), lambda one: -one.task.priority, rank=1),
        Column(
            "OWNER",
            13,
            lambda one, _: _line(one.task.owner_name or ""),
            lambda one: (not one.task.owner, one.task.owner_name or ""),
            grows=1,
        ),
        Column("WHY", 10, lambda one, _: _why(one), _why, grows=3, tone=lambda _: "dim"),
        Column("AGE", 6, lambda one, now: _age(one.task.updated_at, now), lambda one: _newest(one.task.updated_at)),
    ),
    _tasks,
    "No tasks. Press n to make one; agents take the best with `agent-sync claim-next`.",
    lambda rows: _counted(word(row.item) for row in rows),
)


# ---------------------------------------------------------------- mail, decisions, feed
def _mail(seen: Survey, _events: Sequence[Event]) -> list[Row]:
    known = {message.id for message in seen.messages}
    notices = [message for message in seen.inbox if message.id not in known]
    found = sorted((*seen.messages, *notices), key=lambda message: message.created_at, reverse=True)
    return [Row(message.id, message) for message in found]


MAIL = View(
    "mail",
    "Mail",
    (
        Column("AGE", 6, lambda m, now: _age(m.created_at, now), lambda m: _newest(m.created_at)),
        Column("FROM", 12, lambda m, _: _line(m.sender_name), lambda m: m.sender_name.casefold(), grows=1),
        Column("TO", 12, lambda m, _: _to(m), _to, grows=1),
        Column("KNOWN", 7, lambda m, _: _known(m), _known, tone=lambda m: "dim" if _is_known(m) else "warn"),
        Column("MESSAGE", 24, lambda m, _: _body(m), lambda m: m.body.casefold(), grows=8),
    ),
    _mail,
    "No mail. Press m to write to an agent, D to tell all of them something.",
    lambda rows: _parts((sum(not _is_known(row.item) for row in rows), "not yet known to all")),
)


def _decisions(seen: Survey, _events: Sequence[Event]) -> list[Row]:
    gone = {one.supersedes for one in seen.decisions}
    return [Row(one.id, Settled(one, one.id not in gone)) for one in reversed(seen.decisions)]


class Settled(NamedTuple):
    """A decision, and whether it still holds."""

    decision: Decision
    holds: bool


DECISIONS = View(
    "decisions",
    "Decisions",
    (
        Column(
            "ID", 7, lambda one, _: one.decision.id, lambda one: _newest(one.decision.created_at), tone=lambda _: "dim"
        ),
        Column(
            "AGE", 6, lambda one, now: _age(one.decision.created_at, now), lambda one: _newest(one.decision.created_at)
        ),
        Column(
            "BY", 12, lambda one, _: _line(one.decision.by_name), lambda one: one.decision.by_name.casefold(), grows=1
        ),
        Column(
            "HOLDS",
            5,
            lambda one, _: "yes" if one.holds else "no",
            lambda one: not one.holds,
            tone=lambda one: "good" if one.holds else "dim",
        ),
        Column(
            "DECISION", 30, lambda one, _: _line(one.decision.text), lambda one: one.decision.text.casefold(), grows=8
        ),
    ),
    _decisions,
    "Nothing is decided. Press o to settle something for everybody.",
    lambda rows: _parts((sum(row.item.holds for row in rows), "hold")),
)

_VERB_TONE = {
    "takeover": "bad",
    "force-unlock": "bad",
    "breach": "bad",
    "block-task": "warn",
    "wait": "warn",
    "request": "warn",
    "decision": "accent",
    "send": "accent",
    "register": "good",
    "complete-task": "good",
}


def tone_of(event: Event) -> str:
    """How an event looks."""
    return _VERB_TONE.get(event.verb, "")


FEED = View(
    "feed",
    "Feed",
    (
        Column("REV", 6, lambda e, _: str(e.rev), lambda e: -e.rev, tone=lambda _: "dim"),
        Column("AGE", 6, lambda e, now: _age(e.at, now), lambda e: _newest(e.at)),
        Column("WHO", 13, lambda e, _: _line(e.actor), lambda e: e.actor, grows=1),
        Column("VERB", 11, lambda e, _: _line(e.verb), lambda e: e.verb, tone=tone_of),
        Column("WHAT", 30, lambda e, _: _line(e.summary), lambda e: e.summary, grows=8),
    ),
    lambda _seen, events: [Row(str(event.rev), event) for event in reversed(events)],
    "Nothing has happened yet.",
    lambda rows: f"since {rows[-1].item.at:%Y-%m-%d %H:%M} UTC" if rows else "",
)

VIEWS = (AGENTS, LOCKS, TASKS, MAIL, DECISIONS, FEED)


# ---------------------------------------------------------------- all of it
def headline(seen: Survey) -> list[str]:
    """The board in a few words."""
    open_ones = sum(one.task.status in UNFINISHED for one in seen.tasks)
    here = sum(not presence.is_gone for presence in seen.agents)
    return [
        *(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in ((here, "agent"), (len(seen.locks), "lock"))),
        f"{open_ones} open task{'' if open_ones == 1 else 's'}",
        *([f"{len(seen.waiting)} in line"] if seen.waiting else []),
        *([f"{len(seen.inbox)} for you"] if seen.inbox else []),
        f"rev {seen.revision}",
    ]


def is_frozen(seen: Survey) -> bool:
    """Whether the operator has stopped all edits."""
    return bool(freezing(seen.locks))
