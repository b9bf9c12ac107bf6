"""Where agents get in each other's way, as a table."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from agentsync.render.frame import escape, quoted, shorten_path
from agentsync.render.table import aligned
from agentsync.render.times import clock, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.account import Account
    from agentsync.core.hotspots import Hotspot

HEAD = ("HEAT", "PATH", "REFUSED", "WAITS", "WAITED", "BREACHES", "EDITS", "AGENTS", "HELD")

WAYS = {
    "share": "share it",
    "own": "let one own it",
    "split": "split it (advice: no setting does that)",
}


def summary(account: Account) -> str:
    """One line: what the numbers are of."""
    since, until = (clock(moment, account.until) for moment in (account.since, account.until))
    counts = [(account.refusals, "refusal"), (account.waits, "wait"), (account.breaches, "breach")]
    said = ", ".join(f"{len(found)} {name}{_plural(name, len(found))}" for found, name in counts)
    return f"{said} from {since} to {until}, {account.events} events"


def _plural(word: str, count: int) -> str:
    return "" if count == 1 else "es" if word.endswith("ch") else "s"


def table(spots: Sequence[Hotspot]) -> list[str]:
    """A row each, then what to do about it, and the command that does it."""
    rows = []
    for spot in spots:
        waited = span(timedelta(seconds=spot.waited_s)) if spot.waited_s else ""
        held = span(timedelta(seconds=spot.held_s)) if spot.held_s else ""
        refused, waits, breaches, edits, agents = (
            str(count) if count else ""
            for count in (spot.refusals, spot.waits, spot.breaches, spot.edits, len(spot.agents))
        )
        path = shorten_path(spot.path, 60)
        rows.append((f"{spot.heat:g}", path, refused, waits, waited, breaches, edits, agents, held))
    head = [name if any(row[i] for row in rows) else "" for i, name in enumerate(HEAD)]
    lines = aligned([head, *rows], indent="")
    advice = [_advice(spot) for spot in spots if spot.suggestion is not None]
    return [*lines, "", *(line for pair in advice for line in pair)]


def _advice(spot: Hotspot) -> list[str]:
    assert spot.suggestion is not None
    how = WAYS[spot.suggestion.kind]
    said = [f"{shorten_path(spot.path, 60)}: {how}; {escape(spot.suggestion.why, 200)}"]
    if spot.suggestion.setting is not None and (path := quoted(spot.path)) is not None:
        said.append(f"  agent-sync hotspots --apply {path}")
    return said
