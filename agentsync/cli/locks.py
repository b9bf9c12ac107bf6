"""`lock`, `unlock`, `locks`, `check`, `explain`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from agentsync.cli.contested import add_wait, refuse
from agentsync.core.lease import is_guest
from agentsync.core.locks import Conflict
from agentsync.render.frame import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.cli.context import Context


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    lock = add_parser(
        "lock",
        "hold files, directories, patterns or resources: all of them, or none",
        'lock src/api.py src/db/ --reason "new endpoint"\nlock "src/**/*.sql" --ttl 120\nlock @db-migrations --wait=60',
    )
    _add_targets(lock)
    lock.add_argument("--reason", help="why, for those who are refused")
    lock.add_argument(
        "--ttl",
        type=_minutes,
        metavar="MIN",
        help="minutes after your last sign of life (default 60, or what your lock has)",
    )
    lock.add_argument("--shared", action="store_true", help="beside other shared locks")
    lock.add_argument("--task", metavar="ID", help="the task it is for")
    lock.add_argument("--everywhere", action="store_true", help="in all worktrees")
    lock.add_argument("--remote", action="store_true", help="on all machines that share a board (see remote --help)")
    add_wait(lock)
    lock.set_defaults(run=_lock)

    unlock = add_parser("unlock", "let go of locks", "unlock src/api.py\nunlock --all")
    _add_targets(unlock)
    unlock.add_argument("--all", action="store_true", help="everything that you hold")
    unlock.add_argument("--force", action="store_true", help="also somebody else's live lock; recorded, they are told")
    unlock.set_defaults(run=_unlock)

    listing = add_parser("locks", "list what is held", "locks\nlocks --json")
    listing.set_defaults(run=_locks)

    check = add_parser("check", "tell whether your edit would be refused", "check src/api.py\ncheck src/ --json")
    check.add_argument("paths", nargs="+", metavar="PATH")
    check.set_defaults(run=_check)

    explain = add_parser("explain", "tell the story of a path", "explain src/api.py\nexplain @db-migrations")
    explain.add_argument("path", metavar="PATH")
    explain.set_defaults(run=_explain)


def _add_targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH", help="file, directory, 'pattern' or @resource")
    parser.add_argument("--resource", action="append", default=[], metavar="NAME", help="a named resource")


def _minutes(text: str) -> int:
    from agentsync.core.policy import MAX_MINUTES

    try:
        minutes = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes") from None
    if not 0 < minutes <= MAX_MINUTES:
        raise argparse.ArgumentTypeError(f"{text} minutes cannot be a lease; give 1 to {MAX_MINUTES}")
    return minutes


def _lock(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import locks

    decision = locks.lock(
        context.session,
        options.paths,
        resources=options.resource,
        shared=options.shared,
        ttl_minutes=options.ttl,
        reason=options.reason,
        task=options.task,
        everywhere=options.everywhere,
        remote=options.remote,
        wait=options.wait,
        priority=options.priority,
    )
    if isinstance(decision, Conflict):
        return refuse(context, decision, _next_step(decision, options.paths), waited=options.wait is not None)
    if context.json:
        context.data(decision.locks[0] if len(decision.locks) == 1 else list(decision.locks))
        return 0
    from agentsync.render.times import clock

    now = context.runtime.now()
    for granted in decision.locks:
        mode = " (shared)" if granted.mode == "shared" else ""
        mode += " on all machines" if granted.machine is not None else ""
        context.say(
            f"locked {escape(granted.path)}{mode} until {clock(granted.expires_at, now)}, token {granted.token}"
        )
    # Ids, not names: these lines are ours, and a name could say anything.
    for old in decision.taken_over:
        context.say(f"taken over from {old.holder}, whose lock had lapsed: {escape(old.path)}")
    for held in decision.elsewhere:
        where = f"worktree {escape(held.lock.worktree)}" if held.lock.worktree else "the main worktree"
        context.warn(f"{held.lock.path} is also locked in {where}, by {held.lock.holder}")
    return 0


def _next_step(conflict: Conflict, paths: list[str]) -> str:
    from agentsync.render.frame import quoted

    path = (quoted(paths[0]) if len(paths) == 1 else None) or "PATH"
    if conflict.cycle:
        return "let go of what the others wait for (agent-sync unlock PATH), or work on something else"
    if not conflict.blocked:
        return f"join it: agent-sync lock --wait {path}"
    if any(is_guest(blocked.held.lock) for blocked in conflict.blocked):
        return f"on another machine: agent-sync sync looks again, agent-sync lock --remote --wait {path} waits for it"
    return f"wait for it: agent-sync lock --wait {path}; agent-sync explain {path} tells more"


def _unlock(context: Context, options: argparse.Namespace) -> int:
    from agentsync.errors import UsageError
    from agentsync.ops import locks

    if options.all and (options.paths or options.resource):
        raise UsageError("--all and paths do not go together", "name the paths, or give --all alone")
    if not (options.all or options.paths or options.resource):
        raise UsageError("nothing to unlock was named", "name what you hold (agent-sync locks lists it), or give --all")
    decision = locks.unlock(
        context.session,
        options.paths,
        resources=options.resource,
        everything=options.all,
        force=options.force,
    )
    if isinstance(decision, Conflict):
        return refuse(context, decision, "only its holder unlocks it; agent-sync explain PATH tells more")
    if context.json:
        context.data(list(decision.locks))
    elif not decision.locks:
        context.say("nothing to unlock")
    for dropped in decision.locks if not context.json else ():
        whose = "" if dropped.holder == context.session.me.id else f" (of {dropped.holder})"
        context.say(f"unlocked {escape(dropped.path)}{whose}")
    return 0


def _locks(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import locks

    found = locks.held(context.session)
    if context.json:
        context.data([held.lock for held in found])
        return 0
    if not found:
        context.say("nothing is locked: agent-sync lock PATH holds a file")
        return 0
    from agentsync.render.locks import row
    from agentsync.render.table import aligned

    now = context.runtime.now()
    context.board(aligned([row(held, now, context.colour) for held in found], indent=""))
    return 0


def _check(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import locks

    found = locks.check(context.session, options.paths)
    if context.json:
        from agentsync.render.payload import checked

        context.data([checked(answer) for answer in found])
    else:
        from agentsync.render.locks import verdict

        now = context.runtime.now()
        context.board([line for answer in found for line in verdict(answer.target, answer.verdict, now)])
    return 3 if any(answer.verdict.blocked for answer in found) else 0


def _explain(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import locks

    answer = locks.explain(context.session, options.path)
    if context.json:
        from agentsync.render.payload import story

        context.data(story(answer))
    else:
        from agentsync.render.locks import story as tell

        context.board(tell(answer, context.runtime.now()))
    return 0
