"""Assignments: `NAME=value`, `NAME+=value`, `NAME=(a b)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.shell import tree, words

if TYPE_CHECKING:
    from tree_sitter import Node

    from agentsync.shell.state import State, Values

MAX_ELEMENTS = 1_000


def assign(node: Node, state: State) -> None:
    """Give the variable its value, or make it unknown."""
    target, given = node.child_by_field_name("name"), node.child_by_field_name("value")
    if target is None:
        return
    name = tree.text_of(target)
    if target.type == "subscript":
        state.variables[name.partition("[")[0]] = None
        return
    values = _values(given, state)
    if any(child.type == "+=" for child in node.children):
        is_array = given is not None and given.type == "array"
        values = _appended(state.lookup(name), values, is_array=is_array)
    state.variables[name] = values


def _values(given: Node | None, state: State) -> Values:
    if given is not None and given.type == "array":
        items = [word for child in given.named_children for word in words.expand(child, state)]
        known = tuple(word for word in items if isinstance(word, str))
        return known if len(known) == len(items) else None
    text = "" if given is None else words.value(given, state)
    return None if text is None else (text,)


def _appended(old: Values, new: Values, *, is_array: bool) -> Values:
    if old is None or new is None or sum(map(len, old + new)) > words.MAX_TEXT or len(old) > MAX_ELEMENTS:
        return None
    return old + new if is_array else (*old[:-1], "".join(old[-1:]) + new[0])
