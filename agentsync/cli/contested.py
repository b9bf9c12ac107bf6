"""What the commands share that want something others may have: `--wait`, and how a refusal is said."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentsync.cli.context import Context
    from agentsync.core.locks import Conflict

HELD = "somebody else holds it; nothing was changed"
IN_LINE = "somebody else is in line for it; nothing was changed"
CIRCLE = "waiting for it would close a circle; nothing was changed"
TOO_LATE = "gave up waiting; nothing was changed"


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add `--wait[=SEC]` and `--priority`. `options.wait` is None, or seconds, infinite when none were given."""
    about = "stand in line for it, with --wait=SEC for so many seconds at most"
    parser.add_argument("--wait", nargs="?", type=seconds, metavar="SEC", help=about)
    parser.add_argument(
        "--priority", type=_points, default=0, metavar="N", help="in line, a point counts like a minute of waiting"
    )


def seconds(text: str) -> float:
    """So many seconds; infinite when there is no text."""
    if not text:
        return float("inf")
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} seconds cannot be waited")
    return seconds


def _points(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of points") from None


def refuse(context: Context, conflict: Conflict, hint: str, waited: bool = False) -> int:
    """Say that it was not to be had, and by whom; returns the exit code.

    Args:
        context: To whom.
        conflict: What is in the way.
        hint: The next step.
        waited: Whether the caller waited for it, and the time was over unless a circle stood in the way.
    """
    from agentsync.render.locks import refusal, sentence
    from agentsync.render.queue import more

    now = context.runtime.now()
    code = 5 if waited and not conflict.cycle else 3
    if conflict.cycle:
        head = CIRCLE
    elif waited:
        head = TOO_LATE
    else:
        head = HELD if conflict.blocked else IN_LINE
    others = more(conflict, context.session.me.id, now)
    said = "; ".join([*(sentence(blocked, now) for blocked in conflict.blocked[:5]), *others])
    if context.json:
        from agentsync.render.payload import refused

        context.data(refused(said or head, hint, conflict, code))
    elif context.runtime.is_terminal(2):
        context.refused(said or head, "  " + head, hint)
    else:
        context.refused(head, refusal(conflict.blocked, now, more=others), hint)
    return code
