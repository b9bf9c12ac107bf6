"""Which engine a board is on, and what went wrong at it, as errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.errors import GaveUpError, UnusableError
from agentsync.remote.backend import Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.core.records import Link
    from agentsync.ops.session import Session
    from agentsync.remote.backend import Backend


class UnreachableError(GaveUpError):
    """The remote did not answer."""


class RejectedError(UnusableError):
    """The remote answered, and refused."""


def _etcd(session: Session, remote: str, ref: str) -> Backend:
    from agentsync.remote.etcd import Etcd

    return Etcd(session.store.files, remote, ref, env=session.runtime.env)


ENGINES: dict[str, Callable[[Session, str, str], Backend]] = {"etcd": _etcd, "etcds": _etcd}
"""Engines other than git, by the scheme of the address that asks for them."""


def engine(session: Session, remote: str, ref: str) -> Backend:
    """The engine for a remote, by what it is called."""
    if (made := ENGINES.get(remote.partition(":")[0])) is not None:
        return made(session, remote, ref)
    from agentsync.remote.plain_git import PlainGit

    return PlainGit(session.store.files, session.place.root, remote, ref, env=session.runtime.env)


def failure(outcome: Rejected | Unreachable, link: Link) -> UnreachableError | RejectedError:
    """What went wrong at the remote, as an error."""
    if isinstance(outcome, Rejected):
        return RejectedError(
            f"{link.remote} refuses {link.ref}: {outcome.reason}",
            "it needs permission to push that ref, or another: agent-sync remote add --ref REF",
        )
    return UnreachableError(
        f"{link.remote} could not be reached: {outcome.reason}", "local work goes on; agent-sync sync tries again"
    )
