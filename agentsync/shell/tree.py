"""The parse tree: tree-sitter's, within bounds.

The parser is an extra (`agentsync[shell]`), imported here only, in the function that needs it. Its time has no bound of
its own, so it is stopped after `CPU_LIMIT` seconds. What it cannot be stopped at is not parsed at all: a text with a
NUL, which no shell can be given, and more than `MAX_PIPES` pipes (32,000 in a row took it 37 seconds, without asking).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from agentsync.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Parser

MAX_BYTES = 65536
CPU_LIMIT = 0.25
"""Seconds of processor time; 64 kB of ordinary commands take 0.08."""

MAX_PIPES = 2000
"""How many `|` a text may have: the end of a pipeline of that many takes 0.1 seconds, of twice as many 0.4."""

MENDS = 8
"""How often a text is parsed again because the grammar lost the end of a line."""

_CHUNK = 8192
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_parser: Parser | None = None

SUBSTITUTIONS = frozenset({"command_substitution", "process_substitution", "arithmetic_expansion"})


def parse(text: str) -> Node | None:
    """The tree of a command, or None when it is too long, no text, or takes too long.

    Raises:
        MissingExtraError: the parser is not installed.
    """
    if len(text) > MAX_BYTES or "\0" in text or text.count("|") > MAX_PIPES:
        return None
    try:
        source = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None  # half a character: no shell was ever given that
    if len(source) > MAX_BYTES:
        return None
    parser = _get_parser()
    for _ in range(MENDS):
        root = _bounded(parser, source)
        mended = None if root is None else _mended(root, source)
        if mended is None:
            return root
        source = mended
    return None


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
    # The grammar's scanner looks characters up in a table of 256 and crashes beyond. To a shell they are all letters of
    # words, but not of names, so the parser sees dots in their place; the nodes' texts are of the source itself.
    seen = _NOT_ASCII.sub(lambda found: b"." * len(found[0]), source)
    try:
        tree = parser.parse(
            lambda offset, _point: seen[offset : offset + _CHUNK],
            encoding="utf8",
            progress_callback=lambda _offset, _error: process_time() > end,
        )
    except ValueError:
        parser.reset()  # stopped; without this it would go on with the old text
        return None
    seen = source
    return tree.root_node


def _mended(root: Node, source: bytes) -> bytes | None:
    """The source with `;` for every end of line that the grammar took for a space; None if there is none.

    In `a | b | c`, a line end behind c is lost when a here-document follows: the next lines become words of c.
    """
    if b"\n" not in source:
        return None
    out = bytearray(source)
    pending = [root]
    while pending:
        node = pending.pop()
        children = node.children
        pending += children
        if node.type not in ("command", "redirected_statement"):
            continue
        for before, behind in pairwise(children):
            gap = source[before.end_byte : behind.start_byte]
            lost = gap.replace(b"\\\n", b"  ").find(b"\n")
            if lost >= 0 and before.type != "heredoc_redirect":
                out[before.end_byte + lost] = ord(";")
                if before.type == "comment":
                    out[before.start_byte : before.end_byte] = b" " * (before.end_byte - before.start_byte)
    return bytes(out) if out != source else None


def first_error(root: Node) -> int | None:
    """The first line in which something was not understood; None if all was.

    The grammar lacks `<>`, and a command that is only assignments and redirections; both are understood here.
    """
    if not root.has_error:
        return None
    lines: list[int] = []
    pending = [root]
    while pending:
        here = pending.pop()
        if (here.is_error and not is_read_write(here)) or (here.is_missing and not _is_no_command(here)):
            lines.append(here.start_point.row)
        pending += [child for child in here.children if child.has_error or child.is_missing]
    return min(lines, default=None)


def is_glued(before: Node | None, node: Node) -> bool:
    """Whether a node follows another without a space, perhaps on a continued line: two nodes of the tree, one word."""
    if before is None:
        return False
    lines = node.start_point.row - before.end_point.row
    return node.start_byte - before.end_byte == 2 * lines and (not lines or node.start_point.column == 0)


def is_read_write(node: Node) -> bool:
    """Whether the node is the odd half of a redirection `<>`."""
    if not node.is_error or node.parent is None:
        return False
    behind = node.next_sibling
    if node.text == b"<":
        return behind is not None and behind.type == "file_redirect" and behind.start_byte == node.end_byte
    return node.text == b">" and node.parent.type == "file_redirect"


def _is_no_command(node: Node) -> bool:
    """Whether the node is the name that `A=1 >file` does not have."""
    parent = node.parent
    while parent is not None and parent.type == "command_name":
        parent = parent.parent
    return parent is not None and parent.type == "command" and parent.children[0].type == "variable_assignment"


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
