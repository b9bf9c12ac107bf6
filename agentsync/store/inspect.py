"""Looking at a store as a doctor does: everything is read, nothing is changed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import datetime
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import msgspec

from agentsync.core import keys
from agentsync.core.records import KINDS, VERSION, Format
from agentsync.errors import AgentSyncError, DamagedRecordError, StrangeFileError
from agentsync.store import codec, log
from agentsync.store.guard import holder_of
from agentsync.store.setup import BALLAST, PYTHON, refuse_tracked

if TYPE_CHECKING:
    from agentsync.store.store import Store

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "fuse.sshfs", "drvfs", "vboxsf", "virtiofs"})
"""File systems on which flock may be local, or change notifications missing."""


FOLDERS = ("agents", "locks", "tasks", "messages", "inbox", "decisions", "queue", "installed", "remote", "log")
"""Where records are."""


def damaged_records(store: Store) -> dict[str, str]:
    """What is wrong with each record that cannot be read, by key."""
    problems = {}
    for folder in (*FOLDERS, ""):
        for key in _json_below(store, folder):
            try:
                content = store.files.read(key, cap=log.MAX_EVENT)
                if content is None:
                    continue  # it went while we looked
                envelope = codec.envelope(content.data, key)
                if envelope.v <= VERSION and envelope.kind in KINDS:
                    record = codec.decode(content.data, KINDS[envelope.kind], key)
                    if not keys.is_home(key, record):
                        problems[key] = f"{key} holds the record of another place"
            except (DamagedRecordError, StrangeFileError) as error:
                problems[key] = error.message
    return problems


def quarantined(store: Store) -> list[str]:
    """Files that were moved out of the way because they could not be read."""
    return sorted(store.files.names("quarantine"))


def size(store: Store) -> tuple[int, int]:
    """How many files the state directory holds, and their bytes; what goes while we look is not counted."""
    found = []
    for folder, _, names in os.walk(store.place.state):
        for name in names:
            try:
                found.append(os.lstat(f"{folder}/{name}").st_size)
            except OSError:
                continue  # it went
    return len(found), sum(found)


def last_compaction(store: Store) -> float | None:
    """When a compaction ended last, or else the store was made, in seconds of the epoch; None when nobody can tell."""
    status = store.files.status(BALLAST)  # every run replaces it
    return status.st_mtime if status is not None else None


def _json_below(store: Store, folder: str) -> list[str]:
    found = []
    for name in sorted(store.files.names(folder)):
        key = f"{folder}/{name}" if folder else name
        if name.endswith(".json"):
            found.append(key)
        elif folder and (status := store.files.status(key)) is not None and stat.S_ISDIR(status.st_mode):
            found += _json_below(store, key)
    return found


MAX_GAPS = 1000
"""How many missing revisions are named; an archive's name may promise a million times a million."""


def gaps(store: Store) -> list[int]:
    """Revisions that are neither in the log nor in the archive, between the oldest known and the newest."""
    known = set(log.revisions(store.files))
    for first, last in log.archives(store.files):
        known.update((first, last))  # as the name says; between them, what can be read
        known.update(event.rev for event in log.archived(store.files, first, last))
    missing = (r for a, b in pairwise(sorted(known)) for r in range(a + 1, b))
    return list(islice(missing, MAX_GAPS))


def is_foreign(store: Store) -> bool:
    """Whether the directory tells the gate what to start, and was not made here: it was copied, packed or tracked."""
    try:
        content = store.files.read(keys.FORMAT)
        if store.files.status(PYTHON) is None:
            return False
        refuse_tracked(store)
        inode = os.stat(store.place.state).st_ino
        return content is None or codec.decode(content.data, Format, keys.FORMAT).inode != inode
    except AgentSyncError:
        return True


def stuck_intent(store: Store) -> bool:
    """Whether a transaction was left over. The next command that writes finishes it."""
    return store.files.status(keys.INTENT) is not None


def guard_holder(store: Store) -> int | None:
    """The pid that holds the guard right now."""
    return holder_of(store.files.path(keys.GUARD))


def file_system(path: str) -> str | None:
    """The type of the file system that holds `path`; None where it cannot be known."""
    best, kind = "", None
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                fields = line.split()
                mount = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape", "surrogateescape")
                inside = path == mount or path.startswith(mount.rstrip("/") + "/")
                if inside and len(mount) >= len(best):
                    best, kind = mount, fields[fields.index("-") + 1]
    except (OSError, ValueError, IndexError, UnicodeError):
        return None
    return kind


_PROBE = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("entered")
except BlockingIOError:
    print("excluded")
try:
    os.link(sys.argv[1], sys.argv[2])
    print("linked")
except FileExistsError:
    print("refused")
"""


def exclusion(store: Store) -> str | None:
    """Whether flock and link exclude a second process here.

    Returns:
        What is wrong, or None.
    """
    try:
        import fcntl
    except ImportError:  # Windows: filelock's own lock, tested by filelock
        return None
    files = store.files
    probe, other = files.write_temp(b"", sync=False), files.write_temp(b"", sync=False)
    fd = os.open(files.path(probe), os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        command = [sys.executable, "-I", "-c", _PROBE, files.path(probe), files.path(other)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    finally:
        os.close(fd)
        files.unlink(probe)
        files.unlink(other)
    said = done.stdout.split()
    if said != ["excluded", "refused"]:
        return f"a second process was not kept out: {' '.join(said) or done.stderr.strip()[-200:]}"
    return None


def clock_skew(store: Store) -> float:
    """Seconds by which the file system's clock is ahead of ours."""
    return store.files.disk_time() - store.runtime.now().timestamp()


def future_event(store: Store) -> float:
    """Seconds by which the newest event lies in the future."""
    try:
        event = log.read(store.files, store.revision())
    except AgentSyncError:
        return 0.0
    return (event.at - store.runtime.now()).total_seconds() if event else 0.0


def failures(store: Store, key: str, hours: float) -> list[str]:
    """What hooks that failed open said in the last hours, oldest first."""
    content = store.files.read(key)
    found = []
    for line in content.data.splitlines() if content else ():
        try:
            entry = msgspec.json.decode(line, type=dict)
            at = msgspec.convert(entry["at"], type=datetime)
            if (store.runtime.now() - at).total_seconds() < hours * 3600:
                found.append(str(entry["what"]))
        except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError):
            continue
    return found
