"""`metrics`: what a monitoring system wants to know about a board, read from the files as they are now."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, get_args

from agentsync import __version__
from agentsync.core.lease import Status
from agentsync.core.metrics import AGES, PREFIX, Family, Sample, bucket, counted, counter, gauge
from agentsync.core.records import Progress
from agentsync.core.refusals import By
from agentsync.ops import care
from agentsync.store import inspect, log, refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.ops.session import Session

WANTS = ("locks", "task", "release")

RECENT = timedelta(hours=1)
"""How far back refusals are counted: older ones are not all kept, so that they could only be counted wrongly."""


def measure(session: Session) -> list[Family]:
    """All numbers, in an order that does not change."""
    return [
        Family(f"{PREFIX}info", "gauge", "The version that measured.", (Sample(1, {"version": __version__}),)),
        *_board(session),
        *_history(session),
        *_store(session),
    ]


def _board(session: Session) -> Iterator[Family]:
    state = session.store.state()
    now, locks = state.now, [held for held in state.locks() if held.live]
    agents = [presence.status for presence in state.presences()]
    yield counted("agents", "Agents on the board.", "status", agents, get_args(Status))
    ages = [bucket(held.lock.acquired_at, now) for held in locks]
    yield counted("locks", "Locks that bind, by the time since they were taken.", "age", ages, [n for _, n in AGES])
    queue = [w for key, w in state.queue() if w.wants == "release" or state.is_there(key, w)]
    wants = [waiter.wants for waiter in queue]
    yield counted("queue_depth", "Who stands in line, or asked a holder to let go.", "wants", wants, WANTS)
    longest = max((now - waiter.created_at for waiter in queue if waiter.wants != "release"), default=timedelta(0))
    yield gauge("longest_wait_seconds", "How long the first in line has waited.", longest.total_seconds())
    tasks = [task.status for task in state.tasks()]
    yield counted("tasks", "Tasks in the directory.", "status", tasks, get_args(Progress))
    pending = sum(len(state.inbox_keys(agent)) for agent in state.inboxes())
    yield gauge("messages_pending", "Messages and notices that their readers were not told yet.", pending)
    recent = [refusal.by for refusal in refusals.read(session.store.files) if now - refusal.at < RECENT]
    yield counted("refusals_last_hour", "Refusals in the last hour.", "by", recent, get_args(By))


def _history(session: Session) -> Iterator[Family]:
    verbs = [event.verb for event in log.since(session.store.files, 0) if event.changes]
    yield gauge("revision", "The newest revision of the log.", session.store.revision())
    yield counter("waits", "Times that somebody stood in line, as far as the log goes back.", verbs.count("wait"))
    about = "Changes of a file that somebody else held, as far as the log goes back."
    yield counter("breaches", about, verbs.count("breach"))


def _store(session: Session) -> Iterator[Family]:
    store = session.store
    files, size = inspect.size(store)
    yield gauge("store_files", "Files in the state directory.", files)
    yield gauge("store_size_bytes", "Bytes in the files of the state directory.", size)
    compacted = inspect.last_compaction(store)
    yield gauge("last_compaction_timestamp_seconds", "When the log was compacted last.", compacted)
    yield gauge("damaged_records", "Records that cannot be read.", len(inspect.damaged_records(store)))
    yield gauge("quarantined_files", "Damaged files that were put aside.", len(inspect.quarantined(store)))
    failures = len(inspect.failures(store, care.FAILURES, hours=24))
    yield gauge("hook_failures_last_day", "Hooks that failed open in the last day.", failures)
