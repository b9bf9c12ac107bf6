"""Words: what a shell makes of `"$F"/{a,b}*.py`.

The tree says where a word is and where the substitutions in it are; what its characters mean is decided here: quotes,
variables that the command itself has set, braces, `~`, wildcards. A word of which some part is not known is `Unknown`,
never a guess.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.shell import lexer, patterns, tree
from agentsync.shell.lexer import Atom, Quoted, Value
from agentsync.shell.patterns import Char, TooMuchError

if TYPE_CHECKING:
    from tree_sitter import Node

    from agentsync.shell.state import State

MAX_TEXT = 65536
MAX_ATOMS = 500_000
"""Pieces of words that braces may be multiplied into."""

_PLAIN = re.compile(r"[\w./:=,@%+-]+", re.ASCII)
"""Words that mean themselves: most of them."""


class Unknown(Struct, frozen=True):
    """A word, or several, that only the running shell will know; `prefix` is how it begins for certain."""

    prefix: str = ""

    @property
    def option(self) -> bool:
        """Whether it may be an option."""
        return not self.prefix or self.prefix.startswith("-")


Word = str | Unknown


def expand(node: Node, state: State) -> list[Word]:
    """The words that a word of the source becomes: usually one."""
    text = tree.text_of(node)
    if _PLAIN.fullmatch(text):
        return [text]
    try:
        found: list[Word] = []
        for atoms in _braces(lexer.read(text, state, node)):
            found += _fields(atoms, state)
            if len(found) > patterns.MAX_WORDS:
                return [Unknown()]
    except TooMuchError:
        return [Unknown()]
    return found


def value(node: Node, state: State) -> str | None:
    """The text of a word where nothing is split or matched, as behind `NAME=` and `<<<`."""
    return _joined(lexer.read(tree.text_of(node), state, node), state)


def document(text: str, state: State) -> str | None:
    """The text of a here-document whose end word is not quoted."""
    return _joined(lexer.document(text, state), state)


def _joined(atoms: list[Atom], state: State) -> str | None:
    """The text of all pieces, or None if one is not known."""
    out: list[str] = []
    size = 0
    for atom in _home(atoms, state):
        if isinstance(atom, Value):
            if atom.fields is None:
                return None
            text = " ".join(atom.fields)
        else:
            text = atom.text if isinstance(atom, Quoted) else atom
        size += len(text)
        if size > MAX_TEXT:
            return None
        out.append(text)
    return "".join(out)


def _home(atoms: list[Atom], state: State) -> list[Atom]:
    """`~` at the beginning becomes the home folder; somebody else's is not known."""
    if atoms[:1] != ["~"]:
        return atoms
    if len(atoms) == 1 or atoms[1] == "/":
        return [Value(None if state.home is None else (state.home,), quoted=True), *atoms[1:]]
    return [Value(None, quoted=True), *atoms[1:]]


def _braces(atoms: list[Atom]) -> list[list[Atom]]:
    """The alternatives of `{a,b}` and `{1..3}`, in order."""
    done: list[list[Atom]] = []
    pending = [(atoms, 0)]
    left = MAX_ATOMS
    while pending:
        here, start = pending.pop(0)
        left -= len(here)
        if left < 0 or len(pending) + len(done) > patterns.MAX_WORDS:
            raise TooMuchError
        opened = next((at for at in range(start, len(here)) if here[at] == "{"), None)
        if opened is None:
            done.append(here)
            continue
        options, closed = _options(here, opened)
        if options is None:
            pending.insert(0, (here, opened + 1))
        else:
            pending[:0] = [(here[:opened] + option + here[closed + 1 :], opened) for option in options]
    return done


def _options(atoms: list[Atom], opened: int) -> tuple[list[list[Atom]] | None, int]:
    depth, commas = 0, [opened]
    for at in range(opened, len(atoms)):
        atom = atoms[at]
        if atom == "{":
            depth += 1
        elif atom == "," and depth == 1:
            commas.append(at)
        elif atom == "}":
            depth -= 1
            if not depth:
                break
    else:
        return None, opened
    if len(commas) > 1:
        return [atoms[a + 1 : b] for a, b in zip(commas, [*commas[1:], at], strict=True)], at
    inner = atoms[opened + 1 : at]
    words = patterns.number_range("".join(a for a in inner if isinstance(a, str))) if len(inner) < 20 else None
    return (None if words is None else [list(word) for word in words]), at


def _fields(atoms: list[Atom], state: State) -> list[Word]:
    """Variables split where they are not quoted, then wildcards."""
    fields: list[list[Char]] = []
    open_field = False
    for atom in _home(atoms, state):
        if not isinstance(atom, Value):
            if not open_field:
                fields.append([])
                open_field = True
            text, quoted = (atom, False) if isinstance(atom, str) else (atom.text, True)
            fields[-1].extend((char, quoted) for char in text)
            continue
        if atom.fields is None:
            return [Unknown("".join(char for char, _ in fields[0]) if fields else "")]
        parts = list(atom.fields) if atom.quoted else [part for one in atom.fields for part in one.split()]
        if sum(map(len, parts)) + sum(map(len, fields)) > MAX_TEXT:
            raise TooMuchError
        for number, part in enumerate(parts):
            if number or not open_field:
                fields.append([])
                open_field = True
            fields[-1].extend((char, atom.quoted) for char in part)
    return [word for one in fields for word in _matches(one, state)]


def _matches(chars: list[Char], state: State) -> list[Word]:
    text = "".join(char for char, _ in chars)
    if not patterns.is_pattern(chars):
        return [text]
    if state.cwd is None and not text.startswith("/"):
        return [Unknown(text[:1] if text[:1] not in "*?[" else "")]
    found = patterns.expand(chars, state.cwd or "/", state.disk)
    return [Unknown() if path.startswith("-") else path for path in found] or [text]
