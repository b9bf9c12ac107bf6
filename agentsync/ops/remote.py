"""Taking part in a shared board, and no longer: `remote add`, `remote status`, `remote remove`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from agentsync.core import keys
from agentsync.core.changes import Drop, Put
from agentsync.core.lease import is_guest
from agentsync.core.records import Link, Machine
from agentsync.errors import AgentSyncError, UsageError
from agentsync.ops import background, engines, exchange, sync
from agentsync.ops.exchange import Exchange
from agentsync.remote.backend import Done, Lost
from agentsync.store.locate import find_repository

if TYPE_CHECKING:
    from datetime import datetime

    from agentsync.ops.session import Session
    from agentsync.remote.backend import Backend

REF = "refs/agentsync/state"
"""Where the board is when nothing else is said: no branch and no tag, so nobody's `git fetch` brings it."""

MACHINE_LETTERS = 6


class Standing(Struct, frozen=True, kw_only=True, gc=False):
    """How this clone takes part."""

    link: Link
    seen: datetime
    """When it last looked at the board."""
    serial: int | None
    """Of the board, as it was then; None = there was none."""
    machines: tuple[Machine, ...]
    """The others."""
    locks: int
    """How many own locks are for all machines."""
    trouble: str | None = None
    """Why the last sync in the background failed, if it did."""


def add(session: Session, remote: str, ref: str = REF, backend: Backend | None = None) -> Standing:
    """Take part in the board at a ref of a remote; make it if there is none.

    Args:
        session: Whose.
        remote: A remote's name, an address, or a path.
        ref: The whole name of the ref.
        backend: The engine; None = git.

    Raises:
        UsageError: There is no repository, the ref cannot be one, or this clone takes part already.
        AgentSyncError: The remote cannot be reached, refuses, or has something else there; then nothing has changed.
    """
    if find_repository(session.place.base) is None:
        raise UsageError(f"{session.place.base} is no git repository", "run it in a clone")
    if not remote or remote.startswith("-"):
        raise UsageError(f"{remote!r} is no remote", "git remote -v lists them")
    _check_ref(ref)
    with session.store.transaction(session.me.id, session.timeout) as tx:
        now, found = tx.state.now, tx.state.link()  # and the directory is there
        left = tx.state.record(keys.LEFT, Link)
    if found is not None:
        raise UsageError(f"this clone takes part in the board at {found[0].remote} already", "agent-sync remote remove")
    machine = left.machine if left else session.runtime.random_id(MACHINE_LETTERS)
    link = Link(remote=remote, ref=ref, machine=machine, created_at=now)
    with exchange.alone(session):
        there = Exchange(session, link, backend)
        there.look(dry_run=True)
        sync.publish(there)  # what the remote refuses is not begun
        there.look()
    background.put_off(session)
    found_now = standing(session)
    assert found_now is not None
    return found_now


def _check_ref(ref: str) -> None:
    fine = (
        re.fullmatch(r"refs(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+", ref)
        and ".." not in ref
        and not ref.endswith((".lock", "."))
    )
    if not fine:
        raise UsageError(f"{ref[:80]!r} cannot be the board's ref", f"for example: --ref {REF}")
    if ref.startswith(("refs/heads/", "refs/tags/", "refs/remotes/")):
        raise UsageError(f"{ref} would come into everybody's branches or tags", f"for example: --ref {REF}")


def standing(session: Session) -> Standing | None:
    """How this clone takes part, without asking the remote; None when it does not."""
    if session.store.files.status(keys.LINK) is None:
        return None
    state = session.store.state()
    found, board = state.link(), state.board()
    if found is None:
        return None
    mine = [held for held in state.locks() if held.lock.machine == found[0].machine]
    return Standing(
        link=found[0],
        seen=found[1],
        serial=board.serial if board else None,
        machines=tuple(state.machines()),
        locks=len(mine),
        trouble=background.trouble(session),
    )


def remove(session: Session, backend: Backend | None = None) -> Standing:
    """Take part no longer: own locks go from the board and bind here only, those of others are forgotten here.

    What cannot be told to the remote is warned of: the others then see this machine fall silent.

    Raises:
        UsageError: This clone does not take part.
    """
    before = standing(session)
    with exchange.opened(session, backend) as there:
        assert before is not None
        with session.store.transaction(session.me.id, session.timeout) as tx:
            # First, lest a crash between the two looks like a loss.
            mine = [h.lock for h in tx.state.locks() if h.lock.machine is not None and not is_guest(h.lock)]
            puts = [Put(keys.lock(lock), replace(lock, machine=None)) for lock in mine]
            tx.commit("remote", f"the locks of {session.me.id} and others bind here only", puts)
        try:
            there.look()
            _leave(there)
        except AgentSyncError as error:
            session.store.warnings.append(f"the others were not told: {error.message}")
        with session.store.transaction(session.me.id, session.timeout) as tx:
            writes = [Drop(keys.lock(held.lock)) for held in tx.state.locks() if is_guest(held.lock)]
            guests = (p.agent.id for p in tx.state.presences() if p.agent.machine is not None)
            writes += [Drop(keys.agent(guest)) for guest in guests]
            writes += [Drop(keys.machine(machine.id)) for machine in tx.state.machines()]
            writes += [Drop(key) for key in (keys.BOARD, keys.LINK)]
            left = Put(keys.LEFT, there.link)
            tx.commit("remote", f"{session.me.id} shares nothing with other machines any more", [left, *writes])
        for engine in ("remote.git", "remote.etcd"):
            session.store.files.remove_tree(engine)
        for key in (keys.DUE, background.TROUBLE):
            session.store.files.unlink(key)
    return before


def _leave(there: Exchange) -> None:
    """Take this machine and its locks off the board."""
    while True:
        me = there.link.machine
        mine = [key for key, lock in there.shared.locks.items() if lock.machine == me]
        mine += [f"machines/{me}.json"] if me in there.shared.machines else []
        outcome = there.withdraw(mine)
        if isinstance(outcome, Done):
            return
        if not isinstance(outcome, Lost):
            raise engines.failure(outcome, there.link)
        there.look()
