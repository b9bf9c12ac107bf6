"""The library: the verbs of the command line for Python programs.

    import agentsync

    board = agentsync.open(".", agent="backend")
    match board.lock("src/api.py", reason="new endpoint"):
        case agentsync.Granted(): ...
        case agentsync.Conflict(blocked=blocked): ...

Outcomes are the types that operations return everywhere. Calls are safe from several threads; each is a transaction of
its own, so nothing has to be closed.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from agentsync.core import keys
from agentsync.core.locks import Conflict, Granted, Released
from agentsync.errors import HeldError
from agentsync.ops import agents, locks, mail, session, status
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agentsync.core.lease import Held
    from agentsync.core.records import Agent, Decision, Event, Message, Task
    from agentsync.core.tasks import Changed, Refused
    from agentsync.ops.locks import Checked
    from agentsync.ops.status import Overview
    from agentsync.ops.tasks import Seen

T = TypeVar("T")


class Board:
    """One repository's board, as one agent."""

    def __init__(self, at: session.Session) -> None:
        self._session = at

    @property
    def agent_id(self) -> str:
        """The id that this board acts as."""
        return self._session.me.id

    @property
    def directory(self) -> str:
        """The state directory."""
        return self._session.place.state

    def register(self, name: str | None = None, role: str | None = None) -> Agent:
        """Come on the board, or change name or role there."""
        return agents.register(self._session, name, role)

    def heartbeat(self) -> Agent:
        """Give a sign of life. Locks last an hour after the last one."""
        return agents.heartbeat(self._session)

    def leave(self, release: bool = True) -> None:
        """Say goodbye.

        Args:
            release: Whether the locks go too; otherwise they stay until they expire.
        """
        agents.end(self._session, release)

    def lock(
        self,
        *paths: str,
        shared: bool = False,
        ttl_minutes: int | None = None,
        reason: str | None = None,
        everywhere: bool = False,
        wait: float | None = None,
    ) -> Granted | Conflict:
        """Lock all of some files, directories, patterns and `@resources`, or none.

        Args:
            paths: Relative to the directory the board was opened in.
            shared: Beside others' shared locks.
            ttl_minutes: Minutes after the last sign of life; None = the team's setting, or what the lock has, if
                that is more.
            reason: Why, for those who are refused.
            everywhere: In all worktrees.
            wait: Seconds to stand in line for them, `float("inf")` for as long as it takes; None = be refused at once.

        Returns:
            After waiting, a conflict with a `cycle`, or one because the time was over.

        Raises:
            agentsync.errors.GaveUpError: The place in line was lost.
            agentsync.errors.UsageError: A path, the reason or the time cannot be used.
        """
        return self._tidy(
            locks.lock(
                self._session,
                paths,
                shared=shared,
                ttl_minutes=ttl_minutes,
                reason=reason,
                everywhere=everywhere,
                wait=wait,
            )
        )

    def unlock(self, *paths: str, force: bool = False) -> Released | Conflict:
        """Give up locks; with `force` also somebody else's, who is told."""
        return self._tidy(locks.unlock(self._session, paths, force=force))

    def _tidy(self, outcome: T) -> T:
        """An outcome, after the upkeep that its transaction may have made due."""
        if self._session.store.due_for_compaction:
            from agentsync.ops import care

            care.compact_if_free(self._session)
        return outcome

    @contextmanager
    def locked(
        self, *paths: str, shared: bool = False, ttl_minutes: int | None = None, reason: str | None = None
    ) -> Iterator[Granted]:
        """Hold locks for the length of a block. Locks that were held before stay held after.

        Raises:
            HeldError: Somebody else holds one of them, or is in line for it.
        """
        mine = {keys.lock(held.lock) for held in self.locks() if held.lock.holder == self.agent_id}
        decision = self.lock(*paths, shared=shared, ttl_minutes=ttl_minutes, reason=reason)
        if isinstance(decision, Conflict):
            from agentsync.render.locks import sentence
            from agentsync.render.queue import more

            now = self._session.runtime.now()
            said = [*(sentence(blocked, now) for blocked in decision.blocked), *more(decision, self.agent_id, now)]
            raise HeldError("; ".join(said), "try again later, or work on something else")
        try:
            yield decision
        finally:
            new = [lock for lock in decision.locks if keys.lock(lock) not in mine]
            if new:
                self._tidy(locks.release_exactly(self._session, new))

    def locks(self) -> list[Held]:
        """All locks that have not expired."""
        return locks.held(self._session)

    def check(self, *paths: str) -> list[Checked]:
        """What edits of these paths would meet. Changes nothing."""
        return locks.check(self._session, paths)

    def create_task(
        self,
        title: str,
        *,
        description: str | None = None,
        files: Sequence[str] = (),
        priority: int = 0,
        depends_on: Sequence[str] = (),
    ) -> Task:
        """Put a task on the board.

        Args:
            title: One line.
            description: More about it.
            files: What it will touch.
            priority: The greater, the sooner.
            depends_on: Tasks that must be finished first: ids or titles.

        Raises:
            agentsync.errors.UsageError: A text or number is out of bounds.
            agentsync.errors.NotFoundError: A dependency does not exist.
        """
        from agentsync.core.progress import Says
        from agentsync.ops import tasks

        says = Says(
            title=title,
            description=description,
            files=tuple(files),
            priority=priority,
            depends_on=tuple(depends_on),
        )
        return self._tidy(tasks.create(self._session, says))

    def tasks(self) -> list[Seen]:
        """All tasks, the best first, with what they wait for and whether somebody is at it."""
        from agentsync.ops import tasks

        return tasks.board(self._session)

    def claim_task(self, task: str, *, lock: bool = False) -> Changed | Refused | Conflict:
        """Make a task one's own; with `lock`, those of its files that are free too."""
        from agentsync.ops import tasks

        return self._tidy(tasks.claim(self._session, task, lock=lock))

    def claim_next(self, *, lock: bool = False) -> Changed | None:
        """Claim the best task there is; None when there is none. With `lock`, one whose files are free is preferred."""
        from agentsync.ops import tasks

        return self._tidy(tasks.claim_next(self._session, lock=lock))

    def complete_task(self, task: str) -> Changed | Refused:
        """Say that a task is done; the outcome tells what became ready."""
        from agentsync.ops import tasks

        return self._tidy(tasks.complete(self._session, task))

    def decide(self, text: str, supersedes: str | None = None) -> Decision:
        """Record what was decided for everybody."""
        from agentsync.ops import decisions

        return self._tidy(decisions.decide(self._session, text, supersedes))

    def decisions(self) -> list[Decision]:
        """The decisions that hold, oldest first."""
        from agentsync.ops import decisions

        return decisions.listing(self._session)

    def send(self, to: str, body: str, *, reply_to: str | None = None, urgent: bool = False) -> Message:
        """Tell somebody something.

        Args:
            to: An agent's id or name, a role, or `all`.
            body: The words.
            reply_to: Id of the message that this answers.
            urgent: In the middle of a turn, although it is for all.

        Raises:
            agentsync.errors.NotFoundError: Nobody is meant, several are, or there is no message to answer.
            agentsync.errors.UsageError: There is nothing in it, or too much.
        """
        return self._tidy(mail.send(self._session, to, body, reply_to=reply_to, urgent=urgent))

    def inbox(self, everything: bool = False) -> list[Message]:
        """What this agent has neither been told nor read; with `everything`, also what it knows already."""
        return mail.inbox(self._session, everything)

    def read_message(self, message_id: str) -> Message:
        """A message, which leaves the inbox thereby."""
        return self._tidy(mail.read_message(self._session, message_id))

    def ack(self, message_id: str) -> Message:
        """Tell the sender that a message was understood."""
        return self._tidy(mail.ack(self._session, message_id))

    def status(self) -> Overview:
        """Who is here, what is held, what is to be done."""
        return status.overview(self._session)

    def revision(self) -> int:
        """The newest revision of the log."""
        return self._session.store.revision()

    def events(self, since: int | None = None, timeout: float | None = None) -> Iterator[Event]:
        """The log from a revision on, then live.

        Args:
            since: The last revision that is known already; None = only what comes from now on.
            timeout: Seconds of silence after which to stop; None = never.
        """
        from agentsync.ops.feed import follow

        return follow(self._session, self.revision() if since is None else since, timeout)


def open(path: str | os.PathLike[str] = ".", agent: str | None = None) -> Board:
    """The board of the repository that contains `path`.

    Args:
        path: A directory in it; relative paths in later calls are relative to it.
        agent: The id to act as; None = found out as on the command line (`AGENT_SYNC_ID`, the host's session, …).

    Raises:
        agentsync.errors.UsageError: The id cannot be one.
        agentsync.errors.UnusableError: The state directory is not ours to use.
    """
    env = dict(os.environ)
    if agent is not None:
        env["AGENT_SYNC_ID"] = agent
    return Board(session.open_session(Runtime(env=env, cwd=os.path.abspath(os.fspath(path)))))
