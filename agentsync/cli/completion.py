"""`completion`: the grammar of the command line, read off argparse, as a script for the user's shell."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.cli.context import Context
    from agentsync.render.completion import Command, Grammar, Option, Value

PATHS = ("PATH", "FILE")
"""What we call an argument that is a path."""

SHELLS = ("bash", "zsh", "fish")


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command to the grammar."""
    completion = add_parser(
        "completion",
        "print a script that makes a shell complete our commands and options",
        "completion bash >~/.local/share/bash-completion/completions/agent-sync\n"
        "completion fish >~/.config/fish/completions/agent-sync.fish",
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    completion.set_defaults(run=_completion)


def _completion(context: Context, options: argparse.Namespace) -> int:
    from agentsync.cli.parser import build
    from agentsync.render.completion import script

    text = script(options.shell, read(build()))
    if context.json:
        context.data({"kind": "completion", "shell": options.shell, "script": text})
    else:
        context.say(text.removesuffix("\n"))
    return 0


def read(parser: argparse.ArgumentParser) -> Grammar:
    """What a parser understands. Argparse has no public way to ask; `_actions` has always been there."""
    from agentsync.render.completion import Grammar

    (subparsers,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    about = {action.dest: action.help or "" for action in subparsers._choices_actions}
    commands = tuple(_command(name, about[name], found) for name, found in subparsers.choices.items())
    return Grammar(_command("", parser.description or "", parser), commands)


def _command(name: str, about: str, parser: argparse.ArgumentParser) -> Command:
    from agentsync.render.completion import Command

    operands: Value = "none"
    choices: tuple[str, ...] = ()
    for action in parser._actions:
        if action.option_strings or isinstance(action, argparse._SubParsersAction):
            continue
        choices += _choices(action)
        operands = "path" if action.metavar in PATHS else operands
    options = tuple(_option(action) for action in parser._actions if action.option_strings)
    return Command(name, about, options, operands, choices)


def _option(action: argparse.Action) -> Option:
    from agentsync.render.completion import Option

    value: Value = "free"
    if action.metavar in PATHS:
        value = "path"
    elif action.metavar == "DIR":
        value = "directory"
    elif action.nargs in (0, "?"):  # what may be left out follows behind `=`, and nobody can guess it
        value = "none"
    repeats = isinstance(action, argparse._AppendAction)
    about = " ".join((action.help or "").replace("%%", "%").split())
    return Option(tuple(action.option_strings), about, value, _choices(action), repeats)


def _choices(action: argparse.Action) -> tuple[str, ...]:
    found: Any = action.choices
    return tuple(map(str, found)) if found else ()
