"""`init`, `install`, `uninstall`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.clients import NAMES
from agentsync.render.frame import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context
    from agentsync.clients import Adapter
    from agentsync.ops.install import Outcome
    from agentsync.ops.user_files import FileChange


SNIPPET = "also put a few lines into AGENTS.md, CLAUDE.md, GEMINI.md, or FILE"


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    init = add_parser(
        "init", "make the state directory (any command that writes does it too)", "init\n-C ../other init"
    )
    init.set_defaults(run=_init)
    install = add_parser(
        "install",
        "put the hooks into the clients' settings",
        "install\ninstall --client codex --dry-run\ninstall --agents-md",
    )
    _add_common(install, "for this one, or all (default: those found in the repository or on the PATH)")
    install.add_argument("--strict", action="store_true", help="block an edit when the hook itself fails")
    install.add_argument(
        "--agents-md", nargs="?", const="", metavar="FILE", help=f"{SNIPPET} (default: those there are)"
    )
    install.set_defaults(run=_install)
    uninstall = add_parser("uninstall", "take the hooks out, byte for byte", "uninstall\nuninstall --dry-run")
    _add_common(uninstall, "of this one, or all (default: those that are installed)")
    uninstall.add_argument("--agents-md", metavar="FILE", help="take our lines out of this file too")
    uninstall.set_defaults(run=_uninstall)


def _add_common(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument("--client", choices=(*NAMES, "all"), action="append", help=about)
    parser.add_argument("--git", action="store_true", help="git's own hooks instead of a client's")
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
    if options.git:
        from agentsync.cli import git

        return git.install(context, options)
    from agentsync.ops import commands, install, snippet

    chosen = _chosen(options.client) or install.detected(context.session)
    lines = None if options.agents_md is None else snippet.added(context.session, options.agents_md or None)
    outcomes = [install.install(context.session, client, options.strict, options.dry_run) for client in chosen]
    if lines is not None:
        outcomes.append(_lines(lines, options.dry_run))
    _tell(context, outcomes, options.dry_run, "the hooks for {} are in place already")
    if context.json or options.dry_run:
        return 0
    if any(outcome.changes for outcome in outcomes):
        context.say("New sessions use them; running ones too once they have read the settings again.")
        context.say("Commit these files to share them. `agent-sync doctor` checks that they answer.")
    if not commands.can_read():
        context.say("Shell commands are looked at only after they have run: pip install 'agentsync[shell]'")
    for client in chosen:
        for limit in client.LIMITS:
            context.say(f"{client.TITLE}: {limit}")
    return 0


def _uninstall(context: Context, options: argparse.Namespace) -> int:
    if options.git:
        from agentsync.cli import git

        return git.uninstall(context, options)
    from agentsync import clients
    from agentsync.ops import install, snippet

    chosen = _chosen(options.client) or install.installed(context.session) or (clients.get("claude"),)
    outcomes = [install.uninstall(context.session, client, options.dry_run) for client in chosen]
    if options.agents_md is not None or not options.client:
        lines = snippet.removed(context.session, options.agents_md)
        if lines or options.agents_md is not None:
            outcomes.append(_lines(lines, options.dry_run))
    _tell(context, outcomes, options.dry_run, "there are no hooks of ours for {}")
    return 0


def _lines(changes: tuple[FileChange, ...], dry_run: bool) -> Outcome:
    """Carry out what becomes of the lines for agents."""
    from agentsync.ops import install, snippet

    if not dry_run:
        snippet.apply(changes)
    return install.Outcome(client=snippet.NAME, changes=changes)


def _chosen(names: list[str] | None) -> tuple[Adapter, ...]:
    from agentsync import clients

    names = list(clients.NAMES) if names and "all" in names else names or []
    return tuple(clients.get(name) for name in dict.fromkeys(names))


def _tell(context: Context, outcomes: list[Outcome], dry_run: bool, nothing: str) -> None:
    from agentsync import clients

    if context.json:
        told = [
            {
                "kind": "installation",
                "client": outcome.client,
                "dry_run": dry_run,
                "changed": [change.path for change in outcome.changes],
                "limits": list(clients.get(outcome.client).LIMITS) if outcome.client in clients.NAMES else [],
            }
            for outcome in outcomes
        ]
        context.data(told[0] if len(told) == 1 else told)
        return
    for outcome in outcomes:
        if not outcome.changes:
            known = outcome.client in clients.NAMES
            context.say(
                nothing.format(clients.get(outcome.client).TITLE) if known else "the lines for agents: no change"
            )
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
