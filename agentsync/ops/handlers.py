"""What `watch` starts when an event comes: a command (`--exec`), a notification on the desktop (`--notify`).

Both run beside the feed. A command that is slow holds the feed up once all its places are taken; nothing is lost by
that, for the log keeps what comes meanwhile. A notifier that is slow is told several events at once.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

from agentsync.render.payload import line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentsync.core.records import Event
    from agentsync.runtime import Runtime

PATIENCE_S = 10
"""Seconds that a notifier may take: it only hands over a text."""


class Commands:
    """Runs one shell command for each event, which is its standard input as JSON; so many at a time at most."""

    def __init__(self, command: str, places: int, tell: Callable[[str], None]) -> None:
        """Begin with none.

        Args:
            command: For the system's shell.
            places: How many may run at a time; with one, they run in the order of the events.
            tell: Takes a sentence about each that fails, from another thread.
        """
        self.failures = 0
        self._command = command
        self._tell = tell
        self._places = threading.BoundedSemaphore(places)
        self._running: set[threading.Thread] = set()
        self._changes = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Start it for an event, once there is a place."""
        self._places.acquire()
        thread = threading.Thread(target=self._run, args=(event,))
        with self._changes:
            self._running.add(thread)
        thread.start()

    def finish(self) -> None:
        """Wait for those that run."""
        while True:
            with self._changes:
                thread = next(iter(self._running), None)
            if thread is None:
                return
            thread.join()

    def _run(self, event: Event) -> None:
        try:
            code = subprocess.run(self._command, shell=True, input=line(event), check=False).returncode  # noqa: S602 # typed by the user
            failure = f"ended with {code}" if code > 0 else f"was killed by signal {-code}" if code < 0 else ""
        except OSError as error:
            failure = f"could not be started: {error.strerror or error}"
        if failure:
            self._tell(f"the command for revision {event.rev} {failure}: {self._command}")
        with self._changes:
            self._running.discard(threading.current_thread())
            self.failures += bool(failure)
        self._places.release()


class Notifier:
    """Shows events on the desktop, one notification at a time; what comes meanwhile is told in the next one."""

    def __init__(
        self, program: str, text: Callable[[Sequence[Event]], tuple[str, str]], tell: Callable[[str], None]
    ) -> None:
        """Begin with nothing to tell.

        Args:
            program: What `notifier` found.
            text: Title and body for some events, oldest first.
            tell: Takes a sentence about the first failure, from another thread.
        """
        self._program = program
        self._text = text
        self._tell = tell
        self._pending: list[Event] = []
        self._changes = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_failed = False

    def __call__(self, event: Event) -> None:
        """Show an event, soon."""
        with self._changes:
            self._pending.append(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._show_all)
                self._thread.start()

    def finish(self) -> None:
        """Wait until all is shown."""
        with self._changes:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _show_all(self) -> None:
        while True:
            with self._changes:
                events, self._pending = self._pending, []
                if not events:
                    self._thread = None
                    return
            failure = self._show(*self._text(events))
            if failure and not self._has_failed:
                self._has_failed = True
                self._tell(f"{self._program} does not show notifications: {failure}")

    def _show(self, title: str, body: str) -> str:
        try:
            words = arguments(self._program, title, body)
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return done.stderr.decode("utf-8", "replace").strip()[-200:] or "it failed" if done.returncode else ""


def notifier(runtime: Runtime) -> str | None:
    """The program that shows notifications here; None when there is none."""
    found = (shutil.which(name, path=runtime.env.get("PATH")) for name in ("notify-send", "osascript"))
    return next((program for program in found if program), None)


def arguments(program: str, title: str, body: str) -> list[str]:
    """How a notifier is told a title and a body. They stay data: no markup, no option, no script."""
    if program.endswith("osascript"):
        script = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")
        return [program, *(word for line in script for word in ("-e", line)), title, body]
    body = body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return [program, "--app-name=agent-sync", "--", title, body]
