"""The files that a unified diff names."""

from __future__ import annotations

import re

from agentsync.shell.words import Word

_NAME = re.compile(r"^(?:---|\+\+\+|rename from|rename to|copy to) ([^\t\r\n]+)", re.MULTILINE)
_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def paths(text: str, strip: Word) -> list[str]:
    """The files that the diff changes, `strip` leading parts taken off; none if that is not known or a name is odd."""
    if not isinstance(strip, str) or not strip.isdigit():
        return []
    level = int(strip)
    found: dict[str, None] = {}
    for name in _names(text):
        plain = name.startswith(("rename", "copy"))
        path = name.split(" ", 2 if plain else 1)[-1].rstrip()
        if path == "/dev/null" or path.startswith('"'):
            continue
        parts = path.split("/")
        if not plain and level:
            parts = parts[level:]
        if parts and parts[0]:
            found["/".join(parts)] = None
    return list(found)


def _names(text: str) -> list[str]:
    """The header lines; lines of hunks are counted off, as one may look like a header."""
    found: list[str] = []
    old = new = 0
    for line in text.split("\n"):
        if old > 0 or new > 0:
            old -= line[:1] in ("-", " ", "")
            new -= line[:1] in ("+", " ", "")
        elif (hunk := _HUNK.match(line)) is not None:
            old, new = int(hunk[1] or 1), int(hunk[2] or 1)
        elif (name := _NAME.match(line)) is not None:
            found.append(name[0])
    return found
