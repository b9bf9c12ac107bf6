"""What a clone has seen of a board whose engine keeps nothing here by itself: the newest version, and the way back.

One file, replaced as a whole. It is a saving and a memory, never a source of truth: without it the board is read again,
and of older versions nothing is known any more. It is not synced, for a checksum tells when a power cut has left
something else.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentsync.store.files import Files

DIRECTORY = "remote.etcd"
"""In the state directory."""

SEEN = f"{DIRECTORY}/seen"

STEPS = 1000
"""Versions before the newest that are remembered."""

STEPS_BYTES = 1 << 25
"""What all of them may take."""

LARGEST = 1 << 28
"""Bytes of the file that are read."""


class Step(Struct, frozen=True, gc=False):
    """How to get back to a version from the one after it."""

    version: str
    back: dict[str, bytes | None]


class Seen(Struct, frozen=True, gc=False):
    """A version, and those before it, oldest first."""

    version: str
    files: dict[str, bytes]
    steps: list[Step] = []

    def then(self, version: str, changes: Mapping[str, bytes | None]) -> Seen:
        """This, after a change."""
        step = Step(self.version, {path: self.files.get(path) for path in changes})
        return Seen(version, changed(self.files, changes), [*self.steps, step])

    def at(self, version: str) -> dict[str, bytes] | None:
        """The files of a version; None when it is not remembered."""
        files = dict(self.files)
        if version == self.version:
            return files
        for step in reversed(self.steps):
            change(files, step.back)
            if step.version == version:
                return files
        return None


def replaced(seen: Seen | None, version: str, files: dict[str, bytes]) -> Seen:
    """What is seen when a version is all that is known of how it came about."""
    if seen is None:
        return Seen(version, files)
    changes: dict[str, bytes | None] = {path: None for path in seen.files if path not in files}
    changes |= {path: data for path, data in files.items() if seen.files.get(path) != data}
    return seen.then(version, changes)


def changed(files: Mapping[str, bytes], changes: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """Files after a change."""
    kept = dict(files)
    change(kept, changes)
    return kept


def change(files: dict[str, bytes], changes: Mapping[str, bytes | None]) -> None:
    """Change files in place."""
    for path, data in changes.items():
        files.pop(path, None)
        if data is not None:
            files[path] = data


def load(files: Files) -> Seen | None:
    """What was saved last; None when there is nothing, or nothing whole.

    Raises:
        OSError: It cannot be read.
    """
    found = files.read(SEEN, LARGEST)
    if found is None or found.data[:4] != zlib.crc32(found.data[4:]).to_bytes(4):
        return None
    try:
        return msgspec.msgpack.decode(found.data[4:], type=Seen)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # of another version of ours


def save(files: Files, seen: Seen) -> None:
    """Keep it for the next process, with as many steps back as have room.

    Raises:
        OSError: It cannot be written.
    """
    room, kept = STEPS_BYTES, []
    for step in reversed(seen.steps[-STEPS:]):
        room -= sum(len(data or b"") for data in step.back.values())
        if room < 0:
            break
        kept.append(step)
    data = msgspec.msgpack.encode(Seen(seen.version, seen.files, kept[::-1]))
    files.make_directory(DIRECTORY)
    files.replace(files.write_temp(zlib.crc32(data).to_bytes(4) + data, sync=False), SEEN)
