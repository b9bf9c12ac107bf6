"""Bytes to records and back: what is read, what is only tolerated, what is damaged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from world import NOON, World

from agentsync.core.records import KINDS, VERSION, Agent, Lock
from agentsync.errors import DamagedRecordError, NewerRecordError, UnusableError
from agentsync.store import codec, log
from agentsync.store.files import MAX_RECORD

if TYPE_CHECKING:
    from pathlib import Path

AGENT = Agent(id="alice", name="alice", created_at=NOON, last_seen=NOON)
LOCK = Lock(
    path="src/app.py",
    scope="file",
    mode="exclusive",
    holder="alice",
    holder_name="alice",
    token="store:1",
    acquired_at=NOON,
    expires_at=NOON,
    ttl_s=60,
)


def edited(record: Agent | Lock, **fields: object) -> bytes:
    """A record's file with some fields changed or added."""
    return json.dumps({**json.loads(codec.encode(record)), **fields}).encode()


# ---------------------------------------------------------------- writing
def test_a_record_is_indented_json_that_begins_with_kind_and_version() -> None:
    text = codec.encode(LOCK).decode()
    assert text.startswith('{\n  "kind": "lock",\n  "v": 1,\n')
    assert text.endswith("}\n")


def test_every_field_is_written_whether_it_says_something_or_not() -> None:
    assert set(json.loads(codec.encode(AGENT))) == {"kind", *AGENT.__struct_fields__}


@pytest.mark.parametrize("record", [AGENT, LOCK])
def test_what_was_written_reads_back_the_same(record: Agent | Lock) -> None:
    assert codec.decode(codec.encode(record), type(record), "a record") == record
    assert codec.decode(codec.compact(record), type(record), "a record") == record


def test_a_time_is_written_in_utc_as_rfc_3339() -> None:
    assert json.loads(codec.encode(AGENT))["created_at"] == "2030-01-01T12:00:00Z"


# ---------------------------------------------------------------- other versions
def test_unknown_fields_are_ignored() -> None:
    data = edited(LOCK, colour="green", nested={"a": [1, 2]})
    assert codec.decode(data, Lock, "locks/x.json") == LOCK


def test_a_newer_version_that_we_can_read_is_read() -> None:
    newer = codec.decode(edited(LOCK, v=VERSION + 1, colour="green"), Lock, "locks/x.json")
    assert newer.v == VERSION + 1
    assert newer.path == "src/app.py"


def test_a_newer_version_that_we_cannot_read_is_told_apart_from_damage() -> None:
    with pytest.raises(NewerRecordError, match=r"locks/x\.json was written by a newer"):
        codec.decode(edited(LOCK, v=VERSION + 1, scope="galaxy"), Lock, "locks/x.json")


def test_a_kind_that_only_a_newer_version_knows_is_not_damage() -> None:
    with pytest.raises(NewerRecordError):
        codec.decode(edited(LOCK, v=VERSION + 1, kind="lease"), Lock, "locks/x.json")


def test_an_unknown_kind_of_our_own_version_is_damage() -> None:
    with pytest.raises(DamagedRecordError, match="lease"):
        codec.decode(edited(LOCK, kind="lease"), Lock, "locks/x.json")


def test_a_record_of_another_kind_is_damage() -> None:
    with pytest.raises(DamagedRecordError):
        codec.decode(codec.encode(AGENT), Lock, "locks/x.json")


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.5])
def test_a_version_that_cannot_be_is_damage(version: object) -> None:
    with pytest.raises(DamagedRecordError):
        codec.decode(edited(LOCK, v=version), Lock, "locks/x.json")


# ---------------------------------------------------------------- damage
@pytest.mark.parametrize("data", [b"", b"\n", b"\0" * 4096, b" \0\n"], ids=["empty", "newline", "NULs", "mixed"])
def test_what_a_power_cut_leaves_is_called_empty(data: bytes) -> None:
    with pytest.raises(DamagedRecordError, match=r"locks/x\.json is empty"):
        codec.decode(data, Lock, "locks/x.json")


DAMAGED = {
    "torn": codec.encode(LOCK)[:100],
    "not JSON": b"hello",
    "not an object": b'["lock"]',
    "not UTF-8": codec.encode(LOCK).replace(b"alice", b"al\xff\xfee"),
    "a lone surrogate": edited(LOCK).replace(b"alice", b"\\ud800"),
    "a field of another type": edited(LOCK, ttl_s="60"),
    "a time to live of nothing": edited(LOCK, ttl_s=0),
    "a time without a zone": edited(LOCK, acquired_at="2030-01-01T12:00:00"),
    "an id that is a path": edited(LOCK, holder="../alice"),
    "a number of ten thousand digits": edited(LOCK).replace(b": 60", b": " + b"9" * 10_000),
    "twice": codec.encode(LOCK) * 2,
    "deep nesting": b'{"kind":"lock","v":1,"x":' + b"[" * 200_000,
    "deep nesting of a newer version": b'{"kind":"lock","v":2,"x":' + b"[" * 200_000,
    "nothing but nesting": b"[" * 200_000,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_whatever_is_in_the_file_is_read_or_called_damaged(data: bytes) -> None:
    with pytest.raises(DamagedRecordError, match=r"locks/x\.json"):
        codec.decode(data, Lock, "locks/x.json")
    with pytest.raises(DamagedRecordError):
        codec.decode(data, Agent, "agents/x.json")


def test_every_prefix_of_a_record_is_damage() -> None:
    """A torn write, wherever it was torn."""
    data = codec.encode(LOCK).rstrip()
    for length in range(len(data)):
        with pytest.raises(DamagedRecordError):
            codec.decode(data[:length], Lock, "locks/x.json")


def test_the_kinds_by_name_are_those_that_the_records_carry() -> None:
    for name, kind in KINDS.items():
        assert kind.__struct_config__.tag == name


# ---------------------------------------------------------------- in the store
def test_a_newer_lock_holds_although_it_has_fields_that_we_do_not_know(world: World) -> None:
    world.agent("alice").locks("src/app.py")
    file = _raise_version(world.state / "locks/src%2Fapp.py.json", colour="green")
    assert world.agent("bob").is_refused("src/app.py")
    assert json.loads(file.read_bytes())["colour"] == "green"


@pytest.mark.parametrize("strange", [{"colour": "green"}, {"scope": "galaxy"}], ids=["readable", "unreadable"])
def test_a_newer_record_is_never_rewritten(strange: dict[str, object], world: World) -> None:
    alice = world.agent("alice")
    alice.locks("src/app.py")
    file = _raise_version(world.state / "locks/src%2Fapp.py.json", **strange)
    before = file.read_bytes()
    with pytest.raises(NewerRecordError, match="newer agent-sync"):
        alice.locks("src/app.py")
    with pytest.raises(NewerRecordError):
        world.agent("bob").locks("src/app.py", "docs/") if "scope" in strange else alice.unlocks("src/app.py")
    assert file.read_bytes() == before
    file.unlink()  # the world's own check cannot read it either


def test_a_newer_lock_that_we_cannot_read_still_refuses_edits_of_its_path(world: World) -> None:
    """Whoever cannot read a record must not read it as 'free'."""
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/")
    bob.registers()
    file = _raise_version(world.state / "locks/src%2F.json", scope="galaxy")
    try:
        with pytest.raises(NewerRecordError):
            bob.locks("src/app.py")
    finally:
        bob.unlocks("src/app.py")
        file.unlink()


def test_a_record_beyond_a_megabyte_is_not_read(world: World) -> None:
    alice = world.agent("alice")
    alice.registers()
    files = alice.session.store.files
    (world.state / "locks/big.json").write_bytes(b" " * MAX_RECORD)
    assert files.read("locks/big.json") is not None
    (world.state / "locks/big.json").write_bytes(b" " * (MAX_RECORD + 1))
    with pytest.raises(UnusableError, match=r"locks/big\.json has 1048577 bytes"):
        files.read("locks/big.json")
    (world.state / "locks/big.json").unlink()


def test_an_event_with_a_record_that_is_no_text_is_damaged_and_the_feed_goes_on(world: World) -> None:
    """The records in an event are kept as bytes; whoever prints them needs text."""
    alice = world.agent("alice")
    alice.locks("a.py")
    alice.locks("b.py")
    file = world.state / "log/000000000002.json"
    before = file.read_bytes()
    file.write_bytes(before.replace(b'"reason": null', b'"reason": "\x80"'))
    assert [event.rev for event in log.since(alice.session.store.files, 0)] == [1, 3]
    file.write_bytes(before)


def _raise_version(file: Path, **fields: object) -> Path:
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "v": VERSION + 1, **fields}))
    return file
