"""`doctor`, `gc`, `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    gc = add_parser("gc", "compact the log and tidy up after those who are gone", "gc\ngc --json")
    gc.set_defaults(run=_gc)


def _gc(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import care

    done = care.gc(context.session)
    if context.json:
        context.data({"kind": "compaction", **{name: getattr(done, name) for name in done.__struct_fields__}})
    else:
        context.say(
            f"revision {done.revision}: {done.archived} events archived, {done.departed} records of the departed "
            f"dropped, {done.orphans} left-over files removed"
        )
    return 0
