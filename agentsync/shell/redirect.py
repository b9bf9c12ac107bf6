"""Redirections: the file that one writes, the file that one reads, the text of a here-document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.shell import tree, words
from agentsync.shell.call import Write, is_device
from agentsync.shell.words import Unknown, Word

if TYPE_CHECKING:
    from tree_sitter import Node

    from agentsync.shell.state import State


def target(node: Node, state: State) -> Write | Word | None:
    """What a redirection writes, or the word of the file that it reads instead."""
    destination = node.child_by_field_name("destination")
    if destination is None:
        return None
    operator = next((child.type for child in node.children if not child.is_named), "")
    both = operator == "<" and any(tree.is_read_write(child) for child in node.children)
    found = words.expand(destination, state)
    word = found[0] if len(found) == 1 else Unknown()
    if operator == "<" and not both:
        return word
    is_descriptor = operator == ">&" and isinstance(word, str) and word.rstrip("-").isdigit()
    if not isinstance(word, str) or is_descriptor or not (both or ">" in operator):
        return None
    path = state.absolute(word)
    return None if path is None or is_device(path) else Write(path, False, "a redirection")


def document(node: Node, state: State) -> str | None:
    """The text of a here-document, if it is known."""
    parts = {child.type: child for child in node.children}
    start, body, end = parts.get("heredoc_start"), parts.get("heredoc_body"), parts.get("heredoc_end")
    if start is None or body is None or end is None:
        return None
    root = node
    while root.parent is not None:
        root = root.parent
    whole = (root.text or b"")[: end.start_byte - root.start_byte]
    raw = whole[whole.rfind(b"\n", 0, body.start_byte - root.start_byte) + 1 :]  # the node may begin too late
    text = raw.decode("utf-8", "surrogateescape")
    if "<<-" in parts:
        text = "\n".join(line.lstrip("\t") for line in text.split("\n"))
    quoted = any(quote in tree.text_of(start) for quote in "'\"\\")
    return text if quoted else words.document(text, state)


def here_string(node: Node, state: State) -> str | None:
    """The text of `<<< word`."""
    text = words.value(node.named_children[-1], state) if node.named_children else None
    return None if text is None else text + "\n"
