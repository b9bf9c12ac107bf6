"""What programs write: one module per family, one small rule or row of a table per program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsync.shell.programs import archives, edit, files, find, formatters, git, interpreters, outputs, packages

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentsync.shell.call import Call

RULES: dict[str, Callable[[Call], None]] = {
    **files.RULES,
    **edit.RULES,
    **find.RULES,
    **git.RULES,
    **formatters.RULES,
    **packages.RULES,
    **interpreters.RULES,
    **archives.RULES,
    **outputs.RULES,
}
"""By the name of the program."""
