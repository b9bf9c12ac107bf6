"""find with -delete or -exec, where its tests are plain: then what it finds is looked up."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable

from msgspec import Struct, field

from agentsync.shell.call import Call
from agentsync.shell.patterns import TooMuchError
from agentsync.shell.words import Word

Test = Callable[[str, str], bool]
"""Whether a path (as find names it) of a kind (`f`, `d` or `l`) fits."""

MAX_CALLS = 256


class Query(Struct):
    """A find command, read."""

    roots: list[str] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)
    deepest: int = 64
    least: int = 0
    deletes: bool = False
    commands: list[tuple[list[Word], bool]] = field(default_factory=list)
    """Words of `-exec`, and whether it is called once for all."""


def find(it: Call) -> None:
    """What `-delete` removes, and what the commands of `-exec` write, for each file that is found."""
    if "-delete" not in it.args and "-exec" not in it.args and "-execdir" not in it.args:
        return
    query = _read(it.args)
    if query is None or it.state.cwd is None:
        return
    try:
        found = [path for root in query.roots or ["."] for path in _walk(it, root, query)]
    except TooMuchError:
        return  # too large to be listed: then nothing is certain
    if query.deletes:
        for path in found:
            it.write(path, "find -delete")
    for words, together in query.commands:
        rounds = [found] if together else [[path] for path in found[:MAX_CALLS]]
        for some in rounds if found else []:
            it.run(_filled(words, some), it.state.copy(), None)


def _filled(words: list[Word], paths: list[str]) -> list[Word]:
    out: list[Word] = []
    for word in words:
        if word == "{}":
            out += paths
        else:
            out.append(word.replace("{}", paths[0]) if isinstance(word, str) else word)
    return out


def _walk(it: Call, root: str, query: Query) -> list[str]:
    top = it.path(root)
    if top is None:
        return []
    found, pending = [], [(root, top, 0)]
    while pending:
        name, path, depth = pending.pop()
        kind = "l" if os.path.islink(path) else "d" if os.path.isdir(path) else "f"
        if not os.path.lexists(path):
            continue
        if depth >= query.least and all(test(name, kind) for test in query.tests):
            found.append(name)
        if kind == "d" and depth < query.deepest:
            pending += [(os.path.join(name, n), os.path.join(path, n), depth + 1) for n in it.state.disk.names(path)]
    return found


def _read(args: list[Word]) -> Query | None:
    """The query, or None when something in it is not plain."""
    query, negated = Query(), False
    queue = list(reversed(args))
    while queue:
        word = queue.pop()
        if not isinstance(word, str):
            return None
        if word in ("-exec", "-execdir"):
            if word == "-execdir" or not _command(queue, query):
                return None
        elif word in ("-not", "!"):
            negated = not negated
        elif word == "-delete":
            query.deletes = True
        elif word in ("-print", "-print0", "-a", "-and", "-depth", "-mount", "-xdev"):
            continue
        elif not word.startswith("-"):
            if query.tests or word in ("(", ")", ","):
                return None
            query.roots.append(word)
        else:
            value = queue.pop() if queue else None
            if not isinstance(value, str) or query.deletes or query.commands or not _test(word, value, negated, query):
                return None
            negated = False
    return query


def _command(queue: list[Word], query: Query) -> bool:
    words: list[Word] = []
    while queue and queue[-1] not in (";", "+"):
        words.append(queue.pop())
    query.commands.append((words, bool(queue) and queue.pop() == "+"))
    return True


def _test(name: str, value: str, negated: bool, query: Query) -> bool:
    """Add one test; False if it is not one of the plain ones."""
    test: Test
    if name in ("-maxdepth", "-mindepth") and value.isdigit() and len(value) < 4:
        query.deepest, query.least = (int(value), query.least) if name == "-maxdepth" else (query.deepest, int(value))
        return True
    if name == "-type" and value in ("f", "d", "l"):
        test = lambda _path, kind: kind == value  # noqa: E731  (one of two shapes of a test)
    elif name in ("-name", "-iname", "-path", "-ipath", "-wholename"):
        fits = re.compile(fnmatch.translate(value), re.IGNORECASE if name.startswith("-i") else 0).match
        whole = "name" not in name or name == "-wholename"
        test = lambda path, _kind: fits(path if whole else os.path.basename(path)) is not None  # noqa: E731
    else:
        return False
    query.tests.append((lambda path, kind: not test(path, kind)) if negated else test)
    return True


RULES: dict[str, Callable[[Call], None]] = {"find": find, "gfind": find}
