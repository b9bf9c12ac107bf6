"""An engine in memory: the same questions, with the network's whims in the hands of the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.remote.backend import Done, Lost, Rejected, Snapshot, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping


class Hub:
    """What a remote is: versions, each with the one before it, and which one is current."""

    def __init__(self) -> None:
        self.versions: dict[str, tuple[str | None, dict[str, bytes]]] = {}
        self.current: str | None = None
        self.refuses: str | None = None
        """Why it takes no swap; None = it does."""

    def add(self, parent: str | None, files: dict[str, bytes]) -> str:
        version = f"{len(self.versions) + 1:040x}"
        self.versions[version] = (parent, files)
        self.current = version
        return version

    def follows(self, version: str | None, known: str | None) -> bool:
        while version is not None and version != known:
            version = self.versions[version][0]
        return version == known


class Memory:
    """One clone's way to a hub."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.is_cut = False
        self.swaps = 0
        self.loses_answer = False
        """The next swap happens, and the answer does not come back."""

    def read(self, known: str | None) -> Snapshot | Rejected | Unreachable:
        if self.is_cut:
            return Unreachable("the line is cut")
        version = self.hub.current
        files = dict(self.hub.versions[version][1]) if version else {}
        return Snapshot(version=version, files=files, follows=known is None or self.hub.follows(version, known))

    def recall(self, version: str) -> Snapshot | None:
        found = self.hub.versions.get(version)
        return Snapshot(version=version, files=dict(found[1])) if found else None

    def swap(
        self, base: Snapshot, changes: Mapping[str, bytes | None], about: str, squash: bool = False
    ) -> Done | Lost | Rejected | Unreachable:
        self.swaps += 1
        if self.is_cut:
            return Unreachable("the line is cut")
        if self.hub.refuses is not None:
            return Rejected(self.hub.refuses)
        if self.hub.current != base.version:
            return Lost()
        files = {path: data for path, data in base.files.items() if path not in changes}
        files |= {path: data for path, data in changes.items() if data is not None}
        done = Done(self.hub.add(None if squash else base.version, files))
        if self.loses_answer:
            self.loses_answer = False
            return Unreachable("the line was cut")
        return done
