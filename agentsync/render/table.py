"""Aligned columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


STATES = {
    **dict.fromkeys(("active", "ready"), "32"),
    **dict.fromkeys(("idle", "in progress"), "36"),
    **dict.fromkeys(("stale", "stalled", "up for grabs"), "33"),
    **dict.fromkeys(("offline", "waiting", "done", "cancelled"), "90"),
    **dict.fromkeys(("dead", "blocked"), "31"),
}
"""SGR codes by the word for how something stands: fine, at it, look at it, out of it, stuck."""

_SGR = re.compile(r"(\x1b\[[0-9]*m)")


def aligned(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows as lines with aligned cells, which may be painted; columns that are empty throughout are left out."""
    if not rows:
        return []
    used = [i for i in range(len(rows[0])) if any(row[i] for row in rows)]
    widths = [max(_width(row[i]) for row in rows) for i in used]
    return [
        (indent + "  ".join(_padded(row[i], width) for i, width in zip(used, widths, strict=True))).rstrip()
        for row in rows
    ]


def _width(cell: str) -> int:
    return len(_SGR.sub("", cell)) if "\x1b" in cell else len(cell)


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def cut(line: str, width: int) -> str:
    """A line that may be painted, as far as so many columns show it."""
    if _width(line) <= width:
        return line
    shown, room = "", width - 1
    for part in _SGR.split(line):
        if part.startswith("\x1b"):
            shown += part  # also behind the cut: a colour that began must end
        elif room >= 0:
            shown += part if len(part) <= room else part[:room] + "…"
            room -= len(part) if len(part) <= room else width
    return shown


def paint(text: str, code: str) -> str:
    """Text in a colour of the terminal; only for text that is escaped already.

    Args:
        text: What to paint.
        code: A parameter of SGR, like `31` for red.
    """
    return f"\x1b[{code}m{text}\x1b[0m"


def state(word: str, colour: bool) -> str:
    """A word of `STATES`, in its colour when there are any."""
    return paint(word, STATES[word]) if colour and word in STATES else word
