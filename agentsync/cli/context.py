"""What a command needs besides its arguments: who runs it, and where to say what."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from agentsync.errors import AgentSyncError, UsageError
from agentsync.render.frame import escape, framed
from agentsync.runtime import Runtime

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from agentsync.ops.session import Session


MAX_MESSAGE = 2000
"""Characters of an error message; what was typed may be a megabyte."""


class Context:
    """One run of the command line."""

    def __init__(
        self,
        json: bool,
        serve: Callable[[Runtime], int] | None = None,
        start_console: Callable[[Context, bool, str | None], int] | None = None,
    ) -> None:
        self.json = json
        self.serve = serve
        """Starts the MCP server."""
        self.start_console = start_console
        """Starts the console: whether line by line, and the theme."""
        self.runtime = Runtime()
        self._opened: Session | None = None

    def apply(self, options: argparse.Namespace) -> None:
        """Take over the global options."""
        directory = getattr(options, "directory", None)
        if directory is not None:
            try:
                os.chdir(directory)
            except OSError as error:
                raise UsageError(f"cannot change to {directory!r}: {error.strerror}", "give -C a directory") from None

    @cached_property
    def session(self) -> Session:
        """The caller's session."""
        from agentsync.ops.session import open_session

        self._opened = open_session(self.runtime, owns_signals=True)
        return self._opened

    @cached_property
    def is_terminal(self) -> bool:
        """Whether a person reads the answer; if not, an agent may."""
        return self.runtime.is_terminal(1)

    @property
    def colour(self) -> bool:
        """Whether the answer may be coloured (https://no-color.org)."""
        env = self.runtime.env
        return self.is_terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb"

    @property
    def screen(self) -> tuple[int, int] | None:
        """Columns and lines of the terminal that the answer goes to; None when it goes elsewhere."""
        import shutil

        size = shutil.get_terminal_size()
        return (size.columns, size.lines) if self.is_terminal else None

    # ------------------------------------------------------------ saying
    def say(self, text: str) -> None:
        """Print the answer, or a line of it."""
        print(text)

    def data(self, value: object) -> None:
        """Print JSON."""
        from agentsync.render.payload import dump

        self.write(dump(value).encode() + b"\n")

    def write(self, document: bytes) -> None:
        """Print JSON that is made already. It is UTF-8, whatever the terminal speaks."""
        sys.stdout.flush()
        if hasattr(sys.stdout, "buffer"):
            sys.stdout.buffer.write(document)
            sys.stdout.buffer.flush()
        else:
            sys.stdout.write(document.decode())

    def board(self, lines: Iterable[str]) -> None:
        """Print lines that hold other agents' words: as they are for a person, framed for anybody else."""
        print("\n".join(lines) if self.is_terminal else framed(lines))

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Say on a terminal's stderr what is being done, until it is: for what may take longer than a second."""
        if not self.runtime.is_terminal(2):
            yield
            return
        text = f"agent-sync: {what} …"
        print(text, end="", file=sys.stderr, flush=True)
        try:
            yield
        finally:
            print(f"\r{' ' * len(text)}\r", end="", file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Say something on the side."""
        print(f"agent-sync: {escape(text)}", file=sys.stderr)

    def problem(self, error: AgentSyncError) -> None:
        """Say what went wrong: on stderr for people, as JSON on stdout for programs."""
        if self.json:
            from agentsync.render.payload import error as payload

            self.data(payload(error))
            return
        print(f"agent-sync: {escape(error.message, MAX_MESSAGE)}", file=sys.stderr)
        if error.others:
            others = escape(error.others, MAX_MESSAGE)
            print(f"  {others}" if self.runtime.is_terminal(2) else framed([others]), file=sys.stderr)
        if error.hint:
            print(f"  {escape(error.hint, MAX_MESSAGE)}", file=sys.stderr)

    def refused(self, message: str, details: str, hint: str) -> None:
        """Say that somebody else holds it. `details` is framed already."""
        print(f"agent-sync: {message}\n{details}\n  {hint}", file=sys.stderr)

    def close(self) -> None:
        """After answering: what was noticed on the side, and compaction when it is due."""
        if self._opened is None:
            return
        store = self._opened.store
        if store.needs_care:
            from agentsync.ops import care

            sys.stdout.flush()
            care.after_answering(self._opened)
        for warning in store.warnings:
            self.warn(warning)
