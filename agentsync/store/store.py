"""The store: one repository's state directory. Reading it takes no guard; `transaction` is the only way it changes.

Opening creates nothing and checks nothing. Before anything is read or written the directory is looked at: a symlink,
somebody else's, or no directory is refused.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from agentsync.core import keys, policy
from agentsync.core.records import Agent, Format, Waiter
from agentsync.errors import UnusableError
from agentsync.store import log
from agentsync.store.files import FULL, Files
from agentsync.store.guard import CLI_TIMEOUT, Guard
from agentsync.store.locate import STATE
from agentsync.store.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from agentsync.core.lease import Life
    from agentsync.core.policy import Config
    from agentsync.core.records import Owner
    from agentsync.runtime import Runtime
    from agentsync.store.locate import Place
    from agentsync.store.transaction import Transaction

T = TypeVar("T")

PAUSES_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
"""Between two looks at a board that is just changing: a writer takes a millisecond, more where files are synced."""


class Store:
    """One repository's state directory."""

    def __init__(
        self,
        place: Place,
        runtime: Runtime,
        config: Config,
        *,
        files: Files | None = None,
        owns_signals: bool = False,
        durable: bool = True,
    ) -> None:
        """Look at a store; nothing is created or checked before it is needed.

        Args:
            place: Where it is.
            runtime: The machine.
            config: The team's configuration.
            files: The file primitives; a test may pass its own.
            owns_signals: Whether this process is ours alone (see `Guard.held`).
            durable: False turns all syncing off, for measurements and state on tmpfs.
        """
        self.place = place
        self.config = config
        self.runtime = runtime
        self.files = files or Files(place.state, f"{runtime.pid}-{runtime.random_id(6)}")
        self.warnings: list[str] = []
        """What went wrong on the side and was dealt with; edges show it on stderr."""
        self._guard = Guard(f"{place.state}/{keys.GUARD}")
        self.owns_signals = owns_signals
        self._durable = durable
        self._format: Format | None = None
        self._head = 0
        self.due_for_compaction = False

    @property
    def has_settings(self) -> bool:
        """Whether the team's configuration says anything but the defaults."""
        return self.config is not policy.DEFAULT

    @property
    def needs_care(self) -> bool:
        """Whether there may be something to do once the answer is out: compaction, or telling other machines."""
        return self.due_for_compaction or self.files.status(keys.LINK) is not None

    # ------------------------------------------------------------ reading
    def exists(self) -> bool:
        """Whether the directory has been initialised.

        Raises:
            UnusableError: It is a symlink, no directory, or somebody else's.
        """
        self.check_directory("")
        return self.files.status(keys.FORMAT) is not None

    def state(self, now: datetime | None = None) -> State:
        """The board as it is now.

        Raises:
            UnusableError: The directory is a symlink, no directory, or somebody else's.
        """
        self.check_directory("")
        return State(self.files, now or self.runtime.now(), self.config, self._life_of)

    def at_one_moment(self, ask: Callable[[State], T]) -> T:
        """The answer to a question about the board as it stood at one moment, without the guard.

        It is asked again when a transaction was half applied or came in between. A writer that died in the middle
        leaves an intent for the next one: then the last answer has to do.
        """
        for pause_s in (*PAUSES_S, 0.0):
            before = self.revision()
            is_quiet = self.files.status(keys.INTENT) is None
            answer = ask(self.state())
            if is_quiet and self.files.status(keys.INTENT) is None and self.revision() == before:
                break
            time.sleep(pause_s)
        return answer

    def revision(self) -> int:
        """The newest revision."""
        return log.head(self.files, self._head)

    def _life_of(self, process: Agent | Waiter | Owner) -> Life:
        life = self.runtime.life_of(process.pid, process.pid_start, process.boot_id, process.pid_ns)
        if life == "alive" and isinstance(process, Waiter) and self.runtime.is_stopped(process.pid or 0):
            return "stopped"  # an agent whose client was stopped keeps its locks, so nobody needs to know
        return life

    # ------------------------------------------------------------ writing
    @contextmanager
    def transaction(self, actor: str, timeout: float = CLI_TIMEOUT) -> Iterator[Transaction]:
        """Hold the guard, with whatever was left over finished and repaired.

        Args:
            actor: Who changes something, for the log.
            timeout: Seconds to wait for the guard.

        Raises:
            GuardTimeoutError: Another process held the guard all that time.
            UnusableError: The directory is not ours to use, or cannot be written.
        """
        from agentsync.store import setup  # 1 ms with the next, and a hook that refuses an edit only reads
        from agentsync.store.transaction import Transaction

        if not self.exists():
            setup.create(self)
        with self._guard.held(timeout, self.owns_signals):
            if self._format is None:  # once per process; the guard itself is compared with its path every time
                for name in setup.DIRECTORIES:
                    self.check_directory(name)
                setup.tell_enclosing_board(self)
            self._format = setup.verified_format(self)
            self._head = log.head(self.files, self._head)
            tx = Transaction(self, actor)
            tx.recover()
            yield tx

    def touch(self, agent_id: str) -> bool:
        """Record a sign of life; False when the agent is not on the board. Durability E: a file's mtime."""
        try:
            return self.files.touch(keys.agent(agent_id))
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) or error.errno in FULL:
                return False  # whoever can only read can still look
            raise

    def check_directory(self, key: str) -> None:
        """Make sure that a directory of the store is one, and ours; make it if it is not there.

        Raises:
            UnusableError: It is a symlink, something else, or somebody else's.
        """
        path = self.files.path(key) if key else self.place.state
        if not key and path.endswith(f"/{STATE}") and os.path.islink(os.path.dirname(path)):
            path = os.path.dirname(path)  # a linked .claude would put several repositories' state in one place
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            if key:
                self.files.make_directory(key)
            return
        except NotADirectoryError:
            raise UnusableError(f"{path} cannot be: part of it is a file", "see what is in the way") from None
        if stat.S_ISLNK(status.st_mode):
            raise UnusableError(f"{path} is a symlink; state is never written through one", "remove the link")
        if not stat.S_ISDIR(status.st_mode):
            raise UnusableError(f"{path} is not a directory", "see what it is and move it away")
        if self.runtime.uid is not None and status.st_uid != self.runtime.uid:
            raise UnusableError(
                f"{path} belongs to user {status.st_uid}, not to you ({self.runtime.uid})",
                "work as that user, or set AGENT_SYNC_DIR to a directory of your own",
            )
