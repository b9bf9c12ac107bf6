"""`watch`, and the following that `log --follow` shares with it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

from agentsync.cli.contested import seconds
from agentsync.errors import GaveUpError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from agentsync.cli.context import Context
    from agentsync.core.records import Event
    from agentsync.core.selection import Selection
    from agentsync.ops.handlers import Commands, Notifier
    from agentsync.ops.session import Session

ABOUT = """
EXPR is a list of FIELD=VALUE with the fields agent, kind, path, task, verb. All must fit; of several values of one
field, any. Only events that are shown count. What may have happened already is found by beginning with --since.

exit codes: 0 what --until waits for happened (without --until: the time is over), 5 it did not in time,
            1 a command of --exec failed, 2 usage, 6 state directory unusable, 130 Ctrl-C
"""


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command to the grammar."""
    watch = add_parser(
        "watch",
        "show what happens, live; wait for something, or start a command for it",
        "watch\n"
        "watch --since 1h --kind lock --path src/\n"
        "watch --until 'kind=lock verb=unlock path=src/api.py' --timeout 600\n"
        "watch --verb complete-task --exec ./tell-the-team",
    )
    watch.epilog = f"{watch.epilog}\n{ABOUT}"
    watch.add_argument("--since", type=since, metavar="REV|TIME", help=SINCE)
    add_filters(watch)
    watch.add_argument("--verb", action="append", default=[], help="only events with this verb, like lock or send")
    watch.add_argument("--relative", action="store_true", help="show ages instead of the time of day")
    watch.add_argument("--until", action="append", default=[], metavar="EXPR", help="end after the first that fits")
    watch.add_argument("--timeout", type=seconds, metavar="SEC", help="end after so many seconds")
    watch.add_argument(
        "--exec", dest="command", metavar="CMD", help="start it for each, with the event as JSON on stdin"
    )
    watch.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="how many CMD may run at a time (default 1)")
    watch.add_argument("--notify", action="store_true", help="show each on the desktop too")
    watch.set_defaults(run=_watch)


SINCE = "a revision, 2026-01-31T12:00Z, or 30m, 2h, 1d"


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add what `log` and `watch` have in common; each option may be given several times."""
    parser.add_argument("--agent", action="append", default=[], metavar="ID", help="only what this agent did")
    parser.add_argument("--path", action="append", default=[], metavar="PATH", help="only what is about this path")
    about = "only what changed such a record: agent, lock, task, message, decision, …, or entry"
    parser.add_argument("--kind", action="append", default=[], help=about)


def since(text: str) -> int | datetime:
    """A revision, a time, or an age like `30m`."""
    from datetime import UTC, datetime, timedelta

    if text.isascii() and text.isdigit():
        return int(text[:13])
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        if text[:-1].isascii() and text[:-1].isdigit() and text[-1] in units and len(text) < 8:
            return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * units[text[-1]])
        return datetime.fromisoformat(text).astimezone(UTC)  # without a zone: the local one
    except (ValueError, OverflowError):  # no time, or none that there ever was
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is neither a revision nor a time") from None


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number from 1 to 64")
    return int(text)


def filters(options: argparse.Namespace, verbs: Sequence[str]) -> Selection:
    """What the filters select.

    Raises:
        UsageError: There is no such kind.
    """
    from agentsync.core.selection import Selection, checked

    named = {"agent": options.agent, "path": options.path, "kind": options.kind, "verb": verbs}
    return checked(Selection(**{field: tuple(values) for field, values in named.items()}))


class Following(NamedTuple):
    """How to follow."""

    wanted: Callable[[Event], bool]
    until: Sequence[Callable[[Event], bool]] = ()
    seconds: float | None = None
    handlers: Sequence[Commands | Notifier] = ()
    relative: bool = True


def _watch(context: Context, options: argparse.Namespace) -> int:
    from agentsync.core.selection import parse
    from agentsync.ops import feed

    selections = [filters(options, options.verb), *(parse(expression) for expression in options.until)]
    session, (wanted, *until) = feed.selected(context.session, selections)
    start = feed.beginning(session, options.since)
    if isinstance(options.since, int) and start < options.since:
        context.warn(f"there is no revision {options.since}: the state was made anew since then. From its beginning:")
    handlers = _handlers(context, options)
    how = Following(wanted, until, options.timeout, handlers, options.relative)
    code = follow(context, session, start, how)
    return 1 if code == 0 and any(getattr(handler, "failures", 0) for handler in handlers) else code


def _handlers(context: Context, options: argparse.Namespace) -> list[Commands | Notifier]:
    if options.command is None and not options.notify:
        return []
    from agentsync.ops import handlers

    found: list[Commands | Notifier] = []
    if options.command is not None:
        found.append(handlers.Commands(options.command, options.jobs, context.warn))
    if options.notify:
        program = handlers.notifier(context.runtime)
        if program is None:
            context.warn("nothing shows notifications here: install notify-send (libnotify) for --notify")
        else:
            from agentsync.render.feed import notification

            found.append(handlers.Notifier(program, notification, context.warn))
    return found


def follow(context: Context, session: Session, start: int, how: Following) -> int:
    """Show events after a revision as they come, and do with them what is to be done.

    Returns:
        The exit code.
    """
    from agentsync.ops import feed

    show = printer(context, how.relative)
    try:
        for event in feed.follow(session, start, total=how.seconds, tell=context.warn):
            if not how.wanted(event):
                continue
            show(event)
            for handler in how.handlers:
                handler(event)
            if any(fits(event) for fits in how.until):
                return 0
    finally:
        for handler in how.handlers:
            handler.finish()
    return _gave_up(context, how.seconds or 0) if how.until else 0


def printer(context: Context, relative: bool) -> Callable[[Event], None]:
    """Prints events one by one: a line, or one line of JSON. Each stands alone, framed for an agent."""
    if context.json:
        from agentsync.render import payload

        return lambda event: context.write(payload.line(event))
    from agentsync.render.feed import Feed
    from agentsync.render.frame import framed

    feed = Feed(relative, context.colour)

    def show(event: Event) -> None:
        line = feed.line(event, context.runtime.now())
        print(line if context.is_terminal else framed([line]), flush=True)

    return show


def _gave_up(context: Context, waited: float) -> int:
    error = GaveUpError(f"gave up waiting after {waited:g} s: nothing fitted", "wait longer, or look back with --since")
    if not context.json:
        raise error
    from agentsync.render import payload

    context.write(payload.line(payload.error(error)))  # one line, as everything before it
    return error.code
