"""Files of the user's that we change: read with care, replaced in one step, removed by name.

Not the state, which is `agentsync.store`'s: these belong to the working tree, and others read and edit them.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsync.errors import AgentSyncError, UsageError

if TYPE_CHECKING:
    from agentsync.runtime import Runtime


class FileChange(Struct, frozen=True, gc=False):
    """One file before and after; None = not there."""

    path: str
    before: bytes | None
    after: bytes | None


def read(path: str) -> bytes | None:
    """What a regular file holds; None when there is none.

    Raises:
        AgentSyncError: It is something else.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would keep us waiting
            raise AgentSyncError(f"{path} is no regular file; it was left untouched", "see what it is and move it away")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def decode(data: bytes | None, path: str) -> str | None:
    """The text of a file.

    Raises:
        AgentSyncError: It is not UTF-8.
    """
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise AgentSyncError(f"{path} was left untouched: it is not UTF-8", "mend the file, then try again") from None


def write(path: str, data: bytes | None, mode: int | None) -> None:
    """Replace a file in one step, through symlinks to it, keeping its mode unless one is given; None removes it."""
    real = os.path.realpath(path)
    if data is None:
        os.unlink(real)
        return
    os.makedirs(os.path.dirname(real), exist_ok=True)
    try:
        mode = os.stat(real).st_mode & 0o777 if mode is None else mode
    except FileNotFoundError:
        mode = 0o644
    temp = f"{real}.agent-sync-{os.getpid()}"
    try:
        with open(temp, "wb") as file:
            os.chmod(temp, mode)  # first: nobody reads what is not for him, not for a moment
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, real)
    except BaseException:
        if os.path.exists(temp):
            os.unlink(temp)
        raise


def replace(runtime: Runtime, path: str, data: bytes, mode: int | None = None) -> str:
    """Replace a file that a person named by what was made for it, in one step: nobody ever reads half of it.

    Args:
        runtime: The machine.
        path: Absolute, or relative to the working directory.
        data: What it holds then.
        mode: Its permissions; None = those it has, or those of any file.

    Returns:
        The absolute path.

    Raises:
        UsageError: It cannot be written.
    """
    real = os.path.join(runtime.cwd, path)
    try:
        if os.path.exists(real) and not os.path.isfile(real):
            raise ValueError("it is no regular file")  # a device or a pipe would be gone
        write(real, data, mode)
        clear_left_overs(runtime, real)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path[:200]!r} cannot be written: {why}", "name another file") from None
    return real


def clear_left_overs(runtime: Runtime, *paths: str) -> None:
    """Remove what somebody who was killed while writing left beside these files. Nobody else would."""
    for folder, name in (os.path.split(os.path.realpath(path)) for path in paths):
        for found in os.listdir(folder) if os.path.isdir(folder) else ():
            pid = found.removeprefix(f"{name}.agent-sync-")
            if pid != found and pid.isascii() and pid.isdecimal() and runtime.process(int(pid)) is None:
                os.unlink(f"{folder}/{found}")
