"""What must be true of any state directory at any time, whoever crashed in it."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import msgspec

from agentsync.core.locks import conflicting
from agentsync.core.records import KINDS, Event, Lock, Record
from agentsync.store import codec

REPLAYED = ("agents/", "locks/", "inbox/", "tasks/", "messages/", "decisions/", "queue/", "installed/", "remote/")
"""Where the records are that only transactions write, so that the log must explain every one of them."""


def records(state: Path) -> dict[str, Record]:
    """Every record outside quarantine and tmp, decoded."""
    found: dict[str, Record] = {}
    for path in sorted(state.rglob("*.json")):
        key = path.relative_to(state).as_posix()
        if key.startswith(("quarantine/", "tmp/")):
            continue
        data = path.read_bytes()
        kind = codec.envelope(data, key).kind
        found[key] = codec.decode(data, KINDS[kind], key)
    return found


def check_store(state: Path) -> None:
    """Every record decodes, the log is dense, and no two locks of different holders conflict."""
    if not state.exists():
        return
    found = records(state)
    revisions = sorted(int(key[4:16]) for key in found if key.startswith("log/"))
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions))) if revisions else True
    locks = [record for record in found.values() if isinstance(record, Lock)]
    for a, b in combinations(locks, 2):
        assert not conflicting(a, b), f"{a.path} of {a.holder} against {b.path} of {b.holder}"


def history(state: Path) -> list[Event]:
    """Every event there ever was, oldest first: archive and log have revisions 1 to head between them, and agree."""
    found: dict[int, bytes] = {}
    archived = [line for path in sorted(state.glob("archive/*.ndjson")) for line in path.read_bytes().splitlines()]
    logged = [path.read_bytes() for path in state.glob("log/*.json")]
    for data in (*archived, *logged):
        line = msgspec.json.format(data, indent=-1)
        revision = codec.decode(line, Event, "an event").rev
        assert found.setdefault(revision, line) == line, f"two different events have revision {revision}"
    revisions = sorted(found)
    assert revisions == list(range(1, len(found) + 1)), [(a, b) for a, b in pairwise([0, *revisions]) if b != a + 1]
    return [codec.decode(found[revision], Event, f"event {revision}") for revision in revisions]


def replayed(events: list[Event]) -> dict[str, Any]:
    """The records that a list of events leaves behind, as plain JSON, by key."""
    board: dict[str, Any] = {}
    for event in events:
        for change in event.changes:
            if change.put is not None:
                board[change.put] = json.loads(bytes(change.record))
            elif change.drop is not None:
                board.pop(change.drop, None)
    return board


def check_replay(state: Path) -> list[Event]:
    """No event is missing, and what is on disk is exactly what the events say. Call when no intent is left over.

    Not true of a copy, whose agents and locks are dropped without an event, nor after a quarantine.
    """
    events = history(state)
    on_disk = {
        key: json.loads(path.read_bytes())
        for path in state.rglob("*.json")
        if (key := path.relative_to(state).as_posix()).startswith(REPLAYED)
    }
    assert on_disk == replayed(events)
    return events


def plain(event: Event) -> dict[str, Any]:
    """An event as plain JSON, with the store's random id left out: for comparing runs in different stores."""
    return json.loads(re.sub(rb'("token": ?")[a-z0-9]+:', rb"\1:", codec.compact(event)))
