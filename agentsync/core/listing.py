"""Adding a path to a list in the text of the team's configuration, with every comment left where it is.

An edit of text, not of a table: what the user wrote stays as it was. Whatever comes out is parsed again and must say
exactly what was meant, else nothing is proposed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agentsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentsync.core.hotspots import Setting

_TABLE = re.compile(r"^[ \t]*\[[ \t]*paths[ \t]*\][ \t]*(?:#[^\r\n]*)?(?=\r?$)", re.M)
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?\r?\n")


def pattern_for(path: str) -> str:
    """A pattern that matches a file of this name and nothing else."""
    return re.sub(r"[*?\[{]", lambda special: f"[{special[0]}]", path)


def with_path(text: str, setting: Setting, path: str) -> str:
    """The configuration with a path in one of its lists; as it is when that has it already.

    Args:
        text: The file; empty when there is none.
        setting: Which list.
        path: The file that is meant.

    Raises:
        UsageError: The text is no TOML, or is written in a way that cannot be added to without rewriting it.
    """
    import tomllib

    entry = _string(pattern_for(path))
    by_hand = f'add {entry} to "{setting}" in [paths] by hand'
    try:
        before = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"the configuration cannot be read ({error})", "mend it first") from None
    paths = before.get("paths", {})
    listed = paths.get(setting, []) if isinstance(paths, dict) else None
    if not isinstance(listed, list):
        raise UsageError("the configuration has something else where its lists of paths should be", by_hand)
    if pattern_for(path) in listed:
        return text
    wanted: dict[str, Any] = {**before, "paths": {**paths, setting: [pattern_for(path), *listed]}}
    for candidate in _candidates(text, setting, entry):
        try:
            if tomllib.loads(candidate) == wanted:
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    raise UsageError("the configuration is written in a way that no program should change", by_hand)


def _candidates(text: str, setting: Setting, entry: str) -> Iterator[str]:
    """Ways to add it in front of what is listed; the right one is the first that says what is meant."""
    newline = "\r\n" if "\r\n" in text else "\n"
    for found in re.finditer(rf"^[ \t]*{setting}[ \t]*=[ \t]*\[", text, re.M):
        head, tail = text[: found.end()], text[found.end() :]
        if rest := _REST_OF_LINE.match(tail):  # one entry a line
            first = tail[rest.end() :]
            indent = first[: len(first) - len(first.lstrip(" \t"))] or "    "
            yield f"{head}{rest[0]}{indent}{entry},{newline}{first}"
        yield f"{head}{entry}{'' if tail.lstrip().startswith(']') else ', '}{tail}"
    for found in _TABLE.finditer(text):
        yield f"{text[: found.end()]}{newline}{setting} = [{entry}]{text[found.end() :] or newline}"
    gap = "" if not text else newline if text.endswith("\n") else newline * 2
    yield f"{text}{gap}[paths]{newline}{setting} = [{entry}]{newline}"


def _string(value: str) -> str:
    """A TOML string."""
    special = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(special.get(c) or (c if c.isprintable() else f"\\U{ord(c):08X}") for c in value) + '"'
