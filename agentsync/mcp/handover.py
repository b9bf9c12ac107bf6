"""Mail that goes out with the answer to a call: the operation that hooks use, and the same promise.

It counts as told only when the answer has left: the delivery stays open until the wire says that the line was written.
If it does not say so in time (the client cancelled the call, or hung up), nothing was told and it comes again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError
from agentsync.mcp.tools import MAX_TEXT
from agentsync.ops.session import HOOK_TIMEOUT, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.core.records import Message
    from agentsync.ops.mail import Delivery

PATIENCE_S = 1.0
"""Seconds for which the guard is kept while an answer is on its way. It takes a millisecond unless nobody reads."""


class _NotTold(Exception):  # noqa: N818 # no error: the mail waits for the next call
    """Raised within the delivery, so that it does not count."""


class Handover:
    """The mail of one answer."""

    def __init__(self, session: Session, is_inbox: bool, waits: bool = True) -> None:
        """Prepare one.

        Args:
            session: Whose mail.
            is_inbox: Whether all mail was asked for, broadcasts included, not only what is urgent.
            waits: Whether somebody will call `written`; else it counts as told at once.
        """
        # Not for the call's own patience: the answer is there, and mail can come with the next one.
        self._session = Session(session.runtime, session.place, session.me, session.store, HOOK_TIMEOUT)
        self._is_inbox = is_inbox
        self._waits = waits
        self._gone = threading.Event()
        self._was_written = False

    def written(self) -> None:
        """The answer has left."""
        self._was_written = True
        self._gone.set()

    def dropped(self) -> None:
        """The answer will not leave."""
        self._gone.set()

    def run(self, hand_over: Callable[[str], None]) -> None:
        """Open the delivery, hand the text over, close it. Blocks until the answer has left.

        Args:
            hand_over: Takes the text, empty when there is nothing to tell; called exactly once.
        """
        from agentsync.ops import mail
        from agentsync.render.messages import room, size

        said = False
        session, now = self._session, self._session.runtime.now()
        me = session.me.id
        try:
            if not self._may_have_mail():
                return
            when: mail.When = "prompt" if self._is_inbox else "turn"
            with mail.delivery(session, when, lambda message: size(message, me, now), room(MAX_TEXT)) as delivery:
                text = _text(delivery, session)
                said = True
                hand_over(text)
                if text and self._waits and not (self._gone.wait(PATIENCE_S) and self._was_written):
                    raise _NotTold
        except _NotTold:
            pass
        except (AgentSyncError, OSError) as error:
            session.store.warnings.append(f"mail waits for the next call: {error}")
        finally:
            if not said:
                hand_over("")

    def _may_have_mail(self) -> bool:
        return self._session.store.exists() and self._session.is_registered()


def _text(delivery: Delivery, session: Session) -> str:
    from agentsync.core.changes import SYSTEM
    from agentsync.core.paths import is_valid_id
    from agentsync.render.frame import framed
    from agentsync.render.messages import lines

    now = session.runtime.now()
    inside = [line for message in delivery.messages for line in lines(message, session.me.id, now)]
    if delivery.left:
        inside.append(f"{delivery.left} more: inbox")
    if not inside:
        return ""
    newest = _newest(delivery, SYSTEM)
    if newest is None or not is_valid_id(newest.sender):  # no agent of this board: it spells nothing outside the frame
        return f"New mail:\n{framed(inside)}"
    return f"New mail:\n{framed(inside)}\nTo answer: send with to={newest.sender}, reply_to={newest.id}."


def _newest(delivery: Delivery, system: str) -> Message | None:
    return next((message for message in reversed(delivery.messages) if message.sender != system), None)
