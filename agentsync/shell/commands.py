"""One command: a builtin of the shell, a program that calls another command, or one that has a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.shell.builtins import BUILTINS
from agentsync.shell.call import Call, sort
from agentsync.shell.words import Unknown, Word

if TYPE_CHECKING:
    from agentsync.shell.state import State
    from agentsync.shell.walk import Walk


class Wrapper(Struct, frozen=True):
    """A program whose operands are a command, after `skip` operands and, for some, one of the words `verb`."""

    valued: str = ""
    skip: int = 0
    verb: tuple[str, ...] = ()
    nothing: tuple[str, ...] = ()
    """Options with which it does not run the command."""


_SUDO = "-u -g -C -h -p -r -t -T -U -R --user --group --close-from --host --prompt --role --type --chroot"
WRAPPERS: dict[str, Wrapper] = {
    "sudo": Wrapper(
        _SUDO, nothing=("-l", "-e", "-D", "--list", "--edit", "--chdir", "-i", "--login", "-R", "--chroot")
    ),
    "doas": Wrapper("-u -C"),
    "nice": Wrapper("-n --adjustment"),
    "ionice": Wrapper("-c -n -p -P -u --class --classdata"),
    "nohup": Wrapper(),
    "setsid": Wrapper(),
    "chronic": Wrapper(),
    "time": Wrapper("-f -o --format --output"),
    "timeout": Wrapper("-k -s --kill-after --signal", skip=1),
    "gtimeout": Wrapper("-k -s --kill-after --signal", skip=1),
    "stdbuf": Wrapper("-i -o -e --input --output --error"),
    "command": Wrapper(nothing=("-v", "-V")),
    "builtin": Wrapper(),
    "exec": Wrapper("-a"),
    "npx": Wrapper("-p -c -w --package --call --workspace", nothing=("-c", "--call", "-w", "--workspace")),
    "bunx": Wrapper("-p --package"),
    "uvx": Wrapper("--from --with --python -p"),
    "pipx": Wrapper("--spec --python", verb=("run",)),
    "poetry": Wrapper("-C --directory -P --project", verb=("run",), nothing=("-C", "--directory", "-P", "--project")),
    "pipenv": Wrapper(verb=("run",)),
    "pdm": Wrapper(verb=("run",)),
    "rye": Wrapper(verb=("run",)),
    "hatch": Wrapper("-e --env", verb=("run",)),
    "uv": Wrapper(verb=("run",)),
    "bundle": Wrapper(verb=("exec",)),
    "pnpm": Wrapper("-C --dir -F --filter", verb=("exec", "dlx"), nothing=("-C", "--dir", "-F", "--filter", "-r")),
    "npm": Wrapper("-w --prefix", verb=("exec", "x"), nothing=("-w", "--prefix", "-c")),
}
_UV_RUN = "-p --python --with --extra --group --package --project --directory --env-file -C --with-requirements"


def call(walk: Walk, argv: list[Word], state: State, stdin: str | None, source: Word | None) -> str | None:
    """Read one command; returns what it prints where that is plain."""
    program = argv[0]
    assert isinstance(program, str)
    if "/" in program:
        folder, _, name = program.rpartition("/")
        if not folder.endswith("bin"):
            return None
    else:
        name = program
    it = Call(
        name,
        argv[1:],
        state,
        stdin,
        source,
        walk.found,
        walk.call,
        walk.script,
    )
    builtin = BUILTINS.get(name)
    if builtin is not None:
        return builtin(it)
    if name == "xargs":
        _xargs(it)
        return None
    wrapper = WRAPPERS.get(name)
    if wrapper is not None and _wrapped(it, wrapper):
        return None
    from agentsync.shell import programs

    rule = programs.RULES.get(name)
    if rule is not None:
        rule(it)
    return None


def _wrapped(it: Call, wrapper: Wrapper) -> bool:
    """Read the command behind a wrapper. False when it was no such call."""
    if not wrapper.verb:
        options = it.options(wrapper.valued, posix=True)
        rest = options.operands[wrapper.skip :]
    else:
        outer = it.options(wrapper.valued, posix=True)
        if not outer.operands or outer.operands[0] not in wrapper.verb:
            return False
        valued = _UV_RUN if it.name == "uv" else wrapper.valued
        options = sort(outer.operands[1:], frozenset(valued.split()), posix=True)
        options.values |= outer.values
        if it.name == "uv" and options.has("--project", "--directory", "-C", "-m"):
            return True
        rest = options.operands
    if options.has(*wrapper.nothing) or options.unclear:
        return True
    state = it.state if it.name in ("command", "builtin", "time", "exec") else it.state.copy()
    if rest:
        first = rest[0]
        if it.name in ("npx", "uvx", "bunx", "pnpm", "npm", "pipx") and isinstance(first, str) and "@" in first[1:]:
            rest = [first[: first.index("@", 1)], *rest[1:]]  # prettier@3
        it.run(rest, state, it.stdin)
    return True


def _xargs(it: Call) -> None:
    options = it.options(
        "-I -n -P -L -d -a -E -s -i --max-args --max-procs --delimiter --arg-file --replace", posix=True
    )
    given: list[Word] = list((it.stdin or "").split()) if it.stdin is not None else [Unknown()]
    if options.has("-a", "--arg-file", "-d", "--delimiter", "-0") or any(
        quote in (it.stdin or "") for quote in "'\"\\"
    ):
        given = [Unknown()]
    mark = options.get("-I", "--replace", "-i")
    if isinstance(mark, str):
        mark = mark or "{}"
        for item in given[:256]:
            words = [_filled(word, mark, item) for word in options.operands]
            it.run(words, it.state.copy(), None)
    elif options.operands:
        it.run(options.operands + given, it.state.copy(), None)


def _filled(word: Word, mark: str, item: Word) -> Word:
    if not isinstance(word, str) or mark not in word:
        return word
    return word.replace(mark, item) if isinstance(item, str) else Unknown(word.partition(mark)[0])
