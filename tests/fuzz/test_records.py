"""Records and lines: what cannot be read is known for what it is, and what can be read breaks nothing that reads it."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fuzz.mutations import FIXTURES, JSON, ODD_TEXTS, damaged, fuzzed, torn
from hypothesis import example, given
from hypothesis import strategies as st
from security.stage import MEMORY, check_text
from world import World

from agentsync.core import keys
from agentsync.core.records import KINDS, Record
from agentsync.core.visible import is_visible, plain_json
from agentsync.errors import AgentSyncError, DamagedRecordError, NewerRecordError
from agentsync.ops import agents, care, decisions, edits, feed, mail, requests, status, tasks
from agentsync.ops import locks as lock_ops
from agentsync.render import messages as mail_text
from agentsync.render import queue as queue_text
from agentsync.render import status as status_text
from agentsync.render import tasks as task_text
from agentsync.render.frame import framed
from agentsync.store import activity, codec, log
from agentsync.store.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator


def _fixtures() -> Iterator[dict[str, Any]]:
    for folder in ("valid", "invalid"):
        for path in sorted((FIXTURES / folder).glob("*.json")):
            try:
                record = json.loads(path.read_bytes())
            except ValueError:
                continue  # of the invalid ones some are no JSON
            if isinstance(record, dict):
                yield record


RECORDS = list(_fixtures())

NOW = datetime.fromisoformat("2026-01-01T12:00:00+00:00")


# ---------------------------------------------------------------- the codec
@fuzzed(150)
@given(data=torn([json.dumps(record, indent=2).encode() for record in RECORDS]), kind=st.sampled_from(sorted(KINDS)))
@example(data=b'{"kind":"task","v":1e400}', kind="task")
@example(data=b'{"kind":"task","v":2,"x":' + b"[" * 100_000, kind="task")
def test_bytes_are_a_record_or_known_for_what_they_are(data: bytes, kind: str) -> None:
    for read in (lambda: codec.decode(data, KINDS[kind], "here"), lambda: codec.envelope(data)):
        try:
            found = read()
        except (DamagedRecordError, NewerRecordError):
            continue
        else:
            assert isinstance(found, (Record, codec.Envelope))
    assert codec.is_newer(data) in (True, False)


@fuzzed(150)
@given(document=damaged(RECORDS))
def test_what_was_read_can_be_written_and_read_again(document: Any) -> None:
    for kind in KINDS.values():
        try:
            record = codec.decode(json.dumps(document).encode(), kind, "here")
        except (DamagedRecordError, NewerRecordError):
            continue
        data = codec.encode(record)
        assert codec.encode(codec.decode(data, kind, "here")) == data
        assert all(char == "\n" or is_visible(char) for char in data.decode())


@fuzzed(60)
@given(document=JSON)
def test_escapes_mean_the_same(document: Any) -> None:
    data = msgspec.json.encode(document) if _fits(document) else b"{}"
    assert json.loads(plain_json(data)) == json.loads(data)
    assert all(map(is_visible, plain_json(data).decode()))


def _fits(document: Any) -> bool:
    try:
        msgspec.json.encode(document)
    except (OverflowError, UnicodeEncodeError, TypeError):
        return False
    return True


# ---------------------------------------------------------------- a board with any record on it
FOLDERS = {"agent": "agents", "lock": "locks", "task": "tasks", "decision": "decisions", "waiter": "queue"}


def place_of(document: dict[str, Any], number: int) -> str:
    """A key under which the record would be looked for."""
    kind, named = document.get("kind"), document.get("id")
    name = named if isinstance(named, str) and named.isascii() and named.isprintable() and "/" not in named else "al"
    if kind == "message":
        return f"{'messages' if number % 2 else 'inbox/al'}/{number:012}.json"
    if kind == "waiter":
        return f"queue/{number:012}-{document.get('agent')}.json".replace("/", "_").replace("queue_", "queue/")
    if kind in ("decision", "event"):
        return f"{'decisions' if kind == 'decision' else 'log'}/{number:012}.json"
    if kind == "lock" and isinstance(document.get("path"), str):
        from agentsync.core.paths import encode

        try:
            return f"locks/{encode(document['path'])}.json"
        except UnicodeEncodeError:
            return "locks/x.json"
    return f"{FOLDERS.get(str(kind), 'tasks')}/{name[:100]}.json"


@pytest.fixture(scope="module")
def worlds() -> Iterator[World]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        world = World(Path(top))
        world.agent("al").registers("Al")
        world.agent("bo").locks("src/app.py")
        yield world


def looks_at_everything(world: World) -> None:
    """All that reads records, as Al; refusals are fine, anything else is not."""
    session, now = world.agent("al").session, world.clock.now

    def shown(*lines: str) -> None:
        check_text(framed(lines), lines)

    def board() -> None:
        overview = status.overview(session)
        shown(*status_text.table(overview, now, colour=False))
        check_text(status_text.compact(overview, now), "compact")
        assert len(status_text.greeting(overview, now)) <= status_text.MAX_COMPACT

    def mailbox() -> None:
        shown(*mail_text.listing(mail.inbox(session, everything=True), "al", now, "more"))
        with mail.delivery(session, "prompt", lambda m: mail_text.size(m, "al", now), 7600) as told:
            assert len(mail_text.told(told, "al", now)) <= 8000

    for look in (
        board,
        mailbox,
        lambda: shown(*[task_text.line(seen, now) for seen in tasks.board(session)]),
        lambda: shown(*queue_text.rows(requests.listing(session), now)),
        lambda: decisions.listing(session),
        lambda: lock_ops.explain(session, "src/"),
        lambda: lock_ops.lock(session, ["fuzz.py", "src/x.py"]),
        lambda: lock_ops.unlock(session, [], everything=True),
        lambda: edits.before(session, "src/app.py"),
        lambda: edits.after(session, "src/other.py"),
        lambda: feed.events(session, 0, lambda _event: True, 0),
        lambda: feed.history(session, "src/"),
        lambda: tasks.claim_next(session, lock=True),
        lambda: mail.send(session, "all", "x"),
        lambda: agents.heartbeat(session),
        lambda: care.gc(session),
    ):
        try:
            look()
        except AgentSyncError:
            continue


@fuzzed(12)
@given(document=damaged(RECORDS, values=JSON | ODD_TEXTS))
def test_any_record_on_the_board_breaks_no_reader(worlds: World, document: Any) -> None:
    if not isinstance(document, dict):
        return
    key = place_of(document, 500)
    named = {"decision": "d-500", "waiter": "w-500", "message": "m-500"}.get(str(document.get("kind")))
    if named is not None:
        document["id"] = named  # else it is put aside at once, and nobody reads it
    path = worlds.state / key
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_text(json.dumps(document))
    except OSError:
        return
    looks_at_everything(worlds)
    path.unlink(missing_ok=True)
    for strange in (worlds.state / "agents").glob("*.json"):
        if strange.stem not in ("al", "bo"):
            strange.unlink()


# ---------------------------------------------------------------- lines
LINES = [json.dumps(record).encode() + b"\n" for record in RECORDS if record.get("kind") == "event"]
EDITS = (FIXTURES / "valid/activity.ndjson").read_bytes()


@fuzzed(40)
@given(data=torn([b"".join(LINES), EDITS]), names=st.lists(st.integers(0, 6), max_size=5))
def test_logs_and_archives_of_any_bytes_are_read_to_their_end_in_order(data: bytes, names: list[int]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        files = Files(top, "t")
        for folder in ("log", "archive", "activity", "tmp"):
            os.mkdir(f"{top}/{folder}")
        Path(top, keys.archive(1, 3)).write_bytes(data)
        for name in names:
            Path(top, keys.event(name)).write_bytes(data[name * 7 :])
        Path(top, "activity/al.ndjson").write_bytes(data)
        forwards = [event.rev for event in log.since(files, 0)]
        assert all(a < b for a, b in pairwise(forwards))
        backwards = [event.rev for event in log.backwards(files)]
        assert len(backwards) <= len(data) + 6
        assert log.head(files) <= 6
        for line in activity.read(files, "al"):
            assert isinstance(line.path, str)


@fuzzed(40)
@given(data=st.binary(max_size=200) | torn([EDITS]))
def test_activity_of_any_bytes_is_a_few_edits_at_most(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as top:
        os.mkdir(f"{top}/activity")
        Path(top, "activity/al.ndjson").write_bytes(data)
        assert len(list(activity.read(Files(top, "t"), "al"))) <= data.count(b"\n") + data.count(b"\r") + 1


# ---------------------------------------------------------------- can these tests fail?
def test_a_reader_that_trusts_a_time_is_found(worlds: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug that this campaign found first: a time near the end of the calendar, to which a lease was added."""
    from datetime import timedelta

    from agentsync.core import lease

    monkeypatch.setattr(lease, "expiry", lambda lock, *_: lock.expires_at + timedelta(seconds=lock.ttl_s))
    lock = json.loads((FIXTURES / "valid/lock-file.json").read_bytes())
    path = worlds.state / "locks/src%2Fz.py.json"
    path.write_text(json.dumps({**lock, "path": "src/z.py", "expires_at": "9999-12-31T23:59:59Z"}))
    try:
        with pytest.raises(OverflowError):
            looks_at_everything(worlds)
    finally:
        path.unlink()
