"""`console`: a person's live view of the board, and the means to step in. What it does is in `agentsync.console`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError

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
    if context.start_console is None:
        raise AgentSyncError("the console cannot be started from here")
    return context.start_console(context, options.plain or context.json, options.theme)
