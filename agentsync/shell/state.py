"""What is known at one point of a command: where it runs, its variables and functions.

Unknown is a value: `cwd` None, a variable that maps to None. Where two ways meet (after an `if`), what they do not
agree on is unknown.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct, field

from agentsync.shell.patterns import Disk

if TYPE_CHECKING:
    from tree_sitter import Node

Values = tuple[str, ...] | None
"""The elements of a variable (one, unless it is an array), or None: not known."""


class State(Struct):
    """One point of a command. `home` and `disk` are the same at all of them."""

    cwd: str | None
    home: str | None
    disk: Disk
    variables: dict[str, Values] = field(default_factory=dict)
    functions: dict[str, Node] = field(default_factory=dict)
    arguments: Values = None
    """`$1` and so on, known inside a function only."""
    before: str | None = None
    """Where `cd -` goes."""
    stack: tuple[str | None, ...] = ()
    """Where `popd` goes."""

    def copy(self) -> State:
        """The state of a subshell: what changes in it, changes in it only."""
        return State(
            self.cwd,
            self.home,
            self.disk,
            dict(self.variables),
            dict(self.functions),
            self.arguments,
            self.before,
            self.stack,
        )

    def child(self) -> State:
        """The state of another shell that is started here."""
        return State(self.cwd, self.home, self.disk)

    def become(self, *ways: State) -> None:
        """Go on where one of several ways ended."""
        first, *others = ways
        self.cwd = first.cwd if all(way.cwd == first.cwd for way in others) else None
        self.before = first.before if all(way.before == first.before for way in others) else None
        self.stack = first.stack if all(way.stack == first.stack for way in others) else ()
        names = {name for way in ways for name in way.variables}
        self.variables = {
            name: first.variables.get(name)
            if all(way.variables.get(name, ()) == first.variables.get(name) for way in others)
            else None
            for name in names
        }
        self.functions = {
            name: body
            for name, body in first.functions.items()
            if all(way.functions.get(name) == body for way in others)
        }

    def forget_variables(self) -> None:
        """Something unknown ran in this shell: any variable may have another value."""
        self.variables = dict.fromkeys(self.variables)

    def enter(self, folder: str | None) -> None:
        """`cd`: to an absolute path, or to where nobody knows."""
        self.before, self.cwd = self.cwd, folder

    def lookup(self, name: str) -> Values:
        """The value of a variable, or None."""
        if name in self.variables:
            return self.variables[name]
        if name == "HOME":
            return None if self.home is None else (self.home,)
        if name == "PWD":
            return None if self.cwd is None else (self.cwd,)
        if self.arguments is not None:
            if name in ("@", "*"):
                return self.arguments
            if name.isascii() and name.isdigit() and 0 < int(name[:4]) <= len(self.arguments):
                return (self.arguments[int(name[:4]) - 1],)
        return None

    def absolute(self, path: str) -> str | None:
        """Where a path leads from here, or None if that is not known or it is no path."""
        if not path or "\0" in path or (self.cwd is None and not path.startswith("/")):
            return None
        return resolve(self.cwd or "/", path)


def resolve(cwd: str, path: str) -> str:
    """`path` seen from `cwd`, without `.` and empty parts; `..` is taken out where no symbolic link is before it."""
    parts: list[str] = []
    for part in os.path.join(cwd, path).split("/"):
        if part == ".." and not parts:
            continue
        if part == ".." and parts[-1] != ".." and not os.path.islink("/" + "/".join(parts)):
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def top_of(folder: str) -> str | None:
    """The root of the git working tree that holds a folder, found by its `.git`."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        if folder in ("/", ""):
            return None
        folder = os.path.dirname(folder)
    return folder
