"""`git-hook`, `conflicts`, `run`; and `install --git`, `uninstall --git`, which `setup` hands over."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from agentsync.cli.contested import add_wait, refuse
from agentsync.core.locks import Conflict
from agentsync.errors import AgentSyncError, UsageError
from agentsync.render.frame import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.cli.context import Context
    from agentsync.ops.git_hooks import Hooks

REFUSED = 3
"""Exit code of a hook that says no. Whatever else goes wrong ends with 0: our defects stop nobody."""

HOOKS = ("pre-commit", "pre-merge-commit", "post-commit", "post-merge", "pre-push")


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    hook = add_parser(
        "git-hook",
        "answer a hook of git's (what install --git sets up calls it)",
        "git-hook pre-commit\ngit-hook pre-push origin",
    )
    hook.add_argument("event", choices=HOOKS)
    hook.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="what git gives the hook")
    hook.set_defaults(run=_hook)
    conflicts = add_parser(
        "conflicts",
        "try to merge with what others do on their branches, uncommitted changes included; changes nothing",
        "conflicts\nconflicts feature main --json\nconflicts --fetch",
    )
    conflicts.add_argument("branches", nargs="*", metavar="BRANCH", help="default: all that live agents work on")
    conflicts.add_argument(
        "--fetch",
        nargs="?",
        metavar="REMOTE",
        help="also those that agents on other machines have pushed, else all that are not merged; fetched for this "
        "look only (--fetch=REMOTE; default: where the shared board is, else origin)",
    )
    conflicts.set_defaults(run=_conflicts)
    run = add_parser(
        "run",
        "hold locks exactly as long as a command lives; its exit code is passed on",
        "run --lock dist/ -- make dist\nrun --lock @db --lock migrations/ --wait=60 -- ./migrate.sh",
    )
    run.add_argument("--lock", action="append", required=True, metavar="TARGET", help="file, directory or @resource")
    run.add_argument("--shared", action="store_true", help="beside other shared locks")
    run.add_argument("--reason", help="why, for those who are refused (default: the command)")
    add_wait(run)
    run.add_argument("words", nargs="+", metavar="CMD", help="the command, behind --")
    run.set_defaults(run=_run)


# ---------------------------------------------------------------- installing
def install(context: Context, options: argparse.Namespace) -> int:
    """`install --git`."""
    from agentsync.ops import git_hooks

    outcome = git_hooks.install(context.session, dry_run=_alone(options).dry_run)
    _tell(context, outcome, options.dry_run, "git's hooks are in place already")
    if outcome.shared and outcome.steps:
        context.warn(f"{outcome.directory} serves other repositories too; the hooks do nothing where there is no board")
    return _left(context, outcome)


def uninstall(context: Context, options: argparse.Namespace) -> int:
    """`uninstall --git`."""
    from agentsync.ops import git_hooks

    outcome = git_hooks.uninstall(context.session, dry_run=_alone(options).dry_run)
    _tell(context, outcome, options.dry_run, "there are no hooks of ours in git's hooks directory")
    return _left(context, outcome)


def _alone(options: argparse.Namespace) -> argparse.Namespace:
    if options.client:
        raise UsageError("--git and --client do not go together", "install them one after the other")
    return options


def _tell(context: Context, outcome: Hooks, dry_run: bool, nothing: str) -> None:
    from agentsync.ops.git_hooks import KEPT

    if context.json:
        changed = [step.path for step in outcome.steps if step.verb != "keep"]
        kept = [step.path + KEPT for step in outcome.steps if step.verb == "keep"]
        context.data(
            {
                "kind": "installation",
                "client": "git",
                "dry_run": dry_run,
                "changed": changed,
                "kept": kept,
                "left": list(outcome.edited),
            }
        )
        return
    if not outcome.steps and not outcome.edited:
        context.say(nothing)
    said = {"write": "made {0}", "keep": "kept {0} as {1}", "restore": "restored {0}", "remove": "removed {0}"}
    for step in outcome.steps:
        line = said[step.verb].format(escape(step.path), escape(step.path.rpartition("/")[2] + KEPT))
        context.say(f"would have {line}" if dry_run else line)


def _left(context: Context, outcome: Hooks) -> int:
    if outcome.edited and context.json:
        return AgentSyncError.code  # the answer names them
    if outcome.edited:
        which = ", ".join(outcome.edited)
        raise AgentSyncError(
            f"left as it is, for somebody has changed it since: {which}",
            "take your own lines out of it, then repeat this",
        )
    return 0


# ---------------------------------------------------------------- answering git
def _hook(context: Context, options: argparse.Namespace) -> int:
    """Answer git. It fails open: what we cannot judge is committed, and said."""
    try:
        return _answer(context, options.event, options.arguments)
    except (AgentSyncError, OSError) as error:
        why = error.message if isinstance(error, AgentSyncError) else str(error)
        context.warn(f"{options.event} could not be judged, so it goes on: {why}")
        return 0


def _answer(context: Context, event: str, arguments: list[str]) -> int:
    from agentsync.ops import commits
    from agentsync.render import commits as render

    session, terminal = context.session, context.runtime.is_terminal(2)
    now = context.runtime.now
    if event in ("pre-commit", "pre-merge-commit"):
        stop = commits.before_commit(session, merging=event == "pre-merge-commit")
        if stop is not None:
            print(render.commit_refused(stop, now(), terminal), file=sys.stderr)
        return REFUSED if stop else 0
    if event == "pre-push":
        stop = commits.before_push(session, *_push(context, arguments))
        if stop is not None:
            print(render.push_answer(stop, now(), terminal), file=sys.stderr)
        return REFUSED if stop and stop.enforce else 0
    first = arguments[0] if arguments else ""
    squash = first == "1" or context.runtime.env.get("PRE_COMMIT_IS_SQUASH_MERGE") == "1"
    done = commits.after_merge(session, squash) if event == "post-merge" else commits.after_commit(session, first)
    for line in render.released([lock.path for lock in done.locks], done.unfinished):
        print(line, file=sys.stderr)
    return 0


def _push(context: Context, arguments: list[str]) -> tuple[str, list[str]]:
    """The remote, and the refs: from git itself, or as the framework `pre-commit` passes them on."""
    env = context.runtime.env
    if "PRE_COMMIT_TO_REF" in env:
        there = env.get("PRE_COMMIT_FROM_REF", "0")
        branch = env.get("PRE_COMMIT_REMOTE_BRANCH", "-")
        return env.get("PRE_COMMIT_REMOTE_NAME", "origin"), [f"- {env['PRE_COMMIT_TO_REF']} {branch} {there}"]
    return (arguments or ["origin"])[0], sys.stdin.read().splitlines()


# ---------------------------------------------------------------- looking ahead
def _conflicts(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import conflicts
    from agentsync.render.conflicts import payload, told

    conflicts.require_repository(context.session)
    if options.fetch is not None:
        return _partners(context, options)
    with context.working("trying the merges"):
        found = conflicts.ahead(context.session, options.branches)
    if context.json:
        context.data(payload(found))
    elif not found:
        context.say("nobody else works on another branch: agent-sync conflicts BRANCH tries one")
    else:
        context.board(told(found))
    return 3 if any(one.conflicts for one in found) else 0


def _partners(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import partners
    from agentsync.render.conflicts import partners_payload, partners_told

    with context.working("fetching, and trying the merges"):
        found = partners.ahead(context.session, options.branches, options.fetch or None)
    if context.json:
        context.data(partners_payload(found))
    else:
        context.board(partners_told(found))
    return 3 if any(one.conflicts for one in found.all) else 0


# ---------------------------------------------------------------- running
def _run(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import running
    from agentsync.ops.locks import MAX_REASON

    said = " ".join(options.words)[:MAX_REASON]
    held = running.hold(
        context.session,
        options.lock,
        shared=options.shared,
        reason=said if options.reason is None else options.reason,
        wait=options.wait,
        priority=options.priority,
    )
    if isinstance(held, Conflict):
        hint = "the command was not run; agent-sync run --wait … stands in line for it"
        return refuse(context, held, hint, waited=options.wait is not None)
    try:
        sys.stdout.flush()
        return running.run(options.words, lambda: held.session.store.touch(held.session.me.id))
    finally:
        try:
            held.release()
        except (AgentSyncError, OSError) as error:  # the command's exit code counts; our death frees the locks
            context.warn(f"the locks could not be released ({error}); they are free when this process has ended")
