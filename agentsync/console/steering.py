"""What the person at the console does, each thing by the operation that agents use, too.

Every method does one thing and returns a sentence for the person and the record for programs; what it may not do it
raises, with the next step. Several threads may call; one thing happens at a time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from agentsync.core.locks import EVERYTHING, Conflict
from agentsync.core.progress import Says
from agentsync.core.tasks import Changed, Refused
from agentsync.errors import AgentSyncError, HeldError
from agentsync.ops import decisions, locks, mail, operator, running, tasks
from agentsync.ops.session import resolve_targets
from agentsync.render.frame import escape, shorten_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.core.records import Lock, Message
    from agentsync.ops.running import Hold
    from agentsync.ops.session import Session

SOME = 10
"""Readers or locks that a sentence names."""


class Done(NamedTuple):
    """What was done."""

    sentence: str
    """Escaped."""
    record: Any
    warning: str = ""
    """What did not go as it should besides; escaped."""


class Operator:
    """The person at one console. `close` gives back all that it holds."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._holds: list[Hold] = []
        self._turn = threading.Lock()

    # ------------------------------------------------------------ words
    def send(self, to: str, text: str, reply_to: str | None = None) -> Done:
        """Write to an agent, a role or all."""
        return self._do(lambda: _sent(mail.send(self.session, to, text, reply_to=reply_to)))

    def directive(self, to: str, text: str) -> Done:
        """Tell each of several agents something as if it were the only one."""
        return self._do(lambda: _sent(mail.send(self.session, to, text, directive=True)))

    def decide(self, text: str, supersedes: str | None = None) -> Done:
        """Settle something for everybody."""

        def do() -> Done:
            made = decisions.decide(self.session, text, supersedes)
            return Done(f"decided {made.id}", made)

        return self._do(do)

    def read(self, message_id: str) -> Done:
        """Know a message, if it was for the operator."""

        def do() -> Done:
            message = mail.read_message(self.session, message_id)
            return Done(f"read {message.id}", message)

        return self._do(do)

    # ------------------------------------------------------------ locks
    def lock(self, path: str, reason: str | None = None, *, force: bool = False) -> Done:
        """Lock a path until it is unlocked here or this console ends; by force, others lose what is in the way."""

        def do() -> Done:
            held = running.hold(self.session, [path], reason=reason, force=force)
            if isinstance(held, Conflict):
                raise self._held(held)
            self._holds.append(held)
            paths = ", ".join(shorten_path(lock.path) for lock in held.locks) or "it already"
            return Done(f"locked {paths} until this console ends", list(held.locks))

        return self._do(do)

    def unlock(self, path: str, *, force: bool = False) -> Done:
        """Unlock a path; by force also what somebody else holds, who is told."""

        def do() -> Done:
            _, targets = resolve_targets(self.session, [path])
            wanted = {target.path for target in targets}
            mine = [hold for hold in self._holds if wanted & {lock.path for lock in hold.locks}]
            if mine:
                return self._released(mine)
            return self._unlocked(locks.unlock(self.session, [path], force=force))

        return self._do(do)

    def release(self, lock: Lock, *, force: bool = False) -> Done:
        """Unlock exactly this."""

        def do() -> Done:
            mine = [hold for hold in self._holds if any(held.token == lock.token for held in hold.locks)]
            if mine:
                return self._released(mine)
            return self._unlocked(locks.release_exactly(self.session, [lock], force))

        return self._do(do)

    def freeze(self, reason: str | None = None) -> Done:
        """Stop all edits until the thaw, or until this console ends."""

        def do() -> Done:
            held = operator.freeze(self.session, reason or "the operator has stopped all edits")
            self._holds.append(held)
            return Done("frozen: every edit is refused until the thaw, or until this console ends", list(held.locks))

        return self._do(do)

    def thaw(self) -> Done:
        """End a freeze, also that of another console."""

        def do() -> Done:
            mine = [hold for hold in self._holds if any(lock.path == EVERYTHING for lock in hold.locks)]
            if mine:
                self._released(mine)
            others = operator.freezing(locks.held(self.session))
            if others:
                locks.release_exactly(self.session, [held.lock for held in others], force=True)
            if not mine and not others:
                return Done("nothing was frozen", [])
            return Done("thawed: edits go on", [lock for hold in mine for lock in hold.locks])

        return self._do(do)

    def _released(self, holds: Sequence[Hold]) -> Done:
        gone = [lock for hold in holds for lock in hold.locks]
        for hold in reversed(holds):  # a later one puts back what it found
            hold.release()
            self._holds.remove(hold)
        return Done(f"unlocked {', '.join(shorten_path(lock.path) for lock in gone)}", gone)

    def _unlocked(self, decision: Any) -> Done:
        if isinstance(decision, Conflict):
            raise self._held(decision)
        gone: Sequence[Lock] = decision.locks
        if not gone:
            return Done("nothing to unlock", [])
        named = [f"{shorten_path(lock.path)} of {escape(lock.holder_name, 64)} ({lock.holder})" for lock in gone[:SOME]]
        return Done(f"unlocked {', '.join(named)}", list(gone))

    def _held(self, conflict: Conflict) -> HeldError:
        from agentsync.render.locks import sentence
        from agentsync.render.queue import more

        now = self.session.runtime.now()
        said = [sentence(one, now) for one in conflict.blocked[:SOME]]
        said += more(conflict, self.session.me.id, now)
        return HeldError(" · ".join(said) or "somebody else holds it", "by force it can be taken; its holder is told")

    # ------------------------------------------------------------ tasks
    def new_task(self, title: str, files: Sequence[str] = (), priority: int | None = None) -> Done:
        """Put a task on the board."""

        def do() -> Done:
            task = tasks.create(self.session, Says(title=title, files=tuple(files), priority=priority))
            return Done(f"made {task.id}: {escape(task.title, 80)}", task)

        return self._do(do)

    def assign(self, words: str, to: str) -> Done:
        """Give a task to an agent, with the locks and the checkpoint of whoever had it."""
        return self._task(lambda: self._handed(words, to), "handed to {owner}")

    def _handed(self, words: str, to: str) -> Changed | Refused:
        """Nobody's task is claimed first: only an owner hands on."""
        seen, _ = tasks.story(self.session, words, 0)
        task = seen.task
        if task.status != "pending":
            return tasks.handoff(self.session, task.id, to, force=True)
        claimed = tasks.claim(self.session, task.id, force=True)
        assert not isinstance(claimed, Conflict), "only a strict claim meets locks"
        if isinstance(claimed, Refused):
            return claimed
        outcome: Changed | Refused | None = None
        try:
            outcome = tasks.handoff(self.session, task.id, to, force=True)
            return outcome
        finally:
            if not isinstance(outcome, Changed):
                tasks.release(self.session, task.id)

    def block(self, words: str, reason: str) -> Done:
        """Say that a task cannot go on."""
        return self._task(lambda: tasks.block(self.session, words, reason, force=True), "blocked")

    def cancel(self, words: str) -> Done:
        """Say that a task will not be done."""
        return self._task(lambda: tasks.cancel(self.session, words, force=True), "cancelled")

    def complete(self, words: str) -> Done:
        """Say that a task is done."""
        return self._task(lambda: tasks.complete(self.session, words, force=True), "done")

    def _task(self, change: Callable[[], Changed | Refused], what: str) -> Done:
        def do() -> Done:
            outcome = change()
            if isinstance(outcome, Refused):
                raise HeldError(escape(outcome.why, 600), outcome.hint)
            task = outcome.task
            did = what.format(owner=f"{escape(task.owner_name or '', 64)} ({task.owner})")
            return Done(f"{task.id} is {did}: {escape(task.title, 80)}", task)

        return self._do(do)

    # ------------------------------------------------------------ coming and going
    def beat(self) -> None:
        """Give a sign of life while something is held, where our process cannot be seen from everywhere."""
        if self._holds:
            self.session.store.touch(self.session.me.id)

    def close(self) -> list[str]:
        """Give back what is held, and leave the board.

        Returns:
            What did not work. Our locks bind nobody anyway once this process has ended.
        """
        failed = []
        with self._turn:
            for hold in reversed(self._holds):
                try:
                    hold.release()
                except (AgentSyncError, OSError) as error:
                    failed.append(str(error))
            self._holds.clear()
            try:
                operator.leave(self.session)
            except (AgentSyncError, OSError) as error:
                failed.append(str(error))
        return failed

    def _do(self, what: Callable[[], Done]) -> Done:
        with self._turn:
            warnings = self.session.store.warnings
            warnings.clear()  # those of an earlier one that failed
            done = what()
            if warnings:
                done = done._replace(warning="; ".join(escape(warning, 400) for warning in warnings))
            if self.session.store.needs_care:
                from agentsync.ops import care

                care.after_answering(self.session)
            return done


def _sent(message: Message) -> Done:
    readers = ", ".join(reader.agent for reader in message.readers[:SOME])
    more = f" and {len(message.readers) - SOME} more" if len(message.readers) > SOME else ""
    whom = f" to {readers}{more}" if readers else ": nobody else is here; whoever joins within 24 h is told"
    return Done(f"sent {message.id}{whom}", message)
