"""Branches and loops: every way is read, and what the ways do not agree on is not known behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.shell import tree, words
from agentsync.shell.words import Unknown, Word

if TYPE_CHECKING:
    from tree_sitter import Node

    from agentsync.shell.state import State
    from agentsync.shell.walk import Walk

MAX_ROUNDS = 256


def branches(walk: Walk, children: list[Node], state: State) -> None:
    """`if`: the condition, then each branch."""
    ways: list[State] = []
    here, has_else = state, False
    for child in children:
        if child.type == "then":
            here = state.copy()
            ways.append(here)
        elif child.type == "elif_clause":
            here = state
            for part in child.children:
                if part.type == "then":
                    here = state.copy()
                    ways.append(here)
                elif part.is_named:
                    walk.run(part, here)
        elif child.type == "else_clause":
            has_else = True
            here = state.copy()
            ways.append(here)
            walk.run(child, here)
        elif child.is_named:
            walk.run(child, here)
    if not has_else:
        ways.append(state.copy())
    state.become(*ways)


def each(walk: Walk, node: Node, state: State, stdin: str | None) -> None:
    """`for` and `select`: a round for every word that is known, one if some are not."""
    variable, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
    if variable is None or body is None:
        return
    name = tree.text_of(variable)
    listed = node.children_by_field_name("value")
    for child in listed:
        walk.inner(child, state)
    items: list[Word] = [word for child in listed for word in words.expand(child, state)]
    if not any(child.type == "in" for child in node.children):
        items = list(state.arguments) if state.arguments is not None else [Unknown()]
    if len(items) > MAX_ROUNDS or node.children[0].type == "select":
        items = [Unknown()]
    ways = [state.copy()]
    for item in items:
        state.variables[name] = (item,) if isinstance(item, str) else None
        walk.run(body, state, stdin)
    ways.append(state.copy())
    state.become(*(ways if not items else ways[1:]))


def loop(walk: Walk, node: Node, state: State, stdin: str | None) -> None:
    """`while`, `until` and `for ((`: one round, or none."""
    before = state.copy()
    walk.run_all(node.named_children, state, stdin)
    state.become(before, state.copy())


def cases(walk: Walk, node: Node, state: State) -> None:
    """`case`: each item, or none."""
    ways = [state.copy()]
    for item in node.named_children:
        if item.type == "case_item":
            ways.append(state.copy())
            values = item.children_by_field_name("value")
            walk.run_all([child for child in item.named_children if child not in values], ways[-1])
    state.become(*ways)
