"""`create-task`, `tasks`, `task`, `claim-task`, `claim-next`, and what is done with a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.cli.contested import add_wait
from agentsync.render.frame import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context
    from agentsync.core.progress import Says
    from agentsync.core.tasks import Changed, Refused

    Add = Callable[[str, str, str], argparse.ArgumentParser]

NOT_CHANGED = "that cannot be done with this task now; nothing was changed"


def add(add_parser: Add) -> None:
    """Add the commands to the grammar."""
    create = add_parser(
        "create-task",
        "put a task on the board",
        'create-task "Login form" --file src/login.tsx --priority 3\ncreate-task "Its tests" --depends-on "Login form"',
    )
    create.add_argument("title", metavar="TITLE")
    _add_content(create)
    create.set_defaults(run=_create)

    edit = add_parser(
        "edit-task",
        "change what a task says; files and dependencies are added",
        "edit-task t-7k3f --priority 9\nedit-task t-7k3f --depends-on t-2m4x --file src/api.py",
    )
    _add_task(edit, force=True)
    edit.add_argument("--title")
    _add_content(edit)
    edit.set_defaults(run=_edit)

    listing = add_parser("tasks", "list tasks", "tasks --ready\ntasks --mine")
    which = listing.add_mutually_exclusive_group()
    which.add_argument("--ready", action="store_true", help="what could be claimed now")
    which.add_argument("--mine", action="store_true", help="what is yours")
    which.add_argument("--all", action="store_true", help="finished ones too")
    listing.set_defaults(run=_tasks)

    show = add_parser("task", "show a task and its trail", 'task t-7k3f\ntask "Login form" --json')
    _add_task(show)
    show.set_defaults(run=_show)

    claim = add_parser("claim-task", "make a task yours", 'claim-task t-7k3f --lock\nclaim-task "login form"')
    _add_task(claim, force=True)
    claim.add_argument("--lock", action="store_true", help="lock those of its files that are free, at one stroke")
    claim.add_argument("--strict", action="store_true", help="lock all of its files, or do nothing")
    claim.set_defaults(run=_claim)

    following = add_parser(
        "claim-next", "claim the best task there is", "claim-next --lock\nclaim-next --wait=600 --json"
    )
    following.add_argument("--lock", action="store_true", help="prefer one whose files are all free, and lock them")
    add_wait(following)
    following.set_defaults(run=_claim_next)

    _add_verb(
        add_parser, "complete-task", "say that a task is done", 'complete-task t-7k3f\ncomplete-task "login form"'
    )
    blocked = _add_verb(
        add_parser,
        "block-task",
        "say that a task cannot go on",
        'block-task t-7k3f --reason "needs a key"\nblock-task login --reason spec',
    )
    blocked.add_argument("--reason", required=True)
    _add_verb(
        add_parser, "release-task", "give a task back to the board", 'release-task t-7k3f\nrelease-task "login form"'
    )
    _add_verb(
        add_parser,
        "reopen-task",
        "open a finished or blocked task again",
        "reopen-task t-7k3f\nreopen-task t-7k --json",
    )
    _add_verb(
        add_parser, "cancel-task", "say that a task will not be done", "cancel-task t-7k3f\ncancel-task t-7k3f --force"
    )
    check = _add_verb(
        add_parser,
        "checkpoint",
        "keep where the work stands, for whoever takes it over",
        'checkpoint t-7k3f "form done, validation missing"\ncheckpoint "login form" "see branch login"',
    )
    check.add_argument("text", metavar="TEXT")
    noted = add_parser("note", "add to the trail of a task", 'note t-7k3f "half way"\nnote "login form" "see also #12"')
    _add_task(noted)
    noted.add_argument("text", metavar="TEXT")
    noted.set_defaults(run=_note)
    hand = _add_verb(
        add_parser,
        "handoff",
        "give a task to another agent, with its locks and checkpoint",
        'handoff t-7k3f --to bob\nhandoff "login form" --to claude-3d4e5f60',
    )
    hand.add_argument("--to", required=True, metavar="AGENT", help="id or name")


def _add_task(parser: argparse.ArgumentParser, force: bool = False) -> None:
    parser.add_argument("task", metavar="TASK", help="id, the beginning of one, or the exact title")
    if force:
        parser.add_argument(
            "--force", action="store_true", help="although it is somebody else's; recorded, they are told"
        )


def _add_content(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--description")
    parser.add_argument("--file", action="append", default=[], dest="files", metavar="PATH", help="what it will touch")
    parser.add_argument("--priority", type=int, metavar="N", help="the greater, the sooner (default 0)")
    parser.add_argument("--depends-on", action="append", default=[], metavar="TASK", help="what must be finished first")


def _add_verb(add_parser: Add, name: str, about: str, example: str) -> argparse.ArgumentParser:
    parser = add_parser(name, about, example)
    _add_task(parser, force=True)
    parser.set_defaults(run=_verb, verb=name)
    return parser


# ---------------------------------------------------------------- making and looking
def _says(options: argparse.Namespace) -> Says:
    from agentsync.core.progress import Says

    return Says(
        title=options.title,
        description=options.description,
        files=tuple(options.files),
        priority=options.priority,
        depends_on=tuple(options.depends_on),
    )


def _create(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import tasks

    task = tasks.create(context.session, _says(options))
    if context.json:
        context.data(task)
    else:
        context.say(f"created {task.id}: {escape(task.title)}")
    return 0


def _edit(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import tasks

    return _tell(context, tasks.edit(context.session, options.task, _says(options), force=options.force), "edited")


def _tasks(context: Context, options: argparse.Namespace) -> int:
    from agentsync.core.tasks import UNFINISHED
    from agentsync.ops import tasks

    found = tasks.board(context.session)
    if options.ready:
        found = [seen for seen in found if seen.is_ready]
    elif options.mine:
        found = [seen for seen in found if seen.task.owner == context.session.me.id]
    if context.json:
        from agentsync.render.payload import task

        context.data([task(seen) for seen in found])
        return 0
    finished = 0 if options.all else sum(seen.task.status not in UNFINISHED for seen in found)
    shown = [seen for seen in found if options.all or seen.task.status in UNFINISHED]
    if shown:
        from agentsync.render.table import aligned
        from agentsync.render.tasks import row

        now = context.runtime.now()
        context.board(aligned([row(seen, now, context.colour) for seen in shown], indent=""))
    elif options.ready:
        context.say("no task is ready: agent-sync tasks shows what the others wait for")
    elif options.mine:
        context.say("no task is yours: agent-sync claim-next gives you one")
    else:
        context.say("no task is open: agent-sync create-task TITLE makes one")
    if finished:
        context.say(f"and {finished} finished: agent-sync tasks --all")
    return 0


def _show(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import tasks

    seen, events = tasks.story(context.session, options.task)
    if context.json:
        from agentsync.render.payload import task

        context.data({**task(seen), "events": events})
    else:
        from agentsync.render.tasks import story

        context.board(story(seen, events, context.runtime.now()))
    return 0


# ---------------------------------------------------------------- claiming
def _claim(context: Context, options: argparse.Namespace) -> int:
    from agentsync.core.locks import Conflict
    from agentsync.core.tasks import Refused
    from agentsync.ops import tasks

    outcome = tasks.claim(context.session, options.task, lock=options.lock, strict=options.strict, force=options.force)
    if isinstance(outcome, Conflict):
        from agentsync.cli.contested import refuse

        return refuse(context, outcome, "without --strict the free ones are locked; agent-sync explain PATH tells more")
    if isinstance(outcome, Refused):
        return _refuse(context, outcome)
    return _claimed(context, outcome)


def _claim_next(context: Context, options: argparse.Namespace) -> int:
    from agentsync.errors import GaveUpError
    from agentsync.ops import tasks

    outcome = tasks.claim_next(context.session, lock=options.lock, wait=options.wait or 0, priority=options.priority)
    if outcome is not None:
        return _claimed(context, outcome)
    if options.wait:
        raise GaveUpError("no task became available in that time", "agent-sync tasks shows who does what")
    if context.json:
        context.data({"kind": "none", "message": "No available tasks"})
    else:
        context.say("No available tasks: agent-sync tasks shows who does what")
    return 0


def _claimed(context: Context, outcome: Changed) -> int:
    if context.json:
        from agentsync.render.payload import changed

        context.data(changed(outcome))
        return 0
    from agentsync.render.tasks import claimed

    context.say(f"claimed {outcome.task.id}")
    context.board(claimed(outcome, context.runtime.now()))
    return 0


# ---------------------------------------------------------------- working
def _verb(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import tasks

    session, words, force = context.session, options.task, options.force
    match options.verb:
        case "complete-task":
            return _tell(context, tasks.complete(session, words, force=force), "completed")
        case "block-task":
            return _tell(context, tasks.block(session, words, options.reason, force=force), "blocked")
        case "release-task":
            return _tell(context, tasks.release(session, words, force=force), "given back")
        case "reopen-task":
            return _tell(context, tasks.reopen(session, words, force=force), "open again")
        case "cancel-task":
            return _tell(context, tasks.cancel(session, words, force=force), "cancelled")
        case "checkpoint":
            return _tell(context, tasks.checkpoint(session, words, options.text, force=force), "checkpoint kept")
        case _:
            return _tell(context, tasks.handoff(session, words, options.to, force=force), "handed on")


def _note(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import tasks

    return _tell(context, tasks.note(context.session, options.task, options.text), "noted")


def _tell(context: Context, outcome: Changed | Refused, did: str) -> int:
    from agentsync.core.tasks import Refused

    if isinstance(outcome, Refused):
        return _refuse(context, outcome)
    if context.json:
        from agentsync.render.payload import changed

        context.data(changed(outcome))
        return 0
    task = outcome.task
    to = f" to {task.owner}" if did == "handed on" else ""
    title = f" {escape(task.title)}" if context.is_terminal else ""  # to a model, another agent's words need a frame
    context.say(f"{did}{to}: {task.id}{title}")
    if outcome.locks:
        context.board(["with its locks: " + ", ".join(escape(lock.path) for lock in outcome.locks)])
    if outcome.ready:
        from agentsync.render.tasks import freed

        context.board(freed(outcome.ready))
    return 0


def _refuse(context: Context, refused: Refused) -> int:
    from agentsync.render.tasks import refusal

    if context.json:
        from agentsync.render.payload import task_refused

        context.data(task_refused(refused))
        return 3
    from agentsync.render.frame import framed

    lines = refusal(refused)
    details = "\n".join(f"  {line}" for line in lines) if context.runtime.is_terminal(2) else framed(lines)
    context.refused(NOT_CHANGED, details, escape(refused.hint))
    return 3
