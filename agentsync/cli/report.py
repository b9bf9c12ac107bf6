"""`hotspots`, `report`: what happened, for people who look back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.cli.feed import moment

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context

SHOWN = 20
"""Paths that `hotspots` shows."""

DAYS = "7d"
"""How far both look back when they are not told."""


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    spots = add_parser(
        "hotspots",
        "show which files agents get in each other's way on, and what to do about it",
        "hotspots --since 1d\nhotspots --apply CHANGELOG.md",
    )
    _since(spots)
    spots.add_argument("--apply", metavar="PATH", help="do what is suggested for it, in .claude/agent-sync.toml")
    spots.set_defaults(run=_hotspots)


def _since(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        type=moment,
        metavar="REV|TIME",
        default=DAYS,
        help=f"a revision (0 = all there is), 2026-01-31T12:00Z, or 30m, 2h, 1d (default {DAYS})",
    )


def _hotspots(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import report
    from agentsync.render import hotspots
    from agentsync.render.frame import escape

    found = report.report(context.session, options.since, None)
    hot = [spot for spot in found.hotspots if spot.heat > 0]
    if options.apply is not None:
        done = report.apply(context.session, options.apply, found.hotspots)
        if context.json:
            context.data(done)
        elif done.changed:
            context.say(f"{escape(done.path)} is {done.setting} now: {done.file}; commit it to tell the others")
        else:
            context.say(f"{escape(done.path)} is {done.setting} already")
    elif context.json:
        context.data(hot)
    elif not hot:
        context.say(f"nobody was in anybody's way: {hotspots.summary(found.account)}")
    else:
        more = [f"and {len(hot) - SHOWN} more: --json has them all"] if len(hot) > SHOWN else []
        context.board([hotspots.summary(found.account), "", *hotspots.table(hot[:SHOWN]), *more])
    return 0
