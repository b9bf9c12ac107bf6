"""Programs given to an interpreter on its command line or standard input: `python -c`, `node -e`, `python - <<EOF`.

A script in a file is not read: what it does is no business of its name.
"""

from __future__ import annotations

from collections.abc import Callable

from agentsync.shell.call import Call
from agentsync.shell.programs import jscode
from agentsync.shell.words import Unknown, Word


def python(it: Call) -> None:
    """`-c CODE`, `-m MODULE` (like the program of that name), or code on standard input."""
    queue = list(reversed(it.args))
    while queue:
        word = queue.pop()
        if isinstance(word, Unknown):
            return
        if word == "-m" or (word.startswith("-") and word[1:2] != "-" and word.endswith("m")):
            _module(it, list(reversed(queue)))
            return
        if word.startswith("-") and word[1:2] != "-" and word.endswith("c"):
            if queue and isinstance(queue[-1], str):
                _code(it, queue[-1])
            return
        if word in ("-W", "-X") and queue:
            queue.pop()
        elif word == "-" or not word.startswith("-"):
            if word == "-" and it.stdin is not None:
                _code(it, it.stdin)
            return
        elif word in ("-h", "-V", "--help", "--version"):
            return
    if it.stdin is not None:
        _code(it, it.stdin)


def _code(it: Call, text: str) -> None:
    from agentsync.shell.programs import pycode  # `ast` is the largest import of all rules

    pycode.read(it, text)


_MODULES = frozenset(
    {"black", "isort", "ruff", "autopep8", "yapf", "autoflake", "docformatter", "pyupgrade", "poetry", "uv"}
)


def _module(it: Call, words: list[Word]) -> None:
    if words and words[0] in _MODULES:
        it.run(words, it.state, it.stdin)


def node(it: Call) -> None:
    """`-e CODE` and `-p CODE`, or code on standard input."""
    options = it.options("-e -p -r --eval --print --require --import --input-type -C --conditions", posix=True)
    code = options.get("-e", "--eval", "-p", "--print")
    if code is None and options.operands in ([], ["-"]):
        code = it.stdin
    if isinstance(code, str) and not options.unclear:
        jscode.read(it, code)


_PYTHONS = ("python", "python3", "python2", "pypy3", *(f"python3.{minor}" for minor in range(8, 16)))

RULES: dict[str, Callable[[Call], None]] = {
    **dict.fromkeys(_PYTHONS, python),
    "node": node,
    "nodejs": node,
}
