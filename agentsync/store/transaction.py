"""The transaction: the guard is held, and what was left over is finished before anything is decided.

Commit, in this order:

1. The event is written to `tmp/`, synced by its durability class, and linked to `intent.json`. *This is the commit
   point:* from here on the change will happen, whoever finishes it.
2. Each change is applied: put = temporary file + replace, drop = unlink. All idempotent.
3. `intent.json` is renamed to `log/<rev>.json`.

Hence an event that can be seen in the log has been applied, and revisions have no gaps. Whoever takes the guard next
and finds an intent applies it again and publishes it.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from agentsync.core import keys
from agentsync.core.changes import Put, Stamp, Write
from agentsync.core.paths import is_valid_id
from agentsync.core.records import KINDS, Agent, Change, Event
from agentsync.errors import AgentSyncError, DamagedRecordError, NewerRecordError, UnusableError, UsageError
from agentsync.store import codec, log
from agentsync.store.files import FULL, MAX_RECORD
from agentsync.store.setup import BALLAST, DIRECTORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agentsync.store.state import State
    from agentsync.store.store import Store

T = TypeVar("T")

Durability = Literal["E", "S", "D"]
"""E: nothing is synced (a heartbeat). S: files are synced (locks). D: files, then directories, then the answer."""

COMPACT_EVERY = 256
"""Revisions after which whoever commits compacts."""

BULK = 1000
"""Changes from which on their files are synced together, as imports have them: one by one takes seconds, with the guard
held. The system then syncs what others have written, too, which is worth it only for so many."""

MAX_KEPT_NAME = 200
"""Bytes of a key in the name of a file in quarantine; file systems allow 255 in all."""


class Transaction:
    """The guard is held. Read `state`, decide, `commit`; without a commit nothing happens."""

    def __init__(self, store: Store, actor: str) -> None:
        self._store = store
        self._actor = actor
        self._now = store.runtime.now()
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The board; it stands still until the next commit."""
        if self._state is None:
            self._state = self._store.state(self._now)
        return self._state

    @property
    def stamp(self) -> Stamp:
        """When and as what the next commit will happen."""
        assert self._store._format is not None
        return Stamp(self._now, self._store._head + 1, self._store._format.store)

    def go_on_from(self, revision: int) -> None:
        """Let the first commit of a store that has none follow this revision, whose events it takes over."""
        assert self._store._head == 0, "this store has revisions of its own"
        self._store._head = revision

    def commit(
        self,
        verb: str,
        summary: str,
        writes: Iterable[Write],
        durability: Durability = "S",
        *,
        paths: tuple[str, ...] = (),
        entry: bool = False,
    ) -> Event | None:
        """Make a decision happen.

        Args:
            verb: What was done, one word.
            summary: The same as a sentence, for people who read the log.
            writes: What to put and drop; with none, nothing is committed.
            durability: How durable it is when this returns.
            paths: What it is about, where the writes do not say.
            entry: Whether the event is worth keeping for its own sake, with nothing written.

        Returns:
            The event, or None when there was nothing to write.

        Raises:
            NewerRecordError: A record that would be overwritten was written by a newer version.
            UsageError: A record would be too large for anybody to read.
            OSError: The disk failed. Before the commit point nothing has happened; after it, the change is finished by
                whoever takes the guard next, and the message says so.
        """
        changes = _changes(writes)
        if not changes and not entry:
            return None
        files = self._store.files
        for change in changes:
            self._check_place(change.put or change.drop or "")
            if len(change.record) > MAX_RECORD // 8 and len(codec.pretty(bytes(change.record))) > MAX_RECORD:
                raise UsageError(f"{change.put} would be larger than {MAX_RECORD} bytes", "say less, or name fewer")
        if files.status(keys.event(self.stamp.revision)) is not None:
            raise UnusableError(
                f"{files.path(keys.event(self.stamp.revision))} appeared although the guard was held",
                "did something remove the guard file? run the command again",
            )
        sync = self._store._durable and durability != "E"
        event = Event(
            rev=self.stamp.revision,
            at=self._now,
            actor=self._actor,
            verb=verb,
            summary=summary,
            paths=paths,
            changes=changes,
        )
        if not files.link(files.write_temp(codec.encode(event), sync), keys.INTENT):
            raise UnusableError(
                f"{files.path(keys.INTENT)} appeared although the guard was held",
                "is the state on a network file system? agent-sync doctor tells",
            )
        try:
            self._finish(event, sync)
            if sync and durability == "D":
                for directory in sorted({os.path.dirname(change.put or "log/") or "." for change in changes} | {"log"}):
                    files.sync_directory(directory)
        except OSError as error:
            said = f"{error.strerror} (what was asked for is recorded; the next command that writes finishes it)"
            raise OSError(error.errno, said, error.filename) from error
        return event

    def _check_place(self, key: str) -> None:
        """Refuse to write through a symlinked directory, or over what a newer version wrote."""
        files = self._store.files
        directory = os.path.dirname(key)
        while directory and directory not in DIRECTORIES:
            if files.status(directory) is not None:
                self._store.check_directory(directory)
            directory = os.path.dirname(directory)
        content = files.read(key)
        if content is not None and codec.is_newer(content.data):
            raise NewerRecordError(
                f"{files.path(key)} was written by a newer agent-sync and is left as it is", "upgrade this one"
            )

    def _finish(self, event: Event, sync: bool) -> None:
        """Apply what is past its commit point; on a full disk with the room that was kept for this."""
        try:
            self._apply(event, sync)
        except OSError as error:
            if error.errno not in FULL or not self._store.files.unlink(BALLAST):
                raise
            self._store.due_for_compaction = True  # it makes room, and puts the ballast back
            self._apply(event, sync)

    def _apply(self, event: Event, sync: bool) -> None:
        files = self._store.files
        temps: dict[str, str] = {}
        if sync and len(event.changes) >= BULK and files.CAN_SYNC_ALL:
            puts = ((change.put, codec.pretty(bytes(change.record))) for change in event.changes if change.put)
            temps = {place: files.write_temp(data, sync=False) for place, data in puts}
            files.sync_all()
        for change in event.changes:
            if change.put is not None:
                temp = temps.get(change.put) or files.write_temp(codec.pretty(bytes(change.record)), sync)
                try:
                    files.replace(temp, change.put)
                except FileNotFoundError:  # the first record of its directory
                    files.make_directory(os.path.dirname(change.put))
                    files.replace(temp, change.put)
            elif change.drop is not None:
                files.unlink(change.drop)
                directory = os.path.dirname(change.drop)
                while directory.startswith(("locks/", "inbox/")):
                    files.remove_empty(directory)  # the gate looks at which drawers there are
                    directory = os.path.dirname(directory)
        files.rename(keys.INTENT, keys.event(event.rev))
        self._store._head = event.rev
        self._state = None
        if event.rev % COMPACT_EVERY == 0:
            self._store.due_for_compaction = True

    # ------------------------------------------------------------ what others left behind
    def recover(self) -> None:
        """Finish an intent that somebody died over."""
        files, head = self._store.files, self._store._head
        content = files.read(keys.INTENT, cap=log.MAX_EVENT)
        if content is None:
            return
        try:
            event = codec.decode(content.data, Event, keys.INTENT)
        except DamagedRecordError as error:
            # Only a power cut can do this, and then nothing was acknowledged: the link came before the sync.
            self.quarantine(keys.INTENT, error.message)
            return
        if event.rev <= head:
            files.unlink(keys.INTENT)  # published already; somebody restored a copy
            return
        places = [change.put or change.drop or "" for change in event.changes]
        if not all(map(keys.is_place, places)):
            # None of ours. It came with an unpacked archive, or from somebody who may write here and nowhere else.
            self.quarantine(keys.INTENT, f"{keys.INTENT} names places outside of the state")
            return
        self._finish(event, sync=self._store._durable)

    def ask(self, question: Callable[[State, Stamp], T]) -> T:
        """Put a question to the board, after bringing back whatever it found damaged on the way."""
        while True:
            try:
                answer = question(self.state, self.stamp)
            except AgentSyncError:  # what it missed may be what is damaged
                if not self.state.damaged:
                    raise
            else:
                if not self.state.damaged:
                    return answer
            self.repair()

    def repair(self) -> None:
        """Bring back records of `state` that cannot be decoded: from the newest log entry that wrote them, else none.

        The damaged file is kept in `quarantine/` either way, and `store.warnings` says what happened.
        """
        todo = dict(self.state.damaged)
        for key, reason in todo.items():
            lost = self._last_put(key) or self._stand_in(key)
            self.quarantine(key, reason, leave=lost is not None)
            if lost is not None:
                self.commit("repair", f"{key} was damaged and is restored as far as the log knows it", (lost,))
            self._state = None

    def _last_put(self, key: str) -> Put | None:
        """The newest state of a record that the log or the archive knows."""
        found: Change | None = None
        for event in log.since(self._store.files, 0):
            for change in event.changes:
                if key in (change.put, change.drop):
                    found = change
        if found is None or found.put is None:
            return None
        data = bytes(found.record)
        return Put(key, codec.decode(data, KINDS[codec.envelope(data, key).kind], key))

    def _stand_in(self, key: str) -> Put | None:
        """A bare record for an agent whose own is lost: while it may hold something, nobody may think he is alone."""
        name = key.removeprefix("agents/").removesuffix(".json")
        if key != keys.agent(name) or not is_valid_id(name):
            return None
        return Put(key, Agent(id=name, name=name, created_at=self._now, last_seen=self._now))

    def quarantine(self, key: str, reason: str, leave: bool = False) -> None:
        """Move a file that cannot be read out of the way, keep it, and say so.

        Args:
            key: The file.
            reason: What is wrong with it.
            leave: Whether a copy is kept instead, because the file is about to be replaced: a lock that is being
                restored must not look free meanwhile.
        """
        store = self._store
        flat = key.replace("/", "__")
        if len(flat) > MAX_KEPT_NAME:
            flat = f"{flat[: MAX_KEPT_NAME // 2]}~{flat[-MAX_KEPT_NAME // 2 :]}"
        name = f"quarantine/{flat}.{self._now:%Y%m%dT%H%M%S}-{store.runtime.random_id(4)}"
        try:
            content = store.files.read(key, cap=log.MAX_EVENT) if leave else None
            if content is not None:
                store.files.rename(store.files.write_temp(content.data, sync=False), name)
            else:
                store.files.rename(key, name)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        store.warnings.append(f"{reason}: kept in {store.files.path(name)}")
        if self._state is not None:
            self._state.damaged.pop(key, None)


def _changes(writes: Iterable[Write]) -> tuple[Change, ...]:
    """The last write to each key, in the order the decision chose: readers take no guard and may see each step."""
    last: dict[str, Write] = {}
    for write in writes:
        last.pop(write.key, None)
        last[write.key] = write
    return tuple(
        Change(put=write.key, record=msgspec.Raw(codec.compact(write.record)))
        if isinstance(write, Put)
        else Change(drop=write.key)
        for write in last.values()
    )
