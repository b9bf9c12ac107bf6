"""Records to bytes and back.

Encoding is two-space indented JSON with `kind` and `v` first. Decoding tells four cases apart, because they need
different care: fine; written by a newer version (readable as far as we know it, never rewritten); void (empty or NULs:
normal after a power cut); damaged.
"""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast

import msgspec

from agentsync.core.records import VERSION, Event, Record
from agentsync.core.visible import plain_json
from agentsync.errors import DamagedRecordError, NewerRecordError, UsageError

R = TypeVar("R", bound=Record)


class Envelope(msgspec.Struct, gc=False):
    """What can be read of any record, whatever its kind and version."""

    kind: str
    v: int = VERSION


_encoder = msgspec.json.Encoder()


@cache
def _decoder(kind: type[Record]) -> msgspec.json.Decoder[Record]:
    return msgspec.json.Decoder(kind)


def encode(record: Record) -> bytes:
    """The file content of a record."""
    return pretty(compact(record))


def compact(record: Record) -> bytes:
    """The same in one line, as it stands inside an event.

    Raises:
        UsageError: A text in it is not Unicode (bytes of a name that are not UTF-8).
    """
    try:
        return _encoder.encode(record)
    except UnicodeEncodeError as error:
        raise UsageError(f"not a text: {error.object[:60]!r}", "it cannot be written as UTF-8") from None


def pretty(data: bytes) -> bytes:
    """Two-space indented JSON that ends in a newline, harmless for whoever looks at it with `cat`."""
    return plain_json(msgspec.json.format(data, indent=2)) + b"\n"


def decode(data: bytes, kind: type[R], where: str) -> R:
    """Read a record of a known kind.

    Args:
        data: The file's content.
        kind: The class expected.
        where: The key, for messages.

    Raises:
        NewerRecordError: A newer version wrote it, in a way that we cannot read.
        DamagedRecordError: It is void or not a record of this kind.
    """
    try:
        found = _decoder(kind).decode(data)
        if kind is Event and not data.isascii():
            data.decode("utf-8")  # the records in it are kept as they are, so nobody has looked at them yet
        return cast("R", found)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if is_newer(data):
            raise NewerRecordError(f"{where} was written by a newer agent-sync", "upgrade this one") from None
        what = "is empty" if not data.strip(b"\0 \n") else f"cannot be read ({error})"
        raise DamagedRecordError(f"{where} {what}", "agent-sync doctor tells more") from None


def envelope(data: bytes, where: str = "record") -> Envelope:
    """Kind and version of any record.

    Raises:
        DamagedRecordError: It has none.
    """
    try:
        return _envelope_decoder().decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedRecordError(f"{where} cannot be read ({error})", "agent-sync doctor tells more") from None


def is_newer(data: bytes) -> bool:
    """Whether a record was written by a newer version than ours."""
    try:
        return _envelope_decoder().decode(data).v > VERSION
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


@cache
def _envelope_decoder() -> msgspec.json.Decoder[Envelope]:
    return msgspec.json.Decoder(Envelope)
