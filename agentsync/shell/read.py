"""Which files will this shell command write?

`writes` answers from the text alone and, for wildcards and "is it a folder", a bounded look at the file system. It is
certain or silent: what it cannot read (a variable of the environment, the output of a program, a program it does not
know) yields nothing, so that no command is refused for a file that it would leave alone; what it misses is listed in
`tests/shell/README.md`. It never raises on any text, and its time is bounded.

A command counts as run even if an earlier one might fail; a program that may write a file counts as writing it even if
it would put back the same bytes.
"""

from __future__ import annotations

from agentsync.shell import patch
from agentsync.shell.call import Write
from agentsync.shell.patterns import Disk
from agentsync.shell.state import State

__all__ = ["Write", "patch_paths", "writes"]


def writes(command: str, cwd: str, home: str | None = None) -> tuple[Write, ...]:
    """What `command`, run by a shell in the absolute folder `cwd`, will write; `~` is known only with `home`.

    Raises:
        MissingExtraError: the extra `agentsync[shell]` is not installed.
    """
    from agentsync.shell.walk import Walk  # loads the parser

    walk = Walk()
    walk.script(command, State(cwd, home, Disk()))
    return tuple(dict.fromkeys(walk.found))


def patch_paths(text: str) -> tuple[str, ...] | None:
    """The files of a Codex patch, as it names them; None if the text is none."""
    return patch.paths(text)
