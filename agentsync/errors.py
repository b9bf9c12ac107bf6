"""What can go wrong, with the facts and the way out.

Every error that may reach a user is one of these. It carries a sentence that says what, who and since when, a `hint`
with the next step, and the exit code of the command line. Outcomes a caller must expect (a path is held by somebody
else) are not errors: operations return them as types.
"""

from __future__ import annotations

import errno


class AgentSyncError(Exception):
    """Base class; `code` is the process exit code and the `code` of the JSON error object."""

    code = 1

    def __init__(self, message: str, hint: str = "", others: str = "") -> None:
        super().__init__(f"{message}: {others}" if others else message)
        self.message = message
        self.hint = hint
        self.others = others
        """What there is instead, in other agents' words: edges frame it."""


class UsageError(AgentSyncError):
    """The request makes no sense as it was typed."""

    code = 2


class HeldError(AgentSyncError):
    """Somebody else holds it. Raised only where a caller wants an exception; operations return `Conflict`."""

    code = 3


class NotFoundError(AgentSyncError):
    """There is no such thing, or several that the words fit."""

    code = 4


class GaveUpError(AgentSyncError):
    """The time allowed for waiting is over."""

    code = 5


class UnusableError(AgentSyncError):
    """The state directory cannot be used: not ours, not writable, not what it should be."""

    code = 6


class StrangeFileError(UnusableError):
    """Something that is no regular file, or larger than any record, stands where a record should be."""


class MissingExtraError(AgentSyncError):
    """Something optional is not installed; the hint says how to get it."""


class GuardTimeoutError(UnusableError):
    """The guard could not be had in time; the message names the process that has it."""


class DamagedRecordError(AgentSyncError):
    """A record that must not be lost cannot be decoded."""


class NewerRecordError(UnusableError):
    """A record was written by a newer version; it is left exactly as it is."""


def explained(error: OSError) -> UnusableError:
    """What the system refused, and on which file. Everything we touch belongs to the state or to a settings file."""
    where = f"{error.filename}: " if error.filename else ""
    why = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        return UnusableError(f"{where}{why}", "make room; agent-sync gc gives back what the log can spare")
    return UnusableError(f"{where}{why}", "agent-sync doctor looks for the cause")
