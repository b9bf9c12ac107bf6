"""What others hold, as it was before a command of an agent ran: `watched/<agent>/`.

No parser knows all that a command writes, so what others hold is looked at before it runs and again after. `pending`
has a line per file, there while the command runs; then it is renamed to `last`. Beside them are copies of the files,
so that there is a way back also from what git does not have.

Best effort, durability E: nothing is granted or refused by it, and readers skip what they cannot read.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

from agentsync.core.paths import encode
from agentsync.core.records import Time
from agentsync.errors import StrangeFileError
from agentsync.store.files import read_plain

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from agentsync.store.files import Files

MAX_COPY = 1 << 20
"""Bytes of a file that is copied; of a larger one only its size, its time and its inode are kept."""

MAX_COPIES = 1 << 23
"""Bytes of all copies of one agent."""


KEPT_S = 7 * 86400.0
"""Seconds that a copy is kept after a breach."""


class Sighting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file that somebody else holds, as it was."""

    at: Time
    path: str
    """As locks name it."""
    worktree: str | None = None
    real: str
    """Its absolute path."""
    holder: str
    size: int
    mtime_ns: int
    inode: int
    copy: str | None = None
    """Name of its copy, beside this file."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Sighting)


def pending(agent_id: str) -> str:
    """The key of what is watched now. The gate asks whether it is there."""
    return f"watched/{agent_id}/pending.ndjson"


def _last(agent_id: str) -> str:
    return f"watched/{agent_id}/last.ndjson"


def begin(files: Files, agent_id: str, wanted: Iterable[Sighting]) -> None:
    """Keep what there is, before a command runs.

    Args:
        files: Where.
        agent_id: Whose command.
        wanted: The files, without copies.
    """
    known = {seen.path: seen for key in (pending(agent_id), _last(agent_id)) for seen in _read(files, key)}
    lines, left = [], MAX_COPIES
    for seen in wanted:
        old = known.get(seen.path)
        if old is not None and old.copy and _is_same(old, seen):
            name: str | None = old.copy
            left -= seen.size
        elif seen.size <= min(MAX_COPY, left):
            files.make_directory(f"watched/{agent_id}")
            name = _copy(files, agent_id, seen)
            left -= seen.size
        else:
            name = None
        lines.append(_encoder.encode(msgspec.structs.replace(seen, copy=name)) + b"\n")
    if lines:
        files.make_directory(f"watched/{agent_id}")
        files.replace(files.write_temp(b"".join(lines), sync=False), pending(agent_id))


def end(files: Files, agent_id: str) -> list[Sighting]:
    """What was watched while the command ran and is different now. It is watched no longer."""
    changed = [seen for seen in _read(files, pending(agent_id)) if _has_changed(files, agent_id, seen)]
    try:
        files.rename(pending(agent_id), _last(agent_id))
    except FileNotFoundError:
        pass  # nothing was watched, or another hook of the same agent has looked already
    return changed


def keep(files: Files, agent_id: str, seen: Sighting, revision: int) -> str | None:
    """Put a copy where the next command does not overwrite it.

    Returns:
        Its absolute path; None when there is no copy.
    """
    if seen.copy is None:
        return None
    kept = f"watched/{agent_id}/kept/{revision}-{seen.copy}"
    files.make_directory(f"watched/{agent_id}/kept")
    try:
        files.rename(f"watched/{agent_id}/{seen.copy}", kept)
    except FileNotFoundError:
        return None
    return files.path(kept)


def tidy(files: Files, present: Container[str]) -> None:
    """Forget what agents watched who are not `present`; kept copies go after a week. Call with the guard held.

    By the file system's clock: a file made just now tells the time.
    """
    probe = files.write_temp(b"", sync=False)
    status = files.status(probe)
    files.unlink(probe)
    now = status.st_mtime if status else 0.0
    for agent_id in files.names("watched"):
        folder = f"watched/{agent_id}"
        for name in files.names(f"{folder}/kept"):
            found = files.status(f"{folder}/kept/{name}")
            if found is not None and now - found.st_ctime > KEPT_S:
                files.unlink(f"{folder}/kept/{name}")
        files.remove_empty(f"{folder}/kept")
        if agent_id not in present:
            for name in files.names(folder):
                if name != "kept":
                    files.unlink(f"{folder}/{name}")
            files.remove_empty(folder)
    files.remove_empty("watched")


def sight(path: str) -> os.stat_result | None:
    """A regular file's status; None for anything else."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None  # not there, or not for us to see: it cannot be compared later
    return found if stat.S_ISREG(found.st_mode) else None


def _copy(files: Files, agent_id: str, seen: Sighting) -> str | None:
    try:
        data = read_plain(seen.real, MAX_COPY)
    except OSError:
        return None
    if data is None:
        return None
    name = encode(seen.path)
    files.replace(files.write_temp(data, sync=False), f"watched/{agent_id}/{name}")
    return name


def _is_same(old: Sighting, new: Sighting) -> bool:
    return (old.real, old.size, old.mtime_ns, old.inode) == (new.real, new.size, new.mtime_ns, new.inode)


def _has_changed(files: Files, agent_id: str, seen: Sighting) -> bool:
    now = sight(seen.real)
    if now is not None and (now.st_size, now.st_mtime_ns, now.st_ino) == (seen.size, seen.mtime_ns, seen.inode):
        return False
    if now is None or now.st_size != seen.size or seen.copy is None:
        return True
    try:
        kept = files.read(f"watched/{agent_id}/{seen.copy}")
        return kept is None or kept.data != read_plain(seen.real, MAX_COPY)
    except (OSError, StrangeFileError):
        return True


def _read(files: Files, key: str) -> list[Sighting]:
    try:
        content = files.read(key)
    except StrangeFileError:
        return []
    found = []
    for line in content.data.splitlines() if content else ():
        try:
            found.append(_decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return found
