"""`status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command to the grammar."""
    status = add_parser("status", "show who is here and what is held", "status\nstatus --compact")
    status.add_argument("--compact", action="store_true", help="terse Markdown, for a model")
    status.set_defaults(run=_status)


def _status(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops.status import overview
    from agentsync.render import payload, status

    board = overview(context.session)
    now = context.runtime.now()
    if context.json:
        context.data(payload.overview(board))
    elif options.compact:
        context.say(status.compact(board, now))
    else:
        context.board(status.table(board, now, context.colour, context.screen))
    return 0
