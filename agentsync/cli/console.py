"""`console`: a person's live view of the board, and the means to step in. What it does is in `agentsync.console`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError, MissingExtraError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command to the grammar."""
    console = add_parser(
        "console",
        "watch everything live and step in as the operator (needs agentsync[tui]; --plain does not)",
        "console\nconsole --plain <commands.txt",
    )
    console.add_argument(
        "--plain", action="store_true", help="line by line: commands on stdin, answers and the feed on stdout"
    )
    console.add_argument("--theme", choices=("dark", "light"), help="default: what COLORFGBG says, else dark")
    console.set_defaults(run=_console)


def _console(context: Context, options: argparse.Namespace) -> int:
    from importlib.util import find_spec

    plain = options.plain or context.json
    if not plain and find_spec("textual") is None:
        raise MissingExtraError(
            "the console needs Textual: pip install 'agentsync[tui]'",
            "agent-sync console --plain does the same line by line, without it",
        )
    if not plain and not (context.runtime.is_terminal(0) and context.is_terminal and _can_paint(context)):
        context.warn("this is no terminal that can show a screen, so: console --plain")
        plain = True
    if context.start_console is None:
        raise AgentSyncError("the console cannot be started from here")
    return context.start_console(context, plain, options.theme)


def _can_paint(context: Context) -> bool:
    return context.runtime.env.get("TERM") not in (None, "", "dumb")
