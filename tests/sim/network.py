"""The network between virtual machines and a board: how long a question takes, and what may become of it.

A question travels, is answered by the hub as it then is, and the answer travels back. So two swaps that are under way
at the same time are decided in the order of their arrival, and a look may be old when it is read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from remote.memory import Hub, Memory

from agentsync.remote.backend import LIMIT_S, Done, Snapshot, Unreachable

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from sim.virtual import VirtualTime

    from agentsync.core.shared import Wanted
    from agentsync.remote.backend import Lost, Rejected

KEPT = 4
"""Versions that a clone can recall: a repository keeps more, but hundreds of them would not fit."""


class Latency(NamedTuple):
    """How long a question takes, there and back: log-normal, so never nothing and sometimes long."""

    median_s: float
    spread: float = 0.3
    """Standard deviation of the logarithm: 0.3 = one in twenty takes 1.6 times the median, or more."""

    def draw(self, chance: random.Random) -> float:
        return self.median_s * math.exp(chance.gauss(0, self.spread))


NOTHING = Latency(0.0)
LAN = Latency(0.030)


class BriefHub(Hub):
    """A hub that keeps the files of its newest version only, for runs of thousands of commits."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: tuple[str, Wanted | None] | None = None
        self._answer: dict[str, bytes] = {}

    def add(self, parent: str | None, files: dict[str, bytes]) -> str:
        before = self.current
        version = super().add(parent, files)
        if before is not None:
            self.versions[before] = (self.versions[before][0], {})
        return version

    def files(self, version: str, wanted: Wanted | None = None) -> dict[str, bytes]:
        if (version, wanted) != self._asked:
            self._asked, self._answer = (version, wanted), super().files(version, wanted)
        return self._answer  # to everybody the same, and nobody changes it

    def copy(self) -> BriefHub:
        made = BriefHub()
        made.versions, made.current = dict(self.versions), self.current
        return made


class Line(Memory):
    """One clone's way to a hub, through virtual time."""

    def __init__(self, hub: Hub, time: VirtualTime, chance: random.Random, latency: Latency = NOTHING) -> None:
        super().__init__(hub)
        self.time = time
        self.chance = chance
        self.latency = latency
        self.loss = 0.0
        """How often a question or an answer is lost."""
        self.looks = 0
        self._seen: dict[str, dict[str, bytes]] = {}
        """What this clone has fetched or pushed, the last few versions."""

    def read(self, known: str | None, wanted: Wanted | None = None) -> Snapshot | Rejected | Unreachable:
        self.looks += 1
        back = self._travel()
        if back is None:
            return self._silence()
        found = super().read(known, wanted)
        if not self._returns(back):
            return self._silence()
        if isinstance(found, Snapshot) and found.version is not None:
            self._keep(found.version, found.files)
        return found

    def recall(self, version: str, wanted: Wanted | None = None) -> Snapshot | None:
        if version not in self._seen:
            return None
        files = {path: data for path, data in self._seen[version].items() if wanted is None or wanted.matters(path)}
        return Snapshot(version=version, files=files)

    def _keep(self, version: str, files: dict[str, bytes]) -> None:
        self._seen[version] = files
        if len(self._seen) > KEPT:
            del self._seen[next(iter(self._seen))]

    def swap(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool = False
    ) -> Done | Lost | Rejected | Unreachable:
        back = self._travel()
        if back is None:
            self.swaps += 1
            return self._silence()
        found = self._decide(base, changes, about, squash)
        files = self.hub.versions[found.version][1] if isinstance(found, Done) else {}
        if not self._returns(back):
            return self._silence()
        if isinstance(found, Done):
            self._keep(found.version, files)
        return found

    def _decide(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool
    ) -> Done | Lost | Rejected | Unreachable:
        """The hub's word, at the moment when the question arrives."""
        return super().swap(base, changes, about, squash)

    def _travel(self) -> float | None:
        """Go there; returns how long the way back will take, None when the question does not arrive."""
        whole = self.latency.draw(self.chance)
        self.time.sleep(whole / 2)
        return None if self._is_lost() else whole / 2

    def _returns(self, back: float) -> bool:
        self.time.sleep(back)
        return not self._is_lost()

    def _is_lost(self) -> bool:
        return self.is_cut or (self.loss > 0 and self.chance.random() < self.loss)

    def _silence(self) -> Unreachable:
        """Nobody answers, and that takes a while to find out."""
        self.time.sleep(LIMIT_S)
        return Unreachable("no answer")
