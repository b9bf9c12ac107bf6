"""One clone at the board that several machines share: looking at it, and committing to it.

One process of a clone does so at a time (`remote.guard`). The guard of the state is never held while the network is
waited for: what came is written in a transaction of its own, and what goes is computed from the state as it then is.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agentsync.core import incoming, keys, outgoing, replicas, shared, turns
from agentsync.core.changes import Put
from agentsync.core.incoming import Came
from agentsync.core.outgoing import Plan
from agentsync.core.records import VERSION, Board, Lock
from agentsync.core.shared import Known, Shared
from agentsync.errors import GaveUpError, NewerRecordError, UnusableError, UsageError
from agentsync.ops import agents, contents, engines
from agentsync.remote.backend import Done, Lost, Rejected, Snapshot, Unreachable
from agentsync.store import codec
from agentsync.store.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from agentsync.core.paths import Target
    from agentsync.core.records import Link, Record
    from agentsync.ops.session import Session
    from agentsync.remote.backend import Backend
    from agentsync.store.state import State

PATIENCE_S = 60.0
"""Seconds that a race for the board may go on, or another process of this clone may take."""

BATCH = 500
"""Writes of one event: what comes from a board may be many times that."""

CROWDED = 40
"""Slots for which turns are taken after another clone was found to commit at the same time."""

LOOKS = 1
"""A slot is so many times as long as the last look at the board took. The next one also pushes, but it looks again as
soon as the one before has: with twice as long, four clones at once get a quarter fewer locks (`tests/sim/scale.py`)."""

MAX_SLOT_S = 3.0


class Exchange:
    """One clone at its board, for the length of a command."""

    def __init__(self, session: Session, link: Link, backend: Backend | None = None) -> None:
        self._session = session
        self.link = link
        self.forced: dict[str, str] = {}
        """Tokens of guests' locks that were taken from them here, by key: these go from the board, and stay away."""
        self._backend = backend or engines.engine(session, link.remote, link.ref)
        self._version: str | None = None
        self._targets: tuple[Target, ...] | None = None
        """What is looked at; None = everything."""
        self.is_rewound = False
        """The board has lost history, and what is missing has not been put back yet."""
        self.shared = Shared()
        self.files: dict[str, bytes] = {}
        """What is on the board, as it was at the last look."""
        self.is_whole = False
        """Whether looks are at everything, not only at locks and machines."""
        self.is_fresh = False
        """Whether the board was looked at since this began, not only remembered."""
        self._yielded: str | None = None
        """The version at which others could go first."""
        self._lot: tuple[int, float] | None = None
        """The serial that was seen when this began to wait, and a number drawn then."""
        self._look_s = 0.0
        self._deadline = time.monotonic() + PATIENCE_S

    @property
    def version(self) -> str | None:
        """Of the board, as it was read or made last; None = there is none."""
        return self._version

    # ------------------------------------------------------------ looking
    def recalled(self, version: str) -> dict[str, bytes] | None:
        """The tasks and words of a version that was seen before; None when nobody remembers."""
        wanted = shared.Wanted(lambda key: key.startswith(replicas.FOLDERS), folders=replicas.FOLDERS)
        found = self._backend.recall(version, wanted)
        return found.files if found is not None else None

    def recall(self, targets: tuple[Target, ...]) -> None:
        """Begin with the board as we left it; with a look at it when others have been there lately.

        Args:
            targets: What it is about: of a large board nothing else is read.
        """
        board = self._session.store.state().board()
        version = self.link.version if board and turns.is_alone(board.turns, self.link.machine) else None
        found = self._backend.recall(version, shared.near(targets)) if version else None
        if found is None:
            self.look()
        else:
            self._version, self._targets, self.shared = version, targets, contents.board(found.files)

    def look(self, quiet: Collection[str] = (), dry_run: bool = False) -> Came:
        """Look at the board, and take over what others did.

        Args:
            quiet: Keys of own locks whose loss the caller tells itself.
            dry_run: Whether the state is to stay as it is.

        Raises:
            UnreachableError: There was no answer.
            RejectedError: The remote does not let us.
            UnusableError: What is there is no board, another one, or of a newer version.
        """
        started = time.monotonic()
        snapshot = self._backend.read(self.link.version, None if self.is_whole else shared.LOCKS)
        self._look_s = time.monotonic() - started
        if not isinstance(snapshot, Snapshot):
            raise engines.failure(snapshot, self.link)
        there = contents.board(snapshot.files)
        session = self._session
        if self.is_fresh and snapshot.version != self._version:  # it was another one a moment ago
            self.link = replace(self.link, crowded_at=session.runtime.now())
        known_board = session.store.state().board() if self.link.version else None
        self._check(snapshot, there, known_board)
        folded = there.board is not None and known_board is not None and there.board.squashed >= known_board.serial
        self.is_rewound = self.is_rewound or not (snapshot.follows or folded)
        if there.board is None and known_board is not None:
            there = replace(there, board=known_board)
        elif there.board is not None and known_board is not None and known_board.serial > there.board.serial:
            there = replace(there, board=replace(there.board, serial=known_board.serial))  # no serial comes twice
        self._version, self._targets = snapshot.version, None
        self.shared, self.files, self.is_fresh = there, snapshot.files, True
        with session.store.transaction(session.me.id, session.timeout) as tx:
            known = self._known(tx.state)
            if self.forced:
                kept = {key: lock for key, lock in there.locks.items() if self.forced.get(key) != lock.token}
                there = replace(there, locks=kept)
            came = incoming.received(tx.state, there, known, session.store.config, stamp=tx.stamp, quiet=quiet)
            if not dry_run:
                writes = agents.answered(tx, (*came.gone, *came.lost), came.writes)
                remembered = self._seen(tx.state, snapshot.version, there.board)
                whole = [*writes, *remembered]  # in this order, so that a crash in between only means to look again
                for first in range(0, len(whole), BATCH):
                    tx.commit("sync", _summary(came, self.is_rewound), whole[first : first + BATCH])
                session.store.files.touch(keys.LINK)
        if self.is_rewound and not dry_run:
            session.store.warnings.append(
                f"the board at {self.link.remote} was rewound or replaced: what is missing there is put back"
            )
        return came

    def _check(self, snapshot: Snapshot, there: Shared, known: Board | None) -> None:
        what = f"what is at {self.link.ref} of {self.link.remote}"
        if snapshot.version is not None and there.board is None:
            raise UnusableError(
                f"{what} is no board of agent-sync", "name another ref: agent-sync remote add --ref REF"
            )
        if there.board is not None and there.board.v > VERSION:
            raise NewerRecordError(f"{what} was made by a newer agent-sync", "upgrade this one")
        if there.board is not None and known is not None and there.board.store != known.store:
            raise UnusableError(
                f"{what} is another board than before: nothing was read or written",
                "agent-sync remote remove, then agent-sync remote add, takes part in the new one",
            )

    def _known(self, state: State) -> Known:
        if self._targets is None:
            held = state.locks()
        else:
            touching = {keys.lock(h.lock): h for target in self._targets for h in state.touching(target)}
            held = list(touching.values())
        return Known(
            me=self.link.machine,
            now=state.now,
            held=held,
            partial=self._targets is not None,
            presences=agents.as_checked_out(self._session, state.presences()),
            machines={machine.id: machine for machine in state.machines()},
            rewound=self.is_rewound,
        )

    def _seen(self, state: State, version: str | None, board: Board | None) -> list[Put]:
        """The writes that remember which version was seen. One that was rewound is remembered when it is mended."""
        if self.is_rewound:
            return []
        return self._linked(replace(self.link, version=version), state, board)

    def merged(self, state: State) -> list[Put]:
        """The writes that remember that the tasks and words of this version were taken over."""
        return self._linked(replace(self.link, merged=self._version), state, None)

    def _linked(self, link: Link, state: State, board: Board | None) -> list[Put]:
        writes = []
        if link != self.link:
            self.link = link
            writes.append(Put(keys.LINK, self.link))
        if board is not None and state.board() != board:
            writes.append(Put(keys.BOARD, board))
        return writes

    # ------------------------------------------------------------ telling
    def plan(
        self,
        wanted: Sequence[Lock] = (),
        drops: Collection[str] = (),
        more: Mapping[str, Record | None] | None = None,
    ) -> Plan | Lock:
        """What a commit would change now.

        Args:
            wanted: Own locks that are not on the board yet.
            drops: Keys of others' locks that are to go.
            more: What `replicate.changes` has found.
        """
        runtime = self._session.runtime
        known = self._known(self._session.store.state())
        found = outgoing.plan(
            self.shared, known, runtime.random_id(10), runtime.host, wanted=wanted, drops=drops, more=more or {}
        )
        if isinstance(found, Plan) and (newer := self.shared.closed & {*found.puts, *found.drops}):
            raise NewerRecordError(f"{min(newer)} of the board was written by a newer agent-sync", "upgrade this one")
        return found

    def commit(self, plan: Plan, about: str) -> Done | Lost | Rejected | Unreachable:
        """Push a plan when it is our turn. What the board then is, is remembered by `remember`.

        Returns:
            After a lost race, or a while in which others could go first: look again.

        Raises:
            GaveUpError: It has gone on for too long.
        """
        changes = {key: codec.encode(record) for key, record in plan.puts.items()} | dict.fromkeys(plan.drops)
        outcome = self._swap(changes, about, plan.squash)
        if plan.squash and isinstance(outcome, Rejected):  # a remote that takes no new history keeps the old one
            outcome = self._swap(changes, about)
        if isinstance(outcome, Done):
            self._version, self.is_rewound = outcome.version, False
            self.shared = replace(self.shared, board=plan.board)
        return outcome

    def withdraw(self, keys_of_mine: Sequence[str]) -> Done | Lost | Rejected | Unreachable:
        """Take records off the board, and put nothing there but its next number."""
        board = self.shared.board
        if board is None or not keys_of_mine:
            return Done(self._version or "")
        following = codec.encode(replace(board, serial=board.serial + 1))
        changes = {shared.BOARD: following, **dict.fromkeys(keys_of_mine)}
        return self._swap(changes, f"{self.link.machine} leaves")

    def _swap(
        self, changes: Mapping[str, bytes | None], about: str, squash: bool = False
    ) -> Done | Lost | Rejected | Unreachable:
        if time.monotonic() > self._deadline:
            raise GaveUpError(f"others were faster for {PATIENCE_S:g} s", "try again")
        if self._yielded != self._version and (slot := self._slot()):
            self._yielded = self._version  # nobody is waited for twice: who did not come is not there
            time.sleep(slot * min(MAX_SLOT_S, LOOKS * self._look_s))
            return Lost()
        return self._backend.swap(self._version, changes, about, squash)

    def _slot(self) -> int:
        """How many others go first; none unless one was found to commit at the same time, not long ago."""
        at, board, now = self.link.crowded_at, self.shared.board, self._session.runtime.now()
        if at is None or board is None or abs((now - at).total_seconds()) > CROWDED * LOOKS * self._look_s:
            return 0
        if self._lot is None:
            import random  # 5 ms, and crowds are rare

            self._lot = (board.serial, random.random())  # noqa: S311 # no secret
        since, chance = self._lot
        machines = len(self.shared.machines)
        return turns.slot(board.turns, self.link.machine, machines, board.serial - since, chance)

    def remember(self, state: State) -> list[Put]:
        """The writes that say that the board now is as we made it."""
        return self._seen(state, self._version, self.shared.board)

    def note(self, is_whole: bool = False) -> None:
        """`remember`, in a transaction of its own.

        Args:
            is_whole: Whether the board knows now of all tasks and words, too.
        """
        session = self._session
        with session.store.transaction(session.me.id, session.timeout) as tx:
            writes = [*self.remember(tx.state), *(self.merged(tx.state) if is_whole else ())]
            tx.commit("sync", "the shared board knows what happened here", writes)
            session.store.files.touch(keys.LINK)


@contextmanager
def opened(session: Session, backend: Backend | None = None, patience_s: float = PATIENCE_S) -> Iterator[Exchange]:
    """This clone at its board; other processes of it wait.

    Args:
        session: Whose.
        backend: The engine; None = the remote that was added.
        patience_s: Seconds to wait for other processes.

    Raises:
        UsageError: No remote was added.
        GuardTimeoutError: Another process was at it all the time.
    """
    found = session.store.state().link() if session.store.exists() else None
    if found is None:
        raise UsageError("this clone shares nothing with others yet", "agent-sync remote add origin")
    with alone(session, patience_s):
        again = session.store.state().link()
        if again is None:
            raise UsageError("this clone shares nothing with others any more", "agent-sync remote add origin")
        yield Exchange(session, again[0], backend)


@contextmanager
def alone(session: Session, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """No other process of this clone works with the remote meanwhile."""
    with Guard(f"{session.place.state}/remote.guard").held(patience_s, session.store.owns_signals):
        yield


def _summary(came: Came, rewound: bool) -> str:
    told = [f"{len(came.guests)} came", f"{len(came.gone)} went", f"{len(came.lost)} own ones were lost"]
    return f"locks of other machines: {', '.join(told)}{'; the board was rewound' if rewound else ''}"
