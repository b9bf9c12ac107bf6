"""`init`, `install`, `uninstall`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    init = add_parser("init", "make the state directory (any command that writes does it too)", "init\n-C ../other init")
    init.set_defaults(run=_init)


def _init(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import care

    where = care.init(context.session)
    if context.json:
        context.data({"kind": "store", "path": where, "root": context.session.place.root})
    else:
        context.say(f"the state is in {where}")
    return 0
