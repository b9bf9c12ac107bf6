"""Aligned columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows as lines with aligned cells; columns that are empty throughout are left out."""
    if not rows:
        return []
    used = [i for i in range(len(rows[0])) if any(row[i] for row in rows)]
    widths = [max(len(row[i]) for row in rows) for i in used]
    return [
        (indent + "  ".join(row[i].ljust(width) for i, width in zip(used, widths, strict=True))).rstrip()
        for row in rows
    ]


def paint(text: str, code: str) -> str:
    """Text in a colour of the terminal; only for text that is escaped already.

    Args:
        text: What to paint.
        code: A parameter of SGR, like `31` for red.
    """
    return f"\x1b[{code}m{text}\x1b[0m"
