"""`conflicts --fetch`: try to merge with what partners have pushed, before anybody merges.

Which branches: those of agents on other machines, as the shared board was seen last; where it tells of none, those of
the remote that are not merged here. They are fetched into a folder that goes afterwards (see `remote.branches`).
"""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.errors import NotFoundError, UsageError
from agentsync.ops import engines
from agentsync.ops.conflicts import Ahead, Trial
from agentsync.remote.branches import Branches
from agentsync.remote.command import DENIED, SHOWN, EndedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentsync.core.lease import Presence
    from agentsync.ops.session import Session

MAX_TRIED = 20
"""Branches that are tried, the newest; a person reads no more."""

TRYING_S = 60.0
"""Seconds after which no further merge is begun."""

_SHOWN = 20
"""Branches that an error names."""


class Partners(Struct, frozen=True, kw_only=True, gc=False):
    """What lies ahead with the branches of a remote."""

    remote: str
    worktrees: tuple[Ahead, ...] = ()
    """Of this repository, as without the remote; none when branches were named."""
    branches: tuple[Ahead, ...] = ()
    """Of the remote, the newest first."""
    left: int = 0
    """How many were not tried, being older or too many."""
    absent: tuple[str, ...] = ()
    """Branches that agents are said to be on and that are not there: not pushed yet, or gone."""

    @property
    def all(self) -> tuple[Ahead, ...]:
        """Those of both."""
        return (*self.worktrees, *self.branches)


def ahead(session: Session, named: Sequence[str] = (), remote: str | None = None) -> Partners:
    """Try to merge this working tree with branches of a remote, and with other worktrees.

    Args:
        session: Whose.
        named: Which branches of the remote, and nothing else.
        remote: Its name, an address, or a path; None = where the shared board is, else origin.

    Raises:
        GitError: Git is too old for `merge-tree --write-tree`.
        NotFoundError: The remote has no such branch.
        RejectedError: The remote does not let us.
        UnreachableError: It did not answer, or not in time.
        UsageError: The remote's name cannot be one.
    """
    asked = _default(session) if remote is None else remote
    if not asked or asked.startswith("-"):
        raise UsageError(f"{asked!r} is no remote", "git remote -v lists them")
    with tempfile.TemporaryDirectory(prefix="agent-sync-") as scratch:
        trial = Trial(session, scratch)
        try:
            there = Branches(trial.repository, session.place.base, asked, env=session.runtime.env)
            return _try(session, trial, there, asked, named)
        except EndedError as error:
            raise _failure(asked, error) from None


def _default(session: Session) -> str:
    found = session.store.state().link() if session.store.exists() else None
    if found is None or found[0].remote.partition(":")[0] in engines.ENGINES:
        return "origin"
    return found[0].remote


def _try(session: Session, trial: Trial, there: Branches, remote: str, named: Sequence[str]) -> Partners:
    listed = there.listed()
    at = _agents(session)
    if named:
        names = [word.removeprefix("refs/heads/") for word in named]
        _require(remote, names, listed)
    else:
        names = [name for name in at if name in listed]
    wanted = {name: listed[name] for name in names or listed}
    tips, left = there.bring(wanted, beside=None if names else trial.mine())
    worktrees = () if named else tuple(trial.run(()))
    tried: list[Ahead] = []
    begun = time.monotonic()
    for tip in tips[:MAX_TRIED]:
        if time.monotonic() - begun > TRYING_S:
            break
        tried.append(trial.meet(remote, tip.name, tip.commit, at.get(tip.name, ())))
    return Partners(
        remote=remote,
        worktrees=worktrees,
        branches=tuple(tried),
        left=left + len(tips) - len(tried),
        absent=() if named else tuple(sorted(at.keys() - listed.keys())),
    )


def _agents(session: Session) -> dict[str, tuple[Presence, ...]]:
    """The agents of other machines that are still there, by branch."""
    found: dict[str, tuple[Presence, ...]] = {}
    for presence in session.store.state().everybody() if session.store.exists() else ():
        branch = presence.agent.branch
        if presence.agent.machine is not None and branch and not presence.is_gone:
            found[branch] = (*found.get(branch, ()), presence)
    return found


def _require(remote: str, names: Sequence[str], listed: dict[str, str]) -> None:
    unknown = next((name for name in names if name not in listed), None)
    if unknown is not None:
        there = ", ".join(sorted(listed)[:_SHOWN]) or "none"
        raise NotFoundError(f"{remote} has no branch {unknown[:80]!r}", "name one that is there", others=there)


def _failure(remote: str, error: EndedError) -> engines.RejectedError | engines.UnreachableError:
    said, hint = " ".join(error.said.split())[:SHOWN], "agent-sync conflicts without --fetch looks at what is here"
    if DENIED.search(error.said):
        return engines.RejectedError(f"{remote} does not let us look at its branches: {said}", hint)
    return engines.UnreachableError(f"the branches of {remote} could not be fetched: {said}", hint)
