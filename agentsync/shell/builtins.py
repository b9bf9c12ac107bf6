"""What the shell does itself: going somewhere, setting variables, running text."""

from __future__ import annotations

from collections.abc import Callable

from agentsync.shell.call import Call
from agentsync.shell.words import Unknown


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
        return (
            text.replace("\\n", "\n") if not rest and "%" not in text and "\\" not in text.replace("\\n", "") else None
        )
    return " ".join(known) + "\n" if not any("\\" in word for word in known) else None


def _cat(it: Call) -> str | None:
    return it.stdin if not it.args or it.args == ["-"] else None


BUILTINS: dict[str, Callable[[Call], str | None]] = {
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
