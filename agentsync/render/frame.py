"""Other agents' words, made harmless before a model or a terminal sees them.

Whatever another agent wrote (names, reasons, paths, branches) is data. Towards a model it stands inside a frame that
says so, one value per line; nothing in it can start a line, close the frame, or steer a terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core.visible import is_visible

if TYPE_CHECKING:
    from collections.abc import Iterable

OPEN = '<agent-sync-state trust="untrusted">'
CLOSE = "</agent-sync-state>"

SHELL_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-")


def escape(text: str, limit: int = 0) -> str:
    """One printable line; controls, line ends, bidi and zero-width characters, surrogates are written as escapes.

    Args:
        text: Anybody's words.
        limit: Characters to keep; the rest becomes `…`. 0 = all.
    """
    if limit:
        text = text[: limit + 1]  # escapes only make it longer
    if not text.isascii() or not text.isprintable():
        text = "".join(c if is_visible(c) else c.encode("unicode_escape").decode("ascii") for c in text)
    return text[: limit - 1] + "…" if limit and len(text) > limit else text


def named(name: str, agent_id: str, limit: int = 64) -> str:
    """`alice (claude-3fa9c1d2)`, for tables; the id alone where that is the name too."""
    return agent_id if name == agent_id else f"{escape(name, limit)} ({agent_id})"


def abroad(host: str, machine: str | None) -> str:
    """` on laptop`, behind the name of an agent of another machine; nothing behind that of one of here."""
    return f" on {escape(host or machine, 32)}" if machine else ""


def shorten(line: str, limit: int) -> str:
    """An escaped line, cut to `limit` characters."""
    return line if len(line) <= limit else line[: limit - 1] + "…"


def shorten_path(path: str, limit: int = 160) -> str:
    """A path with its middle left out when it is long: both ends tell more than the beginning."""
    path = escape(path)
    if len(path) <= limit:
        return path
    half = (limit - 1) // 2
    return f"{path[:half]}…{path[-half:]}"


def framed(lines: Iterable[str], width: int = 0) -> str:
    """Lines inside the frame. They must be escaped already; angle brackets are neutralised here.

    Args:
        lines: One value each.
        width: Characters to keep of each line; 0 = all.
    """
    inner = [neutral(line) for line in lines]
    if width:
        inner = [shorten(line, width) for line in inner]
    return "\n".join([OPEN, *inner, CLOSE])


def neutral(line: str) -> str:
    """A line in which nothing can pass for a mark of the frame."""
    return line.replace("<", "&lt;").replace(">", "&gt;")


def quoted(path: str) -> str | None:
    """A path as it can be typed in any shell; None when that would take more than plain quotes."""
    if path.startswith("-"):
        path = f"./{path}"  # not an option
    if path and SHELL_SAFE.issuperset(path):
        return path
    harmless = escape(path) == path and not set("'<>").intersection(path) and len(path) < 200
    return f"'{path}'" if harmless else None
