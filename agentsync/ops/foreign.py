"""`import --from-sqlite`: the tables of another agent-sync's database, read and never written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agentsync.core.foreign import TABLES, Found
from agentsync.core.transfer import Bundle, belongs
from agentsync.errors import AgentSyncError, UsageError
from agentsync.store import codec

if TYPE_CHECKING:
    from agentsync.core.records import Record
    from agentsync.ops.session import Session


def bundle(session: Session, path: str) -> Bundle:
    """What such a database holds, as far as it is understood.

    Args:
        session: Who asks.
        path: Absolute, or relative to the working directory.

    Raises:
        UsageError: It is no database, or not one of an agent-sync.
    """
    import hashlib

    tables, left_out = _read(os.path.join(session.runtime.cwd, path), path)
    found = Found(tables, session.runtime.now())
    left_out |= found.left_out
    records: dict[str, Record] = {}
    for key, record in found.records.items():
        try:
            codec.decode(codec.compact(record), type(record), key)  # values may be anything
        except AgentSyncError:
            left_out["rows that make no record"] = left_out.get("rows that make no record", 0) + 1
            continue
        if belongs(key, record):
            records[key] = record
    mark = hashlib.sha256(repr(sorted(tables.items())).encode("utf-8", "replace")).hexdigest()[:16]
    return Bundle(
        mark=f"sqlite:{mark}", revision=found.revision, records=records, events=found.events, left_out=left_out
    )


def _read(real: str, path: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
    import sqlite3  # 8 ms

    if not os.path.isfile(real):
        raise UsageError(f"there is no file {path[:200]!r}", "name the database of the other agent-sync")
    connection = None
    try:
        connection = sqlite3.connect(f"file:{quote(real)}?mode=ro", uri=True)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        names = [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        known = {name.lower(): name for name in names if name.lower() in TABLES}
        tables = {table: _rows(connection, name) for table, name in known.items()}
    except sqlite3.Error as error:
        raise UsageError(f"{path[:200]!r} cannot be read: {error}", "name an SQLite database") from None
    finally:
        if connection is not None:
            connection.close()
    if not {"agents", "tasks", "messages", "decisions"}.intersection(tables):
        raise UsageError(f"{path[:200]!r} has no table of an agent-sync", f"it should have some of {', '.join(TABLES)}")
    others = (name for name in names if name.lower() not in TABLES and not name.startswith("sqlite_"))
    return tables, {f"table that is not known: {name[:60]}": 1 for name in others}


def _rows(connection: Any, name: str) -> list[dict[str, Any]]:
    quoted = name.replace('"', '""')
    cursor = connection.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 # an identifier, quoted as one
    columns = [str(column[0]).lower() for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor]
