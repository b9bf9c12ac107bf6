"""The locks and who waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agentsync.console.table import Column, Made, Row, View, age, line, newest, parts, some
from agentsync.core.paths import overlap, target_of
from agentsync.core.queue import target_from
from agentsync.render.locks import machine, reach
from agentsync.render.times import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.lease import Held
    from agentsync.core.records import Event, Waiter
    from agentsync.ops.survey import Survey


def _kind(held: Held) -> str:
    lock = held.lock
    words = [lock.scope if lock.scope != "file" else "", "shared" if lock.mode == "shared" else ""]
    words += [
        "edit" if lock.auto else "",
        reach(lock) or (f"[{lock.worktree}]" if lock.worktree else ""),
    ]
    return line(" ".join(word for word in words if word))


def _holder(held: Held) -> str:
    return line(held.lock.holder_name + machine(held))


def _left(held: Held, now: datetime) -> str:
    if not held.live:
        return "free"
    return "process" if held.lock.process is not None else span(held.until - now)


class LockHere(NamedTuple):
    """A lock with those who wait for it."""

    held: Held
    waiters: tuple[Waiter, ...]


def _locks(seen: Survey, _events: Sequence[Event]) -> Sequence[Row]:
    wanted = [(target_from(one), waiter) for waiter in seen.waiting for one in waiter.targets]

    def row(held: Held) -> Row:
        lock, target = held.lock, target_of(held.lock)
        waiters = dict.fromkeys(waiter for goal, waiter in wanted if overlap(goal, target))
        return Row(f"{lock.worktree or ''}:{lock.path}:{lock.holder}", LockHere(held, tuple(waiters)))

    return Made(seen.locks, row)


LOCKS = View(
    "locks",
    "Locks",
    (
        Column("PATH", 22, lambda one, _: line(one.held.lock.path), lambda one: one.held.lock.path, grows=4, tail=True),
        Column("HOLDER", 13, lambda one, _: _holder(one.held), lambda one: one.held.lock.holder_name, grows=1),
        Column("KIND", 9, lambda one, _: _kind(one.held), lambda one: _kind(one.held), rank=2),
        Column(
            "REASON",
            9,
            lambda one, _: line(one.held.lock.reason or ""),
            lambda one: one.held.lock.reason or "",
            grows=4,
        ),
        Column(
            "AGE",
            6,
            lambda one, now: age(one.held.lock.acquired_at, now),
            lambda one: newest(one.held.lock.acquired_at),
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
            lambda one, _: some(len(one.waiters)),
            lambda one: -len(one.waiters),
            tone=lambda _: "warn",
        ),
    ),
    _locks,
    "Nothing is locked. Edits of hooked agents lock their files by themselves, once there are two of them.",
    lambda seen, _: parts(
        (sum(held.live for held in seen.locks), "held"),
        (sum(not held.live for held in seen.locks), "free to take"),
        (len(seen.waiting), "in line"),
    ),
    lambda one: one.held.lock.holder,
)
