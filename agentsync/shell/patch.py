"""The files of a Codex patch (`*** Begin Patch` … `*** End Patch`).

Grammar: after the first line come sections, each under a header: `*** Add File: PATH` and lines that begin with `+`;
`*** Delete File: PATH`; `*** Update File: PATH`, perhaps `*** Move to: PATH`, and hunks whose lines begin with a space,
`+`, `-` or `@@`. So text of a file can never be taken for a header of an update, which begins in the first column.
A patch that is cut off is read as far as it goes. No imports: hooks of Codex use this before anything else.
"""

from __future__ import annotations

BEGIN = "*** Begin Patch"
_HEADERS = ("*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: ")


def paths(text: str) -> tuple[str, ...] | None:
    """Every path that the patch adds, changes, deletes or moves (both ends), in its order; None if it is no patch.

    The patch may stand inside other lines, as in a here-document around it.
    """
    found: dict[str, None] = {}
    inside = updating = False
    for line in text.split("\n"):
        words = line.strip()
        if not inside:
            inside = words == BEGIN
            continue
        header = line.rstrip() if updating else words
        for head in _HEADERS:
            if header.startswith(head):
                found[header[len(head) :]] = None  # a space more before it belongs to the name
                updating = head in ("*** Update File: ", "*** Move to: ")
    return tuple(found) if inside else None
