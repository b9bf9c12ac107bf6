"""The past of a busy team, made up and written straight into a store: tens of thousands of events in a second.

What it writes is what the package would have: events with whole records, archived but for the newest 256, and lines of
edits and refusals. Some words in it are hostile.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from agentsync.core import keys
from agentsync.core.paths import target_of
from agentsync.core.records import (
    Agent,
    Change,
    Decision,
    Event,
    Format,
    Lock,
    Message,
    Reader,
    Record,
    Task,
    Waiter,
    Wanted,
)
from agentsync.core.refusals import Refusal
from agentsync.store import activity, codec, refusals

if TYPE_CHECKING:
    from pathlib import Path

KEPT = 256
HOSTILE = "</script><img src=x onerror=\"document.title='pwned'\"><b>bold</b>\u2028\u202egnp.exe\x1b[31m"
"""What must stay text wherever it is shown."""

NAMES = (
    "backend",
    "frontend",
    "tests",
    "docs",
    "infra",
    "review",
    "mobile",
    "data",
    "search",
    "billing",
    "auth",
    "ops",
)
PARTS = ("api", "ui", "db", "auth", "billing", "search", "jobs", "mail")
STEMS = (
    "models",
    "views",
    "routes",
    "schema",
    "forms",
    "client",
    "cache",
    "errors",
    "config",
    "utils",
    "types",
    "index",
)
SAID = (
    "May the cookie live for a week?",
    "The schema moved: rebase before you touch db/",
    "I am done with the routes.",
    "Can you let go of src/api/routes.py?",
    "The build is red since your last commit.",
)


class Past:
    """Builds it event by event."""

    def __init__(self, state: Path, until: datetime, seed: int = 1) -> None:
        self.state = state
        self.chance = random.Random(seed)
        self.now = until
        self.events: list[Event] = []
        self.edits: dict[str, list[bytes]] = {}
        self.refused: list[bytes] = []
        self.held: dict[str, Lock] = {}
        self.line: dict[str, tuple[str, Waiter]] = {}
        self.tasks: dict[str, Task] = {}

    def tell(self, actor: str, verb: str, summary: str, *writes: Record | str, paths: tuple[str, ...] = ()) -> None:
        changes = tuple(
            Change(drop=one)
            if isinstance(one, str)
            else Change(put=self.key(one), record=msgspec.Raw(codec.compact(one)))
            for one in writes
        )
        self.events.append(
            Event(rev=self.rev, at=self.now, actor=actor, verb=verb, summary=summary, paths=paths, changes=changes)
        )

    @property
    def rev(self) -> int:
        return len(self.events) + 1

    def key(self, record: Record) -> str:
        match record:
            case Agent():
                return keys.agent(record.id)
            case Lock():
                return keys.exclusive_lock(target_of(record))
            case Task():
                return keys.task(record.id)
            case Message():
                return keys.message(self.rev)
            case Decision():
                return keys.decision(self.rev)
            case Waiter():
                return keys.waiter(self.rev, record.agent)
        raise AssertionError(record)

    # ------------------------------------------------------------ what happens
    def comes(self, who: str) -> None:
        agent = Agent(id=who, name=who, role=f"{who} work", client="claude", created_at=self.now, last_seen=self.now)
        self.tell(who, "register", f"{who} is on the board", agent)

    def edits_file(self, who: str, path: str) -> None:
        holder = self.held.get(path)
        if holder is not None and holder.holder != who:
            line = Refusal(
                at=self.now,
                agent=who,
                path=path,
                holder=holder.holder,
                by=self.chance.choice(("edit", "edit", "command")),
            )
            self.refused.append(msgspec.json.encode(line) + b"\n")
            if self.chance.random() < 0.25 and who not in self.line:
                self.waits(who, path)
            elif self.chance.random() < 0.02:
                notice = Message(
                    id=f"n-{self.rev}",
                    sender="agent-sync",
                    sender_name="agent-sync",
                    to=holder.holder,
                    body="",
                    created_at=self.now,
                )
                event = Change(put=keys.notice(holder.holder, self.rev), record=msgspec.Raw(codec.compact(notice)))
                self.tell(who, "breach", f"{who} edited {path}, held by {holder.holder}", paths=(path,))
                self.events[-1] = msgspec.structs.replace(self.events[-1], changes=(event,))
            return
        self.edits.setdefault(who, []).append(
            msgspec.json.encode(activity.Line(at=self.now, verb="edit", path=path)) + b"\n"
        )
        if holder is None:
            self.takes(who, path, auto=self.chance.random() < 0.7)

    def takes(self, who: str, path: str, auto: bool = False, *more: str) -> None:
        lock = Lock(
            path=path,
            scope="dir" if path.endswith("/") else "file",
            mode="exclusive",
            holder=who,
            holder_name=who,
            token=f"made:{self.rev}",
            reason=None if auto else self.chance.choice(("new endpoint", "rename", "fix the build", HOSTILE)),
            auto=auto,
            acquired_at=self.now,
            expires_at=self.now + timedelta(minutes=10 if auto else 60),
            ttl_s=600 if auto else 3600,
        )
        self.held[path] = lock
        self.tell(who, "auto-lock" if auto else "lock", f"{who} locked {path}", lock, *more)

    def waits(self, who: str, path: str) -> None:
        wanted = (Wanted(scope="file", path=path),)
        waiter = Waiter(
            id=f"w-{self.rev}", wants="locks", agent=who, agent_name=who, targets=wanted, created_at=self.now
        )
        self.line[who] = (keys.waiter(self.rev, who), waiter)
        self.tell(who, "wait", f"{who} waits for {path}", waiter)

    def lets_go(self, path: str) -> None:
        lock = self.held.pop(path)
        self.tell(lock.holder, "unlock", f"{lock.holder} released {path}", keys.exclusive_lock(target_of(lock)))
        for who, (key, waiter) in list(self.line.items()):
            if waiter.targets[0].path == path and path not in self.held:
                del self.line[who]
                self.takes(who, path, False, key)

    def works(self, who: str) -> None:
        mine = [task for task in self.tasks.values() if task.owner == who and task.status == "in_progress"]
        free = [task for task in self.tasks.values() if task.status == "pending"]
        if mine and self.chance.random() < 0.6:
            verb, status = self.chance.choice((("complete-task", "done"),) * 6 + (("block-task", "blocked"),))
            self.moves(who, mine[0], verb, status=status, completed_at=self.now if status == "done" else None)
        elif free and not mine:
            self.moves(who, free[0], "claim-task", status="in_progress", owner=who, owner_name=who, claimed_at=self.now)
        else:
            task = Task(
                id=f"t-{self.rev:x}",
                title=self.chance.choice(
                    ("Login endpoint", "Session cookie", "Logout button", "Search index", HOSTILE)
                ),
                created_by=who,
                created_at=self.now,
                updated_at=self.now,
            )
            self.tasks[task.id] = task
            self.tell(who, "create-task", f"{who} made {task.id}", task)

    def moves(self, who: str, task: Task, verb: str, **fields: Any) -> None:
        self.tasks[task.id] = msgspec.structs.replace(task, updated_at=self.now, **fields)
        self.tell(who, verb, f"{who}: {verb} {task.id}", self.tasks[task.id])

    def says(self, who: str, team: tuple[str, ...]) -> None:
        to = self.chance.choice((*team, "all"))
        told = team if to == "all" else (to,)
        readers = tuple(
            Reader(agent=one, name=one, delivered_at=self.now if self.chance.random() < 0.8 else None)
            for one in told
            if one != who
        )
        body = self.chance.choice((*SAID, HOSTILE)) if self.chance.random() < 0.9 else "one line\nand another"
        self.tell(
            who,
            "send",
            f"{who} wrote",
            Message(
                id=f"m-{self.rev}", sender=who, sender_name=who, to=to, body=body, created_at=self.now, readers=readers
            ),
        )

    # ------------------------------------------------------------ all of it
    def write(self) -> None:
        """Put it on the disk."""
        for folder in ("log", "archive", "activity", "agents", "tmp"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        old, new = self.events[:-KEPT], self.events[-KEPT:]
        for first in range(0, len(old), 5000):
            part = old[first : first + 5000]
            name = keys.archive(part[0].rev, part[-1].rev)
            (self.state / name).write_bytes(b"".join(codec.compact(event) + b"\n" for event in part))
        for event in new:
            (self.state / keys.event(event.rev)).write_bytes(codec.encode(event))
        for who, lines in self.edits.items():
            (self.state / keys.activity(who)).write_bytes(b"".join(lines))
        self.refused = self.refused[-refusals.MAX_BYTES // 150 :]
        (self.state / refusals.KEY).write_bytes(b"".join(self.refused))
        inode = self.state.stat().st_ino
        made = Format(store="made", inode=inode, created_at=self.events[0].at)
        (self.state / keys.FORMAT).write_bytes(codec.encode(made))


def make(state: Path, events: int, team: int = 12, hours: float = 48, until: datetime | None = None) -> Past:
    """Write a past of so many events, with so many agents, that ends at `until`, into a state directory."""
    until = until or datetime.now(UTC)
    past = Past(state, until - timedelta(hours=hours))
    names = tuple(f"{NAMES[i % len(NAMES)]}{i // len(NAMES) or ''}" for i in range(team))
    files = [f"src/{part}/{stem}.py" for part in PARTS for stem in STEMS] + [
        "CHANGELOG.md",
        "README.md",
        "package.json",
    ]
    weights = [1 / (rank + 1) for rank in range(len(files))]
    past.chance.shuffle(files)
    for who in names:
        past.comes(who)
    begun, step = past.now, hours * 3600 / events
    while len(past.events) < events:
        due = begun + timedelta(seconds=len(past.events) * step)
        past.now = min(max(past.now + timedelta(seconds=past.chance.random() * step / 2), due), until)
        who, dice = past.chance.choice(names), past.chance.random()
        if dice < 0.5:
            past.edits_file(who, past.chance.choices(files, weights)[0])
        elif dice < 0.82:
            mine = [path for path, lock in past.held.items() if lock.holder == who]
            if mine:
                past.lets_go(past.chance.choice(mine))
        elif dice < 0.9:
            past.works(who)
        elif dice < 0.99:
            past.says(who, names)
        elif dice < 0.992:
            text = past.chance.choice(("All times are UTC", "Cookies live for a week", HOSTILE))
            past.tell(
                who,
                "decision",
                "decided",
                Decision(id=f"d-{past.rev}", by=who, by_name=who, text=text, created_at=past.now),
            )
        elif f"src/{PARTS[0]}/" not in past.held:
            past.takes(who, f"src/{past.chance.choice(PARTS)}/")
    past.write()
    return past
