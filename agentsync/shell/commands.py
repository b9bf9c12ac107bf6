"""Builtins of the shell, programs that call another command, and the way to the rules of all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

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
    "sudo": Wrapper(_SUDO, nothing=("-l", "-e", "-D", "--list", "--edit", "--chdir", "-i", "--login", "-R", "--chroot")),
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
        lambda words, where, text: walk.call(words, where, text),
        walk.script,
    )
    builtin = _BUILTINS.get(name)
    if builtin is not None:
        return builtin(it)
    if name == "xargs":
        return _xargs(it)
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
    options = it.options("-I -n -P -L -d -a -E -s -i --max-args --max-procs --delimiter --arg-file --replace", posix=True)
    given: list[Word] = list((it.stdin or "").split()) if it.stdin is not None else [Unknown()]
    if options.has("-a", "--arg-file", "-d", "--delimiter", "-0") or any(quote in (it.stdin or "") for quote in "'\"\\"):
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


def _cd(it: Call) -> None:
    target = it.options(posix=True).operands
    if not target:
        folder = it.state.home
    elif target[0] == "-":
        folder = it.state.before
    else:
        folder = it.path(target[0])
    if it.name == "pushd":
        it.state.stack = (*it.state.stack, it.state.cwd)
    it.state.enter(folder)


def _popd(it: Call) -> None:
    *rest, last = it.state.stack or (None,)
    it.state.enter(last)
    it.state.stack = tuple(rest)


def _eval(it: Call) -> None:
    known = [word for word in it.args if isinstance(word, str)]
    if len(known) == len(it.args):
        it.script(" ".join(known), it.state)
    else:
        it.state.forget_variables()


def _trap(it: Call) -> None:
    if len(it.args) > 1 and isinstance(it.args[0], str):
        it.script(it.args[0], it.state.copy())


def _source(it: Call) -> None:
    it.state.forget_variables()


def _read(it: Call) -> None:
    for word in it.args:
        if isinstance(word, Unknown):
            it.state.forget_variables()
        else:
            it.state.variables[word] = None


def _env(it: Call) -> None:
    options = it.options("-u -C -S --unset --chdir --split-string", posix=True)
    if options.has("-S", "--split-string"):
        return
    state = it.state.copy()
    if (folder := options.get("-C", "--chdir")) is not None:
        state.cwd = it.path(folder)
    rest = options.operands
    while rest and ("=" in rest[0] if isinstance(rest[0], str) else "=" in rest[0].prefix):
        rest = rest[1:]
    if rest:
        it.run(rest, state, it.stdin)


def _shell(it: Call) -> None:
    """`sh -c '…'`, `bash <<EOF`; a script file is not read."""
    options = it.options("-o -O +o +O --rcfile --init-file", posix=True)
    state = it.state.child()
    if options.has("-n"):
        return
    if options.has("-c"):
        known = [word for word in options.operands if isinstance(word, str)]
        if len(known) == len(options.operands):
            state.arguments = tuple(known[2:])
        if options.operands and isinstance(options.operands[0], str):
            it.script(options.operands[0], state)
    elif (not options.operands or options.has("-s")) and it.stdin is not None and not options.unclear:
        it.script(it.stdin, state)


def _echo(it: Call) -> str | None:
    known = [word for word in it.args if isinstance(word, str)]
    if len(known) < len(it.args) or (known and known[0].startswith("-")):
        return None
    if it.name == "printf":
        text, *rest = known or [""]
        if text in ("%s", "%s\\n"):
            return "".join(word + ("\n" if len(text) > 2 else "") for word in rest)
        return text.replace("\\n", "\n") if not rest and "%" not in text and "\\" not in text.replace("\\n", "") else None
    return " ".join(known) + "\n" if not any("\\" in word for word in known) else None


def _cat(it: Call) -> str | None:
    return it.stdin if not it.args or it.args == ["-"] else None


_BUILTINS: dict[str, Callable[[Call], str | None]] = {
    "cd": _cd,
    "pushd": _cd,
    "popd": _popd,
    "eval": _eval,
    "trap": _trap,
    "source": _source,
    ".": _source,
    "read": _read,
    "mapfile": _read,
    "readarray": _read,
    "getopts": _read,
    "env": _env,
    **dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh"), _shell),
    "echo": _echo,
    "printf": _echo,
    "cat": _cat,
}
