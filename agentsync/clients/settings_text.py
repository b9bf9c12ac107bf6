"""Hooks into a client's JSON settings and out again, leaving everything else as it was.

Text in, text out. A file that cannot be read as what the client documents is refused, never repaired.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from agentsync.errors import AgentSyncError

if TYPE_CHECKING:
    from collections.abc import Callable


def parse(text: str | None, where: str, flat: bool = False) -> dict[str, Any]:
    """The settings as a table; none = empty.

    Args:
        text: What the file holds.
        where: Its name, for complaints.
        flat: Whether the client's events hold handlers, not groups that hold handlers.

    Raises:
        AgentSyncError: It is no JSON, repeats a key, or has another shape than the client documents.
    """
    if text is None or not text.strip():
        return {}

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise _strange(where, "it repeats a key")
        return made

    def no_number(word: str) -> Any:
        raise ValueError(f"{word} is no JSON")

    try:
        found = json.loads(text, object_pairs_hook=table, parse_int=_kept, parse_float=_kept, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise _strange(where, str(error)) from None
    if not isinstance(found, dict):
        raise _strange(where, "it is not an object")
    hooks = found.get("hooks", {})
    if not isinstance(hooks, dict):
        raise _strange(where, '"hooks" is not an object')
    for event, groups in hooks.items():
        if not isinstance(groups, list) or not all(_is_group(group, flat) for group in groups):
            what = "handlers" if flat else "matcher groups"
            raise _strange(where, f'"hooks.{event}" is not a list of {what}')
    return found


def _is_group(group: Any, flat: bool) -> bool:
    if flat or not isinstance(group, dict):
        return isinstance(group, dict)
    return isinstance(group.get("hooks"), list) and all(isinstance(handler, dict) for handler in group["hooks"])


_NUMBER = "\0number:"
"""Numbers go through as texts with this mark, so that `1.0`, `1e400` and `1` stay what they were written as."""


def _kept(number: str) -> str:
    return _NUMBER + number


def _strange(where: str, why: str) -> AgentSyncError:
    return AgentSyncError(f"{where} was left untouched: {why}", "mend the file, then run the command again")


def with_hooks(settings: dict[str, Any], groups: dict[str, dict[str, Any]], is_ours: Callable[[Any], bool]) -> Any:
    """The settings with our entries, one per event, after everybody else's; ours of an earlier version are replaced."""
    clean = without_hooks(settings, is_ours)
    hooks = dict(clean.get("hooks", {}))
    for event, group in groups.items():
        hooks[event] = [*hooks.get(event, []), as_read(group)]
    return {**clean, "hooks": hooks}


def as_read(value: Any) -> Any:
    """A value of ours as `parse` would give it: numbers compare as they are read."""
    return json.loads(json.dumps(value), parse_int=_kept)


def without_hooks(settings: dict[str, Any], is_ours: Callable[[Any], bool]) -> dict[str, Any]:
    """The settings without our handlers; groups, events and `hooks` itself go where only ours were in them."""
    if "hooks" not in settings:
        return settings
    kept: dict[str, Any] = {}
    found = False
    for event, groups in settings["hooks"].items():
        left = []
        for group in groups:
            if "hooks" not in group:  # a handler by itself
                found = found or is_ours(group)
                left += [] if is_ours(group) else [group]
                continue
            others = [handler for handler in group["hooks"] if not is_ours(handler)]
            found = found or len(others) < len(group["hooks"])
            if others or not group["hooks"]:
                left.append({**group, "hooks": others})
        if left or not groups:
            kept[event] = left
    if not found:
        return settings
    return {**settings, "hooks": kept} if kept else {k: v for k, v in settings.items() if k != "hooks"}


def render(settings: dict[str, Any], like: str | None) -> str:
    """The settings as text, in the manner of the text that was there: indentation, line ends, final newline."""
    indent: str | int = 2
    if like and (match := re.search(r"\n([ \t]+)\S", like)):
        indent = match[1]
    text = json.dumps(settings, indent=indent, ensure_ascii=False)
    if any("\ud800" <= char <= "\udfff" for char in text):
        text = json.dumps(settings, indent=indent)  # half a character, escaped in the file: it stays escaped
    text = re.sub(r'"\\u0000number:([-+.0-9eE]+)"', r"\1", text)
    if like is None or like.endswith("\n"):
        text += "\n"
    return text.replace("\n", "\r\n") if like and "\r\n" in like else text
