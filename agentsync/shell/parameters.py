"""What `${…}` and the few substitutions that can be known stand for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentsync.shell import patterns, tree
from agentsync.shell import state as states

if TYPE_CHECKING:
    from tree_sitter import Node

    from agentsync.shell.state import State, Values

_PARAMETER = re.compile(r"([A-Za-z_]\w*|[0-9]+|[@*])(\[[@*]\]|\[\d+\])?(:?-|%%?|##?|//?)?(.*)", re.ASCII | re.DOTALL)
_ACTIVE = re.compile(r"[$`\\\"'{}]")
_HERE = re.compile(r"\$\(\s*cat\s+<<\s*(['\"])(\w+)\1[ \t]*\n(.*?)^\2[ \t]*\s*\)", re.DOTALL | re.MULTILINE)


def parameter(text: str, state: State) -> Values:
    """The value of `${text}`; None unless it is plain."""
    match = _PARAMETER.fullmatch(text)
    if match is None:
        return None
    name, index, operator, operand = match.groups()
    values = state.lookup(name)
    if values is None:
        return None
    if index is None and name not in ("@", "*"):
        values = values[:1] or ("",)
    elif index and index[1:-1].isdigit():
        at = int(index[1:-1])
        values = values[at : at + 1]
    if operator is None:
        return values if not operand else None
    if operator in ("-", ":-"):
        return values if any(values) else None
    if _ACTIVE.search(operand):
        return None
    if operator in ("/", "//"):
        return _replaced(values, operator, operand)
    try:
        return tuple(patterns.trim(value, operator, operand) for value in values)
    except patterns.TooMuchError:
        return None


def _replaced(values: tuple[str, ...], operator: str, operand: str) -> Values:
    old, _, new = operand.partition("/")
    if not old or any(char in "*?[#%" for char in old):
        return None
    return tuple(value.replace(old, new, -1 if operator == "//" else 1) for value in values)


def substitute(node: Node, state: State) -> Values:
    """What a substitution prints, where that can be told from its text: where we are, and a quoted here-document."""
    if node.type == "process_substitution":
        return ("/dev/fd/63",)
    text = tree.text_of(node)
    inner = " ".join(text.strip("$()`").split()) if len(text) < 64 else ""
    if inner in ("pwd", "pwd -P") and state.cwd is not None:
        return (state.cwd,)
    if inner == "git rev-parse --show-toplevel" and state.cwd is not None:
        top = states.top_of(state.cwd)
        return None if top is None else (top,)
    here = _HERE.fullmatch(text)
    return None if here is None else (here[3].rstrip("\n"),)
