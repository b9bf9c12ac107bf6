"""An engine in memory: the same questions, with the network's whims in the hands of the test."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING

from agentsync.remote.backend import Done, Lost, Rejected, Snapshot, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from agentsync.core.shared import Wanted


class Hub:
    """What a remote is: versions, each with the one before it, and which one is current."""

    def __init__(self) -> None:
        self.versions: dict[str, tuple[str | None, dict[str, bytes]]] = {}
        self.current: str | None = None
        self.refuses: str | None = None
        """Why it takes no swap; None = it does."""

    def load(self) -> None:
        """Before each question: what others did."""

    def add(self, parent: str | None, files: dict[str, bytes]) -> str:
        version = f"{len(self.versions) + 1:040x}"
        self.versions[version] = (parent, files)
        self.current = version
        return version

    def files(self, version: str, wanted: Wanted | None = None) -> dict[str, bytes]:
        """What whoever reads a version gets."""
        return {key: data for key, data in self.versions[version][1].items() if wanted is None or wanted.matters(key)}

    def follows(self, version: str | None, known: str | None) -> bool:
        while version is not None and version != known:
            version = self.versions[version][0]
        return version == known


class FileHub(Hub):
    """The same on disk, so that a process that dies leaves there what it did."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__()
        self.save()

    def save(self) -> None:
        self._path.write_bytes(pickle.dumps((self.versions, self.current)))

    def load(self) -> None:
        self.versions, self.current = pickle.loads(self._path.read_bytes())

    def add(self, parent: str | None, files: dict[str, bytes]) -> str:
        version = super().add(parent, files)
        self.save()
        return version


class Memory:
    """One clone's way to a hub."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.is_cut = False
        self.swaps = self.reads = 0
        self.before_swap: list[Callable[[], object] | None] = []
        """What others do just before the next swaps."""
        self.before_read: list[Callable[[], object] | None] = []
        self.look_s = 0.0
        self.loses_answer = False
        """The next swap happens, and the answer does not come back."""

    def read(self, known: str | None, wanted: Wanted | None = None) -> Snapshot | Rejected | Unreachable:
        self.reads += 1
        if self.before_read and (others := self.before_read.pop(0)) is not None:
            others()
        time.sleep(self.look_s)
        if self.is_cut:
            return Unreachable("the line is cut")
        self.hub.load()
        version = self.hub.current
        files = self.hub.files(version, wanted) if version else {}
        return Snapshot(version=version, files=files, follows=known is None or self.hub.follows(version, known))

    def recall(self, version: str, wanted: Wanted | None = None) -> Snapshot | None:
        self.hub.load()
        if version not in self.hub.versions:
            return None
        return Snapshot(version=version, files=self.hub.files(version, wanted))

    def swap(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool = False
    ) -> Done | Lost | Rejected | Unreachable:
        self.swaps += 1
        if self.before_swap and (others := self.before_swap.pop(0)) is not None:
            others()
        self.hub.load()
        if self.is_cut:
            return Unreachable("the line is cut")
        if self.hub.refuses is not None:
            return Rejected(self.hub.refuses)
        if self.hub.current != base:
            return Lost()
        before = self.hub.versions[base][1] if base else {}
        files = {path: data for path, data in before.items() if path not in changes}
        files |= {path: data for path, data in changes.items() if data is not None}
        done = Done(self.hub.add(None if squash else base, files))
        if self.loses_answer:
            self.loses_answer = False
            return Unreachable("the line was cut")
        return done
