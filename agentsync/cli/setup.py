"""`init`, `install`, `uninstall`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.render.frame import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context
    from agentsync.ops.install import Outcome

CLIENTS = ("claude",)


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    init = add_parser(
        "init", "make the state directory (any command that writes does it too)", "init\n-C ../other init"
    )
    init.set_defaults(run=_init)
    install = add_parser("install", "put the hooks into a client's settings", "install\ninstall --dry-run")
    _add_common(install)
    install.add_argument("--strict", action="store_true", help="block an edit when the hook itself fails")
    install.set_defaults(run=_install)
    uninstall = add_parser("uninstall", "take the hooks out, byte for byte", "uninstall\nuninstall --dry-run")
    _add_common(uninstall)
    uninstall.set_defaults(run=_uninstall)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--client", choices=CLIENTS, help="only this one (default: all that are supported)")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")


def _init(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import care

    where = care.init(context.session)
    if context.json:
        context.data({"kind": "store", "path": where, "root": context.session.place.root})
    else:
        context.say(f"the state is in {escape(where)}")
    return 0


def _install(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import install

    outcome = install.install(context.session, strict=options.strict, dry_run=options.dry_run)
    _tell(context, outcome, options.dry_run, "the hooks for Claude Code are in place already")
    if outcome.changes and not options.dry_run and not context.json:
        context.say("New sessions use them; running ones too once they have read the settings again.")
        context.say("Commit both files to share them. `agent-sync doctor` checks that they answer.")
    return 0


def _uninstall(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import install

    outcome = install.uninstall(context.session, dry_run=options.dry_run)
    _tell(context, outcome, options.dry_run, "there are no hooks of ours for Claude Code")
    return 0


def _tell(context: Context, outcome: Outcome, dry_run: bool, nothing: str) -> None:
    if context.json:
        context.data(
            {
                "kind": "installation",
                "client": outcome.client,
                "dry_run": dry_run,
                "changed": [change.path for change in outcome.changes],
            }
        )
    elif not outcome.changes:
        context.say(nothing)
    elif dry_run:
        context.say(_difference(outcome))
    else:
        for change in outcome.changes:
            verb = "removed" if change.after is None else "made" if change.before is None else "changed"
            context.say(f"{verb} {escape(change.path)}")


def _difference(outcome: Outcome) -> str:
    import difflib

    lines: list[str] = []
    for change in outcome.changes:
        old, new = ((data or b"").decode("utf-8", "replace").splitlines() for data in (change.before, change.after))
        names = [change.path if data is not None else "/dev/null" for data in (change.before, change.after)]
        lines += [escape(line) for line in difflib.unified_diff(old, new, names[0], names[1], lineterm="")]
    return "\n".join(lines)
