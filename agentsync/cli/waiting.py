"""`queue`, `request`, `refuse`, `append`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agentsync.cli.contested import add_wait, refuse
from agentsync.core.locks import Conflict
from agentsync.render.frame import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    queue = add_parser("queue", "show who waits for whom", "queue\nqueue --json")
    queue.set_defaults(run=_queue)

    request = add_parser(
        "request",
        "ask who holds a path to let go of it",
        'request src/api.py --message "two lines, then it is yours"\nrequest src/db/',
    )
    request.add_argument("path", metavar="PATH", help="file, directory, 'pattern' or @resource")
    request.add_argument("--message", metavar="TEXT", help="what to tell the holder")
    request.set_defaults(run=_request)

    no = add_parser(
        "refuse",
        "answer a request: you keep it",
        'refuse m-12 --reason "until the tests are green"\nrefuse m-12 --reason "I am at it" --json',
    )
    no.add_argument("request", metavar="REQUEST", help="its id, like m-12")
    no.add_argument("--reason", required=True, help="why, for the one who asked")
    no.set_defaults(run=_refuse)

    append = add_parser(
        "append",
        "add lines to the end of a shared file, under its lock",
        'append CHANGELOG.md --content "- faster"\nappend notes/today.md --wait=10 <summary.txt',
    )
    append.add_argument("file", metavar="FILE", help="made if it is not there, with its directories")
    append.add_argument("--content", metavar="TEXT", help="what to add; without it, standard input")
    append.add_argument("--no-newline", action="store_true", help="add the text as it is, no line ends around it")
    add_wait(append)
    append.set_defaults(run=_append)


def _queue(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import requests

    found = requests.listing(context.session)
    if context.json:
        from agentsync.render.payload import place

        context.data([place(one) for one in found])
    elif not found:
        context.say("nobody waits: agent-sync lock --wait PATH stands in line")
    else:
        from agentsync.render.queue import rows

        context.board(rows(found, context.runtime.now()))
    return 0


def _request(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import requests

    answer = requests.request(context.session, options.path, options.message)
    if isinstance(answer, requests.Yours):
        if context.json:
            context.data({"kind": "yours", "path": answer.path})
        else:
            context.say(f"nothing to ask for: {escape(answer.path)} is yours")
        return 0
    if context.json:
        context.data(answer.request)
        return 0
    whom = ", ".join(dict.fromkeys(lock.holder for lock in answer.holders))
    context.say(f"{answer.request.id}: {whom} {'was asked before' if answer.again else 'was asked'}; you will be told")
    return 0


def _refuse(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import requests

    refused = requests.refuse(context.session, options.request, options.reason)
    if context.json:
        context.data(refused)
    else:
        context.say(f"refused {refused.id}; {refused.agent} is told")
    return 0


def _append(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops.append import append

    answer = append(
        context.session,
        options.file,
        _text(context, options.content),
        newline=not options.no_newline,
        wait=options.wait,
        priority=options.priority,
    )
    if isinstance(answer, Conflict):
        return refuse(context, answer, "wait for it: agent-sync append --wait FILE", waited=options.wait is not None)
    if context.json:
        context.data(answer)
    else:
        context.say(f"appended {answer.size} bytes to {escape(answer.path)}")
    return 0


def _text(context: Context, content: str | None) -> bytes:
    from agentsync.errors import UsageError

    if content is not None:
        try:
            return content.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise UsageError("the content holds half a character", "give it on standard input") from None
    if sys.stdin is None or context.runtime.is_terminal(0):
        raise UsageError("nothing to append was given", "give --content TEXT, or pipe it in")
    return sys.stdin.buffer.read()
