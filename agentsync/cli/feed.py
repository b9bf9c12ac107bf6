"""`decision`, `decisions`, `log`, `history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.cli import watch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context

LAST = 20
"""Events that `log` shows when it is not told where to begin."""


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    decision = add_parser(
        "decision",
        "record what was decided for everybody",
        'decision "All times are UTC"\ndecision "Times are local" --supersedes d-12',
    )
    decision.add_argument("text", metavar="TEXT")
    decision.add_argument("--supersedes", metavar="ID", help="the decision whose place it takes")
    decision.set_defaults(run=_decision)

    decisions = add_parser("decisions", "list the decisions that hold", "decisions\ndecisions --all --json")
    decisions.add_argument("--all", action="store_true", help="superseded ones too")
    decisions.set_defaults(run=_decisions)

    log = add_parser(
        "log",
        "read the event feed, or write an entry into it",
        'log --since 120 --agent bob\nlog "migrated the database" --type ops --file db/schema.sql\nlog --follow --json',
    )
    log.add_argument("entry", nargs="?", metavar="MSG", help="what to record; without it, the feed is read")
    log.add_argument("--message", help="the same")
    log.add_argument("--type", help="writing: what sort of thing it is; reading: only such events")
    log.add_argument("--file", action="append", default=[], dest="files", metavar="PATH", help="what it is about")
    log.add_argument("--since", type=watch.since, metavar="REV|TIME", help=watch.SINCE)
    log.add_argument("--follow", action="store_true", help="go on as they come, like watch")
    watch.add_filters(log)
    log.set_defaults(run=_log)

    history = add_parser(
        "history",
        "tell who locked and edited a path, when, and for which task",
        "history src/api.py\nhistory src/ --json",
    )
    history.add_argument("path", metavar="PATH")
    history.set_defaults(run=_history)


def _decision(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import decisions

    made = decisions.decide(context.session, options.text, options.supersedes)
    if context.json:
        context.data(made)
    else:
        context.say(f"decided {made.id}")
    return 0


def _decisions(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import decisions

    found = decisions.listing(context.session, superseded=options.all)
    if context.json:
        context.data(found)
    elif not found:
        context.say("nothing is decided: agent-sync decision TEXT tells everybody")
    else:
        from agentsync.render.feed import decisions as lines

        context.board(lines(found, context.runtime.now()))
    return 0


def _log(context: Context, options: argparse.Namespace) -> int:
    from agentsync.errors import UsageError
    from agentsync.ops import feed

    entry = options.entry if options.entry is not None else options.message
    if options.entry is not None and options.message is not None:
        raise UsageError("two messages were given", "leave out --message")
    if entry is None:
        if options.files:
            raise UsageError("--file says what an entry is about", "to read, use --path")
        return _read(context, options)
    event = feed.record(context.session, entry, options.type, options.files)
    if context.json:
        context.data(event)
    else:
        context.say(f"recorded as {event.rev}")
    return 0


def _read(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import feed
    from agentsync.render.feed import events

    chosen = watch.filters(options, [options.type] if options.type is not None else [])
    session, (wanted,) = feed.selected(context.session, [chosen])
    revision = session.store.revision() if options.follow and session.store.exists() else 0
    found = feed.events(session, options.since, wanted, LAST)
    if options.follow:
        show = watch.printer(context, relative=True)
        for event in found:
            show(event)
        return watch.follow(context, session, max(revision, found[-1].rev if found else 0), watch.Following(wanted))
    if context.json:
        context.data(found)
    elif found:
        context.board(events(found, context.runtime.now()))
    else:
        context.say("nothing to show: agent-sync watch waits for what comes")
    return 0


def _history(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import feed

    target, found = feed.history(context.session, options.path)
    if context.json:
        context.data(found)
    elif not found:
        from agentsync.render.frame import shorten_path

        context.say(f"nothing is known of {shorten_path(target.path)}: nobody locked or edited it")
    else:
        from agentsync.render.feed import history

        context.board(history(found, context.runtime.now()))
    return 0
