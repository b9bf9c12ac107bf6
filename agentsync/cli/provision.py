"""`provision`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError, MissingExtraError, UsageError
from agentsync.render.frame import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from agentsync.cli.context import Context
    from agentsync.ops.provision import Plan, Provisioning, Step

OUTSIDE = "this makes things outside of this machine"


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the command to the grammar."""
    provision = add_parser(
        "provision",
        "make a private repository at GitHub with its program gh, and share locks through it; asks before",
        "provision --dry-run\nprovision acme/shop --push --invite alice --yes",
    )
    provision.add_argument("name", nargs="?", metavar="NAME", help="or OWNER/NAME (default: that of the directory)")
    provision.add_argument("--remote", default="origin", metavar="REMOTE", help="what git calls it (default origin)")
    provision.add_argument("--public", action="store_true", help="everybody may read it")
    provision.add_argument("--push", action="store_true", help="push the current branch, too")
    provision.add_argument("--invite", action="append", default=[], metavar="USER", help="let somebody push there")
    provision.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    provision.add_argument("--yes", action="store_true", help="do not ask")
    provision.set_defaults(run=_provision)


def _provision(context: Context, options: argparse.Namespace) -> int:
    import os

    from agentsync.ops.provision import Provisioning, Wish

    name = options.name or os.path.basename(context.session.place.root.rstrip("/"))
    wish = Wish(
        name=name, remote=options.remote, public=options.public, push=options.push, invite=tuple(options.invite)
    )
    work = Provisioning(context.session, wish)
    try:
        with context.working("asking gh"):
            plan = work.plan()
    except MissingExtraError as error:
        return _by_hand(context, work, error)
    if options.dry_run or not plan.open:
        return _told(context, plan, plan.steps, dry_run=options.dry_run)
    _agree(context, plan, options.yes)
    return _carry_out(context, work, plan)


def _by_hand(context: Context, work: Provisioning, error: MissingExtraError) -> int:
    commands = work.by_hand()
    if context.json:
        from agentsync.render.payload import error as payload

        context.data({**payload(error), "commands": [list(command) for command in commands]})
        return error.code
    for command in commands:
        context.say(_typed(command))
    raise error


def _agree(context: Context, plan: Plan, yes: bool) -> None:
    """Ask the person at the terminal.

    Raises:
        UsageError: There is none, and nobody said yes before.
        AgentSyncError: They do not want it.
    """
    if yes:
        return
    if context.json or not (context.is_terminal and context.runtime.is_terminal(0)):
        raise UsageError(f"{OUTSIDE}, and nobody is here to ask", "--dry-run shows what, --yes does it")
    context.say(f"{OUTSIDE}:")
    for step in plan.open:
        context.say(f"  {_typed(step.command)}")
    try:
        answer = input("Go on? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().casefold() not in ("y", "yes"):
        raise AgentSyncError("nothing was done", "agent-sync provision --help")


def _carry_out(context: Context, work: Provisioning, plan: Plan) -> int:
    done: list[Step] = [step for step in plan.steps if step.done]
    try:
        for step in work.carry_out(plan):
            done.append(step)
            if not context.json:
                context.say(f"done: {_typed(step.command)}")
    except AgentSyncError as error:
        left = len(plan.steps) - len(done)
        error.message = f"{error.message}; {len(done)} of {len(plan.steps)} steps are done, {left} left"
        if context.json:
            from agentsync.render.payload import error as payload

            context.data({**payload(error), "message": escape(error.message), "done": _steps(done)})
            return error.code
        raise
    if context.json:
        return _told(context, plan, done, dry_run=False)
    context.say(f"other clones take part with: agent-sync remote add {plan.wish.remote}")
    return 0


def _told(context: Context, plan: Plan, steps: Sequence[Step], dry_run: bool) -> int:
    if context.json:
        context.data({"kind": "provision", "dry_run": dry_run, "name": plan.wish.name, "steps": _steps(steps)})
        return 0
    for step in steps:
        context.say(f"{'done already' if step.done else 'would run'}: {_typed(step.command)}")
    return 0


def _steps(steps: Sequence[Step]) -> list[dict[str, object]]:
    return [{"what": step.what, "command": list(map(escape, step.command)), "done": step.done} for step in steps]


def _typed(command: Sequence[str]) -> str:
    import shlex

    return escape(shlex.join(command))
