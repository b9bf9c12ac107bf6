"""The grammar of the command line, put together from the nouns."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from agentsync import __version__
from agentsync.cli import (
    agents,
    care,
    completion,
    console,
    feed,
    git,
    locks,
    mail,
    mcp,
    overview,
    provision,
    remote,
    report,
    setup,
    tasks,
    transfer,
    waiting,
    watch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EPILOG = """\
examples:
  agent-sync install                           hooks for the clients found here
  agent-sync status                            who is here, what is held
  agent-sync lock src/api.py --reason "new endpoint"
  agent-sync check src/api.py                  would my edit be refused?
  agent-sync claim-next                        what shall I do next?

exit codes: 0 done, 1 internal error, 2 usage, 3 somebody else holds it, 4 no such thing,
            5 gave up waiting, 6 state directory unusable
"""


class UsageExit(Exception):  # noqa: N818 # it is no error when --help was asked for
    """The parser wants to stop: after --help, or over a typing error."""

    def __init__(self, code: int, message: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, says what to type instead, and takes no abbreviated options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As always, but `--wait` and `--fetch` take a value behind `=` only: what follows may be a path or branch."""
        bare = {"--wait", "--fetch"} & self._option_string_actions.keys()
        if args is not None and bare:
            end = [*args, "--"].index("--")
            args = [*(f"{word}=" if word in bare else word for word in args[:end]), *args[end:]]
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Complain about a typing error, and name what looks like the word that was typed."""
        if message.endswith("required: COMMAND"):
            raise UsageExit(2, "no command was given", f"{self.prog} status shows who is here; {self.prog} --help")
        if choice := re.match(r"argument (.*?): invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL):
            meant = _meant(choice[2], re.findall(r"[a-z-]+", choice[3]))
            if choice[1] != "COMMAND":
                raise UsageExit(2, message, f"{meant}{self.prog} --help")
            raise UsageExit(2, f"there is no command {choice[2]!r}", f"{meant}{self.prog} --help lists them")
        prog, meant = self.prog, ""
        if message.startswith("unrecognized arguments: "):  # said by the whole, of the command that was typed
            parser = next(iter(self._commands.values()), self) if len(self._commands) == 1 else self
            typed = next((word for word in message.split()[2:] if word.startswith("--")), "").partition("=")[0]
            prog, meant = parser.prog, _meant(typed, [*parser._option_string_actions])
        raise UsageExit(2, message, f"{meant}{prog} --help")

    @property
    def _commands(self) -> dict[str, argparse.ArgumentParser]:
        """The parsers of the commands that were built."""
        return {
            name: parser
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for name, parser in action.choices.items()
        }

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Stop after --help or --version."""
        if message:
            sys.stdout.write(message)
        raise UsageExit(status)


def _meant(typed: str, known: Sequence[str]) -> str:
    """`did you mean lock or locks? `, or nothing when nothing looks like it."""
    import difflib

    alike = difflib.get_close_matches(typed, known, cutoff=0.6)
    return f"did you mean {' or '.join(alike)}? " if alike else ""


class _NotTyped:
    """Stands for the parser of a command that was not typed, and takes whatever it is told."""

    def __getattr__(self, _name: str) -> Callable[..., Any]:
        return lambda *_words, **_options: self


def build(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The grammar of one command line: of the command that it names, or the whole when it names none.

    Building the parsers of all commands takes 10 ms, a fifth of what a command takes.
    """
    word = _command(arguments)
    parser, known = _build(word)
    return parser if word is None or word in known else _build(None)[0]


def _command(arguments: Sequence[str]) -> str | None:
    """The first word that is no option; None when an option before it asks for something else, like help."""
    words = iter(arguments)
    for word in words:
        if word == "-C":
            next(words, None)
        elif not word.startswith("-"):
            return word
        elif word != "--json" and not word.startswith("-C"):
            return None
    return None


def _build(only: str | None) -> tuple[argparse.ArgumentParser, set[str]]:
    """A grammar with one command or all of them, and the names of all."""
    known: set[str] = set()
    parser = Parser(
        prog="agent-sync",
        description="Keeps the coding agents of one repository off each other's files.",
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=20),
    )
    parser.add_argument("--version", action="version", version=f"agent-sync {__version__}")
    parser.add_argument("-C", dest="directory", metavar="DIR", help="run as if started in DIR")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    common = Parser(add_help=False)
    common.add_argument("-C", dest="directory", metavar="DIR", default=argparse.SUPPRESS, help="run as if in DIR")
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="answer in JSON")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def add(name: str, about: str, example: str) -> Any:
        known.add(name)
        if only not in (None, name):
            return _NotTyped()
        return commands.add_parser(
            name,
            help=about,
            description=about[:1].upper() + about[1:] + ".",
            epilog="examples:\n" + "\n".join(f"  agent-sync {line}" for line in example.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common],
        )

    for noun in (
        overview,
        console,
        locks,
        waiting,
        tasks,
        mail,
        feed,
        watch,
        report,
        agents,
        setup,
        git,
        remote,
        provision,
        mcp,
        care,
        transfer,
        completion,
    ):
        noun.add(add)
    add("hook", "answer a client's hook (payload on stdin)", "hook pre-tool-use <payload.json\nhook session-start")
    return parser, known
