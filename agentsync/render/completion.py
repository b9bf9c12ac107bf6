"""Completion scripts for bash, zsh and fish, from a grammar of commands. Static: a keystroke starts nothing of ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Value = Literal["none", "free", "path", "directory"]
"""What follows an option or a command: nothing, something that nobody can guess, a path, a directory."""

NAMES = ("agent-sync", "agentsync")
"""The program, and its other name."""


class Option(Struct, frozen=True, gc=False):
    """One option, with all its spellings."""

    names: tuple[str, ...]
    about: str
    value: Value = "none"
    choices: tuple[str, ...] = ()
    repeats: bool = False


class Command(Struct, frozen=True, gc=False):
    """One command; the program itself has no name."""

    name: str
    about: str
    options: tuple[Option, ...]
    operands: Value = "none"
    choices: tuple[str, ...] = ()


class Grammar(Struct, frozen=True, gc=False):
    """What can be typed."""

    program: Command
    commands: tuple[Command, ...]


def script(shell: str, grammar: Grammar) -> str:
    """The script for a shell in `SHELLS`."""
    return SHELLS[shell](grammar)


# ---------------------------------------------------------------- bash
def _bash(grammar: Grammar) -> str:
    """An empty answer means a path: readline completes and quotes those better than a script could."""
    program = grammar.program
    lines = [
        "# bash completion for agent-sync:  source <(agent-sync completion bash)",
        "_agent_sync() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}",
        "    local command='' options='' words='' paths='' i",
        "    COMPREPLY=()",
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        "        case ${COMP_WORDS[i]} in",
        "        -C) ((i++)) ;;",
        "        -*) ;;",
        "        *) command=${COMP_WORDS[i]} && break ;;",
        "        esac",
        "    done",
        "    case $command:$prev in",
        "    *:-C) compopt -o dirnames +o default 2>/dev/null; return 0 ;;",
        *(line for command in grammar.commands for line in _bash_values(command)),
        "    esac",
        "    case $command in",
        f"    '') options={_quoted(_spelled(program))} words={_quoted(c.name for c in grammar.commands)} ;;",
        *(_bash_words(command) for command in grammar.commands),
        "    esac",
        '    [[ $cur != -* ]] || words=$options paths=""',
        '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        '    [ -n "$paths" ] || compopt +o default 2>/dev/null',
        "    return 0",
        "}",
        f"complete -o default -F _agent_sync {' '.join(NAMES)}",
    ]
    return "\n".join(lines) + "\n"


def _bash_values(command: Command) -> Iterator[str]:
    for option in command.options:
        if option.value in {"none", "directory"}:
            continue
        pattern = " | ".join(f"{command.name}:{name}" for name in option.names)
        if option.choices:
            yield f'    {pattern}) COMPREPLY=($(compgen -W {_quoted(option.choices)} -- "$cur")); return 0 ;;'
        elif option.value == "path":
            yield f"    {pattern}) return 0 ;;"
        else:
            yield f"    {pattern}) compopt +o default 2>/dev/null; return 0 ;;"


def _bash_words(command: Command) -> str:
    paths = " paths=1" if command.operands == "path" else ""
    return f"    {command.name}) options={_quoted(_spelled(command))} words={_quoted(command.choices)}{paths} ;;"


def _spelled(command: Command) -> Iterator[str]:
    return (name for option in command.options for name in option.names)


def _quoted(words: Iterable[str] | str) -> str:
    text = words if isinstance(words, str) else " ".join(words)
    return "'" + text.replace("'", "'\\''") + "'"


# ---------------------------------------------------------------- zsh
def _zsh(grammar: Grammar) -> str:
    lines = [
        f"#compdef {' '.join(NAMES)}",
        "# zsh completion for agent-sync: in a directory of $fpath as _agent-sync, or",
        "#   source <(agent-sync completion zsh)    after compinit",
        "_agent_sync() {",
        "    local context state state_descr line",
        "    local -A opt_args",
        "    local -a commands",
        "    _arguments -C \\",
        *(f"        {_zsh_option(option)} \\" for option in grammar.program.options),
        "        '1: :->command' '*:: :->operand'",
        "    case $state in",
        "    command)",
        "        commands=(",
        *(f"            {_quoted(command.name + ':' + command.about)}" for command in grammar.commands),
        "        )",
        "        _describe -t commands command commands",
        "        ;;",
        "    operand)",
        "        case $words[1] in",
        *(line for command in grammar.commands for line in _zsh_command(command)),
        "        esac",
        "        ;;",
        "    esac",
        "}",
        'if [ "$funcstack[1]" = _agent-sync ]; then _agent_sync "$@"; else compdef _agent_sync '
        + " ".join(NAMES)
        + "; fi",
    ]
    return "\n".join(lines) + "\n"


def _zsh_command(command: Command) -> Iterator[str]:
    yield f"        {command.name})"
    yield "            _arguments -s \\"
    for option in command.options:
        yield f"                {_zsh_option(option)} \\"
    yield f"                {_quoted('*: :' + _zsh_action(command.operands, command.choices))}"
    yield "            ;;"


def _zsh_option(option: Option) -> str:
    about = re.sub(r"([\[\]\\:])", r"\\\1", option.about)
    value = "" if option.value == "none" else f": :{_zsh_action(option.value, option.choices)}"
    others = "" if option.repeats or len(option.names) == 1 else f"({' '.join(option.names)})"
    star = "*" if option.repeats else ""
    return " ".join(_quoted(f"{others}{star}{name}[{about}]{value}") for name in option.names)


def _zsh_action(value: Value, choices: tuple[str, ...]) -> str:
    if choices:
        return f"({' '.join(choices)})"
    return {"path": "_files", "directory": "_files -/", "free": " ", "none": " "}[value]


# ---------------------------------------------------------------- fish
def _fish(grammar: Grammar) -> str:
    program = NAMES[0]
    lines = [
        "# fish completion for agent-sync:  agent-sync completion fish | source",
        "function __agent_sync_at --description 'whether this is the command that was typed, or none was'",
        "    set -l words (commandline -opc)[2..]",
        "    while set -q words[1]; and string match -q -- '-*' $words[1]",
        "        test $words[1] = -C; and set -e words[1]",
        "        set -e words[1]",
        "    end",
        '    test "$words[1]" = "$argv[1]"',
        "end",
        f"complete -c {program} -f",
        *(_fish_option(option, "") for option in grammar.program.options),
        *(
            f"complete -c {program} -n '__agent_sync_at \"\"' -a {command.name} -d {_fish_quoted(command.about)}"
            for command in grammar.commands
        ),
        *(line for command in grammar.commands for line in _fish_command(command)),
        *(f"complete -c {other} -w {program}" for other in NAMES[1:]),
    ]
    return "\n".join(lines) + "\n"


def _fish_command(command: Command) -> Iterator[str]:
    for option in command.options:
        yield _fish_option(option, command.name)
    if command.choices or command.operands == "path":
        what = f"-a {_fish_quoted(' '.join(command.choices))}" if command.choices else "-F"
        yield f"complete -c {NAMES[0]} -n '__agent_sync_at {command.name}' {what}"


def _fish_option(option: Option, command: str) -> str:
    spelled = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    if option.choices:
        value = f" -x -a {_fish_quoted(' '.join(option.choices))}"
    else:
        value = {"none": "", "free": " -x", "path": " -r -F", "directory": " -x -a '(__fish_complete_directories)'"}[
            option.value
        ]
    return f"complete -c {NAMES[0]} -n '__agent_sync_at \"{command}\"' {spelled}{value} -d {_fish_quoted(option.about)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[Grammar], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
