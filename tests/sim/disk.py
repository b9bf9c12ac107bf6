"""A state directory in memory: hundreds of machines with hundreds of records each are too many files for a disk.

The primitives of `store.files` and nothing above them: transactions, intents, the log, reading and deciding are the
real ones. What is thinner than in life: nothing is synced, no process dies in between, and the log keeps its last events
only, as if it were compacted all the time.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple

from agentsync.core import keys
from agentsync.store.files import MAX_RECORD, Content, Files

if TYPE_CHECKING:
    import os

    from world import Clock

LOG_KEPT = 8


class Status(NamedTuple):
    """As much of a `stat_result` as anybody asks for."""

    st_mtime: float
    st_size: int
    st_mode: int = stat.S_IFREG | 0o600


class MemoryFiles(Files):
    """Files in dictionaries, one for each directory. A copy shares them until either side writes."""

    def __init__(self, root: str, clock: Clock) -> None:
        super().__init__(root, "t")
        self.clock = clock
        self._folders: dict[str, dict[str, Content]] = {}
        self._borrowed: set[str] = set()

    def copy(self, root: str, clock: Clock) -> MemoryFiles:
        """The same files at another place."""
        made = MemoryFiles(root, clock)
        made._folders, made._borrowed = dict(self._folders), set(self._folders)
        made._serial = self._serial
        self._borrowed = set(self._folders)
        return made

    def _at(self, key: str) -> Content | None:
        folder, _, name = key.rpartition("/")
        return self._folders.get(folder, {}).get(name)

    def _own(self, folder: str) -> dict[str, Content]:
        """A directory that may be changed."""
        if folder in self._borrowed:
            self._borrowed.discard(folder)
            self._folders[folder] = dict(self._folders[folder])
        return self._folders.setdefault(folder, {})

    def _put(self, key: str, content: Content) -> None:
        folder, _, name = key.rpartition("/")
        self._own(folder)[name] = content

    def _take(self, key: str) -> Content:
        folder, _, name = key.rpartition("/")
        return self._own(folder).pop(name)

    # ------------------------------------------------------------ the primitives
    def read(self, key: str, cap: int = MAX_RECORD) -> Content | None:
        return self._at(key)

    def status(self, key: str) -> os.stat_result | None:
        found = self._at(key)
        return None if found is None else Status(found.mtime, len(found.data))  # type: ignore[return-value]

    def names(self, key: str) -> list[str]:
        below = [other[len(key) + 1 :] for other in self._folders if other.startswith(f"{key}/")]
        return [*self._folders.get(key, ()), *(name for name in below if "/" not in name)]

    def write_temp(self, data: bytes, sync: bool) -> str:
        self._serial += 1
        self._put(key := f"tmp/{self._serial}", Content(data, self.clock.now.timestamp()))
        return key

    def link(self, temp: str, key: str) -> bool:
        content = self._take(temp)
        if self._at(key) is not None:
            return False
        self._put(key, content)
        return True

    def replace(self, temp: str, key: str) -> None:
        self._put(key, self._take(temp))

    def rename(self, key: str, to: str) -> None:
        self._put(to, self._take(key))
        if to.startswith("log/"):
            self.unlink(keys.event(int(to[4:16]) - LOG_KEPT))

    def unlink(self, key: str) -> bool:
        if self._at(key) is None:
            return False
        self._take(key)
        return True

    def remove_empty(self, key: str) -> None:
        if self._folders.get(key) == {}:
            del self._folders[key]

    def remove_tree(self, key: str) -> None:
        for folder in [name for name in self._folders if f"{name}/".startswith(f"{key}/")]:
            del self._folders[folder]

    def make_directory(self, key: str) -> None:
        self._own(key)

    def touch(self, key: str) -> bool:
        found = self._at(key)
        if found is not None:
            self._put(key, Content(found.data, self.clock.now.timestamp()))
        return found is not None

    def mark(self, key: str, seconds: float) -> None:
        self._put(key, Content(b"", seconds))

    def append(self, key: str, line: bytes) -> None:
        found = self._at(key)
        self._put(key, Content((found.data if found else b"") + line, self.clock.now.timestamp()))

    def disk_time(self) -> float:
        return self.clock.now.timestamp()

    def sync_all(self) -> None:
        """Nothing can be lost."""

    def sync_directory(self, key: str) -> None:
        """Nothing can be lost."""
