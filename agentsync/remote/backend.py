"""What a shared board needs of an engine, and what may come of asking it.

A board is a set of small files with a version. It can be read, and swapped: changed if it is still what it was. That is
all; which files there are and what they mean is not the engine's business. `tests/remote/test_backends.py` is what
every engine must pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentsync.core.shared import Wanted

LIMIT_S = 20.0
"""Seconds that one question to a remote may take."""


class Snapshot(Struct, frozen=True, kw_only=True, gc=False):
    """A board at a version."""

    version: str | None
    """None: there is no board."""
    files: dict[str, bytes]
    """By path, `/` between parts."""
    follows: bool = True
    """Whether the version that the reader knew is in the past of this one. False: history was lost or replaced."""


class Done(Struct, frozen=True, gc=False):
    """The swap has happened."""

    version: str


class Lost(Struct, frozen=True, gc=False):
    """Somebody else was faster; nothing has changed. Look again."""


class Rejected(Struct, frozen=True, gc=False):
    """The remote answered, and does not want this: trying again will not help."""

    reason: str


class Unreachable(Struct, frozen=True, gc=False):
    """There was no answer, so it is not known whether a swap has happened."""

    reason: str


class Backend(Protocol):
    """An engine. No method waits for a person, or longer than its time limit; none raises for what the remote does."""

    def read(self, known: str | None, wanted: Wanted | None = None) -> Snapshot | Rejected | Unreachable:
        """The newest version.

        Args:
            known: The version that was seen last; None = none.
            wanted: Which paths are of interest; the snapshot has no others. None = all.
        """
        ...

    def recall(self, version: str, wanted: Wanted | None = None) -> Snapshot | None:
        """A version that was seen before, without asking the remote; None when it is not remembered.

        Args:
            version: Which.
            wanted: Which paths are of interest; the snapshot has no others. None = all.
        """
        ...

    def swap(
        self, base: str | None, changes: Mapping[str, bytes | None], about: str, squash: bool = False
    ) -> Done | Lost | Rejected | Unreachable:
        """Change files if the board still has a version.

        Args:
            base: The version that the change is for, as `read` or `recall` gave it; None = there is no board.
            changes: New content by path; None = remove.
            about: One line for people who look at the history.
            squash: Whether this version begins a new history. Whoever reads it finds that it does not follow.
        """
        ...
