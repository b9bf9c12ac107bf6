"""The files that agents fight over, the worst first, and what to do about each.

A file is as hot as what it cost: a point for each refusal and each wait, one more for every ten minutes waited, five
for each breach. What nobody was kept from has no heat, however often it was locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from agentsync.core import globs
from agentsync.core.paths import parents

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from agentsync.core.account import Account, Hold
    from agentsync.core.policy import Config

REFUSAL, WAIT, BREACH = 1.0, 1.0, 5.0
WAITED_S = 600.0
"""Seconds of waiting that count like a refusal."""

MOST = 2 / 3
"""The share of edits that makes an agent a file's natural owner."""

ADDED_TO = frozenset({"md", "txt", "rst", "adoc", "csv", "tsv", "log", "jsonl", "ndjson", "po"})
"""Endings of files that people add lines and paragraphs to, so that two may write at once."""

Kind = Literal["share", "own", "split"]
Setting = Literal["shared", "required"]


class Suggestion(Struct, frozen=True, kw_only=True, gc=False):
    """What may cool a file."""

    kind: Kind
    """`share`: several may edit it at a time; `own`: only under a lock taken by hand; `split`: into several files."""
    setting: Setting | None
    """The list in `[paths]` of the configuration that does it; null: no setting does, it is advice."""
    why: str


class Hotspot(Struct, frozen=True, kw_only=True, gc=False):
    """What a span of time saw of one path."""

    path: str
    heat: float
    agents: tuple[str, ...]
    """Who wanted it: edited, held or waited for it, or was refused."""
    refusals: int
    waits: int
    waited_s: float
    breaches: int
    edits: int
    editors: dict[str, int]
    """Edits by agent."""
    holds: int
    held_s: float
    holders: dict[str, float]
    """Seconds by agent; a lock on a directory or pattern around the path counts."""
    suggestion: Suggestion | None = None


class _Sums:
    """A hotspot in the making."""

    def __init__(self) -> None:
        self.refusals = self.waits = self.breaches = self.added = 0
        self.waited_s = 0.0
        self.wanted_by: set[str] = set()
        self.editors: dict[str, int] = {}

    @property
    def heat(self) -> float:
        return self.refusals * REFUSAL + self.waits * WAIT + self.waited_s / WAITED_S + self.breaches * BREACH


def hotspots(account: Account, config: Config) -> list[Hotspot]:
    """Every path that was fought over, the hottest first, then those that were edited or locked.

    Args:
        account: The span.
        config: The team's configuration: what it says already is not suggested.
    """
    sums: dict[str, _Sums] = {}

    def of(path: str) -> _Sums:
        return sums.setdefault(path, _Sums())

    for refusal in account.refusals:
        of(refusal.path).refusals += 1
        of(refusal.path).wanted_by.add(refusal.agent)
    for wait in account.waits:
        for path in wait.paths:
            of(path).waits += 1
            of(path).wanted_by.add(wait.agent)
            of(path).waited_s += _seconds(account, wait.since, wait.until)
    for breach in account.breaches:
        for path in breach.paths:
            of(path).breaches += 1
    for edit in account.edits:
        one = of(edit.path)
        one.editors[edit.agent] = one.editors.get(edit.agent, 0) + 1
        one.added += edit.added
    around = _Around(account.holds)
    for path in around.exact:
        of(path)
    found = [_hotspot(account, config, path, one, around) for path, one in sums.items()]
    return sorted(found, key=lambda spot: (-spot.heat, -spot.refusals, -spot.edits, -spot.held_s, spot.path))


class _Around:
    """The holds that cover a path."""

    def __init__(self, holds: Iterable[Hold]) -> None:
        self.exact: dict[str, list[Hold]] = {}
        self._globs: list[Hold] = []
        for hold in holds:
            self.exact.setdefault(hold.path, []).append(hold)
            if hold.scope == "glob":
                self._globs.append(hold)

    def of(self, path: str, hot: bool) -> list[Hold]:
        """Those on exactly this path; of a hot one, those on the directories and patterns around it, too."""
        found = list(self.exact.get(path, ()))
        if hot and not path.startswith("@"):
            for above in parents(path):
                found += self.exact.get(above, ())
            found += [hold for hold in self._globs if hold.path != path and globs.matches(hold.path, path)]
        return found


def _hotspot(account: Account, config: Config, path: str, one: _Sums, around: _Around) -> Hotspot:
    holds = around.of(path, hot=one.heat > 0)
    holders: dict[str, float] = {}
    for hold in holds:
        holders[hold.holder] = holders.get(hold.holder, 0.0) + _seconds(account, hold.since, hold.until)
    return Hotspot(
        path=path,
        heat=round(one.heat, 1),
        agents=tuple(sorted(one.wanted_by | set(one.editors) | set(holders))),
        refusals=one.refusals,
        waits=one.waits,
        waited_s=round(one.waited_s, 1),
        breaches=one.breaches,
        edits=sum(one.editors.values()),
        editors=one.editors,
        holds=len(holds),
        held_s=round(sum(holders.values()), 1),
        holders={agent: round(seconds, 1) for agent, seconds in holders.items()},
        suggestion=suggest(path, one.editors, one.added, config) if one.heat > 0 else None,
    )


def _seconds(account: Account, since: datetime, until: datetime | None) -> float:
    """How long something lasted within the span."""
    until = account.until if until is None else min(until, account.until)
    return max((until - max(since, account.since)).total_seconds(), 0.0)


def suggest(path: str, editors: dict[str, int], added: int, config: Config) -> Suggestion | None:
    """What to do about a path that is fought over; nothing when the configuration has a word on it already.

    Args:
        path: As locks name it.
        editors: Edits by agent.
        added: How many of them only added lines.
        config: The team's configuration.
    """
    if path.startswith("@"):
        return Suggestion(kind="split", setting=None, why="several names would do, or shorter holds")
    if path.endswith("/"):
        return Suggestion(kind="split", setting=None, why="locks on the files that are needed would do")
    if config.class_of(path) != "plain":
        return None
    edits = sum(editors.values())
    most = max(editors, key=lambda agent: editors[agent], default=None)
    if path.rpartition(".")[2].lower() in ADDED_TO or added * 2 > edits:
        return Suggestion(kind="share", setting="shared", why="lines are added to it, which several may do at a time")
    if most is not None and len(editors) > 1 and editors[most] >= MOST * edits:
        why = f"{editors[most]} of {edits} edits are by {most}; others take a lock by hand first"
        return Suggestion(kind="own", setting="required", why=why)
    many = f"{len(editors)} agents edit it" if len(editors) > 1 else "several want it"
    return Suggestion(kind="split", setting=None, why=many)
