"""Mail as text: each message is one line inside the frame, whatever is in it.

A hook's text has at most as many characters as the client takes: `room` says how many are left for messages, `size`
what each of them takes, and `told` keeps to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.core.changes import ALL, SYSTEM
from agentsync.core.paths import is_valid_id
from agentsync.render.frame import escape, framed, quoted
from agentsync.render.times import ago

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agentsync.core.records import Message, Reader
    from agentsync.ops.mail import Delivery

MAX_ENTRY = 6000
"""Characters of one message; a longer one is cut, so that any message fits into a hook's text."""

MAX_NOTICES = 8
"""Lines of one notice; more are counted."""

MAX_ROWS = 50
"""Messages of a listing, and readers of a message; more do not fit a screen."""

_LIST_WIDTH = 400
"""Characters of a body in a listing."""

_AROUND = 400
"""Characters that frame, count and hint take, at most."""


# ---------------------------------------------------------------- in a hook
def room(limit: int) -> int:
    """Characters that messages may take in a text of at most `limit`."""
    return limit - _AROUND


def size(message: Message, me: str, now: datetime) -> int:
    """Characters that a message takes, once inside the frame."""
    return sum(len(line) + 1 for line in framed(lines(message, me, now)).split("\n")[1:-1])


def told(delivery: Delivery, me: str, now: datetime) -> str:
    """What a hook says of the mail that is handed over; nothing when there is none."""
    inside = [line for message in delivery.messages for line in lines(message, me, now)]
    if delivery.left:
        inside.append(f"{delivery.left} more: agent-sync inbox")
    if not inside:
        return ""
    mail = [message for message in delivery.messages if message.sender != SYSTEM]
    if not mail:
        return framed(inside)
    newest = mail[-1]
    if not is_valid_id(newest.sender):  # no agent of this board: it shall not spell a command outside of the frame
        return framed(inside)
    return f"{framed(inside)}\nTo answer: agent-sync send --to {newest.sender} --reply-to {newest.id} --message …"


def lines(message: Message, me: str, now: datetime, width: int = MAX_ENTRY) -> list[str]:
    """A message in one line, with a second one when it asks for something; a notice in one line per thing told.

    Args:
        message: As it is in the inbox, or the record with its readers.
        me: Who reads.
        now: The time.
        width: Characters of the body to keep; the rest can be read in full.
    """
    if message.sender == SYSTEM:
        things = message.body.split("\n")
        shown = [f"{SYSTEM}: {_plain(thing, 600)}" for thing in things[:MAX_NOTICES]]
        return shown + ([f"{SYSTEM}: and {len(things) - len(shown)} more"] if len(things) > len(shown) else [])
    body = _plain(message.body)
    if len(body) > width:
        body = f"{body[:width]}… (cut: agent-sync read-message {message.id})"
    found = [f"{_head(message, me, now)}: {body}"]
    if message.request is not None:
        path = _plain(quoted(message.request) or "PATH", 300)
        found.append(f"  answer {message.id}: agent-sync unlock {path}, or agent-sync refuse {message.id} --reason …")
    return found


def _head(message: Message, me: str, now: datetime) -> str:
    """`m-12 from alice (al), 12 s ago, to you, urgent, reply to m-9`."""
    sender = f"{_plain(message.sender_name, 64)} ({_plain(message.sender, 64)})"
    more = [_address(message, me)]
    if message.urgent:
        more.append("urgent")
    if message.reply_to is not None:
        more.append(f"reply to {_plain(message.reply_to, 20)}")
    return f"{_plain(message.id, 20)} from {sender}, {ago(message.created_at, now)}, {', '.join(more)}"


def _address(message: Message, me: str) -> str:
    if message.to == ALL:
        return "to all"
    if message.to == me:
        return "to you"
    to = _plain(message.to, 64)
    return f"to {to}" if any(reader.agent == message.to for reader in message.readers) else f"to role {to}"


def _plain(text: str, limit: int = 0) -> str:
    """Escaped for the frame already, so that its length is the final one."""
    text = escape(text, limit).replace("<", "&lt;").replace(">", "&gt;")
    return text if not limit or len(text) <= limit else text[: limit - 1] + "…"


# ---------------------------------------------------------------- for people
def listing(messages: Sequence[Message], me: str, now: datetime, more: str) -> list[str]:
    """The newest messages, oldest first.

    Args:
        messages: Oldest first.
        me: Who reads.
        now: The time.
        more: The command that shows those which have no room here.
    """
    shown = [line for message in messages[-MAX_ROWS:] for line in lines(message, me, now, _LIST_WIDTH)]
    older = len(messages) - MAX_ROWS
    return [f"{older} older ones: {more}", *shown] if older > 0 else shown


def whole(message: Message, me: str, now: datetime) -> list[str]:
    """One message, whatever its length."""
    return lines(message, me, now, width=len(message.body) * 12)


def reports(messages: Sequence[Message], me: str, now: datetime, more: str) -> list[str]:
    """What became of messages that the reader of this wrote, newest last."""
    older = len(messages) - MAX_ROWS
    found = [f"{older} older ones: {more}"] if older > 0 else []
    for message in messages[-MAX_ROWS:]:
        found += lines(message, me, now, _LIST_WIDTH)
        found += [f"  {_plain(r.name, 64)} ({r.agent}): {_progress(r, now)}" for r in message.readers[:MAX_ROWS]]
        if len(message.readers) > MAX_ROWS:
            found.append(f"  and {len(message.readers) - MAX_ROWS} more readers: {more}")
        elif not message.readers:
            found.append("  nobody yet")
    return found


def _progress(reader: Reader, now: datetime) -> str:
    for word, then in (("acked", reader.acked_at), ("read", reader.read_at), ("delivered", reader.delivered_at)):
        if then is not None:
            return f"{word} {ago(then, now)}"
    return "waiting"
