"""The characters of a word, read: quotes, backslashes and `$`.

The tree says where the word is and where the substitutions in it are; the pieces that come out are plain characters,
which may still mean something to a shell, quoted text, and values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.shell import tree
from agentsync.shell.parameters import parameter, substitute

if TYPE_CHECKING:
    from tree_sitter import Node

    from agentsync.shell.state import State, Values


class Quoted(Struct, frozen=True):
    """Text that stands for itself."""

    text: str


class Value(Struct, frozen=True):
    """What a `$` stands for."""

    fields: Values
    quoted: bool


Atom = str | Quoted | Value
"""A piece of a word; a plain string is one unquoted character."""

_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]", re.ASCII)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "e": "\x1b"}


def read(text: str, state: State, node: Node | None = None) -> list[Atom]:
    """The pieces of a word."""
    spans: dict[int, tuple[int, Node]] = {}
    if node is not None:
        raw, done, chars = node.text or b"", 0, 0
        for inner in tree.substitutions(node):
            start, end = inner.start_byte - node.start_byte, inner.end_byte - node.start_byte
            chars += len(raw[done:start].decode("utf-8", "surrogateescape"))
            width = len(raw[start:end].decode("utf-8", "surrogateescape"))
            spans[chars] = (chars + width, inner)
            chars, done = chars + width, end
    return _Reader(text, state, spans).all()


class _Reader:
    """Reads the characters of one word."""

    def __init__(self, text: str, state: State, spans: dict[int, tuple[int, Node]]) -> None:
        self.text, self.state, self.spans, self.at = text, state, spans, 0
        self.atoms: list[Atom] = []

    def all(self) -> list[Atom]:
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if self.at in self.spans or char in "$`":
                self._dollar(quoted=False)
            elif char == "\\":
                if text[self.at + 1 : self.at + 2] != "\n":
                    self.atoms.append(Quoted(text[self.at + 1 : self.at + 2]))
                self.at += 2
            elif char == "'":
                self._single()
            elif char == '"':
                self.at += 1
                self._double('"')
            else:
                self.atoms.append(char)
                self.at += 1
        return self.atoms

    def all_quoted(self) -> list[Atom]:
        self._double("")
        return self.atoms

    def _single(self) -> None:
        end = self.text.find("'", self.at + 1)
        end = len(self.text) if end < 0 else end
        self.atoms.append(Quoted(self.text[self.at + 1 : end]))
        self.at = end + 1

    def _double(self, stop: str) -> None:
        text = self.text
        plain = [""]
        self.atoms.append(Quoted(""))
        while self.at < len(text) and not (stop and text[self.at] == stop):
            char = text[self.at]
            if self.at in self.spans or char in "$`":
                self.atoms.append(Quoted("".join(plain)))
                plain.clear()
                self._dollar(quoted=True)
                continue
            if char == "\\" and text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                self.at += 1
                char = text[self.at].replace("\n", "")
            plain.append(char)
            self.at += 1
        self.atoms.append(Quoted("".join(plain)))
        self.at += 1

    def _dollar(self, *, quoted: bool) -> None:
        text, at = self.text, self.at
        if at in self.spans:
            self.at, inner = self.spans[at]
            self.atoms.append(Value(substitute(inner, self.state), quoted or text[at] in "<>"))
        elif text[at] == "`":
            self.at = len(text)
            self.atoms.append(Value(None, quoted))
        elif text.startswith("$'", at) and not quoted:
            self._ansi()
        elif text.startswith('$"', at) and not quoted:
            self.at += 2
            self._double('"')
        elif text.startswith("${", at):
            end = _closing(text, at + 2)
            self.at = end + 1
            self.atoms.append(Value(parameter(text[at + 2 : end], self.state), quoted))
        elif text.startswith("$(", at):
            self.at = len(text)
            self.atoms.append(Value(None, quoted))
        elif (name := _NAME.match(text, at + 1)) is not None:
            self.at = name.end()
            self.atoms.append(Value(self.state.lookup(name[0]), quoted))
        else:
            self.atoms.append(Quoted("$"))
            self.at += 1

    def _ansi(self) -> None:
        text, at, plain = self.text, self.at + 2, [""]
        while at < len(text) and text[at] != "'":
            if text[at] == "\\":
                at += 1
                escape = _ESCAPES.get(text[at : at + 1])
                if escape is None:
                    self.atoms.append(Value(None, quoted=True))  # a number or a control: not worth it
                plain.append(escape or "")
            else:
                plain.append(text[at])
            at += 1
        self.atoms.append(Quoted("".join(plain)))
        self.at = at + 1


def _closing(text: str, at: int) -> int:
    """Where the `}` of a `${` is."""
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "{":
            depth += 1
        elif text[at] == "}":
            if not depth:
                return at
            depth -= 1
        at += 1
    return len(text)


def document(text: str, state: State) -> list[Atom]:
    """The pieces of a here-document whose end word is not quoted."""
    return _Reader(text, state, {}).all_quoted()
