"""`hotspots`, `report`: what happened, for people who look back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.cli import watch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context

SHOWN = 20
"""Paths that `hotspots` shows."""

FILE = "agent-sync-report.html"
"""Where `report` writes to when it is not told."""

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

    page = add_parser(
        "report",
        "write what happened into one HTML file: who held what when, contention, tasks, messages, decisions",
        "report --since 1d --open\nreport --since 2026-01-31T09:00 --until 2026-01-31T18:00 --output saturday.html",
    )
    _since(page)
    page.add_argument("--until", type=watch.since, metavar="REV|TIME", help="likewise (default: now)")
    page.add_argument("--output", "-o", metavar="FILE", default=FILE, help=f"where to (default {FILE})")
    page.add_argument("--open", action="store_true", help="show it in the browser")
    page.set_defaults(run=_report)


def _since(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        type=watch.since,
        metavar="REV|TIME",
        default=DAYS,
        help=f"{watch.SINCE}; 0 = all there is (default {DAYS})",
    )


def _report(context: Context, options: argparse.Namespace) -> int:
    from agentsync import __version__
    from agentsync.ops import report
    from agentsync.render import payload
    from agentsync.render.frame import escape
    from agentsync.render.report import html

    with context.working("reading the log"):
        found = report.report(context.session, options.since, options.until)
    if context.json:
        context.data(payload.report(found))
        return 0
    page = html(found, report.template(), __version__)
    path = report.write(context.session, options.output, page)
    context.say(f"wrote {escape(path)}: {found.account.events} events, {len(page) // 1000} kB")
    if options.open and not report.show(path):
        context.warn("no browser could be started: open the file by hand")
    return 0


def _hotspots(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import report
    from agentsync.render import hotspots
    from agentsync.render.frame import escape

    with context.working("reading the log"):
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
