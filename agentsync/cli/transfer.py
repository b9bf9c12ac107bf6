"""`export`, `import`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agentsync.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context
    from agentsync.core.transfer import Bundle, Collision

SHOWN = 10
"""Places of a collision that are named."""


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    out = add_parser(
        "export",
        "write the whole board, with its history, as lines of JSON",
        "export --output board.ndjson\nexport | gzip >board.ndjson.gz",
    )
    out.add_argument("--output", metavar="FILE", help="write this file, in one step, instead of standard output")
    out.set_defaults(run=_export)

    bring = add_parser(
        "import",
        "take over what another board exported, if nothing here is in its way",
        "import board.ndjson\nimport - <board.ndjson\nimport --from-sqlite agent-sync.db",
    )
    bring.add_argument("file", nargs="?", metavar="FILE", help="an export; - is standard input")
    bring.add_argument(
        "--from-sqlite", metavar="FILE", help="the database of an agent-sync that keeps its state in one"
    )
    bring.set_defaults(run=_import)


def _export(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import transfer, user_files

    with context.working("reading the board"):
        made = transfer.export(context.session)
    for place in made.left_out:
        context.warn(f"{place} cannot be read and was left out; agent-sync doctor tells more")
    if options.output is None:
        context.write(made.data)
        return 0
    path = user_files.replace(context.runtime, options.output, made.data, mode=0o600)  # there is mail in it
    if context.json:
        context.data({"kind": "exported", "output": path, "header": made.header, "left_out": made.left_out})
    else:
        from agentsync.render.frame import shorten_path

        counted = f"{made.header.records} records and {made.header.events} events"
        context.say(f"exported {counted} to {shorten_path(options.output)}")
    return 0


def _import(context: Context, options: argparse.Namespace) -> int:
    from agentsync.core.transfer import Collision, counts
    from agentsync.ops import transfer

    bundle = _bundle(context, options)
    with context.working("taking it over"):
        outcome = transfer.bring_in(context.session, bundle)
    if isinstance(outcome, Collision):
        return _refuse(context, outcome)
    if context.json:
        context.data({"kind": "imported", **{name: getattr(outcome, name) for name in outcome.__struct_fields__}})
        return 0
    before = " before; nothing is done twice" if outcome.again else ""
    context.say(f"imported {outcome.records} records as revision {outcome.revision}, {outcome.history} events{before}")
    if outcome.left_out:
        context.board(f"left out: {reason}" for reason in counts(outcome.left_out))
    return 0


def _bundle(context: Context, options: argparse.Namespace) -> Bundle:
    if (options.file is None) == (options.from_sqlite is None):
        raise UsageError("there must be one thing to import", "agent-sync import FILE, or --from-sqlite FILE")
    if options.from_sqlite is not None:
        from agentsync.ops import foreign

        return foreign.bundle(context.session, options.from_sqlite)
    from agentsync.ops import transfer

    if options.file == "-":
        return transfer.bundle(sys.stdin.buffer.read())
    return transfer.bundle(transfer.read(context.session, options.file))


def _refuse(context: Context, collision: Collision) -> int:
    places = (*collision.different, *collision.ahead)
    message = f"{len(places)} records are in each other's way; nothing was changed"
    hint = "import into an empty state: with AGENT_SYNC_DIR, or when no agent runs and this one is moved away"
    if context.json:
        error = {"kind": "error", "code": 3, "message": message, "hint": hint}
        context.data({**error, "different": collision.different, "ahead": collision.ahead})
        return 3
    from agentsync.render.frame import framed, shorten_path

    lines = [f"something else is here: {shorten_path(place)}" for place in collision.different[:SHOWN]]
    lines += [f"this board has yet to use the number of {shorten_path(place)}" for place in collision.ahead[:SHOWN]]
    context.refused(message, framed(lines), hint)
    return 3
