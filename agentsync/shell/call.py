"""One call of a program: its words, where it runs, what it reads; and where its rule puts what it writes.

A rule is a function of a `Call`. It names paths by words; words that are not known, and relative paths where the folder
is not known, are left out here, so that a rule need not care.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from agentsync.shell.words import Unknown, Word

if TYPE_CHECKING:
    from agentsync.shell.state import State


class Write(Struct, frozen=True):
    """Something that a command will write."""

    path: str
    """Absolute; symbolic links in it are not resolved."""
    tree: bool
    """Everything below the path is meant, not just the path."""
    how: str
    """Short words for a message: `sed -i`, `a redirection`."""
    only: tuple[str, ...] = ()
    """Of a tree: only names that end so, as a formatter touches its own language. Empty: all."""

    def covers(self, path: str) -> bool:
        """Whether the absolute `path` is written; compare like with like, both resolved or neither."""
        if path == self.path:
            return True
        inside = self.tree and path.startswith(self.path.rstrip("/") + "/")
        return inside and (not self.only or path.endswith(self.only))


def is_device(path: str) -> bool:
    """Whether a path names no file that anybody edits. `/dev/shm` is a disk like any other."""
    return path.startswith(("/dev/", "/proc/")) and not path.startswith("/dev/shm/")  # noqa: S108 # named, not used


class Options(Struct):
    """Words of a call, sorted."""

    values: dict[str, list[Word]] = field(default_factory=dict)
    """Each option that is there, as it is written (`-i`, `--in-place`), with its values ("" where it has none)."""
    operands: list[Word] = field(default_factory=list)
    unclear: bool = False
    """A word that is not known may be an option."""

    def has(self, *names: str) -> bool:
        """Whether one of the options is there."""
        return any(name in self.values for name in names)

    def get(self, *names: str) -> Word | None:
        """The last value of an option."""
        return next((self.values[name][-1] for name in names if name in self.values), None)


class Call(Struct):
    """A program, called."""

    name: str
    args: list[Word]
    state: State
    stdin: str | None
    """What it reads on standard input, where that is known."""
    source: Word | None
    """The file that its standard input is, where it is one."""
    out: list[Write]
    run: Callable[[list[Word], State, str | None], object]
    """Runs words as a command in a state; what it finds goes to `out` as well."""
    script: Callable[[str, State], object]
    """The same with the text of a script."""

    def path(self, word: Word | None) -> str | None:
        """The absolute path that a word means."""
        return self.state.absolute(word) if isinstance(word, str) else None

    def write(self, word: Word | None, how: str, *, tree: bool = False, only: tuple[str, ...] = ()) -> None:
        """Note that the file (or tree) is written."""
        path = self.path(word)
        if path is not None and not is_device(path):
            self.out.append(Write(path, tree, how, only if tree else ()))

    def is_folder(self, word: Word | None) -> bool:
        """Whether the word names a directory that is there."""
        path = self.path(word)
        return path is not None and os.path.isdir(path)

    def content(self, word: Word | None) -> str | None:
        """The text of a small file that is there."""
        path = self.path(word)
        try:
            if path is None or not os.path.isfile(path) or os.path.getsize(path) > 1_000_000:
                return None
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError:
            return None  # gone or not ours: nothing is known of it

    def options(self, valued: str = "", *, posix: bool = False) -> Options:
        """Sort the words; the options in `valued` (separated by spaces) take the next word as value."""
        return sort(self.args, frozenset(valued.split()), posix=posix)


def sort(args: list[Word], valued: frozenset[str], *, posix: bool = False) -> Options:
    """Options and operands in the way of getopt_long: `-ab`, `-ovalue`, `--long=value`, `--`.

    With `posix` the first operand ends the options, as for programs that call another one.
    """
    found = Options()
    queue = list(reversed(args))
    while queue:
        word = queue.pop()
        if isinstance(word, Unknown):
            name, equals, _ = word.prefix.partition("=")
            if equals and name.startswith("--"):
                found.values.setdefault(name, []).append(Unknown())
                continue
            if word.option:
                found.unclear = True
            found.operands.append(word)
        elif word == "--":
            found.operands += reversed(queue)
            break
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            taken: Word = value
            if not equals and name in valued and queue:
                taken = queue.pop()
            found.values.setdefault(name, []).append(taken)
            continue
        elif word.startswith("-") and len(word) > 1:
            _cluster(word, valued, queue, found)
            continue
        else:
            found.operands.append(word)
        if posix:
            found.operands += reversed(queue)
            break
    return found


def _cluster(word: str, valued: frozenset[str], queue: list[Word], found: Options) -> None:
    name, equals, value = word.partition("=")
    if equals and len(name) > 2:  # -style=file, as Go programs and clang have it
        found.values.setdefault(name, []).append(value)
        return
    if word in valued and len(word) > 2:
        found.values.setdefault(word, []).append(queue.pop() if queue else "")
        return
    for at, letter in enumerate(word[1:], 1):
        name = "-" + letter
        if name in valued:
            rest: Word = word[at + 1 :]
            if not rest and queue:
                rest = queue.pop()
            found.values.setdefault(name, []).append(rest)
            return
        found.values.setdefault(name, []).append("")
