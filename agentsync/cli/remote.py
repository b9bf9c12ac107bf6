"""`remote`, `sync`."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from agentsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.cli.context import Context

WATCH_S = 60.0
"""Seconds between two looks of `sync --watch`."""

MIN_WATCH_S = 5.0


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    remote = add_parser(
        "remote",
        "share locks, tasks and mail with other clones, on any machine, through a git remote",
        "remote add origin\nremote add ssh://host/repo.git --ref refs/agentsync/team\n"
        "remote add etcd://host:2379/team\nremote status\nremote remove",
    )
    remote.add_argument("action", choices=("add", "status", "remove"))
    remote.add_argument(
        "remote", nargs="?", metavar="REMOTE", help="with add: its name, address or path (default origin)"
    )
    remote.add_argument("--ref", help="with add: another ref than refs/agentsync/state")
    remote.set_defaults(run=_remote)
    sync = add_parser(
        "sync", "see what agents on other machines do, and tell them what is done here", "sync\nsync --dry-run --json"
    )
    sync.add_argument("--dry-run", action="store_true", help="look and tell, change nothing here or there")
    sync.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=WATCH_S,
        metavar="SEC",
        help=f"again and again until Ctrl-C, every {WATCH_S:g} seconds",
    )
    sync.add_argument("--background", action="store_true", help=argparse.SUPPRESS)  # what hooks start
    sync.set_defaults(run=_sync)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not MIN_WATCH_S <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"give {MIN_WATCH_S:g} seconds or more")
    return seconds


def _remote(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import remote
    from agentsync.render import remote as render

    if options.action != "add" and (options.remote is not None or options.ref is not None):
        raise UsageError(
            f"{options.action} takes no remote: a clone has one board", "agent-sync remote status shows it"
        )
    if options.action == "add":
        ref = remote.REF if options.ref is None else options.ref
        found = remote.add(context.session, "origin" if options.remote is None else options.remote, ref)
    elif options.action == "remove":
        found = remote.remove(context.session)
    else:
        there = remote.standing(context.session) if context.session.store.exists() else None
        if there is None:
            raise UsageError("this clone shares nothing with others", "agent-sync remote add origin")
        found = there
    if context.json:
        context.data(render.payload(found))
    elif options.action == "remove":
        context.board([f"shares nothing any more with {render.address(found.link)}"])
    else:
        context.board(render.told(found, context.runtime.now()))
    return 0


def _sync(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import background, engines, sync
    from agentsync.render import remote as render

    if options.background:
        background.run(context.session)
        return 0
    while True:
        try:
            done = sync.sync(context.session, dry_run=options.dry_run)
        except (engines.UnreachableError, engines.RejectedError) as error:
            if options.watch is None:
                raise
            context.problem(error)
        else:
            if context.json:
                context.data(render.synced_payload(done, options.dry_run))
            elif options.watch is None or render.is_news(done):
                context.board(render.synced(done, options.dry_run))
        if options.watch is None:
            return 0
        _say_warnings(context)
        time.sleep(options.watch)


def _say_warnings(context: Context) -> None:
    """Of each round at once: a watch has no end."""
    warnings = context.session.store.warnings
    for warning in warnings:
        context.warn(warning)
    warnings.clear()
