"""Walking the tree of a command: statements in their order, each with what is known where it runs.

Every statement that may run counts as if it ran: both sides of `&&` and `||`, all branches, one round of a loop (a
`for` over known words runs for each of them). Depth and the number of statements and words are bounded; what lies
beyond is not read. At a syntax error reading ends: a shell runs the lines before it, and what is behind may mean
anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.shell import assign, commands, flow, redirect, tree, words
from agentsync.shell.call import Write
from agentsync.shell.words import Unknown, Word

if TYPE_CHECKING:
    from tree_sitter import Node

    from agentsync.shell.state import State

MAX_DEPTH = 40
MAX_STEPS = 10_000
"""Statements and words in all."""

MAX_TEXT = 4 * tree.MAX_BYTES
"""Characters parsed in all: a text that is handed to `eval` again and again is not."""

_BLOCKS = frozenset({"program", "do_group", "compound_statement", "else_clause"})
_LEAVES = frozenset({"test_command", "arithmetic_expansion"})


class Walk:
    """One reading of one command; `found` is what it writes."""

    def __init__(self) -> None:
        self.found: list[Write] = []
        self._depth = 0
        self._left = MAX_STEPS
        self._text = MAX_TEXT

    def script(self, text: str, state: State) -> None:
        """Read a text as a script that runs in `state`."""
        self._text -= len(text)
        if self._depth >= MAX_DEPTH or self._text < 0 or (root := tree.parse(text)) is None:
            return
        wrong = tree.first_error(root)
        for statement in root.named_children:
            if wrong is not None and statement.end_point.row >= wrong:
                return  # a shell runs the lines before it, and nothing of this one
            self.run(statement, state)

    def run(self, node: Node, state: State, stdin: str | None = None, source: Word | None = None) -> str | None:
        """Read one statement. Returns what it prints, where that is plain."""
        self._left -= 1
        if self._depth >= MAX_DEPTH or self._left < 0:
            state.enter(None)  # what is not read may have gone anywhere
            return None
        self._depth += 1
        try:
            return self._statement(node, state, stdin, source)
        finally:
            self._depth -= 1

    def _statement(self, node: Node, state: State, stdin: str | None, source: Word | None) -> str | None:
        kind = node.type
        if kind == "command":
            return self._command(node, state, stdin, source)
        if kind == "redirected_statement":
            redirects = node.children_by_field_name("redirect")
            return self._redirected(node.child_by_field_name("body"), redirects, state, stdin)
        if kind in _BLOCKS:
            self.run_all(node.named_children, state, stdin)
        elif kind == "subshell":
            self.run_all(node.named_children, state.copy(), stdin)
        elif kind == "pipeline":
            return self._pipeline(node.named_children, state, stdin)
        elif kind == "list":
            return self._list(node, state, stdin)
        elif kind == "negated_command":
            return self.run(node.named_children[-1], state, stdin, source)
        elif kind == "if_statement":
            flow.branches(self, node.children, state)
        elif kind == "for_statement":
            flow.each(self, node, state, stdin)
        elif kind in ("while_statement", "c_style_for_statement"):
            flow.loop(self, node, state, stdin)
        elif kind == "case_statement":
            flow.cases(self, node, state)
        elif kind == "function_definition":
            self._define(node, state)
        elif kind in ("variable_assignment", "variable_assignments", "declaration_command"):
            self._assignments(node, state)
        elif kind == "unset_command":
            for name in node.named_children:
                state.variables[tree.text_of(name)] = None
        elif kind in _LEAVES:
            self.inner(node, state)
        return None

    def run_all(self, nodes: list[Node], state: State, stdin: str | None = None) -> None:
        """Read statements, one after the other."""
        for node in nodes:
            self.run(node, state, stdin)

    def inner(self, node: Node, state: State) -> None:
        """The commands in the substitutions of a word."""
        for inner in tree.substitutions(node):
            self.run_all(inner.named_children, state.copy())

    # simple commands

    def _command(self, node: Node, state: State, stdin: str | None, source: Word | None) -> str | None:
        argv: list[Word] = []
        self._left -= node.child_count
        if self._left < 0:
            return None
        before: Node | None = None
        for child in node.children:
            kind = child.type
            if kind == "file_redirect":
                source = self._redirect(child, state) or source
                continue
            self.inner(child, state)
            if kind == "herestring_redirect":
                stdin = redirect.here_string(child, state)
            elif kind not in ("variable_assignment", "heredoc_redirect"):
                word = child.named_children[0] if kind == "command_name" and child.named_children else child
                if tree.is_glued(before, child):
                    argv = [Unknown()]
                    break
                argv += words.expand(word, state)
            before = child
        return self.call(argv, state, stdin, source)

    def call(self, argv: list[Word], state: State, stdin: str | None, source: Word | None = None) -> str | None:
        """Read a command whose words are known."""
        self._left -= 1
        if not argv or not isinstance(argv[0], str) or self._left < 0 or self._depth >= MAX_DEPTH:
            return None
        self._depth += 1
        try:
            body = state.functions.get(argv[0])
            if body is None:
                return commands.call(self, argv, state, stdin, source)
            outer, known = state.arguments, [word for word in argv[1:] if isinstance(word, str)]
            state.arguments = tuple(known) if len(known) == len(argv) - 1 else None
            self.run(body, state, stdin)
            state.arguments = outer
        finally:
            self._depth -= 1
        return None

    # redirections

    def _redirected(self, body: Node | None, redirects: list[Node], state: State, stdin: str | None) -> str | None:
        """Read a statement with redirections; those behind a list or pipeline belong to its last command."""
        while body is not None and body.type == "negated_command":
            body = body.named_children[-1]
        if body is not None and redirects and body.type == "list":
            return self._list(body, state, stdin, redirects)
        if body is not None and redirects and body.type == "pipeline":
            return self._pipeline(body.named_children, state, stdin, redirects)
        source: Word | None = None
        more: list[Node] = []
        extra: list[Node] = []
        for child in redirects:
            if child.type == "file_redirect":
                source = self._redirect(child, state) or source
            elif child.type == "herestring_redirect":
                self.inner(child, state)
                stdin = redirect.here_string(child, state)
            elif child.type == "heredoc_redirect":
                stdin = redirect.document(child, state)
                source = self._heredoc(child, state, extra, more) or source
        if body is None:
            return None
        if extra:  # words behind `<<EOF` belong to the command, which is then not whole in the tree
            argv = [w for c in body.named_children if c.type != "variable_assignment" for w in self._word(c, state)]
            printed = self.call(argv + [w for c in extra for w in words.expand(c, state)], state, stdin, source)
        else:
            printed = self.run(body, state, stdin, source)
        for part in more:
            if part.type == "pipeline":
                printed = self._pipeline(part.named_children, state, printed)
            else:
                self.run(part, state)
        return printed

    def _heredoc(self, node: Node, state: State, extra: list[Node], more: list[Node]) -> Word | None:
        """What else is on the line of a `<<EOF`: redirections, words of its command, what it is piped into."""
        source: Word | None = None
        for at, part in enumerate(node.children):
            if part.type == "file_redirect":
                source = self._redirect(part, state) or source
            elif part.type == "heredoc_body":
                self.inner(part, state)
            elif part.is_named and part.type not in ("heredoc_start", "heredoc_end"):
                if node.field_name_for_child(at) == "argument":
                    self.inner(part, state)
                    extra.append(part)
                else:
                    more.append(part)
        return source

    def _word(self, node: Node, state: State) -> list[Word]:
        inner = node.named_children[0] if node.type == "command_name" and node.named_children else node
        return words.expand(inner, state)

    def _redirect(self, node: Node, state: State) -> Word | None:
        """Note what a redirection writes; returns what it reads instead."""
        self.inner(node, state)
        target = redirect.target(node, state)
        if isinstance(target, Write):
            self.found.append(target)
            return None
        return target

    # several commands

    def _pipeline(
        self, nodes: list[Node], state: State, stdin: str | None, redirects: list[Node] | None = None
    ) -> str | None:
        """Every command in a shell of its own; the grammar may put `a | b && c` the wrong way round."""
        for node in nodes:
            given = redirects or [] if node is nodes[-1] else []
            if node.type == "list":
                stdin = self._list(node, state, stdin, given, piped=True)
            else:
                stdin = self._redirected(node, given, state.copy(), stdin)
        return stdin

    def _list(
        self, node: Node, state: State, stdin: str | None, redirects: list[Node] | None = None, *, piped: bool = False
    ) -> str | None:
        """`a && b || c`: the tree leans to the left, as deep as the list is long."""
        rest: list[tuple[str, Node]] = []
        while node.type == "list":
            left, operator, right = node.children[0], node.children[1], node.children[-1]
            rest.append((operator.type, right))
            node = left
        self.run(node, state.copy() if piped else state, stdin)
        printed: str | None = None
        for at, (operator_type, right) in enumerate(reversed(rest), 1):
            given = redirects or [] if at == len(rest) else []
            if operator_type == "||":
                other = state.copy()
                self._redirected(right, given, other, None)
                state.become(state.copy(), other)
            else:
                printed = self._redirected(right, given, state, None)
        return printed if len(rest) == 1 else None

    def _define(self, node: Node, state: State) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            state.functions[tree.text_of(name)] = body

    def _assignments(self, node: Node, state: State) -> None:
        todo = [node] if node.type == "variable_assignment" else node.named_children
        for child in todo:
            self.inner(child, state)
            if child.type == "variable_assignment":
                assign.assign(child, state)
