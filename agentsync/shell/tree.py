"""The parse tree: tree-sitter's, within bounds.

The parser is an extra (`agentsync[shell]`), imported here only, in the function that needs it. Its time has no bound of
its own: 64 kB of `|` took it two minutes. So it is stopped after `CPU_LIMIT` seconds, and a text with a NUL, which no
shell can be given and on which it cannot be stopped, is not parsed at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Parser

MAX_BYTES = 65536
CPU_LIMIT = 0.25
"""Seconds of processor time; 64 kB of ordinary commands take 0.08."""

_CHUNK = 8192
_parser: Parser | None = None

SUBSTITUTIONS = frozenset({"command_substitution", "process_substitution", "arithmetic_expansion"})


def parse(text: str) -> Node | None:
    """The tree of a command, or None when it is too long, no text, or takes too long.

    Raises:
        MissingExtraError: the parser is not installed.
    """
    if len(text) > MAX_BYTES or "\0" in text:
        return None
    try:
        source = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None  # half a character: no shell was ever given that
    if len(source) > MAX_BYTES:
        return None
    return _bounded(_get_parser(), source)


def _get_parser() -> Parser:
    global _parser  # noqa: PLW0603  (building it costs more than most parses)
    if _parser is None:
        try:
            import tree_sitter  # 60 ms together, most of it the grammar's tables
            import tree_sitter_bash
        except ImportError as reason:
            raise MissingExtraError(
                "reading shell commands needs a parser that is not installed",
                hint="pip install 'agentsync[shell]'",
            ) from reason
        _parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
    return _parser


def _bounded(parser: Parser, source: bytes) -> Node | None:
    from time import process_time

    end = process_time() + CPU_LIMIT
    try:
        tree = parser.parse(
            lambda offset, _point: source[offset : offset + _CHUNK],
            encoding="utf8",
            progress_callback=lambda _offset, _error: process_time() > end,
        )
    except ValueError:
        parser.reset()  # stopped; without this it would go on with the old text
        return None
    return tree.root_node


def has_error(node: Node) -> bool:
    """Whether some of the text below the node was not understood. `<>`, which the grammar lacks, is."""
    if not node.has_error:
        return False
    pending = [node]
    while pending:
        here = pending.pop()
        if here.is_missing or (here.is_error and not is_read_write(here)):
            return True
        pending += [child for child in here.children if child.has_error or child.is_missing]
    return False


def is_read_write(node: Node) -> bool:
    """Whether the node is the `>` of a redirection `<>`."""
    return node.is_error and node.text == b">" and node.parent is not None and node.parent.type == "file_redirect"


def text_of(node: Node) -> str:
    """The source of a node."""
    return (node.text or b"").decode("utf-8", "surrogateescape")


def substitutions(node: Node) -> Iterator[Node]:
    """The outermost `$(…)`, `<(…)`, `>(…)` and `$((…))` in a node, in the order of the text."""
    pending = [node]
    while pending:
        here = pending.pop()
        if here.type in SUBSTITUTIONS:
            yield here
        else:
            pending += reversed(here.children)
