"""`send`, `directive`, `inbox`, `read-message`, `ack`, `thread`, `sent`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.render.frame import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context
    from agentsync.core.records import Message

_TO = "an agent's id or name, a role, or all"


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    send = add_parser(
        "send",
        "tell other agents something; it reaches them by itself",
        'send --to backend --message "the schema is final"\n'
        'send --to backend --reply-to m-12 --message "done, see src/api.py"',
    )
    send.add_argument("--to", required=True, metavar="WHOM", help=_TO)
    send.add_argument("--message", required=True, metavar="TEXT", help="what to say, at most 4,000 characters")
    send.add_argument("--reply-to", metavar="ID", help="the message that this answers")
    send.add_argument("--urgent", action="store_true", help="to all, but in the middle of their turns")
    send.set_defaults(run=_send)

    directive = add_parser(
        "directive",
        "tell each of several agents something as if it were the only one",
        'directive all "stop and commit"\ndirective frontend "use the new client"',
    )
    directive.add_argument("to", metavar="WHOM", help=_TO)
    directive.add_argument("message", metavar="TEXT", help="what to say, at most 4,000 characters")
    directive.set_defaults(run=_directive)

    inbox = add_parser("inbox", "list what you have not been told yet", "inbox\ninbox --all --json")
    inbox.add_argument("--all", action="store_true", help="also what you know already")
    inbox.set_defaults(run=_inbox)

    read = add_parser("read-message", "show one message", "read-message m-12\nread-message m-12 --json")
    read.add_argument("id", metavar="ID")
    read.set_defaults(run=_read)

    ack = add_parser("ack", "let the sender know that you have understood", "ack m-12\nack m-12 --json")
    ack.add_argument("id", metavar="ID")
    ack.set_defaults(run=_ack)

    thread = add_parser("thread", "show a message with all that it answers and all answers", "thread m-12\nthread m-9")
    thread.add_argument("id", metavar="ID")
    thread.set_defaults(run=_thread)

    sent = add_parser("sent", "list what you wrote, and how far its readers got", "sent\nsent --json")
    sent.set_defaults(run=_sent)


def _send(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import mail

    message = mail.send(context.session, options.to, options.message, reply_to=options.reply_to, urgent=options.urgent)
    return _say_sent(context, message)


def _directive(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import mail

    return _say_sent(context, mail.send(context.session, options.to, options.message, directive=True))


def _say_sent(context: Context, message: Message) -> int:
    if context.json:
        context.data(message)
        return 0
    shown = ", ".join(reader.agent for reader in message.readers[:10])
    more = f" and {len(message.readers) - 10} more" if len(message.readers) > 10 else ""
    whom = f" to {shown}{more}" if shown else ": nobody else is here; whoever joins within 24 h is told"
    context.say(f"sent {message.id}{whom}")
    return 0


def _inbox(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import mail

    found = mail.inbox(context.session, options.all)
    if context.json:
        from agentsync.render.payload import mine

        context.data([mine(message, context.session.me.id) for message in found])
        return 0
    if not found:
        context.say("no messages" if options.all else "no new messages: agent-sync inbox --all lists those you know")
        return 0
    from agentsync.render.messages import listing

    more = "agent-sync inbox --all --json" if options.all else "agent-sync inbox --json"
    context.board(listing(found, context.session.me.id, context.runtime.now(), more))
    return 0


def _read(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import mail

    message = mail.read_message(context.session, options.id)
    if context.json:
        from agentsync.render.payload import mine

        context.data(mine(message, context.session.me.id))
        return 0
    from agentsync.render.messages import whole

    context.board(whole(message, context.session.me.id, context.runtime.now()))
    return 0


def _ack(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import mail

    message = mail.ack(context.session, options.id)
    if context.json:
        from agentsync.render.payload import mine

        context.data(mine(message, context.session.me.id))
    else:
        context.say(f"acknowledged {escape(message.id)}")
    return 0


def _thread(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import mail

    found = mail.thread(context.session, options.id)
    if context.json:
        context.data(found)
        return 0
    from agentsync.render.messages import listing

    more = f"agent-sync thread {escape(options.id, 20)} --json"
    context.board(listing(found, context.session.me.id, context.runtime.now(), more))
    return 0


def _sent(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import mail

    found = mail.sent(context.session)
    if context.json:
        context.data(found)
        return 0
    if not found:
        context.say("you have sent nothing, or it is no longer kept: agent-sync send --to NAME --message TEXT")
        return 0
    from agentsync.render.messages import reports

    context.board(reports(found, context.session.me.id, context.runtime.now(), "agent-sync sent --json"))
    return 0
